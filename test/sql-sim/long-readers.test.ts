/**
 * Readers that stay open while hundreds of commits, pulls, resets and compactions of the local log go by, under a cache that is far too small: they
 * see the same bytes for ever, and what they hold does not grow with what goes by.
 */
import * as path from "node:path";
import * as v8 from "node:v8";
import { runInNewContext } from "node:vm";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { MemoryRecorder } from "../../src/base/recorder.ts";
import { FsObjectStore, openStore } from "../../src/node/index.ts";
import { MemoryObjectStore } from "../../src/remote/memory-store.ts";
import type { StoreSettings } from "../../src/store/settings.ts";
import { Database, type DatabaseOptions } from "../../vfs/index.ts";
import { removeTemporary, temporary } from "../node/block-child.ts";
import { bundleWorker } from "../vfs/bundle.ts";
import { pageHashes } from "./bank.ts";

const ROWS = 1500;
const SCARCE: Partial<StoreSettings> = {
  memoryBytes: 24 * 4096,
  diskBytes: 48 * 4096,
  compactAboveBytes: 64 * 1024,
  transactionBytes: 16 * 4096,
};
const SCHEMA = `
  CREATE TABLE big(i INTEGER PRIMARY KEY, x TEXT NOT NULL, n INTEGER NOT NULL); CREATE INDEX big_n ON big(n);
  CREATE TABLE other(i INTEGER PRIMARY KEY, x TEXT);
  INSERT INTO big SELECT value, printf('row %d ', value) || hex(zeroblob(60)), value % 11
    FROM (WITH RECURSIVE s(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM s WHERE value < ${ROWS}) SELECT value FROM s);`;
const ALL = "SELECT i, x, n FROM big NOT INDEXED";

const closers: (() => Promise<void>)[] = [];
let workerUrl: URL;

beforeAll(async () => {
  workerUrl = await bundleWorker("vfs/worker/node-worker.ts");
});
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});
afterAll(removeTemporary);

async function open(store: MemoryObjectStore, more: DatabaseOptions = {}): Promise<Database> {
  const options = { create: true, local: { path: temporary() }, workerUrl, settings: SCARCE, ...more };
  const database = await Database.open(store, "db", options);
  closers.push(() => database.close());
  return database;
}

/** Changes most pages, and the schema now and then. */
async function churn(writer: Database, i: number): Promise<void> {
  await writer.exec("UPDATE big SET x = x || '.', n = n + 1 WHERE i % 13 = ?", [i % 13]);
  if (i % 25 === 0)
    await writer.exec(`CREATE TABLE extra${i}(x); INSERT INTO extra${i} SELECT x FROM big LIMIT 200`);
  if (i % 50 === 49) await writer.exec("VACUUM");
}

describe("invariant 1: the same bytes for ever", { timeout: 240_000 }, () => {
  it("an iteration over local commits that a reset drops, while pulls go by", async () => {
    const store = new MemoryObjectStore();
    const writer = await open(store);
    await writer.exec(SCHEMA);
    await writer.push();
    const reader = await open(store);
    await reader.exec("UPDATE big SET x = 'local ' || x WHERE i % 2 = 0");
    await reader.exec("DELETE FROM big WHERE i % 5 = 0");
    const expected = await reader.query(ALL);
    const iteration = reader.iterate(ALL);
    const seen = [(await iteration.next()).value];
    expect(await reader.reset()).toMatchObject({ dropped: 2 });
    for (let i = 0; i < 100; i++) {
      await churn(writer, i);
      await writer.push();
      expect(await reader.pull()).toMatchObject({ lsn: i + 2 });
      if (i % 8 === 0) seen.push((await iteration.next()).value);
    }
    for await (const row of iteration) seen.push(row);
    expect(seen).toEqual(expected);
    expect((await reader.queryOne("SELECT sum(n) AS n FROM big"))?.n).toBe(
      (await writer.queryOne("SELECT sum(n) AS n FROM big"))?.n,
    );
    expect((await reader.execute("PRAGMA integrity_check")).rows).toEqual([["ok"]]);
  });

  it("an iteration over one table, while the same connection commits to others and pushes", async () => {
    const store = new MemoryObjectStore();
    const database = await open(store);
    await database.exec(SCHEMA);
    const expected = await database.query(ALL);
    const iteration = database.iterate(ALL);
    const seen: unknown[] = [];
    for (let i = 1; i <= 250; i++) {
      await database.exec("INSERT INTO other VALUES (?, hex(randomblob(500)))", [i]);
      if (i % 10 === 0) await database.exec("DELETE FROM other WHERE i % 3 = ?", [i % 3]);
      if (i % 20 === 0) await database.push();
      if (i % 4 === 0) seen.push((await iteration.next()).value);
    }
    for await (const row of iteration) seen.push(row);
    expect(seen).toEqual(expected);
  });

  it("views of the past, while commits, pulls and resets go by", async () => {
    const store = new MemoryObjectStore();
    const recorder = new MemoryRecorder();
    const writer = await open(store);
    await writer.exec(SCHEMA);
    await writer.push();
    const reader = await open(store, { recorder });
    const held: { view: Awaited<ReturnType<Database["at"]>>; hashes: string[]; rows: unknown }[] = [];
    for (let i = 0; i < 100; i++) {
      await churn(writer, i);
      await writer.push();
      if (i % 30 === 0) {
        const view = await reader.at(i + 1);
        held.push({ view, hashes: await pageHashes(view), rows: await view.query(ALL) });
      }
      if (i % 3 === 0) await reader.exec("UPDATE big SET x = 'mine' WHERE i % 3 = 0");
      if (i % 3 === 1) await reader.reset();
      await (i % 3 === 0 ? reader.fetch() : reader.pull());
    }
    for (const { view, hashes, rows } of held) {
      expect(await pageHashes(view)).toEqual(hashes);
      expect(await view.query(ALL)).toEqual(rows);
      await view.close();
    }
    expect(new Set(held.map(({ hashes }) => hashes.join())).size).toBe(held.length);
    expect(recorder.get("remote.get.count"), "pages were evicted, and fetched again").toBeGreaterThan(100);
  });
});

describe("invariant 10: memory is bounded by settings", { timeout: 240_000 }, () => {
  it("whatever number of commits goes by a held view and an iteration", async () => {
    const gc = collector();
    const remote = await FsObjectStore.open(path.join(temporary(), "store"), { create: true });
    const settings = { ...SCARCE, memoryBytes: 2 ** 20, diskBytes: 64 * 2 ** 20 };
    const store = await openStore(remote, { local: temporary(), workers: 0, settings });
    const database = await Database.open(store, "db", { create: true });
    closers.push(
      () => store.close(),
      () => database.close(),
    );
    await database.exec(`${SCHEMA} INSERT INTO other SELECT i, x FROM big`);
    await database.push();
    await database.hydrate();
    const view = await database.at(1);
    const hashes = await pageHashes(view);
    const iteration = database.iterate("SELECT i FROM other");
    let rows = 0;
    const used: number[] = [];
    for (let i = 1; i <= 300; i++) {
      await database.exec("UPDATE big SET x = ? WHERE i % 151 = ?", [`${i} ${"x".repeat(50)}`, i % 151]);
      if (i % 5 === 0) await database.push();
      if (!(await iteration.next()).done) rows++;
      if (i % 50 === 0) used.push(gc());
    }
    // Each commit changes some ten pages: were they kept, it would be ten megabytes.
    expect(used.at(-1)! - used[0]!, `bytes in use: ${used}`).toBeLessThan(5 * 2 ** 20);
    expect(await pageHashes(view)).toEqual(hashes);
    for await (const _ of iteration) rows++;
    expect(rows).toBe(ROWS);
    await view.close();
  });
});

/** Bytes in use after a full collection. */
function collector(): () => number {
  v8.setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  return () => {
    collect();
    collect();
    const { heapUsed, arrayBuffers } = process.memoryUsage();
    return heapUsed + arrayBuffers;
  };
}
