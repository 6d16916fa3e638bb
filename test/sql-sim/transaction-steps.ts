/** Steps of a teller that make at most one local commit each: transactions of every kind, those that fail among them. */
import { expect } from "vitest";
import { isPagefoldError } from "../../src/base/errors.ts";
import { canPay, type Transfer, transfer } from "./bank.ts";
import type { Teller } from "./teller.ts";

export async function transfers(teller: Teller, mode: "immediate" | "deferred"): Promise<undefined> {
  const wanted = 1 + Math.floor(teller.parts.random() * 3);
  const made: Transfer[] = [];
  try {
    await teller.database.transaction(
      async (transaction) => {
        for (let i = 0; i < wanted; i++) {
          const next = teller.newTransfer();
          if (!(await canPay(transaction, next))) continue;
          await transfer(transaction, next);
          made.push(next);
        }
      },
      { mode },
    );
  } catch (error) {
    // They must never be seen.
    teller.parts.pushes.dropped(made);
    throw error;
  }
  if (made.length > 0) teller.local.push(made);
}

export async function savepoint(teller: Teller): Promise<undefined> {
  const [kept, undone] = [teller.newTransfer(), teller.newTransfer()];
  teller.parts.pushes.dropped([undone]);
  let made = false;
  await teller.database.transaction(async (transaction) => {
    if (!(await canPay(transaction, kept))) return;
    await transfer(transaction, kept);
    await transaction.exec("SAVEPOINT s");
    if (await canPay(transaction, undone)) await transfer(transaction, undone);
    await transaction.exec("ROLLBACK TO s; RELEASE s");
    made = true;
  });
  if (made) teller.local.push([kept]);
}

export async function overdraft(teller: Teller): Promise<undefined> {
  const tooMuch = { ...teller.newTransfer(), amount: 1_000_000 };
  teller.parts.pushes.dropped([tooMuch]);
  await failsWith(
    "invalid",
    teller.database.transaction((transaction) => transfer(transaction, tooMuch)),
  );
}

export async function thrown(teller: Teller): Promise<undefined> {
  const undone = teller.newTransfer();
  teller.parts.pushes.dropped([undone]);
  const reason = new Error("changed my mind");
  const failing = teller.database.transaction(async (transaction) => {
    if (await canPay(transaction, undone)) await transfer(transaction, undone);
    throw reason;
  });
  expect(await failureOf(failing)).toBe(reason);
}

/** Reads, moves on in the middle, writes: only on what it has read may it write. */
export async function stale(teller: Teller): Promise<undefined> {
  if (teller.local.length > 0) return;
  const late = teller.newTransfer();
  let [moved, wrote] = [false, false];
  const running = teller.database.transaction(
    async (transaction) => {
      if (!(await canPay(transaction, late))) return;
      const { from, lsn } = await teller.database.pull();
      moved = from !== lsn;
      wrote = true;
      await transfer(transaction, late);
    },
    { mode: "deferred" },
  );
  const error = await failureOf(running);
  if (wrote && error === undefined) teller.local.push([late]);
  else teller.parts.pushes.dropped([late]);
  if (moved) expect(error).toMatchObject({ code: "conflict" });
  await teller.hydrateWhereNeeded();
}

const MAINTENANCE = [
  "VACUUM",
  "REINDEX",
  "ANALYZE",
  "CREATE INDEX IF NOT EXISTS ledger_more ON ledger(memo, amount)",
  "DROP INDEX IF EXISTS ledger_more",
  "CREATE TABLE IF NOT EXISTS scratch AS SELECT a.id, b.memo FROM ledger a, ledger b LIMIT 2000",
  "DROP TABLE IF EXISTS scratch",
  "INSERT INTO memos(memos) VALUES ('optimize')",
] as const;

export async function maintenance(teller: Teller): Promise<undefined> {
  const sql = MAINTENANCE[Math.floor(teller.parts.random() * MAINTENANCE.length)]!;
  const { commit } = await teller.database.exec(sql);
  if (commit !== undefined) teller.local.push([]);
}

async function failsWith(code: string, work: Promise<unknown>): Promise<void> {
  expect(await failureOf(work)).toMatchObject({ code });
}

/** What it failed with; undefined where it succeeded. The weather is none of its failures. */
async function failureOf(work: Promise<unknown>): Promise<unknown> {
  const error = await work.then(
    () => undefined,
    (error: unknown) => error,
  );
  if (isPagefoldError(error, "unavailable")) throw error;
  return error;
}
