/** A transaction and a batch of Drizzle are one transaction of the database each: whole or nothing, and nobody else's statements get into it. */
import { asc, DrizzleQueryError, eq, sql, TransactionRollbackError } from "drizzle-orm";
import { beforeEach, describe, expect, it } from "vitest";
import { PagefoldError } from "../../src/base/errors.ts";
import {
  migrationRunner,
  type PagefoldDrizzleDatabase,
  pagefoldDrizzle,
} from "../../vfs/adapters/drizzle.ts";
import type { Database, DatabaseOptions } from "../../vfs/index.ts";
import { CREATE_TABLES, posts, schema, users } from "./drizzle-schema.ts";
import { gate, testDatabases } from "./support.ts";

const databases = testDatabases();
let database: Database;
let orm: PagefoldDrizzleDatabase<typeof schema>;
type Executor = Pick<typeof orm, "insert">;

beforeEach(() => open());

async function open(options: DatabaseOptions = {}): Promise<void> {
  database = await databases.open(undefined, options);
  orm = pagefoldDrizzle(database, { schema });
  await migrationRunner(database)(CREATE_TABLES);
}

const add = (on: Executor, name: string) => on.insert(users).values({ name, age: 1, email: name });

async function everyone(): Promise<unknown[]> {
  return (await database.query("SELECT name FROM users ORDER BY id")).map(({ name }) => name);
}

/** The PagefoldError below Drizzle's own. */
async function causeOf(call: Promise<unknown>): Promise<unknown> {
  const error = await call.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(DrizzleQueryError);
  return (error as DrizzleQueryError).cause;
}

describe("transactions", () => {
  it("commit as one local commit, read their own writes, answer what the callback does", async () => {
    const before = (await database.status()).ahead;
    const answer = await orm.transaction(async (tx) => {
      await add(tx, "a");
      await tx.insert(posts).values({ title: "one", authorId: 1 });
      const user = await tx.query.users.findFirst({ with: { posts: true } });
      return user?.posts[0]?.title;
    });
    expect(answer).toBe("one");
    expect((await database.status()).ahead).toBe(before + 1);
  });

  it("roll back by tx.rollback, by an error, by a statement that fails", async () => {
    const asked = orm.transaction(async (tx) => {
      await add(tx, "a");
      tx.rollback();
    });
    await expect(asked).rejects.toBeInstanceOf(TransactionRollbackError);
    const failure = new Error("changed my mind");
    const mine = orm.transaction(async (tx) => {
      await add(tx, "a");
      throw failure;
    });
    await expect(mine).rejects.toBe(failure);
    const statement = orm.transaction(async (tx) => {
      await add(tx, "a");
      await add(tx, "a");
    });
    expect(await causeOf(statement)).toMatchObject({ code: "invalid", message: /UNIQUE/ });
    expect(await everyone()).toEqual([]);
  });

  it("nest as savepoints", async () => {
    await orm.transaction(async (tx) => {
      await add(tx, "a");
      const inner = tx.transaction(async (nested) => {
        await add(nested, "b");
        nested.rollback();
      });
      await expect(inner).rejects.toBeInstanceOf(TransactionRollbackError);
      await tx.transaction((nested) => add(nested, "c"));
    });
    expect(await everyone()).toEqual(["a", "c"]);
  });

  it("take Drizzle's behaviors", async () => {
    for (const behavior of ["deferred", "immediate", "exclusive"] as const)
      await orm.transaction((tx) => add(tx, behavior), { behavior });
    expect(await everyone()).toEqual(["deferred", "immediate", "exclusive"]);
  });

  it("are over when their callback is", async () => {
    const kept = await orm.transaction(async (tx) => tx);
    expect(await causeOf(add(kept, "late"))).toMatchObject({ code: "closed" });
  });
});

describe("batches", () => {
  it("run in one transaction and answer each query as it asked", async () => {
    const before = (await database.status()).ahead;
    const [inserted, returned, selected, found, missing, raw] = await orm.batch([
      add(orm, "a"),
      orm.insert(users).values({ name: "b", age: 2, email: "b" }).returning({ id: users.id }),
      orm.select({ name: users.name }).from(users).orderBy(asc(users.id)),
      orm.query.users.findFirst({ columns: { name: true } }),
      orm.query.users.findFirst({ where: eq(users.id, 99) }),
      orm.run(sql`update users set age = 3`),
    ]);
    expect(inserted).toMatchObject({ changes: 1, lastInsertRowid: 1 });
    expect(returned).toEqual([{ id: 2 }]);
    expect(selected).toEqual([{ name: "a" }, { name: "b" }]);
    expect(found).toEqual({ name: "a" });
    expect(missing).toBeUndefined();
    expect(raw).toMatchObject({ changes: 2 });
    expect((await database.status()).ahead).toBe(before + 1);
  });

  it("leave nothing behind when one query fails", async () => {
    const batch = orm.batch([add(orm, "a"), add(orm, "a")]);
    await expect(batch).rejects.toMatchObject({ code: "invalid", message: /UNIQUE/ });
    await expect(batch).rejects.toBeInstanceOf(PagefoldError);
    expect(await everyone()).toEqual([]);
  });
});

describe("interleaving", () => {
  it("two transactions at once run one after the other", async () => {
    const run = (name: string, on: typeof orm) =>
      on.transaction(async (tx) => {
        for (let i = 0; i < 5; i++) await add(tx, `${name}${i}`);
        expect(await tx.$count(users, sql`name like ${`${name}%`}`)).toBe(5);
      });
    await Promise.all([run("a", orm), run("b", orm), run("c", pagefoldDrizzle(database, { schema }))]);
    const names = (await everyone()).map((name) => String(name)[0]).join("");
    expect(names).toBe("aaaaabbbbbccccc");
  });

  it("statements from outside wait for the end, see nothing of what was rolled back, and stay", async () => {
    const [begun, mayEnd] = [gate(), gate()];
    const transaction = orm.transaction(async (tx) => {
      await add(tx, "inside");
      begun.open();
      await mayEnd.opened;
      tx.rollback();
    });
    await begun.opened;
    const seen = orm.select({ name: users.name }).from(users).execute();
    const outside = [
      seen,
      database.exec("INSERT INTO users(name, age, email) VALUES ('plain', 1, 'plain')"),
      add(orm, "drizzle").execute(),
      orm.batch([add(orm, "batch")]),
    ];
    const settled: number[] = [];
    for (const [i, call] of outside.entries()) void call.then(() => settled.push(i));
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(settled).toEqual([]);
    mayEnd.open();
    await expect(transaction).rejects.toBeInstanceOf(TransactionRollbackError);
    expect(await seen).not.toContainEqual({ name: "inside" });
    await Promise.all(outside);
    expect((await everyone()).sort()).toEqual(["batch", "drizzle", "plain"]);
  });

  it("the database from outside inside of a transaction's callback is told, instead of waiting for ever", async () => {
    await open({ busyTimeoutMs: 100 });
    const inside = orm.transaction(async (tx) => {
      await add(tx, "a");
      await add(orm, "b");
    });
    expect(await causeOf(inside)).toMatchObject({ code: "busy" });
    expect(await everyone()).toEqual([]);
  });
});

it("transaction control as SQL is refused", async () => {
  for (const text of ["begin", "COMMIT", "rollback", "savepoint x"])
    expect(await causeOf(orm.run(sql.raw(text)).execute())).toMatchObject({
      code: "invalid",
      message: /use transaction\(\) or batch\(\)/,
    });
  await orm.transaction(async (tx) => {
    await add(tx, "a");
    expect(await causeOf(tx.run(sql`commit`).execute())).toMatchObject({ code: "invalid" });
  });
  await expect(orm.batch([orm.run(sql`commit`)])).rejects.toMatchObject({ code: "invalid" });
  expect(await everyone()).toEqual(["a"]);
});
