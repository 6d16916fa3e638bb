/** One SQLite transaction is one local commit, of the pages that it changed; what changes nothing makes none. */
import { expect, it } from "vitest";
import type { Database } from "../../vfs/index.ts";
import { type Bridge, openOver, overBridges } from "./bridges.ts";
import { temporaryDirectory } from "./remotes.ts";

const SERIES = "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 2000)";

/** Local commits and remote commits so far. */
async function commits(database: Database): Promise<{ ahead: number; lsn: number }> {
  const { ahead, lsn } = await database.status();
  return { ahead, lsn };
}

async function withTable(bridge: Bridge): Promise<Database> {
  const database = await openOver(bridge, await bridge.remote());
  await database.exec(
    `CREATE TABLE t(i INTEGER PRIMARY KEY, s TEXT); ${SERIES} INSERT INTO t SELECT i, hex(zeroblob(20)) FROM c`,
  );
  return database;
}

overBridges("invariant 2: a transaction is one local commit", (bridge) => {
  it("whatever it changes, in however many statements", async () => {
    const database = await withTable(bridge);
    const before = await commits(database);
    const one = await database.exec("INSERT INTO t(s) VALUES ('a')");
    expect(one).toMatchObject({ changes: 1, lastInsertRowid: 2001, commit: { where: "local", lsn: 0 } });
    const many = await database.exec(
      "BEGIN; UPDATE t SET s = 'b' WHERE i < 10; CREATE TABLE u(a); INSERT INTO u VALUES (1); DELETE FROM t WHERE i = 11; COMMIT",
    );
    expect(many.changes).toBe(9 + 1 + 1);
    expect(many.commit?.sequence).toBe((one.commit?.sequence ?? 0) + 1);
    const autocommits = await database.exec("INSERT INTO u VALUES (2); INSERT INTO u VALUES (3)");
    expect(autocommits.commit?.sequence).toBe((many.commit?.sequence ?? 0) + 2);
    expect(await commits(database)).toEqual({ ahead: before.ahead + 4, lsn: 0 });
    expect(await database.push()).toMatchObject({
      outcome: "pushed",
      lsn: 1,
      commits: before.ahead + 4,
      ahead: 0,
    });
    expect(await database.push()).toMatchObject({ outcome: "nothing", lsn: 1, commits: 0 });
  });

  it("a transaction that is rolled back, only reads, or changes nothing makes none", async () => {
    const database = await withTable(bridge);
    const before = await commits(database);
    const statements = [
      "BEGIN; INSERT INTO t(s) VALUES ('x'); ROLLBACK",
      "BEGIN; SELECT count(*) FROM t; COMMIT",
      "BEGIN IMMEDIATE; COMMIT",
      "BEGIN EXCLUSIVE; SELECT count(*) FROM t; COMMIT",
      "DELETE FROM t WHERE i = -1",
      "UPDATE t SET s = 'x' WHERE i = -1",
      "CREATE TABLE IF NOT EXISTS t(a)",
      "CREATE TEMP TABLE scratch(a); INSERT INTO scratch VALUES (1); DROP TABLE scratch",
      "SAVEPOINT a; SELECT count(*) FROM t; RELEASE a",
      "PRAGMA user_version",
      "PRAGMA optimize",
    ];
    for (const sql of statements) {
      const { commit } = await database.exec(sql);
      expect({ sql, commit }).toEqual({ sql, commit: undefined });
    }
    expect(await commits(database)).toEqual(before);
    await expect(database.exec("INSERT INTO t(i) VALUES (1)")).rejects.toMatchObject({
      code: "invalid",
      message: expect.stringMatching(/UNIQUE constraint failed: t.i; the statement changed nothing/),
    });
    expect(await commits(database)).toEqual(before);
  });

  it("only pages that are others afterwards are in it", async () => {
    const database = await withTable(bridge);
    await database.push();
    const { commit } = await database.exec("UPDATE t SET s = 'new' WHERE i = 1000");
    // The leaf, and page 1 with its change counter.
    expect(commit).toMatchObject({ changedPages: 2 });
    await database.push();
    // Every row is written, and all but one with what it had.
    const same = await database.exec(
      "BEGIN; UPDATE t SET s = s; UPDATE t SET s = 'newer' WHERE i = 1000; COMMIT",
    );
    expect(same.changes).toBe(2001);
    expect(same.commit).toMatchObject({ changedPages: 2 });
    const there = await database.exec(
      "BEGIN; UPDATE t SET s = 'there' WHERE i = 1; UPDATE t SET s = hex(zeroblob(20)) WHERE i = 1; COMMIT",
    );
    // SQLite counts what it wrote, whatever it was.
    expect(there.commit).toMatchObject({ changedPages: 1 });
    const undone = await database.exec("SAVEPOINT a; DELETE FROM t; ROLLBACK TO a; RELEASE a");
    expect(undone.commit).toMatchObject({ changedPages: 1 });
    expect(await database.query("PRAGMA integrity_check")).toEqual([{ integrity_check: "ok" }]);
  });

  it("savepoints undo their part, nested as they may be, and the rest is committed once", async () => {
    const database = await withTable(bridge);
    const { ahead } = await commits(database);
    await database.exec(`
      BEGIN;
      INSERT INTO t(i, s) VALUES (10001, 'outer');
      SAVEPOINT a;
      DELETE FROM t WHERE i <= 1500;
      SAVEPOINT b;
      INSERT INTO t(i, s) VALUES (10002, 'b');
      CREATE TABLE inner_table(a);
      ROLLBACK TO b;
      INSERT INTO t(i, s) VALUES (10003, 'b again');
      RELEASE b;
      ROLLBACK TO a;
      INSERT INTO t(i, s) VALUES (10004, 'a again');
      RELEASE a;
      COMMIT`);
    expect((await commits(database)).ahead).toBe(ahead + 1);
    expect(await database.query("SELECT i, s FROM t WHERE i > 9999")).toEqual([
      { i: 10001, s: "outer" },
      { i: 10004, s: "a again" },
    ]);
    expect(await database.queryOne("SELECT count(*) AS n FROM t")).toEqual({ n: 2002 });
    await expect(database.query("SELECT * FROM inner_table")).rejects.toMatchObject({ code: "invalid" });
    // Without BEGIN the outermost savepoint is the transaction.
    await database.exec("SAVEPOINT s; DELETE FROM t WHERE i > 9999; RELEASE s");
    expect((await commits(database)).ahead).toBe(ahead + 2);
    expect(await database.query("PRAGMA integrity_check")).toEqual([{ integrity_check: "ok" }]);
  });

  it("a statement that fails in the middle undoes itself alone, or the transaction where it says so", async () => {
    const database = await withTable(bridge);
    await database.exec("CREATE UNIQUE INDEX us ON t(s) WHERE s LIKE 'u%'; INSERT INTO t(s) VALUES ('u1')");
    const { ahead } = await commits(database);
    await database.exec("BEGIN; INSERT INTO t(i, s) VALUES (5000, 'kept')");
    const clash = "INSERT INTO t(s) SELECT CASE i WHEN 900 THEN 'u1' ELSE 'x' END FROM t WHERE i <= 1000";
    await expect(database.exec(clash)).rejects.toMatchObject({ code: "invalid" });
    expect(await database.queryOne("SELECT count(*) AS n FROM t")).toEqual({ n: 2002 });
    await database.exec("COMMIT");
    expect((await commits(database)).ahead).toBe(ahead + 1);
    expect(await database.query("SELECT s FROM t WHERE i = 5000")).toEqual([{ s: "kept" }]);
    await database.exec("BEGIN; INSERT INTO t(i, s) VALUES (5001, 'lost')");
    await expect(database.exec(clash.replace("INSERT", "INSERT OR ROLLBACK"))).rejects.toMatchObject({
      code: "invalid",
    });
    await expect(database.exec("COMMIT")).rejects.toMatchObject({
      code: "invalid",
      message: expect.stringMatching(/no transaction is active/),
    });
    expect(await database.query("SELECT s FROM t WHERE i = 5001")).toEqual([]);
    await database.exec(`INSERT OR IGNORE ${clash.slice("INSERT".length)}`);
    expect(await database.queryOne("SELECT count(*) AS n FROM t")).toEqual({ n: 2002 + 999 });
    expect(await database.query("PRAGMA integrity_check")).toEqual([{ integrity_check: "ok" }]);
  });

  it("what was committed is there after the database was opened again, and what was not is gone", async () => {
    const remote = await bridge.remote();
    const local = { path: temporaryDirectory() };
    const first = await openOver(bridge, remote, { local });
    await first.exec("CREATE TABLE t(a); INSERT INTO t VALUES ('committed')");
    await first.exec("BEGIN; INSERT INTO t VALUES ('open')");
    expect(await first.query("SELECT a FROM t")).toEqual([{ a: "committed" }, { a: "open" }]);
    await first.close();
    const second = await openOver(bridge, remote, { local });
    expect(await second.query("SELECT a FROM t")).toEqual([{ a: "committed" }]);
    expect(await commits(second)).toEqual({ ahead: 2, lsn: 0 });
  });
});
