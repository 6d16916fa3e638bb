/**
 * The cases that run in browsers, in Node: over HTTP from the same site, with the bridges that this Node has. Where it cannot suspend WebAssembly only on demand:
 * test/vfs is about the same then, and Chromium runs them all.
 */
import { afterAll, beforeAll, describe, it } from "vitest";
import { Database } from "../../vfs/index.ts";
import { canSuspend } from "../../vfs/sqlite/thunks.ts";
import { wantsMore } from "../more.ts";
import { bundleWorker } from "../vfs/bundle.ts";
import * as sql from "./pages/sql.ts";
import type { SqlRun } from "./pages/sql-run.ts";
import { Site } from "./site.ts";
import { serveSqlCases } from "./sql-site.ts";

let site: Site;
let workerUrl: URL;

beforeAll(async () => {
  site = await Site.start();
  await serveSqlCases(site);
  workerUrl = await bundleWorker("vfs/worker/node-worker.ts");
});
afterAll(() => site.close());

/** The same way of running SQL, on this process's threads. */
function inNode(run: SqlRun): SqlRun {
  return {
    ...run,
    origin: () => site.origin,
    open: (store, name, options) => Database.open(store, name, options),
    options: () => ({ ...run.options(), workerUrl }),
  };
}

const wanted = canSuspend() || wantsMore;

for (const run of sql.runs) {
  describe("in Node", () => {
    if (!wanted) {
      it(run.name, (context) => context.skip("runs on a Node with JSPI, or with PAGEFOLD_TEST_MORE=1"));
    } else if (run.bridge === "sync-xhr") {
      it(run.name, (context) => context.skip("Node has no synchronous XMLHttpRequest"));
    } else if (run.bridge === "jspi" && !canSuspend()) {
      it(run.name, (context) => context.skip(`Node ${process.version} cannot suspend WebAssembly (JSPI)`));
    } else sql.suiteOf(inNode(run))({ describe, it });
  });
}
