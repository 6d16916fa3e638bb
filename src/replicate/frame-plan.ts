/**
 * From pages to verified bytes, apart from how bytes travel: which commit headers, read indexes and frames are needed for some
 * pages of a state, and what to do with them when they arrive. Nothing leaves here before it was checked against the log.
 */
import type { Lsn, PageIdx } from "../base/brand.ts";
import { PagefoldError } from "../base/errors.ts";
import { decodeFrame } from "../format/frame.ts";
import type { FrameRef, ReadIndex } from "../format/model.ts";
import type { PageSet } from "../format/page-set.ts";
import type { FetchPlan, RangeRequest } from "../volume/fetch-plan.ts";
import {
  type FramePlanContext,
  fetchRanges,
  loadIndexes,
  type SegmentSource,
  whereOf,
} from "./commit-lookup.ts";
import { foundGone, locatePages, type SegmentPages, toTell, type WantedPages } from "./locate.ts";

export type { WantedPages } from "./locate.ts";

/** One frame to fetch: where it is, what proves it, what is in it. */
export interface FrameTask {
  /** Unique within the store, so that concurrent readers share one flight. */
  readonly id: string;
  readonly key: string;
  /** Within the object. */
  readonly offset: number;
  readonly frameNo: number;
  readonly frame: FrameRef;
  readonly index: ReadIndex;
  readonly source: SegmentSource;
}

/** One ranged GET that serves several adjacent frames. */
export interface FrameGroup {
  readonly request: RangeRequest;
  readonly tasks: readonly FrameTask[];
}

/** Receives verified pages that `lsn` wrote; `bytes` holds them back to back, in the order of `pages`. */
export type PageSink = (lsn: Lsn, pages: PageSet, bytes: Uint8Array) => void;

/** Hands over pages that are all zeros. */
export function sinkZeros(zeroed: readonly WantedPages[], pageSize: number, sink: PageSink): void {
  for (const { lsn, pages } of zeroed) sink(lsn, pages, new Uint8Array(pages.size * pageSize));
}

/** Where wanted pages are: in frames, or nowhere, because their commit made them zeros. */
export interface ResolvedPages {
  readonly tasks: readonly FrameTask[];
  readonly zeroed: readonly WantedPages[];
}

/** Finds wanted pages; loads commit headers, checkpoints and read indexes that are not known yet. */
export function* resolveFrames(
  context: FramePlanContext,
  wanted: readonly WantedPages[],
): FetchPlan<ResolvedPages> {
  const { segments, zeroed } = yield* locatePages(context, wanted);
  const indexes = yield* loadIndexes(
    context,
    segments.map(({ source }) => source),
  );
  return { tasks: segments.flatMap((segment, i) => framesOf(segment, indexes[i]!)), zeroed };
}

/** Adjacent frames become one range; `maxBytes` bounds a range, `gapBytes` is what may be read for nothing between two. */
export function groupFrames(tasks: readonly FrameTask[], maxBytes: number, gapBytes: number): FrameGroup[] {
  const sorted = [...tasks].sort((a, b) => (a.key === b.key ? a.offset - b.offset : a.key < b.key ? -1 : 1));
  const groups: { key: string; start: number; end: number; tasks: FrameTask[] }[] = [];
  for (const task of sorted) {
    const end = task.offset + task.frame.length;
    const last = groups[groups.length - 1];
    if (
      last !== undefined &&
      last.key === task.key &&
      task.offset - last.end <= gapBytes &&
      end - last.start <= maxBytes
    ) {
      last.tasks.push(task);
      last.end = Math.max(last.end, end);
    } else {
      groups.push({ key: task.key, start: task.offset, end, tasks: [task] });
    }
  }
  return groups.map(({ key, start, end, tasks: members }) => ({
    request: { key, offset: start, length: end - start },
    tasks: members,
  }));
}

/** The stored bytes of one frame of a group. */
export function frameBytes(
  context: FramePlanContext,
  group: FrameGroup,
  task: FrameTask,
  answer: Uint8Array | undefined,
): Uint8Array {
  const start = task.offset - group.request.offset;
  if (answer === undefined || answer.length < start + task.frame.length)
    throw missingFrame(context, task, answer !== undefined);
  return answer.subarray(start, start + task.frame.length);
}

/** Verifies and decompresses one frame. */
export function openFrame(
  context: FramePlanContext,
  task: FrameTask,
  stored: Uint8Array,
): { pages: PageSet; bytes: Uint8Array } {
  const pages = pagesOfFrame(task);
  const bytes = decodeFrame(
    context.codecs,
    task.frame,
    stored,
    pages.size * task.index.pageSize,
    whereIs(task),
  );
  return { pages, bytes };
}

export function pagesOfFrame(task: FrameTask): PageSet {
  const { framePages, pages } = task.index;
  return pages.slice(task.frameNo * framePages, Math.min(pages.size, (task.frameNo + 1) * framePages));
}

export function whereIs(task: FrameTask): {
  volume: string;
  lsn: number;
  segment: string;
  frame: number;
  key: string;
} {
  return { ...whereOf(task.source), frame: task.frameNo };
}

/** Hands over the pages of a frame by who wrote them; those of which that is not known are older than anybody wants. */
function handOver({ source }: FrameTask, pages: PageSet, bytes: Uint8Array, sink: PageSink): void {
  const pageSize = bytes.length / pages.size;
  for (const { lsn, from, count } of versions(source, pages)) {
    if (lsn === 0) continue;
    const some = count === pages.size ? pages : pages.slice(from, from + count);
    sink(lsn, some, bytes.subarray(from * pageSize, (from + count) * pageSize));
  }
}

/** Runs of pages, by rank, that one commit wrote. */
export function versions(
  source: SegmentSource,
  pages: Iterable<number>,
): { readonly lsn: Lsn; readonly from: number; readonly count: number }[] {
  const runs: { lsn: Lsn; from: number; count: number }[] = [];
  let rank = 0;
  for (const page of pages) {
    const lsn = source.versionOf(page);
    const last = runs[runs.length - 1];
    if (last?.lsn === lsn) last.count++;
    else runs.push({ lsn, from: rank, count: 1 });
    rank++;
  }
  return runs;
}

/** Finds pages, fetches, verifies and hands them over, in the caller's own thread. */
export function* loadPages(
  context: FramePlanContext,
  wanted: readonly WantedPages[],
  limits: { readonly maxBytes: number; readonly gapBytes: number },
  sink: PageSink,
): FetchPlan<void> {
  for (let gone: unknown; ; ) {
    try {
      const { tasks, zeroed } = yield* resolveFrames(context, wanted);
      sinkZeros(zeroed, context.directory.manifest.pageSize, sink);
      return yield* loadFrames(context, tasks, limits, sink);
    } catch (error) {
      if (!foundGone(context, error)) throw toTell(context, gone, error);
      gone ??= error;
    }
  }
}

/** Fetches, verifies and hands over frames, in the caller's own thread. */
export function* loadFrames(
  context: FramePlanContext,
  tasks: readonly FrameTask[],
  limits: { readonly maxBytes: number; readonly gapBytes: number },
  sink: PageSink,
): FetchPlan<void> {
  const groups = groupFrames(tasks, limits.maxBytes, limits.gapBytes);
  const answers = yield* fetchRanges(
    context.directory,
    groups.map((group) => group.request),
  );
  let failure: { readonly error: unknown } | undefined;
  groups.forEach((group, i) => {
    try {
      openGroup(context, group, answers[i], sink);
    } catch (error) {
      failure ??= { error };
    }
  });
  if (failure !== undefined) throw failure.error;
}

/** Hands over every good frame of a group, then throws the first failure: a bad frame takes no other page with it. */
export function openGroup(
  context: FramePlanContext,
  group: FrameGroup,
  answer: Uint8Array | undefined,
  sink: PageSink,
): void {
  let failure: { readonly error: unknown } | undefined;
  for (const task of group.tasks) {
    try {
      const { pages, bytes } = openFrame(context, task, frameBytes(context, group, task, answer));
      handOver(task, pages, bytes, sink);
    } catch (error) {
      context.directory.forgetStart(task.key);
      failure ??= { error };
    }
  }
  if (failure !== undefined) throw failure.error;
}

function framesOf({ source, pages }: SegmentPages, index: ReadIndex): FrameTask[] {
  const { key, base } = source;
  const numbers = new Set<number>();
  for (const page of pages) {
    const rank = index.pages.rankOf(page);
    if (rank === -1) throw lyingIndex(source, page);
    numbers.add(Math.floor(rank / index.framePages));
  }
  return [...numbers].map((frameNo) => {
    const frame = index.frame(frameNo);
    return { id: `${key}#${frameNo}`, key, offset: base + frame.offset, frameNo, frame, index, source };
  });
}

/** The error of a read index without a page that its segment is said to hold. */
export function lyingIndex(source: SegmentSource, page: PageIdx): PagefoldError {
  const where = whereOf(source);
  return new PagefoldError(
    "corrupt",
    `the read index of segment ${where.segment} of commit ${where.lsn} of volume ${where.volume} lacks page ${page} that the commit says it holds`,
    { details: { ...where, page } },
  );
}

function missingFrame(context: FramePlanContext, task: FrameTask, truncated: boolean): PagefoldError {
  const { segment, lsn, volume } = whereIs(task);
  return new PagefoldError(
    "corrupt",
    `segment ${segment} of commit ${lsn} of volume ${volume} is ${truncated ? "truncated" : "missing"} in ${context.storeUrl} ` +
      `(frame ${task.frameNo}); other pages are still readable: restore the object from a copy of the store`,
    { details: truncated ? whereIs(task) : { ...whereIs(task), gone: true } },
  );
}
