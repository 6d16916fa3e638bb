/**
 * `volumes/<volume>/checkpoints/<~lsn>-<hash>`: the whole page table as of an LSN, and where pages lie (FORMAT.md, "Checkpoint"). Whoever
 * reads one knows the BLAKE3-256 hash of all its bytes, and checks it first.
 *
 *     0 4 "PFCK"   4 2 version   6 2 zero · volume 16 · compatible u32 · incompatible u32 · varint number of a floor ·
 *     varint length, prefix and header of the commit as stored ·
 *     varint writers, newest first, each: varint LSN below the one before (the first: below the commit's) · u8 known [hash 32] · page set ·
 *     varint volumes, each: id 16 ·
 *     varint segments, each: u8 kind · varint ordinal of its volume · varint number · id 16 · varint first page · varint last − first ·
 *         varint pages in it · varint length · varint index length · index hash 32 · digests hash 32 · page set (those to be read from it) ·
 *     extension area
 */
import { assert } from "../base/assert.ts";
import {
  type Hash,
  type Lsn,
  MAX_PAGE_COUNT,
  type PageIdx,
  type SegmentId,
  type VolumeId,
} from "../base/brand.ts";
import type { ErrorDetails } from "../base/errors.ts";
import { ByteReader, ByteWriter, corruptError, fromHex } from "./bytes.ts";
import { type DecodedCommit, decodeCommit } from "./commit-codec.ts";
import {
  checkLimit,
  readExtension,
  readFeatures,
  readMagic,
  writeExtension,
  writeFeatures,
  writeMagic,
} from "./features.ts";
import { HASH_BYTES, type Hasher } from "./hash.ts";
import { ID_BYTES, idFromBytes, idToBytes } from "./ids.ts";
import { LIMITS } from "./limits.ts";
import type { Checkpoint, PageWriter, PlacedSegment } from "./model.ts";
import { PageSet } from "./page-set.ts";
import { readPageSet, writePageSet } from "./page-set-codec.ts";
import { segmentLayout } from "./segment-layout.ts";

const MAGIC = "PFCK";
const WRITER_BYTES_LEAST = 1 + 1 + 2;
const SEGMENT_BYTES_LEAST = 1 + 1 + 1 + ID_BYTES + 5 + 2 * HASH_BYTES + 2;
const MAX_VOLUMES = LIMITS.ancestors + 1;

export interface DecodedCheckpoint extends Checkpoint {
  /** Of all its bytes. */
  readonly hash: Hash;
  /** The commit whose state it holds. */
  readonly commit: DecodedCommit;
  /** Bytes as stored. */
  readonly length: number;
}

/** The object and its hash. Throws `invalid` where it would be larger than the format allows. */
export function encodeCheckpoint(checkpoint: Checkpoint, hasher: Hasher): { bytes: Uint8Array; hash: Hash } {
  const { commit, problem } = inspect(checkpoint, hasher);
  assert(problem === undefined, `a checkpoint to be written: ${problem}`);
  const writer = new ByteWriter(1024 + checkpoint.header.length + 64 * checkpoint.writers.length);
  writeMagic(writer, MAGIC);
  writer.u16(0).bytes(idToBytes(checkpoint.volume));
  writeFeatures(writer, checkpoint.features);
  writer.varint(checkpoint.madeUnder);
  writer.varint(checkpoint.header.length).bytes(checkpoint.header);
  writePageWriters(writer, commit.header.lsn, checkpoint.writers);
  const volumes = [...new Set(checkpoint.segments.map(({ volume }) => volume))];
  writer.varint(volumes.length);
  for (const volume of volumes) writer.bytes(idToBytes(volume));
  writer.varint(checkpoint.segments.length);
  for (const segment of checkpoint.segments) writeSegment(writer, segment, volumes.indexOf(segment.volume));
  writeExtension(writer);
  checkLimit(writer.length, LIMITS.checkpointBytes, "the checkpoint");
  const bytes = writer.finish();
  return { bytes, hash: hasher.blake3(bytes) };
}

/** Throws `corrupt` or `unsupported_version`. The hash is checked before anything is read. */
export function decodeCheckpoint(
  bytes: Uint8Array,
  hasher: Hasher,
  expect: { readonly volume: VolumeId; readonly lsn: Lsn; readonly hash?: Hash },
): DecodedCheckpoint {
  const details: ErrorDetails = { volume: expect.volume, lsn: expect.lsn };
  const hash = hasher.blake3(bytes);
  if (expect.hash !== undefined && hash !== expect.hash) {
    throw corruptError("a checkpoint", `its hash is ${hash}, not ${expect.hash}`, details);
  }
  const reader: ByteReader = new ByteReader(bytes, "a checkpoint", details);
  reader.check(bytes.length <= LIMITS.checkpointBytes, "it is too large");
  const start = readStart(reader, expect.volume, details);
  const header = reader.bytes(reader.varint("the header's length", reader.remaining), "the header").slice();
  const writers = readPageWriters(reader, expect.lsn);
  const volumes = readVolumes(reader);
  const segments = readSegments(reader, volumes);
  readExtension(reader, start.features);
  reader.end();
  const checkpoint = { ...start, header, writers, segments };
  const { commit, problem } = inspect(checkpoint, hasher);
  reader.check(problem === undefined, problem ?? "");
  reader.check(commit.header.lsn === expect.lsn, `it is of LSN ${commit.header.lsn}`);
  return { ...checkpoint, hash, commit, length: bytes.length };
}

/** Enough of a checkpoint to tell under which floor it was made. */
export const CHECKPOINT_START_BYTES = 48;

/**
 * The number of the floor under which a checkpoint was made, from its first `CHECKPOINT_START_BYTES`, which nothing proves. Throws `corrupt` or
 * `unsupported_version`.
 */
export function checkpointMadeUnder(
  bytes: Uint8Array,
  expect: { readonly volume: VolumeId; readonly lsn: Lsn },
): number {
  const reader = new ByteReader(bytes, "a checkpoint", expect);
  return readStart(reader, expect.volume, expect).madeUnder;
}

function readStart(
  reader: ByteReader,
  expected: VolumeId,
  details: ErrorDetails,
): Pick<Checkpoint, "volume" | "features" | "madeUnder"> {
  readMagic(reader, MAGIC, "a checkpoint", details);
  reader.check(reader.u16("reserved bytes") === 0, "reserved bytes are not zero");
  const volume = idFromBytes<VolumeId>(reader.bytes(ID_BYTES, "the volume"));
  reader.check(volume === expected, `it belongs to volume ${volume}`);
  const features = readFeatures(reader, "a checkpoint", details);
  return { volume, features, madeUnder: reader.varint("the number of a floor") };
}

/** Who wrote pages last, as checkpoints and local records store it; `top` is the newest LSN there may be. */
export function writePageWriters(writer: ByteWriter, top: Lsn, writers: readonly PageWriter[]): void {
  writer.varint(writers.length);
  let next: number = top;
  for (const { lsn, hash, pages } of writers) {
    assert(lsn >= 1 && lsn <= next && !pages.isEmpty, `writer ${lsn}`);
    writer.varint(next - lsn).u8(hash === undefined ? 0 : 1);
    if (hash !== undefined) writer.bytes(fromHex(hash));
    writePageSet(writer, pages);
    next = lsn - 1;
  }
}

export function readPageWriters(reader: ByteReader, top: Lsn): PageWriter[] {
  const count = reader.varint("the number of writers", top);
  reader.check(count * WRITER_BYTES_LEAST <= reader.remaining, "it claims more writers than there are bytes");
  const writers: PageWriter[] = [];
  let next: number = top;
  for (let i = 0; i < count; i++) {
    const lsn = next - reader.varint("a writer's LSN");
    reader.check(lsn >= 1, "a writer before the first commit");
    const known = reader.u8("whether a hash is known");
    reader.check(known <= 1, `a writer of kind ${known}`);
    const hash = known === 1 ? (reader.hex(HASH_BYTES, "a writer's hash") as Hash) : undefined;
    const pages = readPageSet(reader);
    reader.check(!pages.isEmpty, "a writer without pages");
    writers.push({ lsn: lsn as Lsn, hash, pages });
    next = lsn - 1;
  }
  return writers;
}

function writeSegment(writer: ByteWriter, segment: PlacedSegment, volume: number): void {
  const { kind, number, id, ref, pages } = segment;
  writer
    .u8(kind === "commit" ? 0 : 1)
    .varint(volume)
    .varint(number)
    .bytes(idToBytes(id));
  writer
    .varint(ref.firstPage)
    .varint(ref.lastPage - ref.firstPage)
    .varint(segmentPages(segment));
  writer.varint(ref.length).varint(ref.index.length);
  writer.bytes(fromHex(ref.indexHash)).bytes(fromHex(ref.digestsHash));
  writePageSet(writer, pages);
}

/** How many pages a segment holds, those included that are to be read elsewhere. */
export function segmentPages({ ref }: PlacedSegment): number {
  return ref.digests.length / 16;
}

function readVolumes(reader: ByteReader): VolumeId[] {
  const count = reader.varint("the number of volumes", MAX_VOLUMES);
  const volumes: VolumeId[] = [];
  for (let i = 0; i < count; i++) volumes.push(idFromBytes<VolumeId>(reader.bytes(ID_BYTES, "a volume")));
  reader.check(new Set(volumes).size === count, "a volume twice");
  return volumes;
}

function readSegments(reader: ByteReader, volumes: readonly VolumeId[]): PlacedSegment[] {
  const count = reader.varint("the number of segments", LIMITS.segmentsPerCommit);
  reader.check(
    count * SEGMENT_BYTES_LEAST <= reader.remaining,
    "it claims more segments than there are bytes",
  );
  const segments: PlacedSegment[] = [];
  let used = 0;
  for (let i = 0; i < count; i++) {
    const kind = reader.u8("a segment's kind");
    reader.check(kind <= 1, `a segment of kind ${kind}`);
    const ordinal = reader.varint("a segment's volume", volumes.length);
    // Volumes are numbered in the order in which segments name them: one encoding each.
    reader.check(ordinal <= used && ordinal < volumes.length, `a segment of volume ${ordinal}`);
    used = Math.max(used, ordinal + 1);
    const number = reader.varint("a segment's number");
    const id = idFromBytes<SegmentId>(reader.bytes(ID_BYTES, "a segment's id"));
    const firstPage = reader.varint("a segment's first page", MAX_PAGE_COUNT) as PageIdx;
    const span = reader.varint("a segment's last page", MAX_PAGE_COUNT - firstPage);
    const lastPage = (firstPage + span) as PageIdx;
    const held = reader.varint("a segment's pages", span + 1);
    reader.check(firstPage >= 1 && held >= 1, "a segment without pages");
    const length = reader.varint("a segment's length", LIMITS.segmentStoredBytes);
    const indexLength = reader.varint("a read index's length", LIMITS.readIndexBytes);
    const layout = segmentLayout(false, length, indexLength, held);
    if (layout === undefined) return reader.fail("the parts of a segment do not fit into it");
    const ref = {
      ...{ id, firstPage, lastPage, length, index: layout.index, digests: layout.digests },
      indexHash: reader.hex(HASH_BYTES, "a read index's hash") as Hash,
      digestsHash: reader.hex(HASH_BYTES, "a digest area's hash") as Hash,
    };
    const pages = readPageSet(reader);
    segments.push({
      volume: volumes[ordinal]!,
      kind: kind === 0 ? "commit" : "compacted",
      number,
      id,
      ref,
      pages,
    });
  }
  reader.check(used === volumes.length, "a volume that no segment lies in");
  return segments;
}

function inspect(
  checkpoint: Checkpoint,
  hasher: Hasher,
): { commit: DecodedCommit; problem: string | undefined } {
  const commit = decodeCommit(checkpoint.header, hasher);
  return { commit, problem: checkpointProblem(checkpoint, commit) };
}

function checkpointProblem(
  { header, writers, segments }: Checkpoint,
  commit: DecodedCommit,
): string | undefined {
  if (header.length !== commit.headerLength) return "its header has more than a header";
  const { pageCount } = commit.header;
  if (!PageSet.areDisjoint(writers.map(({ pages }) => pages))) return "a page with two last writers";
  if (!PageSet.areDisjoint(segments.map(({ pages }) => pages))) return "a page with two places";
  const written = PageSet.unionAll(writers.map(({ pages }) => pages));
  if (written.last !== undefined && written.last > pageCount) return "a page above the page count";
  const placed = PageSet.unionAll(segments.map(({ pages }) => pages));
  if (!placed.subtract(written).isEmpty) return "a place of a page that nobody wrote";
  for (const { ref, pages, number, kind } of segments) {
    if (pages.isEmpty) return "a segment that no page is read from";
    if (pages.first! < ref.firstPage || pages.last! > ref.lastPage) return "a place outside of its segment";
    if (kind === "commit" && number < 1) return "a segment of LSN 0";
  }
  return undefined;
}
