/** Closing a Database in the middle of whatever it does, and the events that it tells until then. */
import { expect, it } from "vitest";
import type { Database } from "../../vfs/index.ts";
import { type Bridge, catchUp, openOver, overBridges } from "./bridges.ts";
import { elsewhere, importInto, temporaryDirectory } from "./remotes.ts";
import { COUNT, ENDLESS, sampleDatabase } from "./sample.ts";

const ENDED = expect.objectContaining({ code: expect.stringMatching(/^(aborted|closed)$/) });
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const canInterruptComputing = ({ thread, kind }: Bridge): boolean => thread === "worker" || kind === "jspi";

async function isClosed(database: Database): Promise<void> {
  const calls: (() => Promise<unknown>)[] = [
    () => database.query("SELECT 1"),
    () => database.status(),
    () => database.pull(),
    () => database.push(),
    () => database.at(0),
    () => database.transaction(async () => {}),
    () => database.iterate("SELECT 1").next(),
    () => database.live("SELECT 1").next(),
  ];
  for (const call of calls) await expect(call(), String(call)).rejects.toMatchObject({ code: "closed" });
  await database.close();
}

overBridges("close", (bridge) => {
  it("is idempotent, interrupts what runs, and later calls are closed", async (context) => {
    if (!canInterruptComputing(bridge))
      context.skip("on this thread nothing happens while a statement computes");
    const remote = await bridge.remote();
    const database = await openOver(bridge, remote);
    const all = [
      database.query(ENDLESS),
      database.query("SELECT 1"),
      database.query(ENDLESS),
      database.exec("CREATE TABLE t(a)"),
    ];
    const settled = Promise.allSettled(all);
    await pause(30);
    await Promise.all([database.close(), database.close()]);
    for (const result of await settled) expect(result).toEqual({ status: "rejected", reason: ENDED });
    await isClosed(database);
  });

  it("in the middle of a transaction, an iteration, live queries and views: they end, nothing is committed", async () => {
    const remote = await bridge.remote();
    const local = { path: temporaryDirectory() };
    const database = await openOver(bridge, remote, { local });
    await database.exec(
      "CREATE TABLE t(a); WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 5000) INSERT INTO t SELECT i FROM c",
    );
    await database.push();
    const view = await database.at(1);
    const rows = database.iterate("SELECT a FROM t");
    expect(await rows.next()).toEqual({ done: false, value: { a: 1 } });
    const viewRows = view.iterate("SELECT a FROM t");
    await viewRows.next();
    const live = database.live("SELECT count(*) AS n FROM t");
    expect(await live.next()).toEqual({ done: false, value: [{ n: 5000 }] });
    const waiting = expect(live.next()).rejects.toEqual(ENDED);
    const within = database.transaction(async (tx) => {
      await tx.exec("DELETE FROM t");
      await database.close();
      await expect(tx.query("SELECT 1")).rejects.toMatchObject({ code: "closed" });
    });
    await expect(within).rejects.toMatchObject({ code: "closed" });
    await waiting;
    await expect(view.query("SELECT 1")).rejects.toMatchObject({ code: "closed" });
    const drain = async (): Promise<void> => {
      for await (const _ of rows);
    };
    await expect(drain()).rejects.toMatchObject({ code: "closed" });
    await isClosed(database);
    const again = await openOver(bridge, remote, { local });
    expect(await again.query("SELECT count(*) AS n FROM t")).toEqual([{ n: 5000 }]);
    expect(await again.status()).toMatchObject({ ahead: 0, lsn: 1 });
  });

  it("while it waits for pages, and while it replicates", async (context) => {
    if (bridge.kind === "resident-only") context.skip("waits for nothing");
    const remote = await bridge.remote();
    await importInto(remote, await sampleDatabase());
    const local = { path: temporaryDirectory() };
    const database = await openOver(bridge, remote, { local });
    await database.exec("CREATE TABLE made(a)");
    const pages = bridge.kind === "sync-xhr" ? Promise.resolve() : database.query(COUNT);
    let asked = 0;
    const answer = remote.stall(() => asked++);
    const settled = Promise.allSettled([
      pages,
      database.push(),
      database.query("SELECT 1"),
      database.hydrate(),
      database.query("PRAGMA pagefold_verify"),
    ]);
    await expect.poll(() => asked).toBeGreaterThan(0);
    await database.close();
    const results = await settled;
    expect(results[1]).toEqual({ status: "rejected", reason: ENDED });
    expect(results[3]).toEqual({ status: "rejected", reason: ENDED });
    await isClosed(database);
    answer();
    // A push that was cut off is finished by the next one, and happens once: invariant 11.
    const again = await openOver(bridge, remote, { local });
    expect(await again.query("SELECT count(*) AS n FROM made")).toEqual([{ n: 0 }]);
    await again.push();
    expect(await again.status()).toMatchObject({ ahead: 0, lsn: 2, pendingPush: false });
    expect(await elsewhere(remote, async (volume) => volume.status().lsn)).toBe(2);
  });
});

overBridges("events", (bridge) => {
  it("tell of commits, states, faults and progress to whoever listens, until told not to", async () => {
    const remote = await bridge.remote();
    await importInto(remote, await sampleDatabase());
    const database = await openOver(bridge, remote);
    const told: string[] = [];
    const stops = [
      database.on("commit", ({ where, lsn, changedPages }) => {
        told.push(`${where} commit on ${lsn}: ${changedPages > 0}`);
        throw new Error("a listener that throws disturbs nobody");
      }),
      database.on("commit", ({ where }) => told.push(`the second listener: ${where}`)),
      database.on("status", ({ state, ahead, behind }) => told.push(`${state} +${ahead} -${behind}`)),
      database.on("progress", ({ what, done, total }) => {
        if (done === total) told.push(`${what} done`);
      }),
    ];
    const faults: unknown[] = [];
    const stopFaults = database.on("fault", (fault) => faults.push(fault));
    await database.query("SELECT count(*) FROM t WHERE s > ''");
    if (bridge.kind !== "resident-only")
      await expect.poll(() => faults[0]).toMatchObject({ firstPage: expect.any(Number), failed: false });
    await database.exec("CREATE TABLE made(a)");
    await expect
      .poll(() => told)
      .toEqual(["local commit on 1: true", "the second listener: local", "ahead +1 -0"]);
    told.length = 0;
    await database.push();
    await expect.poll(() => told.join("; ")).toMatch(/remote commit on 2: true; the second listener: remote/);
    await expect.poll(() => told).toContain("clean +0 -0");
    await database.hydrate();
    await expect.poll(() => told).toContain("hydrate done");
    for (const stop of stops) stop();
    stopFaults();
    told.length = 0;
    await database.exec("INSERT INTO made VALUES (1)");
    await pause(20);
    expect(told).toEqual([]);
    await catchUp(bridge, database);
  });
});
