/**
 * Text of a sqllogictest file to records, in the format of SQLite's own runner (its `about.wiki` describes it). Pure: nothing is
 * run here, and which engine a record is for is decided by whoever runs it. What is malformed throws, naming file and line.
 */
import { PagefoldError } from "../../src/base/errors.ts";

export type ColumnType = "T" | "I" | "R";
export type SortMode = "nosort" | "rowsort" | "valuesort";

export interface Condition {
  readonly kind: "skipif" | "onlyif";
  readonly engine: string;
}

interface RecordBase {
  /** From 1: the line of the record's own first word, after any skipif and onlyif. */
  readonly line: number;
  readonly conditions: readonly Condition[];
}

export interface StatementRecord extends RecordBase {
  readonly kind: "statement";
  readonly expect: "ok" | "error";
  readonly sql: string;
}

export type Expected =
  | { readonly kind: "values"; readonly values: readonly string[] }
  | { readonly kind: "hash"; readonly count: number; readonly md5: string };

export interface QueryRecord extends RecordBase {
  readonly kind: "query";
  readonly types: readonly ColumnType[];
  readonly sort: SortMode;
  /** Queries of one label must have one result. */
  readonly label: string | undefined;
  readonly sql: string;
  readonly expected: Expected;
}

export interface HashThresholdRecord extends RecordBase {
  readonly kind: "hash-threshold";
  readonly threshold: number;
}

export interface HaltRecord extends RecordBase {
  readonly kind: "halt";
}

export type TestRecord = StatementRecord | QueryRecord | HashThresholdRecord | HaltRecord;

interface Line {
  readonly number: number;
  readonly text: string;
}

/** The non-comment lines of one record, without the blank lines around it; the first one split into words. */
interface Paragraph {
  readonly file: string;
  readonly line: number;
  readonly words: readonly string[];
  readonly body: readonly Line[];
}

const HASHED = /^(\d+) values hashing to ([0-9a-f]{32})$/;
const RESULTS_BELOW = "----";

/** @throws `invalid` for a malformed record, with `file` (only used for messages) and the line */
export function parseSqlLogicTest(text: string, file: string): TestRecord[] {
  const records: TestRecord[] = [];
  for (const lines of paragraphs(text)) {
    const record = parseRecord(lines, file);
    records.push(record);
    // What follows is never run by anyone, and need not even be well-formed: halt is how a file is cut short.
    if (record.kind === "halt" && record.conditions.length === 0) break;
  }
  return records;
}

/** Runs of non-blank lines. Comment lines vanish before anything else looks: they neither end a record nor belong to it. */
function* paragraphs(text: string): Generator<Line[]> {
  let lines: Line[] = [];
  let number = 0;
  for (const raw of text.split("\n")) {
    number++;
    const line = raw.endsWith("\r") ? raw.slice(0, -1) : raw;
    if (line.startsWith("#")) continue;
    if (line.trim() !== "") lines.push({ number, text: line });
    else if (lines.length > 0) {
      yield lines;
      lines = [];
    }
  }
  if (lines.length > 0) yield lines;
}

function parseRecord(lines: readonly Line[], file: string): TestRecord {
  const conditions: Condition[] = [];
  for (const [i, { number: line, text }] of lines.entries()) {
    const words = text.trim().split(/\s+/);
    const paragraph: Paragraph = { file, line, words, body: lines.slice(i + 1) };
    const kind = words[0];
    if (kind !== "skipif" && kind !== "onlyif") return parseUnconditional(paragraph, conditions);
    if (words[1] === undefined) throw malformed(paragraph, `${kind} names no engine; write "${kind} sqlite"`);
    conditions.push({ kind, engine: words[1] });
  }
  const last = { file, line: lines.at(-1)?.number ?? 0 };
  throw malformed(last, "skipif and onlyif are followed by nothing; put the record on the next line");
}

function parseUnconditional(paragraph: Paragraph, conditions: readonly Condition[]): TestRecord {
  const base: RecordBase = { line: paragraph.line, conditions };
  switch (paragraph.words[0]) {
    case "statement":
      return parseStatement(paragraph, base);
    case "query":
      return parseQuery(paragraph, base);
    case "hash-threshold":
      return { ...base, kind: "hash-threshold", threshold: parseThreshold(paragraph) };
    case "halt":
      return { ...base, kind: "halt" };
    default:
      throw malformed(
        paragraph,
        `"${paragraph.words[0]}" is no kind of record; use statement, query, hash-threshold, halt, skipif or onlyif`,
      );
  }
}

/** Words after those that mean something are ignored, as SQLite's runner does: some files have remarks there. */
function parseStatement(paragraph: Paragraph, base: RecordBase): StatementRecord {
  const expect = paragraph.words[1];
  if (expect !== "ok" && expect !== "error")
    throw malformed(paragraph, `a statement is "statement ok" or "statement error", not "${expect ?? ""}"`);
  const separator = paragraph.body.find(({ text }) => text === RESULTS_BELOW);
  if (separator !== undefined)
    throw malformed(
      { ...paragraph, line: separator.number },
      "a statement has no results; make it a query, or remove ----",
    );
  return { ...base, kind: "statement", expect, sql: sqlOf(paragraph, paragraph.body) };
}

function parseQuery(paragraph: Paragraph, base: RecordBase): QueryRecord {
  const { words, body } = paragraph;
  const separator = body.findIndex(({ text }) => text === RESULTS_BELOW);
  const sqlLines = separator === -1 ? body : body.slice(0, separator);
  const resultLines = separator === -1 ? [] : body.slice(separator + 1);
  const label = words[3]?.startsWith("#") ? undefined : words[3];
  return {
    ...base,
    kind: "query",
    types: parseTypes(paragraph),
    sort: parseSort(paragraph),
    label,
    sql: sqlOf(paragraph, sqlLines),
    expected: parseExpected(resultLines.map(({ text }) => text)),
  };
}

function parseTypes(paragraph: Paragraph): ColumnType[] {
  const types = paragraph.words[1];
  if (types === undefined)
    throw malformed(paragraph, "a query needs a letter of T, I and R for each column, such as query TI");
  return [...types].map((type) => {
    if (type === "T" || type === "I" || type === "R") return type;
    throw malformed(paragraph, `"${type}" in "${types}" is no column type; use T, I and R`);
  });
}

function parseSort(paragraph: Paragraph): SortMode {
  const sort = paragraph.words[2] ?? "nosort";
  if (sort === "nosort" || sort === "rowsort" || sort === "valuesort") return sort;
  if (sort.startsWith("#")) return "nosort";
  throw malformed(paragraph, `"${sort}" is no sort mode; use nosort, rowsort or valuesort`);
}

function parseThreshold(paragraph: Paragraph): number {
  const threshold = paragraph.words[1];
  if (threshold !== undefined && /^\d{1,9}$/.test(threshold)) return Number(threshold);
  throw malformed(paragraph, `hash-threshold needs a number of values, not "${threshold ?? ""}"`);
}

function parseExpected(lines: readonly string[]): Expected {
  const hashed = lines.length === 1 ? HASHED.exec(lines[0] ?? "") : null;
  if (hashed === null) return { kind: "values", values: lines };
  return { kind: "hash", count: Number(hashed[1]), md5: hashed[2] ?? "" };
}

function sqlOf(paragraph: Paragraph, lines: readonly Line[]): string {
  if (lines.length === 0)
    throw malformed(paragraph, `the ${paragraph.words[0]} has no SQL; put it on the next line`);
  return lines.map(({ text }) => text).join("\n");
}

function malformed(where: { readonly file: string; readonly line: number }, what: string): PagefoldError {
  const { file, line } = where;
  return new PagefoldError("invalid", `${file}:${line}: ${what}`, { details: { path: file, line } });
}
