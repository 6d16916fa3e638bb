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

interface Bucket {
  tokens: number;
  filledAt: number;
}

export class RateLimiter {
  readonly #buckets = new Map<string, Bucket>();
  readonly #perMs: number;
  readonly #burst: number;
  readonly #maxCallers: number;
  readonly #runtime: Pick<Runtime, "monotonic">;

  constructor(options: RateLimitOptions) {
    this.#perMs = options.perSecond / 1000;
    this.#burst = Math.max(1, options.burst ?? options.perSecond * 2);
    this.#maxCallers = options.maxCallers ?? 50_000;
    this.#runtime = options.runtime;
  }

  /** 0 where the caller may go on, else the milliseconds after which it may. */
  take(caller: string): number {
    const now = this.#runtime.monotonic();
    const bucket = this.#buckets.get(caller) ?? { tokens: this.#burst, filledAt: now };
    bucket.tokens = Math.min(this.#burst, bucket.tokens + (now - bucket.filledAt) * this.#perMs);
    bucket.filledAt = now;
    // Set anew, it is the last in the order of the map: the first is the one to forget.
    this.#buckets.delete(caller);
    this.#buckets.set(caller, bucket);
    if (this.#buckets.size > this.#maxCallers) {
      for (const oldest of this.#buckets.keys()) {
        this.#buckets.delete(oldest);
        break;
      }
    }
    if (bucket.tokens < 1) return Math.max(1, Math.ceil((1 - bucket.tokens) / this.#perMs));
    bucket.tokens -= 1;
    return 0;
  }

  /** Callers remembered now. */
  get size(): number {
    return this.#buckets.size;
  }
}
