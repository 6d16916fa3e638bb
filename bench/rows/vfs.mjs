/**
 * Point selects with an SQLite page cache of 10 pages, so that nearly every page is asked of the VFS: ours over a hydrated volume, from either
 * tier of its cache, against `memdb`, the VFS of the same wasm that keeps the database in the wasm heap. Each select is a transaction of its own,
 * and, for comparison, all of them are one.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import sqlite3InitModule from "@sqlite.org/sqlite-wasm";
import { databaseOfSize } from "../data/generate.mjs";
import { inPairs } from "../lib/measure.mjs";
import { load, pairs, remove, scratch, seededBelow } from "../lib/setup.mjs";

const selects = 100_000;
const cachePages = 10;

export async function vfsRows() {
  const { openStore, importFile } = await load("node");
  const { installPagefoldVfs, ResidentOnlyBridge } = await load("vfs");
  const file = await databaseOfSize(100);
  const space = scratch();
  const directory = join(space, "store");
  const first = await openStore(directory, { create: true });
  await importFile(first, file, { tag: "bench" });
  await first.close();

  const sqlite3 = await sqlite3InitModule();
  const reference = open(sqlite3, "/reference.sqlite?vfs=memdb", readFileSync(file));
  const rows = [];
  for (const { tier, limit, local, settings } of [
    { tier: "memory", limit: 1.5, settings: { memoryBytes: 256 * 2 ** 20, diskBytes: 0 } },
    // Memory for a hundredth of the pages.
    { tier: "disk", limit: 3, local: join(space, "local"), settings: { memoryBytes: 2 ** 20 } },
  ]) {
    const store = await openStore(directory, { ...(local === undefined ? {} : { local }), settings });
    const volume = await store.volume("bench");
    await volume.hydrate();
    const vfs = installPagefoldVfs(sqlite3, store, {
      name: `pagefold-${tier}`,
      bridge: new ResidentOnlyBridge(),
    });
    const ours = open(sqlite3, `/bench?vfs=${vfs.name}`);
    for (const together of [false, true]) {
      const measured = await inPairs({
        pairs,
        warmUp: 1,
        ours: () => ours.run(together),
        reference: () => reference.run(together),
      });
      if (ours.sum() !== reference.sum()) throw new Error("other rows than in the database");
      const micros = (ms) => (ms * 1000) / selects;
      rows.push({
        row: `point select, ${tier} tier, ${together ? "one transaction" : "autocommit"}`,
        against: `memdb, ${cachePages} pages of cache, ${selects} selects`,
        unit: "µs",
        limit,
        ...measured,
        ours: micros(measured.ours),
        reference: micros(measured.reference),
      });
    }
    ours.close();
    vfs.dispose();
    await store.close();
  }
  reference.close();
  remove(space);
  return rows;
}

/** A connection and one prepared select, stepped through the bare functions of the wasm so that the VFS is what is measured. */
function open(sqlite3, name, bytes) {
  const { capi, wasm } = sqlite3;
  const { sqlite3_bind_int, sqlite3_step, sqlite3_column_int, sqlite3_reset } = wasm.exports;
  const db = new sqlite3.oo1.DB(`file:${name}`, bytes === undefined ? "r" : "c");
  if (bytes !== undefined) {
    const pointer = wasm.alloc(bytes.length);
    wasm.heap8u().set(bytes, pointer);
    const flags = capi.SQLITE_DESERIALIZE_FREEONCLOSE;
    const code = capi.sqlite3_deserialize(db.pointer, "main", pointer, bytes.length, bytes.length, flags);
    if (code !== capi.SQLITE_OK) throw new Error(`sqlite3_deserialize answered ${code}`);
  }
  db.exec(`PRAGMA cache_size=${cachePages}`);
  const most = db.selectValue("SELECT max(id) FROM posts");
  const statement = db.prepare("SELECT created, length(title) FROM posts WHERE id = ?");
  let sum = 0;
  return {
    run(together) {
      sum = 0;
      const below = seededBelow(9);
      if (together) db.exec("BEGIN");
      for (let i = 0; i < selects; i++) {
        sqlite3_bind_int(statement.pointer, 1, 1 + below(most));
        if (sqlite3_step(statement.pointer) !== capi.SQLITE_ROW) throw new Error("no row");
        sum += sqlite3_column_int(statement.pointer, 0) + sqlite3_column_int(statement.pointer, 1);
        sqlite3_reset(statement.pointer);
      }
      if (together) db.exec("COMMIT");
    },
    sum: () => sum,
    close() {
      statement.finalize();
      db.close();
    },
  };
}
