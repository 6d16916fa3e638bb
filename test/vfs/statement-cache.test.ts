/** Prepared statements are kept and used again, and never answer with a schema, a binding or an error of another time. */
import { expect, it } from "vitest";
import { catchUp, openOver, overBridges } from "./bridges.ts";
import { overFamilies } from "./fake-bridge.ts";
import { importInto } from "./remotes.ts";
import { buildDatabase, lastOf, rowsOf } from "./sqlite.ts";
import { openVolumes } from "./volumes.ts";

const ALL = "SELECT * FROM t";

overFamilies("a statement that is used again", (family) => {
  it("sees every change of the schema, by this connection and by another one", async () => {
    const opened = await openVolumes(family, ["db"]);
    const [a, b] = [await opened.connect("db"), await opened.connect("db")];
    await a.run("CREATE TABLE t(x); INSERT INTO t VALUES (1)");
    const insert = "INSERT INTO t(x) VALUES (?)";
    for (const connection of [a, b]) {
      expect(await lastOf(connection, ALL)).toEqual({ columns: ["x"], rows: [[1]] });
      await connection.run("BEGIN");
      await connection.run(insert, [9]);
      await connection.run("ROLLBACK");
    }
    const changes: readonly (readonly [string, string[], unknown[]])[] = [
      ["ALTER TABLE t ADD COLUMN y DEFAULT 'y'", ["x", "y"], [1, "y"]],
      ["ALTER TABLE t RENAME COLUMN y TO z", ["x", "z"], [1, "y"]],
      ["DROP TABLE t; CREATE TABLE t(a, x, b); INSERT INTO t VALUES (2, 3, 4)", ["a", "x", "b"], [2, 3, 4]],
      ["ALTER TABLE t DROP COLUMN a", ["x", "b"], [3, 4]],
      ["ALTER TABLE t RENAME TO old; CREATE VIEW t AS SELECT b AS only FROM old", ["only"], [4]],
      ["DROP VIEW t; CREATE TABLE t AS SELECT 7 AS x", ["x"], [7]],
    ];
    for (const [i, [sql, columns, row]] of changes.entries()) {
      const [changing, other] = i % 2 === 0 ? [a, b] : [b, a];
      await changing.run(sql);
      for (const connection of [other, changing, other])
        expect(await lastOf(connection, ALL), sql).toEqual({ columns, rows: [row] });
    }
    await b.run("DROP TABLE t");
    await expect(a.run(ALL)).rejects.toMatchObject({ message: expect.stringMatching(/no such table: t/) });
    await expect(a.run(insert, [1])).rejects.toMatchObject({
      message: expect.stringMatching(/no such table: t/),
    });
    await b.run("CREATE TABLE t(x UNIQUE)");
    await a.run(insert, [1]);
    await expect(a.run(insert, [1])).rejects.toMatchObject({ message: expect.stringMatching(/UNIQUE/) });
    await a.run(insert, [2]);
    expect(await rowsOf(b, ALL)).toEqual([[1], [2]]);
  });

  it("has no binding of the time before, and no error", async () => {
    const opened = await openVolumes(family, ["db"]);
    const connection = await opened.connect("db");
    const sql = "SELECT ?, ?2, ?1";
    expect(await rowsOf(connection, sql, ["a", new Uint8Array([1])])).toEqual([
      ["a", new Uint8Array([1]), "a"],
    ]);
    await expect(connection.run(sql, ["a"])).rejects.toMatchObject({ code: "invalid" });
    expect(await rowsOf(connection, sql, [null, undefined])).toEqual([[null, null, null]]);
    const divide = "SELECT abs(?)";
    await expect(connection.run(divide, [-(2n ** 63n)])).rejects.toMatchObject({
      code: "invalid",
      message: expect.stringMatching(/overflow/),
    });
    expect(await rowsOf(connection, divide, [-5])).toEqual([[5]]);
    await connection.run("CREATE TABLE t(a INTEGER PRIMARY KEY)");
    const insert = "INSERT INTO t VALUES (?) RETURNING a * 2 AS twice";
    expect(await rowsOf(connection, insert, [1])).toEqual([[2]]);
    await expect(connection.run(insert, [1])).rejects.toMatchObject({ code: "invalid" });
    expect(await lastOf(connection, insert, [2])).toEqual({ columns: ["twice"], rows: [[4]] });
    expect(opened.volume("db").status().ahead).toBe(3);
  });

  it("of more SQL than is kept, all work; at the same time, too", async () => {
    const opened = await openVolumes(family, ["db"]);
    const connection = await opened.connect("db");
    await connection.run("CREATE TABLE t(a); INSERT INTO t VALUES (1)");
    for (let round = 0; round < 2; round++)
      for (let i = 0; i < 300; i++)
        expect(await rowsOf(connection, `SELECT a + ${i} FROM t`)).toEqual([[1 + i]]);
    const long = `SELECT a FROM t WHERE a IN (${Array.from({ length: 5000 }, (_, i) => i).join(", ")})`;
    for (let i = 0; i < 3; i++) expect(await rowsOf(connection, long)).toEqual([[1]]);
    const answers = await Promise.all(
      Array.from({ length: 10 }, () => rowsOf(connection, "SELECT a FROM t")),
    );
    expect(answers).toEqual(Array.from({ length: 10 }, () => [[1]]));
    await connection.run("DROP TABLE t");
    await expect(rowsOf(connection, long)).rejects.toMatchObject({ code: "invalid" });
  });
});

overBridges("a statement that is used again, after a pull", (bridge) => {
  it("that replaced the database by another with the same schema cookie", async () => {
    const remote = await bridge.remote();
    const one = await buildDatabase(
      "PRAGMA page_size = 4096; CREATE TABLE t(a, b); INSERT INTO t VALUES (1, 2)",
    );
    const two = await buildDatabase(
      "PRAGMA page_size = 4096; CREATE TABLE t(b, c); INSERT INTO t VALUES (3, 4)",
    );
    const three = await buildDatabase("PRAGMA page_size = 4096; CREATE TABLE u(z); INSERT INTO u VALUES (5)");
    // Header and schema cookie say that nothing has changed.
    expect(two.slice(24, 48)).toEqual(one.slice(24, 48));
    await importInto(remote, one);
    const database = await openOver(bridge, remote);
    expect(await database.query(ALL)).toEqual([{ a: 1, b: 2 }]);
    const rows = database.iterate(ALL);
    expect(await rows.next()).toEqual({ done: false, value: { a: 1, b: 2 } });
    expect(await rows.next()).toEqual({ done: true, value: undefined });
    const live = database.live(ALL);
    expect(await live.next()).toEqual({ done: false, value: [{ a: 1, b: 2 }] });
    await importInto(remote, two);
    await catchUp(bridge, database);
    expect(await database.query(ALL)).toEqual([{ b: 3, c: 4 }]);
    expect(await live.next()).toEqual({ done: false, value: [{ b: 3, c: 4 }] });
    await database.exec("INSERT INTO t(b, c) VALUES (30, 40)");
    expect(await database.query("SELECT c FROM t WHERE b = ?", [30])).toEqual([{ c: 40 }]);
    await database.reset();
    expect(await database.query(ALL)).toEqual([{ b: 3, c: 4 }]);
    await importInto(remote, three);
    await catchUp(bridge, database);
    await expect(database.query(ALL)).rejects.toMatchObject({
      message: expect.stringMatching(/no such table: t/),
    });
    await expect(live.next()).rejects.toMatchObject({ message: expect.stringMatching(/no such table: t/) });
    expect(await database.query("SELECT z FROM u")).toEqual([{ z: 5 }]);
    expect(await database.query("PRAGMA integrity_check")).toEqual([{ integrity_check: "ok" }]);
  });

  it("within a transaction that began before", async () => {
    const remote = await bridge.remote();
    const database = await openOver(bridge, remote);
    await database.exec("CREATE TABLE t(a); INSERT INTO t VALUES (1)");
    await database.push();
    const other = await openOver(bridge, remote);
    await other.exec("ALTER TABLE t ADD COLUMN b DEFAULT 'new'");
    await other.push();
    expect(await database.query(ALL)).toEqual([{ a: 1 }]);
    await database.transaction(
      async (tx) => {
        expect(await tx.query(ALL)).toEqual([{ a: 1 }]);
        await catchUp(bridge, database);
        expect(await tx.query(ALL)).toEqual([{ a: 1 }]);
      },
      { mode: "deferred" },
    );
    expect(await database.query(ALL)).toEqual([{ a: 1, b: "new" }]);
  });
});
