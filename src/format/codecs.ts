/**
 * Everything that must be loaded before bytes can be made or read: hashes and compression, in one object that the upper layers pass
 * around. After loading, all of it is synchronous.
 */
import type { ErrorDetails } from "../base/errors.ts";
import { type InflateRaw, loadCompression, type NativeZstd } from "./compress.ts";
import { type Hasher, loadHasher } from "./hash.ts";
import type { FrameCodec } from "./model.ts";

export type { InflateRaw, NativeZstd } from "./compress.ts";

export interface Codecs {
  readonly hash: Hasher;
  /** Compresses; falls back to `raw` (then `bytes` is the argument itself) where that does not gain. */
  compress(bytes: Uint8Array): { readonly codec: FrameCodec; readonly bytes: Uint8Array };
  /** Answers exactly `rawLength` bytes (for `raw`: the argument itself) or throws `corrupt`. */
  decompress(codec: FrameCodec, bytes: Uint8Array, rawLength: number, where?: ErrorDetails): Uint8Array;
}

export interface CodecOptions {
  readonly nativeZstd?: NativeZstd;
  readonly inflateRaw?: InflateRaw;
  /** zstd level, default 1. */
  readonly level?: number;
}

/** Loads hashes and compression. WebAssembly is shared by all calls; with `nativeZstd` the wasm zstd is not loaded at all. */
export async function loadCodecs(options: CodecOptions = {}): Promise<Codecs> {
  const [hash, zstd] = await Promise.all([loadHasher(), loadCompression(options)]);
  return {
    hash,
    compress(bytes) {
      const compressed = zstd.compress(bytes);
      return compressed.length < bytes.length
        ? { codec: zstd.codec, bytes: compressed }
        : { codec: "raw", bytes };
    },
    decompress: (codec, bytes, rawLength, where) => zstd.decompress(codec, bytes, rawLength, where),
  };
}
