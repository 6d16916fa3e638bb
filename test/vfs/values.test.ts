/** Values at their edges, on their way to SQLite and back, over every thread and bridge. */
import { expect, it } from "vitest";
import type { SqlParameter } from "../../vfs/index.ts";
import { overBridges, SharedDatabase } from "./bridges.ts";

overBridges("values", (bridge) => {
  const shared = new SharedDatabase(bridge, "CREATE TABLE t(k INTEGER PRIMARY KEY, v)");

  /** What a value comes back as from a table, and what SQLite calls it. */
  async function roundTrip(value: SqlParameter): Promise<unknown[]> {
    const { database } = shared;
    await database.exec("INSERT OR REPLACE INTO t VALUES (1, ?)", [value]);
    return (await database.execute("SELECT v, typeof(v) FROM t WHERE k = 1")).rows[0] ?? [];
  }

  it.each<[SqlParameter, unknown, string]>([
    [null, null, "null"],
    [undefined, null, "null"],
    [true, 1, "integer"],
    [false, 0, "integer"],
    [0, 0, "integer"],
    [-0, -0, "real"],
    [1.5, 1.5, "real"],
    [Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER, "integer"],
    [Number.MIN_SAFE_INTEGER, Number.MIN_SAFE_INTEGER, "integer"],
    [2 ** 53, 2 ** 53, "real"],
    [5n, 5, "integer"],
    [2n ** 53n - 1n, Number.MAX_SAFE_INTEGER, "integer"],
    [2n ** 53n, 2n ** 53n, "integer"],
    [2n ** 53n + 1n, 2n ** 53n + 1n, "integer"],
    [-(2n ** 53n), -(2n ** 53n), "integer"],
    [2n ** 63n - 1n, 2n ** 63n - 1n, "integer"],
    [-(2n ** 63n), -(2n ** 63n), "integer"],
    [Number.MAX_VALUE, Number.MAX_VALUE, "real"],
    [Number.MIN_VALUE, Number.MIN_VALUE, "real"],
    [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY, "real"],
    [Number.NaN, null, "null"],
    ["", "", "text"],
    ["a\0b\0", "a\0b\0", "text"],
    ["\ufeffwith a mark", "\ufeffwith a mark", "text"],
    ["日本 📄 \u{10ffff}", "日本 📄 \u{10ffff}", "text"],
    ["a lone \ud800 surrogate", "a lone \ufffd surrogate", "text"],
    ["'; DROP TABLE t; --", "'; DROP TABLE t; --", "text"],
    [new Uint8Array(0), new Uint8Array(0), "blob"],
    [new Uint8Array([0, 255, 0]), new Uint8Array([0, 255, 0]), "blob"],
    [new Uint8Array([1, 2, 3, 4, 5]).subarray(1, 3), new Uint8Array([2, 3]), "blob"],
    [Buffer.from("a buffer"), new Uint8Array(Buffer.from("a buffer")), "blob"],
  ])("%o", async (value, expected, type) => {
    const [got, gotType] = await roundTrip(value);
    expect(gotType).toBe(type);
    expect(Object.is(got, expected) || (got instanceof Uint8Array && expected instanceof Uint8Array)).toBe(
      true,
    );
    expect(got).toEqual(expected);
  });

  it("of megabytes, whole and unaltered, and a caller's bytes stay the caller's", async () => {
    const { database } = shared;
    const blob = Uint8Array.from({ length: 3_000_000 }, (_, i) => (i * 31) % 251);
    const text = "päge ".repeat(300_000);
    const row = await database.queryOne("SELECT ? AS b, ? AS s, length(?2) AS n", [blob, text]);
    const back = row?.b as Uint8Array;
    expect(Buffer.compare(back, blob)).toBe(0);
    expect(row?.s === text).toBe(true);
    expect(row?.n).toBe(text.length);
    expect(blob.length).toBe(3_000_000);
    expect(back.buffer.byteLength).toBe(3_000_000);
  });

  it("too large or of no kind that SQLite has are invalid or quota, and the statement was not run", async () => {
    const { database } = shared;
    for (const value of [
      2n ** 63n,
      -(2n ** 63n) - 1n,
      {},
      [],
      new Date(),
      new Float64Array(2),
      new ArrayBuffer(2),
    ]) {
      await expect(database.exec("INSERT INTO t VALUES (7, ?)", [value as never])).rejects.toMatchObject({
        code: "invalid",
        message: expect.stringMatching(/parameter 1 is/),
      });
    }
    await expect(database.query("SELECT zeroblob(2000000000)")).rejects.toMatchObject({ code: "quota" });
    await expect(database.query("SELECT printf('%.*c', 2000000000, 'x')")).rejects.toMatchObject({
      code: "quota",
    });
    expect(await database.query("SELECT * FROM t WHERE k = 7")).toEqual([]);
    expect(await database.query("SELECT 1 AS one")).toEqual([{ one: 1 }]);
  });

  it("under any name: the last of two that are equal, one that would be the prototype, none at all", async () => {
    const { database } = shared;
    const [row] = await database.query(
      `SELECT 1 AS "a b", 2 AS "", 3 AS x, 4 AS x, 5 AS "__proto__", 6 AS "constructor"`,
    );
    expect(Object.entries(row ?? {})).toEqual([
      ["a b", 1],
      ["", 2],
      ["x", 4],
      ["__proto__", 5],
      ["constructor", 6],
    ]);
    expect(Object.getPrototypeOf(row)).toBe(Object.prototype);
    expect((await database.execute("SELECT 3 AS x, 4 AS x")).rows).toEqual([[3, 4]]);
  });

  it("many at once: columns, parameters, rows", async () => {
    const { database } = shared;
    const columns = Array.from({ length: 1999 }, (_, i) => `${i} AS c${i}`);
    expect(Object.keys((await database.query(`SELECT ${columns.join(", ")}`))[0] ?? {})).toHaveLength(1999);
    const values = Array.from({ length: 30_000 }, (_, i) => i);
    const [sum] = await database.query(
      `SELECT count(*) AS n, sum(column1) AS sum FROM (VALUES ${values.map(() => "(?)").join(", ")})`,
      values,
    );
    expect(sum).toEqual({ n: 30_000, sum: (29_999 * 30_000) / 2 });
    const rows = await database.query(
      "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 50000) SELECT i, 'row ' || i AS s FROM c",
    );
    expect(rows).toHaveLength(50_000);
    expect(rows.at(-1)).toEqual({ i: 50_000, s: "row 50000" });
    await expect(database.query("SELECT ?40000", [1])).rejects.toMatchObject({ code: "invalid" });
  });

  it("by name, with or without the mark that SQL has", async () => {
    const { database } = shared;
    const sql = "SELECT :a AS a, @b AS b, $c AS c, ?4 AS four";
    expect(await database.query(sql, { a: 1, "@b": 2, $c: 3, "4": 4 } as never)).toEqual([
      { a: 1, b: 2, c: 3, four: 4 },
    ]);
    await expect(database.query(sql, { a: 1, b: 2, c: 3 })).rejects.toMatchObject({
      code: "invalid",
      message: expect.stringMatching(/\?4 has no value/),
    });
    await expect(database.query("SELECT :a", { a: 1, b: 2 })).rejects.toMatchObject({
      code: "invalid",
      message: expect.stringMatching(/no parameter "b"/),
    });
    expect(await database.query("SELECT :signal AS s", { signal: "a value" })).toEqual([{ s: "a value" }]);
  });
});
