/** A browser as a platform: SQL workers are module workers; stores are objects of the application. */
import { PagefoldError } from "../../src/base/errors.ts";
import { loadPart } from "../../src/base/load-part.ts";
import { openHttpStore } from "../../src/remote/http/http-object-store.ts";
import type { Platform, SqlWorker } from "./launch.ts";
import { awaitLifeLock } from "./life-lock.ts";
import type { LifeMessage, WorkerSetup } from "./messages.ts";

/** What this needs of the DOM. */
interface BrowserWorker {
  postMessage(message: unknown, transfer: Transferable[]): void;
  addEventListener(type: "error", listener: (event: { readonly message?: string }) => void): void;
  addEventListener(type: "message", listener: (event: MessageEvent<LifeMessage>) => void): void;
  terminate(): void;
}
declare const Worker: new (
  url: URL,
  options: { readonly type: "module"; readonly name: string },
) => BrowserWorker;

export const browserPlatform: Platform = {
  launchWorker: launchBrowserWorker,
  openAddress: async ({ url, auth, name }) => {
    if (!/^https?:/i.test(url)) {
      throw new PagefoldError(
        "invalid",
        `a browser cannot open ${url}; give the https: address of a Pagefold server or of a static copy of the store, or an ObjectStore`,
      );
    }
    return openHttpStore(url, {
      ...(auth === undefined ? {} : { auth }),
      ...(name === undefined ? {} : { name }),
    });
  },
  // Only where SQL runs on the page's own thread.
  openEngine: async (...call) => {
    const { openBrowserEngine } = await loadPart(() => import("./browser-engine.ts"));
    return openBrowserEngine(...call);
  },
};

/**
 * Whether Vite's server for development has put packages together anew, and moved this module to a folder of its own; before version 8, without the
 * script that it names.
 */
const MOVED = /\.vite[\w-]*\/deps[\w-]*\/.*$/;
const isMoved = MOVED.test(import.meta.url);

/** Where the script is then, if the package lies beside that folder. */
function scriptFromThere(): URL {
  return new URL(import.meta.url.replace(MOVED, "pagefold/dist/browser/sql-worker-browser.js"));
}

function launchBrowserWorker(url?: URL): SqlWorker {
  let tell: (error: unknown) => void = () => {};
  let setup: WorkerSetup | undefined;
  let isThere = !isMoved || url !== undefined;
  let worker = listenTo(newWorker(url));

  function listenTo(started: BrowserWorker): BrowserWorker {
    started.addEventListener("error", ({ message }) => {
      // It may live on, in no state to be used.
      started.terminate();
      if (!isThere) {
        isThere = true;
        worker = listenTo(newWorker(scriptFromThere()));
        send();
      } else tell(message === undefined || message === "" ? notLoaded(url) : new Error(message));
    });
    started.addEventListener("message", ({ data }) => {
      isThere = true;
      send();
      awaitLifeLock(data.lifeLock, () => tell(undefined));
    });
    return started;
  }

  /** Once: what is sent to a script that cannot be loaded is gone. */
  function send(): void {
    if (setup === undefined || !isThere) return;
    const ports = [setup.control, setup.store, setup.ranges].filter((port) => port !== undefined);
    worker.postMessage(setup, ports);
    setup = undefined;
  }

  return {
    start: (given) => {
      setup = given;
      send();
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

function newWorker(url: URL | undefined): BrowserWorker {
  // Bundlers look for this very expression, options and all.
  if (url === undefined)
    return new Worker(new URL("./sql-worker-browser.js", import.meta.url), {
      type: "module",
      name: "pagefold-sql",
    });
  return new Worker(url, { type: "module", name: "pagefold-sql" });
}

/** A browser does not say why: the address is wrong, the script or one that it imports cannot be had, or it is none. */
function notLoaded(url: URL | undefined): PagefoldError {
  const script = url?.href ?? "sql-worker-browser.js, beside the module that starts it";
  const advice =
    isMoved && url === undefined
      ? 'have Vite leave this package as it is: optimizeDeps: { exclude: ["pagefold"] } in its configuration'
      : "serve it there, or give its address as workerUrl";
  return new PagefoldError(
    "invalid",
    `the script of the SQL worker could not be loaded (${script}); ${advice}`,
  );
}
