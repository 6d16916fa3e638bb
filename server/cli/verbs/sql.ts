import { Option } from "commander";
import { usageError } from "../errors.ts";
import { nonEmpty, withLocal, withPast, withStore } from "../options.ts";
import { runInteractive } from "../sql/interactive.ts";
import { modes } from "../sql/modes.ts";
import { mayWrite, type SqlOptions } from "../sql/open.ts";
import { jsonParameter, type Parameter, textParameter } from "../sql/parameters.ts";
import { runScript } from "../sql/script.ts";
import type { Verb } from "../verb.ts";

const helpText = `
SQL comes from the -f files in their order, then from the argument; without
either from stdin, or from a shell where stdin is a terminal. Each statement
outside of BEGIN … COMMIT is a local commit of its own. When all have run, what
was committed is pushed as one commit of the remote log.

  pagefold sql shop "SELECT * FROM items WHERE id = ?" --param-json 7
  pagefold sql shop "DELETE FROM items WHERE name = :name" --param name=lamp
  pagefold sql shop "SELECT * FROM items" --mode csv > items.csv
  pagefold sql new --create -f schema.sql
  pagefold sql shop --local ./replica          a shell; .help lists its commands

Failures
  The first statement that fails ends the run, and nothing is pushed. Commits
  made before it are kept in --local DIR, for pagefold push or pagefold reset;
  without --local they are gone, and the remote is as it was.
  A push that another writer has won ends with 1. With --local nothing is lost
  (diverged), and the message says how to go on; without, the changes are lost
  (conflict): run the SQL again.
  With --no-push commits stay in --local DIR; without --local, SQL that writes
  is refused (2) before anything runs.
  A --local DIR stands where its last pull left it; it is pulled before the
  first statement that writes, unless --no-push is given.

Parameters
  --param VALUE       text, whatever it looks like
  --param-json VALUE  a number, string, null, true or false (1 or 0) in JSON,
                      {"$blob": "<base64>"}, {"$integer": "<digits>"} or
                      {"$real": "Infinity"}, as --json writes them
  name=VALUE goes to :name, @name and $name wherever they stand; other values
  go to the other parameters in their order. =VALUE is such a value too, even
  if it looks like name=…: what others typed is passed on as --param "=$TEXT".

Modes
  table  for people; columns are as wide as the first 2000 rows need
  csv    RFC 4180 with a header; NULL is empty, empty text "", a blob x'…'
  json   an array of objects for each statement that has rows
  line   a line per value
  The rows of a query are written as they come. --json instead is one document
  at the end: columns and rows of the last statement that has any, changes (rows
  changed by all statements), commit (the last local commit, or null), ahead
  (local commits not pushed), push (the commit in the remote log, or null),
  stats.

The shell keeps its history in ~/.local/state/pagefold/sql_history (below
XDG_STATE_HOME where that is set); PAGEFOLD_HISTORY names another file, or none.`;

/** `pagefold sql NAME [SQL]`: runs SQL on the database in a volume, fetching only the pages that it touches, and pushes what it changed. */
export const sqlVerb: Verb = (program, run) => {
  // In one list, whichever option they came by: their order is what positional parameters go by.
  const parameters: Parameter[] = [];
  const collect =
    (parse: (text: string) => Parameter) =>
    (text: string): Parameter[] => {
      parameters.push(parse(text));
      return parameters;
    };
  withPast(withLocal(withStore(program.command("sql")), "optional"))
    .description("run SQL on the database in a volume, and push what it changed; without SQL, a shell")
    .argument("<name>", "tag or volume id", nonEmpty)
    .argument(
      "[sql]",
      "statements; - reads them from stdin; put -- before SQL that begins with a dash",
      nonEmpty,
    )
    .option("-f, --file <path>", "run the SQL in this file; repeatable; - is stdin", collectFile)
    .option(
      "--param <value>",
      "text for the next parameter, or name=value; repeatable",
      collect(textParameter),
    )
    .option(
      "--param-json <value>",
      "the same with a JSON value: a number, null, a blob …",
      collect(jsonParameter),
    )
    .addOption(
      new Option("--mode <mode>", "form of the rows").choices(modes).default("table").conflicts("json"),
    )
    .option("--no-push", "keep commits in --local DIR until pagefold push")
    .option("--read-only", "refuse to change anything")
    .addOption(
      new Option("--create", "make an empty database under that tag where there is none").conflicts([
        "readOnly",
        "at",
        "lsn",
      ]),
    )
    .addOption(
      new Option("--bridge <kind>", "how SQLite waits for pages (default: the best there is)").choices([
        "jspi",
        "shared-memory",
        "resident-only",
      ]),
    )
    .addHelpText("after", helpText)
    .action((name: string, sql: string | undefined, options: SqlOptions) =>
      run(options, async (session) => {
        const given = { ...options, param: parameters };
        const isGiven = sql !== undefined || given.file !== undefined;
        const isTyped = !isGiven && process.stdin.isTTY === true;
        checkTogether(sql, given, isTyped);
        if (!isTyped) return runScript(session, name, isGiven ? sql : "-", given);
        await runInteractive(session, name, given);
        return undefined;
      }),
    );
};

/** What only shows when arguments are seen together. */
function checkTogether(sql: string | undefined, options: SqlOptions, isTyped: boolean): void {
  if ([...(options.file ?? []), sql].filter((place) => place === "-").length > 1)
    throw usageError("stdin can be read once: give - once");
  if (options.create === true && !mayWrite(options))
    throw usageError("--create with --no-push needs --local DIR to keep what is written");
  if (!isTyped) return;
  if (options.json === true)
    throw usageError("--json is for SQL that is given: name the SQL, or use .mode json in the shell");
  if (options.param.length > 0) throw usageError("parameters go with SQL that is given: name the SQL");
}

function collectFile(path: string, before: readonly string[] = []): string[] {
  return [...before, nonEmpty(path)];
}
