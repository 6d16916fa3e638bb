/** What pragmas answer: SQLite's own that mean something else on a volume, and every `pagefold_…`, as rows and as JSON. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import type { Database } from "../../vfs/index.ts";
import { catchUp, openOver, overBridges, SharedDatabase } from "./bridges.ts";
import { elsewhere, importInto, temporaryDirectory } from "./remotes.ts";
import { sampleDatabase } from "./sample.ts";

const one = async (database: Database, sql: string): Promise<Record<string, unknown> | undefined> =>
  database.queryOne(sql);

overBridges("SQLite's own pragmas", (bridge) => {
  const shared = new SharedDatabase(bridge, "CREATE TABLE t(a)");

  it("journal_mode: what has nothing to offer here is answered with the mode in force", async () => {
    const { database } = shared;
    for (const mode of ["wal", "off", "nonsense"])
      expect(await one(database, `PRAGMA journal_mode = ${mode}`)).toEqual({ journal_mode: "truncate" });
    for (const mode of ["delete", "persist", "memory", "truncate"]) {
      expect(await one(database, `PRAGMA journal_mode = ${mode}`)).toEqual({ journal_mode: mode });
      expect(await one(database, "PRAGMA main.journal_mode")).toEqual({ journal_mode: mode });
      await database.exec("BEGIN; INSERT INTO t VALUES (1); ROLLBACK; INSERT INTO t VALUES (2)");
    }
    expect(await one(database, "SELECT count(*) AS n, sum(a) AS sum FROM t")).toEqual({ n: 4, sum: 8 });
  });

  it("locking_mode: always normal, since a lock that is never given back would keep pulls out", async () => {
    const { database } = shared;
    expect(await one(database, "PRAGMA locking_mode = exclusive")).toEqual({ locking_mode: "normal" });
    await database.exec("INSERT INTO t VALUES (3)");
    expect(await one(database, "PRAGMA locking_mode")).toEqual({ locking_mode: "normal" });
  });

  it("synchronous: whether a commit is durable when it returns", async () => {
    const local = { path: temporaryDirectory() };
    const database = await openOver(bridge, await bridge.remote(), { local });
    const made = await database.exec("CREATE TABLE t(a)");
    expect(await one(database, "PRAGMA synchronous")).toEqual({ synchronous: 2 });
    expect(made.commit).toMatchObject({ durable: true });
    for (const relaxed of ["OFF", "NORMAL", "0", "1"]) {
      await database.exec(`PRAGMA synchronous = ${relaxed}`);
      expect(await one(database, "PRAGMA synchronous")).toEqual({ synchronous: 1 });
      expect((await database.exec("INSERT INTO t VALUES (4)")).commit).toMatchObject({ durable: false });
    }
    await database.exec("PRAGMA synchronous = EXTRA");
    expect((await database.exec("INSERT INTO t VALUES (4)")).commit).toMatchObject({ durable: true });
    await database.exec("PRAGMA synchronous = nonsense");
    expect(await one(database, "PRAGMA synchronous")).toEqual({ synchronous: 2 });
    await database.close();
  });

  it("synchronous: what is kept in memory only is never durable, and said not to be", async () => {
    const { database } = shared;
    expect((await database.exec("INSERT INTO t VALUES (4)")).commit).toMatchObject({ durable: false });
  });

  it("cache_size, temp_store, cache_spill and the like do what they do in SQLite", async () => {
    const { database } = shared;
    await database.exec("PRAGMA cache_size = 0");
    expect(await one(database, "PRAGMA cache_size")).toEqual({ cache_size: 0 });
    await database.exec(
      `BEGIN; CREATE TABLE big(a, b); CREATE INDEX bigi ON big(b);
       WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 2000) INSERT INTO big SELECT i, i * 7919 % 2003 FROM c; COMMIT`,
    );
    expect(
      await one(database, "SELECT count(*) AS n FROM big x JOIN big y ON y.b = x.a % 2003"),
    ).toMatchObject({ n: expect.any(Number) });
    for (const store of ["MEMORY", "FILE", "DEFAULT"]) {
      await database.exec(
        `PRAGMA temp_store = ${store}; CREATE TEMP TABLE s AS SELECT * FROM big; DROP TABLE s`,
      );
      expect(
        await one(
          database,
          "SELECT max(n) AS n FROM (SELECT row_number() OVER (ORDER BY b, a) AS n FROM big)",
        ),
      ).toEqual({ n: 2000 });
    }
    await database.exec("PRAGMA cache_size = -2000; PRAGMA user_version = 77; PRAGMA application_id = 5");
    expect(await one(database, "PRAGMA user_version")).toEqual({ user_version: 77 });
    expect(await one(database, "PRAGMA freelist_count")).toEqual({ freelist_count: 0 });
    expect(await one(database, "PRAGMA wal_checkpoint")).toMatchObject({ busy: 0 });
    expect(await database.query("PRAGMA no_such_pragma = 1")).toEqual([]);
    expect(await database.query("PRAGMA quick_check")).toEqual([{ quick_check: "ok" }]);
    expect(await database.query("SELECT name FROM pragma_table_info('big')")).toEqual([
      { name: "a" },
      { name: "b" },
    ]);
  });
});

overBridges("pagefold pragmas", (bridge) => {
  it("tell where this side and the remote stand, as rows and as JSON", async () => {
    const remote = await bridge.remote();
    await importInto(remote, await sampleDatabase(1000));
    const database = await openOver(bridge, remote);
    const { volume, pageCount, byteLength } = await database.status();
    await database.exec("CREATE TABLE made(a)");
    const lines: readonly [string, object][] = [
      ["version", { version: expect.stringMatching(/^\d+\.\d+\.\d+/) }],
      ["lsn", { lsn: 1 }],
      [
        "info",
        { volume, page_size: 4096, page_count: pageCount + 1, byte_length: byteLength + 4096, read_only: 0 },
      ],
      ["snapshot", { lsn: 1, page_count: pageCount + 1, byte_length: byteLength + 4096, local_commits: 1 }],
      [
        "status",
        {
          ...{ volume, state: "ahead", lsn: 1, remote_lsn: 1, ahead: 1, behind: 0, pending_push: 0 },
          resident_pages: expect.any(Number),
        },
      ],
      ["tags", [{ tag: "db", volume }]],
      [
        "log",
        [
          expect.objectContaining({
            lsn: 1,
            page_count: pageCount,
            hash: expect.stringMatching(/^[0-9a-f]{64}$/),
          }),
        ],
      ],
      ["fetch", { lsn: 1, behind: 0 }],
      [
        "verify",
        { lsn: 1, commits: 1, pages: pageCount, state_checksum: expect.stringMatching(/^[0-9a-f]{32}$/) },
      ],
      ["hydrate", { pages: pageCount, fetched_pages: expect.any(Number) }],
    ];
    for (const [name, expected] of lines) {
      const rows = await database.query(`PRAGMA pagefold_${name}`);
      expect(rows, name).toEqual(Array.isArray(expected) ? expected : [expected]);
      const json = await one(database, `pragma PAGEFOLD_${name.toUpperCase()} = 'json'`);
      const parsed: unknown = JSON.parse(String(json?.[`pagefold_${name}`]));
      expect(parsed, name).toEqual(name === "hydrate" ? { pages: pageCount, fetched_pages: 0 } : expected);
    }
    expect(await one(database, "PRAGMA pagefold_push")).toMatchObject({
      lsn: 2,
      commits: 1,
      changed_pages: 2,
    });
    expect(await one(database, "PRAGMA pagefold_push")).toMatchObject({ lsn: 2, commits: 0 });
    expect(await database.query("PRAGMA pagefold_log(1)")).toMatchObject([{ lsn: 2 }]);
    expect(await database.query("PRAGMA pagefold_log = 5")).toHaveLength(2);
    await elsewhere(remote, async (other) => other.truncate((await other.status()).byteLength));
    await importInto(remote, await sampleDatabase(1200));
    expect(await one(database, "PRAGMA pagefold_fetch")).toEqual({ lsn: 3, behind: 1 });
    expect(await one(database, "PRAGMA pagefold_pull")).toMatchObject({ from_lsn: 2, to_lsn: 3 });
    await catchUp(bridge, database);
    expect(await one(database, "SELECT count(*) AS n FROM t")).toEqual({ n: 1200 });
  });

  it("make volumes, and switch to them between transactions", async () => {
    const remote = await bridge.remote();
    const database = await openOver(bridge, remote);
    await database.exec("CREATE TABLE t(a); INSERT INTO t VALUES ('db')");
    await database.push();
    expect(await one(database, "PRAGMA pagefold_fork = 'side'")).toMatchObject({ name: "side", lsn: 1 });
    await catchUp(bridge, database);
    await database.exec("INSERT INTO t VALUES ('side')");
    expect(await database.push()).toMatchObject({ outcome: "pushed", lsn: 2 });
    expect(await one(database, "PRAGMA pagefold_switch = 'db'")).toMatchObject({ name: "db", lsn: 1 });
    expect(await database.query("SELECT a FROM t")).toEqual([{ a: "db" }]);
    expect(await one(database, "PRAGMA pagefold_new = 'fresh'")).toMatchObject({ name: "fresh", lsn: 0 });
    expect(await database.query("SELECT name FROM sqlite_schema")).toEqual([]);
    await database.exec("CREATE TABLE u(a); INSERT INTO u VALUES ('fresh')");
    expect(await one(database, "PRAGMA pagefold_clone('side')")).toMatchObject({ name: "side", lsn: 2 });
    expect(await database.query("SELECT a FROM u")).toEqual([{ a: "fresh" }]);
    await database.exec("BEGIN; INSERT INTO u VALUES ('open')");
    await expect(database.exec("PRAGMA pagefold_switch = 'db'")).rejects.toMatchObject({ code: "busy" });
    await database.exec("COMMIT; PRAGMA pagefold_switch = 'side'");
    expect(await database.query("SELECT a FROM t")).toEqual([{ a: "db" }, { a: "side" }]);
    expect(await one(database, "SELECT (SELECT count(*) FROM pragma_database_list) AS n")).toEqual({ n: 1 });
    expect(await database.query("PRAGMA integrity_check")).toEqual([{ integrity_check: "ok" }]);
    expect(await elsewhere(remote, (_, pages) => pages.tags())).toMatchObject([
      { tag: "db" },
      { tag: "fresh" },
      { tag: "side" },
    ]);
  });

  it("export, where there are files; and say what is wrong with their arguments", async () => {
    const database = await openOver(bridge, await bridge.remote());
    await database.exec("CREATE TABLE t(a); INSERT INTO t VALUES (1)");
    const path = join(temporaryDirectory(), "it's.db");
    const sql = `PRAGMA pagefold_export = '${path.replaceAll("'", "''")}'`;
    if (bridge.kind === "resident-only") {
      await expect(database.query(sql)).rejects.toMatchObject({
        code: "invalid",
        message: expect.stringMatching(/no files/),
      });
      expect(existsSync(path)).toBe(false);
    } else {
      expect(await database.query(sql)).toEqual([{ path, bytes: 8192 }]);
      expect(readFileSync(path).toString("latin1", 0, 15)).toBe("SQLite format 3");
    }
    const wrong: readonly [string, RegExp][] = [
      ["PRAGMA pagefold_nonsense", /there is no PRAGMA pagefold_nonsense; there are pagefold_version/],
      ["PRAGMA pagefold_log = 'x'", /whole number/],
      ["PRAGMA pagefold_switch", /needs a tag or a volume id/],
      ["PRAGMA pagefold_fork = ''", /needs the fork's tag/],
      ["PRAGMA pagefold_export", /needs a file's path/],
    ];
    for (const [text, message] of wrong)
      await expect(database.query(text), text).rejects.toMatchObject({
        code: "invalid",
        message: expect.stringMatching(message),
      });
    await expect(database.query("PRAGMA pagefold_switch = 'nowhere'")).rejects.toMatchObject({
      code: "not_found",
    });
    expect(await database.query("SELECT a FROM t")).toEqual([{ a: 1 }]);
    // Among other statements, and only at the start of one.
    expect(await database.query("SELECT 1; PRAGMA pagefold_lsn; -- PRAGMA pagefold_nonsense")).toEqual([
      { lsn: 0 },
    ]);
    expect(await database.query("SELECT 'PRAGMA pagefold_nonsense' AS s")).toEqual([
      { s: "PRAGMA pagefold_nonsense" },
    ]);
  });

  it("of a view of the past are about that", async () => {
    const database = await openOver(bridge, await bridge.remote());
    await database.exec("CREATE TABLE t(a)");
    await database.push();
    await database.exec("INSERT INTO t VALUES (1)");
    await database.push();
    const view = await database.at(1);
    expect(await view.query("PRAGMA pagefold_lsn")).toEqual([{ lsn: 1 }]);
    expect(await view.query("PRAGMA pagefold_snapshot")).toMatchObject([{ lsn: 1, local_commits: 0 }]);
    await expect(view.query("PRAGMA pagefold_push")).rejects.toMatchObject({ code: "invalid" });
    await view.close();
    expect(await database.query("PRAGMA pagefold_lsn")).toEqual([{ lsn: 2 }]);
  });
});
