import { expect, it } from "vitest";
import { MemoryObjectStore } from "../../src/remote/memory-store.ts";
import { PageStore } from "../../src/store/page-store.ts";
import { Database } from "../../vfs/index.ts";
import { bundleWorker } from "./bundle.ts";

for (const worker of [true, false]) {
  it(`database, worker ${worker}`, async () => {
    const workerUrl = await bundleWorker("vfs/worker/node-worker.ts");
    const store = new MemoryObjectStore();
    const db = await Database.open(store, "x", { create: true, worker, workerUrl });
    const result = await db.exec("CREATE TABLE t(a,b); INSERT INTO t VALUES (1,'x'),(2,'y')");
    console.log(result, await db.status());
    expect(await db.query("SELECT * FROM t WHERE a = ?", [2])).toEqual([{ a: 2, b: "y" }]);
    expect(await db.sql`SELECT b FROM t WHERE a = ${1}`).toEqual([{ b: "x" }]);
    console.log(await db.push(), await db.query("PRAGMA pagefold_status"), await db.query("PRAGMA pagefold_log='json'"));
    await db.transaction(async (tx) => {
      await tx.exec("INSERT INTO t VALUES (3,'z')");
      expect((await tx.queryOne("SELECT count(*) AS n FROM t"))!.n).toBe(3);
    });
    await expect(
      db.transaction(async (tx) => {
        await tx.exec("INSERT INTO t VALUES (3,'z')");
        throw new Error("no");
      }),
    ).rejects.toThrow("no");
    const past = await db.at(1);
    expect((await past.queryOne("SELECT count(*) AS n FROM t"))!.n).toBe(2);
    await past.close();
    const rows: unknown[] = [];
    for await (const row of db.iterate("SELECT a FROM t")) {
      rows.push(row.a);
      if (rows.length === 2) break;
    }
    expect(rows).toEqual([1, 2]);
    const seen: unknown[] = [];
    for await (const r of db.live("SELECT count(*) AS n FROM t")) {
      seen.push(r[0]!.n);
      if (seen.length === 1) void db.exec("INSERT INTO t VALUES (4,'q')");
      else break;
    }
    expect(seen).toEqual([3, 4]);
    await db.push();
    const other = await Database.open(store, "x", { worker, workerUrl, ...(worker ? {} : { worker: true }) });
    expect((await other.queryOne("SELECT count(*) AS n FROM t"))!.n).toBe(4);
    await other.exec("INSERT INTO t VALUES (5,'theirs')");
    await other.push();
    await db.exec("INSERT INTO t VALUES (5,'ours')");
    await expect(db.push()).rejects.toMatchObject({ code: "diverged" });
    console.log(
      await db.push({
        onDiverged: async (tx) => {
          await tx.exec("INSERT INTO t VALUES (6,'ours')");
        },
      }),
    );
    expect((await db.queryOne("SELECT count(*) AS n FROM t"))!.n).toBe(6);
    const endless = "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c) SELECT count(*) FROM c";
    if (worker) await expect(db.query(endless, { signal: AbortSignal.timeout(100) })).rejects.toMatchObject({ code: "aborted" });
    expect((await db.queryOne("SELECT count(*) AS n FROM t"))!.n).toBe(6);
    await other.close();
    await db.close();
  });
}
