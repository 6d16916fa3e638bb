/** What goes wrong below SQLite comes out as it went in, what SQLite refuses says why, and the connection goes on. */
import { beforeAll, expect, it } from "vitest";
import { PagefoldError } from "../../src/base/errors.ts";
import { seededRandom, testSeed } from "../local/xxh64.ts";
import { overFamilies } from "./fake-bridge.ts";
import { FakeView } from "./fake-view.ts";
import { buildDatabase, loadSqlite, openView, rowsOf } from "./sqlite.ts";

const COUNT = "SELECT count(*), sum(length(s)) FROM t";
let bytes: Uint8Array;

beforeAll(async () => {
  bytes =
    await buildDatabase(`PRAGMA page_size = 1024; CREATE TABLE t(i INTEGER PRIMARY KEY, s TEXT); CREATE INDEX ti ON t(s);
    WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 3000)
    INSERT INTO t SELECT i, 'row ' || i || hex(zeroblob(30)) FROM c`);
});

const newView = (): FakeView => new FakeView(bytes, { pageSize: 1024 });
/** Where the wasm stack stands: nothing may be left on it, however a statement ends. */
const stackPointer = async (): Promise<number> =>
  (await loadSqlite()).wasm.pstack.pointer as unknown as number;

overFamilies("a fault that fails", (family) => {
  for (const kind of ["unavailable", "corrupt", "unauthorized", "quota", "aborted"] as const) {
    it(`${kind}: the query ends with that very error, the next one works`, async () => {
      const { connection, bridge } = await openView(family, newView());
      const failure = new PagefoldError(kind, `made to fail: ${kind}`, {
        details: { page: 7, key: "segments/x" },
      });
      bridge.beforeBatch = () => {
        if (bridge.batches.length > 20) throw failure;
      };
      const caught = await connection.run(COUNT).catch((error: unknown) => error);
      expect(caught).toBe(failure);
      bridge.beforeBatch = () => {};
      expect(await rowsOf(connection, COUNT)).toEqual([[3000, expect.any(Number)]]);
      expect(await rowsOf(connection, "PRAGMA integrity_check")).toEqual([["ok"]]);
    });
  }

  it("at random places, hundreds of times: never wrong rows, never a broken connection", async () => {
    const random = seededRandom(testSeed);
    const view = newView();
    const { connection, bridge } = await openView(family, view);
    await connection.run("PRAGMA cache_size = 5");
    const expected = await rowsOf(connection, COUNT);
    const before = await stackPointer();
    let failures = 0;
    bridge.beforeBatch = () => {
      if (random() < 0.02) throw new PagefoldError("unavailable", "now and then");
    };
    for (let i = 0; i < 300; i++) {
      for (const page of view.resident.keys()) if (random() < 0.2) view.resident.delete(page);
      const key = 1 + Math.floor(random() * 3000);
      try {
        const sql = i % 3 === 0 ? COUNT : `SELECT i FROM t WHERE s = (SELECT s FROM t WHERE i = ${key})`;
        expect(await rowsOf(connection, sql)).toEqual(i % 3 === 0 ? expected : [[key]]);
      } catch (error) {
        expect(error).toMatchObject({ name: "PagefoldError", code: "unavailable" });
        failures++;
      }
    }
    expect(failures, `seed ${testSeed}`).toBeGreaterThan(20);
    bridge.beforeBatch = () => {};
    expect(await rowsOf(connection, COUNT)).toEqual(expected);
    expect(await stackPointer()).toBe(before);
  });

  it("a page that is evicted again and again before it can be read is quota, not an endless loop", async () => {
    const view = newView();
    const { connection } = await openView(family, view);
    view.beforeRead = () => view.resident.clear();
    await expect(connection.run(COUNT)).rejects.toMatchObject({ code: "quota" });
    view.beforeRead = () => {};
    expect((await rowsOf(connection, COUNT))[0]?.[0]).toBe(3000);
  });
});

overFamilies("SQL that is refused", (family) => {
  it.each([
    "INSERT INTO t VALUES (1, 'x')",
    "UPDATE t SET s = 'x'",
    "DELETE FROM t",
    "CREATE TABLE u(a)",
    "DROP TABLE t",
    "PRAGMA user_version = 7",
    "VACUUM",
    "REINDEX",
  ])("%s: invalid, read-only here", async (sql) => {
    const { connection } = await openView(family, newView());
    await expect(connection.run(sql)).rejects.toMatchObject({
      code: "invalid",
      message: expect.stringMatching(/read-only here/),
    });
    expect((await rowsOf(connection, COUNT))[0]?.[0]).toBe(3000);
  });

  it.each([
    ["SELEC 1", /syntax error/],
    ["SELECT * FROM missing", /no such table: missing/],
    ["SELECT 1; SELECT nope", /no such column: nope/],
    ["SELECT 'a\0b'", /NUL/],
    ["ATTACH 'other.db' AS o", /other\.db/],
    ["VACUUM INTO 'copy.db'", /copy\.db/],
  ])("%s: invalid, with the reason", async (sql, message) => {
    const { connection } = await openView(family, newView());
    await expect(connection.run(sql)).rejects.toMatchObject({
      code: "invalid",
      message: expect.stringMatching(message),
    });
    expect((await rowsOf(connection, COUNT))[0]?.[0]).toBe(3000);
  });

  it("a malformed database is corrupt", async () => {
    const broken = bytes.slice();
    broken.fill(0xee, 1024, 4096);
    const { connection } = await openView(family, new FakeView(broken, { pageSize: 1024 }));
    await expect(connection.run(COUNT)).rejects.toMatchObject({ code: "corrupt" });
  });

  it("a query that is interrupted is aborted, and the connection goes on", async () => {
    const { connection, close } = await openView(family, newView());
    const endless = "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c) SELECT count(*) FROM c";
    let asked = 0;
    connection.context = { interrupted: () => ++asked > 5 };
    await expect(connection.run(endless)).rejects.toMatchObject({ code: "aborted" });
    connection.context = {};
    expect((await rowsOf(connection, COUNT))[0]?.[0]).toBe(3000);
    await close();
    await expect(connection.run(COUNT)).rejects.toMatchObject({ code: "closed" });
  });
});
