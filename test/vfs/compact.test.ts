/** Compaction of a database: what nearly every query reads lies together, and a replica that has everything stays as warm as it was. */
import { expect, it } from "vitest";
import type { PageIdx } from "../../src/base/brand.ts";
import { parseCompactedKey } from "../../src/format/keys.ts";
import { MemoryObjectStore } from "../../src/remote/memory-store.ts";
import { Database } from "../../vfs/index.ts";
import { classifierOf, sqlitePageClass } from "../../vfs/sqlite/page-class.ts";
import { openStore, sourceOf, WatchedStore } from "../store/support.ts";
import { buildDatabase } from "./sqlite.ts";

const ROWS = `CREATE TABLE t(i INTEGER PRIMARY KEY, s TEXT);
  WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 4000) INSERT INTO t SELECT i, hex(randomblob(100)) FROM c;
  CREATE INDEX ts ON t(s)`;
const PAGE = 1024;

it("inner pages of trees and the first page share one small segment, which is all that finding a row's leaf touches", async () => {
  const objects = new MemoryObjectStore();
  const store = await openStore(objects);
  const volume = await store.createVolume({ tag: "db", pageSize: PAGE });
  await volume.import(sourceOf(await buildDatabase(`PRAGMA page_size = ${PAGE}; ${ROWS}`)));
  const database = await Database.open(store, "db", { bridge: "resident-only" });
  await database.hydrate();
  const resident = await database.query("SELECT count(*) AS n, sum(i) AS sum FROM t");
  const result = await database.compact({ all: true });
  expect(result).toMatchObject({ steps: 1, segmentsAfter: 2, deadBytesAfter: 0 });
  // Nothing is fetched: with this bridge a page that is not here is an error.
  expect(await database.query("SELECT count(*) AS n, sum(i) AS sum FROM t")).toEqual(resident);
  await database.close();

  const watched = new WatchedStore(objects);
  const settings = { readAhead: undefined };
  const cold = await (await openStore(watched.store, { runtime: watched.runtime, settings })).volume("db");
  const inner: number[] = [];
  for (let page = 1; page <= cold.status().pageCount; page++) {
    const bytes = await volume.read((page - 1) * PAGE, PAGE);
    if (sqlitePageClass(page as PageIdx, bytes) === 0) inner.push(page);
  }
  expect(inner.length).toBeGreaterThan(10);
  expect(inner.length).toBeLessThan(cold.status().pageCount / 5);
  const { requests } = await watched.cost(async () => {
    for (const page of inner) await cold.read((page - 1) * PAGE, PAGE);
  });
  const touched = new Set(
    requests.map(({ key }) => parseCompactedKey(key)?.id).filter((id) => id !== undefined),
  );
  expect(touched.size).toBe(1);
  // Frames of nothing but such pages, each fetched once; the index and the checkpoint beside them.
  expect(requests.length).toBeLessThanOrEqual(Math.ceil((inner.length * PAGE) / 65_536) + 4);
  await store.close();
});

it("knows databases by their first page, and that their pages are the volume's", async () => {
  const store = await openStore(new MemoryObjectStore());
  const file = await store.createVolume({ pageSize: PAGE });
  expect(await classifierOf(file)).toBeUndefined();
  await file.write(0, new TextEncoder().encode("SQLite format 3, it says, and is none".repeat(9)));
  expect(await classifierOf(file)).toBeUndefined();
  const other = await store.createVolume({ pageSize: 4 * PAGE });
  await other.import(sourceOf(await buildDatabase(`PRAGMA page_size = ${PAGE}; ${ROWS}`)));
  expect(await classifierOf(other)).toBeUndefined();
  const own = await store.createVolume({ pageSize: PAGE });
  await own.import(sourceOf(await buildDatabase(`PRAGMA page_size = ${PAGE}; ${ROWS}`)));
  expect(await classifierOf(own)).toBe(sqlitePageClass);
  await store.close();
});
