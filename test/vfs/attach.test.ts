/** Several volumes in one transaction: it is in all of them or in none. */
import { beforeEach, expect, it } from "vitest";
import type { Database } from "../../vfs/index.ts";
import { openOver, overBridges } from "./bridges.ts";
import { elsewhere, type TestRemote, temporaryDirectory } from "./remotes.ts";

const MAKE = "CREATE TABLE IF NOT EXISTS t(a)";

overBridges("several volumes", (bridge) => {
  let remote: TestRemote;
  let database: Database;
  const counts = () =>
    database.query("SELECT (SELECT count(*) FROM main.t) AS main, (SELECT count(*) FROM second.t) AS second");
  /** Local commits of the volume that is attached as "second". */
  const aheadOfSecond = async (): Promise<number> =>
    Number((await database.queryOne("PRAGMA second.pagefold_status"))?.ahead);

  beforeEach(async () => {
    remote = await bridge.remote();
    // Made before, so that the one that only has resident pages knows it as well.
    await elsewhere(remote, async () => {}, "other");
    database = await openOver(bridge, remote, { busyTimeoutMs: 200 });
    await database.exec(`${MAKE}; ATTACH 'other' AS second; CREATE TABLE second.t(a)`);
  });

  it("a transaction is one commit of each volume that it changes, and none where it is rolled back", async () => {
    const before = { main: (await database.status()).ahead, second: await aheadOfSecond() };
    await database.exec("BEGIN; INSERT INTO main.t VALUES (1); INSERT INTO second.t VALUES (2); COMMIT");
    expect(await counts()).toEqual([{ main: 1, second: 1 }]);
    await database.exec("BEGIN; INSERT INTO main.t VALUES (1); INSERT INTO second.t VALUES (2); ROLLBACK");
    await database.exec(
      "SAVEPOINT s; INSERT INTO main.t VALUES (1); INSERT INTO second.t VALUES (2); ROLLBACK TO s; RELEASE s",
    );
    expect(await counts()).toEqual([{ main: 1, second: 1 }]);
    const between = { main: (await database.status()).ahead, second: await aheadOfSecond() };
    // SQLite counts the savepoint as a change of both, although nothing is left of it.
    expect(between).toEqual({ main: before.main + 2, second: before.second + 2 });
    await database.exec("INSERT INTO second.t SELECT a FROM main.t");
    expect((await database.status()).ahead).toBe(between.main);
    expect(await aheadOfSecond()).toBe(between.second + 1);
    expect(await counts()).toEqual([{ main: 1, second: 2 }]);
    for (const name of ["main", "second"])
      expect(await database.query(`PRAGMA ${name}.integrity_check`)).toEqual([{ integrity_check: "ok" }]);
  });

  it("pragmas of a schema are about its volume", async () => {
    await database.exec("INSERT INTO second.t VALUES (1), (2)");
    expect(await database.query("PRAGMA second.pagefold_push")).toMatchObject([{ lsn: 1, commits: 2 }]);
    expect(await database.query("PRAGMA pagefold_lsn")).toEqual([{ lsn: 0 }]);
    expect(await database.query("PRAGMA main.pagefold_lsn")).toEqual([{ lsn: 0 }]);
    expect(await database.query("PRAGMA second.pagefold_lsn")).toEqual([{ lsn: 1 }]);
    expect(await database.query("PRAGMA \"second\".pagefold_lsn('json')")).toEqual([
      { pagefold_lsn: '{"lsn":1}' },
    ]);
    await expect(database.query("PRAGMA third.pagefold_lsn")).rejects.toMatchObject({
      code: "invalid",
      message: expect.stringMatching(/third/),
    });
  });

  it("what is attached may be detached, attached anew, and under several names", async () => {
    await database.exec(
      "INSERT INTO second.t VALUES (1); DETACH second; ATTACH 'other' AS second; ATTACH 'other' AS twin",
    );
    expect(await database.query("SELECT a FROM twin.t")).toEqual([{ a: 1 }]);
    await database.exec("INSERT INTO twin.t VALUES (2)");
    expect(await database.query("SELECT a FROM second.t")).toEqual([{ a: 1 }, { a: 2 }]);
    // One volume has one writer, also within one connection.
    await database.exec("BEGIN; INSERT INTO twin.t VALUES (3)");
    await expect(database.exec("INSERT INTO second.t VALUES (4)")).rejects.toMatchObject({ code: "busy" });
    await database.exec("ROLLBACK");
    await database.exec("INSERT INTO second.t VALUES (5)");
    expect(await database.query("SELECT a FROM twin.t")).toEqual([{ a: 1 }, { a: 2 }, { a: 5 }]);
    await expect(database.exec("BEGIN; SELECT * FROM twin.t; DETACH twin")).rejects.toMatchObject({
      code: "invalid",
      message: expect.stringMatching(/database twin is locked/),
    });
    await database.exec("ROLLBACK");
  });

  it("a volume that nobody has opened is opened, by tag or id; an unknown one is not_found and says what there is", async () => {
    const id = await elsewhere(
      remote,
      async (volume) => {
        await volume.write(0, new Uint8Array(0));
        return volume.id;
      },
      "third",
    );
    await database.exec(
      `ATTACH 'third' AS a; CREATE TABLE a.x(y); INSERT INTO a.x VALUES (7); ATTACH '${id}' AS b`,
    );
    expect(await database.query("SELECT y FROM b.x")).toEqual([{ y: 7 }]);
    await expect(database.exec("ATTACH 'nowhere' AS c")).rejects.toMatchObject({
      code: "not_found",
      message: expect.stringMatching(/no tag "nowhere".*db.*other.*third/),
    });
    await expect(database.exec("ATTACH 'Not A Tag!' AS c")).rejects.toMatchObject({ code: "invalid" });
    await expect(database.query("SELECT * FROM c.x")).rejects.toMatchObject({ code: "invalid" });
    // ":memory:" and "" are SQLite's own.
    await database.exec(
      "ATTACH ':memory:' AS m; CREATE TABLE m.t AS SELECT 5 AS five; ATTACH '' AS tmp; CREATE TABLE tmp.t(a)",
    );
    expect(await database.query("SELECT five FROM m.t")).toEqual([{ five: 5 }]);
    await database.exec(
      "BEGIN; INSERT INTO m.t VALUES (6); INSERT INTO main.t VALUES (1); INSERT INTO tmp.t VALUES (1); COMMIT",
    );
    expect(await counts()).toEqual([{ main: 1, second: 0 }]);
  });

  it("both are there after the databases were opened again", async () => {
    const local = { path: temporaryDirectory() };
    const first = await openOver(bridge, remote, { local });
    await first.exec(`${MAKE}; ATTACH 'other' AS second; CREATE TABLE second.t(a)`);
    await first.exec("BEGIN; INSERT INTO main.t VALUES (1); INSERT INTO second.t VALUES (2); COMMIT");
    await first.exec("BEGIN; INSERT INTO main.t VALUES (3); INSERT INTO second.t VALUES (4)");
    await first.close();
    database = await openOver(bridge, remote, { local });
    await database.exec("ATTACH 'other' AS second");
    expect(await counts()).toEqual([{ main: 1, second: 1 }]);
  });
});
