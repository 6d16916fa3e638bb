/**
 * The three hashes of the format: BLAKE3-256 for what is chained, BLAKE3-128 for frames, BLAKE3 keyed and truncated to 128 bits for
 * page digests; and xxh64 for local slots. WebAssembly is loaded once; after that every call is synchronous and reuses its instance.
 */
import createXxhash from "xxhash-wasm";
import { assert } from "../base/assert.ts";
import type { FrameHash, Hash, PageIdx } from "../base/brand.ts";
import { Blake3 } from "./blake3.ts";
import { concatBytes, toHex } from "./bytes.ts";
import { isZeroPage } from "./checksum.ts";

/** Bytes of a page digest and of a frame hash. */
export const DIGEST_BYTES = 16;
/** Bytes of a chained hash. */
export const HASH_BYTES = 32;
/** Bytes of a volume's digest seed. */
export const DIGEST_SEED_BYTES = 16;

/** Page digests under one seed. */
export interface PageDigester {
  /** Writes the 16-byte digest of a page to `out` at `outOffset`: sixteen zeros for an all-zero page (FORMAT.md, "Page digest"). */
  digestInto(page: PageIdx, bytes: Uint8Array, out: Uint8Array, outOffset: number): void;
}

export interface Hasher {
  /** BLAKE3-256 of the parts one after the other. */
  blake3(...parts: Uint8Array[]): Hash;
  /** BLAKE3 truncated to 128 bits. */
  frameHash(bytes: Uint8Array): FrameHash;
  /** XXH64 with an optional seed, for checks that never leave this machine. */
  xxh64(bytes: Uint8Array, seed?: bigint): bigint;
  /** The digester of a volume family; `seed` is the manifest's 16 bytes. Cheap: one short hash. */
  pageDigests(seed: Uint8Array): PageDigester;
}

const KEY_CONTEXT = new TextEncoder().encode("pagefold v1 page digest key\0");

let loading: Promise<Hasher> | undefined;

/** Loads the hashes, once per process; a failed load is tried again by the next call. */
export function loadHasher(): Promise<Hasher> {
  loading ??= createHasher().catch((error: unknown) => {
    loading = undefined;
    throw error;
  });
  return loading;
}

async function createHasher(): Promise<Hasher> {
  const [hash, xxhash] = await Promise.all([Blake3.load(), createXxhash()]);
  const whole = new Uint8Array(HASH_BYTES);

  const blake3 = (...parts: Uint8Array[]): Hash => {
    hash.init();
    for (const part of parts) hash.update(part);
    hash.digestInto(whole, 0, HASH_BYTES);
    return toHex(whole, 0, HASH_BYTES) as Hash;
  };

  const frameHash = (bytes: Uint8Array): FrameHash => {
    hash.init().update(bytes).digestInto(whole, 0, DIGEST_BYTES);
    return toHex(whole, 0, DIGEST_BYTES) as FrameHash;
  };

  const pageDigests = (seed: Uint8Array): PageDigester => {
    assert(seed.length === DIGEST_SEED_BYTES, `a digest seed of ${seed.length} bytes`);
    const key = new Uint8Array(HASH_BYTES);
    hash
      .init()
      .update(concatBytes([KEY_CONTEXT, seed]))
      .digestInto(key, 0, HASH_BYTES);
    const index = new Uint8Array(8);
    const indexView = new DataView(index.buffer);
    return {
      digestInto(page, bytes, out, outOffset) {
        if (isZeroPage(bytes)) {
          out.fill(0, outOffset, outOffset + DIGEST_BYTES);
          return;
        }
        indexView.setUint32(0, page, true);
        hash.init(key).update(bytes).update(index).digestInto(out, outOffset, DIGEST_BYTES);
      },
    };
  };

  return { blake3, frameHash, xxh64: (bytes, seed) => xxhash.h64Raw(bytes, seed), pageDigests };
}
