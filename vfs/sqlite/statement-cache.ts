/** Prepared statements that are not in use, by their SQL; of those used longest ago one goes for each that is too many. */
import type { Statement } from "./statement.ts";

const STATEMENTS_MAX = 128;
/** Longer SQL is rarely run twice as it stands, and would keep its text in memory. */
const SQL_LENGTH_MAX = 16_384;

export class StatementCache {
  readonly #statements = new Map<string, Statement>();

  /** Belongs to the caller until it is put back. */
  take(sql: string): Statement | undefined {
    const statement = this.#statements.get(sql);
    if (statement !== undefined) this.#statements.delete(sql);
    return statement;
  }

  /** Answers the statement that has to go, which may be the given one. */
  put(sql: string, statement: Statement): Statement | undefined {
    if (sql.length > SQL_LENGTH_MAX || this.#statements.has(sql)) return statement;
    this.#statements.set(sql, statement);
    if (this.#statements.size <= STATEMENTS_MAX) return undefined;
    for (const [oldest, surplus] of this.#statements) {
      this.#statements.delete(oldest);
      return surplus;
    }
    return undefined;
  }

  /** Answers all statements, for the caller to finalize. */
  clear(): Statement[] {
    const all = [...this.#statements.values()];
    this.#statements.clear();
    return all;
  }
}
