/** `openDatabase` in a page: the first visit, reloads, without a network, every storage, the past, and what it refuses. */
import { beforeAll, describe, expect, it } from "vitest";
import { onDemand } from "../more.ts";
import { SUM, SUM_SQL } from "./pages/sql-run.ts";
import type * as tabs from "./pages/tabs.ts";
import { type Tab, type TestContext, useBrowser } from "./run-in-page.ts";
import { queryWithPlainSqlite, serveSqlCases, sqlScripts } from "./sql-site.ts";

const browser = useBrowser({ pages: ["tabs"], scripts: sqlScripts });

beforeAll(async () => serveSqlCases(await browser.site()));

let spaces = 0;
const freshSpace = (): string => `open-${++spaces}`;
const importedSpace = (): string => `imported-open-${++spaces}`;
const PATIENCE = { timeout: 40_000, interval: 100 };

const pageOf = (tab: Tab) => tab.module<typeof tabs>("tabs", { timeoutMs: 60_000 });

async function newPage(context: TestContext) {
  const tab = await browser.open(context);
  return { tab, page: pageOf(tab) };
}

/** Loads the page again: nothing of what it had in memory is left. */
async function reload(tab: Tab): Promise<void> {
  await tab.watched.page.reload();
}

/** While `work` runs the site answers nothing that concerns this space. */
async function offline<T>(space: string, work: () => Promise<T>): Promise<T> {
  const site = await browser.site();
  const serve = site.intervene;
  site.intervene = async (request) => (request.space === space ? "drop" : serve?.(request));
  try {
    return await work();
  } finally {
    site.intervene = serve;
  }
}

describe("reading only", () => {
  it("starts with a static host's objects and nothing else, in memory and alone", async (context) => {
    const { tab, page } = await newPage(context);
    const space = importedSpace();
    const site = await browser.site();
    const requests = await site.requestsDuring(async () => {
      expect(await page.openUrl({ space, readOnly: true })).toMatchObject({
        storage: "memory",
        tab: "single",
        readOnly: true,
      });
      expect(await page.query({ sql: "SELECT n FROM words WHERE id = 3" })).toEqual([{ n: 21 }]);
    });
    expect(requests.filter(({ method }) => method !== "GET")).toEqual([]);
    await expect(page.exec({ sql: "DELETE FROM words" })).rejects.toMatchObject({ code: "invalid" });
    await tab.close();
  });

  it("keeps pages where it is told to: after a reload and without a network they are read again", async (context) => {
    const { tab, page } = await newPage(context);
    const space = importedSpace();
    await page.openUrl({ space, readOnly: true, storage: "auto", kind: "static" });
    expect(await page.query({ sql: SUM_SQL })).toEqual([{ rows: 20_000, sum: SUM }]);
    await reload(tab);
    await offline(space, async () => {
      expect(await page.openUrl({ space, readOnly: true, storage: "auto" })).toMatchObject({
        storage: "opfs",
      });
      expect(await page.query({ sql: SUM_SQL })).toEqual([{ rows: 20_000, sum: SUM }]);
    });
    await tab.close();
  });

  it("shows the state of an LSN for ever", async (context) => {
    const { tab, page } = await newPage(context);
    const space = freshSpace();
    await page.open({ space });
    await page.exec({ sql: "CREATE TABLE t(a); INSERT INTO t VALUES (1)" });
    const lsn = await page.push();
    await page.exec({ sql: "INSERT INTO t VALUES (2)" });
    await page.push();
    await page.close();
    for (const past of [{ at: lsn }, { lsn }]) {
      expect(await page.open({ space, ...past })).toMatchObject({ lsn, storage: "memory", readOnly: true });
      expect(await page.query({ sql: "SELECT a FROM t" })).toEqual([{ a: 1 }]);
      await page.close();
    }
    await tab.close();
  });
});

for (const kind of ["opfs", "indexeddb"] as const) {
  describe(`storage ${kind}`, () => {
    it("outlives the page: local commits, pages, and what is pushed later", async (context) => {
      const { tab, page } = await newPage(context);
      const space = freshSpace();
      const storage = { name: `${kind}-${space}`, kind };
      expect(await page.open({ space, storage })).toMatchObject({ storage: kind, tab: "leader" });
      await page.exec({ sql: "CREATE TABLE t(a); INSERT INTO t VALUES (1)" });
      await page.push();
      await page.exec({ sql: "INSERT INTO t VALUES (2)" });
      await reload(tab);
      await offline(space, async () => {
        expect(await page.open({ space, storage })).toMatchObject({ storage: kind, ahead: 1, lsn: 1 });
        expect(await page.query({ sql: "SELECT a FROM t" })).toEqual([{ a: 1 }, { a: 2 }]);
        await page.exec({ sql: "INSERT INTO t VALUES (3)" });
        await expect(page.push()).rejects.toMatchObject({ code: "unavailable" });
      });
      expect(await page.push()).toBe(2);
      const objects = (await browser.site()).objects(space);
      expect(await queryWithPlainSqlite(objects, "main", "SELECT a FROM t")).toEqual([[1], [2], [3]]);
      await tab.close();
    });

    it("is shared by two tabs, and taken over", async (context) => {
      const space = freshSpace();
      const storage = { name: `${kind}-${space}`, kind };
      const one = await newPage(context);
      await one.page.open({ space, storage });
      await one.page.exec({ sql: "CREATE TABLE t(a); INSERT INTO t VALUES (1)" });
      const two = await newPage(context);
      expect(await two.page.open({ space, storage })).toMatchObject({ storage: kind, tab: "follower" });
      await two.page.exec({ sql: "INSERT INTO t VALUES (2)" });
      await one.tab.close();
      expect(await two.page.query({ sql: "SELECT a FROM t" })).toEqual([{ a: 1 }, { a: 2 }]);
      expect(await two.page.status()).toMatchObject({ storage: kind, tab: "leader" });
      await two.tab.close();
    });
  });
}

describe("opening", () => {
  it("without a network, what is not kept here, says so", async (context) => {
    const { tab, page } = await newPage(context);
    const space = importedSpace();
    await offline(space, async () => {
      for (const storage of ["memory", "auto"] as const)
        await expect(page.openUrl({ space, storage })).rejects.toMatchObject({ code: "unavailable" });
    });
    // It is tried again as if nothing had been.
    await page.openUrl({ space });
    expect(await page.query({ sql: SUM_SQL })).toEqual([{ rows: 20_000, sum: SUM }]);
    await tab.close();
  });

  it("what is not there, or cannot be right, says so", async (context) => {
    const { tab, page } = await newPage(context);
    const space = importedSpace();
    for (const storage of ["memory", "auto"] as const)
      await expect(page.openUrl({ space, storage, tag: "other" })).rejects.toMatchObject({
        code: "not_found",
      });
    await expect(page.openUrl({ space, url: "http://[" })).rejects.toMatchObject({ code: "invalid" });
    await expect(page.openUrl({ space, lsn: 1, at: 1 })).rejects.toMatchObject({ code: "invalid" });
    await expect(page.openUrl({ space, storage: { name: "../x" } })).rejects.toMatchObject({
      code: "invalid",
    });
    await tab.close();
  });

  it("with `live` moves on as others push, in every tab, where the store can only be asked now and then", async (context) => {
    onDemand(context);
    const space = freshSpace();
    const writer = await newPage(context);
    await writer.page.open({ space, storage: "memory" });
    await writer.page.exec({ sql: "CREATE TABLE t(a); INSERT INTO t VALUES (1)" });
    await writer.page.push();
    const readers = [await newPage(context), await newPage(context)];
    for (const { page } of readers) {
      await page.open({ space, live: true });
      await page.watch({ name: "rows", sql: "SELECT a FROM t" });
    }
    await writer.page.exec({ sql: "INSERT INTO t VALUES (2)" });
    await writer.page.push();
    for (const { page } of readers)
      await expect
        .poll(async () => (await page.results({ name: "rows" })).at(-1), PATIENCE)
        .toEqual([{ a: 1 }, { a: 2 }]);
    for (const { tab } of [writer, ...readers]) await tab.close();
  });

  it("asks for persistent storage, and tells whether it is", async (context) => {
    const { tab, page } = await newPage(context);
    await page.open({ space: freshSpace(), persist: true });
    const expected = await tab.watched.page.evaluate(() => navigator.storage.persist());
    expect(await page.persistStorage()).toBe(expected);
    await tab.close();
  });
});
