/** SQL that is given, not typed: all statements in order, then the push; or the failure, with what it leaves behind. */
import type { DatabaseStatus, LocalCommit, SqlRows } from "../../../vfs/index.ts";
import { usageError } from "../errors.ts";
import { pastPoint } from "../options.ts";
import type { Result } from "../output.ts";
import type { Session } from "../session.ts";
import { learnPast, openDatabase, type SqlOptions } from "./open.ts";
import { Bindings } from "./parameters.ts";
import { located, type Place, pushFailure, withRemains } from "./remains.ts";
import { LastResult, type ResultSink, TextSink } from "./run.ts";
import { type SourcedStatement, statementsFrom } from "./sources.ts";
import type { Pushed, SqlSession } from "./sql-session.ts";
import { costText, localOnly, pushLines, summary } from "./words.ts";

interface Totals {
  statements: number;
  /** Undefined as long as no statement has answered any. */
  rows: number | undefined;
  changes: number;
  commit: LocalCommit | undefined;
}

export async function runScript(
  session: Session,
  name: string,
  sql: string | undefined,
  options: SqlOptions,
): Promise<Result> {
  const { output, signal } = session;
  const statements = await readStatements(options, sql, signal);
  await learnPast(session, name, options);
  const database = await openDatabase(session, name, options, pastPoint(options));
  const last = new LastResult();
  const sink = output.json ? last : new TextSink(output, options.mode ?? "table");
  const totals: Totals = { statements: 0, rows: undefined, changes: 0, commit: undefined };
  const place = { name, local: options.local };
  try {
    await runAll(database, statements, new Bindings(options.param), sink, totals, signal);
  } catch (error) {
    throw withRemains(error, database.commits, place);
  }
  let pushed: readonly Pushed[] = [];
  if (database.hasChanges && options.push) {
    const { commits } = database;
    pushed = await database.push(signal).catch((error) => {
      throw pushFailure(error, commits, place);
    });
  }
  const status = await database.status();
  return {
    json: documentOf(last.result, totals, pushed, status, session.ms()),
    text: "",
    talk: talkOf(totals, pushed, status, session.ms(), place),
  };
}

/**
 * The statements, read as they run. Where all must be seen before the first may run, they are: for values that are left over, and for writing that
 * would be lost.
 */
async function readStatements(
  options: SqlOptions,
  sql: string | undefined,
  signal: AbortSignal,
): Promise<AsyncIterable<SourcedStatement> | readonly SourcedStatement[]> {
  const lazily = statementsFrom(options.file ?? [], sql, signal);
  const first = await lazily.next();
  if (first.done) throw usageError(`there is no SQL ${sql === "-" ? "on stdin" : "to run"}`);
  const wouldLose = !options.push && options.local === undefined && options.readOnly !== true;
  if (options.param.length === 0 && !wouldLose) return withFirst(first.value, lazily);
  const all: SourcedStatement[] = [];
  for await (const statement of withFirst(first.value, lazily)) all.push(statement);
  const bindings = new Bindings(options.param);
  for (const statement of all) {
    bindings.take(statement);
    if (wouldLose && statement.effect === "write") {
      throw usageError(
        `${statement.verb} would be lost: --no-push keeps commits in a local directory; name one with --local DIR, or leave --no-push out`,
      );
    }
  }
  bindings.checkAllUsed();
  return all;
}

async function* withFirst<T>(first: T, rest: AsyncIterable<T>): AsyncGenerator<T, void, undefined> {
  yield first;
  yield* rest;
}

async function runAll(
  database: SqlSession,
  statements: AsyncIterable<SourcedStatement> | readonly SourcedStatement[],
  bindings: Bindings,
  sink: ResultSink,
  totals: Totals,
  signal: AbortSignal,
): Promise<void> {
  for await (const statement of statements) {
    totals.statements++;
    try {
      const { rows, changes, commit } = await database.run(statement, bindings.take(statement), sink, signal);
      if (rows !== undefined) totals.rows = (totals.rows ?? 0) + rows;
      totals.changes += changes;
      totals.commit = commit ?? totals.commit;
    } catch (error) {
      throw located(error, statement, totals.statements);
    }
  }
  const { inTransaction } = await database.status();
  if (inTransaction) {
    throw usageError("the SQL ends within a transaction, which was rolled back: end it with COMMIT");
  }
}

function documentOf(
  { columns, rows }: SqlRows,
  { changes, commit }: Totals,
  [main, ...others]: readonly Pushed[],
  status: DatabaseStatus,
  ms: number,
): object {
  const { ahead, faults, requests, bytesFetched, lsn, pageCount, pageSize } = status;
  const { residentPages, prefetchedUnused } = status;
  const cost = { faults, requests, bytesFetched, ms };
  return {
    columns,
    rows,
    changes,
    // What is local: the last commit that was made, and how many wait for a push now. What is in the remote log: the push.
    commit: commit ?? null,
    ahead,
    push: main === undefined ? null : pushDocument(main),
    ...(others.length === 0 ? {} : { otherPushes: others.map(pushDocument) }),
    stats: { ...cost, lsn, pageCount, pageSize, residentPages, prefetchedUnused },
  };
}

function pushDocument({ volume, outcome, lsn, commits, changedPages, storedBytes }: Pushed): object {
  return { volume, outcome, lsn, commits, changedPages, storedBytes };
}

function talkOf(
  totals: Totals,
  pushed: readonly Pushed[],
  status: DatabaseStatus,
  ms: number,
  place: Place,
): string {
  const lines = [`${summary(totals)} in ${ms} ms: ${costText(status)}`, ...pushLines(pushed)];
  if (totals.commit !== undefined && pushed.length === 0) lines.push(localOnly(status.ahead, place));
  return lines.join("\n");
}
