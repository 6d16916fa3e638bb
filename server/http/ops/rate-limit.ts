/**
 * A token bucket per caller: so many requests a second on average, and a burst at once. Callers are remembered up to a number; whoever was
 * heard of longest ago is forgotten first and begins with a full bucket again.
 */
import type { Runtime } from "../../../src/base/runtime.ts";

export interface RateLimitOptions {
  readonly perSecond: number;
  /** Requests that may come at once; default: those of two seconds, at least 1. */
  readonly burst?: number;
  /** Callers remembered; default 50,000. */
  readonly maxCallers?: number;
  readonly runtime: Pick<Runtime, "monotonic">;
}

export class RateLimiter {
  /** When each caller's bucket is full again: that alone says how full it is now. */
  readonly #fullAt = new Map<string, number>();
  readonly #intervalMs: number;
  readonly #depthMs: number;
  readonly #maxCallers: number;
  readonly #runtime: Pick<Runtime, "monotonic">;

  constructor(options: RateLimitOptions) {
    const burst = Math.max(1, options.burst ?? options.perSecond * 2);
    this.#intervalMs = 1000 / options.perSecond;
    this.#depthMs = (burst - 1) * this.#intervalMs;
    this.#maxCallers = options.maxCallers ?? 50_000;
    this.#runtime = options.runtime;
  }

  /** 0 where the caller may go on, else the milliseconds after which it may. */
  take(caller: string): number {
    const now = this.#runtime.monotonic();
    const fullAt = Math.max(now, this.#fullAt.get(caller) ?? now);
    const waitMs = Math.ceil(fullAt - now - this.#depthMs);
    // Set anew, it is the last in the order of the map: the first is the one to forget.
    this.#fullAt.delete(caller);
    this.#fullAt.set(caller, waitMs > 0 ? fullAt : fullAt + this.#intervalMs);
    if (this.#fullAt.size > this.#maxCallers) {
      const [oldest = ""] = this.#fullAt.keys();
      this.#fullAt.delete(oldest);
    }
    return Math.max(0, waitMs);
  }

  /** Callers remembered now. */
  get size(): number {
    return this.#fullAt.size;
  }
}
