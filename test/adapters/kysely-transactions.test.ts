/** A transaction of Kysely is one transaction of the database: whole or nothing, and nobody else's statements get into it. */
import { CompiledQuery, type Generated, Kysely, sql, type Transaction } from "kysely";
import { beforeEach, describe, expect, it } from "vitest";
import { PagefoldError } from "../../src/base/errors.ts";
import { MemoryObjectStore } from "../../src/remote/memory-store.ts";
import { PageStore } from "../../src/store/page-store.ts";
import { PagefoldDialect } from "../../vfs/adapters/kysely.ts";
import { Database, type DatabaseOptions } from "../../vfs/index.ts";
import { gate, testDatabases } from "./support.ts";

interface Tables {
  t: { id: Generated<number>; who: string };
}

const databases = testDatabases();
let database: Database;
let db: Kysely<Tables>;

beforeEach(() => open());

async function open(options: DatabaseOptions = {}): Promise<void> {
  database = await databases.open(undefined, options);
  db = kyselyOn(database);
  await database.exec("CREATE TABLE t(id INTEGER PRIMARY KEY, who TEXT UNIQUE)");
}

function kyselyOn(on: Database): Kysely<Tables> {
  return new Kysely<Tables>({ dialect: new PagefoldDialect({ database: on }) });
}

/** Two of these are two writers of one volume: SQL runs on this thread, over a store that they share. */
function openOn(pages: PageStore): Promise<Database> {
  return Database.open(pages, "app", { create: true, bridge: "resident-only", busyTimeoutMs: 100 });
}

function add(on: Kysely<Tables>, who: string): Promise<unknown> {
  return on.insertInto("t").values({ who }).execute();
}

async function everyone(): Promise<unknown[]> {
  return (await database.query("SELECT who FROM t ORDER BY id")).map(({ who }) => who);
}

describe("transactions", () => {
  it("commit as one local commit and answer what the callback does", async () => {
    const before = (await database.status()).ahead;
    const answer = await db.transaction().execute(async (trx) => {
      const { id } = await trx.insertInto("t").values({ who: "a" }).returning("id").executeTakeFirstOrThrow();
      await add(trx, "b");
      return id;
    });
    expect(answer).toBe(1);
    expect(await everyone()).toEqual(["a", "b"]);
    expect((await database.status()).ahead).toBe(before + 1);
  });

  it("roll back with the error of the callback, or of a statement", async () => {
    const failure = new Error("changed my mind");
    const mine = db.transaction().execute(async (trx) => {
      await add(trx, "a");
      throw failure;
    });
    await expect(mine).rejects.toBe(failure);
    const statement = db.transaction().execute(async (trx) => {
      await add(trx, "a");
      await add(trx, "a");
    });
    await expect(statement).rejects.toThrow(PagefoldError);
    expect(await everyone()).toEqual([]);
  });

  it("that cannot commit fail with the reason, leave nothing, and the next one runs", async () => {
    await database.exec(`PRAGMA foreign_keys = ON;
      CREATE TABLE child(of INTEGER REFERENCES t(id) DEFERRABLE INITIALLY DEFERRED)`);
    const orphan = db.transaction().execute(async (trx) => {
      await add(trx, "a");
      await sql`insert into child values (99)`.execute(trx);
    });
    await expect(orphan).rejects.toMatchObject({ code: "invalid", message: /FOREIGN KEY/ });
    expect(await everyone()).toEqual([]);
    await db.transaction().execute((trx) => add(trx, "b"));
    expect(await everyone()).toEqual(["b"]);
  });

  it("stream their own rows", async () => {
    const seen = await db.transaction().execute(async (trx) => {
      for (const who of ["a", "b", "c"]) await add(trx, who);
      const names: string[] = [];
      for await (const { who } of trx.selectFrom("t").select("who").orderBy("id").stream()) names.push(who);
      return names;
    });
    expect(seen).toEqual(["a", "b", "c"]);
  });

  it("are controlled by hand, with savepoints", async () => {
    const trx = await db.startTransaction().execute();
    await add(trx, "a");
    const after = await trx.savepoint('after "a"').execute();
    await add(after, "b");
    await after.rollbackToSavepoint('after "a"').execute();
    await add(trx, "c");
    await after.releaseSavepoint('after "a"').execute();
    await trx.commit().execute();
    expect(await everyone()).toEqual(["a", "c"]);
    await expect(add(trx, "d")).rejects.toThrow("already committed");
    const second = await db.startTransaction().execute();
    await add(second, "e");
    await second.rollback().execute();
    expect(await everyone()).toEqual(["a", "c"]);
  });

  it("that only read let another writer of the volume go on", async () => {
    const pages = await PageStore.open({ remote: new MemoryObjectStore() });
    const [one, two] = [await openOn(pages), await openOn(pages)];
    await one.exec("CREATE TABLE t(id INTEGER PRIMARY KEY, who TEXT)");
    const count = async (on: Kysely<Tables>): Promise<unknown> =>
      (await on.selectFrom("t").select(sql<number>`count(*)`.as("n")).executeTakeFirstOrThrow()).n;
    const reads = kyselyOn(one).transaction().setAccessMode("read only").setIsolationLevel("snapshot");
    await reads.execute(async (trx) => {
      expect(await count(trx)).toBe(0);
      await two.exec("INSERT INTO t(who) VALUES ('other')");
      expect(await count(trx)).toBe(0);
    });
    const writes = kyselyOn(one)
      .transaction()
      .execute(() => two.exec("INSERT INTO t(who) VALUES ('late')"));
    await expect(writes).rejects.toMatchObject({ code: "busy" });
    expect(await count(kyselyOn(one))).toBe(1);
    for (const part of [one, two, pages]) await part.close();
  });
});

describe("interleaving", () => {
  it("two transactions at once run one after the other", async () => {
    const order: string[] = [];
    const run = (name: string, on: Kysely<Tables>) =>
      on.transaction().execute(async (trx) => {
        order.push(`${name} begins`);
        for (let i = 0; i < 5; i++) await add(trx, `${name}${i}`);
        const { n } = await countIn(trx, name);
        expect(n).toBe(5);
        order.push(`${name} ends`);
      });
    await Promise.all([run("a", db), run("b", db), run("c", kyselyOn(database))]);
    expect(order).toEqual(["a begins", "a ends", "b begins", "b ends", "c begins", "c ends"]);
    const names = (await everyone()).map((who) => String(who)[0]).join("");
    expect(names).toBe("aaaaabbbbbccccc");
  });

  it("statements from outside wait for the end, see nothing of what was rolled back, and stay", async () => {
    const [begun, mayEnd] = [gate(), gate()];
    const transaction = db.transaction().execute(async (trx) => {
      await add(trx, "inside");
      begun.open();
      await mayEnd.opened;
      throw new Error("rolled back");
    });
    await begun.opened;
    const outside = [
      database.query("SELECT count(*) AS n FROM t"),
      db.selectFrom("t").selectAll().execute(),
      database.exec("INSERT INTO t(who) VALUES ('plain')"),
      add(db, "kysely"),
    ];
    const settled: number[] = [];
    for (const [i, call] of outside.entries()) void call.then(() => settled.push(i));
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(settled).toEqual([]);
    mayEnd.open();
    await expect(transaction).rejects.toThrow("rolled back");
    expect(await outside[0]).toEqual([{ n: 0 }]);
    expect(await outside[1]).not.toContainEqual(expect.objectContaining({ who: "inside" }));
    await Promise.all(outside);
    expect((await everyone()).sort()).toEqual(["kysely", "plain"]);
  });

  it("the plain database inside of a transaction's callback is told, instead of waiting for ever", async () => {
    await open({ busyTimeoutMs: 100 });
    const inside = db.transaction().execute(async (trx) => {
      await add(trx, "a");
      await add(db, "b");
    });
    await expect(inside).rejects.toMatchObject({ code: "busy" });
    expect(await everyone()).toEqual([]);
  });

  it("transactions of the database and of Kysely take turns", async () => {
    await Promise.all([
      database.transaction(async (transaction) => {
        for (let i = 0; i < 3; i++) await transaction.exec("INSERT INTO t(who) VALUES (?)", [`plain${i}`]);
      }),
      db.transaction().execute(async (trx) => {
        for (let i = 0; i < 3; i++) await add(trx, `kysely${i}`);
      }),
    ]);
    expect(await everyone()).toEqual(["plain0", "plain1", "plain2", "kysely0", "kysely1", "kysely2"]);
  });
});

describe("misuse", () => {
  it("transaction control as SQL is refused, savepoints only outside", async () => {
    for (const text of [
      "begin",
      "BEGIN IMMEDIATE",
      " -- note\n/* more * / */ commit",
      "end",
      "rollback",
      "savepoint x",
    ]) {
      await expect(sql.raw(text).execute(db), text).rejects.toMatchObject({
        code: "invalid",
        message: /use transaction\(\) or startTransaction\(\)/,
      });
    }
    await db.transaction().execute(async (trx) => {
      for (const text of ["begin", "commit", "END TRANSACTION", "ROLLBACK"])
        await expect(sql.raw(text).execute(trx), text).rejects.toMatchObject({ code: "invalid" });
      await sql`savepoint x`.execute(trx);
      await add(trx, "a");
      await sql.raw("ROLLBACK TRANSACTION TO SAVEPOINT x").execute(trx);
      await sql`release x`.execute(trx);
      await add(trx, "b");
    });
    expect(await everyone()).toEqual(["b"]);
  });

  it("words that only look like it pass", async () => {
    await sql`create table "begin"(x)`.execute(db);
    await sql`create trigger tr after insert on t begin insert into "begin" values (1); end`.execute(db);
    await add(db, "a");
    expect((await sql`/* commit */ select x from "begin" -- rollback`.execute(db)).rows).toEqual([{ x: 1 }]);
  });

  it("a second begin on a connection is refused; a driver without a database says so", async () => {
    const driver = new PagefoldDialect({ database }).createDriver();
    await expect(driver.acquireConnection()).rejects.toThrow("call init() first");
    await driver.init();
    const connection = await driver.acquireConnection();
    await driver.beginTransaction(connection, {});
    await expect(driver.beginTransaction(connection, {})).rejects.toThrow("use a savepoint");
    await driver.rollbackTransaction(connection);
    await database.exec("INSERT INTO t(who) VALUES ('free')");
  });

  it("a transaction that nobody ends is rolled back by destroy", async () => {
    await open({ busyTimeoutMs: 100 });
    const trx = await db.startTransaction().execute();
    await add(trx, "lost");
    await expect(database.query("SELECT 1")).rejects.toMatchObject({ code: "busy" });
    await db.destroy();
    expect(await everyone()).toEqual([]);
  });

  it("closing the database ends an open transaction", async () => {
    const trx = await db.startTransaction().execute();
    await add(trx, "lost");
    await database.close();
    await expect(trx.commit().execute()).rejects.toMatchObject({ code: "closed" });
    await trx.rollback().execute();
  });
});

it("a query that runs is cancelled through its connection, as Kysely 0.29 does it", async () => {
  const driver = new PagefoldDialect({ database }).createDriver();
  await driver.init();
  const connection = (await driver.acquireConnection()) as Awaited<
    ReturnType<typeof driver.acquireConnection>
  > & { cancelQuery(): Promise<void> };
  const endless = connection.executeQuery(
    CompiledQuery.raw(
      "with recursive c(i) as (select 1 union all select i + 1 from c) select count(*) from c",
    ),
  );
  setTimeout(() => connection.cancelQuery(), 50);
  await expect(endless).rejects.toMatchObject({ code: "aborted" });
  expect(await database.query("SELECT 1 AS one")).toEqual([{ one: 1 }]);
});

function countIn(trx: Transaction<Tables>, name: string): Promise<{ n: number }> {
  return trx
    .selectFrom("t")
    .select(sql<number>`count(*)`.as("n"))
    .where("who", "like", `${name}%`)
    .executeTakeFirstOrThrow();
}
