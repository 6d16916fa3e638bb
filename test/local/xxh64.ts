/** The hash that the local floor takes, from `xxhash-wasm`; and a seed that a failing run prints. */
import xxhash from "xxhash-wasm";
import type { TimeMs } from "../../src/base/brand.ts";
import type { Runtime } from "../../src/base/runtime.ts";
import type { Xxh64 } from "../../src/local/xxh64.ts";

const api = await xxhash();

export const xxh64: Xxh64 = { xxh64: (bytes, seed) => api.h64Raw(bytes, seed) };

/** From PAGEFOLD_TEST_SEED, else fixed. */
export const testSeed = Number(process.env.PAGEFOLD_TEST_SEED ?? 42);

/** Numbers in [0, 1) from a seed (mulberry32). */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** A runtime whose clock stands still and whose randomness is seeded. */
export function seededRuntime(seed: number): Runtime {
  const random = seededRandom(seed);
  return {
    now: () => 0 as TimeMs,
    monotonic: () => 0,
    sleep: async () => {},
    random,
    randomBytes: (bytes) => {
      for (let i = 0; i < bytes.length; i++) bytes[i] = Math.floor(random() * 256);
      return bytes;
    },
  };
}
