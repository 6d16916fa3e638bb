/**
 * The header of a commit as bytes, field by field in this order (FORMAT.md, "Commit header"). What a valid header must also satisfy as a whole
 * is in `commit-check.ts`.
 *
 *     volume 16 · compatible u32 · incompatible u32 · varint LSN · page size u32 · varint page count · varint lowest page count ·
 *     varint byte length · varint time · push id 16 · state checksum 16 · varint checkpoint LSN (0 = none) [its hash 32] ·
 *     [varint k: with SHORT_BANDS] · jump hashes 32 × (k + 1); without SHORT_BANDS 2^k is the largest power of two that divides the LSN ·
 *     changed: page set · zeroed: page set ·
 *     [varint LSN restored · writers (writers-codec.ts) from that LSN down: with RESTORED] ·
 *     varint segments, each: u8 kind (0 inline, 1 object) [id 16] · varint first page · varint last - first · varint length ·
 *                            varint index length · index hash 32 · digests hash 32 ·
 *     bands × k, each: varint 2·length + apart · hash 32 ·
 *     extension area
 */
import {
  type Hash,
  isPageSize,
  type Lsn,
  MAX_PAGE_COUNT,
  type PageCount,
  type PageIdx,
  type PushId,
  type SegmentId,
  type TimeMs,
  type VolumeId,
} from "../base/brand.ts";
import type { ErrorDetails } from "../base/errors.ts";
import { type ByteReader, ByteWriter, fromHex } from "./bytes.ts";
import { stateChecksumFromBytes, stateChecksumToBytes } from "./checksum.ts";
import { hasFeature, readExtension, readFeatures, writeExtension, writeFeatures } from "./features.ts";
import { HASH_BYTES } from "./hash.ts";
import { ID_BYTES, idFromBytes, idToBytes } from "./ids.ts";
import { trailingPowers } from "./jumps.ts";
import { KNOWN_INCOMPATIBLE, LIMITS, RESTORED, SHORT_BANDS } from "./limits.ts";
import type { BandRef, CommitHeader, FeatureBits, SegmentRef } from "./model.ts";
import type { PageSet } from "./page-set.ts";
import { readPageSet, writePageSet } from "./page-set-codec.ts";
import { segmentLayout } from "./segment-layout.ts";
import { readWriters, writeWriters } from "./writers-codec.ts";

/** Fewest bytes that a segment takes in a header: bounds how many can be claimed. */
const SEGMENT_BYTES_LEAST = 1 + 4 + 2 * HASH_BYTES;

export function writeHeader(header: CommitHeader): Uint8Array {
  const writer = new ByteWriter(512 + 128 * header.segments.length);
  writer.bytes(idToBytes(header.volume));
  writeFeatures(writer, header.features);
  writer.varint(header.lsn).u32(header.pageSize);
  writer
    .varint(header.pageCount)
    .varint(header.lowestPageCount)
    .varint(header.byteLength)
    .varint(header.time);
  writer.bytes(idToBytes(header.pushId)).bytes(stateChecksumToBytes(header.stateChecksum));
  writer.varint(header.checkpoint?.lsn ?? 0);
  if (header.checkpoint !== undefined) writer.bytes(fromHex(header.checkpoint.hash));
  if (hasFeature(header.features, SHORT_BANDS)) writer.varint(header.bands.length);
  for (const hash of header.jumpHashes) writer.bytes(fromHex(hash));
  writePageSet(writer, header.changed);
  writePageSet(writer, header.zeroed);
  if (header.restoredFrom !== undefined) {
    writer.varint(header.restoredFrom);
    writeWriters(writer, header.restored, header.restoredFrom);
  }
  writer.varint(header.segments.length);
  for (const segment of header.segments) writeSegmentRef(writer, segment);
  for (const { length, apart, hash } of header.bands)
    writer.varint(2 * length + (apart ? 1 : 0)).bytes(fromHex(hash));
  writeExtension(writer);
  return writer.finish();
}

function writeSegmentRef(writer: ByteWriter, segment: SegmentRef): void {
  if (segment.id === undefined) writer.u8(0);
  else writer.u8(1).bytes(idToBytes(segment.id));
  writer.varint(segment.firstPage).varint(segment.lastPage - segment.firstPage);
  writer.varint(segment.length).varint(segment.index.length);
  writer.bytes(fromHex(segment.indexHash)).bytes(fromHex(segment.digestsHash));
}

export function readHeader(
  reader: ByteReader,
  expect: { readonly volume?: VolumeId; readonly lsn?: Lsn },
  details: ErrorDetails,
): CommitHeader {
  const volume = idFromBytes<VolumeId>(reader.bytes(ID_BYTES, "the volume"));
  reader.check(expect.volume === undefined || volume === expect.volume, `it belongs to volume ${volume}`);
  const features = readFeatures(reader, "a commit", details, KNOWN_INCOMPATIBLE);
  const lsn = reader.varint("the LSN") as Lsn;
  reader.check(lsn >= 1, "LSN 0");
  reader.check(expect.lsn === undefined || lsn === expect.lsn, `it is LSN ${lsn}`);
  const pageSize = reader.u32("the page size");
  reader.check(isPageSize(pageSize), `a page size of ${pageSize}`);
  const pageCount = reader.varint("the page count", MAX_PAGE_COUNT) as PageCount;
  const lowestPageCount = reader.varint("the lowest page count", pageCount) as PageCount;
  const byteLength = reader.varint("the byte length");
  const time = reader.varint("the time") as TimeMs;
  const pushId = idFromBytes<PushId>(reader.bytes(ID_BYTES, "the push id"));
  const stateChecksum = stateChecksumFromBytes(reader.bytes(16, "the state checksum"));
  const checkpoint = readCheckpoint(reader);
  const bandCount = readBandCount(reader, lsn, features);
  const jumpHashes: Hash[] = [];
  for (let j = 0; j <= bandCount; j++) jumpHashes.push(reader.hex(HASH_BYTES, "a jump hash") as Hash);
  const changed = readPageSet(reader, { maxPage: pageCount });
  const zeroed = readPageSet(reader, { maxPage: pageCount });
  const restores = hasFeature(features, RESTORED);
  const restoredFrom = restores ? (reader.varint("the LSN restored", lsn - 1) as Lsn) : undefined;
  const restored =
    restoredFrom === undefined ? [] : readWriters(reader, restoredFrom, { maxPage: pageCount });
  const segments = readSegmentRefs(reader, changed);
  const bands: BandRef[] = [];
  for (let j = 1; j <= bandCount; j++) bands.push(readBandRef(reader));
  readExtension(reader, features);
  return {
    volume,
    lsn,
    features,
    jumpHashes,
    pageSize,
    pageCount,
    lowestPageCount,
    byteLength,
    changed,
    zeroed,
    restoredFrom,
    restored,
    time,
    pushId,
    stateChecksum,
    checkpoint,
    segments,
    bands,
  };
}

/** Fewer than the LSN could carry, where the header says so. */
function readBandCount(reader: ByteReader, lsn: Lsn, features: FeatureBits): number {
  const powers = trailingPowers(lsn);
  if (!hasFeature(features, SHORT_BANDS)) return powers;
  const count = reader.varint("the number of bands", powers);
  reader.check(count < powers, "it says that it has fewer bands, and has all");
  return count;
}

function readCheckpoint(reader: ByteReader): CommitHeader["checkpoint"] {
  const lsn = reader.varint("the checkpoint's LSN") as Lsn;
  return lsn === 0 ? undefined : { lsn, hash: reader.hex(HASH_BYTES, "the checkpoint's hash") as Hash };
}

function readBandRef(reader: ByteReader): BandRef {
  const head = reader.varint("a band's length", 2 * LIMITS.commitBandsBytes + 1);
  return {
    length: Math.floor(head / 2),
    hash: reader.hex(HASH_BYTES, "a band's hash") as Hash,
    apart: head % 2 === 1,
  };
}

function readSegmentRefs(reader: ByteReader, changed: PageSet): SegmentRef[] {
  const count = reader.varint("the number of segments", LIMITS.segmentsPerCommit);
  reader.check(
    count * SEGMENT_BYTES_LEAST <= reader.remaining,
    "it claims more segments than there are bytes",
  );
  const segments: SegmentRef[] = [];
  for (let i = 0; i < count; i++) segments.push(readSegmentRef(reader, changed));
  return segments;
}

function readSegmentRef(reader: ByteReader, changed: PageSet): SegmentRef {
  const kind = reader.u8("a segment's kind");
  reader.check(kind <= 1, `a segment of kind ${kind}`);
  const id = kind === 0 ? undefined : idFromBytes<SegmentId>(reader.bytes(ID_BYTES, "a segment's id"));
  const firstPage = reader.varint("a segment's first page", MAX_PAGE_COUNT) as PageIdx;
  const lastPage = (firstPage +
    reader.varint("a segment's last page", MAX_PAGE_COUNT - firstPage)) as PageIdx;
  const length = reader.varint(
    "a segment's length",
    kind === 0 ? LIMITS.inlineAreaBytes : LIMITS.segmentStoredBytes,
  );
  const indexLength = reader.varint("a read index's length", LIMITS.readIndexBytes);
  const firstRank = changed.rankOf(firstPage);
  const lastRank = changed.rankOf(lastPage);
  reader.check(firstRank >= 0 && lastRank >= 0, "a segment begins or ends with a page that did not change");
  const layout = segmentLayout(id === undefined, length, indexLength, lastRank - firstRank + 1);
  if (layout === undefined) return reader.fail("the parts of a segment do not fit into it");
  return {
    id,
    firstPage,
    lastPage,
    length,
    index: layout.index,
    indexHash: reader.hex(HASH_BYTES, "a read index's hash") as Hash,
    digests: layout.digests,
    digestsHash: reader.hex(HASH_BYTES, "a digest area's hash") as Hash,
  };
}
