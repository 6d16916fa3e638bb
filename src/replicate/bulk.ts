/**
 * Reading many pages of a state: every frame is fetched once, in ranges of some hundred KiB, decoded in parallel where the decoder can, and
 * handed over in no particular order. Memory is bounded by the number of ranges in flight, not by the volume.
 */
import type { Lsn } from "../base/brand.ts";
import { throwIfAborted } from "../base/errors.ts";
import { DIGEST_BYTES } from "../format/hash.ts";
import { PageSet, PageSetBuilder } from "../format/page-set.ts";
import type { CommitDirectory } from "../volume/commit-directory.ts";
import type { LoadedCheckpoint } from "../volume/loaded-checkpoint.ts";
import type { PageTable } from "../volume/page-table.ts";
import type { ReplicaContext } from "./context.ts";
import {
  type FrameGroup,
  frameBytes,
  groupFrames,
  pagesOfFrame,
  resolveFrames,
  versions,
  type WantedPages,
  whereIs,
} from "./frame-plan.ts";
import { foundGone, toTell } from "./locate.ts";
import { wantedPages } from "./supply.ts";

/** Called with the verified pages of one range, whose bytes are good until the promise resolves; the next ranges wait for it. */
export type BulkSink = (pages: readonly BulkPages[]) => void | Promise<void>;

/** Pages of adjacent frames that were wanted. */
export interface BulkPages {
  /** Who wrote them; 0 for pages that were on this side already. */
  readonly lsn: Lsn;
  readonly pages: Uint32Array;
  /** Back to back. */
  readonly bytes: Uint8Array;
  /** 16 bytes each, computed from the bytes. */
  readonly digests: Uint8Array;
}

export interface BulkOptions {
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((pagesDone: number, pagesTotal: number) => void) | undefined;
  /** Told of pages that a commit made zeros, of which nothing is fetched. */
  readonly onZeroed?: ((lsn: Lsn, pages: PageSet) => void) | undefined;
}

export interface BulkResult {
  readonly pages: number;
  readonly requests: number;
  readonly bytesFetched: number;
}

/** Stored bytes of one range. Small enough that a job keeps a worker busy for some milliseconds only. */
const RANGE_BYTES = 512 * 1024;
/** Pages, and commits, whose frames are looked up together. */
const SLICE_PAGES = 65_536;
const SLICE_COMMITS = 256;

/**
 * Fetches `pages` of a state whose table holds LSNs only; pages never written, or zeroed, are handed over by nobody.
 * @throws `corrupt` naming the first bad frame; everything handed over before is good.
 */
export async function bulkRead(
  context: ReplicaContext,
  table: PageTable,
  pages: PageSet,
  sink: BulkSink,
  options: BulkOptions = {},
): Promise<BulkResult> {
  const { fetcher, frames, decoder } = context;
  const inFlight = new Set<Promise<void>>();
  let failure: { readonly error: unknown } | undefined;
  let done = 0;
  let requests = 0;
  let bytesFetched = 0;
  const tally = (count: number) => {
    done += count;
    options.onProgress?.(done, pages.size);
  };
  // What was collected under the reader is looked for again in the end.
  let again: WantedPages[] = [];
  let gone: unknown;
  const readSlice = async (slice: readonly WantedPages[]): Promise<void> => {
    throwIfAborted(options.signal, "reading pages");
    const wanted = new Map(slice.map((each) => [each.lsn, each.pages]));
    const { tasks, zeroed } = await fetcher.run(resolveFrames(frames, slice), options.signal);
    for (const each of zeroed) {
      options.onZeroed?.(each.lsn, each.pages);
      tally(each.pages.size);
    }
    for (const group of groupFrames(tasks, RANGE_BYTES, 0)) {
      while (inFlight.size >= decoder.parallelism + 2 && failure === undefined) await Promise.race(inFlight);
      if (failure !== undefined) return;
      const flight = readGroup(context, group, wanted, options.signal)
        .then(async ({ read, bytes }) => {
          requests++;
          bytesFetched += group.request.length;
          await sink(read);
          tally(read.reduce((sum, { pages: some }) => sum + some.length, 0));
          decoder.recycle?.(bytes);
        })
        .catch((error) => {
          if (!foundGone(frames, error)) failure ??= { error };
          else again.push(...wantedOf(group, wanted));
          gone ??= error;
        })
        .finally(() => inFlight.delete(flight));
      inFlight.add(flight);
    }
  };
  const readAll = async (all: Iterable<readonly WantedPages[]>): Promise<void> => {
    for (const slice of all) {
      try {
        await readSlice(slice);
      } catch (error) {
        if (!foundGone(frames, error)) failure ??= { error: toTell(frames, gone, error) };
        else again.push(...slice);
        gone ??= error;
      }
      if (failure !== undefined) break;
    }
    await Promise.all(inFlight);
  };
  await readAll(slices(frames.directory, table, pages));
  while (again.length > 0 && failure === undefined) {
    const rest = again;
    again = [];
    await readAll([rest]);
  }
  if (failure !== undefined) throw failure.error;
  return { pages: done, requests, bytesFetched };
}

/** What was wanted of a group, to be asked for again. */
function wantedOf({ tasks }: FrameGroup, wanted: ReadonlyMap<Lsn, PageSet>): WantedPages[] {
  const pages = PageSet.unionAll(tasks.map(pagesOfFrame));
  const { source } = tasks[0]!;
  const lsns = new Set([...pages].map((page) => source.versionOf(page)));
  return [...lsns]
    .map((lsn) => ({ lsn, pages: pages.intersect(wanted.get(lsn) ?? PageSet.empty) }))
    .filter((each) => !each.pages.isEmpty);
}

async function readGroup(
  context: ReplicaContext,
  group: FrameGroup,
  wanted: ReadonlyMap<Lsn, PageSet>,
  signal: AbortSignal | undefined,
): Promise<DecodedGroup> {
  const { fetcher, frames, decoder, replica } = context;
  const { pageSize, digestSeed } = replica.manifest;
  const answer = await fetcher.getAlone(group.request, signal);
  const contents = group.tasks.map((task) => Uint32Array.from(pagesOfFrame(task)));
  const { bytes, digests } = await decoder.decode({
    frames: group.tasks.map((task, i) => ({
      frame: task.frame,
      stored: frameBytes(frames, group, task, answer),
      pages: contents[i]!,
      where: whereIs(task),
    })),
    pageSize,
    digestSeed,
  });
  return { read: byWriter(group, contents, wanted, { bytes, digests, pageSize }), bytes };
}

/** What was wanted of a group, in runs of pages that one commit wrote. */
function byWriter(
  group: FrameGroup,
  contents: readonly Uint32Array[],
  wanted: ReadonlyMap<Lsn, PageSet>,
  { bytes, digests, pageSize }: { bytes: Uint8Array; digests: Uint8Array; pageSize: number },
): BulkPages[] {
  // All frames of a group lie in one object, so in one segment.
  const { source } = group.tasks[0]!;
  const pages = joinPages(contents);
  const read: BulkPages[] = [];
  for (const { lsn, from, count } of versions(source, pages)) {
    const asked = wanted.get(lsn);
    if (asked === undefined) continue;
    const run = {
      lsn,
      pages: pages.subarray(from, from + count),
      bytes: bytes.subarray(from * pageSize, (from + count) * pageSize),
      digests: digests.subarray(from * DIGEST_BYTES, (from + count) * DIGEST_BYTES),
    };
    const some = onlyWanted(run, asked, pageSize);
    if (some.pages.length > 0) read.push(some);
  }
  return read;
}

interface DecodedGroup {
  readonly read: readonly BulkPages[];
  /** The decoder's answer, which `read` may be a view of. */
  readonly bytes: Uint8Array;
}

function joinPages(parts: readonly Uint32Array[]): Uint32Array {
  const pages = new Uint32Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    pages.set(part, at);
    at += part.length;
  }
  return pages;
}

/** Frames bring their neighbours along; those that were not asked for (or were overwritten since) are left out. */
function onlyWanted(all: BulkPages, wanted: PageSet, pageSize: number): BulkPages {
  const kept = all.pages.filter((page) => wanted.has(page));
  if (kept.length === all.pages.length) return all;
  const bytes = new Uint8Array(kept.length * pageSize);
  const digests = new Uint8Array(kept.length * DIGEST_BYTES);
  let k = 0;
  all.pages.forEach((page, i) => {
    if (page !== kept[k]) return;
    bytes.set(all.bytes.subarray(i * pageSize, (i + 1) * pageSize), k * pageSize);
    digests.set(all.digests.subarray(i * DIGEST_BYTES, (i + 1) * DIGEST_BYTES), k * DIGEST_BYTES);
    k++;
  });
  return { lsn: all.lsn, pages: kept, bytes, digests };
}

/**
 * Cuts the work into lookups of bounded size. What the newest checkpoint places comes in page order, as it lies in its segments: else a frame would be
 * fetched again for every slice of the commits that wrote pages in it.
 */
function* slices(directory: CommitDirectory, table: PageTable, pages: PageSet): Generator<WantedPages[]> {
  const newest = [...directory.checkpoints()]
    .filter(({ checkpoint }) => checkpoint.segments.length > 0)
    .reduce<LoadedCheckpoint | undefined>((a, b) => (a === undefined || b.lsn > a.lsn ? b : a), undefined);
  if (newest === undefined) return yield* slicesByCommit(table, pages);
  const builder = new PageSetBuilder();
  for (const page of pages)
    if (newest.placeOf(page, table.lookup(page) as Lsn) !== undefined) builder.add(page);
  const placed = builder.build();
  for (let from = 0; from < placed.size; from += SLICE_PAGES) {
    const some = placed.size <= SLICE_PAGES ? placed : placed.slice(from, from + SLICE_PAGES);
    yield wantedPages(table, some);
  }
  yield* slicesByCommit(table, pages.subtract(placed));
}

/** Parts of a big commit, or many small ones. */
function* slicesByCommit(table: PageTable, pages: PageSet): Generator<WantedPages[]> {
  let slice: WantedPages[] = [];
  let count = 0;
  for (const [value, written] of table.byValue(pages.last ?? 0)) {
    if (value < 0) continue; // local commits are not fetched
    const wanted = written.intersect(pages);
    for (let from = 0; from < wanted.size; from += SLICE_PAGES) {
      const some = wanted.size <= SLICE_PAGES ? wanted : wanted.slice(from, from + SLICE_PAGES);
      slice.push({ lsn: value as Lsn, pages: some });
      count += some.size;
      if (count >= SLICE_PAGES || slice.length >= SLICE_COMMITS) {
        yield slice;
        slice = [];
        count = 0;
      }
    }
  }
  if (slice.length > 0) yield slice;
}
