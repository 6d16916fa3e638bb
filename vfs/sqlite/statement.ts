/**
 * One prepared statement of a connection, run to its end or row by row. Knows bindings, columns and rows; whoever owns it decides when it is
 * finalized. Every call that enters SQLite may have to wait.
 */
import type { Sqlite3Static } from "@sqlite.org/sqlite-wasm";
import type { SqliteCalls } from "./calls.ts";
import { DONE, OK, ROW } from "./codes.ts";
import { hiddenError } from "./errors.ts";
import { exportsOf, type SqliteExports } from "./exports.ts";
import type { VfsInner } from "./pagefold-vfs.ts";
import type { ParameterSource } from "./parameters.ts";
import type { SqlValue, Values } from "./values.ts";

/** SQLITE_STMTSTATUS_REPREPARE: the columns may be others afterwards. */
const STATUS_REPREPARE = 5;

export interface StatementHost {
  readonly sqlite3: Sqlite3Static;
  readonly calls: SqliteCalls;
  readonly rowTakers: VfsInner["rowTakers"];
  readonly values: Values;
  /** Passes the result code of a call on `statement` on if it is no failure. @throws the error of the call, with its cause */
  check(code: number, statement: number): number;
}

export class Statement {
  readonly pointer: number;
  /** Whether running it changes nothing in the database. */
  readonly readOnly: boolean;
  readonly #host: StatementHost;
  readonly #exports: SqliteExports;
  readonly #parameters: readonly (string | null)[];
  #columns: string[] | undefined;
  #prepares = 0;

  constructor(pointer: number, host: StatementHost) {
    this.pointer = pointer;
    this.#host = host;
    const exports = exportsOf(host.sqlite3);
    this.#exports = exports;
    this.readOnly = exports.sqlite3_stmt_readonly(pointer) !== 0;
    const count = exports.sqlite3_bind_parameter_count(pointer);
    this.#parameters = Array.from({ length: count }, (_, i) =>
      host.sqlite3.capi.sqlite3_bind_parameter_name(pointer, i + 1),
    );
  }

  /** Names of the columns, none for a statement that answers no rows. True to the schema once the statement has been stepped. */
  get columns(): string[] {
    const prepares = this.#exports.sqlite3_stmt_status(this.pointer, STATUS_REPREPARE, 0);
    if (this.#columns === undefined || prepares !== this.#prepares) {
      const { capi } = this.#host.sqlite3;
      const count = this.#exports.sqlite3_column_count(this.pointer);
      this.#columns = Array.from({ length: count }, (_, i) => capi.sqlite3_column_name(this.pointer, i));
      this.#prepares = prepares;
    }
    return this.#columns;
  }

  /** @throws `invalid` where parameters are missing or cannot be bound */
  bind(source: ParameterSource): void {
    if (this.#parameters.length === 0) return;
    const { values } = this.#host;
    const given = source.take(this.#parameters);
    for (let i = 0; i < given.length; i++) {
      const name = this.#parameters[i] ?? `${i + 1}`;
      this.#host.check(values.bind(this.pointer, i + 1, name, given[i]), this.pointer);
    }
  }

  /**
   * Appends up to `most` rows to `rows`, and no more once they hold `mostBytes` of text and blobs; answers whether there may be more.
   */
  async rows(
    rows: SqlValue[][],
    most = Number.POSITIVE_INFINITY,
    mostBytes = Number.POSITIVE_INFINITY,
  ): Promise<boolean> {
    const { calls, rowTakers, values } = this.#host;
    const exports = this.#exports;
    let failure: { readonly error: unknown } | undefined;
    let left = most;
    let bytesLeft = mostBytes;
    let width = 0;
    const take = (statement: number): number => {
      try {
        if (width === 0) width = exports.sqlite3_column_count(statement);
        const row = new Array<SqlValue>(width);
        for (let i = 0; i < width; i++) row[i] = values.column(statement, i);
        rows.push(row);
        if (bytesLeft !== Number.POSITIVE_INFINITY) bytesLeft -= bytesOf(row);
        return --left > 0 && bytesLeft > 0 ? 0 : 1;
      } catch (error) {
        // Nothing may be thrown into SQLite.
        failure = { error };
        return 1;
      }
    };
    rowTakers.set(this.pointer, take);
    try {
      const ran = calls.run(this.pointer);
      const code = typeof ran === "number" ? ran : await ran;
      if (failure !== undefined) throw failure.error;
      const more = this.#host.check(code, this.pointer) === ROW;
      // A check of the database reports a page that could not be had as damage, and goes on.
      const hidden = calls.hiddenCause(this.pointer);
      if (hidden !== undefined && this.readOnly && this.columns.length > 0) throw hiddenError(hidden);
      return more;
    } finally {
      rowTakers.delete(this.pointer);
    }
  }

  /** Ready to be run again with what is bound. */
  async rewind(): Promise<void> {
    // Repeats the code of the last failure, which was reported already.
    const code = this.#host.calls.reset(this.pointer);
    if (typeof code !== "number") await code;
  }

  /** Ready to be bound and run again; what was bound is let go. */
  async reset(): Promise<void> {
    await this.rewind();
    if (this.#parameters.length > 0) this.#exports.sqlite3_clear_bindings(this.pointer);
  }

  async finalize(): Promise<void> {
    const code = this.#host.calls.finalize(this.pointer);
    if (typeof code !== "number") await code;
  }
}

/** Roughly: a text counts its UTF-16 units. */
function bytesOf(row: readonly SqlValue[]): number {
  let bytes = 0;
  for (const value of row)
    if (typeof value === "string" || value instanceof Uint8Array) bytes += value.length;
  return bytes;
}

/** Whether a result code says that all went well. */
export function succeeded(code: number): boolean {
  return code === OK || code === ROW || code === DONE;
}
