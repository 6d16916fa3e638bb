/**
 * Databases with local state in a real browser, over OPFS and over IndexedDB: what survives a reload, a tab that is closed, a crash and a store that
 * cannot be reached; what happens at the site's quota, in a private window, and when the browser takes the storage away.
 */

import { describe, expect, it } from "vitest";
import type { DatabaseOptions } from "../../vfs/database.ts";
import { onDemand, wantsMore } from "../more.ts";
import { launchChromium } from "./chromium.ts";
import type * as local from "./pages/storage-sql.ts";
import { type Tab, type TestContext, useBrowser } from "./run-in-page.ts";
import { requireChromium } from "./shared-chromium.ts";
import { queryWithPlainSqlite, sqlScripts } from "./sql-site.ts";
import { crash, evict, goOffline, reload, withQuota } from "./storage-faults.ts";

const browser = useBrowser({ pages: ["storage-sql"], scripts: sqlScripts });
const isolated = useBrowser({ pages: ["storage-sql"], scripts: sqlScripts, isolated: true });
/** Sites of their own, since a browser remembers for a while what a site may use. */
const small = {
  opfs: useBrowser({ pages: ["storage-sql"], scripts: sqlScripts }),
  indexeddb: useBrowser({ pages: ["storage-sql"], scripts: sqlScripts }),
  temp: useBrowser({ pages: ["storage-sql"], scripts: sqlScripts }),
};

type Kind = "auto" | "opfs" | "indexeddb";
const COUNT = "SELECT count(*) AS n FROM t";
const CHECK = "PRAGMA integrity_check";
const MIB = 2 ** 20;
/** For cases that write much, on a machine that does much else. */
const LONG = { timeout: 240_000 };

let names = 0;
/** Names a space of the site and a storage of the browser. */
const freshName = (): string => `storage-${++names}`;

/** Rows 1 to `count`, each with random bytes, which nothing stores in less. */
const fill = (count: number, bytes = 100) =>
  `CREATE TABLE IF NOT EXISTS t(a INTEGER PRIMARY KEY, b); WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < ${count}) INSERT INTO t(b) SELECT randomblob(${bytes}) FROM c`;

const pageOf = (tab: Tab) => tab.module<typeof local>("storage-sql", { timeoutMs: 120_000 });

function openingOf(space: string, kind: Kind, options: DatabaseOptions = {}) {
  return { space, options: { local: { path: space, kind }, ...options } };
}

/** A tab with a database of 1000 rows that were pushed. */
async function tabWithRows(context: TestContext, kind: Kind, options: DatabaseOptions = {}) {
  const tab = await browser.open(context);
  const page = pageOf(tab);
  const space = freshName();
  const opening = openingOf(space, kind, options);
  const status = await page.open(opening);
  await page.query({ sql: fill(1000) });
  await page.push();
  return { tab, page, space, opening, status };
}

/** What is in the remote log. */
async function pushed(space: string, sql: string): Promise<unknown[][]> {
  return queryWithPlainSqlite((await browser.site()).objects(space), "main", sql);
}

for (const kind of ["opfs", "indexeddb"] as const) {
  describe(`local state in ${kind}`, () => {
    // Like those of open-database.test.ts, but over a store of the page's own.
    it("survives a reload: unpushed commits are there, and are pushed then", async (context) => {
      if (kind === "indexeddb") onDemand(context);
      const { tab, page, space, opening, status } = await tabWithRows(context, kind);
      expect(status.storage).toBe(kind);
      const sql = "INSERT INTO t(b) VALUES ('not pushed'), ('neither')";
      expect(await page.write({ sql })).toEqual({ durable: true });
      expect(await page.status()).toMatchObject({ state: "ahead", ahead: 1 });
      await reload(tab);
      expect(await page.open(opening)).toMatchObject({ storage: kind, state: "ahead", ahead: 1, lsn: 1 });
      const found = await page.query({ sql: "SELECT b FROM t WHERE a > 1000" });
      expect(found).toEqual([{ b: "not pushed" }, { b: "neither" }]);
      expect(await page.push()).toBe(2);
      expect(await pushed(space, COUNT)).toEqual([[1002]]);
      await tab.close();
    });

    it("keeps pages over a close: what was read once is read without a request", async (context) => {
      onDemand(context);
      const { tab, page, space, opening } = await tabWithRows(context, kind);
      await page.query({ sql: "SELECT sum(length(b)) FROM t" });
      expect(await page.close()).toBeNull();
      await reload(tab);
      await page.open(opening);
      const requests = await (await browser.site()).requestsDuring(async () => {
        expect(await page.query({ sql: "SELECT sum(length(b)) AS n FROM t" })).toEqual([{ n: 100_000 }]);
      });
      expect(requests.filter((each) => each.space === space)).toEqual([]);
      await tab.close();
    });

    it("works offline, also after a reload, and pushes when the store is back", async (context) => {
      onDemand(context);
      const { tab, page, space, opening } = await tabWithRows(context, kind);
      await page.query({ sql: "SELECT sum(length(b)) FROM t" });
      const backOnline = goOffline(await browser.site(), space);
      await page.query({ sql: "INSERT INTO t(b) VALUES ('offline')" });
      await expect(page.push()).rejects.toMatchObject({ code: "unavailable" });
      expect(await page.close()).toBeNull();
      await reload(tab);
      await page.open(opening);
      await page.query({ sql: "UPDATE t SET b = 'and again' WHERE a = 1" });
      const found = await page.query({ sql: "SELECT b FROM t WHERE a IN (1, 1001)" });
      expect(found).toEqual([{ b: "and again" }, { b: "offline" }]);
      backOnline();
      // The push that was cut off is finished first.
      expect(await page.push()).toBeGreaterThanOrEqual(2);
      const sql = "SELECT count(*), sum(b IN ('offline', 'and again')) FROM t";
      expect(await pushed(space, sql)).toEqual([[1001, 2]]);
      await tab.close();
    });

    it("invariant 3: a page that dies right after a commit was acknowledged has lost nothing", async (context) => {
      const space = freshName();
      const opening = openingOf(space, kind);
      let expected = 0;
      for (let round = 0; round < (wantsMore ? 4 : 3); round++) {
        const tab = await browser.open(context);
        const page = pageOf(tab);
        await page.open(opening);
        await page.query({ sql: "CREATE TABLE IF NOT EXISTS t(a INTEGER PRIMARY KEY, b)" });
        expect(await page.query({ sql: COUNT }), `round ${round}`).toEqual([{ n: expected }]);
        for (let i = 0; i <= round; i++, expected++) {
          const sql = "INSERT INTO t(b) VALUES (randomblob(50000))";
          expect(await page.write({ sql })).toEqual({ durable: true });
        }
        await crash(tab);
      }
      const tab = await browser.open(context);
      const page = pageOf(tab);
      await page.open(opening);
      expect(await page.query({ sql: CHECK })).toEqual([{ integrity_check: "ok" }]);
      await page.push();
      expect(await pushed(space, COUNT)).toEqual([[expected]]);
      await tab.close();
    });

    it("belongs to one tab at a time, and to the next when that is closed", async (context) => {
      onDemand(context);
      const { tab, page, opening } = await tabWithRows(context, kind);
      await page.query({ sql: "INSERT INTO t(b) VALUES ('of the first tab')" });
      const second = await browser.open(context);
      await expect(pageOf(second).open(opening)).rejects.toMatchObject({
        code: "busy",
        message: expect.stringContaining("another tab"),
      });
      await tab.close();
      await pageOf(second).open(opening);
      expect(await pageOf(second).query({ sql: COUNT })).toEqual([{ n: 1001 }]);
      await second.close();
    });

    it("that the browser has evicted is opened as new", async (context) => {
      if (kind === "indexeddb") onDemand(context);
      const { tab, page, opening } = await tabWithRows(context, kind);
      await page.query({ sql: "DELETE FROM t WHERE a > 10" });
      await page.close();
      await evict(tab);
      await reload(tab);
      expect(await page.open(opening)).toMatchObject({ state: "clean", ahead: 0, lsn: 1, storage: kind });
      expect(await page.query({ sql: COUNT })).toEqual([{ n: 1000 }]);
      await tab.close();
    });

    it("evicted while it is open: what is there can be read and pushed, and it is told; then it opens as new", async (context) => {
      if (kind === "indexeddb") onDemand(context);
      const { tab, page, space, opening } = await tabWithRows(context, kind);
      await page.query({ sql: "INSERT INTO t(b) VALUES ('before')" });
      await evict(tab);
      const { code } = await page.write({ sql: "INSERT INTO t(b) VALUES ('after')" });
      // Chromium tells nobody of OPFS files that are gone.
      expect(code).toBe(kind === "opfs" ? undefined : "unavailable");
      expect(await page.query({ sql: "SELECT b FROM t WHERE a > 1000 LIMIT 1" })).toEqual([{ b: "before" }]);
      if (kind === "opfs") expect(await page.push()).toBe(2);
      // Over IndexedDB the commit has told already.
      expect(kind === "opfs" ? ["unavailable"] : ["unavailable", null]).toContain(await page.close());
      await reload(tab);
      const lsn = kind === "opfs" ? 2 : 1;
      expect(await page.open(opening)).toMatchObject({ storage: kind, ahead: 0, lsn });
      expect(await page.query({ sql: CHECK })).toEqual([{ integrity_check: "ok" }]);
      expect(await page.query({ sql: COUNT })).toEqual([{ n: kind === "opfs" ? 1002 : 1000 }]);
      await page.query({ sql: "INSERT INTO t(b) VALUES ('goes on')" });
      expect(await page.push()).toBe(lsn + 1);
      expect(await pushed(space, CHECK)).toEqual([["ok"]]);
      await tab.close();
    });

    it(
      "of which a single file is gone opens with the right rows, or says that it is corrupt; deleted, it opens as new",
      LONG,
      async (context) => {
        if (kind === "indexeddb") onDemand(context);
        const tab = await browser.open(context);
        const page = pageOf(tab);
        const files = ["header", "log-1", "pages-4096", ...(wantsMore ? ["log-0", "pages-4096.index"] : [])];
        for (const file of files) {
          const space = freshName();
          const opening = openingOf(space, kind);
          await page.open(opening);
          await page.query({ sql: fill(1000) });
          await page.push();
          await page.query({ sql: "INSERT INTO t(b) VALUES ('not pushed')" });
          expect(await page.close()).toBeNull();
          await page.removeFile({ name: space, kind, file });
          const failed = await page.failureOfOpen(opening);
          // The log of the first generation is the second file.
          const needed = file === "header" || file === "log-1";
          expect([file, failed?.code], failed?.message).toEqual([file, needed ? "corrupt" : undefined]);
          if (!needed) expect(await page.query({ sql: COUNT })).toEqual([{ n: 1001 }]);
          if (!needed) expect(await page.close()).toBeNull();
          await page.deleteStorage({ name: space });
          await page.open(opening);
          expect(await page.query({ sql: COUNT })).toEqual([{ n: 1000 }]);
          expect(await page.close()).toBeNull();
        }
        await tab.close();
      },
    );

    it(
      "at the site's quota the cache gives way, then it is quota; nothing is lost, and it is pushed all the same",
      LONG,
      async (context) => {
        if (kind === "indexeddb") onDemand(context);
        const tab = await small[kind].open(context);
        const page = pageOf(tab);
        const settings = { diskBytes: 2 ** 30, memoryBytes: MIB };
        const opening = openingOf("small", kind, { settings });
        const objects = (await small[kind].site()).objects("small");
        await withQuota(tab, 24 * MIB, async () => {
          await page.open(opening);
          await page.query({ sql: fill(7000, 1000) });
          await page.push();
          await page.query({ sql: "SELECT sum(length(b)) FROM t" });
          const full = await page.commitUntilFull({ bytes: 50_000 });
          expect(full.code, full.message).toBe("quota");
          expect(full.acknowledged, "commits").toBeGreaterThan(40);
          expect((await page.status()).residentPages, "the cache gave way").toBeLessThan(1200);
          // IndexedDB tells too late to undo it; the failure said so.
          const seen = 7000 + full.acknowledged + (full.committed ? 1 : 0);
          expect(await page.query({ sql: COUNT })).toEqual([{ n: seen }]);
          expect(await page.query({ sql: CHECK })).toEqual([{ integrity_check: "ok" }]);
          await reload(tab);
          await page.open(opening);
          const n = 7000 + full.acknowledged;
          expect(await page.query({ sql: COUNT }), "what was acknowledged").toEqual([{ n }]);
          expect(await page.query({ sql: CHECK })).toEqual([{ integrity_check: "ok" }]);
          expect(await page.push()).toBe(2);
          expect(await queryWithPlainSqlite(objects, "main", COUNT)).toEqual([[n]]);
        });
        // The browser has room again.
        await page.query({ sql: "INSERT INTO t(b) VALUES ('room again')" });
        expect(await page.push()).toBe(3);
        expect(await page.close()).toBeNull();
        await reload(tab);
        await page.open(opening);
        expect(await page.query({ sql: CHECK })).toEqual([{ integrity_check: "ok" }]);
        expect(await page.status()).toMatchObject({ state: "clean", lsn: 3 });
        await tab.close();
      },
    );
  });
}

describe("local state over every bridge", () => {
  for (const [bridge, site] of [
    ["shared-memory", isolated],
    ["sync-xhr", browser],
  ] as const) {
    for (const kind of ["opfs", "indexeddb"] as const) {
      it(`${bridge}, ${kind}: commits of a thread that blocks are kept, and pages are read from there`, async (context) => {
        if (kind === "indexeddb" || bridge === "shared-memory") onDemand(context);
        const tab = await site.open(context);
        const page = pageOf(tab);
        const space = freshName();
        const opening = openingOf(space, kind, { bridge });
        expect(await page.open(opening)).toMatchObject({ bridge, storage: kind });
        await page.query({ sql: fill(1000) });
        await page.push();
        expect(await page.write({ sql: "INSERT INTO t(b) VALUES ('kept')" })).toEqual({ durable: true });
        await reload(tab);
        expect(await page.open(opening)).toMatchObject({ ahead: 1, storage: kind });
        expect(await page.query({ sql: "SELECT count(*) AS n, max(a) AS last FROM t" })).toEqual([
          { n: 1001, last: 1001 },
        ]);
        expect(await page.push()).toBe(2);
        expect(await page.close()).toBeNull();
        await tab.close();
      });
    }
  }
});

it("on the page's own thread local state is in IndexedDB", async (context) => {
  const tab = await browser.open(context);
  const page = pageOf(tab);
  const opening = openingOf(freshName(), "auto", { worker: false });
  expect((await page.open(opening)).storage).toBe("indexeddb");
  expect(await page.write({ sql: fill(10) })).toEqual({ durable: true });
  await reload(tab);
  expect(await page.open({ ...opening, options: { ...opening.options, worker: true } })).toMatchObject({
    storage: "indexeddb",
    ahead: 2,
  });
  expect(await page.query({ sql: COUNT })).toEqual([{ n: 10 }]);
  await tab.close();
});

it("what is relaxed, or in memory alone, says that it is not durable", async (context) => {
  const tab = await browser.open(context);
  const page = pageOf(tab);
  for (const kind of ["opfs", "indexeddb"] as const) {
    await page.open(openingOf(freshName(), kind));
    await page.query({ sql: "PRAGMA synchronous = NORMAL" });
    expect(await page.write({ sql: fill(10) })).toEqual({ durable: false });
    await page.query({ sql: "PRAGMA synchronous = FULL" });
    expect(await page.write({ sql: "DELETE FROM t" })).toEqual({ durable: true });
    expect(await page.close()).toBeNull();
  }
  for (const options of [{}, { local: { path: "nowhere", kind: "memory" as const } }]) {
    expect((await page.open({ space: freshName(), options })).storage).toBe("memory");
    expect(await page.write({ sql: fill(10) })).toEqual({ durable: false });
    expect(await page.close()).toBeNull();
  }
  await tab.close();
});

it("sorts and journals that memory has no room for go to a file in OPFS, which goes with them", async (context) => {
  const tab = await browser.open(context);
  const page = pageOf(tab);
  const opening = openingOf(freshName(), "opfs", { tempBytes: 2 ** 17 });
  for (let round = 0; round < 2; round++) {
    await page.open(opening);
    await page.query({ sql: round === 0 ? fill(20_000, 300) : "UPDATE t SET b = randomblob(300)" });
    await page.query({ sql: "PRAGMA cache_size = -1000" });
    const sorted = "SELECT sum(n) AS sum FROM (SELECT row_number() OVER (ORDER BY b) AS n FROM t)";
    expect(await page.query({ sql: sorted })).toEqual([{ sum: 200_010_000 }]);
    await page.query({ sql: "VACUUM" });
    expect(await page.query({ sql: CHECK })).toEqual([{ integrity_check: "ok" }]);
    expect(await page.filesOf({ name: opening.space })).toContain("temp");
    // The second time its worker is gone without having closed anything.
    if (round === 0) expect(await page.close()).toBeNull();
    else await reload(tab);
    if (round === 0) expect(await page.filesOf({ name: opening.space })).not.toContain("temp");
  }
  await page.open(opening);
  expect(await page.query({ sql: CHECK })).toEqual([{ integrity_check: "ok" }]);
  await tab.close();
});

it("room that temporary files needed is had by commits afterwards", LONG, async (context) => {
  const tab = await small.temp.open(context);
  const page = pageOf(tab);
  await withQuota(tab, 28 * MIB, async () => {
    const settings = { diskBytes: 0 };
    await page.open(openingOf("small", "opfs", { tempBytes: 2 ** 17, settings }));
    await page.query({ sql: fill(1) });
    // What SQLite sorts in memory is as much as its page cache may hold.
    await page.query({ sql: "PRAGMA cache_size = -1000" });
    // Some 12 MB are sorted in a file, for which Chromium sets 16 MiB aside until it is closed.
    const sorted = `WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 12000)
      SELECT max(n) AS n FROM (SELECT row_number() OVER (ORDER BY b) AS n FROM (SELECT randomblob(1000) AS b FROM c))`;
    expect(await page.query({ sql: sorted })).toEqual([{ n: 12_000 }]);
    const full = await page.commitUntilFull({ bytes: 100_000 });
    expect(full.code, full.message).toBe("quota");
    expect(full.acknowledged * 100_000).toBeGreaterThan(10 * MIB);
  });
  await tab.close();
});

it("a private window keeps local state for as long as it is open, and says where", async (context) => {
  await requireChromium(context);
  const inPrivate = await launchChromium({ incognito: true });
  if ("unavailable" in inPrivate) return context.skip(inPrivate.unavailable);
  try {
    const tab = await browser.openIn(inPrivate);
    const page = pageOf(tab);
    const opening = openingOf(freshName(), "auto");
    const { storage } = await page.open(opening);
    expect(["opfs", "indexeddb", "memory"]).toContain(storage);
    const { durable } = await page.write({ sql: fill(100) });
    expect(durable).toBe(storage !== "memory");
    await reload(tab);
    expect((await page.open(opening)).storage).toBe(storage);
    if (storage !== "memory") expect(await page.query({ sql: COUNT })).toEqual([{ n: 100 }]);
    await tab.close();
  } finally {
    await inPrivate.close();
  }
});
