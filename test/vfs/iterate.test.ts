/** Rows that are read as they are asked for: no more than that, and nothing is held when the loop is left. */
import { expect, it } from "vitest";
import type { SqlRow } from "../../vfs/index.ts";
import { catchUp, openOver, overBridges, SharedDatabase } from "./bridges.ts";
import { importInto } from "./remotes.ts";
import { sampleDatabase } from "./sample.ts";

const FILL =
  "CREATE TABLE t(i INTEGER PRIMARY KEY, s TEXT); WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 5000) INSERT INTO t SELECT i, 'row ' || i FROM c";

async function take(rows: AsyncGenerator<SqlRow>, most: number): Promise<unknown[]> {
  const taken: unknown[] = [];
  for await (const { i } of rows) if (taken.push(i) === most) break;
  return taken;
}

overBridges("iterate", (bridge) => {
  const shared = new SharedDatabase(bridge, FILL, { busyTimeoutMs: 300 });

  it("gives every row, in order, whatever their number; columns by name", async () => {
    const { database } = shared;
    const all: unknown[] = [];
    for await (const row of database.iterate("SELECT i, s FROM t ORDER BY i")) all.push(row);
    expect(all).toHaveLength(5000);
    expect(all[4999]).toEqual({ i: 5000, s: "row 5000" });
    expect(await take(database.iterate("SELECT i FROM t WHERE i > :low", { low: 4990 }), 100)).toHaveLength(
      10,
    );
    expect(await take(database.iterate("SELECT i FROM t WHERE 0"), 100)).toEqual([]);
    expect(await take(database.iterate("INSERT INTO t VALUES (9999, 'x') RETURNING i"), 100)).toEqual([9999]);
    await database.exec("DELETE FROM t WHERE i = 9999");
    for (const n of [1, 15, 16, 17, 47, 48, 49])
      expect(await take(database.iterate("SELECT i FROM t WHERE i <= ?", [n]), 100)).toHaveLength(n);
  });

  it("reads no further than it must: SQLite computes what is asked for and no more", async () => {
    const { database } = shared;
    const endless = "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c) SELECT i FROM c";
    expect(await take(database.iterate(endless), 3)).toEqual([1, 2, 3]);
    // A batch of 16, then of 32, and so on: a slow consumer is not overrun.
    const failing =
      "SELECT i, CASE WHEN i > 40 THEN abs(-9223372036854775808) ELSE i END AS x FROM t ORDER BY i";
    expect(await take(database.iterate(failing), 16)).toHaveLength(16);
    const rows = database.iterate(failing);
    const seen: unknown[] = [];
    const loop = async (): Promise<void> => {
      for await (const { i } of rows) seen.push(i);
    };
    await expect(loop()).rejects.toMatchObject({
      code: "invalid",
      message: expect.stringMatching(/overflow/),
    });
    expect(seen).toHaveLength(16);
    expect(await rows.next()).toEqual({ done: true, value: undefined });
  });

  it("is released by leaving the loop, by an error in the loop, and by its own: others can write and alter", async () => {
    const { database } = shared;
    await database.exec("CREATE TABLE scratch(a); INSERT INTO scratch SELECT i FROM t");
    await take(database.iterate("SELECT a AS i FROM scratch"), 2);
    const broken = async (): Promise<void> => {
      for await (const _ of database.iterate("SELECT a FROM scratch")) throw new Error("enough");
    };
    await expect(broken()).rejects.toThrow("enough");
    await expect(database.iterate("SELECT nope FROM scratch").next()).rejects.toMatchObject({
      code: "invalid",
    });
    await expect(database.iterate("SELECT 1; SELECT 2").next()).rejects.toMatchObject({
      code: "invalid",
      message: expect.stringMatching(/exactly one/),
    });
    await expect(database.iterate("SELECT ?", []).next()).rejects.toMatchObject({ code: "invalid" });
    // A statement that is open still would keep the table.
    await database.exec("DROP TABLE scratch; VACUUM");
    const unfinished = database.iterate("SELECT i FROM t");
    await unfinished.next();
    await expect(database.exec("DROP TABLE t")).rejects.toMatchObject({ code: "busy" });
    await unfinished.return();
    expect(await database.query("SELECT count(*) AS n FROM t")).toEqual([{ n: 5000 }]);
  });

  it("lets others work between its batches, writers too", async () => {
    const { database } = shared;
    await database.exec("CREATE TABLE copies(i)");
    let n = 0;
    for await (const { i } of database.iterate("SELECT i FROM t WHERE i <= 100")) {
      await database.exec("INSERT INTO copies VALUES (?)", [i]);
      if (++n === 50) await database.transaction((tx) => tx.exec("UPDATE copies SET i = -i"));
    }
    expect(await database.query("SELECT count(*) AS n, sum(i > 0) AS later FROM copies")).toEqual([
      { n: 100, later: 50 },
    ]);
    const two = await Promise.all([
      take(database.iterate("SELECT i FROM t"), 1000),
      take(database.iterate("SELECT -i AS i FROM t"), 1000),
    ]);
    expect(two.map((each) => each.at(-1))).toEqual([1000, -1000]);
  });

  it("within a transaction, of which it sees the changes, and with which it ends", async () => {
    const { database } = shared;
    let left: AsyncGenerator<SqlRow> | undefined;
    await database.transaction(async (tx) => {
      await tx.exec("INSERT INTO t VALUES (6001, 'within')");
      expect(await take(tx.iterate("SELECT i FROM t WHERE i > 4999"), 10)).toEqual([5000, 6001]);
      left = tx.iterate("SELECT i FROM t");
      await left.next();
      await tx.exec("DELETE FROM t WHERE i = 6001");
    });
    const rest = async (): Promise<void> => {
      for await (const _ of left!);
    };
    await expect(rest()).rejects.toMatchObject({ code: "closed" });
    await expect(
      database.transaction(async (tx) => {
        left = tx.iterate("SELECT i FROM t");
        await left.next();
        throw new Error("back");
      }),
    ).rejects.toThrow("back");
    expect(await database.query("SELECT count(*) AS n FROM t")).toEqual([{ n: 5000 }]);
  });
});

overBridges("iterate, as the volume moves on", (bridge) => {
  it("fetches no more than the rows that were taken", async (context) => {
    if (bridge.kind === "resident-only") context.skip("every page is here from the start");
    const remote = await bridge.remote();
    await importInto(remote, await sampleDatabase());
    const database = await openOver(bridge, remote, { settings: { readAhead: undefined } });
    expect(await take(database.iterate("SELECT i, s FROM t"), 16)).toHaveLength(16);
    const some = await database.status();
    expect(some.residentPages).toBeLessThan(some.pageCount / 4);
    expect(await take(database.iterate("SELECT i, s FROM t"), 8000)).toHaveLength(8000);
    expect((await database.status()).residentPages).toBeGreaterThan(some.pageCount / 3);
  });

  it("keeps its snapshot across a pull, with everything that its connection does meanwhile", async () => {
    const remote = await bridge.remote();
    const database = await openOver(bridge, remote);
    await database.exec(FILL);
    await database.push();
    const other = await openOver(bridge, remote);
    await other.exec("UPDATE t SET s = 'other'; DELETE FROM t WHERE i > 4000");
    await other.push();
    let n = 0;
    for await (const { s } of database.iterate("SELECT s FROM t")) {
      if (++n === 1) await catchUp(bridge, database);
      expect(s).toBe(`row ${n}`);
      if (n !== 2) continue;
      // One connection has one transaction, which the open cursor holds.
      expect(await database.query("SELECT count(*) AS n FROM t")).toEqual([{ n: 5000 }]);
      const started = performance.now();
      await expect(database.exec("DELETE FROM t WHERE i = 1")).rejects.toMatchObject({ code: "conflict" });
      expect(performance.now() - started).toBeLessThan(5000);
    }
    expect(n).toBe(5000);
    expect(await database.query("SELECT count(*) AS n FROM t WHERE s = 'other'")).toEqual([{ n: 4000 }]);
  });
});
