/**
 * Commit headers and read indexes by need: from the volume's directory, else as plans that fetch them, verified before anybody sees them.
 */
import type { Hash, Lsn, VolumeId } from "../base/brand.ts";
import { PagefoldError } from "../base/errors.ts";
import { concatBytes } from "../format/bytes.ts";
import type { Codecs } from "../format/codecs.ts";
import {
  COMMIT_PREFIX_BYTES,
  commitHeaderLength,
  type DecodedCommit,
  decodeCommit,
} from "../format/commit-codec.ts";
import { commitKey, compactedKey, segmentKey } from "../format/keys.ts";
import type { PlacedSegment, ReadIndex, SegmentRef } from "../format/model.ts";
import { decodeReadIndex } from "../format/segment-codec.ts";
import type { CommitDirectory } from "../volume/commit-directory.ts";
import type { FetchPlan, RangeAnswers, RangeRequest } from "../volume/fetch-plan.ts";
import type { LoadedCheckpoint } from "../volume/loaded-checkpoint.ts";

/** Enough for the header and small frames of an ordinary commit in one request. */
const COMMIT_GUESS = 16_384;

/** What the plans need to know of a volume. */
export interface FramePlanContext {
  readonly directory: CommitDirectory;
  readonly codecs: Codecs;
  readonly storeUrl: string;
}

/**
 * The commits of some LSNs: from the directory, else fetched (one batch, rarely two) and, where their hashes are known, verified.
 * @param mayBeGone those that are absent are left out, as they may have been collected; by default they are `corrupt`
 */
export function* loadCommits(
  context: FramePlanContext,
  lsns: Iterable<Lsn>,
  { mayBeGone = false }: { readonly mayBeGone?: boolean } = {},
): FetchPlan<Map<Lsn, DecodedCommit>> {
  const { directory, codecs } = context;
  const commits = new Map<Lsn, DecodedCommit>();
  const unknown: Lsn[] = [];
  for (const lsn of lsns) {
    const known = directory.commit(lsn);
    if (known === undefined) unknown.push(lsn);
    else commits.set(lsn, known);
  }
  if (unknown.length === 0) return commits;
  const asked = unknown.map((lsn) => ({
    key: commitKey(directory.volumeOf(lsn), lsn),
    offset: 0,
    length: COMMIT_GUESS,
  }));
  const answers = yield asked;
  const there = unknown.map((_, i) => i).filter((i) => !mayBeGone || answers[i] !== undefined);
  const missing = there.map((i) => unknown[i]!);
  const keys = there.map((i) => asked[i]!.key);
  const starts = there.map((i) => answers[i]);
  const whole: Uint8Array[] = missing.map((lsn, i) => present(context, starts[i], lsn, keys[i]!));
  const lengths = missing.map((lsn, i) =>
    whole[i]!.length < COMMIT_PREFIX_BYTES
      ? 0 // decoding says what is wrong
      : commitHeaderLength(whole[i]!, { volume: directory.volumeOf(lsn), lsn }),
  );
  const longer = missing.map((_, i) => i).filter((i) => whole[i]!.length < lengths[i]!);
  if (longer.length > 0) {
    const rest = yield longer.map((i) => ({
      key: keys[i]!,
      offset: whole[i]!.length,
      length: lengths[i]! - whole[i]!.length,
    }));
    longer.forEach((i, k) => {
      whole[i] = concatBytes([whole[i]!, present(context, rest[k], missing[i]!, keys[i]!)]);
    });
  }
  missing.forEach((lsn, i) => {
    const hash = directory.hash(lsn);
    const commit = decodeCommit(whole[i]!, codecs.hash, {
      volume: directory.volumeOf(lsn),
      lsn,
      ...(hash === undefined ? {} : { hash }),
    });
    // One whose hash nobody has named yet is the caller's to prove first.
    if (hash !== undefined) {
      directory.learn(commit);
      if (commit.frames.length > 0) directory.learnStart(keys[i]!, whole[i]!);
    }
    commits.set(lsn, commit);
  });
  return commits;
}

/** A commit that a proven one names by its hash: proven, and learned. @throws `corrupt` where it is another */
export function proveCommit(
  { directory }: FramePlanContext,
  commit: DecodedCommit,
  hash: Hash,
): DecodedCommit {
  const { lsn } = commit.header;
  if (commit.hash !== hash) {
    const volume = directory.volumeOf(lsn);
    throw new PagefoldError(
      "corrupt",
      `commit ${lsn} of volume ${volume} is not the one that later commits name; the store was tampered with or mixed up`,
      { details: { volume, lsn } },
    );
  }
  directory.learn(commit);
  return commit;
}

/** A segment, wherever it lies and whatever names it: what reading it needs to know. */
export interface SegmentSource {
  /** Of the object that holds it: no object holds two. */
  readonly key: string;
  /** Where in that object it starts. */
  readonly base: number;
  /** Size of that object. */
  readonly objectLength: number;
  readonly ref: SegmentRef;
  /** The commit, or the checkpoint, that names it. */
  readonly volume: VolumeId;
  readonly lsn: Lsn;
  /** Whose bytes of a page it holds; 0 where that is not known. */
  versionOf(page: number): Lsn;
}

export function sourceInCommit(
  directory: CommitDirectory,
  commit: DecodedCommit,
  ordinal: number,
): SegmentSource {
  const { header } = commit;
  const { lsn } = header;
  const ref = header.segments[ordinal]!;
  return {
    ...placeOf(directory, commit, ordinal),
    objectLength: ref.id === undefined ? commit.totalLength : ref.length,
    ref,
    volume: header.volume,
    lsn,
    versionOf: () => lsn,
  };
}

/**
 * @param directory where given, all checkpoints that it has loaded are asked whose bytes a page of the segment are: they may name the segment for
 * different pages, and whoever fetches a frame for one of them fetches it for those who wait for another
 */
export function sourceInCheckpoint(
  loaded: LoadedCheckpoint,
  segment: PlacedSegment,
  directory?: CommitDirectory,
): SegmentSource {
  const versionOf = (page: number): Lsn => {
    // A commit wrote all pages of its own segments.
    if (segment.kind === "commit") return segment.number as Lsn;
    let lsn = loaded.versionIn(segment, page);
    if (lsn !== 0 || directory === undefined) return lsn;
    for (const other of directory.checkpoints()) {
      lsn = other.versionIn(segment, page);
      if (lsn !== 0) break;
    }
    return lsn;
  };
  return {
    key: placedKey(segment),
    base: 0,
    objectLength: segment.ref.length,
    ref: segment.ref,
    volume: segment.volume,
    lsn: loaded.lsn,
    versionOf,
  };
}

/** The object of a segment that a checkpoint names. */
export function placedKey({ volume, kind, number, id }: PlacedSegment): string {
  return kind === "commit" ? segmentKey(volume, number as Lsn, id) : compactedKey(volume, number, id);
}

/** The read indexes of some segments, in their order; those not known yet are fetched in one batch. */
export function* loadIndexes(
  context: FramePlanContext,
  segments: readonly SegmentSource[],
): FetchPlan<ReadIndex[]> {
  const { directory, codecs } = context;
  const found = segments.map(({ key }) => directory.index(key));
  const missing = segments.filter((_, i) => found[i] === undefined);
  if (missing.length === 0) return found as ReadIndex[];
  const requests = missing.map(({ key, base, ref }) => ({
    key,
    offset: base + ref.index.offset,
    length: ref.index.length,
  }));
  const answers = yield* fetchRanges(directory, requests);
  const loaded = missing.map((source, i) => {
    const { key, ref } = source;
    const bytes = answers[i];
    const where = whereOf(source);
    if (bytes === undefined) {
      throw new PagefoldError(
        "corrupt",
        `segment ${where.segment} of commit ${where.lsn} of volume ${where.volume} is missing in ${context.storeUrl}; other pages are still readable: ` +
          "restore the object from a copy of the store",
        { details: { ...where, gone: true } },
      );
    }
    if (bytes.length !== ref.index.length || codecs.hash.blake3(bytes) !== ref.indexHash) {
      directory.forgetStart(key);
      throw new PagefoldError(
        "corrupt",
        `the read index of segment ${where.segment} of commit ${where.lsn} of volume ${where.volume} does not match its hash; ` +
          "other pages are still readable: restore the object from a copy of the store",
        { details: where },
      );
    }
    const index = decodeReadIndex(bytes, ref);
    directory.learnIndex(key, index, bytes.length);
    return index;
  });
  let next = 0;
  return found.map((index) => index ?? loaded[next++]!);
}

/** Where a segment is, as errors say it. */
export function whereOf({ volume, lsn, ref, key }: SegmentSource): {
  volume: string;
  lsn: number;
  segment: string;
  key: string;
} {
  return { volume, lsn, segment: segmentName(ref), key };
}

/** The bytes of a range where an earlier request brought them along. */
export function knownRange(
  directory: CommitDirectory,
  { key, offset, length }: RangeRequest,
): Uint8Array | undefined {
  const start = directory.start(key);
  return start === undefined || start.length < offset + length
    ? undefined
    : start.subarray(offset, offset + length);
}

/** Ranges in their order; only those that are not at hand are fetched. */
export function* fetchRanges(
  directory: CommitDirectory,
  requests: readonly RangeRequest[],
): FetchPlan<RangeAnswers> {
  const known = requests.map((request) => knownRange(directory, request));
  const missing = requests.filter((_, i) => known[i] === undefined);
  if (missing.length === 0) return known;
  const answers = yield missing;
  let next = 0;
  return known.map((bytes) => bytes ?? answers[next++]);
}

/** The object that holds a segment, and where in it the segment starts. */
export function placeOf(
  directory: CommitDirectory,
  commit: DecodedCommit,
  ordinal: number,
): { key: string; base: number } {
  const { header, frames } = commit;
  const { id } = header.segments[ordinal]!;
  const volume = directory.volumeOf(header.lsn);
  return id === undefined
    ? { key: commitKey(volume, header.lsn), base: frames.offset }
    : { key: segmentKey(volume, header.lsn, id), base: 0 };
}

/** How a segment is called in errors. */
export function segmentName(segment: SegmentRef): string {
  return segment.id ?? "inline";
}

function present(
  context: FramePlanContext,
  bytes: Uint8Array | undefined,
  lsn: Lsn,
  key: string,
): Uint8Array {
  if (bytes !== undefined) return bytes;
  const volume = context.directory.volumeOf(lsn);
  throw new PagefoldError(
    "corrupt",
    `commit ${lsn} of volume ${volume} is missing in ${context.storeUrl}, though later commits name it; other pages are still readable: ` +
      "restore the object from a copy of the store",
    { details: { volume, lsn, key } },
  );
}
