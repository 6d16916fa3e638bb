/** SQL through the real engine: what users of `Database` rely on, whichever way SQLite waits for pages. */
import { expect, it } from "vitest";
import { PagefoldError } from "../../src/base/errors.ts";
import { MemoryRecorder } from "../../src/base/recorder.ts";
import { type Bridge, catchUp, openOver, overBridges } from "./bridges.ts";
import { importInto, type TestRemote } from "./remotes.ts";
import { COUNT, sampleDatabase } from "./sample.ts";
import { memdbRows } from "./sqlite.ts";

async function remoteWithSample(bridge: Bridge): Promise<TestRemote> {
  const remote = await bridge.remote();
  await importInto(remote, await sampleDatabase());
  return remote;
}

/** Whether faults pass through the caller's store, where a test can count them and make them fail. */
const throughStore = ({ kind }: Bridge): boolean => kind === "shared-memory" || kind === "jspi";

overBridges("queries", (bridge) => {
  it("give the rows that SQLite gives, and fetch only what they touch", async () => {
    const bytes = await sampleDatabase();
    const remote = await remoteWithSample(bridge);
    const getsBefore = remote.gets;
    const recorder = new MemoryRecorder();
    const database = await openOver(bridge, remote, { recorder });
    const point = await database.execute("SELECT s FROM t WHERE i = ?", [4321]);
    expect(point.rows).toEqual(await memdbRows(bytes, "SELECT s FROM t WHERE i = 4321"));
    expect(point.columns).toEqual(["s"]);
    if (bridge.kind !== "resident-only") {
      expect(point.stats.faults).toBeGreaterThan(0);
      expect(point.stats.requests).toBeGreaterThan(0);
      expect(point.stats.bytesFetched).toBeGreaterThan(0);
    }
    const again = await database.execute("SELECT s FROM t WHERE i = :i", { i: 4321 });
    expect(again.stats).toMatchObject({ faults: 0, requests: 0, bytesFetched: 0 });
    const partly = await database.status();
    expect(partly).toMatchObject({
      lsn: 1,
      pageSize: 4096,
      pageCount: bytes.length / 4096,
      bridge: bridge.kind,
    });
    if (bridge.kind !== "resident-only") expect(partly.residentPages).toBeLessThan(partly.pageCount);
    expect((await database.execute(COUNT)).rows).toEqual(await memdbRows(bytes, COUNT));
    const all = await database.status();
    expect(all.ms).toBeGreaterThan(0);
    if (bridge.kind !== "resident-only") {
      expect(all.requests).toBeGreaterThan(partly.requests);
      expect(all.bytesFetched).toBeGreaterThan(partly.bytesFetched);
    }
    if (throughStore(bridge)) {
      expect(recorder.get("remote.get.count")).toBe(remote.gets - getsBefore);
    }
    expect(recorder.get("sql.fault.count")).toBe(all.faults);
  });

  it("answer in order when many are asked at once; values keep their kind", async () => {
    const database = await openOver(bridge, await bridge.remote());
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, i) => database.queryOne("SELECT ? + 1 AS n", [i])),
    );
    expect(answers).toEqual(Array.from({ length: 20 }, (_, i) => ({ n: i + 1 })));
    const values = [null, -1.5, 2n ** 60n, "日本\0", new Uint8Array([0, 255])];
    expect((await database.execute("SELECT ?, ?, ?, ?, ?", values)).rows).toEqual([values]);
  });

  it("that are wrong are invalid, and the database goes on", async () => {
    const database = await openOver(bridge, await remoteWithSample(bridge), { readOnly: true });
    const wrong: readonly [string, readonly unknown[], RegExp][] = [
      ["DELETE FROM t", [], /read-only here/],
      ["SELEC", [], /syntax error/],
      ["SELECT ?", [Symbol("s")], bridge.thread === "worker" ? /parameters cannot be sent/ : /Symbol/],
      ["SELECT ?", [new Date()], /Date/],
      ["SELECT ?", [{}], /Object/],
      ["SELECT ?", [() => 1], bridge.thread === "worker" ? /parameters cannot be sent/ : /Function/],
    ];
    for (const [sql, parameters, message] of wrong) {
      await expect(database.query(sql, parameters as never)).rejects.toMatchObject({
        name: "PagefoldError",
        code: "invalid",
        message: expect.stringMatching(message),
      });
    }
    expect(await database.query("SELECT 1 AS one")).toEqual([{ one: 1 }]);
  });

  it("of several statements: rows of the last one that has columns, or what each of them did", async () => {
    const database = await openOver(bridge, await bridge.remote());
    expect(await database.query("CREATE TABLE t(a); SELECT 1 AS one; BEGIN; COMMIT; -- end\n ;")).toEqual([
      { one: 1 },
    ]);
    expect(await database.query("  -- nothing")).toEqual([]);
    expect(await database.execute("SELECT 1 AS x, 2 AS x WHERE 0")).toMatchObject({
      columns: ["x", "x"],
      rows: [],
    });
    const { results, commit } = await database.script(
      "INSERT INTO t VALUES (?), (?); UPDATE t SET a = a + 1; SELECT a FROM t WHERE a > ?; DELETE FROM t WHERE a = 3",
      [1, 2, 2],
    );
    expect(results).toEqual([
      { columns: [], rows: [], changes: 2, lastInsertRowid: 2 },
      { columns: [], rows: [], changes: 2, lastInsertRowid: 2 },
      { columns: ["a"], rows: [[3]], changes: 0, lastInsertRowid: 0 },
      { columns: [], rows: [], changes: 1, lastInsertRowid: 2 },
    ]);
    expect(commit).toMatchObject({ where: "local" });
    expect(await database.sql`SELECT a FROM t WHERE a = ${2} OR a = ${"x"}`).toEqual([{ a: 2 }]);
    // What comes before a statement that fails has happened.
    await expect(
      database.exec("INSERT INTO t VALUES (10); SELECT nope; INSERT INTO t VALUES (11)"),
    ).rejects.toMatchObject({
      code: "invalid",
    });
    expect(await database.query("SELECT a FROM t")).toEqual([{ a: 2 }, { a: 10 }]);
  });
});

overBridges("a Database as the remote moves on", (bridge) => {
  it("a pull is seen by the next query; an LSN asked for stays", async () => {
    const remote = await remoteWithSample(bridge);
    const following = await openOver(bridge, remote);
    expect((await following.queryOne(COUNT))?.n).toBe(8000);
    await importInto(remote, await sampleDatabase(9000));
    expect((await following.queryOne(COUNT))?.n).toBe(8000);
    expect(await following.fetch()).toEqual({ lsn: 2, behind: 1 });
    expect(await following.status()).toMatchObject({ lsn: 1, remoteLsn: 2, behind: 1, state: "behind" });
    expect(await following.pull()).toMatchObject({ from: 1, lsn: 2 });
    await catchUp(bridge, following);
    expect((await following.queryOne(COUNT))?.n).toBe(9000);
    expect(await following.query("PRAGMA integrity_check")).toEqual([{ integrity_check: "ok" }]);
  });

  it("a failing store is unavailable, and what is resident answers all the same", async () => {
    const remote = await remoteWithSample(bridge);
    const database = await openOver(bridge, remote);
    const resident = await database.query("SELECT s FROM t WHERE i = 4321");
    remote.down = true;
    if (bridge.kind === "resident-only") expect((await database.queryOne(COUNT))?.n).toBe(8000);
    else
      await expect(database.query(COUNT)).rejects.toMatchObject({
        name: "PagefoldError",
        code: "unavailable",
      });
    await expect(database.pull()).rejects.toMatchObject({ code: "unavailable" });
    expect(await database.query("SELECT s FROM t WHERE i = 4321")).toEqual(resident);
    remote.down = false;
    expect((await database.queryOne(COUNT))?.n).toBe(8000);
  });
});

overBridges("a store that fails now and then", (bridge) => {
  it("is asked again", async (context) => {
    if (!throughStore(bridge)) context.skip("faults do not pass through the store that the test makes fail");
    const remote = await remoteWithSample(bridge);
    const database = await openOver(bridge, remote);
    let calls = 0;
    remote.onGet = () => {
      if (++calls % 3 === 1) throw new PagefoldError("unavailable", "try again");
    };
    expect((await database.execute(COUNT)).rows).toEqual(await memdbRows(await sampleDatabase(), COUNT));
    expect(calls).toBeGreaterThan(3);
  });

  it("or never answers: the query ends in time", async (context) => {
    if (bridge.kind !== "shared-memory") context.skip("faultTimeoutMs is of the shared-memory bridge");
    const remote = await remoteWithSample(bridge);
    const database = await openOver(bridge, remote, { faultTimeoutMs: 1000 });
    remote.onGet = () => new Promise(() => {});
    await expect(database.query(COUNT)).rejects.toMatchObject({
      code: "unavailable",
      message: expect.stringMatching(/1000 ms/),
    });
    remote.onGet = () => {};
    expect((await database.queryOne(COUNT))?.n).toBe(8000);
  });
});
