/**
 * A deterministic Runtime for simulations: randomness from a seed, and a clock that stands still while anything is left to do and
 * jumps to the next timer when only sleepers are left. So retries and pauses cost no real time, and the same seed gives the same run.
 */
import type { TimeMs } from "../../src/base/brand.ts";
import type { Runtime } from "../../src/base/runtime.ts";
import { seededRandom } from "../local/xxh64.ts";

interface Timer {
  readonly at: number;
  readonly order: number;
  readonly wake: () => void;
}

/** An arbitrary day, so that ids and commit times look like real ones. */
const EPOCH_MS = 1_767_225_600_000;

export class SimRuntime implements Runtime {
  readonly #random: () => number;
  #now = 0;
  #timers: Timer[] = [];
  #order = 0;
  #pumping = false;

  constructor(seed: number) {
    this.#random = seededRandom(seed);
  }

  now(): TimeMs {
    return (EPOCH_MS + Math.floor(this.#now)) as TimeMs;
  }

  monotonic(): number {
    return this.#now;
  }

  random(): number {
    return this.#random();
  }

  randomBytes(bytes: Uint8Array): Uint8Array {
    for (let i = 0; i < bytes.length; i++) bytes[i] = Math.floor(this.#random() * 256);
    return bytes;
  }

  /** Moves the clock by hand; timers that are due then fire when the event loop turns. */
  advance(ms: number): void {
    this.#now += ms;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const timer: Timer = {
        at: this.#now + Math.max(0, ms),
        order: this.#order++,
        wake: () => {
          signal?.removeEventListener("abort", onAbort);
          resolve();
        },
      };
      const onAbort = () => {
        this.#timers = this.#timers.filter((other) => other !== timer);
        reject(signal?.reason);
      };
      signal?.addEventListener("abort", onAbort, { once: true });
      this.#timers.push(timer);
      this.#pump();
    });
  }

  /** Wakes the next sleeper once everything that could run without it has run. */
  #pump(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    setImmediate(() => {
      this.#pumping = false;
      this.#timers.sort((a, b) => a.at - b.at || a.order - b.order);
      const next = this.#timers.shift();
      if (next === undefined) return;
      this.#now = Math.max(this.#now, next.at);
      next.wake();
      if (this.#timers.length > 0) this.#pump();
    });
  }
}
