/**
 * Several tabs of one site on one local store: one leads, the others are served by it; what happens when it closes, when it dies in the middle of writes,
 * and when the browser has frozen it.
 */
import { beforeAll, describe, expect, it } from "vitest";
import { onDemand } from "../more.ts";
import { SUM } from "./pages/sql-run.ts";
import type * as tabs from "./pages/tabs.ts";
import { type BrowserSite, type Tab, type TestContext, useBrowser } from "./run-in-page.ts";
import { requireChromium } from "./shared-chromium.ts";
import { queryWithPlainSqlite, serveSqlCases, sqlScripts } from "./sql-site.ts";

const browser = useBrowser({ pages: ["tabs"], scripts: sqlScripts });

const isolated = useBrowser({ pages: ["tabs"], scripts: sqlScripts, isolated: true });

beforeAll(async () => {
  for (const each of [browser, isolated]) await serveSqlCases(await each.site());
});

let spaces = 0;
const freshSpace = (): string => `tabs-${++spaces}`;

type Page = ReturnType<Tab["module"]> & ReturnType<typeof moduleOf>;
const moduleOf = (tab: Tab) => tab.module<typeof tabs>("tabs", { timeoutMs: 60_000 });

interface Opened {
  readonly tab: Tab;
  readonly page: Page;
}

async function openTab(
  context: TestContext,
  options: tabs.OpenArguments,
  site: BrowserSite = browser,
): Promise<Opened> {
  const tab = await site.open(context);
  const page = moduleOf(tab) as Page;
  await page.open(options);
  return { tab, page };
}

/** So many tabs on one new database with a table; the first one leads. */
async function openTabs(
  context: TestContext,
  count: number,
  options: Partial<tabs.OpenArguments> = {},
): Promise<{ readonly space: string; readonly opened: readonly Opened[] }> {
  const space = freshSpace();
  const opened: Opened[] = [];
  for (let i = 0; i < count; i++) {
    opened.push(await openTab(context, { space, ...options }));
    if (i === 0) {
      await opened[0]?.page.exec({
        sql: "CREATE TABLE t(a INTEGER PRIMARY KEY, b); CREATE TABLE log(who, n, UNIQUE(who, n))",
      });
    }
  }
  return { space, opened };
}

/** A slow machine takes its time. */
const PATIENCE = { timeout: 30_000, interval: 50 };

const pagesOf = (opened: readonly Opened[]) => opened.map(({ page }) => page) as [Page, Page, Page];
const closeAll = (opened: readonly Opened[]) => Promise.all(opened.map(({ tab }) => tab.close()));

/** Ends the process of a page. Its promise may never settle: there is nobody left to answer. */
async function crash(tab: Tab): Promise<void> {
  const { page } = tab.watched;
  const crashed = new Promise((resolve) => page.once("crash", resolve));
  const session = await page.context().newCDPSession(page);
  session.send("Page.crash").catch(() => {});
  await crashed;
}

async function expectPushed(space: string, sql: string, rows: unknown[][]): Promise<void> {
  expect(await queryWithPlainSqlite((await browser.site()).objects(space), "main", sql)).toEqual(rows);
}

const kindsOf = (opened: readonly Opened[]) =>
  Promise.all(opened.map(async ({ page }) => (await page.status()).tab));

describe("three tabs", () => {
  it("one leads and the others follow; all read and write the same", async (context) => {
    const { opened } = await openTabs(context, 3);
    expect(await kindsOf(opened)).toEqual(["leader", "follower", "follower"]);
    for (const [i, { page }] of opened.entries())
      await page.exec({ sql: `INSERT INTO t VALUES (${i}, 'x')` });
    for (const { page } of opened) {
      expect(await page.query({ sql: "SELECT count(*) AS n FROM t" })).toEqual([{ n: 3 }]);
      expect((await page.status()).storage).toBe("opfs");
    }
    await closeAll(opened);
  });

  it("hear of one another's writes: live queries, commits", async (context) => {
    const { opened } = await openTabs(context, 3);
    for (const { page } of opened) {
      await page.listen();
      await page.watch({ name: "count", sql: "SELECT count(*) AS n FROM t" });
    }
    await expect.poll(() => opened[2]?.page.results({ name: "count" }), PATIENCE).toEqual([[{ n: 0 }]]);
    await opened[1]?.page.exec({ sql: "INSERT INTO t VALUES (1, 'from a follower')" });
    await opened[0]?.page.exec({ sql: "INSERT INTO t VALUES (2, 'from the leader')" });
    for (const { page } of opened) {
      await expect
        .poll(async () => (await page.results({ name: "count" })).at(-1), PATIENCE)
        .toEqual([{ n: 2 }]);
      const commits = async () => (await page.heard()).filter((line) => line.startsWith("commit"));
      await expect.poll(commits, PATIENCE).toHaveLength(2);
    }
    await closeAll(opened);
  });

  it("have transactions of their own: isolated, and one writer at a time", async (context) => {
    const { opened } = await openTabs(context, 3, { busyTimeoutMs: 200 });
    const [leader, one, two] = pagesOf(opened);
    await one.beginTransaction({ sql: "INSERT INTO t VALUES (1, 'uncommitted')" });
    for (const page of [leader, two]) {
      expect(await page.query({ sql: "SELECT count(*) AS n FROM t" })).toEqual([{ n: 0 }]);
      await expect(page.exec({ sql: "INSERT INTO t VALUES (2, 'x')" })).rejects.toMatchObject({
        code: "busy",
      });
    }
    expect(await one.query({ sql: "SELECT 1 AS n" }).catch(({ code }) => code)).toBe("busy");
    expect(await one.finish({ sql: "INSERT INTO t VALUES (3, 'last')" })).toBe("done");
    for (const page of [leader, one, two])
      expect(await page.query({ sql: "SELECT a FROM t" })).toEqual([{ a: 1 }, { a: 3 }]);
    await closeAll(opened);
  });

  it("one that follows and closes, or whose page is closed, with an open transaction rolls it back", async (context) => {
    const { opened } = await openTabs(context, 3);
    const [leader, one, two] = pagesOf(opened);
    await one.beginTransaction({ sql: "INSERT INTO t VALUES (1, 'uncommitted')" });
    await one.close();
    await two.beginTransaction({ sql: "INSERT INTO t VALUES (2, 'uncommitted')" });
    await opened[2]?.tab.close();
    // Its own transaction waits for the one that is rolled back.
    await leader.exec({ sql: "INSERT INTO t VALUES (3, 'x')" });
    expect(await leader.query({ sql: "SELECT a FROM t" })).toEqual([{ a: 3 }]);
    await closeAll(opened.slice(0, 2));
  });

  it("values and results of any size reach a tab that follows", async (context) => {
    const { opened } = await openTabs(context, 2);
    const [leader, one] = pagesOf(opened);
    const sql =
      "SELECT NULL AS a, 9007199254740993 AS b, -1.5 AS c, 'é\\u{feff}' AS d, x'00ff' AS e, zeroblob(700000) AS f";
    expect(await one.values({ sql })).toEqual(await leader.values({ sql }));
    expect((await one.values({ sql })).at(-1)).toBe("bytes 700000 0");
    expect(await one.large({ rows: 20_000, bytes: 500 })).toEqual([20_000, 20_000]);
    expect(await one.large({ rows: 3, bytes: 3_000_000 })).toEqual([3, 3]);
    expect(await one.largeBlob({ bytes: 5_000_001 })).toBe(true);
    await closeAll(opened);
  });

  it("errors reach a tab that follows as what they are", async (context) => {
    const { opened } = await openTabs(context, 2);
    const [, one] = pagesOf(opened);
    await expect(one.query({ sql: "SELECT * FROM absent" })).rejects.toMatchObject({
      code: "invalid",
      message: expect.stringContaining("no such table"),
    });
    await expect(openTab(context, { space: "tabs-none", create: false })).rejects.toMatchObject({
      code: "not_found",
    });
    await closeAll(opened);
  });

  it("parameters that cannot be sent are said to be so, in every tab", async (context) => {
    const { opened } = await openTabs(context, 2);
    for (const { page } of opened) {
      for (const failure of (await page.unsendable()) as object[])
        expect(failure).toMatchObject({
          code: "invalid",
          message: expect.stringContaining("cannot be sent"),
        });
      expect(await page.query({ sql: "SELECT 1 AS a" })).toEqual([{ a: 1 }]);
    }
    await closeAll(opened);
  });

  it("each interrupts its own statements", async (context) => {
    const { opened } = await openTabs(context, 2);
    for (const { page } of opened) expect(await page.interrupt()).toEqual(["aborted", { a: 1 }]);
    await closeAll(opened);
  });

  it("two databases of one page share as two tabs do", async (context) => {
    const { space, opened } = await openTabs(context, 1);
    const [leader] = pagesOf(opened);
    expect(await leader.openAgain({ space })).toEqual({ tab: "follower", rows: [{ a: 77 }] });
    await closeAll(opened);
  });
});

describe("the tab that leads", () => {
  it("closes: another one leads, with everything that was committed", async (context) => {
    const { space, opened } = await openTabs(context, 3);
    const [leader, one, two] = pagesOf(opened);
    await two.watch({ name: "rows", sql: "SELECT a FROM t" });
    await one.exec({ sql: "INSERT INTO t VALUES (1, 'x')" });
    await expect.poll(async () => (await two.results({ name: "rows" })).at(-1), PATIENCE).toEqual([{ a: 1 }]);
    await leader.close();
    await one.exec({ sql: "INSERT INTO t VALUES (2, 'x')" });
    expect((await kindsOf(opened.slice(1))).sort()).toEqual(["follower", "leader"]);
    await expect
      .poll(async () => (await two.results({ name: "rows" })).at(-1), PATIENCE)
      .toEqual([{ a: 1 }, { a: 2 }]);
    const told = await two.results({ name: "rows" });
    expect(told, "each result once").toEqual([...new Map(told.map((r) => [JSON.stringify(r), r])).values()]);
    await one.push();
    await expectPushed(space, "SELECT a FROM t", [[1], [2]]);
    // The one that closed may come back.
    await leader.open({ space });
    expect(await leader.query({ sql: "SELECT count(*) AS n FROM t" })).toEqual([{ n: 2 }]);
    await closeAll(opened);
  });

  it("lets a transaction of another tab come to its end when it closes", async (context) => {
    const { opened } = await openTabs(context, 2);
    const [leader, one] = pagesOf(opened);
    await one.beginTransaction({ sql: "INSERT INTO t VALUES (1, 'x')" });
    const closing = leader.close();
    expect(await one.finish({ sql: "INSERT INTO t VALUES (2, 'x')" })).toBe("done");
    await closing;
    expect(await one.query({ sql: "SELECT a FROM t" })).toEqual([{ a: 1 }, { a: 2 }]);
    expect((await one.status()).tab).toBe("leader");
    await closeAll(opened);
  });

  for (const [how, end, kind, isRare] of [
    ["is closed", (tab: Tab) => tab.close(), "opfs", true],
    ["crashes", crash, "opfs", false],
    ["is closed", (tab: Tab) => tab.close(), "indexeddb", false],
    ["crashes", crash, "indexeddb", true],
  ] as const) {
    it(`${how} in the middle of writes (${kind}): every acknowledged commit is there, exactly once`, async (context) => {
      if (isRare) onDemand(context);
      const storage = { name: `${kind}-${freshSpace()}`, kind };
      const { space, opened } = await openTabs(context, 3, { storage });
      const [leader, one, two] = pagesOf(opened);
      await leader.writeOn({ by: "leader" });
      await one.writeOn({ by: "one" });
      await two.writeOn({ by: "two" });
      for (const page of [leader, one, two])
        await expect
          .poll(async () => (await page.written()).acknowledged.length, PATIENCE)
          .toBeGreaterThan(20);
      // What the leader itself was told before, which its end does not take back.
      const before = (await leader.written()).acknowledged;
      await end(opened[0]!.tab);
      const at = (await two.written()).acknowledged.length;
      await expect
        .poll(async () => (await two.written()).acknowledged.length, PATIENCE)
        .toBeGreaterThan(at + 20);
      await one.stop();
      await two.stop();
      expect((await kindsOf(opened.slice(1))).sort()).toEqual(["follower", "leader"]);
      for (const [who, { acknowledged, failures }] of [
        ["one", await one.written()],
        ["two", await two.written()],
      ] as const) {
        const there = (await one.query({ sql: `SELECT n FROM log WHERE who = '${who}' ORDER BY n` })).map(
          ({ n }) => n as number,
        );
        expect(
          acknowledged.filter((n) => !there.includes(n)),
          `acknowledged to ${who} and lost`,
        ).toEqual([]);
        // At most the one statement that was under way, which says so.
        expect(failures.length).toBeLessThanOrEqual(1);
        for (const failure of failures)
          expect(failure).toMatchObject({ code: "unavailable", details: { outcome: "unknown" } });
      }
      const [{ n } = { n: 0 }] = await one.query({
        sql: `SELECT count(*) AS n FROM log WHERE who = 'leader' AND n <= ${before.at(-1)}`,
      });
      expect(n).toBe(before.length);
      expect(await one.query({ sql: "PRAGMA integrity_check" })).toEqual([{ integrity_check: "ok" }]);
      await one.push();
      await expectPushed(space, "SELECT count(*) > 60 FROM log", [[1]]);
      await closeAll(opened.slice(1));
    });
  }

  it("is closed: open transactions and iterations end with the reason, views of the past and reads go on", async (context) => {
    const { opened } = await openTabs(context, 2);
    const [, one] = pagesOf(opened);
    await one.exec({
      sql: "INSERT INTO t WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 500) SELECT i, 'x' FROM c",
    });
    const lsn = await one.push();
    await one.viewAt({ lsn });
    expect(await one.iterateFirst({ sql: "SELECT a FROM t" })).toEqual({ a: 1 });
    await one.beginTransaction({ sql: "DELETE FROM t" });
    await opened[0]!.tab.close();
    expect(await one.finish({ sql: "INSERT INTO t VALUES (1000, 'x')" })).toMatchObject({
      code: "unavailable",
      details: { outcome: "rolled back" },
    });
    expect(await one.iterateRest()).toMatchObject({ code: "unavailable", details: { outcome: "cut off" } });
    expect(await one.query({ sql: "SELECT count(*) AS n FROM t" })).toEqual([{ n: 500 }]);
    expect(await one.queryView({ sql: "SELECT count(*) AS n FROM t" })).toEqual([{ n: 500 }]);
    await closeAll(opened.slice(1));
  });

  it("dies under a query that waits for pages: the query is run again by the next one", async (context) => {
    const site = await browser.site();
    const space = `imported-${freshSpace()}`;
    const leader = await openTab(context, { space, tag: "words", create: false });
    const one = await openTab(context, { space, tag: "words", create: false });
    expect((await one.page.status()).tab).toBe("follower");
    let held = 0;
    const serve = site.intervene;
    let letGo: () => void = () => {};
    const gate = new Promise<void>((resolve) => {
      letGo = resolve;
    });
    site.intervene = async (request) => {
      if (request.space === space && request.method === "GET") {
        held++;
        await gate;
      }
      return serve?.(request);
    };
    try {
      await one.page.start({ name: "sum", sql: "SELECT sum(n) FROM words" });
      await expect.poll(() => held, PATIENCE).toBeGreaterThan(0);
      await leader.tab.close();
      letGo();
      expect(await one.page.outcomeOf({ name: "sum" })).toBe("done");
      expect((await one.page.status()).tab).toBe("leader");
    } finally {
      letGo();
      site.intervene = serve;
    }
    await one.tab.close();
  });

  it("loses its worker: SQL goes on in this tab or another", async (context) => {
    const { opened } = await openTabs(context, 2);
    const [leader, one] = pagesOf(opened);
    await one.exec({ sql: "INSERT INTO t VALUES (1, 'x')" });
    const [worker] = opened[0]!.tab.watched.page
      .workers()
      .filter((each) => each.url().includes("sql-worker-browser"));
    await worker?.evaluate("close()");
    for (const page of [leader, one])
      expect(await page.query({ sql: "SELECT a FROM t" })).toEqual([{ a: 1 }]);
    expect((await kindsOf(opened)).sort()).toEqual(["follower", "leader"]);
    await closeAll(opened);
  });

  it("does not answer, as one that the browser froze: the others are told so, and go on when it wakes up", async (context) => {
    onDemand(context);
    const { opened } = await openTabs(context, 2);
    const [, one] = pagesOf(opened);
    const chromium = await requireChromium(context);
    const session = await chromium.context.newCDPSession(opened[0]!.tab.watched.page);
    // A browser freezes only what has long been in the background; a page that stands in the debugger does as little.
    await session.send("Debugger.enable");
    await session.send("Debugger.pause");
    await expect(one.query({ sql: "SELECT count(*) AS n FROM t" })).rejects.toMatchObject({
      code: "unavailable",
      message: expect.stringContaining("frozen"),
    });
    await session.send("Debugger.resume");
    expect(await one.query({ sql: "SELECT count(*) AS n FROM t" })).toEqual([{ n: 0 }]);
    await closeAll(opened);
  });
});

for (const { bridge, site } of [
  { bridge: "shared-memory", site: isolated },
  { bridge: "sync-xhr", site: browser },
] as const) {
  describe(`over the ${bridge} bridge, which stops the thread that all tabs share`, () => {
    it("each tab interrupts its own statements", async (context) => {
      if (bridge === "shared-memory") onDemand(context);
      const space = freshSpace();
      const opened = [
        await openTab(context, { space, bridge }, site),
        await openTab(context, { space, bridge }, site),
      ];
      for (const { page } of opened) expect(await page.interrupt()).toEqual(["aborted", { a: 1 }]);
      await closeAll(opened);
    });

    it("tabs read, fault, and wait for one another's transactions", async (context) => {
      if (bridge === "shared-memory") onDemand(context);
      const space = `imported-${freshSpace()}`;
      const options = { space, tag: "words", create: false, bridge };
      const one = await openTab(context, options, site);
      const two = await openTab(context, options, site);
      expect(await two.page.status()).toMatchObject({ tab: "follower", bridge });
      const sums = [one, two, one, two].map(({ page }) =>
        page.query({ sql: "SELECT sum(n) AS s FROM words" }),
      );
      for (const rows of await Promise.all(sums)) expect(rows).toEqual([{ s: SUM }]);
      for (const [holder, waiter] of [
        [one, two],
        [two, one],
      ] as const) {
        await holder.page.beginTransaction({ sql: "UPDATE words SET n = n + 1 WHERE id = 1" });
        await waiter.page.start({ name: "write", sql: "UPDATE words SET n = n + 1 WHERE id = 2" });
        // The thread that runs both is free meanwhile.
        expect(await waiter.page.status()).toMatchObject({ inTransaction: false });
        expect(await holder.page.finish({})).toBe("done");
        expect(await waiter.page.outcomeOf({ name: "write" })).toBe("done");
      }
      expect(await one.page.query({ sql: "SELECT sum(n) AS s FROM words" })).toEqual([{ s: SUM + 4 }]);
      await one.tab.close();
      expect(await two.page.query({ sql: "SELECT sum(n) AS s FROM words" })).toEqual([{ s: SUM + 4 }]);
      expect(await two.page.status()).toMatchObject({ tab: "leader", bridge });
      await two.tab.close();
    });
  });
}

describe("what tabs do not share", () => {
  it("memory: each tab is on its own", async (context) => {
    const { space } = { space: freshSpace() };
    const opened = [
      await openTab(context, { space, storage: "memory" }),
      await openTab(context, { space, storage: "memory" }),
    ];
    for (const { page } of opened) expect(await page.status()).toMatchObject({ storage: "memory" });
    await closeAll(opened);
    await expect(openTab(context, { space, storage: "memory", tabs: true })).rejects.toMatchObject({
      code: "invalid",
    });
  });

  it("with `tabs: false` a second tab is told that the storage is in use", async (context) => {
    const space = freshSpace();
    const one = await openTab(context, { space, tabs: false });
    await expect(openTab(context, { space, tabs: false })).rejects.toMatchObject({ code: "busy" });
    await one.page.close();
    const two = await openTab(context, { space, tabs: false });
    await closeAll([one, two]);
  });
});
