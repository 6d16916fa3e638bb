/** SQL in a page: the cases of the suite, for every way of running it that a browser has. `sql.test.ts` asks for those that its sites allow. */

import type { BridgeKind } from "../../../vfs/bridge/bridge.ts";
import { Database } from "../../../vfs/browser.ts";
import type { TestApi } from "../../contracts/object-store.ts";
import { faultCases } from "./sql-cases-faults.ts";
import { localCases } from "./sql-cases-local.ts";
import { residentCases } from "./sql-cases-resident.ts";
import { signalCases } from "./sql-cases-signals.ts";
import { syncCases } from "./sql-cases-sync.ts";
import { instanceCases } from "./sql-instance.ts";
import type { SqlRun } from "./sql-run.ts";

function browserRun(name: string, bridge: BridgeKind, worker: boolean, more: Partial<SqlRun> = {}): SqlRun {
  return {
    name,
    bridge,
    worker,
    origin: () => location.origin,
    open: (store, tag, options) => Database.open(store, tag, options),
    options: () => ({ bridge, worker }),
    ...more,
  };
}

export const runs: readonly SqlRun[] = [
  browserRun("jspi, worker", "jspi", true),
  browserRun("jspi, page", "jspi", false),
  browserRun("shared-memory, worker", "shared-memory", true),
  browserRun("sync-xhr, worker", "sync-xhr", true),
  browserRun("resident-only, worker", "resident-only", true),
  browserRun("resident-only, page", "resident-only", false),
];

/** The cases of one way, under its name. */
export function suiteOf(run: SqlRun): (api: TestApi) => void {
  return (api) =>
    api.describe(run.name, () => {
      // A page that nothing suspends hears nothing while it computes: there is nothing to interrupt it with.
      if (run.bridge === "resident-only" && !run.worker) return residentCases(api, run);
      // What touches no store goes the same way over each bridge that stops its thread.
      if (run.bridge === "jspi" || run.bridge === "shared-memory") localCases(api, run);
      signalCases(api, run);
      if (run.bridge === "resident-only") return residentCases(api, run);
      faultCases(api, run);
      syncCases(api, run);
      if (!run.worker) instanceCases(api, run);
    });
}

export function suite(api: TestApi): void {
  for (const run of runs) suiteOf(run)(api);
}
