/**
 * The one hash that the local floor needs, injected so that `src/local` depends on no implementation. `src/format/hash.ts`
 * provides it; tests build it from `xxhash-wasm`.
 */
export interface Xxh64 {
  /** xxHash64 of `bytes`, an unsigned 64-bit value. The seed defaults to 0. */
  xxh64(bytes: Uint8Array, seed?: bigint): bigint;
}
