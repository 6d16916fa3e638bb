/**
 * One SQLite connection through the VFS: runs SQL to its end, one string at a time. Errors that come from below SQLite (a page that
 * cannot be fetched) come out as they went in; SQLite's own become PagefoldErrors.
 */
import type { Sqlite3Static } from "@sqlite.org/sqlite-wasm";
import { PagefoldError } from "../../src/base/errors.ts";
import { DONE, OK, OPEN_READONLY, ROW } from "./codes.ts";
import { errorOf } from "./errors.ts";
import { exportsOf, type SqliteExports } from "./exports.ts";
import type { PagefoldVfs } from "./pagefold-vfs.ts";
import { ParameterSource } from "./parameters.ts";
import { type SqlParameters, type SqlValue, Values } from "./values.ts";

/** Rows of the last statement that has columns; both empty where none has. */
export interface SqlRows {
  readonly columns: string[];
  readonly rows: SqlValue[][];
}

export interface ConnectionOptions {
  /** Asked every thousand or so steps of SQLite's machine: whether what runs is to end (`aborted`). Must not throw. */
  readonly interrupted?: () => boolean;
}

const OPERATIONS_BETWEEN_CHECKS = 1000;

export class Connection {
  readonly #sqlite3: Sqlite3Static;
  readonly #exports: SqliteExports;
  readonly #vfs: PagefoldVfs;
  readonly #values: Values;
  #db: number;
  #progress = 0;

  /** Opens the database that the VFS knows as `fileName`. @throws what the VFS's `resolve` throws */
  constructor(sqlite3: Sqlite3Static, vfs: PagefoldVfs, fileName: string, options: ConnectionOptions = {}) {
    this.#sqlite3 = sqlite3;
    this.#exports = exportsOf(sqlite3);
    this.#vfs = vfs;
    this.#values = new Values(sqlite3);
    this.#db = this.#open(fileName);
    this.#exports.sqlite3_extended_result_codes(this.#db, 1);
    if (options.interrupted !== undefined) {
      const { interrupted } = options;
      this.#progress = sqlite3.wasm.installFunction((_argument: number) => (interrupted() ? 1 : 0), "ii");
      this.#exports.sqlite3_progress_handler(this.#db, OPERATIONS_BETWEEN_CHECKS, this.#progress, 0);
    }
    // Big sorts spill into the VFS's memory files rather than fill the wasm heap, which ends at 2 GiB.
    this.run("PRAGMA temp_store=FILE");
  }

  /**
   * Runs every statement of `sql`. Positional parameters are taken by the statements in order, as many as each has; named ones go to
   * every statement that has the name.
   * @throws `invalid` for wrong SQL, parameters that do not fit, and statements that write
   */
  run(sql: string, parameters: SqlParameters = []): SqlRows {
    if (this.#db === 0)
      throw new PagefoldError("closed", "this connection was closed; open the database again");
    if (sql.includes("\0"))
      throw new PagefoldError("invalid", "the SQL holds a NUL character; pass such text as a parameter");
    const { wasm } = this.#sqlite3;
    const source = new ParameterSource(parameters);
    let result: SqlRows = { columns: [], rows: [] };
    const [pSql, length] = wasm.allocCString(sql, true);
    const pOut = wasm.alloc(8);
    try {
      const end = pSql + length;
      for (let at = pSql; at < end; ) {
        if (this.#vfs.viewsReplaced()) this.#forgetSchema();
        const { statement, tail } = this.#prepare(at, end - at, pOut);
        // A comment or blank between statements.
        if (statement !== 0) result = this.#runStatement(statement, source) ?? result;
        at = tail;
      }
      source.checkAllUsed();
      return result;
    } finally {
      wasm.dealloc(pOut);
      wasm.dealloc(pSql);
    }
  }

  /** Idempotent. */
  close(): void {
    if (this.#db === 0) return;
    this.#sqlite3.capi.sqlite3_close_v2(this.#db);
    this.#db = 0;
    if (this.#progress !== 0) this.#sqlite3.wasm.uninstallFunction(this.#progress);
  }

  #open(fileName: string): number {
    const { capi, wasm } = this.#sqlite3;
    const pOut = wasm.alloc(4);
    try {
      wasm.pokePtr(pOut, 0);
      this.#vfs.takeError();
      const code: number = capi.sqlite3_open_v2(fileName, pOut, OPEN_READONLY, this.#vfs.name);
      const db = wasm.peekPtr(pOut);
      if (code === OK) return db;
      const message = capi.sqlite3_errmsg(db);
      capi.sqlite3_close_v2(db);
      throw errorOf({ code, message, cause: this.#vfs.takeError() });
    } finally {
      wasm.dealloc(pOut);
    }
  }

  /** Another database may stand in the volume now, with the same schema cookie: see `PagefoldVfs.viewsReplaced`. */
  #forgetSchema(): void {
    const { capi } = this.#sqlite3;
    this.#check(() => capi.sqlite3_exec(this.#db, "PRAGMA writable_schema=RESET", 0, 0, 0));
  }

  #prepare(at: number, length: number, pOut: number): { readonly statement: number; readonly tail: number } {
    const { wasm } = this.#sqlite3;
    wasm.pokePtr(pOut, 0);
    wasm.pokePtr(pOut + 4, at + length);
    this.#check(() => this.#exports.sqlite3_prepare_v3(this.#db, at, length, 0, pOut, pOut + 4));
    return { statement: wasm.peekPtr(pOut), tail: wasm.peekPtr(pOut + 4) };
  }

  /** The rows, or undefined where the statement has no columns. Finalizes it. */
  #runStatement(statement: number, source: ParameterSource): SqlRows | undefined {
    const exports = this.#exports;
    const { capi } = this.#sqlite3;
    try {
      this.#bind(statement, source);
      const columns = Array.from({ length: exports.sqlite3_column_count(statement) }, (_, i) =>
        capi.sqlite3_column_name(statement, i),
      );
      const rows: SqlValue[][] = [];
      while (this.#check(() => exports.sqlite3_step(statement)) === ROW) {
        const row = new Array<SqlValue>(columns.length);
        for (let i = 0; i < columns.length; i++) row[i] = this.#values.column(statement, i);
        rows.push(row);
      }
      return columns.length === 0 ? undefined : { columns, rows };
    } finally {
      // Repeats the code of the failure, which was reported already.
      exports.sqlite3_finalize(statement);
    }
  }

  #bind(statement: number, source: ParameterSource): void {
    const { capi } = this.#sqlite3;
    const count = this.#exports.sqlite3_bind_parameter_count(statement);
    const names = Array.from({ length: count }, (_, i) => capi.sqlite3_bind_parameter_name(statement, i + 1));
    source.take(names).forEach((value, i) => {
      this.#check(() => this.#values.bind(statement, i + 1, names[i] ?? `${i + 1}`, value));
    });
  }

  /** @throws the error of a call that failed, with what the VFS threw meanwhile as the reason */
  #check(call: () => number): number {
    this.#vfs.takeError();
    const code = call();
    if (code === OK || code === ROW || code === DONE) return code;
    throw errorOf({
      code,
      message: this.#sqlite3.capi.sqlite3_errmsg(this.#db),
      cause: this.#vfs.takeError(),
    });
  }
}
