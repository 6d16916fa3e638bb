/**
 * Copies pages of a state into new segments, in page order: those that lie scattered over small commits are read once, commit by commit, and held; those of
 * segments are read window by window. Everything is verified against the log as it is read, and what was written must add up to the digests of the
 * old places.
 */
import type { PageIdx, StateChecksum } from "../../base/brand.ts";
import { PagefoldError, throwIfAborted } from "../../base/errors.ts";
import { StateChecksumSum, stateChecksumToText } from "../../format/checksum.ts";
import type { PlacedSegment } from "../../format/model.ts";
import { PageSet } from "../../format/page-set.ts";
import { bulkRead } from "../../replicate/bulk.ts";
import type { FramePlanContext } from "../../replicate/commit-lookup.ts";
import type { ReplicaContext } from "../../replicate/context.ts";
import { digestsOf } from "../../replicate/digests.ts";
import { loadFrames, type PageSink, resolveFrames, type WantedPages } from "../../replicate/frame-plan.ts";
import { foundGone, toTell } from "../../replicate/locate.ts";
import type { FetchPlan } from "../../volume/fetch-plan.ts";
import { PageTable } from "../../volume/page-table.ts";
import type { RemoteState } from "../../volume/remote-state.ts";
import { CompactedWriter } from "./compacted-writer.ts";
import type { Pace } from "./pace.ts";
import type { Placement } from "./placement.ts";

/** Which segments a page goes to, with others of its class: a small whole number. */
export type PageClassifier = (page: PageIdx, bytes: Uint8Array) => number;

export interface MoveOptions {
  /** Of the floor under which the segments are written. */
  readonly number: number;
  readonly classify: PageClassifier | undefined;
  readonly pace: Pace;
  readonly signal: AbortSignal | undefined;
  readonly onSegment: () => void | Promise<void>;
  readonly onPages: (pages: number) => void;
}

export interface MovedPages {
  readonly segments: readonly PlacedSegment[];
  /** Of what was to be moved: pages that their commits made zeros, which need no place. */
  readonly zeroed: PageSet;
  readonly bytesRead: number;
  /** Of these, from commits. */
  readonly scatteredBytes: number;
  readonly bytesWritten: number;
  /** The digests of what was moved, added up. */
  readonly sum: StateChecksum;
}

/** Pages of segments that are in memory together, as bytes. */
const WINDOW_BYTES = 16 * 1_048_576;
/** Small commits that are read together: so many that the first bytes of each are still at hand when its digests are looked up. */
const SLICE_COMMITS = 128;
const SLICE_PAGES = 4096;

/**
 * Nothing names the segments yet. Where it fails, what was stored is deleted again.
 * @throws `corrupt` where the pages do not add up to the digests that their old places hold
 */
export async function movePages(
  context: ReplicaContext,
  placement: Placement,
  step: { readonly scattered: PageSet; readonly sorted: PageSet },
  options: MoveOptions,
): Promise<MovedPages> {
  const { state } = placement;
  const pages = step.scattered.size + step.sorted.size;
  const { number, pace, signal, onSegment } = options;
  const writer = new CompactedWriter(context, { number, lsn: state.lsn, pages, pace, signal, onSegment });
  try {
    const mover = new Mover(context, placement, options, writer);
    const held = await mover.readScattered(step.scattered);
    for (const window of windows(step, context.replica.manifest.pageSize)) await mover.move(window, held);
    const segments = await writer.finish();
    await mover.checkDigests(step.sorted);
    return {
      ...{ segments, zeroed: PageSet.unionAll(mover.zeroed), bytesWritten: writer.storedBytes },
      ...{ bytesRead: mover.bytesRead, scatteredBytes: mover.scatteredBytes, sum: writer.sum.value() },
    };
  } catch (error) {
    await writer.discard(error);
    throw error;
  }
}

/** Pages back to back, in set order. */
interface HeldPages {
  readonly pages: PageSet;
  readonly bytes: Uint8Array;
}

class Mover {
  readonly #context: ReplicaContext;
  readonly #placement: Placement;
  readonly #options: MoveOptions;
  readonly #writer: CompactedWriter;
  readonly #pageSize: number;
  /** Digests of the pages as their old places hold them. */
  readonly #expected = new StateChecksumSum();
  readonly zeroed: PageSet[] = [];
  bytesRead = 0;
  scatteredBytes = 0;

  constructor(context: ReplicaContext, placement: Placement, options: MoveOptions, writer: CompactedWriter) {
    this.#context = context;
    this.#placement = placement;
    this.#options = options;
    this.#writer = writer;
    this.#pageSize = context.replica.manifest.pageSize;
  }

  /** A request or two per commit, and their digests with them. */
  async readScattered(pages: PageSet): Promise<HeldPages> {
    const { fetcher, frames } = this.#context;
    const { state } = this.#placement;
    const held = { pages, bytes: new Uint8Array(pages.size * this.#pageSize) };
    const limits = { maxBytes: fetcher.settings.maxRangeBytes, gapBytes: fetcher.settings.gapBytes };
    for (const wanted of slices(this.#placement, pages)) {
      throwIfAborted(this.#options.signal, "a compaction");
      const keep = keepIn(held, state, this.#pageSize);
      const plan = readPages(frames, wanted, limits, keep);
      const { zeroed, bytes } = await fetcher.run(plan, this.#options.signal);
      for (const each of zeroed) this.zeroed.push(each.pages);
      this.bytesRead += bytes;
      this.scatteredBytes += bytes;
      await this.#expect(PageSet.unionAll(wanted.map((each) => each.pages)));
      await this.#options.pace.spend(bytes);
    }
    return held;
  }

  /** Reads what is not held of a window, and writes all of it in page order. */
  async move(window: { readonly pages: PageSet; readonly sorted: PageSet }, held: HeldPages): Promise<void> {
    const read = await this.#readSorted(window.sorted);
    const zeroed = PageSet.unionAll(this.zeroed);
    const { classify, onPages } = this.#options;
    for (const page of window.pages) {
      if (zeroed.has(page)) continue;
      const bytes = bytesOf(held, page, this.#pageSize) ?? bytesOf(read, page, this.#pageSize)!;
      const written = this.#writer.add(page, bytes, classify?.(page, bytes) ?? 0);
      if (written !== undefined) await written;
    }
    onPages(window.pages.size);
  }

  /** What was written must be what was there. */
  async checkDigests(sorted: PageSet): Promise<void> {
    // Part by part, so that every digest area is fetched once.
    for (const part of this.#placement.parts(sorted)) await this.#expect(part);
    const expected = this.#expected.value();
    const found = this.#writer.sum.value();
    if (expected === found) return;
    const { volume, state } = this.#placement;
    throw new PagefoldError(
      "corrupt",
      `pages of volume ${volume} at LSN ${state.lsn} that were to be compacted add up to ${stateChecksumToText(found)}, the digests that are stored with them to ${stateChecksumToText(expected)}; ` +
        "nothing was changed: run `pagefold verify`",
      { details: { volume, lsn: state.lsn } },
    );
  }

  async #readSorted(pages: PageSet): Promise<HeldPages> {
    const held = { pages, bytes: new Uint8Array(pages.size * this.#pageSize) };
    if (pages.isEmpty) return held;
    const { signal, pace } = this.#options;
    const table = tableOf(this.#placement.state, pages);
    const { bytesFetched } = await bulkRead(
      this.#context,
      table,
      pages,
      (ranges) => {
        for (const range of ranges)
          range.pages.forEach((page, i) => {
            held.bytes.set(
              range.bytes.subarray(i * this.#pageSize, (i + 1) * this.#pageSize),
              pages.rankOf(page) * this.#pageSize,
            );
          });
      },
      { signal, onZeroed: (_, zeros) => this.zeroed.push(zeros) },
    );
    this.bytesRead += bytesFetched;
    await pace.spend(bytesFetched);
    return held;
  }

  async #expect(pages: PageSet): Promise<void> {
    const { fetcher, frames } = this.#context;
    const { table } = this.#placement.state;
    for (let from = 0; from < pages.size; from += 65_536) {
      const some = pages.size <= 65_536 ? pages : pages.slice(from, from + 65_536);
      this.#expected.add(await fetcher.run(digestsOf(frames, table, some), this.#options.signal), 0);
    }
  }
}

/** Hands pages over, but not those that are zeros: which they are is answered. What was collected meanwhile is looked for again. */
function* readPages(
  frames: FramePlanContext,
  wanted: readonly WantedPages[],
  limits: { readonly maxBytes: number; readonly gapBytes: number },
  sink: PageSink,
): FetchPlan<{ readonly zeroed: readonly WantedPages[]; readonly bytes: number }> {
  for (let gone: unknown; ; ) {
    try {
      const { tasks, zeroed } = yield* resolveFrames(frames, wanted);
      yield* loadFrames(frames, tasks, limits, sink);
      return { zeroed, bytes: tasks.reduce((sum, { frame }) => sum + frame.length, 0) };
    } catch (error) {
      if (!foundGone(frames, error)) throw toTell(frames, gone, error);
      gone ??= error;
    }
  }
}

/** What lies scattered, commit by commit, in slices of bounded size. */
function* slices(placement: Placement, pages: PageSet): Generator<WantedPages[]> {
  let slice: WantedPages[] = [];
  let count = 0;
  for (const [lsn, written] of [...placement.unplaced(true)].sort(([a], [b]) => a - b)) {
    const some = written.intersect(pages);
    if (some.isEmpty) continue;
    slice.push({ lsn, pages: some });
    count += some.size;
    if (slice.length >= SLICE_COMMITS || count >= SLICE_PAGES) {
      yield slice;
      slice = [];
      count = 0;
    }
  }
  if (slice.length > 0) yield slice;
}

/** Frames bring older versions and other pages along, which are left out. */
function keepIn({ pages, bytes }: HeldPages, state: RemoteState, pageSize: number): PageSink {
  return (lsn, found, content) => {
    let at = 0;
    for (const page of found) {
      const rank = pages.rankOf(page);
      if (rank !== -1 && state.table.lookup(page) === lsn) {
        bytes.set(content.subarray(at, at + pageSize), rank * pageSize);
      }
      at += pageSize;
    }
  };
}

function bytesOf({ pages, bytes }: HeldPages, page: PageIdx, pageSize: number): Uint8Array | undefined {
  const rank = pages.rankOf(page);
  return rank === -1 ? undefined : bytes.subarray(rank * pageSize, (rank + 1) * pageSize);
}

/** Parts of a step in page order, each of which fits into memory beside what is held. */
function* windows(
  { scattered, sorted }: { readonly scattered: PageSet; readonly sorted: PageSet },
  pageSize: number,
): Generator<{ readonly pages: PageSet; readonly sorted: PageSet }> {
  const all = scattered.union(sorted);
  const size = Math.max(1, Math.floor(WINDOW_BYTES / pageSize));
  for (let from = 0; from < all.size; from += size) {
    const pages = all.size <= size ? all : all.slice(from, from + size);
    yield { pages, sorted: pages.intersect(sorted) };
  }
}

/** The values of these pages alone, so that nobody walks a whole table for a window of it. */
function tableOf({ table }: RemoteState, pages: PageSet): PageTable {
  const editor = PageTable.empty.edit();
  for (const run of pages.runs())
    for (const { first, last, value } of table.runs(run.first, run.last))
      if (value !== 0) editor.assign(PageSet.range(first, last), value);
  return editor.finish();
}
