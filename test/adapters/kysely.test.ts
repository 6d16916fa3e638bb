/** Kysely's documented examples through `PagefoldDialect`, and that what they make is an ordinary volume. */
import {
  type Generated,
  type Insertable,
  Kysely,
  type Migration,
  Migrator,
  type Selectable,
  sql,
  type Updateable,
} from "kysely";
import { beforeEach, describe, expect, it } from "vitest";
import { PagefoldError } from "../../src/base/errors.ts";
import { MemoryObjectStore } from "../../src/remote/memory-store.ts";
import { PagefoldDialect } from "../../vfs/adapters/kysely.ts";
import type { Database } from "../../vfs/index.ts";
import { testDatabases } from "./support.ts";

interface PersonTable {
  id: Generated<number>;
  first_name: string;
  gender: "man" | "woman" | "other";
  last_name: string | null;
  created_at: Generated<string>;
  metadata: string | null;
}
interface PetTable {
  id: Generated<number>;
  name: string;
  owner_id: number;
  species: "dog" | "cat";
}
interface Tables {
  person: PersonTable;
  pet: PetTable;
}
type Person = Selectable<PersonTable>;
type NewPerson = Insertable<PersonTable>;
type PersonUpdate = Updateable<PersonTable>;

const databases = testDatabases();
let store: MemoryObjectStore;
let database: Database;
let db: Kysely<Tables>;

beforeEach(async () => {
  store = new MemoryObjectStore();
  database = await databases.open(store);
  db = new Kysely<Tables>({ dialect: new PagefoldDialect({ database }) });
});

async function createTables(): Promise<void> {
  await db.schema
    .createTable("person")
    .addColumn("id", "integer", (column) => column.primaryKey().autoIncrement())
    .addColumn("first_name", "varchar", (column) => column.notNull())
    .addColumn("last_name", "varchar")
    .addColumn("gender", "varchar(50)", (column) => column.notNull())
    .addColumn("created_at", "timestamp", (column) => column.notNull().defaultTo(sql`CURRENT_TIMESTAMP`))
    .addColumn("metadata", "text")
    .execute();
  await db.schema
    .createTable("pet")
    .addColumn("id", "integer", (column) => column.primaryKey())
    .addColumn("name", "varchar", (column) => column.notNull().unique())
    .addColumn("owner_id", "integer", (column) =>
      column.notNull().references("person.id").onDelete("cascade"),
    )
    .addColumn("species", "varchar", (column) => column.notNull())
    .execute();
  await db.schema.createIndex("pet_owner_id_index").on("pet").column("owner_id").execute();
}

function createPerson(person: NewPerson): Promise<Person> {
  return db.insertInto("person").values(person).returningAll().executeTakeFirstOrThrow();
}

describe("the queries of Kysely's introduction", () => {
  beforeEach(createTables);

  it("insert answers rows, ids and counts", async () => {
    const jennifer = await createPerson({ first_name: "Jennifer", last_name: "Aniston", gender: "woman" });
    expect(jennifer).toMatchObject({ id: 1, first_name: "Jennifer", last_name: "Aniston", metadata: null });
    expect(jennifer.created_at).toMatch(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$/);
    const results = await db
      .insertInto("pet")
      .values([
        { name: "Catto", owner_id: jennifer.id, species: "cat" },
        { name: "Doggo", owner_id: jennifer.id, species: "dog" },
      ])
      .execute();
    expect(results).toEqual([{ insertId: 2n, numInsertedOrUpdatedRows: 2n }]);
    const ignored = await db
      .insertInto("pet")
      .values({ name: "Catto", owner_id: jennifer.id, species: "cat" })
      .onConflict((conflict) => conflict.column("name").doNothing())
      .executeTakeFirstOrThrow();
    expect(ignored.insertId).toBeUndefined();
    expect(ignored.numInsertedOrUpdatedRows).toBe(0n);
    const upserted = await db
      .insertInto("pet")
      .values({ name: "Catto", owner_id: jennifer.id, species: "dog" })
      .onConflict((conflict) => conflict.column("name").doUpdateSet({ species: "dog" }))
      .returning(["name", "species"])
      .execute();
    expect(upserted).toEqual([{ name: "Catto", species: "dog" }]);
  });

  it("select joins, groups and takes expressions", async () => {
    const { id } = await createPerson({ first_name: "Jennifer", gender: "woman" });
    await createPerson({ first_name: "Arnold", gender: "man" });
    await db.insertInto("pet").values({ name: "Catto", owner_id: id, species: "cat" }).execute();
    const cats = await db
      .selectFrom("person")
      .innerJoin("pet", "pet.owner_id", "person.id")
      .select(["first_name", "pet.name as pet_name"])
      .where("pet.species", "=", "cat")
      .execute();
    expect(cats).toEqual([{ first_name: "Jennifer", pet_name: "Catto" }]);
    const counts = await db
      .selectFrom("person")
      .leftJoin("pet", "pet.owner_id", "person.id")
      .select(({ fn }) => ["first_name", fn.count<number>("pet.id").as("pets")])
      .groupBy("person.id")
      .orderBy("first_name", "desc")
      .execute();
    expect(counts).toEqual([
      { first_name: "Jennifer", pets: 1 },
      { first_name: "Arnold", pets: 0 },
    ]);
    const nobody = await db.selectFrom("person").selectAll().where("id", "=", 99).executeTakeFirst();
    expect(nobody).toBeUndefined();
    const raw = await sql<{ n: number }>`select count(*) as n from person where id >= ${id}`.execute(db);
    expect(raw).toEqual({ rows: [{ n: 2 }] });
  });

  it("update and delete count rows", async () => {
    const { id } = await createPerson({ first_name: "Jennifer", gender: "woman" });
    const change: PersonUpdate = { last_name: "Aniston", metadata: JSON.stringify({ login: 1 }) };
    const updated = await db.updateTable("person").set(change).where("id", "=", id).executeTakeFirst();
    expect(updated.numUpdatedRows).toBe(1n);
    const none = await db.updateTable("person").set(change).where("id", "=", 99).executeTakeFirst();
    expect(none.numUpdatedRows).toBe(0n);
    const deleted = await db.deleteFrom("person").where("id", "=", id).returningAll().executeTakeFirst();
    expect(deleted).toMatchObject({ id, last_name: "Aniston", metadata: '{"login":1}' });
    const gone = await db.deleteFrom("person").where("id", "=", id).executeTakeFirst();
    expect(gone.numDeletedRows).toBe(0n);
  });

  it("values keep their types", async () => {
    const blob = new Uint8Array([0, 1, 255]);
    const big = 2n ** 60n + 1n;
    const { rows } =
      await sql`select ${blob} as blob, ${big} as big, ${true} as yes, ${null} as none, ${1.5} as real`.execute(
        db,
      );
    expect(rows).toEqual([{ blob, big, yes: 1, none: null, real: 1.5 }]);
  });

  it("a SELECT streams, in chunks, and stops when its loop is left", async () => {
    const people = Array.from({ length: 250 }, (_, i) => ({ first_name: `p${i}`, gender: "other" as const }));
    await db.insertInto("person").values(people).execute();
    const query = db.selectFrom("person").select(["id", "first_name"]).orderBy("id");
    const names: string[] = [];
    for await (const { first_name } of query.stream(100)) names.push(first_name);
    expect(names).toEqual(people.map(({ first_name }) => first_name));
    const chunks: number[] = [];
    for await (const { rows } of db.getExecutor().stream(query.compile(), 100)) chunks.push(rows.length);
    expect(chunks).toEqual([100, 100, 50]);
    for await (const { id } of query.stream()) if (id === 3) break;
    await expect(db.deleteFrom("person").returning("id").stream().next()).rejects.toThrow(
      "only a SELECT can be streamed",
    );
    // A statement that still stood on a row would be in the way of this.
    await db.schema.dropTable("pet").execute();
  });

  it("introspection finds tables and columns", async () => {
    await db.schema
      .createView("cats")
      .as(db.selectFrom("pet").selectAll().where("species", "=", sql.lit("cat")))
      .execute();
    const tables = await db.introspection.getTables();
    expect(tables.map(({ name, isView }) => [name, isView])).toEqual([
      ["cats", true],
      ["person", false],
      ["pet", false],
    ]);
    expect(tables[1]?.columns[0]).toMatchObject({
      name: "id",
      dataType: "INTEGER",
      isAutoIncrementing: true,
      isNullable: true,
    });
    expect(tables[2]?.columns.map(({ name }) => name)).toEqual(["id", "name", "owner_id", "species"]);
  });

  it("errors are the database's own", async () => {
    await createPerson({ first_name: "Jennifer", gender: "woman" });
    const twice = db.insertInto("person").values({ id: 1, first_name: "x", gender: "other" }).execute();
    await expect(twice).rejects.toSatisfy(
      (error) => error instanceof PagefoldError && error.code === "invalid" && /UNIQUE/.test(error.message),
    );
    await expect(sql`select * from nowhere`.execute(db)).rejects.toThrow(PagefoldError);
    await database.close();
    await expect(db.selectFrom("person").selectAll().execute()).rejects.toMatchObject({ code: "closed" });
  });
});

describe("migrations", () => {
  const first: Migration = {
    up: async (kysely) => {
      await kysely.schema
        .createTable("person")
        .addColumn("id", "integer", (column) => column.primaryKey())
        .addColumn("first_name", "text", (column) => column.notNull())
        .execute();
    },
    down: (kysely) => kysely.schema.dropTable("person").execute(),
  };
  const second: Migration = {
    up: (kysely) => kysely.schema.alterTable("person").addColumn("age", "integer").execute(),
    down: (kysely) => kysely.schema.alterTable("person").dropColumn("age").execute(),
  };
  const migratorOf = (migrations: Record<string, Migration>, kysely = db): Migrator =>
    new Migrator({ db: kysely, provider: { getMigrations: async () => migrations } });
  const columnsOfPerson = async (): Promise<unknown[]> =>
    (await database.query("SELECT name FROM pragma_table_info('person')")).map(({ name }) => name);

  it("run up and down", async () => {
    const migrator = migratorOf({ "01-person": first, "02-age": second });
    const { error, results } = await migrator.migrateToLatest();
    expect(error).toBeUndefined();
    expect(results?.map(({ migrationName, status }) => [migrationName, status])).toEqual([
      ["01-person", "Success"],
      ["02-age", "Success"],
    ]);
    expect(await columnsOfPerson()).toEqual(["id", "first_name", "age"]);
    expect((await migrator.migrateToLatest()).results).toEqual([]);
    expect((await migrator.migrateDown()).results?.[0]).toMatchObject({
      direction: "Down",
      status: "Success",
    });
    expect(await columnsOfPerson()).toEqual(["id", "first_name"]);
  });

  it("leave nothing behind when one of them fails", async () => {
    const fails: Migration = { up: (kysely) => kysely.schema.dropTable("nowhere").execute() };
    const { error, results } = await migratorOf({ "01-person": first, "02-fails": fails }).migrateToLatest();
    expect(error).toBeInstanceOf(PagefoldError);
    expect(results?.map(({ status }) => status)).toEqual(["Success", "Error"]);
    expect(await columnsOfPerson()).toEqual([]);
    expect((await migratorOf({ "01-person": first }).migrateToLatest()).error).toBeUndefined();
  });

  it("run once, though two start at once on one database", async () => {
    const other = new Kysely<Tables>({ dialect: new PagefoldDialect({ database }) });
    const migrations = { "01-person": first, "02-age": second };
    const runs = await Promise.all(
      [db, other].map((kysely) => migratorOf(migrations, kysely).migrateToLatest()),
    );
    expect(runs.map(({ error }) => error)).toEqual([undefined, undefined]);
    expect(runs.map(({ results }) => results?.length).sort()).toEqual([0, 2]);
  });
});

describe("the volume", () => {
  it("is an ordinary one: pushed here, read elsewhere", async () => {
    await createTables();
    const { id } = await createPerson({ first_name: "Jennifer", gender: "woman" });
    expect(await database.push()).toMatchObject({ outcome: "pushed", ahead: 0 });
    const elsewhere = await databases.open(store, { create: false });
    expect(await elsewhere.query("SELECT id, first_name FROM person")).toEqual([
      { id, first_name: "Jennifer" },
    ]);
    expect(await elsewhere.query("PRAGMA integrity_check")).toEqual([{ integrity_check: "ok" }]);
    // Back the same way: what plain SQL writes elsewhere, Kysely reads here.
    await elsewhere.exec("UPDATE person SET first_name = 'Jen'");
    await elsewhere.push();
    await database.pull();
    expect(await db.selectFrom("person").select("first_name").execute()).toEqual([{ first_name: "Jen" }]);
  });

  it("that was given stays open when Kysely is destroyed; one that was opened for Kysely is closed", async () => {
    await sql`create table t(a)`.execute(db);
    await db.destroy();
    expect(await database.query("SELECT count(*) AS n FROM t")).toEqual([{ n: 0 }]);
    let opened = 0;
    let lazy: Database | undefined;
    const kysely = new Kysely<Tables>({
      dialect: new PagefoldDialect({
        database: async () => {
          opened++;
          if (opened === 1) throw new PagefoldError("unavailable", "no way to the store today");
          lazy = await databases.open();
          return lazy;
        },
      }),
    });
    expect(opened).toBe(0);
    await expect(sql`select 1`.execute(kysely)).rejects.toMatchObject({ code: "unavailable" });
    await Promise.all([sql`select 1`.execute(kysely), sql`select 2`.execute(kysely)]);
    expect(opened).toBe(2);
    await kysely.destroy();
    await expect(lazy?.query("SELECT 1")).rejects.toMatchObject({ code: "closed" });
  });
});
