/** A browser as a platform: SQL workers are module workers; stores are objects of the application. */
import { PagefoldError } from "../../src/base/errors.ts";
import { openBrowserEngine } from "./browser-engine.ts";
import type { Platform, SqlWorker } from "./launch.ts";

/** What this needs of the DOM. */
interface BrowserWorker {
  postMessage(message: unknown, transfer: Transferable[]): void;
  addEventListener(type: "error", listener: (event: { readonly message?: string }) => void): void;
  terminate(): void;
}
declare const Worker: new (
  url: URL,
  options: { readonly type: "module"; readonly name: string },
) => BrowserWorker;

export const browserPlatform: Platform = {
  launchWorker: launchBrowserWorker,
  openAddress: async ({ url }) => {
    throw new PagefoldError(
      "invalid",
      `a browser cannot open ${url} by its address; give an ObjectStore that reads from there`,
    );
  },
  openEngine: openBrowserEngine,
};

function launchBrowserWorker(url?: URL): SqlWorker {
  const options = { type: "module", name: "pagefold-sql" } as const;
  // Bundlers look for this very expression.
  const worker =
    url === undefined
      ? new Worker(new URL("./sql-worker-browser.js", import.meta.url), options)
      : new Worker(url, options);
  let tell: (error: unknown) => void = () => {};
  worker.addEventListener("error", ({ message }) =>
    tell(
      new Error(
        message === undefined || message === "" ? "the worker's script could not be loaded" : message,
      ),
    ),
  );
  return {
    start: (setup) => {
      const ports = [setup.control, setup.store, setup.ranges].filter((port) => port !== undefined);
      worker.postMessage(setup, ports);
    },
    onEnd: (listener) => {
      tell = (error) => {
        tell = () => {};
        listener(error);
      };
    },
    terminate: async () => {
      worker.terminate();
      tell(undefined);
    },
  };
}
