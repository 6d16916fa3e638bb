/** Commits that lie: a real one of a volume, decoded, changed and encoded again, so that every check behind the first hash is reached. */
import type { Hash } from "../../src/base/brand.ts";
import { fromHex } from "../../src/format/bytes.ts";
import { commitHeaderLength, decodeCommit, encodeCommit } from "../../src/format/commit-codec.ts";
import type { CommitHeader } from "../../src/format/model.ts";
import { codecs } from "./support.ts";

export const OTHER_HASH = "ab".repeat(32) as Hash;

/** The same commit with another header; bands and frames as they are. */
export function withHeader(
  bytes: Uint8Array,
  change: (header: CommitHeader) => Partial<CommitHeader>,
): Uint8Array {
  const { header, bandExtents, frames } = decodeCommit(bytes, codecs.hash);
  const part = ({ offset, length }: { offset: number; length: number }) =>
    bytes.subarray(offset, offset + length);
  return encodeCommit(
    { header: { ...header, ...change(header) }, bands: bandExtents.map(part), frames: part(frames) },
    codecs.hash,
  ).bytes;
}

/** Other frames under the same header: nothing but the hashes in the header tells. */
export function withTail(bytes: Uint8Array, change: (tail: Uint8Array) => void): Uint8Array {
  const copy = bytes.slice();
  change(copy.subarray(commitHeaderLength(copy)));
  return copy;
}

/** Headers whose page counts lie; none of them can be encoded by the codec, which refuses to write them, so bytes are changed and signed anew. */
export function withPageCounts(bytes: Uint8Array): Uint8Array[] {
  const length = commitHeaderLength(bytes);
  const { header } = decodeCommit(bytes, codecs.hash);
  // Behind volume, features, LSN and page size: page count, lowest page count, byte length.
  const at = 32 + 16 + 8 + varintBytes(header.lsn) + 4;
  if (bytes[at] !== header.pageCount) throw new Error("the test expects a small page count");
  return [header.pageCount + 1, header.pageCount - 1, 1].map((count) => {
    const copy = bytes.slice();
    copy[at] = count;
    return signed(copy, length);
  });
}

/** The prefix with the check of a changed header. */
function signed(copy: Uint8Array, headerLength: number): Uint8Array {
  const check = fromHex(codecs.hash.blake3(copy.subarray(0, 20), copy.subarray(32, headerLength)));
  copy.set(check.subarray(0, 12), 20);
  return copy;
}

function varintBytes(value: number): number {
  return value < 128 ? 1 : 2;
}

/** A commit whose band `i` is another, with its length and hash in the header. */
export function withBand(bytes: Uint8Array, i: number, band: Uint8Array): Uint8Array {
  const { header, bandExtents, frames } = decodeCommit(bytes, codecs.hash);
  const part = ({ offset, length }: { offset: number; length: number }) =>
    bytes.subarray(offset, offset + length);
  const bands = bandExtents.map(part);
  bands[i] = band;
  const refs = header.bands.map((ref, k) =>
    k === i ? { ...ref, length: band.length, hash: codecs.hash.blake3(band) } : ref,
  );
  return encodeCommit({ header: { ...header, bands: refs }, bands, frames: part(frames) }, codecs.hash).bytes;
}
