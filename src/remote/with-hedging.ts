/**
 * Sends a second `get` where the first is slow, and takes the answer that comes first: the slowest percent of an object
 * store's answers is ten times its median, and a fault waits for it. A budget keeps a store that is slow as a whole from
 * being asked twice for everything.
 */
import { abortedError, throwIfAborted } from "../base/errors.ts";
import { noopRecorder, type Recorder } from "../base/recorder.ts";
import type { Runtime } from "../base/runtime.ts";
import type { GetOptions, ObjectStore } from "./object-store.ts";

export interface HedgingOptions {
  readonly runtime: Runtime;
  /** How long the first request may take before the second is sent, ms: about the 95th percentile. */
  readonly delayMs: number;
  /** At most this share of all gets is sent twice (after a start-up allowance of 10). Default 0.1. */
  readonly maxShare?: number;
  /** Counts `remote.hedge.count` (second requests) and `remote.hedge.won` (those that answered first). */
  readonly recorder?: Recorder;
}

const BUDGET_MAX = 10;

export function withHedging(store: ObjectStore, options: HedgingOptions): ObjectStore {
  const { runtime, delayMs, maxShare = 0.1, recorder = noopRecorder } = options;
  let budget = BUDGET_MAX;

  function get(key: string, opts: GetOptions = {}): Promise<Uint8Array | undefined> {
    budget = Math.min(BUDGET_MAX, budget + maxShare);
    return new Promise((resolve, reject) => {
      const what = `reading ${key}`;
      throwIfAborted(opts.signal, what);
      const controllers: AbortController[] = [];
      const timer = new AbortController();
      let open = 0;
      let settled = false;

      const settle = (finish: () => void): void => {
        if (settled) return;
        settled = true;
        opts.signal?.removeEventListener("abort", onAbort);
        finish();
        timer.abort();
        for (const controller of controllers) controller.abort();
      };
      const onAbort = (): void => settle(() => reject(abortedError(what, opts.signal?.reason)));
      const send = (): void => {
        const controller = new AbortController();
        const hedge = controllers.push(controller) > 1;
        open++;
        store.get(key, { ...opts, signal: controller.signal }).then(
          (bytes) => {
            if (hedge && !settled) recorder.count("remote.hedge.won");
            settle(() => resolve(bytes));
          },
          (error: unknown) => {
            // While the other request is under way, it may still answer.
            if (--open === 0) settle(() => reject(error));
          },
        );
      };

      opts.signal?.addEventListener("abort", onAbort, { once: true });
      send();
      runtime.sleep(delayMs, timer.signal).then(
        () => {
          if (settled || budget < 1) return;
          budget -= 1;
          recorder.count("remote.hedge.count");
          send();
        },
        () => {},
      );
    });
  }

  return {
    url: store.url,
    capabilities: store.capabilities,
    ...(store.http === undefined ? {} : { http: store.http }),
    ...(store.bundle === undefined ? {} : { bundle: store.bundle.bind(store) }),
    ...(store.watch === undefined ? {} : { watch: store.watch.bind(store) }),
    get: async (key, opts) => get(key, opts),
    put: (key, body, opts) => store.put(key, body, opts),
    list: (prefix, opts) => store.list(prefix, opts),
    delete: (keys, opts) => store.delete(keys, opts),
    close: () => store.close(),
  };
}
