/**
 * Checks the places of a checkpoint: that each segment is there, is what the checkpoint says of it, and holds of every page the very version that the state
 * has. That is told by digests. Of a checkpoint that places every page they add up to its commit's state checksum; of others they are compared page by page,
 * but for those which a checkpoint that is believed already places there, too.
 */
import type { Lsn } from "../../../src/base/brand.ts";
import { isPagefoldError } from "../../../src/base/errors.ts";
import { StateChecksumSum, stateChecksumToText } from "../../../src/format/checksum.ts";
import { DIGEST_BYTES } from "../../../src/format/hash.ts";
import type { PlacedSegment } from "../../../src/format/model.ts";
import { PageSet, PageSetBuilder } from "../../../src/format/page-set.ts";
import {
  checkDigestArea,
  decodeSegmentFooter,
  openReadIndex,
  SEGMENT_FOOTER_BYTES,
} from "../../../src/format/segment-codec.ts";
import { placedKey } from "../../../src/replicate/commit-lookup.ts";
import { digestsOf } from "../../../src/replicate/digests.ts";
import { type LoadedCheckpoint, placesAllOf } from "../../../src/volume/loaded-checkpoint.ts";
import type { PageTable } from "../../../src/volume/page-table.ts";
import type { RemoteState } from "../../../src/volume/remote-state.ts";
import type { ServerContext } from "../context.ts";
import { type KnownVolume, signalOf } from "../volume-logs.ts";
import { asLie, lie } from "./lies.ts";
import { checkFrames } from "./segment.ts";

export interface PlaceCheck {
  /** For messages. */
  readonly what: string;
  readonly known: KnownVolume;
  readonly loaded: LoadedCheckpoint;
  /** As the log has it. */
  readonly state: RemoteState;
  /** Checkpoints that are believed already. */
  readonly sources: readonly LoadedCheckpoint[];
}

/** Segments that are looked at together. */
const SEGMENTS_AT_ONCE = 4;
/** Pages whose digests are in memory at a time. */
const SLICE_PAGES = 65_536;

/** @throws 422 */
export async function checkPlaces(
  context: ServerContext,
  check: PlaceCheck,
  signal: AbortSignal,
): Promise<void> {
  const { what, loaded, state } = check;
  const { checkpoint } = loaded;
  for (const { volume } of checkpoint.segments) {
    if (volume !== checkpoint.volume)
      throw lie(what, `it places pages in objects of volume ${volume}, which keeps nothing for it`);
  }
  if (!placesAllOf(checkpoint, false)) return comparePages(context, check, signal);
  const sum = new StateChecksumSum();
  await eachSegment(checkpoint.segments, async (segment) => {
    const digests = await digestsIn(context, check, segment, signal);
    for (const { first, last } of segment.pages.runs()) {
      // Pages without a gap have ranks without one.
      const rank = digests.pages.rankOf(first);
      sum.add(digests.bytes, rank * DIGEST_BYTES, last - first + 1);
    }
  });
  if (sum.value() === state.stateChecksum) return;
  throw lie(
    what,
    `the pages in its places make a state checksum of ${stateChecksumToText(sum.value())}, that of commit ${state.lsn} is ${stateChecksumToText(state.stateChecksum)}`,
    { lsn: state.lsn },
  );
}

/** Those that nothing believed says already, against what the log says. */
async function comparePages(context: ServerContext, check: PlaceCheck, signal: AbortSignal): Promise<void> {
  const { what, known, loaded, state, sources } = check;
  const { segments } = loaded.checkpoint;
  const agreeing = sources.map((source) => ({ source, same: agreement(source.table, state) }));
  await eachSegment(segments, async (segment) => {
    const proven = agreeing.flatMap(({ source, same }) => {
      const theirs = source.checkpoint.segments.find((other) => isSame(other, segment));
      return theirs === undefined ? [] : [theirs.pages.intersect(same)];
    });
    const fresh = segment.pages.subtract(PageSet.unionAll(proven));
    if (fresh.isEmpty) return;
    const found = await digestsIn(context, check, segment, signal);
    await eachSlice(context, check, fresh, signal, (digest, page) => {
      const at = found.pages.rankOf(page) * DIGEST_BYTES;
      for (let i = 0; i < DIGEST_BYTES; i++) {
        if (digest[i] !== found.bytes[at + i])
          throw lie(
            what,
            `segment ${segment.id} holds other bytes of page ${page} than commit ${state.table.lookup(page)} wrote`,
          );
      }
    });
  });
  if (!placesAllOf(loaded.checkpoint, true)) return;
  const placed = PageSet.unionAll(segments.map(({ pages }) => pages));
  const zeros = ownPages(state, known.forkPoint).subtract(placed);
  await eachSlice(context, check, zeros, signal, (digest, page) => {
    if (digest.some((byte) => byte !== 0)) throw lie(what, `page ${page} has no place, and is not all zeros`);
  });
}

/** Hands over the digest of each of some pages, as the log says it. */
async function eachSlice(
  { logs }: ServerContext,
  { what, known, state }: PlaceCheck,
  pages: PageSet,
  signal: AbortSignal,
  take: (digest: Uint8Array, page: number) => void,
): Promise<void> {
  for (let from = 0; from < pages.size; from += SLICE_PAGES) {
    const slice = pages.slice(from, from + SLICE_PAGES);
    const digests = await logs.fetcher
      .run(digestsOf(logs.plans(known), state.table, slice), signal)
      .catch((error: unknown) => {
        if (!isPagefoldError(error, "corrupt", "not_found", "diverged")) throw error;
        throw lie(what, `what its pages should be cannot be read: ${error.message}`);
      });
    let at = 0;
    for (const page of slice) {
      take(digests.subarray(at, at + DIGEST_BYTES), page);
      at += DIGEST_BYTES;
    }
  }
}

async function eachSegment(
  segments: readonly PlacedSegment[],
  work: (segment: PlacedSegment) => Promise<void>,
): Promise<void> {
  for (let i = 0; i < segments.length; i += SEGMENTS_AT_ONCE)
    await Promise.all(segments.slice(i, i + SEGMENTS_AT_ONCE).map(work));
}

/** The digest area of a stored segment, proven to be that of its frames, and the pages in it. @throws 422 */
async function digestsIn(
  context: ServerContext,
  { what, known, state }: PlaceCheck,
  segment: PlacedSegment,
  signal: AbortSignal,
): Promise<{ readonly bytes: Uint8Array; readonly pages: PageSet }> {
  const { codecs, origin, verified } = context;
  const { ref, id, volume } = segment;
  const key = placedKey(segment);
  const where = { volume, lsn: state.lsn, segment: id };
  const stored = async (offset: number, length: number): Promise<Uint8Array> => {
    // Not through the cache: the question is whether the store has it.
    const part = await origin.get(key, { range: { offset, length }, ...signalOf(signal) });
    if (part?.length === length) return part;
    throw lie(
      what,
      `segment ${id} ${part === undefined ? "is not stored; send it first" : "is shorter than it says"}`,
      where,
    );
  };
  const { offset } = ref.index;
  const tail = await stored(offset, ref.length - offset);
  const digests = tail.subarray(
    ref.digests.offset - offset,
    ref.digests.offset - offset + ref.digests.length,
  );
  try {
    const footer = decodeSegmentFooter(tail.subarray(tail.length - SEGMENT_FOOTER_BYTES), ref.length, where);
    const isOther = footer.volume !== volume || footer.id !== id;
    if (isOther || (segment.kind === "commit" && footer.lsn !== segment.number))
      throw lie(what, `segment ${id} says that it is another`, where);
    const index = openReadIndex(codecs.hash, tail.subarray(0, ref.index.length), ref, where);
    checkDigestArea(codecs.hash, digests, ref, where);
    if (index.pageSize !== known.manifest.pageSize)
      throw lie(what, `segment ${id} has pages of another size`, where);
    if (!segment.pages.subtract(index.pages).isEmpty)
      throw lie(what, `segment ${id} lacks pages that are placed there`, where);
    if (!verified.has(key, ref)) {
      await checkFrames(context, known.manifest, { index, digests, what, where }, (first, last) =>
        stored(first.offset, last.offset + last.length - first.offset),
      );
      verified.add(key, ref);
    }
    return { bytes: digests, pages: index.pages };
  } catch (error) {
    throw asLie(what, error);
  }
}

function isSame(a: PlacedSegment, b: PlacedSegment): boolean {
  return (
    a.id === b.id &&
    placedKey(a) === placedKey(b) &&
    a.ref.indexHash === b.ref.indexHash &&
    a.ref.digestsHash === b.ref.digestsHash &&
    a.ref.length === b.ref.length
  );
}

/** Pages that the same commit wrote last in both. */
function agreement(table: PageTable, { table: other, pageCount }: RemoteState): PageSet {
  const same = new PageSetBuilder();
  for (const { first, last, value } of table.runs(1, pageCount)) {
    if (value === 0) continue;
    for (const run of other.runs(first, last)) if (run.value === value) same.addRun(run.first, run.last);
  }
  return same.build();
}

/** Pages that the volume's own commits wrote last. */
function ownPages({ table, pageCount }: RemoteState, forkPoint: Lsn): PageSet {
  const own = new PageSetBuilder();
  for (const { first, last, value } of table.runs(1, pageCount))
    if (value > forkPoint) own.addRun(first, last);
  return own.build();
}
