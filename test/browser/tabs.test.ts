/**
 * Several tabs of one site on one local store: one leads, the others are served by it; what happens when it closes, when it dies in the middle of writes,
 * and when the browser has frozen it.
 */
import { beforeAll, describe, expect, it } from "vitest";
import type * as tabs from "./pages/tabs.ts";
import { type Tab, type TestContext, useBrowser } from "./run-in-page.ts";
import { queryWithPlainSqlite, serveSqlCases, sqlScripts } from "./sql-site.ts";

const browser = useBrowser({ pages: ["tabs"], scripts: sqlScripts });

beforeAll(async () => serveSqlCases(await browser.site()));

let spaces = 0;
const freshSpace = (): string => `tabs-${++spaces}`;

type Page = ReturnType<Tab["module"]> & ReturnType<typeof moduleOf>;
const moduleOf = (tab: Tab) => tab.module<typeof tabs>("tabs", { timeoutMs: 60_000 });

interface Opened {
  readonly tab: Tab;
  readonly page: Page;
}

async function openTab(context: TestContext, options: tabs.OpenArguments): Promise<Opened> {
  const tab = await browser.open(context);
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

const closeAll = (opened: readonly Opened[]) => Promise.all(opened.map(({ tab }) => tab.close()));
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
});
