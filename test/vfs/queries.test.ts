/** Real SQL over partially resident views: the same rows as SQLite's own in-memory database, whatever is resident or evicted. */
import { beforeAll, describe, expect, it } from "vitest";
import { ResidentOnlyBridge } from "../../vfs/bridge/bridge.ts";
import { fixedView } from "../../vfs/sqlite/view-source.ts";
import { FakeView } from "./fake-view.ts";
import { SparseView } from "./sparse-view.ts";
import { buildDatabase, memdbRows, openView, seeded } from "./sqlite.ts";

const seed = Number(process.env.PAGEFOLD_TEST_SEED ?? 42);

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

/** memdb's rows come with bigints wherever SQLite's API gives them; here only where a number cannot hold them. */
function normalized(rows: readonly unknown[][]): unknown[][] {
  return rows.map((row) =>
    row.map((v) => (typeof v === "bigint" && Number.isSafeInteger(Number(v)) ? Number(v) : v)),
  );
}

describe("invariant 6: a partial replica reads the same bytes as a full one", () => {
  for (const [name, sql] of Object.entries(QUERIES)) {
    it(`${name}: nothing resident at first`, async () => {
      const expected = normalized(await memdbRows(bytes, sql));
      expect(expected.length).toBeGreaterThan(0);
      const view = new FakeView(bytes);
      const { connection, close } = await openView(view);
      connection.run("PRAGMA cache_size = 10");
      expect(connection.run(sql).rows).toEqual(expected);
      expect(view.resident.size).toBeGreaterThan(0);
      close();
    });
  }

  it("pages evicted at random between reads, random residency, small cache", async () => {
    const random = seeded(seed);
    const resident = Array.from({ length: Math.ceil(bytes.length / 4096) }, (_, i) => i + 1).filter(
      () => random() < 0.5,
    );
    const view = new FakeView(bytes, { resident });
    view.beforeRead = () => {
      for (const page of view.resident.keys()) if (random() < 0.01) view.resident.delete(page);
    };
    const { connection, close } = await openView(view);
    connection.run("PRAGMA cache_size = 10");
    for (const [name, sql] of Object.entries(QUERIES)) {
      expect(connection.run(sql).rows, `${name}, seed ${seed}`).toEqual(
        normalized(await memdbRows(bytes, sql)),
      );
    }
    close();
  });

  it("pages of the volume larger and smaller than those of the database", async () => {
    const expected = normalized(await memdbRows(bytes, RANGE));
    for (const pageSize of [512, 16_384, 65_536]) {
      const { connection, close } = await openView(new FakeView(bytes, { pageSize }));
      expect(connection.run(RANGE).rows).toEqual(expected);
      expect(connection.run("PRAGMA integrity_check").rows).toEqual([["ok"]]);
      close();
    }
  });

  it("fetches only what is touched", async () => {
    const view = new FakeView(bytes);
    const { connection, bridge, close } = await openView(view);
    const before = view.resident.size;
    connection.run("SELECT name FROM people WHERE id = 1234");
    expect(view.resident.size - before).toBeLessThanOrEqual(4);
    const batches = bridge.batches.length;
    connection.run("SELECT name FROM people WHERE id = 1234");
    expect(bridge.batches.length).toBe(batches);
    close();
  });

  it("reads resident pages without any bridge, and says unavailable at the first fault", async () => {
    const view = new FakeView(bytes, {
      resident: Array.from({ length: bytes.length / 4096 }, (_, i) => i + 1),
    });
    const { connection, close } = await openView(view, { bridge: new ResidentOnlyBridge() });
    const expected = normalized(await memdbRows(bytes, RANGE));
    expect(connection.run(RANGE).rows).toEqual(expected);
    view.resident.clear();
    expect(() => connection.run("SELECT count(*) FROM people")).toThrow(
      expect.objectContaining({ code: "unavailable", retryable: false }),
    );
    close();
  });
});

describe("values", () => {
  it("read as they were bound", async () => {
    const { connection, close } = await openView(new FakeView(bytes));
    const values = [
      null,
      1,
      -1.5,
      2 ** 53 - 1,
      -(2n ** 63n),
      2n ** 63n - 1n,
      "",
      "a\0b",
      "\ufeffbom",
      "日本 📄",
      new Uint8Array(0),
      new Uint8Array([0, 255]),
    ];
    const sql = `SELECT ${values.map(() => "?").join(", ")}`;
    expect(connection.run(sql, values).rows).toEqual([values]);
    expect(connection.run("SELECT ?, ?, typeof(?)", [true, undefined, -0]).rows).toEqual([[1, null, "real"]]);
    expect(connection.run("SELECT 9007199254740992, 9007199254740991, -9007199254740992").rows).toEqual([
      [2n ** 53n, 2 ** 53 - 1, -(2n ** 53n)],
    ]);
    close();
  });

  it("parameters go to the statements by position and by name", async () => {
    const { connection, close } = await openView(new FakeView(bytes));
    expect(connection.run("SELECT ?; SELECT ?, ?", [1, 2, 3]).rows).toEqual([[2, 3]]);
    expect(connection.run("SELECT :a, @b, $c; SELECT :a", { a: 1, "@b": 2, $c: 3 }).rows).toEqual([[1]]);
    const invalid = expect.objectContaining({ code: "invalid" });
    expect(() => connection.run("SELECT ?", [])).toThrow(invalid);
    expect(() => connection.run("SELECT ?", [1, 2])).toThrow(invalid);
    expect(() => connection.run("SELECT :a", {})).toThrow(invalid);
    expect(() => connection.run("SELECT :a", { a: 1, b: 2 })).toThrow(invalid);
    expect(() => connection.run("SELECT ?", [2n ** 63n])).toThrow(invalid);
    expect(() => connection.run("SELECT ?", [new Date() as never])).toThrow(invalid);
    close();
  });

  it("several statements: the rows of the last one that has columns; comments and blanks are nothing", async () => {
    const { connection, close } = await openView(new FakeView(bytes));
    expect(connection.run("SELECT 1 AS a; BEGIN; COMMIT; -- end\n ;")).toEqual({
      columns: ["a"],
      rows: [[1]],
    });
    expect(connection.run("  -- nothing")).toEqual({ columns: [], rows: [] });
    expect(connection.run("SELECT 1 AS x, 2 AS x WHERE 0")).toEqual({ columns: ["x", "x"], rows: [] });
    close();
  });
});

describe("what SQLite is shown", () => {
  it("a database with a WAL header opens", async () => {
    const wal = bytes.slice();
    wal[18] = 2;
    wal[19] = 2;
    const { connection, close } = await openView(new FakeView(wal));
    expect(connection.run("SELECT count(*) FROM cities; ").rows).toEqual([[50]]);
    expect(connection.run("PRAGMA journal_mode").rows).toEqual([["delete"]]);
    close();
  });

  it("temporary tables and big sorts stay in memory files, which are given back", async () => {
    const { connection, close } = await openView(new FakeView(bytes));
    connection.run(
      "CREATE TEMP TABLE t AS SELECT * FROM people; CREATE INDEX temp.i ON t(score); UPDATE t SET score = -score",
    );
    expect(connection.run("SELECT count(*), min(score) FROM t").rows).toEqual([[4002, -1e300]]);
    connection.run("DROP TABLE temp.t");
    close();
  });

  it("a sort beyond the memory for temporary files is quota, and the connection goes on", async () => {
    const { connection, close } = await openView(new FakeView(bytes), { tempBytes: 1_048_576 });
    const sql =
      "SELECT max(n) FROM (SELECT row_number() OVER (ORDER BY k) AS n FROM (SELECT a.name || b.id AS k FROM people a, cities b WHERE b.id <= 20))";
    expect(() => connection.run(`PRAGMA cache_size = 10; ${sql}`)).toThrow(
      expect.objectContaining({ code: "quota" }),
    );
    expect(connection.run("SELECT count(*) FROM cities").rows).toEqual([[50]]);
    close();
  });

  it("two connections of one VFS do not disturb each other", async () => {
    const view = new FakeView(bytes);
    const first = await openView(view);
    const second = await openView(view);
    expect(first.connection.run("SELECT count(*) FROM people").rows).toEqual(
      second.connection.run("SELECT count(*) FROM people").rows,
    );
    second.close();
    expect(first.connection.run("SELECT count(*) FROM cities").rows).toEqual([[50]]);
    first.close();
  });
});

describe("offsets beyond 4 GiB", () => {
  it("are read exactly", async () => {
    const small = await buildDatabase(
      `PRAGMA page_size = 65536; CREATE TABLE t(i INTEGER PRIMARY KEY, s TEXT); INSERT INTO t SELECT value, 'row ' || value FROM ${series(20_000)}`,
    );
    const view = new SparseView(small, 5 * 2 ** 30);
    const { connection, close } = await openView(fixedView(view));
    expect(connection.run("SELECT count(*), sum(i) FROM t").rows).toEqual([[20_000, 200_010_000]]);
    expect(view.highestOffset).toBeGreaterThan(2 ** 32);
    close();
  });
});
