/**
 * A bank in SQL: accounts, a ledger that explains every balance, indexes, a full-text index of memos. What a transaction does to it, and what
 * must be true of it at every moment, on every replica, at every LSN.
 */
import { createHash } from "node:crypto";
import type { SqlExecutor } from "../../vfs/executor.ts";
import { same } from "./same.ts";

export const ACCOUNTS = 20;
const OPENING = 1000;
const TOTAL = ACCOUNTS * OPENING;
const WORDS = ["rent", "salary", "coffee", "insurance", "books", "travel", "refund", "gift"] as const;

export const SCHEMA = `
  CREATE TABLE accounts(id INTEGER PRIMARY KEY, owner TEXT NOT NULL UNIQUE, balance INTEGER NOT NULL CHECK (balance >= 0));
  CREATE TABLE ledger(id TEXT NOT NULL UNIQUE, source INTEGER NOT NULL REFERENCES accounts(id),
    target INTEGER NOT NULL REFERENCES accounts(id), amount INTEGER NOT NULL CHECK (amount > 0), memo TEXT NOT NULL);
  CREATE INDEX ledger_by_source ON ledger(source, amount);
  CREATE INDEX ledger_by_target ON ledger(target, memo);
  CREATE VIRTUAL TABLE memos USING fts5(memo, id UNINDEXED);
  INSERT INTO accounts SELECT value, 'owner ' || value, ${OPENING}
    FROM (WITH RECURSIVE s(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM s WHERE value < ${ACCOUNTS}) SELECT value FROM s);`;

export interface Transfer {
  /** Unique among all replicas for ever. */
  readonly id: string;
  readonly source: number;
  readonly target: number;
  readonly amount: number;
  readonly memo: string;
}

export function randomTransfer(random: () => number, id: string): Transfer {
  const source = 1 + Math.floor(random() * ACCOUNTS);
  const target = 1 + ((source + Math.floor(random() * (ACCOUNTS - 1))) % ACCOUNTS);
  const words = Array.from(
    { length: 1 + Math.floor(random() * 5) },
    () => WORDS[Math.floor(random() * WORDS.length)],
  );
  // Now and then one that needs overflow pages.
  const filler = random() < 0.08 ? ` ${id}`.repeat(Math.floor(random() * 1500)) : "";
  return { id, source, target, amount: 1 + Math.floor(random() * 150), memo: `${words.join(" ")}${filler}` };
}

const TRANSFER = `
  INSERT INTO ledger VALUES (:id, :source, :target, :amount, :memo);
  UPDATE accounts SET balance = balance - :amount WHERE id = :source;
  UPDATE accounts SET balance = balance + :amount WHERE id = :target;
  INSERT INTO memos VALUES (:memo, :id);`;

/** @throws `invalid` where the source has too little: the caller's transaction is then to be rolled back */
export async function transfer(sql: SqlExecutor, made: Transfer): Promise<void> {
  await sql.exec(TRANSFER, { ...made });
}

/** Whether `transfer` would succeed now. */
export async function canPay(sql: SqlExecutor, { source, amount }: Transfer): Promise<boolean> {
  const row = await sql.queryOne<{ ok: number }>("SELECT balance >= ? AS ok FROM accounts WHERE id = ?", [
    amount,
    source,
  ]);
  return row?.ok === 1;
}

/** Makes a transfer again on another state, unless it is there or cannot be paid any more; answers whether it was made. */
export async function transferAgain(sql: SqlExecutor, made: Transfer): Promise<boolean> {
  const known = await sql.queryOne("SELECT 1 FROM ledger WHERE id = ?", [made.id]);
  if (known !== undefined || !(await canPay(sql, made))) return false;
  await transfer(sql, made);
  return true;
}

/** Everything that must be true; answers the ledger's ids in the order of the rows. @param schema of an attached database */
export async function checkBank(sql: SqlExecutor, where: string, schema = "main"): Promise<string[]> {
  const { results } = await sql.script(`
    SELECT count(*), sum(balance) FROM ${schema}.accounts;
    SELECT a.id, a.balance, ${OPENING}
        + (SELECT ifnull(sum(amount), 0) FROM ${schema}.ledger WHERE target = a.id)
        - (SELECT ifnull(sum(amount), 0) FROM ${schema}.ledger WHERE source = a.id) AS explained
      FROM ${schema}.accounts a WHERE explained <> a.balance;
    SELECT id FROM ${schema}.ledger NOT INDEXED ORDER BY rowid;
    PRAGMA ${schema}.foreign_key_check;
    PRAGMA ${schema}.integrity_check;
    SELECT count(*) FROM ${schema}.memos;
    SELECT (SELECT count(*) FROM ${schema}.memos WHERE memos MATCH 'coffee')
         = (SELECT count(*) FROM ${schema}.ledger WHERE memo LIKE '%coffee%');`);
  const rows = results.map((result) => result.rows);
  const ids = (rows[2] ?? []).map(([id]) => String(id));
  same(rows[0], [[ACCOUNTS, TOTAL]], `${where}: accounts, sum of the balances`);
  same(rows[1], [], `${where}: balances that the ledger does not explain`);
  same(new Set(ids).size, ids.length, `${where}: a ledger id twice`);
  same(rows[3], [], `${where}: foreign keys`);
  same(rows[4], [["ok"]], `${where}: integrity`);
  same(rows[5], [[ids.length]], `${where}: memos`);
  same(rows[6], [[1]], `${where}: the full-text index`);
  return ids;
}

/** The balances that follow from these transfers. */
export function balancesAfter(transfers: Iterable<Transfer>): number[] {
  const balances = new Array<number>(ACCOUNTS).fill(OPENING);
  for (const { source, target, amount } of transfers) {
    balances[source - 1]! -= amount;
    balances[target - 1]! += amount;
  }
  return balances;
}

/** A hash of every page, as a connection sees it. */
export async function pageHashes(sql: SqlExecutor): Promise<string[]> {
  const hashes: string[] = [];
  for await (const { data } of sql.iterate("SELECT data FROM sqlite_dbpage('main')"))
    hashes.push(
      createHash("sha256")
        .update(data as Uint8Array)
        .digest("base64")
        .slice(0, 12),
    );
  return hashes;
}

/** The hashes of pages that are in use: what a connection that writes has in its cache of a free page need not be what the volume has. */
export async function usedPageHashes(sql: SqlExecutor): Promise<string[]> {
  const hashes = await pageHashes(sql);
  const used = await sql.query<{ pageno: number }>("SELECT pageno FROM dbstat ORDER BY pageno");
  return used.map(({ pageno }) => `${pageno} ${hashes[pageno - 1]}`);
}
