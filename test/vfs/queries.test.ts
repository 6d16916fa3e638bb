/** Real SQL over partially resident views: the same rows as SQLite's own in-memory database, whatever is resident or evicted. */
import { beforeAll, expect, it } from "vitest";
import { PagefoldError } from "../../src/base/errors.ts";
import { ResidentOnlyBridge } from "../../vfs/bridge/bridge.ts";
import { fixedView } from "../../vfs/sqlite/view-source.ts";
import { seededRandom, testSeed } from "../local/xxh64.ts";
import { overFamilies } from "./fake-bridge.ts";
import { FakeView } from "./fake-view.ts";
import { SparseView } from "./sparse-view.ts";
import { buildDatabase, lastOf, memdbRows, openView, rowsOf } from "./sqlite.ts";

const series = (n: number): string =>
  `(WITH RECURSIVE s(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM s WHERE value < ${n}) SELECT value FROM s)`;

const SCHEMA = `
  PRAGMA page_size = 4096;
  CREATE TABLE people(id INTEGER PRIMARY KEY, name TEXT NOT NULL, city INTEGER, score REAL, picture BLOB);
  CREATE TABLE cities(id INTEGER PRIMARY KEY, name TEXT UNIQUE);
  CREATE INDEX people_by_name ON people(name);
  CREATE VIRTUAL TABLE notes USING fts5(body);
  INSERT INTO cities SELECT value, 'city ' || (value * 7919 % 1009) || '-' || value FROM ${series(50)};
  INSERT INTO people SELECT value, printf('%05d ', value * 7919 % 10007) || hex(zeroblob(20)), value % 50 + 1, value * 0.25,
    CASE WHEN value % 10 = 0 THEN zeroblob(6000) END FROM ${series(4000)};
  INSERT INTO notes SELECT 'word' || (value % 97) || ' common word' || (value % 89) FROM ${series(3000)};
  INSERT INTO people VALUES (9007199254740993, 'big', NULL, -0.5, x'00ff'), (-9223372036854775808, 'small', NULL, 1e300, x'');
`;

const RANGE = "SELECT id, name FROM people WHERE id BETWEEN 1000 AND 1200 ORDER BY id";
const QUERIES: Readonly<Record<string, string>> = {
  "point by rowid": "SELECT * FROM people WHERE id = 1234",
  "point by index": "SELECT id, name FROM people WHERE name = (SELECT name FROM people WHERE id = 77)",
  range: RANGE,
  join: "SELECT p.name, c.name FROM people p JOIN cities c ON c.id = p.city WHERE p.id < 300 ORDER BY p.id",
  "left join and grouping":
    "SELECT c.name, count(p.id), max(p.score) FROM cities c LEFT JOIN people p ON p.city = c.id GROUP BY c.id ORDER BY 2 DESC, 1",
  "full-text": "SELECT rowid, body FROM notes WHERE notes MATCH 'word5 AND common' ORDER BY rowid",
  "full-text by rank":
    "SELECT rowid FROM notes WHERE notes MATCH 'word5 OR word7' ORDER BY rank, rowid LIMIT 20",
  aggregate: "SELECT city, avg(score), sum(length(picture)) FROM people GROUP BY city ORDER BY city",
  "overflow pages":
    "SELECT id, length(picture), hex(substr(picture, 5000, 10)) FROM people WHERE picture IS NOT NULL",
  "sort that spills":
    "SELECT min(k), max(n) FROM (SELECT k, row_number() OVER (ORDER BY k) AS n FROM (SELECT a.name || b.id AS k FROM people a, cities b WHERE b.id <= 10))",
  "recursive CTE":
    "WITH RECURSIVE up(i) AS (SELECT 1 UNION ALL SELECT i + 37 FROM up WHERE i < 3900) SELECT i, name FROM up JOIN people ON id = i",
  "window function":
    "SELECT id, rank() OVER (PARTITION BY city ORDER BY score DESC) FROM people WHERE id < 500 ORDER BY 2, 1",
  "integers beyond 2^53": "SELECT id FROM people WHERE name IN ('big', 'small') ORDER BY id",
  "whole scan": "SELECT count(*), sum(length(name)), total(score) FROM people",
};

let bytes: Uint8Array;

beforeAll(async () => {
  bytes = await buildDatabase(SCHEMA);
  expect(bytes.length).toBeGreaterThan(1_000_000);
});

const allPages = (): number[] => Array.from({ length: bytes.length / 4096 }, (_, i) => i + 1);

overFamilies("invariant 6: a partial replica reads the same bytes as a full one", (family) => {
  for (const [name, sql] of Object.entries(QUERIES)) {
    it(`${name}: nothing resident at first`, async () => {
      const expected = await memdbRows(bytes, sql);
      expect(expected.length).toBeGreaterThan(0);
      const view = new FakeView(bytes);
      const { connection } = await openView(family, view);
      await connection.run("PRAGMA cache_size = 10");
      expect(await rowsOf(connection, sql)).toEqual(expected);
      expect(view.resident.size).toBeGreaterThan(0);
    });
  }

  it("pages evicted at random between reads, random residency, small cache", async () => {
    const random = seededRandom(testSeed);
    const view = new FakeView(bytes, { resident: allPages().filter(() => random() < 0.5) });
    view.beforeRead = () => {
      for (const page of view.resident.keys()) if (random() < 0.01) view.resident.delete(page);
    };
    const { connection } = await openView(family, view);
    await connection.run("PRAGMA cache_size = 10");
    for (const [name, sql] of Object.entries(QUERIES)) {
      expect(await rowsOf(connection, sql), `${name}, seed ${testSeed}`).toEqual(await memdbRows(bytes, sql));
    }
  });

  it("pages of the volume larger and smaller than those of the database", async () => {
    const expected = await memdbRows(bytes, RANGE);
    for (const pageSize of [512, 16_384, 65_536]) {
      const { connection } = await openView(family, new FakeView(bytes, { pageSize }));
      expect(await rowsOf(connection, RANGE)).toEqual(expected);
      expect(await rowsOf(connection, "PRAGMA integrity_check")).toEqual([["ok"]]);
    }
  });

  it("fetches only what is touched", async () => {
    const view = new FakeView(bytes);
    const { connection, bridge } = await openView(family, view);
    const before = view.resident.size;
    await connection.run("SELECT name FROM people WHERE id = 1234");
    expect(view.resident.size - before).toBeLessThanOrEqual(4);
    const batches = bridge.batches.length;
    await connection.run("SELECT name FROM people WHERE id = 1234");
    expect(bridge.batches.length).toBe(batches);
  });

  it("a database with a WAL header opens", async () => {
    const wal = bytes.slice();
    wal[18] = 2;
    wal[19] = 2;
    const { connection } = await openView(family, new FakeView(wal));
    expect(await rowsOf(connection, "SELECT count(*) FROM cities; ")).toEqual([[50]]);
    expect(await rowsOf(connection, "PRAGMA journal_mode")).toEqual([["truncate"]]);
    expect(await rowsOf(connection, "PRAGMA journal_mode = wal")).toEqual([["truncate"]]);
  });

  it("temporary tables and big sorts stay in memory files, which are given back", async () => {
    const { connection } = await openView(family, new FakeView(bytes), { tempBytes: 8 * 1_048_576 });
    const make =
      "CREATE TEMP TABLE t AS SELECT * FROM people; CREATE INDEX temp.i ON t(score); UPDATE t SET score = -score";
    // Three times what the budget holds once: what was dropped is given back.
    for (let i = 0; i < 6; i++) {
      await connection.run(make);
      expect(await rowsOf(connection, "SELECT count(*), min(score) FROM t")).toEqual([[4002, -1e300]]);
      await connection.run("DROP TABLE temp.t");
    }
  });

  it("a sort beyond the memory for temporary files is quota, and the connection goes on", async () => {
    const { connection } = await openView(family, new FakeView(bytes), { tempBytes: 1_048_576 });
    const sql =
      "SELECT max(n) FROM (SELECT row_number() OVER (ORDER BY k) AS n FROM (SELECT a.name || b.id AS k FROM people a, cities b WHERE b.id <= 20))";
    await expect(connection.run(`PRAGMA cache_size = 10; ${sql}`)).rejects.toMatchObject({
      code: "quota",
      message: expect.stringContaining("tempBytes"),
    });
    expect(await rowsOf(connection, "SELECT count(*) FROM cities")).toEqual([[50]]);
  });

  it("two VFSs of one instance do not disturb each other", async () => {
    const view = new FakeView(bytes);
    const first = await openView(family, view);
    const second = await openView(family, view);
    const count = "SELECT count(*) FROM people";
    const both = await Promise.all([rowsOf(first.connection, count), rowsOf(second.connection, count)]);
    expect(both).toEqual([[[4002]], [[4002]]]);
    await second.close();
    expect(await rowsOf(first.connection, "SELECT count(*) FROM cities")).toEqual([[50]]);
  });

  it("offsets beyond 4 GiB are read exactly", async () => {
    const small = await buildDatabase(
      `PRAGMA page_size = 65536; CREATE TABLE t(i INTEGER PRIMARY KEY, s TEXT); INSERT INTO t SELECT value, 'row ' || value FROM ${series(20_000)}`,
    );
    const view = new SparseView(small, 5 * 2 ** 30);
    const { connection } = await openView(family, fixedView(view));
    expect(await rowsOf(connection, "SELECT count(*), sum(i) FROM t")).toEqual([[20_000, 200_010_000]]);
    expect(view.highestOffset).toBeGreaterThan(2 ** 32);
  });
});

overFamilies("several connections of one instance, each in the middle of something", (family) => {
  it("do not disturb one another, whatever each waits for", async () => {
    const random = seededRandom(testSeed);
    const views = Array.from({ length: 4 }, () => new FakeView(bytes));
    const opened = await Promise.all(views.map((view) => openView(family, view)));
    for (const { connection } of opened) await connection.run("PRAGMA cache_size = 10");
    const names = Object.keys(QUERIES).filter((name) => !name.includes("spills"));
    const expected = new Map<string, unknown>();
    for (const name of names) expected.set(name, await memdbRows(bytes, QUERIES[name]!));
    const failing = new Set<unknown>();
    await Promise.all(
      opened.map(async ({ connection, bridge }, i) => {
        for (let n = 0; n < 12; n++) {
          const name = names[Math.floor(random() * names.length)]!;
          views[i]!.resident.clear();
          const fails = random() < 0.2;
          bridge.beforeBatch = () => {
            if (fails) throw new PagefoldError("unavailable", `connection ${i}`);
          };
          const found = await rowsOf(connection, QUERIES[name]!).catch((error: unknown) => error);
          // Each gets its own rows, or its own error.
          if (!fails) expect(found, `${name}, seed ${testSeed}`).toEqual(expected.get(name));
          else {
            expect(found).toMatchObject({ code: "unavailable", message: `connection ${i}` });
            failing.add(i);
          }
        }
      }),
    );
    expect(failing.size).toBeGreaterThan(1);
  });
});

overFamilies("what a statement is given and gives", (family) => {
  it("values read as they were bound", async () => {
    const { connection } = await openView(family, new FakeView(bytes));
    const values = [
      ...[null, 1, -1.5, 2 ** 53 - 1, -(2n ** 63n), 2n ** 63n - 1n],
      ...["", "a\0b", "\ufeffbom", "日本 📄", new Uint8Array(0), new Uint8Array([0, 255])],
    ];
    const sql = `SELECT ${values.map(() => "?").join(", ")}`;
    expect(await rowsOf(connection, sql, values)).toEqual([values]);
    expect(await rowsOf(connection, "SELECT ?, ?, typeof(?)", [true, undefined, -0])).toEqual([
      [1, null, "real"],
    ]);
    expect(await rowsOf(connection, "SELECT 9007199254740992, 9007199254740991, -9007199254740992")).toEqual([
      [2n ** 53n, 2 ** 53 - 1, -(2n ** 53n)],
    ]);
  });

  it("parameters go to the statements by position and by name", async () => {
    const { connection } = await openView(family, new FakeView(bytes));
    const run = async (sql: string, parameters: Parameters<typeof connection.run>[1]) =>
      (await connection.run(sql, parameters)).map(({ rows }) => rows);
    expect(await run("SELECT ?; SELECT ?, ?", [1, 2, 3])).toEqual([[[1]], [[2, 3]]]);
    expect(await run("SELECT :a, @b, $c; SELECT :a", { a: 1, "@b": 2, $c: 3 })).toEqual([[[1, 2, 3]], [[1]]]);
    const wrong: Parameters<typeof run>[] = [
      ["SELECT ?", []],
      ["SELECT ?", [1, 2]],
      ["SELECT :a", {}],
      ["SELECT :a", { a: 1, b: 2 }],
      ["SELECT ?", [2n ** 63n]],
      ["SELECT ?", [new Date() as never]],
    ];
    for (const [sql, parameters] of wrong)
      await expect(run(sql, parameters)).rejects.toMatchObject({ code: "invalid" });
    // Also from the cache of prepared statements.
    expect(await run("SELECT ?", [5])).toEqual([[[5]]]);
    for (const [sql, parameters] of wrong)
      await expect(run(sql, parameters)).rejects.toMatchObject({ code: "invalid" });
    expect(await run("SELECT ?", [6])).toEqual([[[6]]]);
  });

  it("a result per statement; comments and blanks are nothing", async () => {
    const { connection } = await openView(family, new FakeView(bytes));
    expect(await lastOf(connection, "SELECT 1 AS a; BEGIN; COMMIT; -- end\n ;")).toEqual({
      columns: ["a"],
      rows: [[1]],
    });
    expect(await connection.run("SELECT 1; BEGIN; COMMIT")).toHaveLength(3);
    expect(await connection.run("  -- nothing")).toEqual([]);
    expect(await lastOf(connection, "SELECT 1 AS x, 2 AS x WHERE 0")).toEqual({
      columns: ["x", "x"],
      rows: [],
    });
  });

  it("resident pages need no bridge, and the first fault without one is unavailable", async () => {
    const view = new FakeView(bytes, { resident: allPages() });
    const { connection } = await openView(family, view, { bridge: new ResidentOnlyBridge() });
    expect(await rowsOf(connection, RANGE)).toEqual(await memdbRows(bytes, RANGE));
    view.resident.clear();
    await expect(connection.run("SELECT count(*) FROM people")).rejects.toMatchObject({
      code: "unavailable",
      retryable: false,
    });
  });
});
