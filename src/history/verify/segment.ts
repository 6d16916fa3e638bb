/**
 * One segment, or what of it a state needs: its read index and digest area against their hashes, frames against theirs, and what the frames hold
 * against the digest area, page by page.
 */
import type { StateChecksum } from "../../base/brand.ts";
import { isPagefoldError, PagefoldError } from "../../base/errors.ts";
import { StateChecksumSum } from "../../format/checksum.ts";
import { decodeFrames, type StoredFrame } from "../../format/frame-decoder.ts";
import { DIGEST_BYTES } from "../../format/hash.ts";
import type { ReadIndex } from "../../format/model.ts";
import type { PageSet } from "../../format/page-set.ts";
import { checkDigestArea, openReadIndex } from "../../format/segment-codec.ts";
import { knownRange, type SegmentSource, whereOf } from "../../replicate/commit-lookup.ts";
import { lyingIndex } from "../../replicate/frame-plan.ts";
import type { VerifyRun } from "./run.ts";

/** Segments up to this size are fetched whole, larger ones in ranges of about this size. */
const RANGE_BYTES = 2 ** 20;

export interface SegmentSums {
  /** Of the wanted pages, as their bytes are. */
  readonly fromPages: StateChecksum;
  /** Of the same pages, as the digest area says. */
  readonly fromDigests: StateChecksum;
}

/** Checks what holds `pages`; what is wrong is reported, and left out of the sums. */
export async function verifySegment(
  run: VerifyRun,
  source: SegmentSource,
  pages: PageSet,
): Promise<SegmentSums> {
  const bytes = new Ranges(run, source);
  const pagesSum = new StateChecksumSum();
  const digestsSum = new StateChecksumSum();
  const index = await run.attempt(async () => openIndex(run, source, await bytes.get(source.ref.index)));
  const digests = await run.attempt(async () =>
    openDigests(run, source, await bytes.get(source.ref.digests)),
  );
  if (index !== undefined && digests !== undefined)
    addDigests(run, source, index, digests, pages, digestsSum);
  if (index !== undefined) {
    for (const group of groupsOf(framesWith(index, pages), index)) {
      await verifyFrames(run, source, { index, digests, group, pages, bytes, sum: pagesSum });
    }
  }
  return { fromPages: pagesSum.value(), fromDigests: digestsSum.value() };
}

/** Ranges of a segment; a small one comes whole, once. */
class Ranges {
  readonly #run: VerifyRun;
  readonly #source: SegmentSource;
  #whole: Promise<Uint8Array | undefined> | undefined;

  constructor(run: VerifyRun, source: SegmentSource) {
    this.#run = run;
    this.#source = source;
  }

  /** A copy of its own, as far as it is there; undefined where the object is absent. */
  async get({ offset, length }: { offset: number; length: number }): Promise<Uint8Array | undefined> {
    const { key, base, ref } = this.#source;
    if (ref.length > RANGE_BYTES) return this.#run.get(key, base + offset, length);
    const range = { key, offset: base, length: ref.length };
    // A small commit's pages came with its header.
    this.#whole ??= Promise.resolve(
      knownRange(this.#run.directory, range) ?? this.#run.get(key, base, ref.length),
    );
    return (await this.#whole)?.slice(offset, offset + length);
  }
}

function openIndex(run: VerifyRun, source: SegmentSource, bytes: Uint8Array | undefined): ReadIndex {
  if (bytes === undefined) throw lost(run, source);
  return openReadIndex(run.context.codecs.hash, bytes, source.ref, whereOf(source));
}

function openDigests(run: VerifyRun, source: SegmentSource, bytes: Uint8Array | undefined): Uint8Array {
  if (bytes === undefined) throw lost(run, source);
  return checkDigestArea(run.context.codecs.hash, bytes, source.ref, whereOf(source));
}

function addDigests(
  run: VerifyRun,
  source: SegmentSource,
  index: ReadIndex,
  digests: Uint8Array,
  pages: PageSet,
  sum: StateChecksumSum,
): void {
  for (const page of pages) {
    const rank = index.pages.rankOf(page);
    if (rank === -1) run.report(lyingIndex(source, page));
    else sum.add(digests, rank * DIGEST_BYTES, 1);
  }
}

/** Numbers of the frames that hold any of the pages, rising. */
function framesWith(index: ReadIndex, pages: PageSet): number[] {
  const numbers: number[] = [];
  for (const page of pages) {
    const rank = index.pages.rankOf(page);
    const frame = Math.floor(rank / index.framePages);
    if (rank !== -1 && numbers.at(-1) !== frame) numbers.push(frame);
  }
  return numbers;
}

/** Adjacent frames in ranges of bounded size. */
function* groupsOf(frames: readonly number[], index: ReadIndex): Generator<readonly number[]> {
  let group: number[] = [];
  for (const number of frames) {
    const { offset, length } = index.frame(number);
    const first = group[0] === undefined ? offset : index.frame(group[0]).offset;
    if (group.length > 0 && (group.at(-1)! + 1 !== number || offset + length - first > RANGE_BYTES)) {
      yield group;
      group = [];
    }
    group.push(number);
  }
  if (group.length > 0) yield group;
}

interface FrameWork {
  readonly index: ReadIndex;
  /** undefined where the area was reported already. */
  readonly digests: Uint8Array | undefined;
  /** Frames that lie side by side. */
  readonly group: readonly number[];
  readonly pages: PageSet;
  readonly bytes: Ranges;
  readonly sum: StateChecksumSum;
}

async function verifyFrames(run: VerifyRun, source: SegmentSource, work: FrameWork): Promise<void> {
  const { index, group, bytes } = work;
  const { offset } = index.frame(group[0]!);
  const last = index.frame(group.at(-1)!);
  const range = { offset, length: last.offset + last.length - offset };
  const stored = await run.attempt(async () => (await bytes.get(range)) ?? raise(lost(run, source)));
  if (stored === undefined) return;
  const frames = group.map((number) => storedFrame(source, index, number, stored, offset));
  const { decoder, codecs } = run.context;
  const job = { pageSize: run.manifest.pageSize, digestSeed: run.manifest.digestSeed };
  // Whoever goes on after a bad frame needs the bytes once more, and decoders may keep theirs.
  const again = run.keepGoing ? frames.map((each) => ({ ...each, stored: each.stored.slice() })) : undefined;
  try {
    const decoded = await decoder.decode({ ...job, frames });
    compare(run, source, work, frames, decoded.digests);
    decoder.recycle?.(decoded.bytes);
  } catch (error) {
    if (again === undefined || !isPagefoldError(error, "corrupt")) throw error;
    for (const frame of again) {
      const one = await run.attempt(async () => decodeFrames(codecs, { ...job, frames: [frame] }));
      if (one !== undefined) compare(run, source, work, [frame], one.digests);
    }
  }
}

function storedFrame(
  source: SegmentSource,
  index: ReadIndex,
  number: number,
  stored: Uint8Array,
  from: number,
): StoredFrame {
  const frame = index.frame(number);
  const { framePages, pages } = index;
  const held = pages.slice(number * framePages, Math.min(pages.size, (number + 1) * framePages));
  return {
    frame,
    // Cut short where the object is: then its hash does not match.
    stored: stored.subarray(frame.offset - from, frame.offset - from + frame.length),
    pages: Uint32Array.from(held),
    where: { ...whereOf(source), frame: number },
  };
}

/** What the frames hold against what the digest area says of it. */
function compare(
  run: VerifyRun,
  source: SegmentSource,
  { index, digests, pages, sum }: FrameWork,
  frames: readonly StoredFrame[],
  found: Uint8Array,
): void {
  let at = 0;
  for (const { pages: held, where } of frames) {
    for (const page of held) {
      const digest = found.subarray(at, at + DIGEST_BYTES);
      at += DIGEST_BYTES;
      if (!pages.has(page)) continue;
      sum.add(digest, 0, 1);
      const rank = index.pages.rankOf(page) * DIGEST_BYTES;
      if (digests === undefined || digest.every((byte, i) => byte === digests[rank + i])) continue;
      run.report(
        new PagefoldError(
          "corrupt",
          `the digest of page ${page} in segment ${source.ref.id ?? "inline"} of commit ${source.lsn} of volume ${source.volume} is not that of its bytes in frame ${where.frame}; ` +
            "both match their hashes, so the segment was written wrongly",
          { details: { ...where, page } },
        ),
      );
    }
  }
}

function lost({ frames }: VerifyRun, source: SegmentSource): PagefoldError {
  const where = whereOf(source);
  return new PagefoldError(
    "corrupt",
    `segment ${where.segment} of commit ${where.lsn} of volume ${where.volume} is missing in ${frames.storeUrl}; restore the object from a copy of the store`,
    { details: where },
  );
}

function raise(error: PagefoldError): never {
  throw error;
}
