/** `{signal}`: whatever a call does, it ends with `aborted`, others go on, and the database stays usable. */
import { expect, it } from "vitest";
import { type Bridge, openOver, overBridges } from "./bridges.ts";
import { importInto } from "./remotes.ts";
import { COUNT, ENDLESS, sampleDatabase } from "./sample.ts";

const ABORTED = { status: "rejected", reason: { name: "PagefoldError", code: "aborted" } };
/** A signal can fire while a statement computes: on this thread only where statements are suspended now and then. */
const canInterruptComputing = ({ thread, kind }: Bridge): boolean => thread === "worker" || kind === "jspi";
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const abortSoon = (ms = 30): AbortSignal => AbortSignal.timeout(ms);

overBridges("signals", (bridge) => {
  it("end a statement that computes, and those that wait for their turn, in any order", async (context) => {
    if (!canInterruptComputing(bridge))
      context.skip("on this thread nothing happens while a statement computes");
    const database = await openOver(bridge, await bridge.remote());
    const [computing, first, second] = [new AbortController(), new AbortController(), new AbortController()];
    const all = Promise.allSettled([
      database.query(ENDLESS, [], { signal: computing.signal }),
      database.query("SELECT 1", { signal: first.signal }),
      database.query("SELECT 2 AS two"),
      database.query("SELECT 3", { signal: second.signal }),
    ]);
    await pause(40);
    // The one that runs, then others at once: none of them may hide the first.
    computing.abort();
    first.abort();
    second.abort();
    const [one, two, three, four] = await all;
    expect([one, three]).toMatchObject([ABORTED, { status: "fulfilled", value: [{ two: 2 }] }]);
    // Their turn may come in between two of the calls above, and be over at once.
    for (const [result, value] of [
      [two, [{ 1: 1 }]],
      [four, [{ 3: 3 }]],
    ] as const)
      expect(result).toMatchObject(result?.status === "fulfilled" ? { value } : ABORTED);
    await expect(database.query("SELECT 1", { signal: AbortSignal.abort() })).rejects.toMatchObject({
      code: "aborted",
    });
    expect(await database.query("SELECT 1 AS one")).toEqual([{ one: 1 }]);
  });

  it("end a writing statement, within and outside of transactions: nothing of it remains", async (context) => {
    if (!canInterruptComputing(bridge))
      context.skip("on this thread nothing happens while a statement computes");
    const database = await openOver(bridge, await bridge.remote());
    await database.exec("CREATE TABLE t(a); INSERT INTO t VALUES (1)");
    const { ahead } = await database.status();
    const endlessInsert = ENDLESS.replace("SELECT count(*) AS n FROM c", "INSERT INTO t SELECT i FROM c");
    await expect(database.exec(endlessInsert, { signal: abortSoon() })).rejects.toMatchObject({
      code: "aborted",
    });
    expect(await database.query("SELECT a FROM t")).toEqual([{ a: 1 }]);
    expect((await database.status()).ahead).toBe(ahead);
    for (let ms = 30, interrupted = false; !interrupted; ms *= 2) {
      await database.exec("BEGIN; INSERT INTO t VALUES (2)");
      await expect(database.exec(endlessInsert, { signal: abortSoon(ms) })).rejects.toMatchObject({
        code: "aborted",
      });
      // SQLite rolls the whole transaction back when a write is interrupted; the signal may have come before it began.
      await database.exec("ROLLBACK").catch((error: unknown) => {
        expect(error).toMatchObject({ code: "invalid" });
        interrupted = true;
      });
    }
    expect(await database.query("SELECT a FROM t")).toEqual([{ a: 1 }]);
    await expect(
      database.transaction(async (tx) => {
        await tx.exec("INSERT INTO t VALUES (3)");
        await tx.exec(endlessInsert, { signal: abortSoon() });
      }),
    ).rejects.toMatchObject({ code: "aborted" });
    expect(await database.query("SELECT a FROM t")).toEqual([{ a: 1 }]);
    expect(await database.query("PRAGMA integrity_check")).toEqual([{ integrity_check: "ok" }]);
  });

  it("end a statement that waits for pages, be it for its very first", async (context) => {
    if (bridge.kind === "resident-only") context.skip("waits for nothing");
    if (bridge.kind === "sync-xhr")
      context.skip("a synchronous request cannot be aborted, only the next one is not made");
    const remote = await bridge.remote();
    await importInto(remote, await sampleDatabase());
    const database = await openOver(bridge, remote);
    for (const sql of ["SELECT s FROM t WHERE i = 4000", COUNT, "UPDATE t SET s = 'x' WHERE i = 7000"]) {
      const waiting = new AbortController();
      const answer = remote.stall(() => waiting.abort());
      await expect(database.exec(sql, { signal: waiting.signal }), sql).rejects.toMatchObject({
        code: "aborted",
      });
      answer();
    }
    const [one, other] = [new AbortController(), database.query("SELECT 5 AS five")];
    const answer = remote.stall(() => one.abort());
    await expect(database.transaction((tx) => tx.query(COUNT, { signal: one.signal }))).rejects.toMatchObject(
      {
        code: "aborted",
      },
    );
    answer();
    expect(await other).toEqual([{ five: 5 }]);
    expect((await database.queryOne(COUNT))?.n).toBe(8000);
  });

  it("end what waits for a transaction, an iteration between its batches, and replication", async () => {
    const remote = await bridge.remote();
    await importInto(remote, await sampleDatabase(2000));
    const database = await openOver(bridge, remote);
    await database.transaction(async (tx) => {
      const late = database.query("SELECT 1", { signal: abortSoon() });
      await expect(late).rejects.toMatchObject({ code: "aborted" });
      await expect(database.transaction(async () => {}, { signal: abortSoon() })).rejects.toMatchObject({
        code: "aborted",
      });
      expect((await tx.queryOne(COUNT))?.n).toBe(2000);
    });
    const controller = new AbortController();
    const seen: unknown[] = [];
    const loop = async (): Promise<void> => {
      for await (const { i } of database.iterate("SELECT i FROM t", { signal: controller.signal })) {
        seen.push(i);
        if (seen.length === 3) controller.abort();
      }
    };
    await expect(loop()).rejects.toMatchObject({ code: "aborted" });
    expect(seen.length).toBeLessThan(100);
    const answer = remote.stall();
    await expect(database.verify({ signal: abortSoon() })).rejects.toMatchObject({ code: "aborted" });
    const pragma = database.query("PRAGMA pagefold_verify", { signal: abortSoon() });
    await expect(pragma).rejects.toMatchObject({ code: "aborted" });
    await expect(database.pull({ signal: AbortSignal.abort() })).rejects.toMatchObject({ code: "aborted" });
    answer();
    expect((await database.queryOne(COUNT))?.n).toBe(2000);
  });

  it("that fire when a transaction is about to commit roll it back", async () => {
    const database = await openOver(bridge, await bridge.remote(), { busyTimeoutMs: 500 });
    await database.exec("CREATE TABLE t(a)");
    const controller = new AbortController();
    await expect(
      database.transaction(
        async (tx) => {
          await tx.exec("INSERT INTO t VALUES (1)");
          controller.abort();
        },
        { signal: controller.signal },
      ),
    ).rejects.toMatchObject({ code: "aborted" });
    // The connection is free again.
    expect(await database.query("SELECT a FROM t")).toEqual([]);
    await database.transaction((tx) => tx.exec("INSERT INTO t VALUES (2)"));
    expect(await database.query("SELECT a FROM t")).toEqual([{ a: 2 }]);
  });
});
