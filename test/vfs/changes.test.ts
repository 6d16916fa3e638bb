/** How many rows a statement says that it has changed: its own, never those of the one before. */
import { expect, it } from "vitest";
import { testDatabases } from "../adapters/support.ts";

const databases = testDatabases();

it("statements that change no rows say so, whatever the one before has changed", async () => {
  const db = await databases.open();
  await db.exec("CREATE TABLE t(a INTEGER PRIMARY KEY, b UNIQUE)");
  expect((await db.execute("INSERT INTO t(b) VALUES (1), (2), (3)")).changes).toBe(3);
  for (const sql of [
    "CREATE TABLE u(x)",
    "PRAGMA user_version = 3",
    "SELECT * FROM t",
    "INSERT INTO t(b) SELECT 5 WHERE 0",
    "INSERT OR IGNORE INTO t(b) VALUES (1)",
    "UPDATE t SET b = 7 WHERE a = 99 RETURNING a",
    "DROP TABLE u",
  ]) {
    expect([sql, (await db.execute(sql)).changes]).toEqual([sql, 0]);
  }
  expect((await db.exec("DELETE FROM t WHERE a > 1; CREATE TABLE u(x)")).changes).toBe(2);
});

it("rows that triggers change are not counted, as in SQLite", async () => {
  const db = await databases.open();
  await db.exec(`CREATE TABLE t(a); CREATE TABLE log(a);
    CREATE TRIGGER noted AFTER INSERT ON t BEGIN INSERT INTO log VALUES (new.a), (new.a); END`);
  expect((await db.execute("INSERT INTO t VALUES (1), (2)")).changes).toBe(2);
  expect(await db.queryOne("SELECT count(*) AS n FROM log")).toEqual({ n: 4 });
});
