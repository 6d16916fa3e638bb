/**
 * Everything that runs SQL offers the same methods: the database, a transaction on it, a view of its past. They differ in where a statement
 * runs, which subclasses say.
 */
import type { ExecuteReply, LocalCommit, SessionCalls, Where } from "./session/protocol.ts";
import type { SqlRows, StatementResult } from "./sqlite/connection.ts";
import type { SqlParameter, SqlParameters, SqlValue } from "./sqlite/values.ts";

/** A row by column names; where two columns have one name, the last counts (`execute` keeps both). */
export type SqlRow = Record<string, SqlValue>;

export interface CallOptions {
  /** Interrupts a statement that runs: `aborted`. */
  readonly signal?: AbortSignal;
}

/** What one call cost. */
export interface QueryStats {
  /** Reads of SQLite that had to fetch. */
  readonly faults: number;
  /** Requests to the object store. */
  readonly requests: number;
  readonly bytesFetched: number;
  readonly ms: number;
}

export interface QueryResult extends StatementResult {
  /** The local commit that was made, if one was: it is in this side's store, not in the remote log. */
  readonly commit?: LocalCommit;
  readonly stats: QueryStats;
}

export interface ExecResult {
  /** Rows inserted, updated or deleted by all statements. */
  readonly changes: number;
  readonly lastInsertRowid: number | bigint;
  readonly commit?: LocalCommit;
}

export interface ScriptResult {
  /** One for each statement. */
  readonly results: readonly StatementResult[];
  readonly commit?: LocalCommit;
  readonly stats: QueryStats;
}

/** Parameters, or options in their place. */
type ParametersOrOptions = SqlParameters | CallOptions;

const FIRST_BATCH = 16;
const BATCH_MAX = 1024;

export abstract class SqlExecutor {
  /** @internal Sends a request to where statements of this executor run. */
  protected abstract call<K extends keyof SessionCalls>(
    kind: K,
    request: SessionCalls[K]["request"],
    signal?: AbortSignal,
  ): Promise<SessionCalls[K]["reply"]>;

  /** @internal Which connection that is. */
  protected abstract where(): Where;

  /** @internal Runs `work` and tells what it cost. */
  protected abstract measured<T extends { readonly faults: number }>(
    work: () => Promise<T>,
  ): Promise<{ readonly value: T; readonly stats: QueryStats }>;

  /**
   * Runs SQL and answers the rows of the last statement that has columns.
   * @param parameters by position, or by name (with or without `:`, `@`, `$`); integers beyond ±(2^53 − 1) come and go as bigint, blobs as
   * Uint8Array
   * @throws `invalid` (wrong SQL or parameters, a violated constraint), `conflict` (a stale transaction), `busy`, `unavailable` and `corrupt` (a
   * page could not be had), `quota` (memory or disk), `aborted`, `closed`
   */
  async query<Row extends SqlRow = SqlRow>(
    sql: string,
    parameters: ParametersOrOptions = [],
    options: CallOptions = {},
  ): Promise<Row[]> {
    return objectsOf(await this.execute(sql, parameters, options)) as Row[];
  }

  /** The first row, or undefined. */
  async queryOne<Row extends SqlRow = SqlRow>(
    sql: string,
    parameters: ParametersOrOptions = [],
    options: CallOptions = {},
  ): Promise<Row | undefined> {
    return (await this.query<Row>(sql, parameters, options))[0];
  }

  /** Runs one or several statements for what they change. */
  async exec(
    sql: string,
    parameters: ParametersOrOptions = [],
    options: CallOptions = {},
  ): Promise<ExecResult> {
    const { results, commit } = await this.script(sql, parameters, options);
    const changes = results.reduce((sum, result) => sum + result.changes, 0);
    const lastInsertRowid = results.at(-1)?.lastInsertRowid ?? 0;
    return { changes, lastInsertRowid, ...(commit === undefined ? {} : { commit }) };
  }

  /** `query` with everything that is known: columns in their order, rows as arrays, what was changed, what it cost. */
  async execute(
    sql: string,
    parameters: ParametersOrOptions = [],
    options: CallOptions = {},
  ): Promise<QueryResult> {
    const { results, ...rest } = await this.script(sql, parameters, options);
    const last = results.findLast(({ columns }) => columns.length > 0) ?? results.at(-1);
    return { columns: [], rows: [], changes: 0, lastInsertRowid: 0, ...last, ...rest };
  }

  /** Runs several statements and answers what each of them did. */
  async script(
    sql: string,
    parameters: ParametersOrOptions = [],
    options: CallOptions = {},
  ): Promise<ScriptResult> {
    const call = argumentsOf(parameters, options);
    const { value, stats } = await this.measured<ExecuteReply>(() =>
      this.call("execute", { sql, parameters: call.parameters, ...this.where() }, call.signal),
    );
    const { results, commit } = value;
    return { results, stats, ...(commit === undefined ? {} : { commit }) };
  }

  /** `` db.sql`SELECT … WHERE id = ${id}` ``: a query whose values are parameters. */
  sql<Row extends SqlRow = SqlRow>(
    text: TemplateStringsArray,
    ...values: readonly SqlParameter[]
  ): Promise<Row[]> {
    return this.query<Row>(text.join("?"), values);
  }

  /**
   * The rows one by one. Rows are read as they are asked for, some at a time; leaving the loop releases the statement. Between two rows
   * other statements may run; what they change may or may not be seen, as in SQLite.
   */
  async *iterate<Row extends SqlRow = SqlRow>(
    sql: string,
    parameters: ParametersOrOptions = [],
    options: CallOptions = {},
  ): AsyncGenerator<Row, void, undefined> {
    for await (const batch of this.batches(sql, parameters, options)) yield* objectsOf(batch) as Row[];
  }

  /**
   * `iterate` with rows as arrays, some at a time, under columns that keep their order and may share a name. There is at least one batch, so that the
   * columns of a result without rows are known.
   */
  async *batches(
    sql: string,
    parameters: ParametersOrOptions = [],
    options: CallOptions = {},
  ): AsyncGenerator<SqlRows, void, undefined> {
    const call = argumentsOf(parameters, options);
    const { cursor } = await this.call(
      "cursor",
      { sql, parameters: call.parameters, ...this.where() },
      call.signal,
    );
    let isOpen = true;
    try {
      for (let rows = FIRST_BATCH; ; rows = Math.min(rows * 2, BATCH_MAX)) {
        const batch = await this.call("next", { cursor, rows }, call.signal);
        isOpen = !batch.done;
        yield { columns: batch.columns, rows: batch.rows };
        if (batch.done) return;
      }
    } catch (error) {
      isOpen = false;
      // A step that failed has closed it; one that was not made, since the signal had fired before, has not. `error` says more than a failure to close.
      await this.call("closeCursor", { cursor }).catch(() => {});
      throw error;
    } finally {
      if (isOpen) await this.call("closeCursor", { cursor });
    }
  }
}

export function objectsOf({ columns, rows }: SqlRows): SqlRow[] {
  return rows.map((row) => {
    const object: SqlRow = {};
    for (let i = 0; i < columns.length; i++) {
      const name = columns[i] as string;
      const value = row[i] as SqlValue;
      // A column of that name would set the prototype.
      if (name === "__proto__")
        Object.defineProperty(object, name, { value, enumerable: true, writable: true, configurable: true });
      else object[name] = value;
    }
    return object;
  });
}

/** `query(sql, {signal})` is understood too: a signal is no parameter. */
export function argumentsOf(
  parameters: ParametersOrOptions,
  options: CallOptions,
): { readonly parameters: SqlParameters; readonly signal: AbortSignal | undefined } {
  const first = (parameters as CallOptions).signal as unknown;
  if (!Array.isArray(parameters) && first instanceof AbortSignal) return { parameters: [], signal: first };
  return { parameters: parameters as SqlParameters, signal: options.signal };
}
