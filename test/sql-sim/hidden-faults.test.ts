/** SQLite goes on after some failed reads, as if the database were damaged there: whoever asked must hear what really failed. */
import { afterEach, beforeAll, expect, it } from "vitest";
import { PagefoldError } from "../../src/base/errors.ts";
import { systemRuntime } from "../../src/base/runtime.ts";
import { MemoryObjectStore } from "../../src/remote/memory-store.ts";
import { type Fault, withFaults } from "../../src/remote/with-faults.ts";
import { Database } from "../../vfs/index.ts";
import { bundleWorker } from "../vfs/bundle.ts";
import { SCHEMA } from "./bank.ts";

const shared = new MemoryObjectStore();
let workerUrl: URL;
let reader: Database | undefined;

beforeAll(async () => {
  workerUrl = await bundleWorker("vfs/worker/node-worker.ts");
  // A page is a frame: nothing comes along with what is asked for.
  const settings = { frameBytes: 4096 };
  const writer = await Database.open(shared, "db", { create: true, workerUrl, settings });
  await writer.exec(SCHEMA);
  await writer.push();
  await writer.close();
});
afterEach(() => reader?.close());

it.each(["PRAGMA integrity_check", "PRAGMA quick_check"])(
  "%s while the store is down for a moment: unavailable, not damage",
  async (sql) => {
    const error = new PagefoldError("unavailable", "the network is down; try again", { retryable: false });
    let requests = 0;
    let down = 0;
    const plan = (): Fault | undefined => (++requests === down ? { kind: "fail-before", error } : undefined);
    const store = withFaults(shared, plan, { runtime: systemRuntime });
    // So small that every check has to fetch.
    const settings = { readAhead: undefined, memoryBytes: 8 * 4096 };
    reader = await Database.open(store, "db", { workerUrl, settings });
    for (down = 1; ; down++) {
      requests = 0;
      const answer = await reader.execute(sql).catch((error: unknown) => error);
      expect(answer, `request ${down}`).toMatchObject(
        requests < down ? { rows: [["ok"]] } : { code: "unavailable", message: error.message },
      );
      if (requests < down) break;
    }
    expect(down).toBeGreaterThan(2);
  },
);
