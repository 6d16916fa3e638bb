/** `Database.follow`: the database moves with the remote log, live queries with it, and everything ends when it is told to. */
import { expect, it } from "vitest";
import { type Bridge, catchUp, openOver, overBridges } from "./bridges.ts";

const MAKE = "CREATE TABLE t(a); INSERT INTO t VALUES (1)";
const COUNT = "SELECT count(*) AS n FROM t";

overBridges("following", (bridge: Bridge) => {
  it("what another writer pushes arrives by itself, also in live queries", async () => {
    const remote = await bridge.remote();
    const writer = await openOver(bridge, remote);
    await writer.exec(MAKE);
    await writer.push();
    const reader = await openOver(bridge, remote);
    const moves = reader.follow({ pollMs: 10 });
    const live = reader.live(COUNT);
    expect((await live.next()).value).toEqual([{ n: 1 }]);
    const moved = moves.next();
    await writer.exec("INSERT INTO t VALUES (2)");
    const { lsn } = await writer.push();
    expect((await moved).value).toMatchObject({ lsn });
    await catchUp(bridge, reader);
    expect((await live.next()).value).toEqual([{ n: 2 }]);
    await moves.return();
    await live.return();
  });

  it("a signal ends it, also while it waits; closing does, too", async () => {
    const remote = await bridge.remote();
    const database = await openOver(bridge, remote);
    await database.exec(MAKE);
    await database.push();
    const controller = new AbortController();
    const one = database.follow({ signal: controller.signal, pollMs: 60_000 }).next();
    const two = database.follow({ pollMs: 60_000 }).next();
    controller.abort();
    expect(await one).toEqual({ done: true, value: undefined });
    await database.close();
    expect(await two).toEqual({ done: true, value: undefined });
  });

  it("at a past state there is nothing to follow", async () => {
    const remote = await bridge.remote();
    const database = await openOver(bridge, remote);
    await database.exec(MAKE);
    const { lsn } = await database.push();
    const past = await openOver(bridge, remote, { lsn });
    await expect(past.follow().next()).rejects.toMatchObject({ code: "invalid" });
  });
});
