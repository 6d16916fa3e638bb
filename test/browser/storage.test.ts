/** The storage of browsers in a real one: in a worker, where there is OPFS, and in a page, where there is IndexedDB. */
import { it } from "vitest";
import * as storage from "./pages/storage.ts";
import * as opfs from "./pages/storage-opfs.ts";
import { pageSuite, useBrowser } from "./run-in-page.ts";

const browser = useBrowser({ pages: ["storage", "storage-opfs"] });
pageSuite(browser, "storage-opfs", opfs.suite, { where: "worker" });
for (const where of ["worker", "page"] as const) pageSuite(browser, "storage", storage.suite, { where });

it("OPFS in a page is refused, and what is there is not passed over for an empty storage", async (context) => {
  const tab = await browser.open(context);
  await tab.module<typeof storage>("storage").refuseOpfsInPage();
});
