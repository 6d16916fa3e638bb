import type { Sqlite3Static } from "@sqlite.org/sqlite-wasm";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { testSeed } from "../local/xxh64.ts";
import { formatResult, formatValue, hashLine, hashValues, type SqlValue } from "./format.ts";
import { realText, threeDecimals, toReal } from "./numbers.ts";
import type { ColumnType } from "./parse.ts";
import { loadSqlite } from "./targets.ts";

/** Beyond it SQLite works with powers of ten that it only has to 64 bits. */
const EXACT_BELOW = 1e17;

const bytes = (...values: number[]) => Uint8Array.from(values);

describe("a value in a sqllogictest file", () => {
  it.each<[SqlValue, ColumnType, string]>([
    [null, "T", "NULL"],
    [null, "I", "NULL"],
    [null, "R", "NULL"],
    ["", "T", "(empty)"],
    ["two words", "T", "two words"],
    ["a\tb\nc\x7f", "T", "a@b@c@"],
    ["é€🙂", "T", "@@@@@@@@@"],
    ["seen\0unseen", "T", "seen"],
    ["\0unseen", "T", "(empty)"],
    [bytes(), "T", "(empty)"],
    [bytes(0, 65), "T", "(empty)"],
    [bytes(65, 255, 66), "T", "A@B"],
    [7, "T", "7"],
    [-0.5, "T", "-0.5"],
    [1e300, "T", "1.0e+300"],
    [9007199254740993n, "T", "9007199254740993"],
    [7, "I", "7"],
    [-7.9, "I", "-7"],
    [2 ** 31, "I", "-2147483648"],
    [2 ** 32 + 5, "I", "5"],
    [1e300, "I", "-1"],
    [-1e300, "I", "0"],
    [9007199254740993n, "I", "1"],
    ["12 monkeys", "I", "12"],
    [bytes(52, 50), "I", "42"],
    ["", "I", "0"],
    [7, "R", "7.000"],
    [2 / 3, "R", "0.667"],
    [-0.0001, "R", "-0.000"],
    [0.0625, "R", "0.063"],
    [9223372036854775807n, "R", "9223372036854776000.000"],
    [-(2 ** 64), "R", "-18446744073709550000.000"],
    [" 1e3 ", "R", "1000.000"],
    ["x", "R", "0.000"],
    [Number.POSITIVE_INFINITY, "R", "Inf"],
  ])("%s as %s is %s", (value, type, text) => {
    expect(formatValue(value, type)).toBe(text);
  });
});

describe("a result in a sqllogictest file", () => {
  const rows = [
    [9, "b"],
    [10, "a"],
    [10, null],
    [-1, ""],
  ];
  it("stays in the order of its rows", () => {
    expect(formatResult(rows, ["I", "T"], "nosort")).toEqual([
      "9",
      "b",
      "10",
      "a",
      "10",
      "NULL",
      "-1",
      "(empty)",
    ]);
  });
  it("is sorted by rows, as text", () => {
    expect(formatResult(rows, ["I", "T"], "rowsort")).toEqual([
      "-1",
      "(empty)",
      "10",
      "NULL",
      "10",
      "a",
      "9",
      "b",
    ]);
  });
  it("is sorted by values, as text", () => {
    expect(formatResult(rows, ["I", "T"], "valuesort")).toEqual([
      "(empty)",
      "-1",
      "10",
      "10",
      "9",
      "NULL",
      "a",
      "b",
    ]);
  });
  it("leaves its rows as they were", () => {
    expect(rows[0]).toEqual([9, "b"]);
  });
  it("hashes each value with a newline", () => {
    expect(hashValues([])).toBe("d41d8cd98f00b204e9800998ecf8427e");
    // md5sum of "1\n2\n"
    expect(hashValues(["1", "2"])).toBe("6ddb4095eb719e2a9f0a3f95677d24e0");
    expect(hashLine(2, "6ddb4095eb719e2a9f0a3f95677d24e0")).toBe(
      "2 values hashing to 6ddb4095eb719e2a9f0a3f95677d24e0",
    );
  });
});

/** The same conversions by the functions that SQLite's own runner calls. */
describe("numbers are turned as SQLite turns them", () => {
  let sqlite: ReturnType<typeof conversions>;
  beforeAll(async () => {
    sqlite = conversions(await loadSqlite());
  });
  afterAll(() => sqlite.close());

  const texts = fc.oneof(
    fc.stringMatching(/^[ \t]{0,2}[-+]{0,2}\d{0,25}\.?\d{0,12}([eE][-+]?\d{0,2})?[ x\t]?$/),
    fc.constantFrom(
      "inf",
      "nan",
      "0x10",
      "1_000",
      "-9223372036854775808",
      "9223372036854775808",
      ".e5",
      "１",
    ),
  );

  it("text as an integer and as a real", () => {
    fc.assert(
      fc.property(texts, (text) => {
        const expected = sqlite.ofText(text);
        expect({ text, shown: formatValue(text, "I") }).toEqual({ text, shown: expected.int });
        if (Math.abs(toReal(text)) < EXACT_BELOW)
          expect({ text, shown: formatValue(text, "R") }).toEqual({ text, shown: expected.real });
      }),
      { seed: testSeed, numRuns: 5000 },
    );
  });

  const reals = fc.oneof(
    fc.double({ noNaN: true }),
    fc.double({ noNaN: true, min: -1e6, max: 1e6 }),
    // Quotients as averages have them, and numbers that lie on or beside the middle between two thousandths.
    fc.tuple(fc.integer(), fc.integer({ min: 1, max: 1000 })).map(([a, b]) => a / b),
    fc.integer({ min: -2_000_000, max: 2_000_000 }).map((n) => (2 * n + 1) / 2000),
    fc.bigInt({ min: -(2n ** 56n), max: 2n ** 56n }).map(Number),
  );

  it("a real as an integer and with three decimals", () => {
    fc.assert(
      fc.property(reals, (value) => {
        const expected = sqlite.ofReal(value);
        expect({ value, shown: formatValue(value, "I") }).toEqual({ value, shown: expected.int });
        if (Math.abs(value) < EXACT_BELOW)
          expect({ value, shown: threeDecimals(value) }).toEqual({ value, shown: expected.real });
      }),
      { seed: testSeed, numRuns: 10_000 },
    );
  });

  const shortReals = fc
    .tuple(fc.integer({ min: -(10 ** 9), max: 10 ** 9 }), fc.integer({ min: -12, max: 12 }))
    .map(([digits, exponent]) => Number(`${digits}e${exponent}`))
    .filter((value) => value === 0 || (Math.abs(value) >= 0.001 && Math.abs(value) < EXACT_BELOW));

  it("a real of a few digits as text", () => {
    fc.assert(
      fc.property(shortReals, (value) => {
        expect(realText(value)).toBe(sqlite.ofReal(value).text);
      }),
      { seed: testSeed, numRuns: 5000 },
    );
  });
});

function conversions({ oo1, capi }: Sqlite3Static) {
  const db = new oo1.DB(":memory:", "c");
  const statement = db.prepare("SELECT ?1, printf('%.3f', CAST(?1 AS REAL))");
  const pointer = statement.pointer ?? 0;
  const read = () => {
    capi.sqlite3_step(pointer);
    const int = `${capi.sqlite3_column_int(pointer, 0)}`;
    const real = capi.sqlite3_column_text(pointer, 1);
    const text = capi.sqlite3_column_text(pointer, 0);
    capi.sqlite3_reset(pointer);
    return { int, real, text };
  };
  return {
    ofText(value: string) {
      statement.bind(1, value);
      const { int, real } = read();
      return { int, real };
    },
    ofReal(value: number) {
      capi.sqlite3_bind_double(pointer, 1, value);
      return read();
    },
    close() {
      statement.finalize();
      db.close();
    },
  };
}
