/**
 * A process that commits, and pushes, vacuums or writes two volumes, until it is killed; it says so before and after each. Arguments: what it does,
 * the store's directory, the local directory, the SQL worker's script, and its name where it races with another.
 */
import * as fs from "node:fs";
import { Database, type DatabaseOptions } from "../../vfs/index.ts";
import { randomTransfer, type Transfer, transfer, transferAgain } from "./bank.ts";
import { commitOf, expectCommit, History, makeCommit } from "./history.ts";
import { same } from "./same.ts";

export type Doing = "full" | "relaxed" | "synchronous" | "push" | "vacuum" | "attached" | "race" | "hold";

const [doing, store, local, workerUrl, name] = process.argv.slice(2) as [
  Doing,
  string,
  string,
  string,
  string,
];
const history = new History();

/** Synchronous, so that whatever was acknowledged has been said before anything else happens. */
function say(text: string): void {
  fs.writeSync(1, `${text}\n`);
}

async function open(): Promise<Database> {
  const settings: DatabaseOptions["settings"] = {
    compactAboveBytes: 256 * 1024,
    ...(doing === "relaxed" ? { durability: "relaxed" } : {}),
  };
  const database = await Database.open(store, "bank", { local: { path: local }, workerUrl, settings });
  if (doing === "synchronous") await database.exec("PRAGMA synchronous = NORMAL");
  if (doing === "attached") await database.exec("ATTACH 'audit' AS audit");
  return database;
}

/** Commit n, in both volumes where there are two. */
async function commit(database: Database, n: number): Promise<void> {
  say(`committing ${n}`);
  await database.transaction(async (transaction) => {
    await makeCommit(transaction, history, n);
    if (doing === "attached") await transaction.exec("UPDATE audit.progress SET n = ?", [n]);
  });
  say(`committed ${n}`);
}

async function push(database: Database, n: number): Promise<void> {
  say(`pushing ${n}`);
  const { lsn } = await database.push();
  say(`pushed ${n} ${lsn}`);
}

/** Two thirds of a megabyte come and go. */
async function vacuum(database: Database, n: number): Promise<void> {
  await database.exec(
    `DROP TABLE IF EXISTS filler; CREATE TABLE filler AS WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < 300)
      SELECT i, hex(randomblob(1000)) AS x FROM s; DROP TABLE filler;`,
  );
  say(`vacuuming ${n}`);
  await database.exec("VACUUM");
  say(`vacuumed ${n}`);
}

/** Each turn follows from the number of the commit that the database shows. */
async function alone(): Promise<void> {
  const database = await open();
  const first = await commitOf(database);
  await expectCommit(database, history, first);
  if (doing === "attached")
    same(await commitOf(database, "audit"), first, "invariant 2: the attached volume");
  say(`open ${first}`);
  for (let n = first + 1; ; n++) {
    await commit(database, n);
    if (doing === "push" && n % 3 === 0) await push(database, n);
    if (doing === "vacuum" && n % 2 === 0) await vacuum(database, n);
  }
}

/** Transfers of its own, made again where the other was first. What it had not pushed when it was killed it keeps if it can. */
async function race(): Promise<void> {
  const database = await open();
  await database.push({ onDiverged: "reset" });
  say("open");
  for (let turn = 1; ; turn++) {
    const made: Transfer[] = [];
    await database.transaction(async (transaction) => {
      const next = randomTransfer(Math.random, `${name}-${process.pid}-${turn}`);
      await transfer(transaction, { ...next, amount: 1 });
      made.push({ ...next, amount: 1 });
    });
    say(`committed ${turn}`);
    const { lsn } = await database.push({
      onDiverged: async (transaction) => {
        for (const each of made) await transferAgain(transaction, each);
      },
    });
    say(`pushed ${turn} ${lsn} ${process.pid}`);
  }
}

async function hold(): Promise<void> {
  try {
    await open();
    say("open");
    setInterval(() => {}, 60_000);
  } catch (error) {
    const { code, message } = error as { code?: string; message: string };
    say(`failed ${code} ${message}`);
  }
}

if (doing === "race") await race();
else if (doing === "hold") await hold();
else await alone();
