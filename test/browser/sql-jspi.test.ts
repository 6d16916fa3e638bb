/** SQL in a real browser that suspends WebAssembly: in a worker and on the page's own thread, without any special headers. */
import { beforeAll } from "vitest";
import * as sql from "./pages/sql.ts";
import { pageSuite, useBrowser } from "./run-in-page.ts";
import { serveSqlCases, sqlScripts } from "./sql-site.ts";

const browser = useBrowser({ pages: ["sql"], scripts: sqlScripts });

beforeAll(async () => serveSqlCases(await browser.site()));

/** What takes long and goes the same way on either thread. */
const long = /invariant 10|in the middle of a (query|change) |fault all at once/;

for (const run of sql.runs.filter(({ bridge }) => bridge === "jspi"))
  pageSuite(browser, "sql", sql.suiteOf(run), { isRare: (name) => !run.worker && long.test(name) });
