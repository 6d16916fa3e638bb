/** Whether two results are the same: columns, rows and the bytes of blobs, in their order. */
import type { SqlRows } from "../sqlite/connection.ts";
import type { SqlValue } from "../sqlite/values.ts";

export function equalRows(a: SqlRows, b: SqlRows): boolean {
  if (a.rows.length !== b.rows.length || a.columns.length !== b.columns.length) return false;
  if (a.columns.some((column, i) => column !== b.columns[i])) return false;
  return a.rows.every((row, i) => row.every((value, j) => equalValues(value, b.rows[i]?.[j])));
}

function equalValues(a: SqlValue | undefined, b: SqlValue | undefined): boolean {
  if (!(a instanceof Uint8Array) || !(b instanceof Uint8Array)) return Object.is(a, b);
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
