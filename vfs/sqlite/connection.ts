/**
 * One SQLite connection through the VFS: runs SQL, one statement at a time, and keeps prepared statements. Errors that come from below SQLite
 * (a page that cannot be fetched) come out as they went in; SQLite's own become PagefoldErrors.
 */
import type { Sqlite3Static } from "@sqlite.org/sqlite-wasm";
import { isPagefoldError, PagefoldError } from "../../src/base/errors.ts";
import { systemRuntime } from "../../src/base/runtime.ts";
import { allocate, allocateText } from "./allocate.ts";
import type { SqliteCalls } from "./calls.ts";
import {
  FCNTL_FILE_POINTER,
  FULL,
  INTERRUPT,
  IOERR,
  NOMEM,
  OK,
  OPEN_CREATE,
  OPEN_READONLY,
  OPEN_READWRITE,
} from "./codes.ts";
import { type ControlStatement, controlStatement } from "./control-statement.ts";
import type { DatabaseFile } from "./database-file.ts";
import { errorOf, hiddenError } from "./errors.ts";
import { exportsOf, type SqliteExports } from "./exports.ts";
import { asSqliteAnswers } from "./file-pragmas.ts";
import type { PagefoldVfs } from "./pagefold-vfs.ts";
import { ParameterSource } from "./parameters.ts";
import { Statement, type StatementHost, succeeded } from "./statement.ts";
import { StatementCache } from "./statement-cache.ts";
import { type SqlParameters, type SqlValue, Values } from "./values.ts";

/** Rows of one statement; both empty where it has no columns. */
export interface SqlRows {
  readonly columns: string[];
  readonly rows: SqlValue[][];
}

export interface StatementResult extends SqlRows {
  /** Rows inserted, updated or deleted by this statement itself. */
  readonly changes: number;
  /** Of the connection's last INSERT so far. */
  readonly lastInsertRowid: number | bigint;
}

export interface ConnectionOptions {
  readonly readOnly?: boolean;
  /** How long a statement outside of a transaction waits for another writer, milliseconds. Default 0. */
  readonly busyTimeoutMs?: number;
  /** A `PRAGMA pagefold_…` statement and the file that it is about → its rows. Without it SQLite passes them to the VFS. */
  readonly control?: (
    name: string,
    value: string | undefined,
    about: { readonly file: DatabaseFile; readonly signal: AbortSignal | undefined },
  ) => Promise<SqlRows>;
  /** Tried once where opening a file (ATTACH) failed because its volume was not open: opens it. */
  readonly openVolume?: (name: string) => Promise<void>;
}

const OPERATIONS_BETWEEN_CHECKS = 1000;
const PREPARE_PERSISTENT = 1;
/** Failures in which SQLite does not wait for the end of the statement that they happen in. */
const ROLLING_BACK = new Set([NOMEM, INTERRUPT, IOERR, FULL]);
const BUSY_RETRY_MS = 5;

export class Connection {
  readonly #sqlite3: Sqlite3Static;
  readonly #exports: SqliteExports;
  readonly #vfs: PagefoldVfs;
  readonly #options: ConnectionOptions;
  readonly #host: StatementHost;
  readonly #cache = new StatementCache();
  readonly #fileName: string;
  readonly #calls: SqliteCalls;
  /** Ends what runs: asked in the middle of SQLite. */
  context: { readonly signal?: AbortSignal | undefined; readonly interrupted?: (() => boolean) | undefined } =
    {};
  #db = 0;

  private constructor(
    sqlite3: Sqlite3Static,
    vfs: PagefoldVfs,
    fileName: string,
    options: ConnectionOptions,
  ) {
    this.#sqlite3 = sqlite3;
    this.#exports = exportsOf(sqlite3);
    this.#vfs = vfs;
    this.#options = options;
    this.#fileName = fileName;
    const values = new Values(sqlite3);
    this.#calls = vfs.inner.callsFor(() => this.#entering());
    this.#host = {
      sqlite3,
      calls: this.#calls,
      rowTakers: vfs.inner.rowTakers,
      values,
      check: (code, statement) => this.#check(code, statement),
    };
  }

  /** Opens the database that the VFS knows as `fileName`. @throws what the VFS's `resolve` throws */
  static async open(
    sqlite3: Sqlite3Static,
    vfs: PagefoldVfs,
    fileName: string,
    options: ConnectionOptions = {},
  ): Promise<Connection> {
    const connection = new Connection(sqlite3, vfs, fileName, options);
    await connection.#open();
    try {
      await connection.#configure();
      return connection;
    } catch (error) {
      await connection.close();
      throw error;
    }
  }

  /** The main database's file. */
  get file(): DatabaseFile {
    const file = this.#file;
    if (file === undefined) throw closed();
    return file;
  }

  #file: DatabaseFile | undefined;
  /**
   * Set when a failure has made SQLite roll back in the middle of a statement. Virtual tables may have gone on afterwards and remember what is
   * undone (FTS5 counts a row that is not there, and writes that down with the next one), so they are to be opened again.
   */
  #distrusted = false;

  /** Whether a transaction is open (BEGIN without its end). */
  get inTransaction(): boolean {
    return this.#db !== 0 && this.#exports.sqlite3_get_autocommit(this.#db) === 0;
  }

  /** Rows changed since the connection was opened. */
  get totalChanges(): number {
    return Number(this.#exports.sqlite3_total_changes64(this.#db));
  }

  /**
   * Runs every statement of `sql`; answers one result per statement. Positional parameters are taken by the statements in order, as many as each
   * has; named ones go to every statement that has the name.
   * @throws `invalid` for wrong SQL, parameters that do not fit and constraints, `conflict` for a stale snapshot, what a fault throws
   */
  async run(sql: string, parameters: SqlParameters = []): Promise<StatementResult[]> {
    this.#checkOpen(sql);
    await this.#forgetReplacedSchema();
    const source = new ParameterSource(parameters);
    const cached = this.#cache.take(sql);
    if (cached !== undefined) {
      try {
        cached.bind(source);
        source.checkAllUsed();
        return [await this.#runStatement(cached)];
      } finally {
        await cached.reset();
        await this.#keep(sql, cached);
      }
    }
    const results: StatementResult[] = [];
    for (let rest = sql; ; ) {
      const control = this.#options.control === undefined ? undefined : controlStatement(rest);
      if (control !== undefined) {
        results.push({ ...(await this.#control(control)), changes: 0, lastInsertRowid: 0 });
        rest = rest.slice(control.length);
        continue;
      }
      await this.#forgetReplacedSchema();
      const { statement, tail } = await this.#prepare(rest);
      if (statement !== undefined) {
        const isWhole = rest === sql && tail.trim() === "";
        let reusable = false;
        try {
          statement.bind(source);
          results.push(asSqliteAnswers(rest, await this.#runStatement(statement)));
          reusable = isWhole;
        } finally {
          if (reusable) {
            await statement.reset();
            await this.#keep(sql, statement);
          } else {
            await statement.finalize();
          }
        }
      }
      if (tail === "") break;
      rest = tail;
    }
    source.checkAllUsed();
    return results;
  }

  /** A statement of its own, bound and ready for `rows`; the caller finalizes it. @throws `invalid` where `sql` is not one statement */
  async prepare(sql: string, parameters: SqlParameters = []): Promise<Statement> {
    this.#checkOpen(sql);
    await this.#forgetReplacedSchema();
    const { statement, tail } = await this.#prepare(sql);
    if (statement === undefined || tail.trim() !== "") {
      await statement?.finalize();
      throw new PagefoldError("invalid", "this needs exactly one SQL statement; run several with exec()");
    }
    try {
      const source = new ParameterSource(parameters);
      statement.bind(source);
      source.checkAllUsed();
      return statement;
    } catch (error) {
      await statement.finalize();
      throw error;
    }
  }

  /** Idempotent. An open transaction is rolled back. */
  async close(): Promise<void> {
    if (this.#db === 0) return;
    const db = this.#db;
    for (const statement of this.#cache.clear()) await statement.finalize();
    this.#db = 0;
    this.#file = undefined;
    await this.#calls.close(db);
  }

  async #open(): Promise<void> {
    const { capi, wasm } = this.#sqlite3;
    const pOut = allocate(wasm, 4);
    const pName = allocateText(wasm, this.#fileName);
    const pVfs = allocateText(wasm, this.#vfs.name);
    try {
      wasm.pokePtr(pOut, 0);
      const flags = this.#options.readOnly === true ? OPEN_READONLY : OPEN_READWRITE | OPEN_CREATE;
      const code = await this.#calls.open(pName, pOut, flags, pVfs);
      const db = wasm.peekPtr(pOut);
      if (code === OK) {
        this.#db = db;
        this.#file = this.#vfs.inner.database(this.#fileName);
        return;
      }
      const message = capi.sqlite3_errmsg(db);
      const cause = this.#calls.cause(pName);
      await this.#calls.close(db);
      throw errorOf({ code, message, cause });
    } finally {
      for (const pointer of [pOut, pName, pVfs]) wasm.dealloc(pointer);
    }
  }

  /** What suits a volume; the caller's own pragmas come later and win. */
  async #configure(): Promise<void> {
    const { inner } = this.#vfs;
    this.#exports.sqlite3_extended_result_codes(this.#db, 1);
    this.#exports.sqlite3_progress_handler(this.#db, OPERATIONS_BETWEEN_CHECKS, inner.progress, 0);
    const { file } = this;
    const { pageSize, byteLength } = file.view;
    // Big sorts spill into the VFS's files rather than fill the wasm heap, which ends at 2 GiB. The commit is made durable by the local log, so
    // SQLite's own flushes would be for nothing; and a journal that is emptied rather than deleted saves opening it for every transaction.
    const pragmas = ["temp_store=FILE", "synchronous=OFF", "journal_mode=TRUNCATE"];
    if (byteLength === 0 && pageSize >= 512 && pageSize <= 65_536) pragmas.push(`page_size=${pageSize}`);
    await inner.withStandardPragmas(async () => {
      for (const pragma of pragmas) await this.run(`PRAGMA ${pragma}`);
    });
    file.journalMode = "truncate";
  }

  /** Another database may stand in the volume now, with the same schema cookie: see `PagefoldVfs.viewsReplaced`. */
  async #forgetReplacedSchema(): Promise<void> {
    if (!(this.#distrusted || this.#vfs.viewsReplaced()) || this.inTransaction) return;
    this.#distrusted = false;
    const { wasm } = this.#sqlite3;
    const sql = allocateText(wasm, "PRAGMA writable_schema=RESET");
    try {
      this.#check(await this.#calls.exec(this.#db, sql, 0, 0, 0), this.#db);
    } finally {
      wasm.dealloc(sql);
    }
  }

  async #control({ schema, name, value }: ControlStatement): Promise<SqlRows> {
    const file = schema === undefined ? this.file : this.#fileOf(schema);
    const { signal } = this.context;
    return this.#options.control?.(name, value, { file, signal }) ?? { columns: [], rows: [] };
  }

  /** The file of a database by the name under which it is attached. */
  #fileOf(schema: string): DatabaseFile {
    const { wasm } = this.#sqlite3;
    const pSchema = allocateText(wasm, schema);
    const pOut = allocate(wasm, 4);
    try {
      wasm.pokePtr(pOut, 0);
      this.#exports.sqlite3_file_control(this.#db, pSchema, FCNTL_FILE_POINTER, pOut);
      const file = this.#vfs.inner.databaseAt(wasm.peekPtr(pOut));
      if (file !== undefined) return file;
    } finally {
      for (const pointer of [pSchema, pOut]) wasm.dealloc(pointer);
    }
    throw new PagefoldError(
      "invalid",
      `no volume is attached as "${schema}"; PRAGMA database_list says what is`,
    );
  }

  /** The first statement of `sql`, undefined for blanks and comments, and what follows it. */
  async #prepare(sql: string): Promise<{ readonly statement: Statement | undefined; readonly tail: string }> {
    try {
      return await this.#prepareOnce(sql);
    } catch (error) {
      if (!(await this.#openedMissing(error))) throw error;
      return this.#prepareOnce(sql);
    }
  }

  async #prepareOnce(
    sql: string,
  ): Promise<{ readonly statement: Statement | undefined; readonly tail: string }> {
    const { wasm } = this.#sqlite3;
    const bytes = new TextEncoder().encode(sql);
    // One allocation: two pointers for the answers, then the SQL.
    const pOut = allocate(wasm, 8 + bytes.length + 1);
    try {
      const pSql = pOut + 8;
      wasm.heap8u().set(bytes, pSql);
      wasm.poke8(pSql + bytes.length, 0);
      wasm.pokePtr(pOut, 0);
      wasm.pokePtr(pOut + 4, pSql + bytes.length);
      const { prepare } = this.#calls;
      const prepared = prepare(this.#db, pSql, bytes.length + 1, PREPARE_PERSISTENT, pOut, pOut + 4);
      this.#check(typeof prepared === "number" ? prepared : await prepared, this.#db);
      const pointer = wasm.peekPtr(pOut);
      const statement = pointer === 0 ? undefined : new Statement(pointer, this.#host);
      // SQLite does without statistics that it cannot load; but the failed read has rolled back its transaction.
      const hidden = this.#calls.hiddenCause(this.#db);
      if (hidden !== undefined) {
        await statement?.finalize();
        throw hiddenError(hidden);
      }
      const end = wasm.peekPtr(pOut + 4) - pSql;
      const tail = end >= bytes.length ? "" : new TextDecoder().decode(bytes.subarray(end));
      return { statement, tail };
    } finally {
      wasm.dealloc(pOut);
    }
  }

  async #runStatement(statement: Statement): Promise<StatementResult> {
    const rows: SqlValue[][] = [];
    const changesBefore = this.totalChanges;
    for (let start: number | undefined; ; ) {
      try {
        await statement.rows(rows);
        break;
      } catch (error) {
        start ??= systemRuntime.monotonic();
        await statement.rewind();
        if (!(await this.#mayRunAgain(error, start))) throw error;
        rows.length = 0;
      }
    }
    const exports = this.#exports;
    const rowid = statement.readOnly ? 0 : exports.sqlite3_last_insert_rowid(this.#db);
    return {
      columns: statement.columns,
      rows,
      // After CREATE, PRAGMA and their like SQLite still tells of the INSERT, UPDATE or DELETE before.
      changes: this.totalChanges === changesBefore ? 0 : Number(exports.sqlite3_changes64(this.#db)),
      lastInsertRowid:
        typeof rowid === "bigint" && Number.isSafeInteger(Number(rowid)) ? Number(rowid) : rowid,
    };
  }

  /** Whether a statement that failed before it did anything is to be run again: its volume is open now, or another writer may have ended. */
  async #mayRunAgain(error: unknown, start: number): Promise<boolean> {
    if (await this.#openedMissing(error)) return true;
    // Within a transaction only the caller can decide.
    if (!isPagefoldError(error, "busy", "conflict") || this.inTransaction) return false;
    // Another statement that is not done holds the snapshot, which gets no newer by waiting.
    if (error.code === "conflict" && this.file.locked) return false;
    const { busyTimeoutMs = 0 } = this.#options;
    if (systemRuntime.monotonic() - start >= busyTimeoutMs) return false;
    await systemRuntime.sleep(BUSY_RETRY_MS, this.context.signal);
    return true;
  }

  /** Before SQLite is entered: nobody else is within. */
  #entering(): void {
    const { inner, bridge } = this.#vfs;
    const { signal, interrupted } = this.context;
    inner.interrupted = () => signal?.aborted === true || interrupted?.() === true;
    if (!bridge.blocking) bridge.signal = signal;
  }

  /** Where a statement (ATTACH) failed because a volume was not open: opens it, so that the statement can run again. */
  async #openedMissing(error: unknown): Promise<boolean> {
    const { openVolume } = this.#options;
    if (openVolume === undefined || !(error instanceof PagefoldError)) return false;
    const { notOpen, tag } = error.details;
    if (notOpen !== true || tag === undefined) return false;
    await openVolume(tag);
    return true;
  }

  async #keep(sql: string, statement: Statement): Promise<void> {
    // A pragma is carried out when it is prepared.
    if (/^\s*pragma\b/i.test(sql)) await statement.finalize();
    else await this.#cache.put(sql, statement)?.finalize();
  }

  #checkOpen(sql: string): void {
    if (this.#db === 0) throw closed();
    if (sql.includes("\0"))
      throw new PagefoldError("invalid", "the SQL holds a NUL character; pass such text as a parameter");
  }

  /** @throws the error of a call that failed, with what the VFS threw meanwhile as the reason */
  #check(code: number, subject: number): number {
    if (succeeded(code)) return code;
    if (ROLLING_BACK.has(code & 0xff)) this.#distrusted = true;
    const message = this.#sqlite3.capi.sqlite3_errmsg(this.#db);
    throw errorOf({ code, message, cause: this.#calls.cause(subject) });
  }
}

function closed(): PagefoldError {
  return new PagefoldError("closed", "this connection was closed; open the database again");
}
