/** The past of a database: which tables changed between two commits, as SQLite's own `dbstat` knows it; the log; views of the past beside the newest state. */
import { describe, expect, it } from "vitest";
import { PageSet } from "../../src/format/page-set.ts";
import { MemoryObjectStore } from "../../src/remote/memory-store.ts";
import { Database, type DatabaseAt, type DatabaseDiff } from "../../vfs/index.ts";
import { openStore } from "../store/support.ts";
import { closeLater } from "./closers.ts";

/** Statements, each a commit of the log. */
async function made(statements: readonly string[], settings: { pageSize?: number } = {}): Promise<Database> {
  const store = await openStore(new MemoryObjectStore());
  await store.createVolume({ tag: "db", ...settings });
  const database = await Database.open(store, "db", { bridge: "resident-only" });
  closeLater(async () => {
    await database.close();
    await store.close();
  });
  for (const sql of statements) {
    await database.script(sql);
    await database.push();
  }
  return database;
}

/** The owner of every page of a state, by walking all of it. */
async function dbstat(view: DatabaseAt): Promise<Map<number, string>> {
  const rows = await view.query("SELECT name, pageno FROM dbstat");
  return new Map(rows.map(({ name, pageno }) => [Number(pageno), String(name)]));
}

const byName = ({ objects }: DatabaseDiff): Record<string, string> =>
  Object.fromEntries(objects!.map(({ name, change, pages }) => [name, `${change} ${pages}`]));

/** What `dbstat` says of the pages that differ: how many each table has of them, and of how many it knows nothing. */
async function expected(database: Database, diff: DatabaseDiff) {
  const view = await database.at(diff.to);
  const owners = await dbstat(view);
  await view.close();
  const counts = new Map<string, number>();
  for (const page of PageSet.unionAll(diff.pages.map(([first, last]) => PageSet.range(first, last)))) {
    const owner = owners.get(page) ?? "nobody";
    counts.set(owner, (counts.get(owner) ?? 0) + 1);
  }
  return counts;
}

const ROWS = (n: number, from = 1): string =>
  `WITH RECURSIVE c(i) AS (SELECT ${from} UNION ALL SELECT i + 1 FROM c WHERE i < ${from + n - 1})`;

const HISTORY = [
  "CREATE TABLE a(i INTEGER PRIMARY KEY, s TEXT); CREATE INDEX a_s ON a(s); CREATE TABLE b(k TEXT PRIMARY KEY, v) WITHOUT ROWID",
  `${ROWS(3000)} INSERT INTO a SELECT i, printf('%08x', i * 2654435761 % 4294967296) || hex(zeroblob(20)) FROM c`,
  `${ROWS(2000)} INSERT INTO b SELECT hex(randomblob(20)) || i, zeroblob(i % 50) FROM c`,
  "CREATE TABLE large(i INTEGER PRIMARY KEY, blob); INSERT INTO large VALUES (1, zeroblob(50000)), (2, zeroblob(9000)), (3, zeroblob(10))",
  "UPDATE a SET s = 'changed' WHERE i = 1500",
  "DELETE FROM b WHERE rowid IN (SELECT 1) OR k < '3'".replace("rowid IN (SELECT 1) OR ", ""),
  "DROP INDEX a_s; CREATE VIEW seen AS SELECT * FROM a; CREATE TRIGGER t AFTER INSERT ON a BEGIN SELECT 1; END",
  "ALTER TABLE large ADD COLUMN more; UPDATE large SET blob = randomblob(20000) WHERE i = 2",
  "DROP TABLE b",
  `${ROWS(500, 5000)} INSERT INTO a SELECT i, hex(randomblob(30)) FROM c; DELETE FROM a WHERE i BETWEEN 100 AND 900`,
  "VACUUM",
] as const;

describe("Database.diff", () => {
  it("counts for each table the pages that dbstat says are its own, between any two commits", async () => {
    const database = await made(HISTORY);
    const log = await database.log();
    expect(log.length).toBe(HISTORY.length);
    for (const [from, to] of [
      ...HISTORY.map((_, i) => [i, i + 1]),
      ...[
        [2, 9],
        [9, 2],
        [11, 10],
        [0, 11],
        [11, 0],
      ],
    ] as [number, number][]) {
      const what = `${from} to ${to}`;
      const diff = await database.diff(from, to, { thorough: true });
      expect(diff, what).toMatchObject({ from, to, exact: false, unknownPages: 0 });
      if (to === 0) {
        expect(new Set(diff.objects!.map(({ change }) => change))).toEqual(new Set(["dropped"]));
        continue;
      }
      const counts = await expected(database, diff);
      const nobody = counts.get("nobody") ?? 0;
      const schema = counts.get("sqlite_schema") ?? 0;
      for (const { name, pages } of diff.objects!) {
        expect(pages, `${what}: ${name}`).toBe(counts.get(name) ?? 0);
        counts.delete(name);
      }
      counts.delete("nobody");
      counts.delete("sqlite_schema");
      expect([...counts], `${what}: tables that changed and are not told`).toEqual([]);
      expect(diff.freePages + diff.otherPages, what).toBe(nobody + schema);
    }
  });

  it("tells what was made, dropped, altered and filled", async () => {
    const database = await made(HISTORY);
    expect(byName(await database.diff(3, 4))).toEqual({ large: expect.stringMatching(/^created 1\d$/) });
    expect(Object.keys(byName(await database.diff(4, 5)))).toEqual(["a_s", "a"]);
    expect(byName(await database.diff(6, 7))).toEqual({
      ...{ seen: "created 0", t: "created 0", a_s: "dropped 0" },
    });
    expect((await database.diff(6, 7)).objects).toContainEqual({
      ...{ kind: "trigger", name: "t", table: "a", change: "created", pages: 0 },
    });
    expect(byName(await database.diff(7, 8))).toEqual({ large: expect.stringMatching(/^altered \d+$/) });
    expect(byName(await database.diff(8, 9))).toEqual({ b: "dropped 0" });
    expect(byName(await database.diff(9, 8))).toMatchObject({ b: expect.stringMatching(/^created/) });
    const { objects } = await database.diff(11, 0);
    expect(objects!.map(({ name }) => name)).toEqual(["a", "large", "seen", "t"]);
  });

  it("a large row overwritten in place is found in the pages that it fills, when that is asked for", async () => {
    const overwrite =
      "UPDATE large SET blob = cast(zeroblob(30000) || x'01' || zeroblob(19999) AS BLOB) WHERE i = 1";
    const database = await made([...HISTORY.slice(0, 4), overwrite]);
    const quick = await database.diff(4, 5);
    expect(quick.unknownPages, "SQLite left the leaf as it was").toBeGreaterThan(0);
    expect(byName(quick)).toEqual({});
    const thorough = await database.diff(4, 5, { thorough: true });
    expect(byName(thorough)).toEqual({ large: `content ${quick.unknownPages}` });
    expect(thorough.unknownPages).toBe(0);
  });

  it("exact leaves out what was written with the bytes that it had", async () => {
    const there = "UPDATE a SET s = 'there' WHERE i = 10";
    const database = await made([
      ...[
        "CREATE TABLE a(i INTEGER PRIMARY KEY, s TEXT); CREATE TABLE b(i)",
        "INSERT INTO a VALUES (10, 'here!')",
      ],
      ...["INSERT INTO b VALUES (1)", there, "UPDATE a SET s = 'here!'"],
    ]);
    expect(Object.keys(byName(await database.diff(2, 5)))).toEqual(["a", "b"]);
    expect(Object.keys(byName(await database.diff(2, 5, { exact: true })))).toEqual(["b"]);
    expect(Object.keys(byName(await database.diff(3, 5, { exact: true })))).toEqual([]);
  });

  it("goes by the pages of the database where those of the volume are larger, or smaller", async () => {
    for (const pageSize of [1024, 16_384]) {
      const database = await made(
        ["PRAGMA page_size = 4096; CREATE TABLE a(x); CREATE TABLE b(x)", "INSERT INTO a VALUES (1)"],
        {
          pageSize,
        },
      );
      expect(await database.queryOne("PRAGMA page_size")).toEqual({ page_size: 4096 });
      const { objects, unknownPages } = await database.diff(1, 2);
      expect(objects!.map(({ name }) => name)).toContain("a");
      expect(unknownPages).toBe(0);
    }
  });

  it("takes times, and refuses points that there are not", async () => {
    const database = await made(HISTORY.slice(0, 3));
    const [newest, , oldest] = await database.log();
    const diff = await database.diff(new Date(oldest!.time), new Date(newest!.time));
    expect(diff.to).toBe(3);
    await expect(database.diff(1, 4)).rejects.toMatchObject({ code: "not_found" });
    await expect(database.diff(new Date(0), 1)).rejects.toMatchObject({ code: "not_found" });
  });
});

describe("the past beside the newest state", () => {
  it("views share the pages that are resident: nothing is fetched", async () => {
    const database = await made(HISTORY.slice(0, 6));
    const before = await database.status();
    const views = [];
    for (let lsn = 1; lsn <= 6; lsn++) views.push(await database.at(lsn));
    const counts = [];
    for (const view of views) {
      await view.query("PRAGMA integrity_check");
      counts.push((await view.queryOne("SELECT count(*) AS n FROM a"))?.n);
    }
    expect(counts).toEqual([0, 3000, 3000, 3000, 3000, 3000]);
    expect(await database.queryOne("SELECT count(*) AS n FROM a WHERE s = 'changed'")).toEqual({ n: 1 });
    expect(await views[3]!.queryOne("SELECT count(*) AS n FROM a WHERE s = 'changed'")).toEqual({ n: 0 });
    const after = await database.status();
    expect(after.faults).toBe(before.faults);
    expect(after.requests).toBe(before.requests);
  });

  it("the log says which commits touched a page, and between which points", async () => {
    const database = await made(HISTORY.slice(0, 6));
    const lsns = async (options: Parameters<Database["log"]>[0]): Promise<number[]> =>
      (await database.log(options)).map(({ lsn }) => lsn);
    expect(await lsns({ page: 1 }), "every transaction writes the header").toEqual([6, 5, 4, 3, 2, 1]);
    expect(await lsns({ since: 2, until: 4 })).toEqual([4, 3, 2]);
    expect(await lsns({ page: 1, until: 4, limit: 2 })).toEqual([4, 3]);
    const { objects } = await database.diff(2, 3);
    expect(objects!.map(({ name }) => name)).toContain("b");
    const [newest] = await database.log({ limit: 1 });
    expect(await lsns({ until: new Date(newest!.time), since: new Date(newest!.time) })).toContain(6);
  });
});
