/**
 * How much of a snapshot is on this side, as a map of bounded size: one cell for each block of pages, whatever the size of the volume. Data
 * only; pictures of it are drawn elsewhere. Called by whoever shows a volume; makes no request and reads no page.
 */
import { PagefoldError } from "../base/errors.ts";
import { forEachCached } from "../volume/cached-pages.ts";
import type { PageTable } from "../volume/page-table.ts";
import type { Snapshot } from "../volume/snapshot.ts";

export const DEFAULT_CELLS_MAX = 4096;
const CELLS_MAX = 65_536;

/** What a page can be, each page exactly one of them. */
export const pageStates = ["absent", "prefetched", "resident", "hot", "dirty", "unwritten"] as const;
export type PageState = (typeof pageStates)[number];

/**
 * Pages per state, for all pages (`totals`) and cell by cell: cell i holds the pages from `i * pagesPerCell + 1` on.
 *
 * - `absent`: must be fetched before it can be read
 * - `prefetched`: fetched along with others or ahead of them, and not read since
 * - `resident`: here, and read once or kept from an earlier run
 * - `hot`: read more than once of late
 * - `dirty`: written by a local commit that was not pushed
 * - `unwritten`: never written; reads as zeros and needs no fetch
 */
export interface Residency extends Readonly<Record<PageState, readonly number[]>> {
  /** The remote commit that the snapshot stands on. */
  readonly lsn: number;
  readonly pageSize: number;
  readonly pageCount: number;
  /** A power of two, so that a growing volume keeps its cells for a while. */
  readonly pagesPerCell: number;
  readonly cells: number;
  readonly totals: Readonly<Record<PageState, number>>;
}

export interface ResidencyOptions {
  /** At most so many cells, 1 … 65536; default 4096. */
  readonly cells?: number;
}

/** What a table alone says of each cell: pages that lie in the remote, and pages of local commits. */
interface Written {
  readonly stored: Float64Array;
  readonly dirty: Float64Array;
}

/** Tables never change, so that asking again and again costs no walk through the same one. */
const writtenBefore = new WeakMap<PageTable, Map<string, Written>>();

/**
 * The map of a snapshot, as of now. O(slots of the page cache + cells), and once for each page table O(its runs of one writer): at worst the pages
 * of the volume, about 30 ns each, where no two neighbours were written by one commit.
 * @throws `invalid` for a number of cells out of range
 */
export function residencyOf(snapshot: Snapshot, options: ResidencyOptions = {}): Residency {
  const { table, pageCount, pageSize, lsn, context } = snapshot;
  const pagesPerCell = pagesPerCellOf(pageCount, options.cells ?? DEFAULT_CELLS_MAX);
  const cells = Math.ceil(pageCount / pagesPerCell);
  const { stored, dirty } = writtenOf(table, pageCount, pagesPerCell);
  const uses = { prefetched: zeros(cells), read: zeros(cells), hot: zeros(cells) };
  forEachCached(context.cache, context.replica, (page, writer, use) => {
    // Other versions of the page are of no use to this snapshot.
    if (page > pageCount || table.lookup(page) !== writer) return;
    uses[use][Math.floor((page - 1) / pagesPerCell)]!++;
  });
  const { prefetched, read: resident, hot } = uses;
  const absent = zeros(cells).map((_, i) => stored[i]! - prefetched[i]! - resident[i]! - hot[i]!);
  const unwritten = zeros(cells).map((_, i) => {
    const pages = Math.min(pagesPerCell, pageCount - i * pagesPerCell);
    return pages - stored[i]! - dirty[i]!;
  });
  const byState = { absent, prefetched, resident, hot, dirty: [...dirty], unwritten };
  const totals = Object.fromEntries(
    pageStates.map((state) => [state, byState[state].reduce((sum, pages) => sum + pages, 0)]),
  ) as Record<PageState, number>;
  return { lsn, pageSize, pageCount, pagesPerCell, cells, ...byState, totals };
}

/** The smallest power of two with which `pageCount` pages fill no more than `cellsMax` cells. */
export function pagesPerCellOf(pageCount: number, cellsMax: number): number {
  if (!Number.isInteger(cellsMax) || cellsMax < 1 || cellsMax > CELLS_MAX) {
    throw new PagefoldError("invalid", `a map has from 1 to ${CELLS_MAX} cells, not ${cellsMax}`);
  }
  let pages = 1;
  while (pages * cellsMax < pageCount) pages *= 2;
  return pages;
}

function writtenOf(table: PageTable, pageCount: number, pagesPerCell: number): Written {
  const known = writtenBefore.get(table) ?? new Map<string, Written>();
  writtenBefore.set(table, known);
  const key = `${pageCount}/${pagesPerCell}`;
  const before = known.get(key);
  if (before !== undefined) return before;
  const cells = Math.ceil(pageCount / pagesPerCell);
  const written = { stored: new Float64Array(cells), dirty: new Float64Array(cells) };
  for (const { first, last, value } of table.runs(1, pageCount)) {
    if (value !== 0) addRun(value < 0 ? written.dirty : written.stored, first, last, pagesPerCell);
  }
  known.set(key, written);
  return written;
}

/** Spreads a run of pages over the cells it lies in. */
function addRun(counts: Float64Array, first: number, last: number, pagesPerCell: number): void {
  for (let page = first; page <= last; ) {
    const cell = Math.floor((page - 1) / pagesPerCell);
    const end = Math.min(last, (cell + 1) * pagesPerCell);
    counts[cell]! += end - page + 1;
    page = end + 1;
  }
}

function zeros(length: number): number[] {
  return new Array<number>(length).fill(0);
}
