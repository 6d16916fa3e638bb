/** Drizzle's documented examples through `pagefoldDrizzle`, and that what they make is an ordinary volume. */
import { and, asc, count, DrizzleQueryError, desc, eq, gt, sql } from "drizzle-orm";
import { Cache } from "drizzle-orm/cache/core";
import { sqliteTable, text } from "drizzle-orm/sqlite-core";
import { beforeEach, describe, expect, it } from "vitest";
import { PagefoldError } from "../../src/base/errors.ts";
import { MemoryObjectStore } from "../../src/remote/memory-store.ts";
import {
  migrationRunner,
  type PagefoldDrizzleDatabase,
  pagefoldDrizzle,
} from "../../vfs/adapters/drizzle.ts";
import type { Database } from "../../vfs/index.ts";
import { CREATE_TABLES, posts, schema, users } from "./drizzle-schema.ts";
import { testDatabases } from "./support.ts";

const databases = testDatabases();
let store: MemoryObjectStore;
let database: Database;
let orm: PagefoldDrizzleDatabase<typeof schema>;

beforeEach(async () => {
  store = new MemoryObjectStore();
  database = await databases.open(store);
  orm = pagefoldDrizzle(database, { schema });
});

const john = { name: "John", age: 30, email: "john@example.com" };
const jane = { name: "Jane", age: 41, email: "jane@example.com" };

/** The least that Drizzle takes for a cache. */
class TestCache extends Cache {
  readonly #results = new Map<string, unknown[]>();

  strategy(): "all" {
    return "all";
  }
  async get(key: string): Promise<unknown[] | undefined> {
    return this.#results.get(key);
  }
  async put(key: string, result: unknown): Promise<void> {
    this.#results.set(key, result as unknown[]);
  }
  async onMutate(): Promise<void> {
    this.#results.clear();
  }
}

describe("the queries of Drizzle's introduction", () => {
  beforeEach(() => migrationRunner(database)(CREATE_TABLES));

  it("insert, select, update, delete", async () => {
    const user: typeof users.$inferInsert = john;
    expect(await orm.insert(users).values(user)).toEqual({ rows: [], changes: 1, lastInsertRowid: 1 });
    expect(await orm.select().from(users)).toEqual([
      {
        ...{ ...john, id: 1, isActive: true, createdAt: expect.any(Date) },
        ...{ settings: null, avatar: null, points: null },
      },
    ]);
    expect(await orm.insert(users).values([jane]).returning({ id: users.id })).toEqual([{ id: 2 }]);
    const updated = await orm.update(users).set({ age: 31 }).where(eq(users.email, john.email));
    expect(updated.changes).toBe(1);
    const older = await orm
      .update(users)
      .set({ age: sql`${users.age} + 1` })
      .where(gt(users.age, 100))
      .returning();
    expect(older).toEqual([]);
    expect(
      await orm.select({ name: users.name, age: users.age }).from(users).orderBy(desc(users.age)),
    ).toEqual([
      { name: "Jane", age: 41 },
      { name: "John", age: 31 },
    ]);
    const deleted = await orm.delete(users).where(eq(users.email, john.email)).returning();
    expect(deleted).toMatchObject([{ name: "John", age: 31 }]);
    expect((await orm.delete(users)).changes).toBe(1);
    expect(await orm.$count(users)).toBe(0);
  });

  it("run, all, get and values", async () => {
    await orm.insert(users).values([john, jane]);
    const query = orm.select({ id: users.id, name: users.name }).from(users).orderBy(asc(users.id));
    expect(await query.all()).toEqual([
      { id: 1, name: "John" },
      { id: 2, name: "Jane" },
    ]);
    expect(await query.get()).toEqual({ id: 1, name: "John" });
    expect(await query.values()).toEqual([
      [1, "John"],
      [2, "Jane"],
    ]);
    expect(await orm.select().from(users).where(eq(users.id, 99)).get()).toBeUndefined();
    expect(await orm.update(users).set({ age: 1 }).run()).toMatchObject({ rows: [], changes: 2 });
    expect(
      await orm
        .insert(users)
        .values({ ...john, email: "j2" })
        .returning({ id: users.id })
        .get(),
    ).toEqual({
      id: 3,
    });
    expect(await orm.all(sql`select id, name from users where id < 3 order by id`)).toEqual([
      [1, "John"],
      [2, "Jane"],
    ]);
    expect(await orm.get(sql`select ${users.name} from ${users} where ${users.id} = ${2}`)).toEqual(["Jane"]);
    expect(await orm.get(sql`select 1 where 0`)).toBeUndefined();
    expect(await orm.values(sql`select 1, 'a'`)).toEqual([[1, "a"]]);
    expect((await orm.run(sql`delete from users where id > 1`)).changes).toBe(2);
  });

  it("joins, aggregates, subqueries", async () => {
    await orm.insert(users).values([john, jane]);
    await orm.insert(posts).values([
      { title: "one", authorId: 1 },
      { title: "two", authorId: 1 },
      { title: "three", authorId: 2 },
    ]);
    const joined = await orm
      .select()
      .from(posts)
      .innerJoin(users, eq(posts.authorId, users.id))
      .where(and(eq(users.name, "John"), eq(posts.title, "two")));
    // Both tables have a column "id": rows must not be objects by column names.
    expect(joined).toMatchObject([{ posts: { id: 2, title: "two" }, users: { id: 1, name: "John" } }]);
    const perAuthor = orm
      .select({ authorId: posts.authorId, posts: count().as("posts") })
      .from(posts)
      .groupBy(posts.authorId)
      .as("per_author");
    expect(
      await orm
        .select({ name: users.name, posts: perAuthor.posts })
        .from(users)
        .leftJoin(perAuthor, eq(users.id, perAuthor.authorId))
        .orderBy(users.id),
    ).toEqual([
      { name: "John", posts: 2 },
      { name: "Jane", posts: 1 },
    ]);
    const prepared = orm
      .select()
      .from(users)
      .where(eq(users.id, sql.placeholder("id")))
      .prepare();
    expect(await prepared.get({ id: 2 })).toMatchObject(jane);
    expect(await prepared.all({ id: 1 })).toMatchObject([john]);
  });

  it("relational queries", async () => {
    await orm.insert(users).values([john, jane]);
    await orm.insert(posts).values([
      { title: "one", authorId: 1 },
      { title: "two", authorId: 1 },
    ]);
    const all = await orm.query.users.findMany({
      columns: { name: true },
      with: { posts: { columns: { title: true }, orderBy: [desc(posts.id)] } },
      orderBy: [asc(users.id)],
    });
    expect(all).toEqual([
      { name: "John", posts: [{ title: "two" }, { title: "one" }] },
      { name: "Jane", posts: [] },
    ]);
    const first = await orm.query.posts.findFirst({ with: { author: true } });
    expect(first).toMatchObject({ title: "one", author: { name: "John" } });
    expect(await orm.query.users.findFirst({ where: eq(users.id, 99) })).toBeUndefined();
  });

  it("values keep their types", async () => {
    const values = {
      ...{
        ...john,
        isActive: false,
        createdAt: new Date("2024-02-29T12:00:00Z"),
        settings: { theme: "dark" },
      },
      ...{ avatar: Buffer.from([0, 1, 255]), points: 2n ** 70n },
    };
    await orm.insert(users).values(values);
    expect(await orm.select().from(users)).toEqual([{ id: 1, ...values }]);
  });

  it("an error of a query has the database's as its cause", async () => {
    await orm.insert(users).values(john);
    const error = await orm
      .insert(users)
      .values(john)
      .catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(DrizzleQueryError);
    expect((error as DrizzleQueryError).cause).toBeInstanceOf(PagefoldError);
    expect((error as DrizzleQueryError).cause).toMatchObject({ code: "invalid", message: /UNIQUE/ });
  });

  it("columns are named by the casing that is asked for, queries go to the logger", async () => {
    const logged: string[] = [];
    const logger = { logQuery: (query: string) => logged.push(query) };
    const cased = pagefoldDrizzle(database, { casing: "snake_case", logger });
    const cities = sqliteTable("cities", { cityName: text().notNull() });
    await database.exec("CREATE TABLE cities(city_name TEXT NOT NULL)");
    await cased.transaction((tx) => tx.insert(cities).values({ cityName: "Uppsala" }));
    expect(await cased.select().from(cities)).toEqual([{ cityName: "Uppsala" }]);
    expect(logged).toEqual([
      'insert into "cities" ("city_name") values (?)',
      'select "city_name" from "cities"',
    ]);
  });

  it("results are cached, and forgotten when a table changes", async () => {
    const cache = new TestCache();
    const cached = pagefoldDrizzle(database, { cache });
    const names = () => cached.select({ name: users.name }).from(users);
    await cached.insert(users).values(john);
    expect(await names()).toEqual([{ name: "John" }]);
    await database.exec("UPDATE users SET name = 'behind its back'");
    expect(await names()).toEqual([{ name: "John" }]);
    await cached.$cache.invalidate({ tables: ["users"] });
    expect(await names()).toEqual([{ name: "behind its back" }]);
    await cached.transaction((tx) => tx.update(users).set({ name: "Jim" }));
    expect(await names()).toEqual([{ name: "Jim" }]);
  });
});

it("the volume is an ordinary one: pushed here, read elsewhere, by Drizzle and without", async () => {
  await migrationRunner(database)(CREATE_TABLES);
  await orm.insert(users).values(john);
  expect(await orm.$client.push()).toMatchObject({ outcome: "pushed", ahead: 0 });
  const elsewhere = await databases.open(store, { create: false });
  expect(await elsewhere.query("SELECT id, name FROM users")).toEqual([{ id: 1, name: "John" }]);
  expect(await elsewhere.query("PRAGMA integrity_check")).toEqual([{ integrity_check: "ok" }]);
  const there = pagefoldDrizzle(elsewhere, { schema });
  await there.update(users).set({ name: "Jack" });
  await there.$client.push();
  await database.pull();
  expect(await orm.query.users.findFirst({ columns: { name: true } })).toEqual({ name: "Jack" });
});
