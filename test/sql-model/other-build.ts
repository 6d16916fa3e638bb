/**
 * Another build of SQLite, which opens the files that Pagefold exports: `node:sqlite` where this runtime has it, else that of the Node which
 * PAGEFOLD_TEST_NODE24 names, else the program `sqlite3`.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { Oracle } from "./oracle.ts";

/** Queries of one column of text each; the rows of each. */
type Ask = (path: string, queries: readonly string[]) => Promise<string[][]>;

export interface OtherBuild {
  readonly name: string;
  ask: Ask;
  close(): void;
}

const VERSION = "SELECT sqlite_version()";
const child = fileURLToPath(new URL("other-build-child.mjs", import.meta.url));

/** What there is, or why there is nothing. */
export async function openOtherBuild(): Promise<OtherBuild | string> {
  const own = process.getBuiltinModule?.("node:sqlite") === undefined ? undefined : process.execPath;
  const node = own ?? process.env.PAGEFOLD_TEST_NODE24;
  const build = node === undefined ? programBuild() : nodeBuild(node);
  if (build === undefined)
    return "this Node has no node:sqlite, PAGEFOLD_TEST_NODE24 names no Node that has it, and there is no program sqlite3";
  const [[version = ""] = []] = await build.ask(":memory:", [VERSION]);
  return { ...build, name: `${build.name}, SQLite ${version}` };
}

/** A process of its own, so that a crash in it is not ours. */
function nodeBuild(node: string): OtherBuild {
  const process = spawn(node, ["--no-warnings", child], { stdio: ["pipe", "pipe", "inherit"] });
  const lines = createInterface({ input: process.stdout! })[Symbol.asyncIterator]();
  return {
    name: "node:sqlite",
    ask: (path, queries) => askChild(process, lines, path, queries),
    close: () => process.kill(),
  };
}

async function askChild(
  process: ChildProcess,
  lines: AsyncIterator<string>,
  path: string,
  queries: readonly string[],
): Promise<string[][]> {
  process.stdin!.write(`${JSON.stringify({ path, queries })}\n`);
  const { value, done } = await lines.next();
  if (done === true) throw new Error("the process with node:sqlite has ended");
  const { results, error } = JSON.parse(value);
  if (error !== undefined) throw new Error(`node:sqlite, ${path}: ${error}`);
  return results;
}

const MARK = "-- the next query --";

function programBuild(): OtherBuild | undefined {
  if (spawnSync("sqlite3", ["--version"]).status !== 0) return undefined;
  return {
    name: "the program sqlite3",
    ask: async (path, queries) => {
      const input = queries.map((query) => `SELECT '${MARK}'; ${query};`).join("\n");
      const run = spawnSync("sqlite3", ["-batch", "-bail", "-noheader", path], {
        input,
        encoding: "utf8",
        maxBuffer: 2 ** 30,
      });
      if (run.status !== 0) throw new Error(`sqlite3 ${path}: ${run.stderr}`);
      const parts = run.stdout.split(`${MARK}\n`).slice(1);
      return parts.map((part) => part.split("\n").slice(0, -1));
    },
    close: () => {},
  };
}

/** Queries that tell the whole content of a database as text that every build writes alike. */
export function contentQueries(oracle: Oracle): string[] {
  const tables = oracle.run(
    "SELECT name FROM sqlite_schema WHERE type = 'table' AND sql NOT LIKE 'CREATE VIRTUAL%' ORDER BY name",
  );
  const columns = (name: unknown): string =>
    oracle
      .run(`SELECT name FROM pragma_table_xinfo('${name}') WHERE hidden <> 1`)
      .rows.map(([column]) => textOf(`"${column}"`))
      .join(" || ',' || ");
  return [
    "SELECT type || ' ' || name || ' ' || coalesce(sql, '') FROM sqlite_schema ORDER BY type, name",
    ...tables.rows.map(([name]) => `SELECT ${columns(name)} FROM "${name}"`),
  ];
}

/** Builds differ in the last digits of a REAL's text. */
function textOf(column: string): string {
  return `CASE typeof(${column}) WHEN 'real' THEN printf('%.12e', ${column}) ELSE quote(${column}) END`;
}
