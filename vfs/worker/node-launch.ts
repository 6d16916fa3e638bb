/** Node as a platform: SQL workers are threads, stores are opened by URL, local state is a directory. */
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { type TransferListItem, Worker } from "node:worker_threads";
import { PagefoldError } from "../../src/base/errors.ts";
import { openObjectStore } from "../../src/node/index.ts";
import { releaseLockOfThread } from "../../src/node/process-lock.ts";
import type { Platform, SqlWorker } from "./launch.ts";
import { openEngine } from "./open-engine.ts";

export const nodePlatform: Platform = {
  launchWorker: launchNodeWorker,
  openAddress: ({ url, ...place }) => openObjectStore(url, place),
  openEngine,
};

function launchNodeWorker(url: URL = workerScript()): SqlWorker {
  const worker = new Worker(url, { name: "pagefold-sql" });
  const { threadId } = worker;
  let local: string | undefined;
  let failure: unknown;
  worker.on("error", (error) => {
    failure = error;
  });
  // Before anybody is told, so that the database can be opened again at once.
  worker.once("exit", () => {
    try {
      if (local !== undefined) releaseLockOfThread(local, threadId);
    } catch (error) {
      failure ??= error;
    }
  });
  return {
    start: (setup) => {
      local = setup.engine.local?.path;
      const ports = [setup.control, setup.store, setup.ranges].filter((port) => port !== undefined);
      worker.postMessage(setup, ports as unknown as TransferListItem[]);
    },
    onEnd: (listener) => worker.once("exit", () => listener(failure)),
    terminate: async () => {
      await worker.terminate();
    },
  };
}

/** The built script: beside this module in the package, in `dist` when running from source. */
function workerScript(): URL {
  const places = [
    new URL("./sql-worker.js", import.meta.url),
    new URL("../../dist/sql-worker.js", import.meta.url),
  ];
  const found = places.find((place) => existsSync(fileURLToPath(place)));
  if (found !== undefined) return found;
  throw new PagefoldError(
    "invalid",
    `the script of the SQL worker is not where it should be (${places.map(String).join(" or ")}); build the package, or give workerUrl`,
  );
}
