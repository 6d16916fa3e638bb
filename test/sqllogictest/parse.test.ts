import { describe, expect, it } from "vitest";
import { parseSqlLogicTest } from "./parse.ts";

const parse = (text: string) => parseSqlLogicTest(text, "x.test");

describe("parsing a sqllogictest file", () => {
  it("reads statements and queries with where they stand", () => {
    const text = [
      "# A comment",
      "statement ok",
      "CREATE TABLE t(",
      "  a INTEGER)",
      "",
      "",
      "statement error",
      "nonsense",
      "",
      "query ITR rowsort some-label",
      "SELECT a, b, c",
      "  FROM t",
      "----",
      "1",
      "two words ",
      "3.000",
    ].join("\n");
    expect(parse(text)).toEqual([
      { kind: "statement", line: 2, conditions: [], expect: "ok", sql: "CREATE TABLE t(\n  a INTEGER)" },
      { kind: "statement", line: 7, conditions: [], expect: "error", sql: "nonsense" },
      {
        kind: "query",
        line: 10,
        conditions: [],
        types: ["I", "T", "R"],
        sort: "rowsort",
        label: "some-label",
        sql: "SELECT a, b, c\n  FROM t",
        expected: { kind: "values", values: ["1", "two words ", "3.000"] },
      },
    ]);
  });

  it("takes a query without results, or without a sort mode, for an unsorted one of an empty set", () => {
    const query = { kind: "query", types: ["I"], sort: "nosort", label: undefined, sql: "SELECT 1" };
    const none = { ...query, conditions: [], expected: { kind: "values", values: [] } };
    expect(parse("query I\nSELECT 1")).toEqual([{ ...none, line: 1 }]);
    expect(parse("query I nosort\nSELECT 1\n----\n\n\n")).toEqual([{ ...none, line: 1 }]);
  });

  it("tells a hash from values", () => {
    const md5 = "3c13dee48d9356ae19af2515e05e6b54";
    const expected = (lines: string) => parse(`query I\nSELECT 1\n----\n${lines}`)[0];
    expect(expected(`30 values hashing to ${md5}`)).toMatchObject({
      expected: { kind: "hash", count: 30, md5 },
    });
    expect(expected(`30 values hashing to ${md5.slice(1)}`)).toMatchObject({ expected: { kind: "values" } });
    expect(expected(`30 values hashing to ${md5}\n1`)).toMatchObject({ expected: { kind: "values" } });
  });

  it("reads lines that end in CR LF, and lines of blanks as blank", () => {
    const text =
      "statement ok\r\nCREATE TABLE t(a)\r\n \t\r\nquery T valuesort\r\nSELECT 'x'\r\n----\r\nx\r\n\r\n";
    expect(parse(text)).toMatchObject([
      { line: 1, sql: "CREATE TABLE t(a)" },
      { line: 4, sort: "valuesort", sql: "SELECT 'x'", expected: { values: ["x"] } },
    ]);
  });

  it("drops comments wherever they stand, without ending a record there", () => {
    const text = "statement ok\n# one\nSELECT\n#two\n 1\n# three\n\nquery I\nSELECT 2\n----\n# four\n2\n";
    expect(parse(text)).toMatchObject([
      { line: 1, sql: "SELECT\n 1" },
      { line: 8, expected: { values: ["2"] } },
    ]);
    // Only at the start of a line: this is SQL, or a value.
    expect(parse("statement ok\nSELECT 1 # x")).toMatchObject([{ sql: "SELECT 1 # x" }]);
  });

  it("keeps conditions with their record, remarks after them aside", () => {
    const text =
      "skipif mssql\nonlyif sqlite # empty RHS\nquery I nosort # a remark\nSELECT 1 IN ()\n----\n0";
    expect(parse(text)).toMatchObject([
      {
        line: 3,
        label: undefined,
        conditions: [
          { kind: "skipif", engine: "mssql" },
          { kind: "onlyif", engine: "sqlite" },
        ],
      },
    ]);
  });

  it("reads hash-threshold and halt, and nothing after a halt for all engines", () => {
    const text =
      "hash-threshold 8\n\nonlyif mysql\nhalt\n\nstatement ok\nSELECT 1\n\nhalt\n\nno record at all";
    expect(parse(text)).toMatchObject([
      { kind: "hash-threshold", threshold: 8 },
      { kind: "halt", line: 4, conditions: [{ engine: "mysql" }] },
      { kind: "statement" },
      { kind: "halt", line: 9 },
    ]);
  });

  it("finds no records in an empty file", () => {
    expect(parse("")).toEqual([]);
    expect(parse("\n  \n# only a comment\n")).toEqual([]);
  });
});

describe("a malformed sqllogictest file", () => {
  it.each([
    ["an unknown record", "statement ok\nSELECT 1\n\nstatment ok\nSELECT 2", "x.test:4: ", "statment"],
    ["SQL without a record", "SELECT 1\n", "x.test:1: ", "SELECT"],
    ["a statement of no kind", "\nstatement\nSELECT 1", "x.test:2: ", "statement ok"],
    ["a statement of an unknown kind", "statement count 3\nSELECT 1", "x.test:1: ", "count"],
    ["a statement without SQL", "statement ok\n\nSELECT 1", "x.test:1: ", "no SQL"],
    ["a statement with results", "# c\nstatement ok\nSELECT 1\n----\n1", "x.test:4: ", "no results"],
    ["a query without types", "query\nSELECT 1", "x.test:1: ", "letter"],
    ["a query of an unknown type", "query IX\nSELECT 1, 2", "x.test:1: ", '"X" in "IX"'],
    ["an unknown sort mode", "query I rowsorted\nSELECT 1", "x.test:1: ", "rowsorted"],
    ["a query without SQL", "query I\n----\n1", "x.test:1: ", "no SQL"],
    ["a query of comments only", "query I\n# SELECT 1\n", "x.test:1: ", "no SQL"],
    ["a condition without an engine", "skipif\nstatement ok\nSELECT 1", "x.test:1: ", "no engine"],
    [
      "a condition without a record",
      "\nskipif mysql\nonlyif sqlite\n\nhalt",
      "x.test:3: ",
      "followed by nothing",
    ],
    ["a threshold of no number", "hash-threshold many", "x.test:1: ", "many"],
    ["a threshold without a number", "hash-threshold", "x.test:1: ", "number"],
  ])("%s", (_what, text, place, word) => {
    expect(() => parse(text)).toThrow(
      expect.objectContaining({ code: "invalid", message: expect.stringContaining(word) }),
    );
    expect(() => parse(text)).toThrow(
      expect.objectContaining({ message: expect.stringMatching(`^${place}`) }),
    );
  });
});
