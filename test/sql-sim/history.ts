/**
 * A bank whose every commit follows from its number: whoever opens it, in whatever process, can tell which commit it shows, and whether that is
 * whole. For tests that kill what writes it.
 */
import type { SqlExecutor } from "../../vfs/executor.ts";
import { seededRandom } from "../local/xxh64.ts";
import { balancesAfter, checkBank, randomTransfer, SCHEMA, type Transfer, transfer } from "./bank.ts";
import { same } from "./same.ts";

export const HISTORY_SCHEMA = `${SCHEMA}
  CREATE TABLE progress(n INTEGER NOT NULL);
  INSERT INTO progress VALUES (0);`;

export class History {
  readonly #commits: Transfer[][] = [];

  /** What commit n adds to those before it; always within what the accounts have. */
  commit(n: number): readonly Transfer[] {
    while (this.#commits.length < n) this.#commits.push(this.#next(this.#commits.length + 1));
    return this.#commits[n - 1] ?? [];
  }

  through(n: number): Transfer[] {
    this.commit(n);
    return this.#commits.slice(0, n).flat();
  }

  #next(n: number): Transfer[] {
    const random = seededRandom(n);
    const balances = balancesAfter(this.#commits.flat());
    const made: Transfer[] = [];
    for (let i = 0; made.length < 1 + (n % 3); i++) {
      const next = randomTransfer(random, `${n}-${i}`);
      if (balances[next.source - 1]! < next.amount) continue;
      balances[next.source - 1]! -= next.amount;
      balances[next.target - 1]! += next.amount;
      made.push(next);
    }
    return made;
  }
}

/** Makes commit n within a transaction. */
export async function makeCommit(sql: SqlExecutor, history: History, n: number): Promise<void> {
  for (const each of history.commit(n)) await transfer(sql, each);
  const { changes } = await sql.exec("UPDATE progress SET n = :n WHERE n = :n - 1", { n });
  same(changes, 1, `commit ${n} builds on the one before`);
}

/** The number of the commit that is shown. */
export async function commitOf(sql: SqlExecutor, schema = "main"): Promise<number> {
  const row = await sql.queryOne<{ n: number }>(`SELECT n FROM ${schema}.progress`);
  return row?.n ?? -1;
}

/** Exactly the state after commit n, whole. */
export async function expectCommit(sql: SqlExecutor, history: History, n: number): Promise<void> {
  same(await commitOf(sql), n, "the commit that is shown");
  const transfers = history.through(n);
  const ids = transfers.map(({ id }) => id);
  same(await checkBank(sql, `commit ${n}`), ids, `invariant 2: commit ${n}`);
  const rows = await sql.query<{ balance: number }>("SELECT balance FROM accounts ORDER BY id");
  const balances = rows.map(({ balance }) => balance);
  same(balances, balancesAfter(transfers), `invariant 2: balances after commit ${n}`);
}
