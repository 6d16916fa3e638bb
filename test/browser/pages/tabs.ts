/** Databases of `openDatabase` that the test's process drives step by step in several tabs. */

import type { DatabaseStatus } from "../../../vfs/database.ts";
import type { SqlRow } from "../../../vfs/executor.ts";
import type { OpenDatabaseOptions } from "../../../vfs/web/open-database.ts";
import { openDatabase } from "../../../vfs/web/open-database.ts";
import type { WebDatabase } from "../../../vfs/web/web-database.ts";
import { toWire } from "./runner.ts";
import { ENDLESS, SqlSpace } from "./sql-run.ts";

let database: WebDatabase | undefined;
/** What live queries have told, by name. */
const told = new Map<string, SqlRow[][]>();
const events: string[] = [];
/** Work that goes on while this page answers other calls. */
const works = new Map<string, Promise<unknown>>();

function open1(): WebDatabase {
  if (database === undefined) throw new Error("no database is open in this page");
  return database;
}

export interface OpenArguments extends Partial<Omit<OpenDatabaseOptions, "store">> {
  readonly space: string;
}

export async function open({ space, ...options }: OpenArguments): Promise<DatabaseStatus> {
  const url = `${location.origin}/objects/${space}/`;
  database = await openDatabase({
    url,
    tag: "main",
    store: new SqlSpace(url),
    ...(options.readOnly === true ? {} : { create: true }),
    ...options,
  });
  return database.status();
}

/** With the store that `openDatabase` opens by itself. */
export async function openUrl({ space, ...options }: OpenArguments): Promise<DatabaseStatus> {
  database = await openDatabase({ url: `/objects/${space}/`, tag: "words", ...options });
  return database.status();
}

export async function status(): Promise<DatabaseStatus> {
  return open1().status();
}

export async function query({ sql }: { sql: string }): Promise<SqlRow[]> {
  return open1().query(sql);
}

export async function exec({ sql }: { sql: string }): Promise<number> {
  return (await open1().exec(sql)).changes;
}

export async function push(): Promise<number> {
  return (await open1().push()).lsn;
}

export async function pull(): Promise<number> {
  return (await open1().pull()).lsn;
}

export async function close(): Promise<void> {
  await open1().close();
  database = undefined;
}

/** Rows of a query with values of every kind, as text: JSON has no bigints and no bytes. */
export async function values({ sql }: { sql: string }): Promise<string[]> {
  const [row = {}] = await open1().query(sql);
  return Object.values(row).map((value) =>
    value instanceof Uint8Array
      ? `bytes ${value.length} ${value.at(-1)}`
      : `${typeof value} ${String(value)}`,
  );
}

/** Number and summed lengths of rows that are together larger than one message between tabs. */
export async function large({ rows, bytes }: { rows: number; bytes: number }): Promise<number[]> {
  const sql = `WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < ${rows})
    SELECT i, printf('%.*c', ${bytes}, char(97 + i % 26)) AS text FROM c`;
  const got = await open1().query<{ i: number; text: string }>(sql);
  const right = got.filter(({ i, text }) => text === String.fromCharCode(97 + (i % 26)).repeat(bytes));
  return [got.length, right.length];
}

/** A blob that is larger than one message goes there and comes back. */
export async function largeBlob({ bytes }: { bytes: number }): Promise<boolean> {
  const blob = new Uint8Array(bytes).map((_, i) => (i * 31) % 251);
  const [row] = await open1().query<{ b: Uint8Array }>("SELECT ? AS b", [blob]);
  return row !== undefined && row.b.length === bytes && row.b.every((byte, i) => byte === blob[i]);
}

export async function listen(): Promise<void> {
  for (const name of ["commit", "status", "progress"] as const)
    open1().on(name, (event) => events.push(`${name} ${JSON.stringify(event)}`));
}

export async function heard(): Promise<string[]> {
  return [...events];
}

export async function watch({ name, sql }: { name: string; sql: string }): Promise<void> {
  const results: SqlRow[][] = [];
  told.set(name, results);
  const live = open1().live(sql);
  works.set(
    name,
    (async () => {
      for await (const rows of live) results.push(rows);
    })(),
  );
  works.get(name)?.catch(() => {});
}

export async function results({ name }: { name: string }): Promise<SqlRow[][]> {
  return told.get(name) ?? [];
}

/** Begins a transaction that has written and stays open until `finish`. */
export async function beginTransaction({ sql }: { sql: string }): Promise<void> {
  let begun: () => void = () => {};
  const isOpen = new Promise<void>((resolve) => {
    begun = resolve;
  });
  const finished = new Promise<string | undefined>((resolve) => {
    finishing = resolve;
  });
  const work = open1().transaction(async (tx) => {
    await tx.exec(sql);
    begun();
    const last = await finished;
    if (last !== undefined) await tx.exec(last);
  });
  work.catch(() => {});
  works.set("transaction", work);
  await Promise.race([isOpen, work]);
}

let finishing: (sql: string | undefined) => void = () => {};

/** Ends the open transaction, after one more statement; answers how it ended. */
export async function finish({ sql }: { sql?: string }): Promise<unknown> {
  finishing(sql);
  return outcomeOf("transaction");
}

/** Begins to run SQL and does not wait for it. */
export async function start({ name, sql }: { name: string; sql: string }): Promise<void> {
  const work = open1().query(sql);
  work.catch(() => {});
  works.set(name, work);
}

/** "done", or how it failed. */
export async function outcomeOf(name: string | { name: string }): Promise<unknown> {
  try {
    await works.get(typeof name === "string" ? name : name.name);
    return "done";
  } catch (error) {
    return toWire(error);
  }
}

/** Writes rows 1, 2, 3 … by single statements until the page ends or `stop`; each number is noted once it is acknowledged. */
export async function writeOn({ by }: { by: string }): Promise<void> {
  const work = (async () => {
    for (let n = 1; !stopped; n++) {
      try {
        await open1().exec("INSERT INTO log(who, n) VALUES (?, ?)", [by, n]);
        acknowledged.push(n);
      } catch (error) {
        failures.push({ n, ...toWire(error) });
      }
    }
  })();
  works.set("writing", work);
}

let stopped = false;
const acknowledged: number[] = [];
const failures: unknown[] = [];

export async function written(): Promise<{ acknowledged: number[]; failures: unknown[] }> {
  return { acknowledged, failures };
}

export async function stop(): Promise<void> {
  stopped = true;
  await works.get("writing");
}

/** An iteration that has read one row and goes on when it is told to. */
export async function iterateFirst({ sql }: { sql: string }): Promise<SqlRow | undefined> {
  iteration = open1().iterate(sql);
  return (await iteration.next()).value as SqlRow | undefined;
}

let iteration: AsyncGenerator<SqlRow, void, undefined> | undefined;

export async function iterateRest(): Promise<unknown> {
  try {
    let count = 0;
    for await (const _ of iteration ?? []) count++;
    return count;
  } catch (error) {
    return toWire(error);
  }
}

/** A view of the past that stays open. */
export async function viewAt({ lsn }: { lsn: number }): Promise<number> {
  view = await open1().at(lsn);
  return view.lsn;
}

let view: Awaited<ReturnType<WebDatabase["at"]>> | undefined;

export async function queryView({ sql }: { sql: string }): Promise<SqlRow[]> {
  return (await view?.query(sql)) ?? [];
}

export async function persistStorage(): Promise<boolean> {
  return open1().persistStorage();
}

/** How a query fails whose parameters hold what cannot be sent, small and large. */
export async function unsendable(): Promise<unknown[]> {
  const failures: unknown[] = [];
  for (const more of ["", "x".repeat(1_000_000)]) {
    const parameters = [more, () => {}] as unknown as string[];
    failures.push(await open1().query("SELECT ?, ?", parameters).then(String, toWire));
  }
  return failures;
}

/** A second database of this page on the same storage. */
export async function openAgain({ space }: { space: string }): Promise<unknown> {
  const url = `${location.origin}/objects/${space}/`;
  const other = await openDatabase({ url, tag: "main", store: new SqlSpace(url) });
  await other.exec("INSERT INTO t VALUES (77, 'the other')");
  const { tab } = await other.status();
  await other.close();
  return { tab, rows: await open1().query("SELECT a FROM t") };
}

/** How a query that never ends by itself ends when its signal fires, and what is answered after it. */
export async function interrupt(): Promise<unknown> {
  const controller = new AbortController();
  const running = open1().query(ENDLESS, { signal: controller.signal });
  setTimeout(() => controller.abort(), 100);
  const { code } = toWire(
    await running.then(
      () => "it ended",
      (error: unknown) => error,
    ),
  );
  return [code, ...(await open1().query("SELECT 1 AS a"))];
}
