/**
 * What adapters know of transactions: how one is held open between the calls of a query builder, and which SQL must not go past it. The turn of a
 * transaction belongs to `Database.transaction`; a BEGIN sent as plain SQL would let every other caller's statements into it.
 */
import { PagefoldError } from "../../src/base/errors.ts";
import type { Database } from "../database.ts";
import type { DatabaseTransaction } from "../database-parts.ts";

/** A transaction that one call has begun and another is to end. Until then nobody else's statements run on the database. */
export interface HeldTransaction {
  readonly transaction: DatabaseTransaction;
  /** @throws what committing throws; the transaction is over then, too */
  end(how: "commit" | "rollback"): Promise<void>;
}

/** @throws `busy` where another transaction does not end in time */
export function holdTransaction(
  database: Database,
  mode: "immediate" | "deferred",
): Promise<HeldTransaction> {
  const rolledBack = new Error("rolled back as asked");
  return new Promise((resolve, reject) => {
    let decide!: (how: "commit" | "rollback") => void;
    const decision = new Promise<"commit" | "rollback">((settle) => {
      decide = settle;
    });
    const over = database
      .transaction(
        async (transaction) => {
          resolve({
            transaction,
            end: (how) => {
              decide(how);
              return over;
            },
          });
          if ((await decision) === "rollback") throw rolledBack;
        },
        { mode },
      )
      .catch((error: unknown) => {
        if (error !== rolledBack) throw error;
      });
    // Where it could not begin. What happens later reaches the caller of `end`.
    over.catch(reject);
  });
}

// Each comment is matched in one way only, so that many of them cost no backtracking.
const CONTROL =
  /^(?:\s|--[^\n]*(?:\n|$)|\/\*(?:[^*]|\*(?!\/))*\*\/)*(?:(begin|commit|end)\b|(rollback)(?!\s+(?:transaction\s+)?to\b)|(savepoint|release|rollback)\b)/i;

/**
 * Refuses SQL that would begin or end a transaction behind the adapter's back. Savepoints are fine within one; outside, SQLite would begin one.
 * @param advice what to do next
 */
export function checkNoTransactionControl(sql: string, inTransaction: boolean, advice: string): void {
  const found = CONTROL.exec(sql);
  if (found === null) return;
  const [, boundary, rollback, savepoint] = found;
  if (savepoint !== undefined && inTransaction) return;
  const word = (boundary ?? rollback ?? savepoint ?? "").toUpperCase();
  throw new PagefoldError(
    "invalid",
    `${word} as a statement would let other callers of this database into the transaction; ${advice}`,
  );
}
