/** Rows in batches: what a signal between two of them leaves behind, what they carry, how large they get. */
import { expect, it } from "vitest";
import { MemoryObjectStore } from "../../src/remote/memory-store.ts";
import { Database } from "../../vfs/index.ts";
import { bundleWorker } from "./bundle.ts";

const endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i, a FROM n, t";

it("ends the iteration, and leaves no statement open that would hold the old state", async () => {
  const store = new MemoryObjectStore();
  const workerUrl = await bundleWorker("vfs/worker/node-worker.ts");
  const open = () => Database.open(store, "shop", { create: true, workerUrl });
  const [mine, theirs] = [await open(), await open()];
  try {
    await mine.exec("CREATE TABLE t(a); INSERT INTO t VALUES (1)");
    await mine.push();
    const abort = new AbortController();
    const rows = mine.batches(endless, [], { signal: abort.signal });
    expect((await rows.next()).value).toMatchObject({ columns: ["i", "a"] });
    abort.abort();
    await expect(rows.next()).rejects.toMatchObject({ code: "aborted" });
    await theirs.pull();
    await theirs.exec("INSERT INTO t VALUES (2)");
    await theirs.push();
    await mine.pull();
    expect(await mine.query("SELECT count(*) AS n FROM t")).toEqual([{ n: 2 }]);
    await mine.exec("INSERT INTO t VALUES (3)");
    expect(await mine.push()).toMatchObject({ outcome: "pushed", lsn: 3 });
  } finally {
    await mine.close();
    await theirs.close();
  }
});

it("batches tell the columns of a result without rows, in their order and under their own names", async () => {
  const workerUrl = await bundleWorker("vfs/worker/node-worker.ts");
  const database = await Database.open(new MemoryObjectStore(), "shop", { create: true, workerUrl });
  try {
    const batches = [];
    for await (const batch of database.batches('SELECT 1 AS b, 2 AS "1", 3 AS b WHERE ?', [0]))
      batches.push(batch);
    expect(batches).toEqual([{ columns: ["b", "1", "b"], rows: [] }]);
  } finally {
    await database.close();
  }
});

it("batches of large rows stay small", async () => {
  const workerUrl = await bundleWorker("vfs/worker/node-worker.ts");
  const database = await Database.open(new MemoryObjectStore(), "shop", { create: true, workerUrl });
  try {
    const sql = `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100)
      SELECT i, zeroblob(500000) AS blob, printf('%.*c', 500000, 'x') AS text FROM n`;
    let next = 1;
    for await (const { rows } of database.batches(sql)) {
      // 4 MiB, and the row that passed it.
      expect(rows.length).toBeLessThanOrEqual(5);
      for (const [i, blob, text] of rows) {
        expect([i, (blob as Uint8Array).length, (text as string).length]).toEqual([next, 500_000, 500_000]);
        next++;
      }
    }
    expect(next).toBe(101);
  } finally {
    await database.close();
  }
});
