/**
 * From pages to verified bytes, apart from how bytes travel: which commit headers, read indexes and frames are needed for some
 * pages of a state, and what to do with them when they arrive. Nothing leaves here before it was checked against the log.
 */
import type { Lsn, PageIdx, VolumeId } from "../base/brand.ts";
import { PagefoldError } from "../base/errors.ts";
import type { DecodedCommit } from "../format/commit-codec.ts";
import { decodeFrame } from "../format/frame.ts";
import type { FrameRef, ReadIndex, SegmentRef } from "../format/model.ts";
import { PageSet } from "../format/page-set.ts";
import type { CommitDirectory } from "../volume/commit-directory.ts";
import type { FetchPlan, RangeRequest } from "../volume/fetch-plan.ts";
import {
  type FramePlanContext,
  fetchRanges,
  loadCommits,
  loadIndexes,
  placeOf,
  segmentName,
} from "./commit-lookup.ts";

/** Pages to be had of one commit: all of them were written last by `lsn` in the state at hand. */
export interface WantedPages {
  readonly lsn: Lsn;
  readonly pages: PageSet;
}

/** One frame to fetch: where it is, what proves it, what is in it. */
export interface FrameTask {
  /** Unique within the volume, so that concurrent readers share one flight. */
  readonly id: string;
  readonly key: string;
  /** Within the object. */
  readonly offset: number;
  readonly lsn: Lsn;
  /** Ordinal of the segment in its commit, and of the frame in its segment. */
  readonly segment: number;
  readonly frameNo: number;
  readonly frame: FrameRef;
  readonly index: ReadIndex;
  readonly volume: VolumeId;
  readonly segmentName: string;
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

/** Finds wanted pages; loads commit headers and read indexes that are not known yet. */
export function* resolveFrames(
  context: FramePlanContext,
  wanted: readonly WantedPages[],
): FetchPlan<ResolvedPages> {
  const commits = yield* loadCommits(
    context,
    wanted.map(({ lsn }) => lsn),
  );
  const segments = wanted.flatMap(({ lsn, pages }) => segmentsOf(commits.get(lsn)!, pages));
  const indexes = yield* loadIndexes(context, segments);
  return {
    tasks: segments.flatMap((segment, i) => framesOf(context.directory, segment, indexes[i]!)),
    zeroed: wanted
      .map(({ lsn, pages }) => ({ lsn, pages: pages.intersect(commits.get(lsn)!.header.zeroed) }))
      .filter(({ pages }) => !pages.isEmpty),
  };
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
  return {
    volume: task.volume,
    lsn: task.lsn,
    segment: task.segmentName,
    frame: task.frameNo,
    key: task.key,
  };
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
      sink(task.lsn, pages, bytes);
    } catch (error) {
      context.directory.forgetStart(task.key);
      failure ??= { error };
    }
  }
  if (failure !== undefined) throw failure.error;
}

interface SegmentPages {
  readonly commit: DecodedCommit;
  readonly ordinal: number;
  readonly pages: PageSet;
}

/** Splits pages of one commit by its segments; zeroed pages have no bytes and need none. */
function segmentsOf(commit: DecodedCommit, pages: PageSet): SegmentPages[] {
  const { header } = commit;
  const stored = pages.subtract(header.zeroed);
  if (!stored.subtract(header.changed).isEmpty) {
    throw new PagefoldError(
      "corrupt",
      `the log of volume ${header.volume} says that commit ${header.lsn} wrote pages ${stored.subtract(header.changed)}, the commit does not have them; ` +
        "a rollup lies: run `pagefold verify` on the store",
      { details: { volume: header.volume, lsn: header.lsn } },
    );
  }
  if (stored.isEmpty) return [];
  const found: SegmentPages[] = [];
  header.segments.forEach((segment, ordinal) => {
    if (segment.lastPage < stored.first! || segment.firstPage > stored.last!) return;
    const inside = stored.intersect(PageSet.range(segment.firstPage, segment.lastPage));
    if (!inside.isEmpty) found.push({ commit, ordinal, pages: inside });
  });
  return found;
}

function framesOf(
  directory: CommitDirectory,
  { commit, ordinal, pages }: SegmentPages,
  index: ReadIndex,
): FrameTask[] {
  const { header } = commit;
  const { key, base } = placeOf(directory, commit, ordinal);
  const numbers = new Set<number>();
  for (const page of pages) {
    const rank = index.pages.rankOf(page);
    if (rank === -1) throw lyingIndex(header.volume, header.lsn, header.segments[ordinal]!, page);
    numbers.add(Math.floor(rank / index.framePages));
  }
  return [...numbers].map((frameNo) => {
    const frame = index.frame(frameNo);
    return {
      id: `${header.lsn}/${ordinal}/${frameNo}`,
      key,
      offset: base + frame.offset,
      lsn: header.lsn,
      segment: ordinal,
      frameNo,
      frame,
      index,
      volume: header.volume,
      segmentName: segmentName(header.segments[ordinal]!),
    };
  });
}

function lyingIndex(volume: VolumeId, lsn: Lsn, segment: SegmentRef, page: PageIdx): PagefoldError {
  return new PagefoldError(
    "corrupt",
    `the read index of segment ${segmentName(segment)} of commit ${lsn} of volume ${volume} lacks page ${page} that the commit says it holds`,
    { details: { volume, lsn, segment: segmentName(segment), page } },
  );
}

function missingFrame(context: FramePlanContext, task: FrameTask, truncated: boolean): PagefoldError {
  return new PagefoldError(
    "corrupt",
    `segment ${task.segmentName} of commit ${task.lsn} of volume ${task.volume} is ${truncated ? "truncated" : "missing"} in ${context.storeUrl} ` +
      `(frame ${task.frameNo}); other pages are still readable: restore the object from a copy of the store`,
    { details: whereIs(task) },
  );
}
