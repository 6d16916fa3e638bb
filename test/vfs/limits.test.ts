/** No memory, and no disk: an error that says so, never a hang or a half-made change, and what was committed is there. */
import sqlite3InitModule from "@sqlite.org/sqlite-wasm";
import { expect, it } from "vitest";
import { MemoryBlockFileSystem } from "../../src/local/memory-block-file.ts";
import { MemoryObjectStore } from "../../src/remote/memory-store.ts";
import type { Connection } from "../../vfs/sqlite/connection.ts";
import { FaultyBlockFileSystem } from "../local/faulty-files.ts";
import { overFamilies } from "./fake-bridge.ts";
import { rowsOf } from "./sqlite.ts";
import { openVolumes } from "./volumes.ts";

const series = (n: number): string =>
  `(WITH RECURSIVE s(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM s WHERE value < ${n}) SELECT value FROM s)`;
const MAKE = `CREATE TABLE t(i INTEGER PRIMARY KEY, s TEXT); CREATE INDEX ts ON t(s); INSERT INTO t SELECT value, 'row ' || value FROM ${series(200)}`;
const COUNT = "SELECT count(*) FROM t";

/** Statements of many kinds; those that change t add as many rows as they say. */
const WORKLOAD: readonly { readonly sql: string; readonly rows: number }[] = [
  { sql: "INSERT INTO t(s) VALUES ('one')", rows: 1 },
  { sql: "SELECT group_concat(s) FROM t", rows: 0 },
  { sql: `INSERT INTO t(s) SELECT hex(randomblob(500)) FROM ${series(300)}`, rows: 300 },
  { sql: "SELECT s, count(*) OVER (ORDER BY s) FROM t ORDER BY 2 DESC", rows: 0 },
  {
    sql: `BEGIN; INSERT INTO t(s) SELECT value FROM ${series(50)}; UPDATE t SET s = s || s; COMMIT`,
    rows: 50,
  },
  { sql: "CREATE TABLE IF NOT EXISTS another(a, b, c UNIQUE); DROP TABLE another", rows: 0 },
  { sql: "SELECT length(hex(zeroblob(200000)))", rows: 0 },
  { sql: "PRAGMA integrity_check", rows: 0 },
];

async function count(connection: Connection): Promise<number> {
  return Number((await rowsOf(connection, COUNT))[0]?.[0]);
}

overFamilies("little memory for SQLite", (family) => {
  it.each([0, 200, 700, 1_500, 3_000, 10_000, 40_000, 120_000, 400_000, 1_000_000])(
    "%d bytes more than it has: each statement happens whole or ends with quota",
    async (bytes) => {
      const sqlite3 = await sqlite3InitModule();
      const remote = new MemoryObjectStore();
      const files = new MemoryBlockFileSystem();
      const opened = await openVolumes(family, ["db"], { sqlite3, remote, files });
      const connection = await opened.connect("db");
      await connection.run(MAKE);
      let rows = await count(connection);
      const used = sqlite3.wasm.scopedAllocCall(() => {
        const [pNow, pMost] = [sqlite3.wasm.scopedAlloc(4), sqlite3.wasm.scopedAlloc(4)];
        sqlite3.capi.sqlite3_status(sqlite3.capi.SQLITE_STATUS_MEMORY_USED, pNow, pMost, 0);
        return sqlite3.wasm.peek32(pNow);
      });
      // Even the answer to this may need too much.
      await connection.run(`PRAGMA hard_heap_limit = ${used + bytes}`).catch(() => {});
      let failures = 0;
      for (const { sql, rows: added } of WORKLOAD) {
        const error = await connection.run(sql).then(
          () => undefined,
          (e: unknown) => e,
        );
        if (error === undefined) {
          rows += added;
          continue;
        }
        failures++;
        expect(error, sql).toMatchObject({ name: "PagefoldError", code: "quota" });
        if (connection.inTransaction) await connection.run("ROLLBACK").catch(() => {});
      }
      if (bytes < 100_000) expect(failures).toBeGreaterThan(0);
      await connection.close();
      await opened.close();
      const again = await openVolumes(family, ["db"], { remote, files });
      const other = await again.connect("db");
      expect(await count(other)).toBe(rows);
      expect(await rowsOf(other, "PRAGMA integrity_check")).toEqual([["ok"]]);
    },
  );

  it("a value beyond SQLite's limits is quota, and the connection goes on", async () => {
    const opened = await openVolumes(family, ["db"]);
    const connection = await opened.connect("db");
    await connection.run(MAKE);
    const before = await count(connection);
    for (const sql of [
      "SELECT zeroblob(2147483647)",
      "INSERT INTO t(s) VALUES (printf('%.*c', 2000000000, 'x'))",
      "UPDATE t SET s = printf('%.*c', 2000000000, 'x') WHERE i > 100",
    ]) {
      await expect(connection.run(sql), sql).rejects.toMatchObject({ code: "quota" });
      expect(await count(connection)).toBe(before);
    }
    await connection.run("INSERT INTO t(s) VALUES ('goes on')");
    expect(await count(connection)).toBe(before + 1);
  });
});

overFamilies("a full local disk", (family) => {
  it("at a commit is quota: nothing is committed, and what is smaller, or comes later, is", async () => {
    const remote = new MemoryObjectStore();
    const disk = new FaultyBlockFileSystem(new MemoryBlockFileSystem());
    const opened = await openVolumes(family, ["db"], { remote, files: disk });
    const connection = await opened.connect("db");
    await connection.run(MAKE);
    const { ahead } = opened.volume("db").status();
    const before = await count(connection);
    for (const sql of [
      "INSERT INTO t(s) VALUES ('x')",
      "BEGIN; DELETE FROM t; COMMIT",
      "VACUUM",
      "CREATE TABLE u(a)",
    ]) {
      disk.fail({ operation: "writeAt", code: "quota", sticky: true });
      await expect(connection.run(sql), sql).rejects.toMatchObject({ code: "quota" });
      disk.heal();
      if (connection.inTransaction) await connection.run("ROLLBACK");
      expect(await count(connection), sql).toBe(before);
      expect(opened.volume("db").status().ahead).toBe(ahead);
    }
    expect(await rowsOf(connection, "PRAGMA integrity_check")).toEqual([["ok"]]);
    await connection.run("INSERT INTO t(s) VALUES ('x')");
    expect(opened.volume("db").status().ahead).toBe(ahead + 1);
    await opened.close();
    const again = await openVolumes(family, ["db"], { remote, files: disk });
    expect(await count(await again.connect("db"))).toBe(before + 1);
  });

  it("in the middle of a transaction that spills is quota, at every single write, and nothing of it remains", async () => {
    const remote = new MemoryObjectStore();
    const disk = new FaultyBlockFileSystem(new MemoryBlockFileSystem());
    const settings = { transactionBytes: 16 * 4096 };
    const opened = await openVolumes(family, ["db"], { remote, files: disk, settings });
    const connection = await opened.connect("db");
    await connection.run(`${MAKE}; PRAGMA cache_size = 10`);
    const before = await count(connection);
    const large = `BEGIN; INSERT INTO t(s) SELECT hex(randomblob(500)) FROM ${series(300)}; UPDATE t SET s = s || 'x'; COMMIT`;
    let failures = 0;
    for (let after = 0; ; after += after < 8 ? 1 : 4) {
      disk.fail({ operation: "writeAt", code: "quota", after, sticky: true });
      const error = await connection.run(large).then(
        () => undefined,
        (e: unknown) => e,
      );
      disk.heal();
      if (error === undefined) break;
      failures++;
      expect(error, `write ${after}`).toMatchObject({ code: "quota" });
      if (connection.inTransaction) await connection.run("ROLLBACK");
      expect(await count(connection), `write ${after}`).toBe(before);
      await connection.run("INSERT INTO t(s) VALUES ('fits'); DELETE FROM t WHERE s = 'fits'");
    }
    expect(failures).toBeGreaterThan(5);
    expect(await count(connection)).toBe(before + 300);
    expect(await rowsOf(connection, "PRAGMA integrity_check")).toEqual([["ok"]]);
    await opened.close();
    const again = await openVolumes(family, ["db"], { remote, files: disk, settings });
    expect(await count(await again.connect("db"))).toBe(before + 300);
  });
});
