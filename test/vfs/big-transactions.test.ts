/** Transactions beyond SQLite's cache and beyond the memory for staged pages, rows beyond a page, databases whose pages are not the volume's. */
import { expect, it } from "vitest";
import type { Database } from "../../vfs/index.ts";
import { catchUp, openOver, overBridges } from "./bridges.ts";

const series = (n: number): string =>
  `(WITH RECURSIVE s(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM s WHERE value < ${n}) SELECT value FROM s)`;
const SUM = "SELECT count(*) AS n, total(length(s)) AS bytes, total(i) AS keys FROM t";

async function isSound(database: Database): Promise<void> {
  expect(await database.query("PRAGMA integrity_check")).toEqual([{ integrity_check: "ok" }]);
}

overBridges("large transactions", (bridge) => {
  it("spill from SQLite's cache, and from memory into the local log, and are committed or rolled back whole", async () => {
    const remote = await bridge.remote();
    const database = await openOver(bridge, remote, { settings: { transactionBytes: 32 * 4096 } });
    await database.exec(
      `PRAGMA cache_size = 10; CREATE TABLE t(i INTEGER PRIMARY KEY, s TEXT); CREATE INDEX ts ON t(s);
       INSERT INTO t SELECT value, printf('%08x', value * 2654435761 % 4294967296) || hex(zeroblob(50)) FROM ${series(1000)}`,
    );
    const before = await database.query(SUM);
    const { ahead } = await database.status();
    await database.exec(
      "BEGIN; UPDATE t SET s = 'x' || s; INSERT INTO t(s) SELECT s || i FROM t; DELETE FROM t WHERE i % 3 = 0",
    );
    const within = await database.query(SUM);
    expect(within).not.toEqual(before);
    await isSound(database);
    await database.exec("ROLLBACK");
    expect(await database.query(SUM)).toEqual(before);
    await isSound(database);
    expect((await database.status()).ahead).toBe(ahead);

    await database.exec(
      "BEGIN; UPDATE t SET s = 'x' || s; SAVEPOINT a; DELETE FROM t; ROLLBACK TO a; INSERT INTO t(s) SELECT s || i FROM t; DELETE FROM t WHERE i % 3 = 0; COMMIT",
    );
    expect(await database.query(SUM)).toEqual(within);
    expect((await database.status()).ahead).toBe(ahead + 1);
    await isSound(database);
    await database.push();
    const other = await openOver(bridge, remote);
    expect(await other.query(SUM)).toEqual(within);
    await isSound(other);
  });

  it("have journals beyond the memory for them: on disk where there is one, else it is quota, and nothing happened", async () => {
    const database = await openOver(bridge, await bridge.remote(), { tempBytes: 4 * 65_536 });
    await database.exec(
      `PRAGMA cache_size = 10; CREATE TABLE t(i INTEGER PRIMARY KEY, s TEXT); CREATE INDEX ts ON t(s);
       BEGIN; INSERT INTO t SELECT value, hex(zeroblob(200)) FROM ${series(1500)}; COMMIT`,
    );
    const before = await database.query(SUM);
    const { ahead } = await database.status();
    const change = "UPDATE t SET s = i || s";
    for (const sql of [change, `BEGIN; ${change}; COMMIT`]) {
      const changed = database.exec(sql);
      if (bridge.kind === "resident-only") {
        await expect(changed).rejects.toMatchObject({
          code: "quota",
          message: expect.stringContaining("tempBytes"),
        });
        if ((await database.status()).inTransaction) await database.exec("ROLLBACK");
        expect(await database.query(SUM)).toEqual(before);
        expect((await database.status()).ahead).toBe(ahead);
      } else {
        await changed;
        expect(await database.query(SUM)).not.toEqual(before);
      }
    }
    await database.exec(
      "BEGIN; UPDATE t SET s = 'few' WHERE i < 20; ROLLBACK; UPDATE t SET s = 'few' WHERE i < 20",
    );
    await isSound(database);
  });

  it("rows of many overflow pages are read, changed in part and removed", async () => {
    const remote = await bridge.remote();
    const database = await openOver(bridge, remote);
    const blob = Uint8Array.from({ length: 300_001 }, (_, i) => (i * 7) % 251);
    await database.exec("CREATE TABLE t(i INTEGER PRIMARY KEY, b BLOB, s TEXT)");
    await database.exec("INSERT INTO t VALUES (1, ?, 'after'), (2, zeroblob(100000), 'zeros')", [blob]);
    await database.push();
    const other = await openOver(bridge, remote);
    const [row] = await other.query("SELECT b, s FROM t WHERE i = 1");
    expect(Buffer.compare(row?.b as Uint8Array, blob)).toBe(0);
    expect(row?.s).toBe("after");
    expect(await other.query("SELECT hex(substr(b, 299990, 4)) AS h FROM t WHERE i = 1")).toEqual([
      { h: Buffer.from(blob.subarray(299_989, 299_993)).toString("hex").toUpperCase() },
    ]);
    await other.exec("UPDATE t SET s = 'changed' WHERE i = 1; DELETE FROM t WHERE i = 2");
    await other.push();
    await catchUp(bridge, database);
    const [changed, ...rest] = await database.query("SELECT i, b, s FROM t");
    expect(changed).toMatchObject({ i: 1, s: "changed" });
    expect(Buffer.compare(changed?.b as Uint8Array, blob)).toBe(0);
    expect(rest).toEqual([]);
    await isSound(database);
  });
});

overBridges("page sizes of SQLite other than the volume's", (bridge) => {
  for (const pageSize of [512, 1024, 8192, 65_536]) {
    it(`${pageSize} in pages of 4096 bytes, resident or not`, async () => {
      const remote = await bridge.remote();
      const database = await openOver(bridge, remote);
      await database.exec(
        `PRAGMA page_size = ${pageSize}; CREATE TABLE t(i INTEGER PRIMARY KEY, s TEXT);
         INSERT INTO t SELECT value, printf('%050d', value) FROM ${series(2000)}`,
      );
      expect(await database.query("PRAGMA page_size")).toEqual([{ page_size: pageSize }]);
      expect(await database.status()).toMatchObject({ pageSize: 4096 });
      await isSound(database);
      await database.push();
      // Nothing is resident here, so a page that is written in part is fetched first, and its neighbours are not.
      const other = await openOver(bridge, remote, { settings: { readAhead: undefined } });
      await other.exec("UPDATE t SET s = 'changed' WHERE i IN (3, 1000, 1999)");
      await other.exec(`INSERT INTO t SELECT value + 2000, 'more' FROM ${series(300)}`);
      expect(await other.query("SELECT i FROM t WHERE s = 'changed'")).toEqual([
        { i: 3 },
        { i: 1000 },
        { i: 1999 },
      ]);
      await isSound(other);
      await other.push();
      await catchUp(bridge, database);
      expect(await database.query(SUM)).toEqual(await other.query(SUM));
      await isSound(database);
      const { byteLength } = await database.status();
      expect(await database.query("PRAGMA page_count")).toEqual([{ page_count: byteLength / pageSize }]);
    });
  }
});
