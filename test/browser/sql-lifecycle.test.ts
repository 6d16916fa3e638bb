/**
 * What a page with a database may meet: Node on the same store, a worker that dies, a tab that is closed or crashes in the middle of writing, a
 * site without the headers or the script that a bridge needs.
 */
import { beforeAll, describe, expect, it } from "vitest";
import { PageStore } from "../../src/index.ts";
import { Database, type DatabaseOptions } from "../../vfs/index.ts";
import { onDemand } from "../more.ts";
import { bundleWorker } from "../vfs/bundle.ts";
import type * as remote from "./pages/sql-remote.ts";
import { SqlSpace } from "./pages/sql-run.ts";
import { type BrowserSite, type Tab, type TestContext, useBrowser } from "./run-in-page.ts";
import { queryWithPlainSqlite, serveSqlCases, sqlScripts } from "./sql-site.ts";

const plain = useBrowser({ pages: ["sql-remote"], scripts: sqlScripts });
const isolated = useBrowser({ pages: ["sql-remote"], scripts: sqlScripts, isolated: true });

beforeAll(async () => {
  for (const browser of [plain, isolated]) await serveSqlCases(await browser.site());
});

const RUNS: readonly {
  readonly name: string;
  readonly browser: BrowserSite;
  readonly options: DatabaseOptions;
}[] = [
  { name: "jspi in a worker", browser: plain, options: {} },
  { name: "jspi in the page", browser: plain, options: { worker: false } },
  { name: "shared memory", browser: isolated, options: { bridge: "shared-memory" } },
  { name: "synchronous requests", browser: plain, options: { bridge: "sync-xhr" } },
];

const COUNT = "SELECT count(*) AS n FROM t";
const FILL =
  "CREATE TABLE IF NOT EXISTS t(a); WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 1000) INSERT INTO t SELECT i FROM c";

let spaces = 0;
const freshSpace = (): string => `lifecycle-${++spaces}`;

async function openTab(browser: BrowserSite, context: TestContext) {
  const tab = await browser.open(context);
  return { tab, page: tab.module<typeof remote>("sql-remote") };
}

/** A tab with a database of 1000 rows that were pushed. */
async function tabWithRows(browser: BrowserSite, context: TestContext, options: DatabaseOptions) {
  const { tab, page } = await openTab(browser, context);
  const space = freshSpace();
  await page.open({ space, options });
  await page.query({ space, sql: FILL });
  await page.push({ space });
  return { tab, page, space };
}

function sqlWorker(tab: Tab) {
  const [worker] = tab.watched.page.workers().filter((each) => each.url().includes("sql-worker-browser"));
  if (worker === undefined) throw new Error("the page has no SQL worker");
  return worker;
}

for (const { name, browser, options } of RUNS) {
  // The other two take the same ways to the page, and to the worker.
  const isRare = name === "jspi in the page" || name === "shared memory";
  describe(name, () => {
    it("what Node pushes is pulled, and what the page pushes is read in Node", async (context) => {
      if (isRare) onDemand(context);
      const { page, space } = await tabWithRows(browser, context, options);
      const objects = (await browser.site()).objects(space);
      expect(await queryWithPlainSqlite(objects, "main", COUNT)).toEqual([[1000]]);
      const workerUrl = await bundleWorker("vfs/worker/node-worker.ts");
      const node = await Database.open(objects, "main", { workerUrl });
      try {
        await node.exec("DELETE FROM t WHERE a % 2 = 0; CREATE TABLE notes(text)");
        await node.push();
        expect(await page.pull({ space })).toBe(2);
        expect(await page.query({ space, sql: COUNT })).toEqual([{ n: 500 }]);
        await page.query({ space, sql: "INSERT INTO notes VALUES ('from the page')" });
        expect(await page.push({ space })).toBe(3);
        await node.pull();
        expect(await node.query("SELECT text FROM notes")).toEqual([{ text: "from the page" }]);
      } finally {
        await node.close();
      }
      const checked = await queryWithPlainSqlite(objects, "main", "PRAGMA integrity_check");
      expect(checked).toEqual([["ok"]]);
      await page.close({ space });
    });

    it("a tab that is closed in the middle of a transaction leaves what was pushed, and nothing else", async (context) => {
      if (isRare) onDemand(context);
      const { tab, page, space } = await tabWithRows(browser, context, options);
      await page.query({ space, sql: "INSERT INTO t VALUES ('committed here, not pushed')" });
      const writing = page.writeAndWait({ space, sql: "UPDATE t SET a = a + 1; INSERT INTO t VALUES (0)" });
      writing.catch(() => {});
      await expect.poll(() => tab.watched.page.title()).toBe("waiting");
      await tab.close();
      const other = await openTab(browser, context);
      await other.page.open({ space, options });
      expect(await other.page.query({ space, sql: "SELECT count(*) AS n, sum(a) AS sum FROM t" })).toEqual([
        { n: 1000, sum: 500_500 },
      ]);
      await other.page.query({ space, sql: "INSERT INTO t VALUES (1)" });
      expect(await other.page.push({ space })).toBe(2);
      await other.tab.close();
    });

    it("invariant 2: a tab that crashes in the middle of a push leaves the state before it, or after it", async (context) => {
      if (isRare) onDemand(context);
      const { tab, page, space } = await tabWithRows(browser, context, options);
      const objects = new SqlSpace((await browser.site()).objectsUrl(space));
      await page.query({ space, sql: "INSERT INTO t SELECT a FROM t" });
      await objects.rule("puts", "hold");
      page.push({ space }).catch(() => {});
      const site = await browser.site();
      await expect
        .poll(() => site.requests.filter((each) => each.space === space).at(-1)?.method)
        .toBe("PUT");
      await crash(tab);
      await objects.clear();
      const { page: other, tab: otherTab } = await openTab(browser, context);
      const { lsn } = await other.open({ space, options });
      expect(await other.query({ space, sql: COUNT })).toEqual([{ n: lsn === 1 ? 1000 : 2000 }]);
      await other.query({ space, sql: "DELETE FROM t" });
      expect(await other.push({ space })).toBe(lsn + 1);
      const store = await PageStore.open({ remote: site.objects(space) });
      expect((await (await store.volume("main")).verify()).lsn).toBe(lsn + 1);
      await store.close();
      await otherTab.close();
    });
  });
}

/** Ends the process of a page, as a defect of the browser or the lack of memory does. */
async function crash(tab: Tab): Promise<void> {
  const { page } = tab.watched;
  const session = await page.context().newCDPSession(page);
  const crashed = new Promise((resolve) => page.once("crash", resolve));
  session.send("Page.crash").catch(() => {});
  await crashed;
  await tab.close();
}

describe("the worker", () => {
  it("that ends in the middle of a query fails it, and all after it, with a clear error", async (context) => {
    const { tab, page, space } = await tabWithRows(plain, context, {});
    const failing = page.failureOfEndless({ space });
    await sqlWorker(tab).evaluate("close()");
    expect(await failing).toMatchObject({
      code: "unavailable",
      message: expect.stringMatching(/ended unexpectedly; open the database again/),
    });
    await expect(page.query({ space, sql: COUNT })).rejects.toMatchObject({ code: "unavailable" });
    await page.close({ space });
    await page.open({ space });
    expect(await page.query({ space, sql: COUNT })).toEqual([{ n: 1000 }]);
    await tab.close();
  });

  it("that ends while nothing runs is noticed by the next query", async (context) => {
    const { tab, page, space } = await tabWithRows(isolated, context, { bridge: "shared-memory" });
    await sqlWorker(tab).evaluate("close()");
    await expect(page.query({ space, sql: COUNT })).rejects.toMatchObject({
      code: "unavailable",
      message: expect.stringContaining("open the database again"),
    });
    await tab.close();
  });

  it("that throws outside of any query is ended, with its error as the cause", async (context) => {
    const { tab, page, space } = await tabWithRows(plain, context, {});
    await sqlWorker(tab).evaluate("void setTimeout(() => { throw new Error('a defect') }, 0)");
    await expect(page.query({ space, sql: COUNT })).rejects.toMatchObject({ code: "unavailable" });
    await expect.poll(() => tab.watched.page.workers().length).toBe(0);
    await tab.close();
  });

  it("is gone when the database is closed", async (context) => {
    const { tab, page, space } = await tabWithRows(plain, context, {});
    expect(tab.watched.page.workers()).toHaveLength(1);
    await page.close({ space });
    await expect.poll(() => tab.watched.page.workers().length).toBe(0);
    await tab.close();
  });

  it("whose script is not there makes opening fail, and says where it should be", async (context) => {
    const { tab, page } = await openTab(plain, context);
    const { origin } = await plain.site();
    const opening = page.open({ space: freshSpace(), options: { workerUrl: `${origin}/app/nowhere.js` } });
    await expect(opening).rejects.toMatchObject({
      code: "invalid",
      message: expect.stringMatching(/could not be loaded \(http:.*nowhere\.js\).*workerUrl/s),
    });
    await expect.poll(() => tab.watched.page.workers().length).toBe(0);
    await tab.close();
  });
});

describe("a bridge that cannot work here is invalid, and nothing is left running", () => {
  const cases: readonly [string, Omit<remote.OpenArguments, "space">, RegExp][] = [
    ["shared memory without the headers", { options: { bridge: "shared-memory" } }, /cross-origin isolation/],
    [
      "requests to a store without an address",
      { options: { bridge: "sync-xhr" }, noAddress: true },
      /`http`/,
    ],
    [
      "blocking the page itself",
      { options: { bridge: "sync-xhr", worker: false } },
      /works in a worker only/,
    ],
    ["local files", { options: { local: { path: "/data" } } }, /no local directory/],
  ];
  for (const [name, what, message] of cases) {
    it(name, async (context) => {
      const { tab, page } = await openTab(plain, context);
      await expect(page.open({ space: freshSpace(), ...what })).rejects.toMatchObject({
        code: "invalid",
        message: expect.stringMatching(message),
      });
      await expect.poll(() => tab.watched.page.workers().length).toBe(0);
      await tab.close();
    });
  }
});

it("invariant 5: three tabs that write at once lose nothing", async (context) => {
  const space = freshSpace();
  const tabs = await Promise.all(RUNS.slice(0, 3).map(({ browser }) => openTab(browser, context)));
  const objects = (await plain.site()).objects(space);
  (await isolated.site()).mount(space, objects);
  for (const [i, { page }] of tabs.entries()) {
    await page.open({ space, options: RUNS[i]?.options ?? {} });
    if (i > 0) continue;
    await page.query({ space, sql: "CREATE TABLE counter(n); INSERT INTO counter VALUES (0)" });
    await page.push({ space });
  }
  const replays = await Promise.all(tabs.map(({ page }) => page.count({ space, times: 4 })));
  expect(replays.reduce((sum, each) => sum + each, 0)).toBeGreaterThan(0);
  expect(await queryWithPlainSqlite(objects, "main", "SELECT n FROM counter")).toEqual([[12]]);
  for (const { tab } of tabs) await tab.close();
});

it("by default a page gets jspi, whatever its headers", async (context) => {
  for (const browser of [plain, isolated]) {
    const { tab, page } = await openTab(browser, context);
    expect((await page.open({ space: freshSpace() })).bridge).toBe("jspi");
    await tab.close();
  }
});

it("a statement that computes on the page's own thread lets the page live", async (context) => {
  const { tab, page, space } = await tabWithRows(plain, context, { worker: false });
  expect(await page.usualPause({ space })).toBeLessThan(400);
  await tab.close();
});
