import type { TimeMs } from "./brand.ts";

/**
 * Clock, timers and randomness, passed in so that a seeded simulation can run the whole engine. Nothing in the core calls
 * `Date.now`, `Math.random`, `crypto` or `setTimeout` but the system runtime below.
 */
export interface Runtime {
  /** Wall clock, for commit times and new ids. */
  now(): TimeMs;
  /** Monotonic milliseconds, for durations. */
  monotonic(): number;
  /** Resolves after `ms`; rejects with the signal's reason when it fires first. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /** Fills `bytes` with unpredictable (in simulations: seeded) values and returns it. */
  randomBytes(bytes: Uint8Array): Uint8Array;
  /** Uniform in [0, 1): jitter only, never ids. */
  random(): number;
}

/** The platform's own clock, timers and randomness (Node 20+, browsers, workers). */
export const systemRuntime: Runtime = {
  now: () => Date.now() as TimeMs,
  monotonic: () => performance.now(),
  sleep: (ms, signal) =>
    new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const onAbort = () => {
        clearTimeout(timer);
        reject(signal?.reason);
      };
      const timer = setTimeout(() => {
        signal?.removeEventListener("abort", onAbort);
        resolve();
      }, ms);
      signal?.addEventListener("abort", onAbort, { once: true });
    }),
  randomBytes: (bytes) => crypto.getRandomValues(bytes as Uint8Array<ArrayBuffer>),
  random: () => Math.random(),
};
