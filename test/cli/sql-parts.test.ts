/** The parts of `pagefold sql` that need no store: statements, parameters, forms of rows, history, times. */
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sqlite3InitModule from "@sqlite.org/sqlite-wasm";
import { InvalidArgumentError } from "commander";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { fromJson, toJson } from "../../server/cli/json.ts";
import { lsnOrTime, lsnOrTimeFrom0 } from "../../server/cli/options.ts";
import { HISTORY_LINES, History, historyFile } from "../../server/cli/sql/history.ts";
import { type Mode, rowWriter } from "../../server/cli/sql/modes.ts";
import { Bindings, jsonParameter, type Parameter, textParameter } from "../../server/cli/sql/parameters.ts";
import { type SqlStatement, StatementSplitter } from "../../server/cli/sql/statements.ts";
import { TableWriter } from "../../server/cli/table.ts";
import type { SqlValue } from "../../vfs/index.ts";
import { testSeed } from "../local/xxh64.ts";

function split(...pieces: string[]): SqlStatement[] {
  const splitter = new StatementSplitter();
  return [...pieces.flatMap((piece) => splitter.push(piece)), ...splitter.end()];
}

const script = `
-- a comment with ; and ' in it
SELECT 'a;b', "c;d", [e;f], \`g;h\` /* ; */ FROM t -- ; more
  WHERE x = 'it''s' AND y = :name;
;;
CREATE TRIGGER r AFTER INSERT ON t BEGIN
  UPDATE t SET a = CASE WHEN 1 THEN 2 END;
  DELETE FROM u WHERE id = new.id;
END;
CREATE TEMP TRIGGER r2 AFTER DELETE ON t BEGIN SELECT 1; END;
EXPLAIN QUERY PLAN CREATE TRIGGER r3 DELETE ON t BEGIN SELECT 1; END;
INSERT INTO t VALUES (x'00ff', 1e5, .5, $a::b(c), @q, ?3, ?, :q) RETURNING x->>'$.a';
SELECT 1 -- no semicolon at the end`;

describe("statements", () => {
  it("end where SQLite ends them, and have the parameters that SQLite finds", async () => {
    const { capi, wasm, oo1 } = await sqlite3InitModule();
    const db = new oo1.DB(":memory:");
    db.exec('CREATE TABLE t(a, b, c, x, y, "c;d", "e;f", "g;h"); CREATE TABLE u(id)');
    const ours = split(script);
    expect(ours.length).toBe(6);
    for (const { sql, parameters } of ours) {
      const scope = wasm.scopedAllocPush();
      try {
        const pSql = wasm.scopedAllocCString(sql, false);
        const [pStatement, pTail] = [wasm.scopedAlloc(4), wasm.scopedAlloc(4)];
        const code = capi.sqlite3_prepare_v2(db.pointer as number, pSql, -1, pStatement, pTail);
        expect(code === 0 ? "" : capi.sqlite3_errmsg(db.pointer as number), sql).toBe("");
        expect(wasm.peekPtr(pTail) - pSql, sql).toBe(new TextEncoder().encode(sql).length);
        const statement = wasm.peekPtr(pStatement);
        const count = capi.sqlite3_bind_parameter_count(statement);
        const names = Array.from({ length: count }, (_, i) =>
          capi.sqlite3_bind_parameter_name(statement, i + 1),
        );
        expect(parameters, sql).toEqual(names);
        capi.sqlite3_finalize(statement);
      } finally {
        wasm.scopedAllocPop(scope);
      }
    }
    db.close();
  });

  it("know the line on which they begin", () => {
    expect(split(script).map(({ line }) => line)).toEqual([3, 6, 10, 11, 12, 13]);
    expect(split("SELECT 1; SELECT\n2;\n\n  SELECT 3").map(({ line }) => line)).toEqual([1, 1, 4]);
  });

  it("are the same however the text is cut", () => {
    const whole = split(script);
    fc.assert(
      fc.property(fc.array(fc.nat(script.length), { maxLength: 12 }), (cuts) => {
        const ends = [...cuts.sort((a, b) => a - b), script.length];
        const pieces = ends.map((end, i) => script.slice(ends[i - 1] ?? 0, end));
        expect(split(...pieces)).toEqual(whole);
      }),
      { seed: testSeed },
    );
  });

  it("that are not finished are waited for; comments and blanks are none", () => {
    for (const [text, isMidway] of [
      ["", false],
      ["  \n", false],
      ["-- only a comment\n", false],
      ["/* begun\n", true],
      ["SELECT 1\n", true],
      ["SELECT 'a;\n", true],
      ["'\n", true],
      ["SELECT 1;\n", false],
      ["CREATE TRIGGER r DELETE ON t BEGIN SELECT 1;\n", true],
    ] as const) {
      const splitter = new StatementSplitter();
      splitter.push(text);
      expect(splitter.isMidway, text).toBe(isMidway);
    }
    expect(split("-- nothing\n;; /* at all */")).toEqual([]);
  });

  it("say what they may do", () => {
    const effects: Record<string, string> = {
      "select 1": "query",
      "VALUES (1)": "query",
      "WITH t(a) AS (SELECT 1) SELECT * FROM t": "query",
      "WITH t(a) AS (SELECT 1), u AS (DELETE) INSERT INTO v SELECT * FROM t": "write",
      "/* hi */ INSERT INTO t VALUES (1)": "write",
      "REPLACE INTO t VALUES (1)": "write",
      "CREATE TABLE t(a)": "write",
      "CREATE TEMP TABLE t(a)": "other",
      VACUUM: "write",
      BEGIN: "begin",
      "SAVEPOINT a": "begin",
      COMMIT: "other",
      "EXPLAIN DELETE FROM t": "other",
      "PRAGMA user_version": "other",
      "PRAGMA user_version = 5": "write",
      "PRAGMA main.user_version(5)": "write",
      "PRAGMA cache_size = 5": "other",
      "PRAGMA table_info(t)": "other",
      "ATTACH 'x' AS x": "other",
      nonsense: "other",
    };
    for (const [sql, effect] of Object.entries(effects)) expect(split(sql)[0]?.effect, sql).toBe(effect);
  });

  it("of a long script leave no memory behind, and cost no second look", () => {
    const splitter = new StatementSplitter();
    const startedAt = performance.now();
    let count = 0;
    const piece = `INSERT INTO t VALUES ('${"x".repeat(1000)}'); `.repeat(60);
    for (let i = 0; i < 500; i++) count += splitter.push(piece).length;
    // One literal of 20 MB, in pieces of 64 KB.
    splitter.push("SELECT '");
    for (let i = 0; i < 320; i++) splitter.push("y".repeat(65_536));
    const [last] = splitter.push("';\n");
    expect(count).toBe(30_000);
    expect(last?.sql.length).toBe("SELECT '';".length + 320 * 65_536);
    expect(performance.now() - startedAt).toBeLessThan(5_000);
  });
});

describe("parameters", () => {
  const bind = (sql: string, ...given: Parameter[]): unknown[][] => {
    const bindings = new Bindings(given);
    const values = split(sql).map((statement) => bindings.take(statement));
    bindings.checkAllUsed();
    return values;
  };

  it("are text, by name, or whatever follows a leading =", () => {
    expect(textParameter("5")).toEqual({ value: "5" });
    expect(textParameter("")).toEqual({ value: "" });
    expect(textParameter("a=b=c")).toEqual({ name: "a", value: "b=c" });
    expect(textParameter(":größe=x\ny")).toEqual({ name: "größe", value: "x\ny" });
    expect(textParameter("$a=")).toEqual({ name: "a", value: "" });
    expect(textParameter("=a=b")).toEqual({ value: "a=b" });
    for (const plain of ["1=1", "a b=c", "a-b=c", ":=x", "https://host/?a=b"])
      expect(textParameter(plain), plain).toEqual({ value: plain });
  });

  it("of JSON have its types, and come back from what --json writes", () => {
    expect(jsonParameter("n=5")).toEqual({ name: "n", value: 5 });
    expect(jsonParameter("null")).toEqual({ value: null });
    expect(jsonParameter("true")).toEqual({ value: 1 });
    expect(jsonParameter('"5"')).toEqual({ value: "5" });
    expect(jsonParameter("9223372036854775807")).toEqual({ value: 2n ** 63n - 1n });
    expect(jsonParameter('b={"$blob":"AP8Q"}')).toEqual({ name: "b", value: new Uint8Array([0, 255, 16]) });
    for (const value of [
      null,
      0,
      -1.5,
      "x",
      "",
      2n ** 62n,
      -(2n ** 63n),
      -Infinity,
      new Uint8Array(),
      new Uint8Array([7]),
    ])
      expect(fromJson(JSON.stringify(toJson(value)))).toEqual(value);
    for (const bad of [
      "",
      "abc",
      "007",
      "[1]",
      "{}",
      '{"a":1}',
      '{"$blob":"?"}',
      '{"$blob":"AA==","b":1}',
      "9223372036854775808",
      '{"$integer":"x"}',
    ])
      expect(() => jsonParameter(bad), bad).toThrow(InvalidArgumentError);
  });

  it("go by name where the name is given, else in order over all statements", () => {
    expect(bind("SELECT ?, ?; SELECT ?", { value: 1 }, { value: 2 }, { value: 3 })).toEqual([[1, 2], [3]]);
    expect(bind("SELECT :a; SELECT @a, $b", { name: "a", value: 1 }, { name: "b", value: 2 })).toEqual([
      [1],
      [1, 2],
    ]);
    expect(bind("SELECT ?, :n, ?", { value: 1 }, { name: "n", value: 2 }, { value: 3 })).toEqual([[1, 2, 3]]);
    expect(bind("SELECT :x, :x, ?2", { value: 1 }, { value: 2 })).toEqual([[1, 2]]);
  });

  it("that are missing, left over or given twice are named", () => {
    expect(() => bind("SELECT :a, ?", { value: 1 })).toThrow("parameter 2 (?) has no value");
    expect(() => bind("SELECT :a")).toThrow("--param a=VALUE");
    expect(() => bind("SELECT ?", { value: 1 }, { value: 2 })).toThrow("1 more value was given");
    expect(() => bind("SELECT ?", { value: 1 }, { name: "b", value: 2 })).toThrow("no parameter :b");
    expect(
      () =>
        new Bindings([
          { name: "a", value: 1 },
          { name: "a", value: 2 },
        ]),
    ).toThrow("twice");
  });
});

describe("rows", () => {
  const columns = ["id", "text", "id"];
  const rows: SqlValue[][] = [
    [1, 'say "hi", you', null],
    [2n ** 62n, "", new Uint8Array([0, 171])],
    [-1.5, " line\nbreak", Number.POSITIVE_INFINITY],
  ];
  const written = (mode: Mode, given = rows): string => {
    const writer = rowWriter(mode, columns);
    // One by one and all at once is the same.
    return given.map((row) => writer.rows([row])).join("") + writer.end();
  };

  it("are CSV as RFC 4180 has it", () => {
    expect(written("csv")).toBe(
      'id,text,id\r\n1,"say ""hi"", you",\r\n4611686018427387904,"",x\'00ab\'\r\n-1.5," line\nbreak",Infinity\r\n',
    );
    expect(written("csv", [])).toBe("id,text,id\r\n");
  });

  it("are one JSON array, and no column of the same name is lost", () => {
    expect(JSON.parse(written("json"))).toEqual([
      { id: 1, text: 'say "hi", you', "id:1": null },
      { id: { $integer: "4611686018427387904" }, text: "", "id:1": { $blob: "AKs=" } },
      { id: -1.5, text: " line\nbreak", "id:1": { $real: "Infinity" } },
    ]);
    expect(written("json", [])).toBe("[]\n");
  });

  it("are a line per value", () => {
    expect(written("line", rows.slice(0, 2))).toBe(
      "  id = 1\ntext = say \"hi\", you\n  id = NULL\n\n  id = 4611686018427387904\ntext = \n  id = x'00ab'\n",
    );
    expect(written("line", [])).toBe("");
  });

  it("are a table whose widths are fixed by its first rows", () => {
    const table = new TableWriter(["n", "s"], 2);
    expect(table.rows([[1, "abc"]])).toEqual([]);
    expect(table.rows([[22, "d"]])).toEqual([" n  s", "--  ---", " 1  abc", "22  d"]);
    expect(
      table.rows([
        [333, "longer"],
        [4, null],
      ]),
    ).toEqual(["333  longer", " 4  NULL"]);
    expect(table.end()).toEqual([]);
  });
});

describe("history", () => {
  let folder: string;
  const problems: string[] = [];
  const say = (problem: string) => problems.push(problem);
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "pagefold-history-"));
    problems.length = 0;
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  it("lies where the platform keeps such files, or where PAGEFOLD_HISTORY says", () => {
    expect(historyFile({}, "/home/u", "linux")).toBe("/home/u/.local/state/pagefold/sql_history");
    expect(historyFile({ XDG_STATE_HOME: "/s" }, "/home/u", "linux")).toBe("/s/pagefold/sql_history");
    expect(historyFile({ LOCALAPPDATA: "/app" }, "/home/u", "win32")).toBe("/app/pagefold/sql_history");
    expect(historyFile({ PAGEFOLD_HISTORY: "/h" }, "/home/u", "linux")).toBe("/h");
    expect(historyFile({ PAGEFOLD_HISTORY: "" }, "/home/u", "linux")).toBeUndefined();
  });

  it("is kept for its owner alone, newest first, without repetitions and blanks", () => {
    const path = join(folder, "a", "b", "history");
    const first = new History(path, say);
    for (const line of ["one;", "two;", "two;", "  ", "three;"]) first.add(line);
    expect(readFileSync(path, "utf8")).toBe("one;\ntwo;\nthree;\n");
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(new History(path, say).newestFirst).toEqual(["three;", "two;", "one;"]);
    expect(problems).toEqual([]);
  });

  it("does not grow without end", () => {
    const path = join(folder, "history");
    writeFileSync(path, Array.from({ length: 3 * HISTORY_LINES }, (_, i) => `${i}\n`).join(""));
    const history = new History(path, say);
    expect(history.newestFirst.length).toBe(HISTORY_LINES);
    expect(history.newestFirst[0]).toBe(`${3 * HISTORY_LINES - 1}`);
    expect(readFileSync(path, "utf8").trim().split("\n").length).toBe(HISTORY_LINES);
  });

  it("that cannot be kept is told once, and works until the end of the shell", () => {
    const history = new History(join(folder, "no\0file"), say);
    history.add("one;");
    history.add("two;");
    expect(history.newestFirst).toEqual(["two;", "one;"]);
    expect(problems.length).toBe(1);
    expect(new History(undefined, say).newestFirst).toEqual([]);
  });
});

describe("a past state", () => {
  it("is an LSN or a time, in UTC unless a zone is named", () => {
    expect(lsnOrTime("12")).toBe(12);
    expect(lsnOrTime("2026-01-31")).toEqual(new Date("2026-01-31T00:00:00Z"));
    expect(lsnOrTime("2026-01-31 18:30")).toEqual(new Date("2026-01-31T18:30:00Z"));
    expect(lsnOrTime("2026-01-31T18:30:05.25Z")).toEqual(new Date("2026-01-31T18:30:05.250Z"));
    expect(lsnOrTime("2026-01-31T18:30:00+02:00")).toEqual(new Date("2026-01-31T16:30:00Z"));
    for (const bad of [
      "",
      "0",
      "-1",
      "now",
      "yesterday",
      "2026",
      "2026-1-1",
      "2026-02-30",
      "2026-01-31T25:00",
      "12.5",
      "31.01.2026",
      "-2",
      "-2.5h",
      "2h",
    ]) {
      if (bad === "2026") expect(lsnOrTime(bad)).toBe(2026);
      else expect(() => lsnOrTime(bad), bad).toThrow(InvalidArgumentError);
    }
  });

  it("is a span before now", () => {
    for (const [text, ms] of [
      ...[["-90s", 90_000] as const, ["-2h", 7_200_000] as const],
      ...[["-3d", 3 * 86_400_000] as const, ["-1w", 7 * 86_400_000] as const],
    ]) {
      const before = Date.now();
      const time = (lsnOrTime(text) as Date).getTime();
      expect(time).toBeGreaterThanOrEqual(before - ms);
      expect(time).toBeLessThanOrEqual(Date.now() - ms);
    }
  });

  it("of a difference may be 0, too: before the first commit", () => {
    expect(lsnOrTimeFrom0("0")).toBe(0);
    expect(lsnOrTimeFrom0("7")).toBe(7);
    expect(() => lsnOrTimeFrom0("-0")).toThrow(InvalidArgumentError);
  });
});
