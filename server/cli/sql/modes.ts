/** The rows of one result as text, in the form that `--mode` names. A writer takes rows as they come and answers the text that can be written by then. */
import type { SqlRows, SqlValue } from "../../../vfs/index.ts";
import { toJson } from "../json.ts";
import { cellText, TableWriter } from "../table.ts";

export const modes = ["table", "csv", "json", "line"] as const;
export type Mode = (typeof modes)[number];

export interface RowWriter {
  rows(rows: SqlRows["rows"]): string;
  /** After the last rows. */
  end(): string;
}

const writers: Readonly<Record<Mode, (columns: readonly string[]) => RowWriter>> = {
  table: tableWriter,
  csv: csvWriter,
  json: jsonWriter,
  line: lineWriter,
};

export function rowWriter(mode: Mode, columns: readonly string[]): RowWriter {
  return writers[mode](columns);
}

/** What stands between two results. An array of JSON needs nothing. */
export function separator(mode: Mode): string {
  return mode === "json" ? "" : mode === "csv" ? "\r\n" : "\n";
}

function tableWriter(columns: readonly string[]): RowWriter {
  const table = new TableWriter(columns);
  return {
    rows: (rows) => linesText(table.rows(rows)),
    end: () => linesText(table.end()),
  };
}

function linesText(lines: readonly string[]): string {
  return lines.map((line) => `${line}\n`).join("");
}

/** RFC 4180, with a header. NULL is an empty field, empty text is `""`, a blob is `x'…'` in full. */
function csvWriter(columns: readonly string[]): RowWriter {
  let header = columns.map(csvField).join(",").concat("\r\n");
  const take = (text: string): string => {
    const all = header + text;
    header = "";
    return all;
  };
  return {
    rows: (rows) => take(rows.map((row) => `${row.map(csvField).join(",")}\r\n`).join("")),
    end: () => take(""),
  };
}

function csvField(value: SqlValue): string {
  if (value === null) return "";
  const text = value instanceof Uint8Array ? `x'${Buffer.from(value).toString("hex")}'` : String(value);
  return text === "" || /[",\r\n]|^\s|\s$/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** One array of objects. Of columns that share a name the later ones get a number, since an object has each name once. */
function jsonWriter(columns: readonly string[]): RowWriter {
  const keys = distinct(columns).map((name) => JSON.stringify(name));
  let before = "[";
  const object = (row: readonly SqlValue[]): string =>
    `{${row.map((value, i) => `${keys[i]}:${JSON.stringify(toJson(value))}`).join(",")}}`;
  return {
    rows: (rows) =>
      rows
        .map((row) => {
          const text = `${before}${object(row)}`;
          before = ",\n";
          return text;
        })
        .join(""),
    end: () => (before === "[" ? "[]\n" : "]\n"),
  };
}

function distinct(names: readonly string[]): string[] {
  const seen = new Set<string>();
  return names.map((name) => {
    let own = name;
    for (let n = 1; seen.has(own); n++) own = `${name}:${n}`;
    seen.add(own);
    return own;
  });
}

/** A line per value, an empty line between rows. */
function lineWriter(columns: readonly string[]): RowWriter {
  const names = columns.map(cellText);
  const width = Math.max(0, ...names.map((name) => name.length));
  let isFirst = true;
  const record = (row: readonly SqlValue[]): string => {
    const text = row.map((value, i) => `${names[i]?.padStart(width)} = ${cellText(value)}\n`).join("");
    const gap = isFirst ? "" : "\n";
    isFirst = false;
    return gap + text;
  };
  return { rows: (rows) => rows.map(record).join(""), end: () => "" };
}
