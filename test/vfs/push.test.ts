/** What becomes of local commits: pushed, dropped, moved to a fork, or made again on what another writer pushed first. */
import { expect, it } from "vitest";
import { PagefoldError } from "../../src/base/errors.ts";
import type { Database, Replay } from "../../vfs/index.ts";
import { type Bridge, catchUp, openOver, overBridges } from "./bridges.ts";
import { elsewhere, type TestRemote } from "./remotes.ts";

const ROWS = "SELECT a FROM t ORDER BY a";

/** Two databases on one volume; the second has pushed a commit that the first does not know, which has one of its own. */
async function diverged(bridge: Bridge): Promise<{ remote: TestRemote; ours: Database; theirs: Database }> {
  const remote = await bridge.remote();
  const ours = await openOver(bridge, remote);
  await ours.exec("CREATE TABLE t(a)");
  await ours.push();
  const theirs = await openOver(bridge, remote);
  await theirs.exec("INSERT INTO t VALUES ('theirs')");
  await theirs.push();
  await ours.exec("INSERT INTO t VALUES ('ours')");
  return { remote, ours, theirs };
}

overBridges("invariant 5: two writers", (bridge) => {
  it("pushed, or nothing to push; and the log of it", async () => {
    const remote = await bridge.remote();
    const database = await openOver(bridge, remote);
    expect(await database.push()).toMatchObject({
      outcome: "nothing",
      lsn: 0,
      commits: 0,
      ahead: 0,
      replays: 0,
    });
    await database.exec("CREATE TABLE t(a); INSERT INTO t VALUES (1)");
    const pushed = await database.push({ onDiverged: "reset" });
    expect(pushed).toMatchObject({
      outcome: "pushed",
      lsn: 1,
      commits: 2,
      changedPages: 2,
      ahead: 0,
      replays: 0,
    });
    expect(pushed.storedBytes).toBeGreaterThan(0);
    await database.exec("INSERT INTO t VALUES (2)");
    await database.push();
    const log = await database.log();
    expect(log.map(({ lsn, pages }) => ({ lsn, pages }))).toEqual([
      { lsn: 2, pages: 2 },
      { lsn: 1, pages: 2 },
    ]);
    expect(await database.log({ limit: 1 })).toHaveLength(1);
    expect(await database.log({ limit: 0 })).toEqual([]);
    expect(await database.verify()).toMatchObject({ lsn: 2, commits: 2 });
  });

  it("error: both sides keep what they have, and say so, until somebody chooses", async () => {
    const { ours, theirs } = await diverged(bridge);
    await expect(ours.push()).rejects.toMatchObject({
      code: "diverged",
      message: expect.stringMatching(/reset|fork/),
    });
    expect(await ours.status()).toMatchObject({
      state: "diverged",
      ahead: 1,
      behind: 1,
      lsn: 1,
      remoteLsn: 2,
    });
    expect(await ours.query(ROWS)).toEqual([{ a: "ours" }]);
    await expect(ours.pull()).rejects.toMatchObject({ code: "diverged" });
    await ours.exec("INSERT INTO t VALUES ('ours, too')");
    expect(await ours.reset()).toMatchObject({ dropped: 2 });
    await catchUp(bridge, ours);
    expect(await ours.query(ROWS)).toEqual([{ a: "theirs" }]);
    expect(await theirs.query(ROWS)).toEqual([{ a: "theirs" }]);
    expect(await ours.push()).toMatchObject({ outcome: "nothing", lsn: 2 });
  });

  it("reset: ours are dropped, theirs are here", async () => {
    const { ours } = await diverged(bridge);
    expect(await ours.push({ onDiverged: "reset" })).toMatchObject({
      outcome: "reset",
      lsn: 2,
      commits: 1,
      ahead: 0,
    });
    await catchUp(bridge, ours);
    expect(await ours.query(ROWS)).toEqual([{ a: "theirs" }]);
    await ours.exec("INSERT INTO t VALUES ('again')");
    expect(await ours.push()).toMatchObject({ outcome: "pushed", lsn: 3 });
  });

  it("fork: ours are the local commits of a new volume, theirs are here", async () => {
    const { remote, ours } = await diverged(bridge);
    const { volume } = await ours.status();
    const result = await ours.push({ onDiverged: "fork", tag: "ours" });
    expect(result).toMatchObject({ outcome: "forked", commits: 1, ahead: 0, fork: { tag: "ours" } });
    await catchUp(bridge, ours);
    expect(await ours.status()).toMatchObject({ volume, state: "clean", lsn: 2 });
    expect(await ours.query(ROWS)).toEqual([{ a: "theirs" }]);
    await ours.exec("PRAGMA pagefold_switch = 'ours'");
    expect(await ours.status()).toMatchObject({ volume: result.fork?.volume, ahead: 1, lsn: 1 });
    expect(await ours.query(ROWS)).toEqual([{ a: "ours" }]);
    expect(await ours.push()).toMatchObject({ outcome: "pushed", lsn: 2 });
    expect(await elsewhere(remote, async (there) => there.status().lsn, "ours")).toBe(2);
  });

  it("replay: ours are made again on top of theirs", async () => {
    const { ours, theirs } = await diverged(bridge);
    const replay: Replay = async (tx) => {
      expect(await tx.query(ROWS)).toEqual([{ a: "theirs" }]);
      await tx.exec("INSERT INTO t VALUES ('ours, replayed')");
    };
    expect(await ours.push({ onDiverged: replay })).toMatchObject({
      outcome: "pushed",
      lsn: 3,
      replays: 1,
      ahead: 0,
    });
    await catchUp(bridge, theirs);
    for (const side of [ours, theirs])
      expect(await side.query(ROWS)).toEqual([{ a: "ours, replayed" }, { a: "theirs" }]);
  });

  it("a replay that throws leaves the newest remote state, says what was dropped, and the cause", async () => {
    const { ours } = await diverged(bridge);
    const cause = new Error("not like this");
    const failing = ours.push({
      onDiverged: async (tx) => {
        await tx.exec("INSERT INTO t VALUES ('half')");
        throw cause;
      },
    });
    const error = await failing.catch((e: unknown) => e);
    expect(error).toMatchObject({
      code: "diverged",
      details: { dropped: 1 },
      message: expect.stringMatching(/1 local commit.*not like this/),
    });
    expect((error as PagefoldError).cause).toBe(cause);
    await catchUp(bridge, ours);
    expect(await ours.query(ROWS)).toEqual([{ a: "theirs" }]);
    expect(await ours.status()).toMatchObject({ ahead: 0, lsn: 2, state: "clean" });
  });

  it("two that race for every LSN both come through with replays, and nothing is lost or done twice", async (context) => {
    if (bridge.kind === "resident-only")
      context.skip("what was pulled is not here when a replay begins to read");
    const remote = await bridge.remote();
    const first = await openOver(bridge, remote);
    await first.exec("CREATE TABLE t(a)");
    await first.push();
    const second = await openOver(bridge, remote);
    const run = async (database: Database, who: string): Promise<number> => {
      let replays = 0;
      for (let i = 0; i < 6; i++) {
        const insert: Replay = (tx) => tx.exec("INSERT INTO t VALUES (?)", [`${who} ${i}`]).then(() => {});
        await database.transaction(insert);
        replays += (await database.push({ onDiverged: insert })).replays;
      }
      return replays;
    };
    const replays = await Promise.all([run(first, "first"), run(second, "second")]);
    expect(replays[0]! + replays[1]!).toBeGreaterThan(0);
    await catchUp(bridge, first);
    await catchUp(bridge, second);
    const expected = ["first", "second"].flatMap((who) =>
      Array.from({ length: 6 }, (_, i) => ({ a: `${who} ${i}` })),
    );
    expect(await first.query(ROWS)).toEqual(expected);
    expect(await second.query(ROWS)).toEqual(expected);
    expect(await first.status()).toMatchObject({ lsn: 13, state: "clean" });
    expect(await first.query("PRAGMA integrity_check")).toEqual([{ integrity_check: "ok" }]);
  });

  it("a push whose answer is lost is finished by the next verb, and has happened once: invariant 3", async () => {
    const remote = await bridge.remote();
    const database = await openOver(bridge, remote);
    await database.exec("CREATE TABLE t(a); INSERT INTO t VALUES (1)");
    let lost = 0;
    remote.afterPut = (key) => {
      if (!key.includes("/commits/")) return;
      lost++;
      throw new PagefoldError("unavailable", "the answer was lost", { retryable: false });
    };
    remote.onGet = () => {
      throw new PagefoldError("unavailable", "and nothing can be read", { retryable: false });
    };
    await expect(database.push()).rejects.toMatchObject({ code: "unavailable" });
    expect(lost).toBeGreaterThan(0);
    expect(await database.status()).toMatchObject({ pendingPush: true });
    await database.exec("INSERT INTO t VALUES (2)");
    remote.afterPut = () => {};
    remote.onGet = () => {};
    expect(await database.push()).toMatchObject({ outcome: "pushed", lsn: 2, ahead: 0 });
    expect(await database.status()).toMatchObject({ pendingPush: false, lsn: 2 });
    const other = await openOver(bridge, remote);
    expect(await other.query(ROWS)).toEqual([{ a: 1 }, { a: 2 }]);
  });

  it("fork: a new volume that shares the pages, with local commits or without", async () => {
    const { remote, ours } = await diverged(bridge);
    await ours.reset();
    await catchUp(bridge, ours);
    await ours.exec("INSERT INTO t VALUES ('local')");
    await ours.fork("left");
    expect(await ours.status()).toMatchObject({ ahead: 1 });
    const { volume } = await ours.fork("moved", { localCommits: "move" });
    expect(await ours.status()).toMatchObject({ ahead: 0 });
    expect(await ours.query(ROWS)).toEqual([{ a: "theirs" }]);
    await expect(ours.fork("left")).rejects.toMatchObject({ code: "conflict" });
    const left = await bridge.open(remote, "left", {});
    expect(await left.query(ROWS)).toEqual([{ a: "theirs" }]);
    await left.close();
    await ours.exec(`ATTACH '${volume}' AS moved`);
    await catchUp(bridge, ours);
    expect(await ours.query("SELECT a FROM moved.t ORDER BY a")).toEqual([{ a: "local" }, { a: "theirs" }]);
  });
});
