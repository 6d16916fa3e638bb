/**
 * Runs the records of a sqllogictest file against a database and compares what comes back. Knows nothing about how the database is
 * reached: a target is anything that takes SQL and gives rows.
 */
import { throwIfAborted } from "../../src/base/errors.ts";
import { formatResult, hashLine, hashValues, type SqlValue } from "./format.ts";
import type { Expected, QueryRecord, StatementRecord, TestRecord } from "./parse.ts";

export interface SqlResult {
  /** Names of the result's columns, also where there is no row; empty for SQL that gives no result. */
  readonly columns: readonly string[];
  readonly rows: readonly (readonly SqlValue[])[];
}

/** A database that was empty when it was opened. Calls come one after the other. */
export interface SqlTarget {
  /** Runs one or more statements; answers the rows of one that gives a result. Rejects where SQLite refuses. */
  execute(sql: string): Promise<SqlResult>;
  /**
   * Whether an error of `execute` is SQLite's answer to the SQL, and not the target's own failure, which `statement error` does not
   * ask for. Without it every error counts as SQLite's.
   */
  refused?(error: unknown): boolean;
  close(): Promise<void>;
}

export interface RunOptions {
  /** Shown in failures. */
  readonly file: string;
  /** Which engine's records to run; case does not matter. Default: sqlite. */
  readonly engine?: string;
  /** Default: run on to the end. */
  readonly stopAtFirstFailure?: boolean;
  readonly signal?: AbortSignal;
}

export interface Failure {
  readonly file: string;
  readonly line: number;
  readonly sql: string;
  readonly expected: string;
  readonly got: string;
}

export interface RunReport {
  readonly statements: number;
  readonly queries: number;
  /** Records for other engines. */
  readonly skipped: number;
  /** Whether a halt ended the run. */
  readonly halted: boolean;
  readonly failed: number;
  /** The first FAILURES_KEPT of those that failed. */
  readonly failures: readonly Failure[];
}

/** A file whose first statement fails may fail ten thousand times; nobody reads that far. */
export const FAILURES_KEPT = 20;
const VALUES_SHOWN = 20;

/** What was expected and what came instead; undefined where a record holds. */
type Outcome = Pick<Failure, "expected" | "got"> | undefined;

/** @throws `aborted` when the signal fires; what the target rejects with is a failure in the report */
export async function runRecords(
  records: readonly TestRecord[],
  target: SqlTarget,
  options: RunOptions,
): Promise<RunReport> {
  const { file, engine = "sqlite", stopAtFirstFailure = false, signal } = options;
  const labels = new Labels();
  const counts = { statements: 0, queries: 0, skipped: 0, halted: false, failed: 0 };
  const failures: Failure[] = [];
  for (const record of records) {
    throwIfAborted(signal, `the run of ${file}`);
    const skipped = !isFor(engine, record);
    if (skipped) counts.skipped++;
    else if (record.kind === "statement") counts.statements++;
    else if (record.kind === "query") counts.queries++;
    else if (record.kind === "halt") {
      counts.halted = true;
      break;
    }
    const outcome = skipped ? checkSkipped(record, labels) : await runRecord(record, target, labels);
    if (outcome === undefined) continue;
    counts.failed++;
    const sql = "sql" in record ? record.sql : "";
    if (failures.length < FAILURES_KEPT) failures.push({ file, line: record.line, sql, ...outcome });
    if (stopAtFirstFailure) break;
  }
  return { ...counts, failures };
}

/** One failure for a person to read. */
export function failureText({ file, line, sql, expected, got }: Failure): string {
  return `${file}:${line}\n${sql}\nexpected: ${expected}\ngot: ${got}`;
}

/** All that failed for a person to read; empty where nothing did. */
export function failuresText({ failed, failures }: RunReport): string {
  const texts = failures.map(failureText);
  if (failed > failures.length) texts.push(`and ${failed - failures.length} more failures`);
  return texts.join("\n\n");
}

function isFor(engine: string, { conditions }: TestRecord): boolean {
  return conditions.every((condition) => {
    const same = condition.engine.toLowerCase() === engine.toLowerCase();
    return condition.kind === "onlyif" ? same : !same;
  });
}

async function runRecord(record: TestRecord, target: SqlTarget, labels: Labels): Promise<Outcome> {
  if (record.kind === "statement") return runStatement(record, target);
  if (record.kind === "query") return runQuery(record, target, labels);
  // A hash-threshold says when to write hashes; whether an expected result is one is seen from the result itself.
  return undefined;
}

async function runStatement(record: StatementRecord, target: SqlTarget): Promise<Outcome> {
  const expected = record.expect === "ok" ? "the statement to succeed" : "SQLite to refuse the statement";
  try {
    await target.execute(record.sql);
    return record.expect === "ok" ? undefined : { expected, got: "success" };
  } catch (error) {
    if (isRefusal(error, target) && record.expect === "error") return undefined;
    return { expected, got: errorText(error) };
  }
}

async function runQuery(record: QueryRecord, target: SqlTarget, labels: Labels): Promise<Outcome> {
  const expected = expectedText(record.expected);
  let result: SqlResult;
  try {
    result = await target.execute(record.sql);
  } catch (error) {
    if (isRefusal(error, target) && mayOverflow(record, error)) return undefined;
    return { expected, got: errorText(error) };
  }
  const { columns, rows } = result;
  if (columns.length !== record.types.length)
    return {
      expected: `${record.types.length} columns (${record.types.join("")})`,
      got: `${columns.length} columns (${columns.join(", ")})`,
    };
  const values = formatResult(rows, record.types, record.sort);
  const md5 = hashValues(values);
  if (!isAsExpected(values, md5, record.expected)) return { expected, got: valuesText(values, md5) };
  return labels.check(record, md5);
}

/** A query that is not run still says what others of its label must give: those files were completed with several engines. */
function checkSkipped(record: TestRecord, labels: Labels): Outcome {
  if (record.kind !== "query") return undefined;
  const { expected } = record;
  if (expected.kind === "hash") return labels.check(record, expected.md5);
  return expected.values.length > 0 ? labels.check(record, hashValues(expected.values)) : undefined;
}

/**
 * SQLite's runner takes an error between two rows for the end of the rows. One query of its own files (slt_lang_aggfunc.test) depends
 * on that: a sum() that overflows, with nothing below its `----`. Any other error fails a query.
 */
function mayOverflow({ expected }: QueryRecord, error: unknown): boolean {
  return expected.kind === "values" && expected.values.length === 0 && /integer overflow/.test(String(error));
}

/** SQLite's runner compares only as many values as both sides have; here the counts must agree, too. */
function isAsExpected(values: readonly string[], md5: string, expected: Expected): boolean {
  if (expected.kind === "hash") return values.length === expected.count && md5 === expected.md5;
  return values.length === expected.values.length && values.every((value, i) => value === expected.values[i]);
}

function isRefusal(error: unknown, target: SqlTarget): boolean {
  return target.refused?.(error) ?? true;
}

function errorText(error: unknown): string {
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
}

function expectedText(expected: Expected): string {
  return expected.kind === "hash" ? hashLine(expected.count, expected.md5) : listText(expected.values);
}

function valuesText(values: readonly string[], md5: string): string {
  return values.length > VALUES_SHOWN
    ? `${hashLine(values.length, md5)}: ${listText(values)}`
    : listText(values);
}

function listText(values: readonly string[]): string {
  if (values.length === 0) return "no values";
  const rest = values.length > VALUES_SHOWN ? [`and ${values.length - VALUES_SHOWN} more`] : [];
  return [`${values.length} values`, ...values.slice(0, VALUES_SHOWN), ...rest].join("\n  ");
}

/** The hash of the first result of each label in a file. */
class Labels {
  readonly #first = new Map<string, { readonly line: number; readonly md5: string }>();

  check({ label, line }: QueryRecord, md5: string): Outcome {
    if (label === undefined) return undefined;
    const first = this.#first.get(label);
    if (first === undefined) this.#first.set(label, { line, md5 });
    if (first === undefined || first.md5 === md5) return undefined;
    return {
      expected: `the result of line ${first.line}, of the same label ${label}: values hashing to ${first.md5}`,
      got: `values hashing to ${md5}`,
    };
  }
}
