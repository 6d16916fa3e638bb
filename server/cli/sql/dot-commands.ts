/** The commands of the shell that are no SQL: one line that begins with a dot. */
import type { SqlExecutor, SqlValue } from "../../../vfs/index.ts";
import { usageError } from "../errors.ts";
import { lsnOrTime } from "../options.ts";
import { facts, type Output } from "../output.ts";
import { cellText, table } from "../table.ts";
import { type Mode, modes } from "./modes.ts";
import type { SqlSession } from "./sql-session.ts";
import { counted, pushLines } from "./words.ts";

/** What they may use of the shell. */
export interface DotContext {
  readonly session: SqlSession;
  readonly output: Output;
  mode: Mode;
  showsStats: boolean;
  /** Runs the SQL of a file; the first failure ends it. */
  runFile(path: string, signal: AbortSignal): Promise<void>;
}

interface DotCommand {
  readonly usage: string;
  readonly about: string;
  readonly run: (context: DotContext, argument: string, signal: AbortSignal) => Promise<void>;
}

const commands: Readonly<Record<string, DotCommand>> = {
  help: {
    usage: ".help",
    about: "this list",
    run: ({ output }) => output.text(helpText()),
  },
  tables: {
    usage: ".tables",
    about: "tables and views",
    run: async ({ session, output }) => {
      for (const name of await tableNames(session.executor)) await output.text(cellText(name));
    },
  },
  schema: {
    usage: ".schema [TABLE]",
    about: "how tables, indexes, views and triggers were created",
    run: showSchema,
  },
  mode: {
    usage: `.mode ${modes.join("|")}`,
    about: "form of the rows",
    run: async (context, argument) => {
      context.mode = oneOf(modes, argument, ".mode", context.mode);
    },
  },
  stats: {
    usage: ".stats on|off",
    about: "tell after each statement what it cost",
    run: async (context, argument) => {
      context.showsStats =
        oneOf(["on", "off"], argument, ".stats", context.showsStats ? "on" : "off") === "on";
    },
  },
  at: {
    usage: ".at LSN|TIME, .at now",
    about: "run on a past state, of the commits known here; back to the newest",
    run: moveTo,
  },
  status: {
    usage: ".status",
    about: "where this side and the remote stand",
    run: async ({ session, output }) => {
      const { ms: _, ...status } = await session.status();
      await output.text(facts({ ...status, at: session.pastLsn }));
    },
  },
  log: {
    usage: ".log [N]",
    about: "the newest commits of the remote log (20)",
    run: showLog,
  },
  pull: {
    usage: ".pull",
    about: "move to the newest remote commit",
    run: async ({ session, output }, _, signal) => {
      const { from, lsn, changedPages } = await session.database.pull({ signal });
      output.talk(
        from === lsn ? `at LSN ${lsn}` : `LSN ${from} to ${lsn}, ${counted(changedPages, "page")} changed`,
      );
    },
  },
  push: {
    usage: ".push",
    about: "send the local commits as one remote commit",
    run: async ({ session, output }, _, signal) => {
      for (const line of pushLines(await session.push(signal))) output.talk(line);
    },
  },
  reset: {
    usage: ".reset yes",
    about: "drop the local commits that were not pushed, and pull",
    run: reset,
  },
  read: {
    usage: ".read FILE",
    about: "run the SQL in a file",
    run: async (context, argument, signal) => {
      if (argument === "") throw usageError(".read needs a file's path");
      await context.runFile(argument, signal);
    },
  },
  quit: {
    usage: ".quit",
    about: "leave, as Ctrl-D does; what was committed is pushed then, unless --no-push was given",
    run: async () => {},
  },
};

/** What a line asks for, if it is a command: the text from its dot on, a bare `help`, `quit` or `exit`. */
export function dotCommandIn(line: string): string | undefined {
  const text = line.trim().replace(/;$/, "").trimEnd();
  if (/^(help|quit|exit)$/i.test(text)) return `.${text.toLowerCase()}`;
  return text.startsWith(".") ? text : undefined;
}

export function isQuit(command: string): boolean {
  return command === ".quit" || command === ".exit";
}

/** @throws `invalid` where there is no such command, what the command throws */
export async function runDotCommand(text: string, context: DotContext, signal: AbortSignal): Promise<void> {
  const [, name = "", argument = ""] = /^\.(\w*)\s*(.*)$/s.exec(text) ?? [];
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (command === undefined) throw usageError(`there is no command ${text}; .help lists what there is`);
  await command.run(context, unquoted(argument), signal);
}

function helpText(): string {
  const lines = Object.values(commands).map(({ usage, about }) => [usage, about] as const);
  const width = Math.max(...lines.map(([usage]) => usage.length));
  return [
    ...lines.map(([usage, about]) => `${usage.padEnd(width)}  ${about}`),
    "",
    "A statement ends with ; and may span lines. Ctrl-C stops a statement that runs, or drops what is typed.",
  ].join("\n");
}

function unquoted(argument: string): string {
  return /^'.*'$|^".*"$/s.test(argument) ? argument.slice(1, -1) : argument;
}

function oneOf<T extends string>(values: readonly T[], argument: string, command: string, now: T): T {
  const found = values.find((value) => value === argument);
  if (found !== undefined) return found;
  throw usageError(`${command} takes one of ${values.join(", ")}; it is ${now} now`);
}

async function tableNames(executor: SqlExecutor): Promise<SqlValue[]> {
  const { rows } = await executor.execute(
    `SELECT iif(schema IN ('main', 'temp'), name, schema || '.' || name) FROM pragma_table_list
     WHERE type IN ('table', 'view', 'virtual') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY 1`,
  );
  return rows.map(([name]) => name ?? null);
}

async function showSchema({ session, output }: DotContext, name: string, signal: AbortSignal): Promise<void> {
  const { rows } = await session.executor.execute(
    `SELECT sql FROM (SELECT * FROM sqlite_schema UNION ALL SELECT * FROM sqlite_temp_schema)
     WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND (?1 = '' OR lower(tbl_name) = lower(?1) OR lower(name) = lower(?1))`,
    [name],
    { signal },
  );
  if (rows.length === 0 && name !== "")
    throw usageError(`there is no table ${name}; .tables lists what there is`);
  for (const [sql] of rows) await output.text(`${safe(String(sql))};`);
}

/** Line breaks of a schema stay; nothing else in it may act on the terminal. */
function safe(text: string): string {
  return text.split("\n").map(cellText).join("\n");
}

async function moveTo({ session, output }: DotContext, argument: string, signal: AbortSignal): Promise<void> {
  if (argument === "") throw usageError(".at needs an LSN or a time, or now for the newest state");
  await session.moveTo(argument.toLowerCase() === "now" ? undefined : lsnOrTime(argument), signal);
  const { pastLsn } = session;
  output.talk(pastLsn === undefined ? "at the newest state" : `at LSN ${pastLsn}, read-only`);
}

async function showLog(
  { session, output }: DotContext,
  argument: string,
  signal: AbortSignal,
): Promise<void> {
  if (!/^[0-9]*$/.test(argument)) throw usageError(".log takes a number of commits");
  const entries = await session.database.log({ limit: argument === "" ? 20 : Number(argument), signal });
  const columns = ["lsn", "time", "pages", "pageCount", "bytes", "hash"];
  const rows = entries.map(({ lsn, time, pages, pageCount, bytes, hash }) => [
    lsn,
    new Date(time).toISOString(),
    pages,
    pageCount,
    bytes,
    hash,
  ]);
  await output.text(table(columns, rows));
}

async function reset({ session, output }: DotContext, argument: string, signal: AbortSignal): Promise<void> {
  const { ahead } = await session.status();
  if (ahead > 0 && argument !== "yes") {
    throw usageError(`this drops ${counted(ahead, "local commit")} for good; if that is meant: .reset yes`);
  }
  output.talk(`dropped ${counted(await session.reset(signal), "local commit")}`);
}
