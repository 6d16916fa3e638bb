/**
 * The three hashes of the format: BLAKE3-256 for what is chained, BLAKE3-128 for frames, BLAKE3 keyed and truncated to 128 bits for
 * page digests; and xxh64 for local slots. WebAssembly is loaded once; after that every call is synchronous and reuses its instance.
 */
import { createBLAKE3 } from "hash-wasm";
import createXxhash from "xxhash-wasm";
import { assert } from "../base/assert.ts";
import type { FrameHash, Hash, PageIdx } from "../base/brand.ts";
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
/** BLAKE3-128 of ten zero bytes under a key of thirty-two sevens: proves that the keyed instance takes a new key at `init`. */
const KEYED_SELF_TEST = "97724bae7ffe322b1fcbca4f6c089545";

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
  // The keyed instance reads this buffer at every init: changing the bytes changes the key.
  const key = new Uint8Array(HASH_BYTES);
  const [plain, keyed, xxhash] = await Promise.all([
    createBLAKE3(256),
    createBLAKE3(8 * DIGEST_BYTES, key),
    createXxhash(),
  ]);
  key.fill(7);
  assert(
    keyed.init().update(new Uint8Array(10)).digest() === KEYED_SELF_TEST,
    "hash-wasm no longer re-reads its key",
  );
  let keyOwner: PageDigester | undefined;

  const blake3 = (...parts: Uint8Array[]): Hash => {
    plain.init();
    for (const part of parts) plain.update(part);
    return plain.digest() as Hash;
  };

  const frameHash = (bytes: Uint8Array): FrameHash =>
    toHex(plain.init().update(bytes).digest("binary"), 0, DIGEST_BYTES) as FrameHash;

  const pageDigests = (seed: Uint8Array): PageDigester => {
    assert(seed.length === DIGEST_SEED_BYTES, `a digest seed of ${seed.length} bytes`);
    const ownKey = plain
      .init()
      .update(concatBytes([KEY_CONTEXT, seed]))
      .digest("binary");
    const index = new Uint8Array(8);
    const indexView = new DataView(index.buffer);
    const digester: PageDigester = {
      digestInto(page, bytes, out, outOffset) {
        if (isZeroPage(bytes)) {
          out.fill(0, outOffset, outOffset + DIGEST_BYTES);
          return;
        }
        if (keyOwner !== digester) {
          key.set(ownKey);
          keyOwner = digester;
        }
        indexView.setUint32(0, page, true);
        out.set(keyed.init().update(bytes).update(index).digest("binary"), outOffset);
      },
    };
    return digester;
  };

  return { blake3, frameHash, xxh64: (bytes, seed) => xxhash.h64Raw(bytes, seed), pageDigests };
}
