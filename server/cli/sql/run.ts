/** Runs one statement and passes its rows on: those of a query as they come, a few at a time, so that memory does not grow with them. */
import type { LocalCommit, SqlExecutor, SqlParameter, SqlRows } from "../../../vfs/index.ts";
import type { Output } from "../output.ts";
import { type Mode, type RowWriter, rowWriter, separator } from "./modes.ts";
import type { SqlStatement } from "./statements.ts";

/** Takes the rows of one result after the other. */
export interface ResultSink {
  /** Rows of the current result, at least once for each; answers whether more are wanted. */
  rows(rows: SqlRows): Promise<boolean>;
  /** The current result is complete. */
  end(): Promise<void>;
}

/** What a statement did. */
export interface Outcome {
  /** How many rows were passed on; undefined for a statement that answers none. */
  readonly rows: number | undefined;
  readonly changes: number;
  readonly commit?: LocalCommit;
}

export async function runStatement(
  executor: SqlExecutor,
  { sql, effect }: SqlStatement,
  parameters: readonly SqlParameter[],
  sink: ResultSink,
  signal: AbortSignal,
): Promise<Outcome> {
  if (effect === "query") {
    let count = 0;
    for await (const batch of executor.batches(sql, parameters, { signal })) {
      count += batch.rows.length;
      if (!(await sink.rows(batch))) break;
    }
    await sink.end();
    return { rows: count, changes: 0 };
  }
  const { columns, rows, changes, commit } = await executor.execute(sql, parameters, { signal });
  const hasRows = columns.length > 0;
  if (hasRows) {
    await sink.rows({ columns, rows });
    await sink.end();
  }
  return { rows: hasRows ? rows.length : undefined, changes, ...(commit === undefined ? {} : { commit }) };
}

/** Results as text on stdout. */
export class TextSink implements ResultSink {
  readonly #output: Output;
  readonly #mode: Mode;
  #writer: RowWriter | undefined;
  #isFirst = true;

  constructor(output: Output, mode: Mode) {
    this.#output = output;
    this.#mode = mode;
  }

  async rows({ columns, rows }: SqlRows): Promise<boolean> {
    if (this.#writer === undefined) {
      if (!this.#isFirst) await this.#output.raw(separator(this.#mode));
      this.#isFirst = false;
      this.#writer = rowWriter(this.#mode, columns);
    }
    await this.#output.raw(this.#writer.rows(rows));
    return !this.#output.readerGone;
  }

  async end(): Promise<void> {
    await this.#output.raw(this.#writer?.end() ?? "");
    this.#writer = undefined;
  }
}

/** Keeps the last result that has columns, for one document at the end. */
export class LastResult implements ResultSink {
  #result: SqlRows = { columns: [], rows: [] };
  #isComplete = true;

  get result(): SqlRows {
    return this.#result;
  }

  async rows({ columns, rows }: SqlRows): Promise<boolean> {
    if (this.#isComplete) this.#result = { columns, rows: [] };
    this.#isComplete = false;
    for (const row of rows) this.#result.rows.push(row);
    return true;
  }

  async end(): Promise<void> {
    this.#isComplete = true;
  }
}
