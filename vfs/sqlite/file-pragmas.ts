/**
 * Pragmas as SQLite passes them to a file before it looks at them itself: those of Pagefold, and those of SQLite that mean something else
 * on a volume. docs/sqlite.md says what each answers.
 */

import type { Sqlite3Static } from "@sqlite.org/sqlite-wasm";
import { allocateText } from "./allocate.ts";
import { NOTFOUND, OK } from "./codes.ts";
import type { DatabaseFile } from "./database-file.ts";
import type { SqlValue } from "./values.ts";

/** Answers a `pagefold_…` pragma as one text, or says how to: a function where that waits. Undefined where there is no such pragma. */
export type PragmaHandler = (
  file: DatabaseFile,
  name: string,
  value: string | undefined,
) => string | undefined | (() => Promise<string>);

/** Undefined: SQLite is to handle it. A row is returned where there is `text`. */
export type PragmaAnswer = { readonly text?: string } | undefined;

const ANSWERED_HERE = /^\s*PRAGMA\s+(?:\w+\s*\.\s*)?(journal_mode|locking_mode|synchronous)\b/i;
const JOURNAL_MODES = new Set(["delete", "truncate", "persist", "memory"]);

/** What is answered for SQLite's own pragmas, which never wait. */
export function answerStandardPragma(
  file: DatabaseFile,
  name: string,
  value: string | undefined,
): PragmaAnswer {
  const asked = value?.trim().toLowerCase();
  switch (name) {
    case "journal_mode":
      // The journal is never what makes a commit last, so WAL and OFF have nothing to offer: as SQLite does, the mode in force is answered.
      if (asked === undefined || !JOURNAL_MODES.has(asked)) return { text: file.journalMode };
      file.journalMode = asked;
      return undefined;
    case "locking_mode":
      // A local store belongs to one process already, and a lock that is never given back would keep pulls out.
      return { text: "normal" };
    case "synchronous":
      return synchronous(file, asked);
    case "busy_timeout":
      if (asked !== undefined && /^[0-9]+$/.test(asked)) file.busyTimeoutMs = Number(asked);
      return undefined;
    default:
      return undefined;
  }
}

/**
 * What a file answers, SQLite hands on as text in a column that is named after it. This makes of it what SQLite answers of its own accord: a column
 * with the pragma's name, a number where it is one.
 */
export function asSqliteAnswers<T extends { columns: string[]; rows: SqlValue[][] }>(
  sql: string,
  result: T,
): T {
  const name = ANSWERED_HERE.exec(sql)?.[1]?.toLowerCase();
  if (name === undefined || result.columns.length !== 1) return result;
  const rows = name === "synchronous" ? result.rows.map(([level]) => [Number(level)]) : result.rows;
  return { ...result, columns: [name], rows };
}

/** FULL: a commit is on stable storage when it returns. NORMAL and OFF: soon after, and in order. */
function synchronous(file: DatabaseFile, asked: string | undefined): PragmaAnswer {
  if (asked === undefined) return { text: file.durability === "relaxed" ? "1" : "2" };
  if (/^(0|1|off|normal|no|false)$/.test(asked)) file.durability = "relaxed";
  else if (/^(2|3|full|extra)$/.test(asked)) file.durability = "full";
  return {};
}

/** What SQLITE_FCNTL_PRAGMA is called with, `char *azArg[]`: the answer's place, the pragma's name, its argument or NULL. */
export function readPragma(
  wasm: Sqlite3Static["wasm"],
  pArgument: number,
): { readonly name: string; readonly value: string | undefined } {
  const [pName, pValue] = [wasm.peekPtr(pArgument + 4), wasm.peekPtr(pArgument + 8)];
  return {
    name: (wasm.cstrToJs(pName) ?? "").toLowerCase(),
    value: pValue === 0 ? undefined : (wasm.cstrToJs(pValue) ?? undefined),
  };
}

/** Makes SQLite answer a row with this text; undefined: there is no such pragma here. Answers the file control's result code. */
export function writeAnswer(
  wasm: Sqlite3Static["wasm"],
  pArgument: number,
  text: string | undefined,
): number {
  if (text === undefined) return NOTFOUND;
  // SQLite frees it.
  wasm.pokePtr(pArgument, allocateText(wasm, text));
  return OK;
}
