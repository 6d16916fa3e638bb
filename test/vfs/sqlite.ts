/** One wasm instance per test file, databases built with it, and connections through the VFS. */
import sqlite3InitModule, { type Sqlite3Static } from "@sqlite.org/sqlite-wasm";
import { Connection, type ConnectionOptions, type SqlRows } from "../../vfs/sqlite/connection.ts";
import { installVfs, type PagefoldVfs, type VfsOptions } from "../../vfs/sqlite/pagefold-vfs.ts";
import type { SqlParameters, SqlValue } from "../../vfs/sqlite/values.ts";
import { fixedView, type ViewSource } from "../../vfs/sqlite/view-source.ts";
import { closeLater } from "./closers.ts";
import { type BridgeFamily, type FakeBridge, fakeBridge } from "./fake-bridge.ts";
import type { FakeView } from "./fake-view.ts";

let loading: Promise<Sqlite3Static> | undefined;

export function loadSqlite(): Promise<Sqlite3Static> {
  loading ??= sqlite3InitModule().then((sqlite3) => {
    // It prints every statement that SQLite refuses, and here that is what many of them are for.
    sqlite3.config.warn = () => undefined;
    return sqlite3;
  });
  return loading;
}

/** The bytes of a database that `sql` makes. */
export async function buildDatabase(sql: string): Promise<Uint8Array> {
  const sqlite3 = await loadSqlite();
  const db = new sqlite3.oo1.DB(":memory:", "c");
  try {
    db.exec(sql);
    return sqlite3.capi.sqlite3_js_db_export(db.pointer ?? 0);
  } finally {
    db.close();
  }
}

export interface Opened {
  readonly connection: Connection;
  readonly bridge: FakeBridge;
  readonly vfs: PagefoldVfs;
  /** Idempotent; done when the test ends. */
  close(): Promise<void>;
}

export interface OpenViewOptions extends Partial<Omit<VfsOptions, "bridge">>, ConnectionOptions {
  /** What faults are answered with; default: the view's own. */
  readonly bytes?: Uint8Array;
  readonly bridge?: VfsOptions["bridge"];
}

let names = 0;

/** A name that no VFS of this instance has. */
export const newVfsName = (): string => `test-${++names}`;

/** Opens a view as the database "db". */
export async function openView(
  family: BridgeFamily,
  view: FakeView | ViewSource,
  options: OpenViewOptions = {},
): Promise<Opened> {
  const sqlite3 = await loadSqlite();
  const source = "acquire" in view ? view : fixedView(view);
  const bytes = options.bytes ?? ("acquire" in view ? new Uint8Array(0) : view.bytes);
  const bridge = fakeBridge(family, { database: bytes });
  const vfs = installVfs(sqlite3, {
    name: newVfsName(),
    bridge,
    resolve: (name) => (name === "db" ? source : undefined),
    ...options,
  });
  let connection: Connection | undefined;
  let closed = false;
  const close = async (): Promise<void> => {
    if (closed) return;
    closed = true;
    await connection?.close();
    vfs.dispose();
  };
  closeLater(close);
  connection = await Connection.open(sqlite3, vfs, "db", options);
  return { connection, bridge, vfs, close };
}

/** Columns and rows of the last statement that has columns. */
export async function lastOf(
  connection: Connection,
  sql: string,
  parameters: SqlParameters = [],
): Promise<SqlRows> {
  const results = await connection.run(sql, parameters);
  const { columns, rows } = results.findLast((result) => result.columns.length > 0) ?? {
    columns: [],
    rows: [],
  };
  return { columns, rows };
}

export async function rowsOf(
  connection: Connection,
  sql: string,
  parameters: SqlParameters = [],
): Promise<SqlValue[][]> {
  return (await lastOf(connection, sql, parameters)).rows;
}

/** The same rows as the wasm's own memdb gives from the same bytes. Bigints only where a number cannot hold the value. */
export async function memdbRows(bytes: Uint8Array, sql: string): Promise<SqlValue[][]> {
  const sqlite3 = await loadSqlite();
  const { capi, wasm } = sqlite3;
  const db = new sqlite3.oo1.DB(":memory:", "c");
  try {
    const pBytes = wasm.allocFromTypedArray(bytes);
    const flags = capi.SQLITE_DESERIALIZE_FREEONCLOSE | capi.SQLITE_DESERIALIZE_READONLY;
    const code = capi.sqlite3_deserialize(db.pointer ?? 0, "main", pBytes, bytes.length, bytes.length, flags);
    db.checkRc(code);
    const rows = db.exec({ sql, rowMode: "array", returnValue: "resultRows" }) as SqlValue[][];
    return rows.map((row) =>
      row.map((v) => (typeof v === "bigint" && Number.isSafeInteger(Number(v)) ? Number(v) : v)),
    );
  } finally {
    db.close();
  }
}
