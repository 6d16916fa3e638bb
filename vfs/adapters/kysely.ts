/**
 * `pagefold/kysely`: a dialect of Kysely on a `Database`. SQL is compiled by Kysely's own parts for SQLite; what is Pagefold's is the driver, which runs
 * it and keeps a transaction of Kysely one transaction of the database. Errors are PagefoldErrors as they come.
 */
import {
  type CompiledQuery,
  type DatabaseConnection,
  type DatabaseIntrospector,
  type Dialect,
  type Driver,
  type Kysely,
  type QueryResult,
  SelectQueryNode,
  SqliteAdapter,
  SqliteIntrospector,
  SqliteQueryCompiler,
  type TransactionSettings,
} from "kysely";
import { PagefoldError } from "../../src/base/errors.ts";
import type { Database } from "../database.ts";
import { objectsOf, type SqlExecutor } from "../executor.ts";
import type { SqlParameter } from "../sqlite/values.ts";
import { checkNoTransactionControl, type HeldTransaction, holdTransaction } from "./transaction-control.ts";

export interface PagefoldDialectConfig {
  /**
   * The database; or how to open it, which happens at the first query. `destroy` of Kysely closes what was opened here, and leaves a database that was
   * given as it is: its owner may want to push.
   */
  readonly database: Database | (() => Promise<Database>);
}

/** `new Kysely<Tables>({ dialect: new PagefoldDialect({ database }) })` */
export class PagefoldDialect implements Dialect {
  readonly #config: PagefoldDialectConfig;

  constructor(config: PagefoldDialectConfig) {
    this.#config = config;
  }

  createDriver(): Driver {
    return new PagefoldDriver(this.#config);
  }

  createAdapter(): SqliteAdapter {
    return new PagefoldAdapter();
  }

  createQueryCompiler(): SqliteQueryCompiler {
    return new SqliteQueryCompiler();
  }

  createIntrospector(db: Kysely<unknown>): DatabaseIntrospector {
    return new SqliteIntrospector(db);
  }
}

class PagefoldAdapter extends SqliteAdapter {
  /** All migrations of one run are one transaction: one local commit, or none, and no second run gets in between. */
  override get supportsTransactionalDdl(): boolean {
    return true;
  }

  /**
   * Kysely (0.29 on) would queue what runs outside of a transaction itself, for ever where that is inside of the transaction's own callback. The
   * database's queue ends such a wait with `busy`.
   */
  get supportsMultipleConnections(): boolean {
    return true;
  }
}

class PagefoldDriver implements Driver {
  readonly #config: PagefoldDialectConfig;
  readonly #inTransaction = new Set<PagefoldConnection>();
  #database: Database | undefined;

  constructor(config: PagefoldDialectConfig) {
    this.#config = config;
  }

  async init(): Promise<void> {
    const { database } = this.#config;
    this.#database = typeof database === "function" ? await database() : database;
  }

  /** A connection of Kysely is no more than a place for its transaction: whose turn it is on the one below, the database knows. */
  async acquireConnection(): Promise<DatabaseConnection> {
    if (this.#database === undefined)
      throw new PagefoldError("invalid", "the driver has no database yet; call init() first");
    return new PagefoldConnection(this.#database);
  }

  async beginTransaction(connection: PagefoldConnection, settings: TransactionSettings): Promise<void> {
    await connection.begin(settings);
    this.#inTransaction.add(connection);
  }

  async commitTransaction(connection: PagefoldConnection): Promise<void> {
    this.#inTransaction.delete(connection);
    await connection.end("commit");
  }

  async rollbackTransaction(connection: PagefoldConnection): Promise<void> {
    this.#inTransaction.delete(connection);
    await connection.end("rollback");
  }

  async savepoint(connection: PagefoldConnection, name: string): Promise<void> {
    await connection.run(`SAVEPOINT ${quoted(name)}`);
  }

  async rollbackToSavepoint(connection: PagefoldConnection, name: string): Promise<void> {
    await connection.run(`ROLLBACK TO ${quoted(name)}`);
  }

  async releaseSavepoint(connection: PagefoldConnection, name: string): Promise<void> {
    await connection.run(`RELEASE ${quoted(name)}`);
  }

  async releaseConnection(): Promise<void> {}

  async destroy(): Promise<void> {
    // A controlled transaction that nobody has ended would keep the database from everyone else.
    for (const connection of this.#inTransaction) await this.rollbackTransaction(connection);
    if (typeof this.#config.database === "function") await this.#database?.close();
  }
}

class PagefoldConnection implements DatabaseConnection {
  readonly #database: Database;
  #held: HeldTransaction | undefined;
  #running: AbortController | undefined;

  constructor(database: Database) {
    this.#database = database;
  }

  async executeQuery<Row>({ sql, parameters }: CompiledQuery): Promise<QueryResult<Row>> {
    this.#check(sql);
    const running = new AbortController();
    this.#running = running;
    const result = await this.#executor.execute(sql, parameters as readonly SqlParameter[], {
      signal: running.signal,
    });
    const rows = objectsOf(result) as Row[];
    const { changes, lastInsertRowid } = result;
    if (changes === 0) return result.columns.length > 0 ? { rows } : { rows, numAffectedRows: 0n };
    return { rows, numAffectedRows: BigInt(changes), insertId: BigInt(lastInsertRowid) };
  }

  /** Kysely 0.29 calls it for the abort strategy "cancel query". */
  async cancelQuery(): Promise<void> {
    this.#running?.abort();
  }

  async *streamQuery<Row>(
    { sql, parameters, query }: CompiledQuery,
    chunkSize: number,
  ): AsyncIterableIterator<QueryResult<Row>> {
    if (!SelectQueryNode.is(query)) {
      // What a statement with RETURNING changes would stay half done while its rows are waited for.
      throw new PagefoldError("invalid", "only a SELECT can be streamed; use execute()");
    }
    let rows: Row[] = [];
    for await (const row of this.#executor.iterate(sql, parameters as readonly SqlParameter[])) {
      rows.push(row as Row);
      if (rows.length < chunkSize) continue;
      yield { rows };
      rows = [];
    }
    if (rows.length > 0) yield { rows };
  }

  /** SQLite has one isolation level, which is "serializable": whatever is asked for is given. "read only" is a promise of the caller's. */
  async begin({ accessMode }: TransactionSettings): Promise<void> {
    if (this.#held !== undefined)
      throw new PagefoldError("invalid", "a transaction is open on this connection; use a savepoint in it");
    this.#held = await holdTransaction(
      this.#database,
      // One that only reads takes no turn from other writers of the volume.
      accessMode === "read only" ? "deferred" : "immediate",
    );
  }

  /** After a commit that failed Kysely rolls back: then there is nothing left to do. */
  async end(how: "commit" | "rollback"): Promise<void> {
    const held = this.#held;
    this.#held = undefined;
    await held?.end(how);
  }

  async run(sql: string): Promise<void> {
    await this.#executor.execute(sql);
  }

  get #executor(): SqlExecutor {
    return this.#held?.transaction ?? this.#database;
  }

  #check(sql: string): void {
    checkNoTransactionControl(
      sql,
      this.#held !== undefined,
      "use transaction() or startTransaction() of Kysely",
    );
  }
}

function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}
