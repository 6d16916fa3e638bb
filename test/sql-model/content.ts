/** What a database holds, as rows, and the comparison of two of them. */
import { expect } from "vitest";
import type { SqlValue } from "../../vfs/sqlite/values.ts";
import type { Image, Outcome } from "./oracle.ts";

/** Runs one statement, on either side. */
export type RunSql = (sql: string) => Outcome | Promise<Outcome>;

/** Each query that says what is in a database, and what it gave. */
export type Content = readonly (readonly [sql: string, outcome: Outcome])[];

const SCHEMA = "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY 1, 2";
const SETTINGS = [
  "user_version",
  "application_id",
  "page_size",
  "page_count",
  "freelist_count",
  "auto_vacuum",
  "encoding",
];

/** Every row of every table that has rows of its own, and what the header says. */
export async function contentOf(run: RunSql): Promise<Content> {
  const schema = await run(SCHEMA);
  const content: [string, Outcome][] = [[SCHEMA, schema]];
  for (const [type, name, , sql] of schema.rows) {
    if (type !== "table" || /^CREATE VIRTUAL/i.test(String(sql))) continue;
    const query = `SELECT * FROM "${name}"`;
    content.push([query, await run(query)]);
  }
  for (const setting of SETTINGS) content.push([`PRAGMA ${setting}`, await run(`PRAGMA ${setting}`)]);
  return content;
}

export function expectContent(found: Content, expected: Content, what: string): void {
  expect(
    found.map(([sql]) => sql),
    `${what}: tables`,
  ).toEqual(expected.map(([sql]) => sql));
  for (const [i, [sql, outcome]] of found.entries()) {
    expectOutcome(outcome, expected[i]![1], `${what}: ${sql}`);
  }
}

/** Fails with what differs first; where nothing does it is cheap, as it runs for every statement. */
export function expectOutcome(found: Outcome, expected: Outcome, what: string): void {
  const difference = differenceOf(found, expected);
  if (difference !== undefined) expect.fail(`${what}: ${difference}`);
}

function differenceOf(found: Outcome, expected: Outcome): string | undefined {
  if (found.code !== expected.code)
    return `code ${found.code} (${found.message}), SQLite alone ${expected.code} (${expected.message})`;
  if (found.columns.join() !== expected.columns.join())
    return `columns ${found.columns.join()}, SQLite alone gives ${expected.columns.join()}`;
  if (found.rows.length !== expected.rows.length)
    return `${found.rows.length} rows, SQLite alone gives ${expected.rows.length}`;
  for (const [i, row] of found.rows.entries()) {
    const other = expected.rows[i]!;
    for (let j = 0; j < Math.max(row.length, other.length); j++) {
      if (!same(row[j], other[j]))
        return `row ${i}, column ${j} is ${shown(row[j])}, SQLite alone gives ${shown(other[j])}`;
    }
  }
  if (found.changes !== expected.changes)
    return `${found.changes} changes, SQLite alone makes ${expected.changes}`;
  if (found.lastInsertRowid !== expected.lastInsertRowid)
    return `last_insert_rowid() is ${found.lastInsertRowid}, for SQLite alone ${expected.lastInsertRowid}`;
  return undefined;
}

function same(a: SqlValue | undefined, b: SqlValue | undefined): boolean {
  if (a instanceof Uint8Array && b instanceof Uint8Array) return Buffer.compare(a, b) === 0;
  return Object.is(a, b);
}

function shown(value: SqlValue | undefined): string {
  const text = value instanceof Uint8Array ? `x'${Buffer.from(value).toString("hex")}'` : String(value);
  return `${typeof value} ${text.length > 80 ? `${text.slice(0, 80)}… (${text.length})` : text}`;
}

export function expectBytes(found: Uint8Array, expected: Image, what: string): void {
  if (Buffer.compare(found, expected) === 0) return;
  const at = found.findIndex((byte, i) => byte !== expected[i]);
  expect.fail(`${what}: ${found.length} bytes, ${expected.length} expected; they differ first at ${at}`);
}
