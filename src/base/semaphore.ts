/** A fair counting semaphore; with one permit it is the fair queue of a mutex. */
import { abortedError } from "./errors.ts";

export class Semaphore {
  #free: number;
  readonly #queue: (() => void)[] = [];
  readonly #what: string;

  /** `what` names the thing waited for in the error of a caller whose signal fires. */
  constructor(permits: number, what: string) {
    this.#free = permits;
    this.#what = what;
  }

  /** A permit at once, or undefined where none is free; never ahead of those who wait. */
  tryAcquire(): (() => void) | undefined {
    if (this.#free === 0) return undefined;
    this.#free--;
    return this.#releaseOnce();
  }

  /** Waits for a permit, first come first served; call the result exactly once to give it back. */
  async acquire(signal?: AbortSignal): Promise<() => void> {
    if (signal?.aborted) throw abortedError(`waiting for ${this.#what}`, signal.reason);
    if (this.#free > 0) {
      this.#free--;
    } else {
      await new Promise<void>((resolve, reject) => {
        const onAbort = () => {
          const i = this.#queue.indexOf(granted);
          if (i !== -1) this.#queue.splice(i, 1);
          reject(abortedError(`waiting for ${this.#what}`, signal?.reason));
        };
        const granted = () => {
          signal?.removeEventListener("abort", onAbort);
          resolve();
        };
        this.#queue.push(granted);
        signal?.addEventListener("abort", onAbort, { once: true });
      });
    }
    return this.#releaseOnce();
  }

  #releaseOnce(): () => void {
    let released = false;
    return () => {
      if (released) return;
      released = true;
      const next = this.#queue.shift();
      if (next === undefined) this.#free++;
      else next();
    };
  }

  /** Runs `work` while holding a permit. */
  async run<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    const release = await this.acquire(signal);
    try {
      return await work();
    } finally {
      release();
    }
  }
}
