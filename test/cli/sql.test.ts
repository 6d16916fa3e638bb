/** `pagefold sql`: what it writes and pushes, where SQL and values come from, the forms of rows, what a failure leaves behind. */
import { rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { onDemand, wantsMore } from "../more.ts";
import * as processes from "./cli.ts";
import { objectsBelow, startCli, temporaryFolder, until } from "./cli.ts";
import { failJson, runCli, runJson } from "./either.ts";

interface SqlDocument {
  columns: string[];
  rows: unknown[][];
  changes: number;
  commit: Record<string, unknown> | null;
  ahead: number;
  push: Record<string, unknown> | null;
  otherPushes?: Record<string, unknown>[];
  stats: Record<string, number>;
}

/** Rows without end, one after the other. */
const endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n";

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let store: string;
const at = (...names: string[]): string => join(folder.path, ...names);
const args = (...more: string[]): string[] => ["sql", ...more, "--store", store];
const sql = (...more: string[]): Promise<SqlDocument> => runJson<SqlDocument>(args(...more));
const rowsOf = async (...more: string[]): Promise<unknown[][]> => (await sql(...more)).rows;
const logOf = (name: string): Promise<{ lsn: number; time: string }[]> =>
  runJson(["log", name, "--store", store]);

/** A database of its own for a test: `t(a, b)` with rows (1, 'one') and (2, 'two'), LSN 1. */
async function fresh(name: string): Promise<string> {
  await sql(
    name,
    "--create",
    "CREATE TABLE t(a INTEGER PRIMARY KEY, b); INSERT INTO t VALUES (1, 'one'), (2, 'two')",
  );
  return name;
}

beforeAll(async () => {
  folder = await temporaryFolder();
  store = at("store");
});

afterAll(async () => folder?.remove());

describe("writing", () => {
  it("creates a database, commits locally, and pushes all of it as one remote commit", async () => {
    const made = await sql(
      "made",
      "--create",
      "CREATE TABLE t(a); INSERT INTO t VALUES (1), (2); SELECT a FROM t; DELETE FROM t WHERE a = 1",
    );
    expect(Object.keys(made)).toEqual(["columns", "rows", "changes", "commit", "ahead", "push", "stats"]);
    expect(made).toMatchObject({ columns: ["a"], rows: [[1], [2]], changes: 3, ahead: 0 });
    expect(made.commit).toMatchObject({ where: "local", sequence: 3, durable: false });
    expect(made.push).toMatchObject({ outcome: "pushed", lsn: 1, commits: 3 });
    expect(await logOf("made")).toHaveLength(1);
    const again = await sql("made", "--create", "SELECT * FROM t");
    expect(again).toMatchObject({ rows: [[2]], changes: 0, commit: null, push: null });
  });

  it("tells people on stderr what was changed and pushed", async () => {
    const name = await fresh("told");
    const { stdout, stderr } = await processes.runCli(args(name, "UPDATE t SET b = 'x'"));
    expect(stdout).toBe("");
    expect(stderr).toMatch(
      /^2 rows changed in \d+ ms: .* fetched\npushed 1 local commit as LSN 2, \d+ pages?\n$/,
    );
    expect((await runCli(args(name, "UPDATE t SET b = 'y'", "--quiet"))).stderr).toBe("");
  });

  it("that changes nothing pushes nothing", async () => {
    const name = await fresh("unchanged");
    expect(
      await sql(name, "DELETE FROM t WHERE a > 9; BEGIN; INSERT INTO t VALUES (3, 3); ROLLBACK"),
    ).toMatchObject({
      commit: null,
      push: null,
    });
    expect(await logOf(name)).toHaveLength(1);
  });

  it("with --no-push keeps commits in the local directory, and says so", async (context) => {
    onDemand(context);
    const name = await fresh("kept");
    const local = ["--local", at("kept-local")];
    const written = await runCli(args(name, "DELETE FROM t WHERE a = 1", "--no-push", ...local));
    expect(written.stderr).toContain(`local only: 1 commit in ${at("kept-local")}`);
    expect(written.stderr).toContain(`pagefold push ${name} --local`);
    expect(await sql(name, "DELETE FROM t WHERE a = 2", "--no-push", ...local)).toMatchObject({
      ahead: 2,
      push: null,
    });
    expect(await rowsOf(name, "SELECT count(*) FROM t")).toEqual([[2]]);
    // Reading sends nothing; the next write sends all that waits.
    expect(await sql(name, "SELECT count(*) FROM t", ...local)).toMatchObject({
      rows: [[0]],
      ahead: 2,
      push: null,
    });
    expect(await sql(name, "INSERT INTO t VALUES (3, 3)", ...local)).toMatchObject({
      ahead: 0,
      push: { commits: 3, lsn: 2 },
    });
  });

  it("with --no-push and no local directory is refused before anything runs; reading is not", async () => {
    const name = await fresh("refused");
    const before = await objectsBelow(store);
    const { code, stdout, stderr } = await runCli(
      args(name, "SELECT 1; BEGIN; INSERT INTO t VALUES (3, 3); COMMIT", "--no-push"),
    );
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toMatch(/^pagefold: invalid: INSERT would be lost: .*--local DIR/);
    const stdin = "PRAGMA user_version = 3;";
    expect(await failJson(args(name, "--no-push"), { stdin })).toMatchObject({ exit: 2, code: "invalid" });
    expect(await rowsOf(name, "SELECT count(*) FROM t", "--no-push")).toEqual([[2]]);
    expect(await objectsBelow(store)).toEqual(before);
  });

  it("with --read-only is refused by SQLite; temporary tables are not", async () => {
    const name = await fresh("readable");
    expect(await failJson(args(name, "DELETE FROM t", "--read-only"))).toMatchObject({
      exit: 2,
      code: "invalid",
      message: expect.stringMatching(/read-only/),
    });
    const temporary =
      "CREATE TEMP TABLE x AS SELECT a FROM t; INSERT INTO x VALUES (9); SELECT count(*) FROM x";
    expect(await sql(name, temporary, "--read-only")).toMatchObject({ rows: [[3]], push: null });
  });

  it("goes on a replica that is behind from the newest state, so that the push can win", async (context) => {
    onDemand(context);
    const name = await fresh("behind");
    const local = ["--local", at("behind-local")];
    await sql(name, "SELECT 1 FROM t", ...local);
    await sql(name, "INSERT INTO t VALUES (3, 'three')");
    expect(await rowsOf(name, "SELECT count(*) FROM t", ...local)).toEqual([[2]]);
    const { stderr } = await runCli(args(name, "BEGIN; INSERT INTO t VALUES (4, 'four'); COMMIT", ...local));
    expect(stderr).toContain("pulled LSN 2 before writing (was 1)");
    expect(await rowsOf(name, "SELECT count(*) FROM t")).toEqual([[4]]);
  });

  it("into attached volumes is pushed for each of them", async (context) => {
    onDemand(context);
    const [name, other] = [await fresh("main-one"), await fresh("attached-one")];
    const both = await sql(
      name,
      `ATTACH '${other}' AS o; BEGIN; INSERT INTO o.t VALUES (7, 'seven'); INSERT INTO t SELECT * FROM o.t WHERE a = 7; COMMIT`,
    );
    expect(both).toMatchObject({ push: { lsn: 2, commits: 1 }, otherPushes: [{ lsn: 2, commits: 1 }] });
    const onlyOther = await sql(name, `ATTACH '${other}' AS o; DELETE FROM o.t WHERE a = 7`);
    expect(onlyOther).toMatchObject({
      commit: null,
      push: { outcome: "nothing" },
      otherPushes: [{ lsn: 3 }],
    });
    expect(await rowsOf(other, "SELECT count(*) FROM t")).toEqual([[2]]);
    expect(await rowsOf(name, "SELECT b FROM t WHERE a = 7")).toEqual([["seven"]]);
  });

  it("into attached volumes of which one has another writer says what was pushed and what was not", async (context) => {
    onDemand(context);
    const [name, other] = [await fresh("main-two"), await fresh("attached-two")];
    const { child, result } = startCli(args(name), { stdin: "open" });
    let shown = "";
    child.stdout?.on("data", (chunk: Buffer) => {
      shown += chunk.toString();
    });
    child.stdin?.write(
      `ATTACH '${other}' AS o; INSERT INTO o.t VALUES (7, 7); DELETE FROM t; SELECT 'begun';`,
    );
    await until("the first result", () => shown.includes("begun"));
    await sql(other, "DELETE FROM t");
    child.stdin?.end();
    const { code, stderr } = await result;
    expect(code).toBe(1);
    expect(stderr).toMatch(
      /^pagefold: diverged: .*; this concerns attached-two alone: what came before it is in the remote log; its own local commits were only in memory and are lost\n$/,
    );
    expect(await rowsOf(name, "SELECT count(*) FROM t")).toEqual([[0]]);
    expect(await rowsOf(other, "SELECT count(*) FROM t")).toEqual([[0]]);
  });
});

describe("where SQL comes from", () => {
  it("files in their order, then the argument; stdin among them", async () => {
    await writeFile(at("one.sql"), "\ufeffCREATE TABLE s(x);\nINSERT INTO s VALUES ('ü;');");
    await writeFile(at("two.sql"), "INSERT INTO s VALUES ('two') -- no semicolon");
    const files = ["-f", at("one.sql"), "--file", "-", "-f", at("two.sql")];
    const asked = args("files", "--create", ...files, "SELECT x FROM s");
    const { rows } = await processes.runJson<SqlDocument>(asked, {
      stdin: "INSERT INTO s VALUES ('from stdin'); INSERT INTO s VALUES (2)",
    });
    expect(rows).toEqual([["ü;"], ["from stdin"], [2], ["two"]]);
  });

  it("stdin when there is no other, as it comes", async () => {
    const name = await fresh("piped");
    const { child, result } = startCli(args(name, "--mode", "csv"), { stdin: "open" });
    let shown = "";
    child.stdout?.on("data", (chunk: Buffer) => {
      shown += chunk.toString();
    });
    child.stdin?.write("INSERT INTO t VALUES (3, 'th");
    child.stdin?.write("ree'); SELECT b FROM t WHERE a = 3;\n");
    // The first result is there before the next statement is.
    await until("the first result", () => shown.includes("three"));
    child.stdin?.end("SELECT max(a) AS most FROM t");
    expect(await result).toMatchObject({ code: 0, stdout: "b\r\nthree\r\n\r\nmost\r\n3\r\n" });
  });

  it("a file that is not there, is a folder, or is no text is named", async () => {
    const name = await fresh("filed");
    await writeFile(at("latin1.sql"), Buffer.from([0x53, 0xe9]));
    for (const [path, exit, code] of [
      [at("absent.sql"), 1, "not_found"],
      [folder.path, 2, "invalid"],
      [at("latin1.sql"), 2, "invalid"],
    ] as const) {
      expect(await failJson(args(name, "-f", path)), path).toMatchObject({
        exit,
        code,
        message: expect.stringContaining(path),
      });
    }
  });
});

describe("parameters", () => {
  it("are text or JSON, by position or by name", async () => {
    const values = "SELECT typeof(?), typeof(?), typeof(?), typeof(:n), ?, hex(:b), :n";
    const given = [
      "--param",
      "5",
      "--param-json",
      "5",
      "--param-json",
      "null",
      "--param-json",
      "n=9223372036854775807",
      "--param",
      "=a=b",
      "--param-json",
      'b={"$blob":"AP8="}',
    ];
    expect((await sql("made", values, ...given)).rows).toEqual([
      ["text", "integer", "null", "integer", "a=b", "00FF", { $integer: "9223372036854775807" }],
    ]);
    expect((await sql("made", "SELECT ?1, typeof(?1)", "--param", "-5")).rows).toEqual([["-5", "text"]]);
  });

  it("are handed out over several statements, and checked before the first one runs", async (context) => {
    onDemand(context);
    const name = await fresh("bound");
    const insert = "INSERT INTO t VALUES (?, :b); INSERT INTO t VALUES (?, :b); SELECT * FROM t WHERE a > ?";
    expect(
      await sql(
        name,
        insert,
        "--param-json",
        "3",
        "--param",
        "b=x",
        "--param-json",
        "4",
        "--param-json",
        "2",
      ),
    ).toMatchObject({
      rows: [
        [3, "x"],
        [4, "x"],
      ],
      push: { lsn: 2 },
    });
    for (const [more, message] of [
      [["--param", "5"], /parameter .* has no value/],
      [["--param", "5", "--param", "6", "--param", "7", "--param", "8", "--param", "b=x"], /1 more value/],
      [
        ["--param", "5", "--param", "6", "--param", "7", "--param", "b=x", "--param", "c=y"],
        /no parameter :c/,
      ],
      [["--param-json", "{}"], /--param-json/],
    ] as const) {
      const failure = await failJson(args(name, insert, ...more));
      expect(failure).toMatchObject({ exit: 2, code: "invalid", message: expect.stringMatching(message) });
    }
    expect(await logOf(name)).toHaveLength(2);
  });
});

describe("forms of rows", () => {
  const two = "SELECT a, b FROM t; SELECT NULL AS n, x'0a' AS x";
  beforeAll(async () => {
    await fresh("forms");
  });

  it.each([
    ["table", "a  b\n-  ---\n1  one\n2  two\n\n   n  x\n----  -----\nNULL  x'0a'\n"],
    ["csv", "a,b\r\n1,one\r\n2,two\r\n\r\nn,x\r\n,x'0a'\r\n"],
    ["json", '[{"a":1,"b":"one"},\n{"a":2,"b":"two"}]\n[{"n":null,"x":{"$blob":"Cg=="}}]\n'],
    ["line", "a = 1\nb = one\n\na = 2\nb = two\n\nn = NULL\nx = x'0a'\n"],
  ])("%s", async (mode, expected) => {
    expect(await runCli(args("forms", two, "--mode", mode, "--quiet"))).toMatchObject({
      stdout: expected,
      stderr: "",
    });
  });

  it.each(wantsMore ? ["table", "csv", "json", "line"] : ["csv", "json"])(
    "%s: rows come as they are found, and a reader may have enough",
    async (mode) => {
      const { child, result } = startCli(
        args("forms", `${endless}; INSERT INTO t (b) VALUES ('${mode}')`, "--mode", mode),
      );
      let bytes = 0;
      child.stdout?.on("data", (chunk: Buffer) => {
        bytes += chunk.length;
        if (bytes > 100_000) child.stdout?.destroy();
      });
      const { code, stderr } = await result;
      expect(code).toBe(0);
      // What follows is run all the same: only its rows are not wanted.
      expect(stderr).toMatch(/1 row changed in .*\npushed 1 local commit as LSN \d+/);
      expect(await rowsOf("forms", "SELECT count(*) FROM t WHERE b = ?", "--param", mode)).toEqual([[1]]);
    },
  );

  it("--json is one document, of whatever mode", async () => {
    expect(await failJson(args("forms", "SELECT 1", "--mode", "csv"))).toMatchObject({
      exit: 2,
      code: "invalid",
    });
  });
});

describe("the past", () => {
  it("is read by LSN or by time, and is not written", async () => {
    const name = await fresh("past");
    await sql(name, "DELETE FROM t WHERE a = 1");
    const [second, first] = await logOf(name);
    const count = "SELECT count(*) FROM t";
    expect(await sql(name, count, "--at", "1")).toMatchObject({ rows: [[2]], stats: { lsn: 1 } });
    expect(await rowsOf(name, count, "--lsn", "1")).toEqual([[2]]);
    expect(await sql(name, count, "--at", first?.time ?? "")).toMatchObject({
      rows: [[2]],
      stats: { lsn: 1 },
    });
    expect(await rowsOf(name, count, "--at", second?.time ?? "")).toEqual([[1]]);
    expect(await failJson(args(name, count, "--at", "2001-01-01"))).toMatchObject({
      exit: 1,
      code: "not_found",
    });
    expect(await failJson(args(name, "DELETE FROM t", "--at", "1"))).toMatchObject({
      exit: 2,
      code: "invalid",
    });
    for (const bad of [
      ["--at", "1", "--lsn", "1"],
      ["--at", "soon"],
      ["--at", "1", "--create"],
    ])
      expect(await failJson(args(name, count, ...bad)), bad.join(" ")).toMatchObject({
        exit: 2,
        code: "invalid",
      });
  });

  it("by time is right on a replica that has not seen the commits of that time yet", async (context) => {
    onDemand(context);
    const name = await fresh("late");
    const local = ["--local", at("late-local")];
    await sql(name, "SELECT 1 FROM t", ...local);
    await sql(name, "DELETE FROM t");
    const [newest] = await logOf(name);
    expect(await rowsOf(name, "SELECT count(*) FROM t", ...local)).toEqual([[2]]);
    expect(await rowsOf(name, "SELECT count(*) FROM t", ...local, "--at", newest?.time ?? "")).toEqual([[0]]);
  });
});

describe("a failure", () => {
  const failing =
    "INSERT INTO t VALUES (3, 'three'); INSERT INTO t VALUES (4, 'four'); INSERT INTO t VALUES (3, 'again'); DELETE FROM t";

  it("in the middle ends the run without a push; with a local directory the commits before it are kept", async () => {
    const name = await fresh("failed");
    const local = at("failed-local");
    const failure = await failJson(args(name, failing, "--local", local));
    expect(failure).toMatchObject({
      exit: 2,
      code: "invalid",
      details: { statement: 3, commits: 2, pushed: false },
    });
    expect(failure.message).toMatch(
      /UNIQUE.*\(statement 3\); nothing was pushed: the 2 local commits made before are kept in/,
    );
    expect(failure.message).toContain(`pagefold push ${name} --local ${local}`);
    expect(await logOf(name)).toHaveLength(1);
    expect(await runJson(["status", name, "--store", store, "--local", local])).toMatchObject({
      state: "ahead",
      ahead: 2,
    });
    expect(await rowsOf(name, "SELECT count(*) FROM t", "--local", local)).toEqual([[4]]);
  });

  it("without a local directory leaves the remote as it was, and says that nothing remains", async (context) => {
    onDemand(context);
    const name = await fresh("gone");
    await writeFile(at("failing.sql"), failing.replaceAll("; ", ";\n\n"));
    const { code, stderr } = await runCli(args(name, "-f", at("failing.sql")));
    expect(code).toBe(2);
    expect(stderr).toMatch(
      /failing\.sql, line 5\); nothing was pushed: the 2 local commits made before existed only in memory/,
    );
    expect(await rowsOf(name, "SELECT count(*) FROM t")).toEqual([[2]]);
  });

  it("rows before it are shown; of an open transaction nothing remains", async (context) => {
    onDemand(context);
    const name = await fresh("shown");
    const { code, stdout, stderr } = await runCli(args(name, "SELECT 1 AS x; BEGIN; DELETE FROM t; SELEC 2"));
    expect({ code, stdout }).toEqual({ code: 2, stdout: "x\n-\n1\n" });
    expect(stderr).toMatch(/^pagefold: invalid: SQL: near "SELEC": syntax error \(statement 4\)\n$/);
    expect(await failJson(args(name, "BEGIN; DELETE FROM t"))).toMatchObject({
      exit: 2,
      code: "invalid",
      message: expect.stringMatching(/transaction.*rolled back.*COMMIT/),
    });
    expect(await rowsOf(name, "SELECT count(*) FROM t")).toEqual([[2]]);
  });

  it("Ctrl-C stops a statement that runs: 130, nothing pushed", async () => {
    const name = await fresh("stopped");
    const { child, result } = startCli(
      args(
        name,
        "--local",
        at("stopped-local"),
        `INSERT INTO t VALUES (3, 3); SELECT 'begun'; SELECT count(*) FROM (${endless})`,
      ),
    );
    let shown = "";
    child.stdout?.on("data", (chunk: Buffer) => {
      shown += chunk.toString();
    });
    await until("the first result", () => shown.includes("begun"));
    child.kill("SIGINT");
    const { code, stderr } = await result;
    expect(code).toBe(130);
    expect(stderr).toMatch(/pagefold: aborted: .*nothing was pushed: the 1 local commit made before is kept/);
    expect(await logOf(name)).toHaveLength(1);
  });
});

describe("a push that another writer has won", () => {
  /** Runs SQL from stdin, and lets another writer commit between its first statement and its end. */
  async function race(name: string, ...more: string[]) {
    const { child, result } = startCli(args(name, ...more), { stdin: "open" });
    let shown = "";
    child.stdout?.on("data", (chunk: Buffer) => {
      shown += chunk.toString();
    });
    child.stdin?.write("CREATE TABLE mine(a);\nSELECT 'begun';\n");
    await until("the first result", () => shown.includes("begun"));
    await sql(name, "CREATE TABLE theirs(a)");
    child.stdin?.end("INSERT INTO mine VALUES (1);\n");
    return result;
  }

  it("ends with 1, diverged; with a local directory nothing is lost, and the way on works", async () => {
    const name = await fresh("diverged");
    const local = at("diverged-local");
    const { code, stderr } = await race(name, "--local", local);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^pagefold: diverged: another writer created commit 2/);
    expect(stderr).toContain(
      `they are in ${local}: pagefold push ${name} --local ${local} sends them, pagefold reset`,
    );
    expect(await rowsOf(name, "SELECT a FROM mine", "--local", local)).toEqual([[1]]);
    await runJson(["reset", name, "--store", store, "--local", local, "--yes"]);
    expect(await sql(name, "CREATE TABLE mine(a)", "--local", local)).toMatchObject({ push: { lsn: 3 } });
  });

  it("ends with 1, conflict, without one: the changes are lost, and running again is what to do", async (context) => {
    onDemand(context);
    const name = await fresh("conflict");
    const { code, stderr } = await race(name);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^pagefold: conflict: another writer .* are lost: run the SQL again\n$/);
    expect(await rowsOf(name, "SELECT name FROM sqlite_schema WHERE name IN ('mine', 'theirs')")).toEqual([
      ["theirs"],
    ]);
  });
});

describe("away from the store", () => {
  it("writes with --no-push; otherwise it fails before anything is written", async () => {
    const name = await fresh("offline");
    const local = ["--local", at("offline-local")];
    await sql(name, "SELECT * FROM t", ...local);
    await rename(store, at("away"));
    try {
      expect(await failJson(args(name, "INSERT INTO t VALUES (3, 3)", ...local))).toMatchObject({
        exit: 1,
        code: "unavailable",
      });
      expect(await sql(name, "INSERT INTO t VALUES (3, 3)", "--no-push", ...local)).toMatchObject({
        ahead: 1,
      });
      const resident = ["--bridge", "resident-only", "--read-only"];
      expect(await rowsOf(name, "SELECT count(*) FROM t", ...resident, ...local)).toEqual([[3]]);
    } finally {
      await rename(at("away"), store);
    }
    expect(await runJson(["push", name, "--store", store, ...local])).toMatchObject({ commits: 1, lsn: 2 });
  });
});
