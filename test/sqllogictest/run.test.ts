import { describe, expect, it } from "vitest";
import { parseSqlLogicTest } from "./parse.ts";
import {
  FAILURES_KEPT,
  failuresText,
  type RunOptions,
  type RunReport,
  runRecords,
  type SqlTarget,
} from "./run.ts";
import { targets } from "./targets.ts";

async function run(text: string, options: Partial<RunOptions> = {}): Promise<RunReport> {
  const target = await targets[0]!.open();
  try {
    return await runRecords(parseSqlLogicTest(text, "x.test"), target, { file: "x.test", ...options });
  } finally {
    await target.close();
  }
}

const failure = async (text: string) => (await run(text)).failures[0];

const setup =
  "statement ok\nCREATE TABLE t(a INTEGER, b TEXT)\n\nstatement ok\nINSERT INTO t VALUES(2,'y'),(1,'x')\n\n";

describe("running a sqllogictest file", () => {
  it("counts what it ran and what was for others", async () => {
    const text = `${setup}skipif sqlite\nstatement ok\nnonsense\n\nonlyif mysql\nstatement ok\nnonsense\n\nonlyif SQLite\nquery I\nSELECT 1\n----\n1`;
    expect(await run(text)).toEqual({
      statements: 2,
      queries: 1,
      skipped: 2,
      halted: false,
      failed: 0,
      failures: [],
    });
    expect(await run(text, { engine: "mysql" })).toMatchObject({ skipped: 1, failed: 2 });
  });

  it("ends at a halt, but not at that of another engine", async () => {
    const text = "onlyif mssql\nhalt\n\nstatement ok\nSELECT 1\n\nhalt\n\nstatement ok\nnonsense";
    expect(await run(text)).toMatchObject({ statements: 1, halted: true, failed: 0 });
  });

  it("says where a result is wrong and how", async () => {
    const wrong = await failure(`${setup}query IT rowsort\nSELECT a, b FROM t\n----\n1\nx\n2\nz`);
    expect(wrong).toEqual({
      file: "x.test",
      line: 7,
      sql: "SELECT a, b FROM t",
      expected: "4 values\n  1\n  x\n  2\n  z",
      got: "4 values\n  1\n  x\n  2\n  y",
    });
  });

  it.each([
    ["a value too few", "query I rowsort\nSELECT a FROM t\n----\n1"],
    ["a value too many", "query I rowsort\nSELECT a FROM t\n----\n1\n2\n3"],
    ["rows where none should be", "query I rowsort\nSELECT a FROM t\n----"],
    ["no rows where some should be", "query I\nSELECT a FROM t WHERE 0\n----\n1"],
    ["the wrong order", "query I nosort\nSELECT a FROM t ORDER BY a\n----\n2\n1"],
    [
      "the wrong hash",
      "query I rowsort\nSELECT a FROM t\n----\n2 values hashing to 6ddb4095eb719e2a9f0a3f95677d24e1",
    ],
    [
      "the wrong count",
      "query I rowsort\nSELECT a FROM t\n----\n3 values hashing to 6ddb4095eb719e2a9f0a3f95677d24e0",
    ],
    ["fewer columns than types", "query IT\nSELECT a FROM t WHERE 0"],
    ["more columns than types", "query I\nSELECT a, b FROM t WHERE 0"],
    ["no columns", "query I\nDELETE FROM t WHERE 0"],
    ["a query that SQLite refuses", "query I\nSELECT c FROM t"],
    ["a statement that SQLite refuses", "statement ok\nSELECT c FROM t"],
    ["a statement that SQLite should refuse", "statement error\nSELECT a FROM t"],
  ])("finds %s", async (_what, record) => {
    expect(await run(setup + record)).toMatchObject({ failed: 1, failures: [{ line: 7 }] });
  });

  it("takes a hash for the list it stands for, and a list for a hash", async () => {
    const query = "query I rowsort\nSELECT a FROM t\n----\n";
    const text = `${setup}hash-threshold 1\n\n${query}2 values hashing to 6ddb4095eb719e2a9f0a3f95677d24e0\n\n${query}1\n2`;
    expect(failuresText(await run(text))).toBe("");
  });

  it("runs on after a failure, or stops there", async () => {
    const text = "statement ok\nnonsense\n\nquery I\nSELECT 1\n----\n1\n\nstatement ok\nmore nonsense";
    expect(await run(text)).toMatchObject({ statements: 2, queries: 1, failed: 2 });
    expect(await run(text, { stopAtFirstFailure: true })).toMatchObject({
      statements: 1,
      queries: 0,
      failed: 1,
    });
  });

  it("counts all failures and keeps the first of them", async () => {
    const report = await run("statement ok\nnonsense\n\n".repeat(FAILURES_KEPT + 5));
    expect(report.failed).toBe(FAILURES_KEPT + 5);
    expect(report.failures).toHaveLength(FAILURES_KEPT);
    expect(failuresText(report)).toMatch(
      /^x\.test:1\nnonsense\nexpected: .*\ngot: .*syntax error.*and 5 more failures$/s,
    );
  });

  it("shows the beginning of a long list", async () => {
    const rows =
      "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100) SELECT i FROM n";
    const wrong = await failure(`query I\n${rows}\n----\n1`);
    expect(wrong?.got).toMatch(
      /^100 values hashing to [0-9a-f]{32}: 100 values\n {2}1\n.*\n {2}20\n {2}and 80 more$/s,
    );
  });

  it("stops when it is told to", async () => {
    const signal = AbortSignal.abort();
    await expect(run("statement ok\nSELECT 1", { signal })).rejects.toMatchObject({ code: "aborted" });
  });
});

describe("labels", () => {
  const query = (label: string, sql: string, value: number) =>
    `query I nosort ${label}\n${sql}\n----\n${value}\n\n`;

  it("hold the results of their queries together", async () => {
    const text = query("one", "SELECT 1", 1) + query("two", "SELECT 2", 2) + query("one", "SELECT 2", 2);
    expect(await run(text)).toMatchObject({
      failed: 1,
      failures: [{ line: 11, expected: expect.stringContaining("line 1, of the same label one") }],
    });
  });

  it("do so for hashes and lists, and for queries of other engines", async () => {
    const list = "query I rowsort numbers\nSELECT 1 UNION SELECT 2\n----\n1\n2\n\n";
    const hash =
      "query I rowsort numbers\nSELECT 2 UNION SELECT 1\n----\n2 values hashing to 6ddb4095eb719e2a9f0a3f95677d24e0\n\n";
    const skipped = (values: string) =>
      `onlyif mysql\nquery I rowsort numbers\nSELECT DIV\n----\n${values}\n\n`;
    expect(failuresText(await run(list + hash + skipped("1\n2")))).toBe("");
    expect(await run(list + skipped("1\n3"))).toMatchObject({ failed: 1, failures: [{ line: 8 }] });
    expect(await run(skipped("1\n3") + hash)).toMatchObject({ failed: 1, failures: [{ line: 8 }] });
  });
});

describe("errors", () => {
  const overflow = "SELECT sum(x) FROM (SELECT 9223372036854775807 AS x UNION ALL SELECT 1)";

  it("of an overflow are an empty result, as SQLite's own files need it", async () => {
    expect(failuresText(await run(`query R nosort\n${overflow}\n----\n\n`))).toBe("");
    expect(await run(`query R nosort\n${overflow}\n----\n1.000\n`)).toMatchObject({ failed: 1 });
  });

  const broken: SqlTarget = {
    execute: async () => {
      throw new TypeError("integer overflow in the target");
    },
    refused: () => false,
    close: async () => undefined,
  };

  it.each(["statement error\nnonsense", "query I\nSELECT 1\n----\n", "statement ok\nSELECT 1"])(
    "of the target itself always fail a record (%j)",
    async (text) => {
      const report = await runRecords(parseSqlLogicTest(text, "x.test"), broken, { file: "x.test" });
      expect(report.failures).toMatchObject([{ line: 1, got: "TypeError: integer overflow in the target" }]);
    },
  );
});
