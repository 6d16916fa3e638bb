/**
 * The bridge for runtimes that can suspend WebAssembly: a fault is an ordinary asynchronous fetch, during which SQLite's stack waits and the
 * thread goes on. Works on any thread and needs no special headers.
 */
import type { FetchPlan } from "../../src/volume/fetch-plan.ts";
import type { SuspendingBridge } from "./bridge.ts";

export class JspiBridge implements SuspendingBridge {
  readonly kind = "jspi";
  readonly blocking = false;
  signal: AbortSignal | undefined;
  readonly #run: <T>(plan: FetchPlan<T>, signal?: AbortSignal) => Promise<T>;

  /** @param run carries a plan out, `PageStore.run` say */
  constructor(run: <T>(plan: FetchPlan<T>, signal?: AbortSignal) => Promise<T>) {
    this.#run = run;
  }

  run<T>(plan: FetchPlan<T>): Promise<T> {
    return this.#run(plan, this.signal);
  }
}
