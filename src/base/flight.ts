/**
 * One piece of shared work with counted waiters: any number of callers join it, each may leave by its own signal without harm to
 * the others, and only when the last one has left is the work itself aborted.
 */
import { abortedError } from "./errors.ts";

export class Flight<T> {
  readonly #controller = new AbortController();
  readonly #result: Promise<T>;
  readonly #what: string;
  #waiters = 0;
  #settled = false;

  /** Starts the work at once. `what` names it in the error of a caller that leaves. */
  constructor(what: string, work: (signal: AbortSignal) => Promise<T>) {
    this.#what = what;
    this.#result = work(this.#controller.signal).finally(() => {
      this.#settled = true;
    });
    // A failure belongs to those who joined; without any it must not count as unhandled.
    this.#result.catch(() => {});
  }

  /** True when every waiter has left: nobody may join any more. */
  get abandoned(): boolean {
    return this.#controller.signal.aborted;
  }

  async join(signal?: AbortSignal): Promise<T> {
    if (signal?.aborted) {
      this.#abandonIfUnwanted();
      throw abortedError(this.#what, signal.reason);
    }
    this.#waiters++;
    let onAbort: (() => void) | undefined;
    try {
      if (signal === undefined) return await this.#result;
      const left = new Promise<never>((_, reject) => {
        onAbort = () => reject(abortedError(this.#what, signal.reason));
        signal.addEventListener("abort", onAbort, { once: true });
      });
      return await Promise.race([this.#result, left]);
    } finally {
      if (onAbort !== undefined) signal?.removeEventListener("abort", onAbort);
      this.#waiters--;
      this.#abandonIfUnwanted();
    }
  }

  #abandonIfUnwanted(): void {
    if (this.#waiters === 0 && !this.#settled) this.#controller.abort(abortedError(this.#what));
  }
}
