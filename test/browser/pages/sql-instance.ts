/**
 * Suspension on one thread: several wasm instances side by side, several connections within one instance, all in the middle of faults at once. A
 * suspended call leaves its frames on the stack of its instance, so what goes wrong here is memory, and shows as traps or wrong rows.
 */
import sqlite3InitModule, { type Sqlite3Static } from "@sqlite.org/sqlite-wasm";
import { PageStore } from "../../../src/index.ts";
import { JspiBridge } from "../../../vfs/bridge/jspi.ts";
import type { Database } from "../../../vfs/database.ts";
import { Connection } from "../../../vfs/sqlite/connection.ts";
import { installVfs, type PagefoldVfs } from "../../../vfs/sqlite/pagefold-vfs.ts";
import { installPagefoldVfs } from "../../../vfs/sqlite/store-vfs.ts";
import { VolumeSource } from "../../../vfs/sqlite/volume-source.ts";
import type { TestApi } from "../../contracts/object-store.ts";
import { check, equal, failure } from "./checks.ts";
import { numberOf, type Opened, opening, type SqlRun, type SqlSpace, SUM, WORDS, wordOf } from "./sql-run.ts";

const PAGE = 4096;
/** So little that pages are fetched again and again. */
const SETTINGS = { memoryBytes: 96 * PAGE };
const ID_SQL = "SELECT id, n FROM words WHERE word = ?";
const RANGE_SQL = "SELECT sum(n) AS sum FROM words WHERE id BETWEEN ? AND ?";

const idOf = (seed: number): number => ((seed * 7919) % WORDS) + 1;

function sumOf(from: number, to: number): number {
  let sum = 0;
  for (let id = from; id <= to; id++) sum += numberOf(id);
  return sum;
}

async function storeOn(opened: Opened, space: SqlSpace, settings = SETTINGS): Promise<PageStore> {
  const store = await PageStore.open({ remote: space, settings });
  opened.closing(() => store.close());
  return store;
}

/** Half of them points, half of them ranges, one after the other. */
async function readMany(
  read: (sql: string, parameters: number[] | string[]) => Promise<unknown[][]>,
  seed: number,
  count = 12,
): Promise<void> {
  for (let i = 0; i < count; i++) {
    const id = idOf(seed * 1000 + i);
    if (i % 2 === 0) equal(await read(ID_SQL, [wordOf(id)]), [[id, numberOf(id)]], `word ${id}`);
    else equal(await read(RANGE_SQL, [id, id + 150]), [[sumOf(id, Math.min(WORDS, id + 150))]], `from ${id}`);
  }
}

const ofDatabase = (db: Pick<Database, "execute">) => async (sql: string, parameters: number[] | string[]) =>
  (await db.execute(sql, parameters)).rows as unknown[][];

const ofConnection = (connection: Connection) => async (sql: string, parameters: number[] | string[]) =>
  (await connection.run(sql, parameters))[0]?.rows as unknown[][];

async function oneInstance(
  opened: Opened,
  store: PageStore,
): Promise<{ sqlite3: Sqlite3Static; vfs: PagefoldVfs; connect: () => Promise<Connection> }> {
  const sqlite3 = await sqlite3InitModule();
  const source = new VolumeSource(await store.volume("words"));
  const bridge = new JspiBridge((plan, signal) => store.run(plan, signal === undefined ? {} : { signal }));
  const vfs = installVfs(sqlite3, { bridge, resolve: (name) => (name === "words" ? source : undefined) });
  opened.closing(async () => {
    vfs.dispose();
    source.close();
  });
  const connect = async (): Promise<Connection> => {
    const connection = await Connection.open(sqlite3, vfs, "words", { busyTimeoutMs: 5000 });
    opened.closing(() => connection.close());
    return connection;
  };
  return { sqlite3, vfs, connect };
}

export function instanceCases({ it }: TestApi, run: SqlRun): void {
  it(
    "two instances on one thread fault at once",
    opening(run, async (opened) => {
      const spaces = [opened.imported(), opened.imported()];
      const databases = await Promise.all(
        spaces.map((space) => opened.open(space, "words", { settings: SETTINGS })),
      );
      for (const space of spaces) await space.rule("gets", "slow");
      await Promise.all(
        databases.flatMap((db, i) => [1, 2, 3].map((seed) => readMany(ofDatabase(db), i * 10 + seed))),
      );
    }),
  );

  it(
    "six databases share a page store and a thread, and it stays open when they close",
    opening(run, async (opened) => {
      const space = opened.imported();
      const store = await storeOn(opened, space);
      await space.rule("gets", "slow");
      const databases = await Promise.all([1, 2, 3, 4, 5, 6].map(() => opened.open(store, "words")));
      await Promise.all(databases.map((db, i) => readMany(ofDatabase(db), i)));
      for (const db of databases) await db.close();
      equal((await store.volume("words")).status().lsn, 1);
    }),
  );

  it(
    "eight connections in one instance fault at once, while one of them writes",
    opening(run, async (opened) => {
      const space = opened.imported();
      const { connect } = await oneInstance(opened, await storeOn(opened, space));
      const connections = await Promise.all(Array.from({ length: 8 }, connect));
      await space.rule("gets", "slow");
      const [writer, ...readers] = connections;
      const write = async (): Promise<void> => {
        for (let i = 0; i < 3; i++) {
          await writer?.run("BEGIN IMMEDIATE");
          await writer?.run("UPDATE words SET filler = 'x' || ? WHERE id % 2000 = ?", [i, i]);
          await writer?.run(i % 2 === 0 ? "COMMIT" : "ROLLBACK");
        }
      };
      await Promise.all([write(), ...readers.map((reader, i) => readMany(ofConnection(reader), i, 8))]);
      const [check1] = (await readers[0]?.run("PRAGMA integrity_check")) ?? [];
      equal(check1?.rows, [["ok"]]);
      const [changed] = (await readers[1]?.run("SELECT count(*) FROM words WHERE filler LIKE 'x%'")) ?? [];
      equal(changed?.rows, [[20]]);
    }),
  );

  it(
    "of many connections that wait for pages some are aborted, and the others go on",
    opening(run, async (opened) => {
      const space = opened.imported();
      const { connect } = await oneInstance(opened, await storeOn(opened, space));
      const connections = await Promise.all(Array.from({ length: 6 }, connect));
      await space.rule("gets", "slow");
      await Promise.all(
        connections.map(async (connection, i) => {
          if (i % 2 === 0) return readMany(ofConnection(connection), i);
          const controller = new AbortController();
          connection.context = { signal: controller.signal };
          setTimeout(() => controller.abort(), 5 * i);
          await failure(connection.run("SELECT sum(n) FROM words, (SELECT 1 UNION SELECT 2)"), "aborted");
          connection.context = {};
          await readMany(ofConnection(connection), i, 4);
        }),
      );
    }),
  );

  it(
    "SQLite's own API reads and writes resident pages, and says so where one is not",
    opening(run, async (opened) => {
      const store = await storeOn(opened, opened.imported(), { memoryBytes: 16 * 2 ** 20 });
      const volume = await store.volume("words");
      const sqlite3 = await sqlite3InitModule();
      const vfs = installPagefoldVfs(sqlite3, store);
      sqlite3.config.warn = () => {};
      try {
        const read = (): unknown => {
          const db = new sqlite3.oo1.DB("file:words?vfs=pagefold", "w");
          try {
            return db.selectValue("SELECT sum(n) FROM words");
          } finally {
            db.close();
          }
        };
        let failed: unknown;
        try {
          read();
        } catch (error) {
          failed = error;
        }
        check(failed !== undefined, "it read what is not here");
        const cause = vfs.takeError();
        check(String(cause).includes("hydrate the volume"), `the cause is ${String(cause)}`);
        await volume.hydrate();
        equal(read(), SUM);
        const db = new sqlite3.oo1.DB("file:words?vfs=pagefold", "w");
        db.exec("UPDATE words SET n = 0 WHERE id > 10");
        db.close();
        equal(volume.status().ahead, 1, "local commits");
        equal(read(), sumOf(1, 10));
      } finally {
        vfs.dispose();
      }
    }),
  );
}
