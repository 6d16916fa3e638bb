/** Databases that shrink and grow, and those that are rewritten whole. */
import { expect, it } from "vitest";
import type { Database } from "../../vfs/index.ts";
import { catchUp, openOver, overBridges } from "./bridges.ts";
import { elsewhere } from "./remotes.ts";

const series = (n: number): string =>
  `(WITH RECURSIVE s(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM s WHERE value < ${n}) SELECT value FROM s)`;
const FILL = `INSERT INTO t SELECT value, printf('%0400d', value) FROM ${series(1000)}`;
const SUM = "SELECT count(*) AS n, total(i) AS keys FROM t";

async function isSound(database: Database): Promise<void> {
  expect(await database.query("PRAGMA integrity_check")).toEqual([{ integrity_check: "ok" }]);
}

const pageCount = async (database: Database): Promise<number> => (await database.status()).pageCount;

overBridges("invariant 12: shrink then grow reads zeros", (bridge) => {
  it("VACUUM: the file is smaller for everybody, and what grows back has nothing of what was there", async () => {
    const remote = await bridge.remote();
    const database = await openOver(bridge, remote);
    await database.exec(`CREATE TABLE t(i INTEGER PRIMARY KEY, s TEXT); ${FILL}`);
    await database.push();
    const large = await pageCount(database);
    const { commit } = await database.exec("DELETE FROM t WHERE i > 10; VACUUM");
    expect(commit).toBeDefined();
    const small = await pageCount(database);
    expect(small).toBeLessThan(large / 5);
    await isSound(database);
    await database.push();
    const other = await openOver(bridge, remote);
    expect(await pageCount(other)).toBe(small);
    expect(await other.query(SUM)).toEqual([{ n: 10, keys: 55 }]);
    // A hole of the size that it had, as SQLite makes one when it takes pages and gives them back.
    await database.exec("CREATE TABLE u(b); INSERT INTO u VALUES (zeroblob(400000)); DELETE FROM u");
    await database.push();
    expect(await pageCount(database)).toBeGreaterThan(large - 20);
    await elsewhere(remote, async (volume) => {
      const { byteLength } = volume.status();
      const bytes = await volume.read(small * 4096, byteLength - small * 4096);
      // Rows were hundreds of digits in a row; blobs of zeros and free pages are none.
      expect(Buffer.from(bytes).includes("0000000000")).toBe(false);
    });
    await catchUp(bridge, other);
    expect(await other.query(SUM)).toEqual([{ n: 10, keys: 55 }]);
    await isSound(other);
  });

  it("VACUUM in the middle of others' transactions and of its own does what SQLite does", async () => {
    const database = await openOver(bridge, await bridge.remote());
    await database.exec(`CREATE TABLE t(i INTEGER PRIMARY KEY, s TEXT); ${FILL}`);
    await database.exec("BEGIN; DELETE FROM t WHERE i > 10");
    await expect(database.exec("VACUUM")).rejects.toMatchObject({
      code: "invalid",
      message: expect.stringMatching(/cannot VACUUM from within a transaction/),
    });
    await database.exec("COMMIT; PRAGMA page_size = 8192; VACUUM");
    expect(await database.query("PRAGMA page_size")).toEqual([{ page_size: 8192 }]);
    expect(await database.query(SUM)).toEqual([{ n: 10, keys: 55 }]);
    await isSound(database);
  });

  for (const mode of ["FULL", "INCREMENTAL"]) {
    it(`auto_vacuum = ${mode}`, async () => {
      const remote = await bridge.remote();
      const database = await openOver(bridge, remote);
      await database.exec(
        `PRAGMA auto_vacuum = ${mode}; CREATE TABLE t(i INTEGER PRIMARY KEY, s TEXT); ${FILL}`,
      );
      const large = await pageCount(database);
      await database.push();
      await database.exec("DELETE FROM t WHERE i > 10");
      if (mode === "INCREMENTAL") {
        expect(await pageCount(database)).toBe(large);
        await database.exec("PRAGMA incremental_vacuum(20)");
        expect(await pageCount(database)).toBe(large - 20);
        await database.exec("PRAGMA incremental_vacuum");
      }
      const small = await pageCount(database);
      expect(small).toBeLessThan(large / 5);
      await isSound(database);
      await database.push();
      await database.exec("INSERT INTO t SELECT i + 100, 'grown' FROM t");
      const other = await openOver(bridge, remote);
      expect(await pageCount(other)).toBe(small);
      expect(await other.query(SUM)).toEqual([{ n: 10, keys: 55 }]);
      await isSound(other);
      await isSound(database);
    });
  }
});

overBridges("VACUUM INTO", (bridge) => {
  it("fills an empty volume, and says clearly where there is none or it holds something", async () => {
    const remote = await bridge.remote();
    const database = await openOver(bridge, remote);
    await database.exec(`CREATE TABLE t(i INTEGER PRIMARY KEY, s TEXT); ${FILL}; DELETE FROM t WHERE i > 10`);
    await expect(database.exec("VACUUM INTO 'copy'")).rejects.toMatchObject({
      code: "not_found",
      message: expect.stringMatching(/no tag "copy"/),
    });
    await elsewhere(remote, async () => {}, "copy");
    await database.exec("VACUUM INTO 'copy'");
    await expect(database.exec("VACUUM INTO 'copy'")).rejects.toMatchObject({
      code: "invalid",
      message: expect.stringMatching(/already exists/),
    });
    await database.exec("ATTACH 'copy' AS c");
    expect(await database.query("SELECT count(*) AS n, total(i) AS keys FROM c.t")).toEqual([
      { n: 10, keys: 55 },
    ]);
    expect(await database.query("PRAGMA c.integrity_check")).toEqual([{ integrity_check: "ok" }]);
    await database.exec("INSERT INTO c.t VALUES (11, 'only in the copy')");
    expect(await database.query(SUM)).toEqual([{ n: 10, keys: 55 }]);
  });
});
