/**
 * `pagefold/drizzle`: Drizzle ORM on a `Database`, through Drizzle's own driver for SQLite elsewhere ("sqlite-proxy"). That driver sends BEGIN and COMMIT
 * as statements among all others; here each transaction gets a session of its own instead, whose statements run in a transaction of the database.
 */
import {
  createTableRelationsHelpers,
  DefaultLogger,
  type DrizzleConfig,
  type ExtractTablesWithRelations,
  extractTablesRelationalConfig,
  type RelationalSchemaConfig,
  type TablesRelationalConfig,
} from "drizzle-orm";
import {
  type BaseSQLiteDatabase,
  SQLiteAsyncDialect,
  type SQLiteTransactionConfig,
} from "drizzle-orm/sqlite-core";
import {
  type AsyncBatchRemoteCallback,
  type AsyncRemoteCallback,
  SQLiteProxyTransaction,
  SQLiteRemoteSession,
  type SQLiteRemoteSessionOptions,
  SqliteRemoteDatabase,
  type SqliteRemoteResult,
} from "drizzle-orm/sqlite-proxy";
import { PagefoldError } from "../../src/base/errors.ts";
import type { Database } from "../database.ts";
import type { DatabaseTransaction } from "../database-parts.ts";
import type { SqlExecutor } from "../executor.ts";
import { checkNoTransactionControl } from "./transaction-control.ts";

/** What a statement answers that returns no rows: `const { changes } = await orm.delete(users)`. */
export interface PagefoldRunResult extends SqliteRemoteResult {
  /** Rows inserted, updated or deleted. */
  readonly changes: number;
  readonly lastInsertRowid: number | bigint;
}

export type PagefoldDrizzleDatabase<Schema extends Record<string, unknown> = Record<string, never>> =
  BaseSQLiteDatabase<"async", PagefoldRunResult, Schema> &
    Pick<SqliteRemoteDatabase<Schema>, "batch"> & {
      /** The database itself: to push, to pull, to close. */
      readonly $client: Database;
    };

/**
 * Drizzle on `database`, which its owner closes. `transaction` is a transaction of the database, "immediate" unless its `behavior` is "deferred"; `batch` is
 * one, too. An error of a query is a DrizzleQueryError whose `cause` is the PagefoldError; rows of raw SQL are arrays, as ever with "sqlite-proxy".
 */
export function pagefoldDrizzle<Schema extends Record<string, unknown> = Record<string, never>>(
  database: Database,
  config: DrizzleConfig<Schema> = {},
): PagefoldDrizzleDatabase<Schema> {
  const { casing, cache } = config;
  const logger = config.logger === true ? new DefaultLogger() : config.logger || undefined;
  const parts: SessionParts<ExtractTablesWithRelations<Schema>> = {
    dialect: new SQLiteAsyncDialect(casing === undefined ? {} : { casing }),
    schema: relationsOf(config.schema),
    options: { ...(logger === undefined ? {} : { logger }), ...(cache === undefined ? {} : { cache }) },
  };
  const orm = new SqliteRemoteDatabase<Schema>(
    "async",
    parts.dialect,
    new PagefoldSession<Schema, ExtractTablesWithRelations<Schema>>(database, parts),
    parts.schema,
  );
  const { $cache } = orm;
  if (cache !== undefined) $cache.invalidate = (params) => cache.onMutate(params);
  // Drizzle's type says of what runs without rows only that it has none; `answer` gives all of PagefoldRunResult.
  return Object.assign(orm, { $client: database }) as unknown as PagefoldDrizzleDatabase<Schema>;
}

/**
 * What Drizzle's `migrate` of "sqlite-proxy" wants as its callback: `migrate(orm, migrationRunner(database), { migrationsFolder })`. All queries are one
 * transaction, thus one local commit or none. Where they switch foreign keys off (as those that rebuild a table do, lest its rows' dependents go, too),
 * that happens before the transaction, in which SQLite would ignore it, and is checked for and undone at the end.
 */
export function migrationRunner(database: Database): (queries: string[]) => Promise<void> {
  return async (queries) => {
    if (queries.length === 0) return;
    const suspends =
      queries.some((query) => FOREIGN_KEYS_OFF.test(query)) &&
      (await database.queryOne("PRAGMA foreign_keys"))?.foreign_keys === 1;
    if (suspends) await database.exec("PRAGMA foreign_keys = OFF");
    try {
      await database.transaction(async (transaction) => {
        for (const query of queries) {
          checkNoTransactionControl(query, true, "leave it out: the queries are one transaction already");
          await transaction.exec(query);
        }
        if (suspends) await checkForeignKeys(transaction);
      });
    } finally {
      if (suspends) await database.exec("PRAGMA foreign_keys = ON");
    }
  };
}

const FOREIGN_KEYS_OFF = /\bPRAGMA\s+foreign_keys\s*(?:=\s*|\(\s*)(?:off|0|false|no)\b/i;

interface SessionParts<Tables extends TablesRelationalConfig> {
  readonly dialect: SQLiteAsyncDialect;
  readonly schema: RelationalSchemaConfig<Tables> | undefined;
  readonly options: SQLiteRemoteSessionOptions;
}

class PagefoldSession<
  Schema extends Record<string, unknown>,
  Tables extends TablesRelationalConfig,
> extends SQLiteRemoteSession<Schema, Tables> {
  readonly #database: Database;
  readonly #parts: SessionParts<Tables>;

  constructor(database: Database, parts: SessionParts<Tables>) {
    super(callbackOf(database, false), parts.dialect, parts.schema, batchOf(database), parts.options);
    this.#database = database;
    this.#parts = parts;
  }

  override transaction<T>(
    work: (transaction: SQLiteProxyTransaction<Schema, Tables>) => Promise<T>,
    config: SQLiteTransactionConfig = {},
  ): Promise<T> {
    const { dialect, schema, options } = this.#parts;
    const mode = config.behavior === "deferred" ? "deferred" : "immediate";
    return this.#database.transaction(
      (transaction) => {
        const callback = callbackOf(transaction, true);
        const session = new SQLiteRemoteSession<Schema, Tables>(
          callback,
          dialect,
          schema,
          undefined,
          options,
        );
        return work(new SQLiteProxyTransaction<Schema, Tables>("async", dialect, session, schema));
      },
      { mode },
    );
  }
}

/** As Drizzle's own drivers do it. */
function relationsOf<Tables extends TablesRelationalConfig>(
  fullSchema: Record<string, unknown> | undefined,
): RelationalSchemaConfig<Tables> | undefined {
  if (fullSchema === undefined) return undefined;
  const { tables, tableNamesMap } = extractTablesRelationalConfig<Tables>(
    fullSchema,
    createTableRelationsHelpers,
  );
  return { fullSchema, schema: tables, tableNamesMap };
}

function callbackOf(executor: SqlExecutor, inTransaction: boolean): AsyncRemoteCallback {
  return (sql, params, method) => answer(executor, inTransaction, { sql, params, method });
}

function batchOf(database: Database): AsyncBatchRemoteCallback {
  return (batch) =>
    database.transaction(async (transaction) => {
      const results: Awaited<ReturnType<typeof answer>>[] = [];
      for (const query of batch) results.push(await answer(transaction, true, query));
      return results;
    });
}

/** Rows are arrays of values; for "get" they are the values of the first row, or undefined. */
async function answer(
  executor: SqlExecutor,
  inTransaction: boolean,
  { sql, params, method }: Parameters<AsyncBatchRemoteCallback>[0][number],
): Promise<Awaited<ReturnType<AsyncRemoteCallback>>> {
  checkNoTransactionControl(sql, inTransaction, "use transaction() or batch() of Drizzle");
  const { rows, changes, lastInsertRowid } = await executor.execute(sql, params);
  if (method === "run") return { rows, changes, lastInsertRowid } as PagefoldRunResult & { rows: unknown[] };
  // "get" without a row: what Drizzle takes for undefined, though its type has no word for it.
  return { rows: method === "get" ? (rows[0] as unknown[]) : rows };
}

async function checkForeignKeys(transaction: DatabaseTransaction): Promise<void> {
  const [broken] = await transaction.query("PRAGMA foreign_key_check");
  if (broken === undefined) return;
  throw new PagefoldError(
    "invalid",
    `the migrations leave row ${broken.rowid} of "${broken.table}" without the row of "${broken.parent}" that it refers to; nothing was migrated`,
    { details: { table: String(broken.table), parent: String(broken.parent) } },
  );
}
