/**
 * What a query's result looks like in a sqllogictest file: each value as printable ASCII according to its column's type letter, then
 * sorted, then listed or hashed. Byte for byte what SQLite's own runner prints, so that its files' hashes hold.
 */
import { createHash } from "node:crypto";
import { realText, type SqlValue, threeDecimals, toInt32, toReal } from "./numbers.ts";
import type { ColumnType, SortMode } from "./parse.ts";

export type { SqlValue } from "./numbers.ts";

export function formatValue(value: SqlValue, type: ColumnType): string {
  if (value === null) return "NULL";
  switch (type) {
    case "I":
      return `${toInt32(value)}`;
    case "R":
      return threeDecimals(toReal(value));
    case "T":
      return printable(value);
  }
}

/** Values in the order in which a file lists them. `rows` are as wide as `types` is long. */
export function formatResult(
  rows: readonly (readonly SqlValue[])[],
  types: readonly ColumnType[],
  sort: SortMode,
): string[] {
  const formatted = rows.map((row) => types.map((type, i) => formatValue(row[i] ?? null, type)));
  if (sort === "rowsort") formatted.sort(compareRows);
  const values = formatted.flat();
  return sort === "valuesort" ? values.sort(compareBytes) : values;
}

/** The hash of a list of values: MD5 over each of them and a newline. */
export function hashValues(values: readonly string[]): string {
  const md5 = createHash("md5");
  for (const value of values) md5.update(`${value}\n`);
  return md5.digest("hex");
}

/** The line that stands for a long list of values. */
export function hashLine(count: number, md5: string): string {
  return `${count} values hashing to ${md5}`;
}

/**
 * A value as text, a byte that is no printable ASCII as `@`. Text ends at a NUL, as it does for C. A REAL without a fraction below 2^53
 * cannot be told from an INTEGER among JavaScript's numbers and is shown as one: such a column is better of type R.
 */
function printable(value: Exclude<SqlValue, null>): string {
  if (typeof value === "bigint") return `${value}`;
  if (typeof value === "number") return Number.isSafeInteger(value) ? `${value}` : realText(value);
  if (typeof value === "string" && /^[ -~]+$/.test(value)) return value;
  const bytes = Buffer.from(value);
  const end = bytes.indexOf(0);
  const shown = end === -1 ? bytes : bytes.subarray(0, end);
  if (shown.length === 0) return "(empty)";
  return shown.toString("latin1").replace(/[^ -~]/g, "@");
}

/** Formatted values are ASCII: the order of UTF-16 units is that of bytes. */
function compareBytes(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

function compareRows(a: readonly string[], b: readonly string[]): number {
  for (const [i, value] of a.entries()) {
    const order = compareBytes(value, b[i] ?? "");
    if (order !== 0) return order;
  }
  return 0;
}
