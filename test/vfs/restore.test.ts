/** Restores under live connections: SQLite reads the old rows at its next transaction, whatever it kept, and writes on from there. */
import { afterEach, describe, expect, it } from "vitest";
import { openStore } from "../../src/node/index.ts";
import { Database } from "../../vfs/index.ts";
import { type Bridge, catchUp, openOver, overBridges } from "./bridges.ts";
import { closeAll, closeLater } from "./closers.ts";
import { memoryRemote } from "./remotes.ts";

const COUNT = "SELECT count(*) AS n FROM t";

overBridges("a restore by someone else", (bridge: Bridge) => {
  it("arrives with a pull: old rows, an old schema, live queries; and writing goes on", async () => {
    const remote = await bridge.remote();
    const database = await openOver(bridge, remote);
    await database.exec("CREATE TABLE t(a, b)");
    await database.exec(
      "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c WHERE x<300) INSERT INTO t SELECT x, hex(zeroblob(40)) FROM c",
    );
    const { lsn: first } = await database.push();
    await database.exec("CREATE TABLE later(a); DELETE FROM t WHERE a > 10; UPDATE t SET b = 'new'");
    await database.push();
    await database.exec("INSERT INTO later VALUES (1)");
    const { lsn: last } = await database.push();
    const live = database.live(COUNT);
    expect((await live.next()).value).toEqual([{ n: 10 }]);
    expect(await database.query("SELECT * FROM later")).toEqual([{ a: 1 }]);

    const other = await openStore(remote.store, { workers: 0 });
    closeLater(() => other.close());
    const result = await (await other.volume("db")).restore({ at: first });
    expect(result).toMatchObject({ lsn: last + 1, from: first, restored: true });
    expect(await database.queryOne(COUNT), "nothing moves before the pull").toEqual({ n: 10 });
    await database.pull();
    await catchUp(bridge, database);
    expect((await live.next()).value).toEqual([{ n: 300 }]);
    expect(await database.queryOne("SELECT sum(a) AS s, count(DISTINCT b) AS d FROM t")).toEqual({
      s: 45150,
      d: 1,
    });
    await expect(database.query("SELECT * FROM later")).rejects.toThrow(/no such table: later/);
    expect(await database.query("PRAGMA integrity_check")).toEqual([{ integrity_check: "ok" }]);
    await database.exec("INSERT INTO t VALUES (301, 'after'); CREATE TABLE later(b, c)");
    expect((await live.next()).value).toEqual([{ n: 301 }]);
    await database.push();
    await (await other.volume("db")).restore({ at: last });
    await database.pull();
    await catchUp(bridge, database);
    expect(await database.query("SELECT * FROM later")).toEqual([{ a: 1 }]);
    expect(await database.queryOne(COUNT)).toEqual({ n: 10 });
    await live.return();
  });
});

overBridges("a restore by the database itself", (bridge: Bridge) => {
  it("moves it there, without a page fetched that was here; local commits are in the way", async () => {
    const remote = await bridge.remote();
    const database = await openOver(bridge, remote);
    await database.exec("CREATE TABLE t(a); INSERT INTO t VALUES (1), (2)");
    const { lsn: first } = await database.push();
    await database.exec("DELETE FROM t; INSERT INTO t VALUES (3)");
    await expect(database.restore(first)).rejects.toMatchObject({ code: "conflict" });
    const { lsn: last } = await database.push();
    expect(await database.restore(first)).toMatchObject({ lsn: last + 1, from: first, restored: true });
    await catchUp(bridge, database);
    expect(await database.query("SELECT a FROM t")).toEqual([{ a: 1 }, { a: 2 }]);
    expect(await database.restore(first), "invariant 11").toMatchObject({ lsn: last + 1, restored: false });
    await expect(database.restore(99)).rejects.toMatchObject({ code: "not_found" });
  });
});

overBridges("a restore and another change on top of it", (bridge: Bridge) => {
  it("has SQLite's change counter of the state that a connection keeps, and is told from it all the same", async () => {
    const remote = await bridge.remote();
    const writer = await openOver(bridge, remote);
    await writer.exec("CREATE TABLE t(a)");
    const { lsn } = await writer.push();
    const reader = await openOver(bridge, remote);
    await writer.exec("INSERT INTO t VALUES ('first')");
    await writer.push();
    await reader.pull();
    await catchUp(bridge, reader);
    const rows = "SELECT a FROM t";
    expect(await reader.query(rows)).toEqual([{ a: "first" }]);
    const other = await openStore(remote.store, { workers: 0 });
    closeLater(() => other.close());
    await (await other.volume("db")).restore({ at: lsn });
    await writer.pull();
    await catchUp(bridge, writer);
    await writer.exec("INSERT INTO t VALUES ('second')");
    await writer.push();
    await reader.pull();
    await catchUp(bridge, reader);
    expect(await reader.query(rows)).toEqual([{ a: "second" }]);
    await reader.exec("INSERT INTO t VALUES ('third')");
    expect(await reader.query(rows)).toEqual([{ a: "second" }, { a: "third" }]);
  });
});

describe("a restore in the store of a connection", () => {
  afterEach(closeAll);

  it("is seen at its next transaction, without a fault; one that is open stays where it is", async () => {
    const { store } = memoryRemote();
    const pages = await openStore(store, { workers: 0 });
    closeLater(() => pages.close());
    const database = await Database.open(pages, "db", { bridge: "resident-only", create: true });
    closeLater(() => database.close());
    await database.exec("CREATE TABLE t(a); INSERT INTO t VALUES (1), (2)");
    const { lsn } = await database.push();
    await database.exec("INSERT INTO t VALUES (3)");
    await database.push();
    const volume = await pages.volume("db");
    const faults: unknown[] = [];
    volume.on("fault", (event) => faults.push(event));
    expect(await database.queryOne(COUNT)).toEqual({ n: 3 });
    await database.transaction(
      async (transaction) => {
        expect(await transaction.queryOne(COUNT)).toEqual({ n: 3 });
        await volume.restore({ at: lsn });
        expect(await transaction.queryOne("SELECT max(a) AS m FROM t")).toEqual({ m: 3 });
      },
      { mode: "deferred" },
    );
    expect(await database.queryOne(COUNT)).toEqual({ n: 2 });
    await database.exec("INSERT INTO t VALUES (4)");
    expect(await database.query("SELECT a FROM t")).toEqual([{ a: 1 }, { a: 2 }, { a: 4 }]);
    await expect(volume.restore({ at: lsn })).rejects.toMatchObject({ code: "conflict" });
    await database.push();
    await volume.restore({ at: 0 });
    expect(await database.query("SELECT name FROM sqlite_schema")).toEqual([]);
    await database.exec("CREATE TABLE fresh(a)");
    await database.push();
    await volume.restore({ at: lsn });
    expect(await database.queryOne(COUNT)).toEqual({ n: 2 });
    expect(faults, "0 faults").toEqual([]);
    expect(await database.query("PRAGMA integrity_check")).toEqual([{ integrity_check: "ok" }]);
  });
});
