/**
 * Read index, digest area and footer of a segment (FORMAT.md, "Segment"). Where they lie is in `segment-layout.ts`.
 *
 * Read index:
 *     u8 0x1d · u8 version · u32 page size · varint pages per frame · page set · per frame: varint stored length, u8 codec, hash 16
 *
 * Footer, 64 bytes, for tools that meet a segment without its commit; readers never need it:
 *      0  4  "PFSG"     8  4  index offset     16  4  digest area length     24   8  LSN       48  16  segment id
 *      4  2  version   12  4  index length     20  4  zero                   32  16  volume
 *      6  2  zero
 */
import { assert } from "../base/assert.ts";
import { type FrameHash, isPageSize, type Lsn, type SegmentId, type VolumeId } from "../base/brand.ts";
import type { ErrorDetails } from "../base/errors.ts";
import { ByteReader, ByteWriter, corruptError, fromHex, toHex, unsupportedError } from "./bytes.ts";
import { readMagic, writeMagic } from "./features.ts";
import { codecByte, codecOfByte, type EncodedFrame } from "./frame.ts";
import { DIGEST_BYTES, type Hasher } from "./hash.ts";
import { ID_BYTES, idFromBytes, idToBytes } from "./ids.ts";
import { FORMAT_VERSION, LIMITS } from "./limits.ts";
import type { Extent, FrameRef, ReadIndex, SegmentRef } from "./model.ts";
import type { PageSet } from "./page-set.ts";
import { readPageSet, writePageSet } from "./page-set-codec.ts";
import { SEGMENT_FOOTER_BYTES, segmentLayout } from "./segment-layout.ts";

export { SEGMENT_FOOTER_BYTES } from "./segment-layout.ts";

const INDEX_MARK = 0x1d;
const FOOTER_MAGIC = "PFSG";
/** Fewest bytes that a frame takes in a read index. */
const FRAME_ENTRY_BYTES_LEAST = 1 + 1 + DIGEST_BYTES;

/** What a read index says of a frame. */
export type FrameEntry = Pick<EncodedFrame, "codec" | "hash"> & { readonly length: number };

export interface ReadIndexParts {
  readonly pageSize: number;
  readonly framePages: number;
  readonly pages: PageSet;
  readonly frames: readonly FrameEntry[];
}

export function encodeReadIndex(parts: ReadIndexParts): Uint8Array {
  const { pageSize, framePages, pages, frames } = parts;
  assert(isPageSize(pageSize) && !pages.isEmpty, "a segment with pages");
  assert(isFramePages(framePages, pageSize), `${framePages} pages of ${pageSize} bytes per frame`);
  assert(
    frames.length === Math.ceil(pages.size / framePages),
    `${frames.length} frames for ${pages.size} pages`,
  );
  const writer = new ByteWriter(64 + 20 * frames.length);
  writer.u8(INDEX_MARK).u8(FORMAT_VERSION).u32(pageSize).varint(framePages);
  writePageSet(writer, pages);
  for (const { length, codec, hash } of frames)
    writer.varint(length).u8(codecByte(codec)).bytes(fromHex(hash));
  return writer.finish();
}

/**
 * Decodes the read index of `ref`, whose hash the caller has checked (or see `openReadIndex`). Holds 21 bytes per frame. Throws `corrupt` unless
 * pages, frames and digests are exactly those of the segment that the header names.
 */
export function decodeReadIndex(bytes: Uint8Array, ref: SegmentRef, details: ErrorDetails = {}): ReadIndex {
  const where = { segment: ref.id ?? "inline", ...details };
  const what = "a read index";
  const reader: ByteReader = new ByteReader(bytes, what, where);
  reader.check(
    bytes.length <= LIMITS.readIndexBytes && bytes.length === ref.index.length,
    "it has the wrong length",
  );
  reader.check(reader.u8("its mark") === INDEX_MARK, "it does not start like one");
  const version = reader.u8("its version");
  reader.check(version !== 0, "version 0 was never written");
  if (version > FORMAT_VERSION) throw unsupportedError(what, `is of format version ${version}`, where);
  const pageSize = reader.u32("the page size");
  reader.check(isPageSize(pageSize), `a page size of ${pageSize}`);
  const framePages = reader.varint("the pages per frame");
  reader.check(isFramePages(framePages, pageSize), `${framePages} pages of ${pageSize} bytes per frame`);
  const pages = readPageSet(reader, { maxPage: ref.lastPage });
  reader.check(
    pages.first === ref.firstPage && pages.last === ref.lastPage,
    "its pages are not those of its segment",
  );
  reader.check(pages.size * pageSize <= LIMITS.segmentRawBytes, `${pages.size} pages of ${pageSize} bytes`);
  const layout = segmentLayout(ref.id === undefined, ref.length, ref.index.length, pages.size);
  if (layout === undefined || ref.digests.length !== layout.digests.length) {
    return reader.fail(`${pages.size} pages, which are not those of its digest area`);
  }
  const table = readFrames(reader, pages.size, framePages, pageSize, layout.frames);
  reader.end();
  return { pageSize, framePages, pages, ...table };
}

/** Checks the hash that the header gives, then decodes. */
export function openReadIndex(
  hasher: Hasher,
  bytes: Uint8Array,
  ref: SegmentRef,
  details: ErrorDetails = {},
): ReadIndex {
  if (bytes.length !== ref.index.length || hasher.blake3(bytes) !== ref.indexHash) {
    throw corruptError("a read index", "its hash is not the one in its commit", {
      segment: ref.id ?? "inline",
      ...details,
    });
  }
  return decodeReadIndex(bytes, ref, details);
}

/** Checks the hash that the header gives: then 16 bytes per page, in the order of the segment's pages. */
export function checkDigestArea(
  hasher: Hasher,
  bytes: Uint8Array,
  ref: SegmentRef,
  details: ErrorDetails = {},
): Uint8Array {
  if (bytes.length !== ref.digests.length || hasher.blake3(bytes) !== ref.digestsHash) {
    throw corruptError("a digest area", "its hash is not the one in its commit", {
      segment: ref.id ?? "inline",
      ...details,
    });
  }
  return bytes;
}

function isFramePages(framePages: number, pageSize: number): boolean {
  return Number.isSafeInteger(framePages) && framePages >= 1 && framePages * pageSize <= LIMITS.frameRawBytes;
}

/** Frame places in typed arrays: an object per frame would cost five times as much. */
function readFrames(
  reader: ByteReader,
  pageCount: number,
  framePages: number,
  pageSize: number,
  area: Extent,
): { frameCount: number; frame(i: number): FrameRef } {
  const frameCount = Math.ceil(pageCount / framePages);
  reader.check(frameCount * FRAME_ENTRY_BYTES_LEAST <= reader.remaining, "it ends within its frames");
  // Offsets stay below LIMITS.segmentStoredBytes, so 32 bits hold them.
  const offsets = new Uint32Array(frameCount + 1);
  const codecs = new Uint8Array(frameCount);
  const hashes = new Uint8Array(frameCount * DIGEST_BYTES);
  let end = area.offset;
  for (let i = 0; i < frameCount; i++) {
    const rawLength = Math.min(framePages, pageCount - i * framePages) * pageSize;
    const length = reader.varint("a frame's length", rawLength);
    codecs[i] = reader.u8("a frame's codec");
    const codec = codecOfByte(codecs[i]!);
    reader.check(codec !== undefined, `a frame of codec ${codecs[i]}`);
    // `raw` exactly where compression does not gain.
    reader.check(
      length >= 1 && (length === rawLength) === (codec === "raw"),
      `a ${codec} frame of ${length} bytes`,
    );
    hashes.set(reader.bytes(DIGEST_BYTES, "a frame's hash"), i * DIGEST_BYTES);
    offsets[i] = end;
    end += length;
    reader.check(end <= area.offset + area.length, "its frames go past the end of their area");
  }
  reader.check(end === area.offset + area.length, "its frames do not fill their area");
  offsets[frameCount] = end;
  return {
    frameCount,
    frame(i) {
      assert(i >= 0 && i < frameCount, `frame ${i} of ${frameCount}`);
      return {
        offset: offsets[i]!,
        length: offsets[i + 1]! - offsets[i]!,
        codec: codecOfByte(codecs[i]!)!,
        hash: toHex(hashes, i * DIGEST_BYTES, (i + 1) * DIGEST_BYTES) as FrameHash,
      };
    },
  };
}

/** What the footer says of its segment. */
export interface SegmentFooter {
  readonly volume: VolumeId;
  readonly lsn: Lsn;
  readonly id: SegmentId;
  readonly index: Extent;
  readonly digests: Extent;
}

export function encodeSegmentFooter(footer: SegmentFooter): Uint8Array {
  const writer = new ByteWriter(SEGMENT_FOOTER_BYTES);
  writeMagic(writer, FOOTER_MAGIC);
  writer
    .u16(0)
    .u32(footer.index.offset)
    .u32(footer.index.length)
    .u32(footer.digests.length)
    .u32(0)
    .u64(footer.lsn);
  return writer.bytes(idToBytes(footer.volume)).bytes(idToBytes(footer.id)).finish();
}

/** `bytes`: the last 64 of a segment object of `segmentLength` bytes. Throws `corrupt` or `unsupported_version`. */
export function decodeSegmentFooter(
  bytes: Uint8Array,
  segmentLength: number,
  details: ErrorDetails = {},
): SegmentFooter {
  const reader: ByteReader = new ByteReader(bytes, "a segment's footer", details);
  readMagic(reader, FOOTER_MAGIC, "a segment", details);
  reader.check(reader.u16("reserved bytes") === 0, "reserved bytes are not zero");
  const index = { offset: reader.u32("the index's offset"), length: reader.u32("the index's length") };
  const digestsLength = reader.u32("the digest area's length");
  const digests = { offset: index.offset + index.length, length: digestsLength };
  reader.check(reader.u32("reserved bytes") === 0, "reserved bytes are not zero");
  reader.check(
    digestsLength % DIGEST_BYTES === 0 &&
      digests.offset + digests.length + SEGMENT_FOOTER_BYTES === segmentLength,
    "its parts do not add up to the segment",
  );
  const lsn = reader.u64("the LSN") as Lsn;
  const volume = idFromBytes<VolumeId>(reader.bytes(ID_BYTES, "the volume"));
  const id = idFromBytes<SegmentId>(reader.bytes(ID_BYTES, "the segment's id"));
  reader.end();
  return { volume, lsn, id, index, digests };
}
