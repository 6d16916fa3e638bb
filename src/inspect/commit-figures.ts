/** What each commit of a volume's log changed and where it lies, in figures of bounded size whatever the size of the commit. */
import { PageSet } from "../format/page-set.ts";
import type { LogEntry } from "../replicate/past.ts";
import type { Volume } from "../store/volume.ts";

/** A range of pages, both ends included. */
export type PageRange = readonly [first: number, last: number];

export interface SegmentFigures {
  /** null: within the commit object. */
  readonly id: string | null;
  readonly firstPage: number;
  readonly lastPage: number;
  readonly storedBytes: number;
}

export interface CommitFigures {
  readonly lsn: number;
  /** Milliseconds since 1970. */
  readonly time: number;
  /** Pages changed, those that became zeros or went back to an older state included. */
  readonly pages: number;
  readonly zeroedPages: number;
  readonly restoredPages: number;
  /** The LSN whose state a restore brought back; null for any other commit. */
  readonly restoredFrom: number | null;
  readonly pageCount: number;
  readonly byteLength: number;
  /** Header, frames, indexes and digests, as stored. */
  readonly storedBytes: number;
  readonly hash: string;
  /** Where its pages are: within the commit object, in segments of their own, or nowhere, as there is none with bytes. */
  readonly placed: "inline" | "segments" | "none";
  readonly segmentCount: number;
  /** The first `SEGMENTS_MAX` of them. */
  readonly segments: readonly SegmentFigures[];
  /** The pages changed, in at most `RANGES_MAX` ranges: blocks of `blockPages` pages in which any was changed. */
  readonly ranges: readonly PageRange[];
  readonly blockPages: number;
}

export const SEGMENTS_MAX = 64;
export const RANGES_MAX = 64;

/**
 * The newest commits, newest first, and whether that is the whole log. Headers that this side does not know are fetched, many at a time.
 * @param options.limit how many; 0 for none, which makes no request
 */
export async function commitFiguresOf(
  volume: Volume,
  options: { readonly limit: number; readonly signal?: AbortSignal },
): Promise<readonly CommitFigures[]> {
  const { limit, ...rest } = options;
  const commits: CommitFigures[] = [];
  if (limit === 0) return commits;
  for await (const entry of volume.log(rest)) {
    commits.push(commitFigures(entry));
    if (commits.length >= limit) break;
  }
  return commits;
}

export function commitFigures(entry: LogEntry): CommitFigures {
  const { lsn, time, pages, pageCount, byteLength, bytes, hash, segments, changed, zeroed, restored } = entry;
  const isInline = segments.every(({ id }) => id === undefined);
  return {
    ...{ lsn, time, pages, zeroedPages: zeroed.size, pageCount, byteLength, storedBytes: bytes, hash },
    restoredPages: restored.size,
    restoredFrom: entry.restoredFrom ?? null,
    placed: segments.length === 0 ? "none" : isInline ? "inline" : "segments",
    segmentCount: segments.length,
    segments: segments.slice(0, SEGMENTS_MAX).map(({ id, firstPage, lastPage, bytes: storedBytes }) => ({
      id: id ?? null,
      firstPage,
      lastPage,
      storedBytes,
    })),
    ...coarseRanges(PageSet.unionAll([changed, zeroed, restored]), RANGES_MAX),
  };
}

/** A page set in so few ranges, as finely as they allow. O(runs · log pages) */
export function coarseRanges(
  pages: PageSet,
  rangesMax: number,
): { readonly ranges: readonly PageRange[]; readonly blockPages: number } {
  for (let blockPages = 1; ; blockPages *= 2) {
    const ranges = blockRanges(pages, blockPages, rangesMax);
    if (ranges !== undefined) return { ranges, blockPages };
  }
}

function blockRanges(pages: PageSet, blockPages: number, rangesMax: number): PageRange[] | undefined {
  const ranges: [number, number][] = [];
  for (const run of pages.runs()) {
    const first = Math.floor((run.first - 1) / blockPages) * blockPages + 1;
    const last = Math.ceil(run.last / blockPages) * blockPages;
    const before = ranges.at(-1);
    if (before !== undefined && first <= before[1] + 1) before[1] = last;
    else if (ranges.push([first, last]) > rangesMax) return undefined;
  }
  return ranges;
}
