/** One wasm instance per test file, databases built with it, and connections through the VFS. */
import sqlite3InitModule, { type Sqlite3Static } from "@sqlite.org/sqlite-wasm";
import { Connection, type ConnectionOptions } from "../../vfs/sqlite/connection.ts";
import {
  installPagefoldVfs,
  type PagefoldVfs,
  type PagefoldVfsOptions,
} from "../../vfs/sqlite/pagefold-vfs.ts";
import { fixedView, type ViewSource } from "../../vfs/sqlite/view-source.ts";
import { FakeBridge, type FakeView } from "./fake-view.ts";

let loading: Promise<Sqlite3Static> | undefined;

export function loadSqlite(): Promise<Sqlite3Static> {
  loading ??= sqlite3InitModule();
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
  close(): void;
}

let names = 0;

export async function openView(
  view: FakeView | ViewSource,
  options: Partial<PagefoldVfsOptions> & ConnectionOptions & { readonly bytes?: Uint8Array } = {},
): Promise<Opened> {
  const sqlite3 = await loadSqlite();
  const source = "acquire" in view ? view : fixedView(view);
  const bytes = options.bytes ?? ("acquire" in view ? new Uint8Array(0) : view.bytes);
  const bridge = new FakeBridge({ database: bytes });
  const { interrupted, ...vfsOptions } = options;
  const vfs = installPagefoldVfs(sqlite3, {
    name: `test-${++names}`,
    bridge,
    resolve: (name) => (name === "db" ? source : undefined),
    ...vfsOptions,
  });
  const connection = new Connection(sqlite3, vfs, "db", interrupted === undefined ? {} : { interrupted });
  return {
    connection,
    bridge,
    vfs,
    close: () => {
      connection.close();
      vfs.dispose();
    },
  };
}

/** The same rows as the wasm's own memdb gives, through the same value conversion, from the same bytes. */
export async function memdbRows(bytes: Uint8Array, sql: string): Promise<unknown[][]> {
  const sqlite3 = await loadSqlite();
  const { capi, wasm } = sqlite3;
  const db = new sqlite3.oo1.DB(":memory:", "c");
  try {
    const pBytes = wasm.allocFromTypedArray(bytes);
    const flags = capi.SQLITE_DESERIALIZE_FREEONCLOSE | capi.SQLITE_DESERIALIZE_READONLY;
    const code = capi.sqlite3_deserialize(db.pointer ?? 0, "main", pBytes, bytes.length, bytes.length, flags);
    db.checkRc(code);
    return db.exec({ sql, rowMode: "array", returnValue: "resultRows" });
  } finally {
    db.close();
  }
}

/** A seeded generator in [0, 1). */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}
