/**
 * Checks a commit that was sent, ahead of storing it: that it is the next one of this very log, and that everything it names is there
 * and is what it says. A server that stores only such commits keeps every reader from meeting a broken one.
 */
import type { Lsn, VolumeId } from "../../../src/base/brand.ts";
import { StateChecksumSum } from "../../../src/format/checksum.ts";
import type { DecodedCommit } from "../../../src/format/commit-codec.ts";
import { decodeCommit } from "../../../src/format/commit-codec.ts";
import { segmentKey } from "../../../src/format/keys.ts";
import type { CommitHeader, ReadIndex, SegmentRef } from "../../../src/format/model.ts";
import { PageSet } from "../../../src/format/page-set.ts";
import {
  checkDigestArea,
  decodeSegmentFooter,
  openReadIndex,
  SEGMENT_FOOTER_BYTES,
} from "../../../src/format/segment-codec.ts";
import type { ServerContext } from "../context.ts";
import { commitOrKept } from "../kept-commit.ts";
import { HttpError } from "../problem.ts";
import { type KnownVolume, signalOf } from "../volume-logs.ts";
import { checkBands } from "./bands.ts";
import { checkChecksum } from "./checksum.ts";
import { provenCheckpoint } from "./floor.ts";
import { asLie, decoding, lie } from "./lies.ts";
import { checkFrames } from "./segment.ts";

/** Segments that are looked at together. */
const SEGMENTS_AT_ONCE = 4;

export interface CheckedCommit {
  readonly commit: DecodedCommit;
  /** What `rollups/<~lsn>` should hold; undefined where the commit has no bands apart. */
  readonly apart: Uint8Array | undefined;
}

/** How a commit's place in the log stands. */
export type CommitPlace = "next" | "exists";

/** Whether an LSN is the next of a log. @throws 409 where it is a later one */
export function placeOfCommit(known: KnownVolume, lsn: Lsn, head: Lsn): CommitPlace {
  const { volume } = known.manifest;
  if (lsn <= known.forkPoint) {
    throw lie(
      `commit ${lsn} of volume ${volume}`,
      `the volume is a fork whose own commits begin behind LSN ${known.forkPoint}`,
    );
  }
  if (lsn <= head) return "exists";
  if (lsn === head + 1) return "next";
  throw new HttpError(
    409,
    "conflict",
    `commit ${lsn} of volume ${volume} has to wait: the newest one is ${head}; send those between first`,
    { details: { volume, lsn, head } },
  );
}

/**
 * Checks everything but that nobody was faster, which the conditional create tells.
 * @throws 422 where anything of the commit is not what it says
 */
export async function checkCommit(
  context: ServerContext,
  known: KnownVolume,
  lsn: Lsn,
  bytes: Uint8Array,
  signal: AbortSignal,
): Promise<CheckedCommit> {
  const { volume } = known.manifest;
  const what = `commit ${lsn} of volume ${volume}`;
  const commit = decodeWhole(context, what, volume, lsn, bytes);
  const parent = await parentOf(context, known, lsn, signal);
  checkAgainstParent(what, known, commit.header, parent);
  await checkAnchor(context, what, known, commit.header, parent.checkpoint, signal);
  const { header } = commit;
  const added = new StateChecksumSum();
  for (let i = 0; i < header.segments.length; i += SEGMENTS_AT_ONCE) {
    const some = header.segments.slice(i, i + SEGMENTS_AT_ONCE);
    const check = (ref: SegmentRef) => checkSegmentOf(context, known, commit, ref, bytes, signal);
    for (const digests of await Promise.all(some.map(check))) added.add(digests);
  }
  const apart = await checkBands(context, known, commit, bytes, parent, signal);
  await checkChecksum(context, known, header, added, signal);
  return { commit, apart };
}

export function decodeWhole(
  { codecs }: ServerContext,
  what: string,
  volume: VolumeId,
  lsn: Lsn,
  bytes: Uint8Array,
): DecodedCommit {
  const commit = decoding(what, () => decodeCommit(bytes, codecs.hash, { volume, lsn }));
  if (commit.totalLength !== bytes.length) {
    throw lie(what, `it has ${bytes.length} bytes, not the ${commit.totalLength} that its prefix says`);
  }
  return commit;
}

interface Parent extends Pick<CommitHeader, "lsn" | "time" | "checkpoint"> {
  readonly hash: DecodedCommit["hash"];
}

async function parentOf(
  context: ServerContext,
  known: KnownVolume,
  lsn: Lsn,
  signal: AbortSignal | undefined,
): Promise<Parent> {
  const { manifest, hash } = known;
  const { logs } = context;
  if (lsn === 1) return { lsn: 0 as Lsn, hash, time: manifest.createdAt, checkpoint: undefined };
  const parent =
    logs.justCreated(manifest.volume, lsn - 1) ??
    (await commitOrKept(context, known, (lsn - 1) as Lsn, signal));
  return { ...parent.header, hash: parent.hash };
}

function checkAgainstParent(what: string, known: KnownVolume, header: CommitHeader, parent: Parent): void {
  const { manifest, forkPoint } = known;
  if (header.pageSize !== manifest.pageSize) {
    throw lie(what, `its pages have ${header.pageSize} bytes, those of the volume ${manifest.pageSize}`);
  }
  if (header.jumpHashes[0] !== parent.hash) {
    throw lie(what, `its parent is not commit ${parent.lsn} as it is stored`, { lsn: header.lsn });
  }
  if (parent.lsn === forkPoint && manifest.forkHash !== undefined && manifest.forkHash !== parent.hash) {
    throw lie(what, `the commit that the fork starts from is not the one its manifest names`);
  }
  if (header.time < parent.time) throw lie(what, "its time is before that of its parent");
}

/** A checkpoint may only be named where it is, and is what its hash says; later ones never give an older one. */
async function checkAnchor(
  context: ServerContext,
  what: string,
  known: KnownVolume,
  header: CommitHeader,
  before: CommitHeader["checkpoint"],
  signal: AbortSignal,
): Promise<void> {
  const { checkpoint } = header;
  if (checkpoint?.lsn === before?.lsn && checkpoint?.hash === before?.hash) return;
  if (checkpoint === undefined || (before !== undefined && checkpoint.lsn <= before.lsn)) {
    throw lie(what, "it names an older checkpoint than its parent");
  }
  const { lsn } = checkpoint;
  const volume = context.logs.directory(known).volumeOf(lsn);
  if ((await provenCheckpoint(context, known, { volume, ...checkpoint }, signal)) === undefined)
    throw lie(what, `there is no checkpoint of LSN ${lsn} with the hash ${checkpoint.hash}`);
}

/** Reads a range of a segment. */
type ReadPart = (offset: number, length: number) => Promise<Uint8Array>;

/** Answers the digests of its pages. */
async function checkSegmentOf(
  context: ServerContext,
  known: KnownVolume,
  commit: DecodedCommit,
  ref: SegmentRef,
  bytes: Uint8Array,
  signal: AbortSignal | undefined,
): Promise<Uint8Array> {
  const { header, frames } = commit;
  const name = ref.id ?? "inline";
  const what = `commit ${header.lsn} of volume ${header.volume}`;
  const where = { volume: header.volume, lsn: header.lsn, segment: name };
  if (ref.id === undefined) {
    const inline: ReadPart = async (offset, length) =>
      bytes.subarray(frames.offset + offset, frames.offset + offset + length);
    const { index, digests } = await indexAndDigests(context, what, header, ref, inline);
    await checkFrames(context, known.manifest, { index, digests, what, where }, (first, last) =>
      inline(first.offset, last.offset + last.length - first.offset),
    );
    return digests;
  }
  const key = segmentKey(header.volume, header.lsn, ref.id);
  const stored: ReadPart = async (offset, length) => {
    // Not through the cache: the question is whether the store has it.
    const part = await context.origin.get(key, { range: { offset, length }, ...signalOf(signal) });
    if (part?.length === length) return part;
    const problem =
      part === undefined ? "is not stored; send it first" : `ends before its byte ${offset + length}`;
    throw lie(what, `segment ${name} ${problem}`, where);
  };
  const { index, digests } = await indexAndDigests(context, what, header, ref, stored);
  if (context.verified.has(key, ref)) return digests;
  await checkFrames(context, known.manifest, { index, digests, what, where }, (first, last) =>
    stored(first.offset, last.offset + last.length - first.offset),
  );
  context.verified.add(key, ref);
  return digests;
}

/** Both by one request of the store, with the footer where there is one; each checked against its hash in the header. */
async function indexAndDigests(
  { codecs }: ServerContext,
  what: string,
  header: CommitHeader,
  ref: SegmentRef,
  read: ReadPart,
): Promise<{ index: ReadIndex; digests: Uint8Array }> {
  const where = { volume: header.volume, lsn: header.lsn };
  let stored: Uint8Array;
  let digests: Uint8Array;
  if (ref.id === undefined) {
    stored = await read(ref.index.offset, ref.index.length);
    digests = await read(ref.digests.offset, ref.digests.length);
  } else {
    const { offset } = ref.index;
    const tail = await read(offset, ref.length - offset);
    stored = tail.subarray(0, ref.index.length);
    digests = tail.subarray(ref.digests.offset - offset, ref.digests.offset - offset + ref.digests.length);
    decoding(what, () => {
      const footer = decodeSegmentFooter(
        tail.subarray(tail.length - SEGMENT_FOOTER_BYTES),
        ref.length,
        where,
      );
      if (footer.lsn !== header.lsn || footer.volume !== header.volume || footer.id !== ref.id) {
        throw lie(what, `segment ${ref.id} says that it is another commit's`);
      }
    });
  }
  try {
    const index = openReadIndex(codecs.hash, stored, ref, where);
    checkDigestArea(codecs.hash, digests, ref, where);
    const pages = header.changed.intersect(PageSet.range(ref.firstPage, ref.lastPage));
    if (index.pageSize !== header.pageSize)
      throw lie(what, `segment ${ref.id ?? "inline"} has pages of another size`);
    if (!index.pages.equals(pages))
      throw lie(what, `segment ${ref.id ?? "inline"} holds other pages than changed`);
    return { index, digests };
  } catch (error) {
    throw asLie(what, error);
  }
}
