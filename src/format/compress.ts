/**
 * zstd, native where the runtime injects it and in WebAssembly elsewhere, behind checks that make a frame's claimed size the only size
 * that it can have: the header and the chain of blocks are walked before a decompressor is let near the bytes.
 */
import type { ErrorDetails } from "../base/errors.ts";
import { corruptError, unsupportedError } from "./bytes.ts";
import { LIMITS } from "./limits.ts";
import type { FrameCodec } from "./model.ts";

/** zstd of the runtime itself (Node 24: `node:zlib`); `src/node` injects it. Both throw on failure. */
export interface NativeZstd {
  /** One frame with its content size in the header, as `ZSTD_compress` writes it. */
  compress(bytes: Uint8Array, level: number): Uint8Array;
  /** Must not produce more than `maxLength` bytes. */
  decompress(bytes: Uint8Array, maxLength: number): Uint8Array;
}

/** Raw DEFLATE of the runtime; must not produce more than `maxLength` bytes. */
export type InflateRaw = (bytes: Uint8Array, maxLength: number) => Uint8Array;

export interface Compressor {
  readonly codec: FrameCodec;
  compress(bytes: Uint8Array): Uint8Array;
}

export interface Decompressor {
  /** Throws `corrupt` unless the bytes are exactly one frame of `rawLength` bytes; `raw` frames are answered as they are. */
  decompress(codec: FrameCodec, bytes: Uint8Array, rawLength: number, where?: ErrorDetails): Uint8Array;
}

export interface ZstdOptions {
  readonly nativeZstd?: NativeZstd;
  readonly inflateRaw?: InflateRaw;
  /** Default 1: nearly all of the gain on pages at the least cost. */
  readonly level?: number;
}

let wasmZstd: Promise<NativeZstd> | undefined;

/** Loads the WebAssembly zstd, once per process; a failed load is tried again by the next call. */
function loadWasmZstd(): Promise<NativeZstd> {
  wasmZstd ??= startWasmZstd().catch((error: unknown) => {
    wasmZstd = undefined;
    throw error;
  });
  return wasmZstd;
}

/**
 * One context each way for the life of the process: making one per frame costs more than half of the decoding. The calls that take a context
 * also take a dictionary; an empty one is none (the bytes are the same).
 */
async function startWasmZstd(): Promise<NativeZstd> {
  // Not before it is wanted: half a megabyte, which a runtime with a zstd of its own never needs.
  const { compressUsingDict, createCCtx, createDCtx, decompressUsingDict, init } = await import(
    "@bokuweb/zstd-wasm"
  );
  await init();
  const compressing = createCCtx();
  const decompressing = createDCtx();
  const noDictionary = new Uint8Array(0);
  return {
    compress: (bytes, level) => compressUsingDict(compressing, bytes, noDictionary, level),
    decompress: (bytes) => decompressUsingDict(decompressing, bytes, noDictionary),
  };
}

/** Ready when it answers; WebAssembly is loaded only where nothing native is injected. */
export async function loadCompression(options: ZstdOptions = {}): Promise<Compressor & Decompressor> {
  const { nativeZstd, inflateRaw, level = 1 } = options;
  const zstd = nativeZstd ?? (await loadWasmZstd());
  return {
    codec: "zstd",
    compress: (bytes) => zstd.compress(bytes, level),
    decompress(codec, bytes, rawLength, where = {}) {
      if (codec === "raw") {
        if (bytes.length !== rawLength)
          throw corruptError("a raw frame", `${bytes.length} bytes for ${rawLength}`, where);
        return bytes;
      }
      if (codec === "deflate-raw") {
        if (inflateRaw === undefined)
          throw unsupportedError("a frame", "uses deflate-raw, which is not available here", where);
        return guarded(() => inflateRaw(bytes, rawLength), "a deflate-raw frame", rawLength, where);
      }
      checkZstdFrame(bytes, rawLength, where);
      return guarded(() => zstd.decompress(bytes, rawLength), "a zstd frame", rawLength, where);
    },
  };
}

function guarded(run: () => Uint8Array, what: string, rawLength: number, where: ErrorDetails): Uint8Array {
  let raw: Uint8Array;
  try {
    raw = run();
  } catch (error) {
    throw corruptError(what, "it cannot be decompressed", where, error);
  }
  if (raw.length !== rawLength)
    throw corruptError(what, `it holds ${raw.length} bytes, not ${rawLength}`, where);
  return raw;
}

const ZSTD_MAGIC = 0xfd2fb528;
const BLOCK_MAX = 128 * 1024;
/** Levels that write 1 MiB frames never need more; a larger claim is only a way to make a decoder allocate. */
const WINDOW_MAX = 8 * LIMITS.frameRawBytes;

/**
 * Throws `corrupt` unless `bytes` is one whole zstd frame (RFC 8878) without dictionary that says it holds `rawLength` bytes: then no
 * decoder can be made to produce or allocate more. The frame header, the block headers and the frame's end are checked.
 */
export function checkZstdFrame(bytes: Uint8Array, rawLength: number, where: ErrorDetails = {}): void {
  const fail = (problem: string): never => {
    throw corruptError("a zstd frame", problem, where);
  };
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 9) fail("it is too short");
  if (view.getUint32(0, true) !== ZSTD_MAGIC) fail("it does not start like one");
  const descriptor = bytes[4]!;
  const sizeFlag = descriptor >>> 6;
  const singleSegment = (descriptor & 0x20) !== 0;
  const checksum = (descriptor & 0x04) !== 0;
  if ((descriptor & 0x18) !== 0) fail("it uses reserved bits");
  if ((descriptor & 0x03) !== 0) fail("it needs a dictionary");
  let at = 5;
  if (!singleSegment) {
    const windowByte = bytes[at++]!;
    const base = 2 ** (10 + (windowByte >>> 3));
    if (base + (base / 8) * (windowByte & 7) > WINDOW_MAX) fail("its window is too large");
  }
  const sizeBytes = sizeFlag === 0 ? (singleSegment ? 1 : 0) : 2 ** sizeFlag;
  if (sizeBytes === 0) fail("it does not say how much it holds");
  if (at + sizeBytes > bytes.length) fail("it is too short");
  let contentSize = 0;
  for (let i = sizeBytes - 1; i >= 0; i--) contentSize = contentSize * 256 + bytes[at + i]!;
  if (sizeBytes === 2) contentSize += 256;
  if (contentSize !== rawLength) fail(`it says it holds ${contentSize} bytes, not ${rawLength}`);
  at += sizeBytes;
  for (let last = false; !last; ) {
    if (at + 3 > bytes.length) fail("it ends within a block header");
    const header = bytes[at]! + bytes[at + 1]! * 256 + bytes[at + 2]! * 65536;
    at += 3;
    last = header % 2 === 1;
    const type = (header >>> 1) & 3;
    const size = header >>> 3;
    if (type === 3 || size > BLOCK_MAX) fail("a block of an unknown kind");
    at += type === 1 ? 1 : size;
  }
  if (checksum) at += 4;
  if (at !== bytes.length) fail("its blocks do not end where it ends");
}
