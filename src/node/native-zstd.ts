/** Node's own zstd, where the runtime has it (22.15, 24 and later): twice as fast as WebAssembly. */
import * as zlib from "node:zlib";
import type { NativeZstd } from "../format/codecs.ts";

interface ZstdZlib {
  zstdCompressSync(
    bytes: Uint8Array,
    options: { params: Record<number, number>; chunkSize: number },
  ): Uint8Array;
  zstdDecompressSync(bytes: Uint8Array, options: { maxOutputLength: number }): Uint8Array;
  constants: { ZSTD_c_compressionLevel: number };
}

/**
 * More than `length` bytes can take compressed, in one piece: output that fills its last chunk to the byte makes Node (24.21 at least) append
 * an empty frame of nine bytes.
 */
function compressChunk(length: number): number {
  return length + Math.ceil(length / 128) + 1024;
}

/** undefined where this runtime has none. */
export function nativeZstd(): NativeZstd | undefined {
  const native = zlib as unknown as Partial<ZstdZlib>;
  const { zstdCompressSync, zstdDecompressSync, constants } = native;
  if (zstdCompressSync === undefined || zstdDecompressSync === undefined || constants === undefined)
    return undefined;
  return {
    compress: (bytes, level) =>
      zstdCompressSync(bytes, {
        params: { [constants.ZSTD_c_compressionLevel]: level },
        chunkSize: compressChunk(bytes.length),
      }),
    decompress: (bytes, maxLength) => zstdDecompressSync(bytes, { maxOutputLength: maxLength }),
  };
}
