/**
 * The databases that sqllogictest files run on. Each `open` gives a new, empty one; every file runs on every target.
 */
import sqlite3InitModule, { type Sqlite3Static } from "@sqlite.org/sqlite-wasm";
import type { SqlTarget } from "./run.ts";

export interface TargetKind {
  readonly name: string;
  open(): Promise<SqlTarget>;
}

let loading: Promise<Sqlite3Static> | undefined;

export function loadSqlite(): Promise<Sqlite3Static> {
  loading ??= sqlite3InitModule().then((sqlite3) => {
    // It prints every statement that SQLite refuses, and here that is what many of them are for.
    sqlite3.config.warn = () => undefined;
    return sqlite3;
  });
  return loading;
}

/** SQLite as it is, without Pagefold: what fails here is a mistake in the file or in the runner. */
async function openMemdb(): Promise<SqlTarget> {
  const sqlite3 = await loadSqlite();
  const db = new sqlite3.oo1.DB(":memory:", "c");
  return {
    execute: async (sql) => {
      const columns: string[] = [];
      const rows = db.exec({ sql, rowMode: "array", columnNames: columns, returnValue: "resultRows" });
      return { columns, rows: rows as SqlRows };
    },
    refused: (error) => error instanceof sqlite3.SQLite3Error,
    close: async () => db.close(),
  };
}

/** The declarations also name types that only parameters may have. */
type SqlRows = Awaited<ReturnType<SqlTarget["execute"]>>["rows"];

export const targets: readonly TargetKind[] = [{ name: "memdb", open: openMemdb }];
