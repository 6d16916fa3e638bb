/** SQL in a real browser as one without suspension would run it: a worker that waits in shared memory, by synchronous requests, or not at all. */
import { beforeAll, describe, it } from "vitest";
import { onDemand, wantsMore } from "../more.ts";
import * as sql from "./pages/sql.ts";
import { pageSuite, useBrowser } from "./run-in-page.ts";
import { serveSqlCases, sqlScripts } from "./sql-site.ts";

const plain = useBrowser({ pages: ["sql"], scripts: sqlScripts });
const isolated = useBrowser({ pages: ["sql"], scripts: sqlScripts, isolated: true });

beforeAll(async () => {
  for (const browser of [plain, isolated]) await serveSqlCases(await browser.site());
});

for (const run of sql.runs.filter(({ bridge }) => bridge !== "jspi")) {
  // Node waits in shared memory too, and runs the same cases so.
  if (run.bridge === "shared-memory" && !wantsMore) describe("in a browser", () => it(run.name, onDemand));
  else pageSuite(run.bridge === "shared-memory" ? isolated : plain, "sql", sql.suiteOf(run));
}
