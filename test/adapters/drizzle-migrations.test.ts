/** Migrations of drizzle-kit through Drizzle's `migrate` and `migrationRunner`: all of a run or nothing, and no row lost by rebuilding a table. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { migrate } from "drizzle-orm/sqlite-proxy/migrator";
import { afterEach, beforeEach, expect, it } from "vitest";
import {
  migrationRunner,
  type PagefoldDrizzleDatabase,
  pagefoldDrizzle,
} from "../../vfs/adapters/drizzle.ts";
import type { Database } from "../../vfs/index.ts";
import { CREATE_TABLES, posts, REBUILD_USERS, schema, users } from "./drizzle-schema.ts";
import { testDatabases } from "./support.ts";

const databases = testDatabases();
const john = { name: "John", age: 30, email: "john@example.com" };
let database: Database;
let orm: PagefoldDrizzleDatabase<typeof schema>;
let folder: string;
const written: { tag: string; when: number; queries: readonly string[] }[] = [];

beforeEach(async () => {
  database = await databases.open();
  orm = pagefoldDrizzle(database, { schema });
  folder = mkdtempSync(join(tmpdir(), "pagefold-drizzle-"));
  mkdirSync(join(folder, "meta"));
  written.length = 0;
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** As `drizzle-kit generate` leaves them. */
function write(tag: string, queries: readonly string[]): void {
  written.push({ tag, when: 1_700_000_000_000 + written.length, queries });
  writeFileSync(join(folder, `${tag}.sql`), queries.join("\n--> statement-breakpoint\n"));
  const entries = written.map((entry, idx) => ({ ...entry, idx, version: "6", breakpoints: true }));
  writeFileSync(join(folder, "meta/_journal.json"), JSON.stringify({ entries }));
}
const run = (): Promise<void> => migrate(orm, migrationRunner(database), { migrationsFolder: folder });

it("run once, in their order, those of one run as one commit", async () => {
  write("0000_first", CREATE_TABLES);
  await run();
  await orm.insert(users).values(john);
  write("0001_second", ["ALTER TABLE `posts` ADD `body` text;"]);
  write("0002_third", ["ALTER TABLE `posts` ADD `score` real;"]);
  const before = (await database.status()).ahead;
  await run();
  expect((await database.status()).ahead).toBe(before + 1);
  await run();
  expect((await database.status()).ahead).toBe(before + 1);
  expect(await database.queryOne("SELECT count(*) AS n FROM __drizzle_migrations")).toEqual({ n: 3 });
  expect(await database.query("SELECT name FROM pragma_table_info('posts')")).toContainEqual({
    name: "score",
  });
  expect(await orm.$count(users)).toBe(1);
});

it("leave nothing behind when one fails", async () => {
  write("0000_first", [...CREATE_TABLES, "ALTER TABLE `nowhere` ADD `x` text;"]);
  await expect(run()).rejects.toMatchObject({ code: "invalid", message: /nowhere/ });
  expect(await database.query("SELECT name FROM sqlite_master WHERE name = 'users'")).toEqual([]);
  await expect(migrationRunner(database)(["BEGIN"])).rejects.toThrow("one transaction already");
});

it("a table is rebuilt without losing its dependents' rows, and no reference is left dangling", async () => {
  write("0000_first", CREATE_TABLES);
  await run();
  await database.exec("PRAGMA foreign_keys = ON");
  await orm.insert(users).values(john);
  await orm.insert(posts).values({ title: "stays", authorId: 1 });
  write("0001_rebuild", REBUILD_USERS);
  await run();
  expect(await orm.query.posts.findMany({ with: { author: true } })).toMatchObject([
    { title: "stays", author: john },
  ]);
  expect(await database.query("PRAGMA foreign_keys")).toEqual([{ foreign_keys: 1 }]);
  write("0002_breaks", ["PRAGMA foreign_keys=OFF;", "DELETE FROM `users`;"]);
  await expect(run()).rejects.toMatchObject({
    code: "invalid",
    message: /row 1 of "posts" without the row of "users".*nothing was migrated/,
  });
  expect(await orm.$count(users)).toBe(1);
  expect(await database.query("PRAGMA foreign_keys")).toEqual([{ foreign_keys: 1 }]);
});
