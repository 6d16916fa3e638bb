/**
 * The databases that sqllogictest files run on. Each `open` gives a new, empty one; every file runs on every target.
 */
import sqlite3InitModule, { type Sqlite3Static } from "@sqlite.org/sqlite-wasm";
import { isPagefoldError } from "../../src/base/errors.ts";
import { MemoryObjectStore } from "../../src/remote/memory-store.ts";
import { PageStore } from "../../src/store/page-store.ts";
import type { Volume } from "../../src/store/volume.ts";
import { Database } from "../../vfs/index.ts";
import { Connection } from "../../vfs/sqlite/connection.ts";
import { installVfs } from "../../vfs/sqlite/pagefold-vfs.ts";
import { VolumeSource } from "../../vfs/sqlite/volume-source.ts";
import { Line, LineBridge, ObjectMap } from "../sql-model/object-map.ts";
import { bundleWorker } from "../vfs/bundle.ts";
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

/** Result codes (their low bytes) with which SQLite refuses SQL: ERROR, LOCKED, READONLY, TOOBIG, CONSTRAINT, MISMATCH, RANGE. */
const REFUSALS = new Set([1, 6, 8, 18, 19, 20, 25]);

/** What the store or the disk does is no answer to the SQL. */
function isRefusal(error: unknown): boolean {
  if (!isPagefoldError(error)) return false;
  const { sqliteCode } = error.details;
  return typeof sqliteCode === "number" && REFUSALS.has(sqliteCode & 0xff);
}

/** Every so many statements all is pushed and forgotten, so that what follows is fetched. */
const STATEMENTS_PER_PUSH = 25;
let volumes = 0;

/** A connection on this thread, whose faults are answered from memory. */
async function openVolume(): Promise<SqlTarget> {
  const objects = new ObjectMap();
  const store = await PageStore.open({ remote: objects });
  const volume = await store.createVolume();
  const source = new VolumeSource(volume);
  const vfs = installVfs(await loadSqlite(), {
    name: `sqllogictest-${++volumes}`,
    bridge: new LineBridge(new Line(objects)),
    resolve: (name) => (name === "db" ? source : undefined),
  });
  const connection = await Connection.open(await loadSqlite(), vfs, "db");
  let statements = 0;
  return {
    execute: async (sql) => {
      if (++statements % STATEMENTS_PER_PUSH === 0) await pushAndForget(volume);
      const results = await connection.run(sql);
      return results.find(({ columns }) => columns.length > 0) ?? { columns: [], rows: [] };
    },
    refused: isRefusal,
    close: async () => {
      await connection.close();
      vfs.dispose();
      source.close();
      await store.close();
    },
  };
}

async function pushAndForget(volume: Volume): Promise<void> {
  await volume.push();
  const snapshot = volume.snapshot();
  snapshot.context.cache.evictAll();
  snapshot.close();
}

const workerUrl = await bundleWorker("vfs/worker/node-worker.ts");

/** As users open one: SQL runs in a worker. */
async function openDatabase(): Promise<SqlTarget> {
  const database = await Database.open(new MemoryObjectStore(), "db", { create: true, workerUrl });
  return {
    execute: async (sql) => {
      const { results } = await database.script(sql);
      return results.find(({ columns }) => columns.length > 0) ?? { columns: [], rows: [] };
    },
    refused: isRefusal,
    close: () => database.close(),
  };
}

export const targets: readonly TargetKind[] = [
  { name: "memdb", open: openMemdb },
  { name: "volume", open: openVolume },
  { name: "database", open: openDatabase },
];
