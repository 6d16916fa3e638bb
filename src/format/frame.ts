/**
 * One frame: a run of pages compressed and hashed together. Its hash is over the stored bytes and is checked before anything is decompressed
 * (FORMAT.md, "Frame").
 */
import type { FrameHash } from "../base/brand.ts";
import type { ErrorDetails } from "../base/errors.ts";
import { corruptError } from "./bytes.ts";
import type { Codecs } from "./codecs.ts";
import type { FrameCodec, FrameRef, ReadIndex } from "./model.ts";

/** A frame ready to be stored. For `raw`, `bytes` is the very array that was given to `encodeFrame`. */
export interface EncodedFrame {
  readonly codec: FrameCodec;
  readonly bytes: Uint8Array;
  readonly hash: FrameHash;
}

const CODEC_BYTES: readonly FrameCodec[] = ["raw", "deflate-raw", "zstd"];

/** The codec byte of a frame. */
export function codecByte(codec: FrameCodec): number {
  return CODEC_BYTES.indexOf(codec);
}

/** The codec of a byte, or undefined where it stands for none. */
export function codecOfByte(byte: number): FrameCodec | undefined {
  return CODEC_BYTES[byte];
}

export function encodeFrame(codecs: Codecs, pageBytes: Uint8Array): EncodedFrame {
  const { codec, bytes } = codecs.compress(pageBytes);
  return { codec, bytes, hash: codecs.hash.frameHash(bytes) };
}

/**
 * The pages of a frame, `rawLength` bytes, verified. `where` names volume, LSN, segment and frame for the error. For `raw` frames the answer is
 * `bytes` itself. Throws `corrupt`, or `unsupported_version` for a codec that this runtime does not have.
 */
export function decodeFrame(
  codecs: Codecs,
  frame: FrameRef,
  bytes: Uint8Array,
  rawLength: number,
  where: ErrorDetails,
): Uint8Array {
  const name = frameName(where);
  if (bytes.length !== frame.length) {
    throw corruptError(name, `${bytes.length} bytes arrived instead of ${frame.length}`, where);
  }
  const hash = codecs.hash.frameHash(bytes);
  if (hash !== frame.hash) throw corruptError(name, `its hash is ${hash}, not ${frame.hash}`, where);
  return codecs.decompress(frame.codec, bytes, rawLength, where);
}

/** Bytes of frame `i` once decompressed. */
export function frameRawLength(index: ReadIndex, i: number): number {
  const pages = Math.min(index.framePages, index.pages.size - i * index.framePages);
  return pages * index.pageSize;
}

function frameName({ volume, lsn, segment, frame }: ErrorDetails): string {
  return `frame ${frame ?? "?"} of segment ${segment ?? "(inline)"} of commit ${lsn ?? "?"} of volume ${volume ?? "?"}`;
}
