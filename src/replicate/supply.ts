/**
 * Makes missing pages of a snapshot resident: plans the frames, adds what the prefetch policy expects to be read next, and puts
 * every verified page into the cache. One per volume, shared by all its snapshots.
 */
import type { Lsn } from "../base/brand.ts";
import type { Recorder } from "../base/recorder.ts";
import type { Runtime } from "../base/runtime.ts";
import { PageSet } from "../format/page-set.ts";
import type { PageCache } from "../local/page-cache.ts";
import { cacheHandle } from "../volume/cached-pages.ts";
import type { FetchPlan } from "../volume/fetch-plan.ts";
import type { PageTable } from "../volume/page-table.ts";
import type { Replica } from "../volume/replica.ts";
import type { PageSupply, Snapshot } from "../volume/snapshot.ts";
import type { FramePlanContext } from "./commit-lookup.ts";
import type { Fetcher } from "./fetcher.ts";
import { loadPages, type PageSink, type WantedPages } from "./frame-plan.ts";
import type { PrefetchPolicy } from "./read-ahead.ts";

/** One fault, as it is reported to listeners. */
export interface FaultEvent {
  readonly volume: string;
  /** The range in which pages were missing, how many were, and how many were fetched with them by read-ahead. */
  readonly firstPage: number;
  readonly lastPage: number;
  readonly pages: number;
  readonly readAheadPages: number;
  /** Milliseconds since 1970: a clock that all threads share. */
  readonly startedAt: number;
  readonly durationMs: number;
  readonly failed: boolean;
}

export interface SupplyOptions {
  readonly replica: Replica;
  readonly context: FramePlanContext;
  readonly cache: PageCache;
  readonly fetcher: Fetcher;
  readonly prefetch: PrefetchPolicy;
  readonly runtime: Runtime;
  readonly recorder: Recorder;
  readonly onFault: (event: FaultEvent) => void;
}

export class CachingSupply implements PageSupply {
  readonly #options: SupplyOptions;
  /** What the last fault was for. */
  #lastNeeded = PageSet.of([]);
  /** Pages of the last plan that the cache must not give up before the next one. */
  #held: { readonly handle: number; readonly page: number; readonly lsn: number }[] = [];

  constructor(options: SupplyOptions) {
    this.#options = options;
  }

  *plan(snapshot: Snapshot, firstPage: number, lastPage: number): FetchPlan<void> {
    this.#letGo();
    const needed = snapshot.missing(firstPage, lastPage);
    if (needed.isEmpty) return;
    // A range is read at once: what is here of it already must still be here when the rest has come.
    for (let page = firstPage; page <= lastPage && lastPage > firstPage; page++)
      this.#hold(page, snapshot.table.lookup(page));
    const fault = this.#begin(snapshot, needed);
    let failed = true;
    try {
      try {
        yield* this.#planPages(snapshot, fault.pages, needed);
      } catch (error) {
        // What was read ahead may fail alone: only a page that was asked for must be there.
        const missing = snapshot.missing(firstPage, lastPage);
        if (!missing.isEmpty && fault.pages.size === needed.size) throw error;
        if (!missing.isEmpty) yield* this.#planPages(snapshot, missing, missing);
      }
      failed = false;
    } finally {
      fault.end(failed);
    }
  }

  /** @param needed of `pages`, what the caller is about to read */
  *#planPages(snapshot: Snapshot, pages: PageSet, needed: PageSet): FetchPlan<void> {
    const { context, fetcher } = this.#options;
    const { sink, putAgain } = this.#keepingSink(snapshot, needed, needed.size > 1 || this.#held.length > 0);
    const limits = { maxBytes: fetcher.settings.maxRangeBytes, gapBytes: fetcher.settings.gapBytes };
    yield* loadPages(context, wantedPages(snapshot.table, pages), limits, sink);
    putAgain();
  }

  async load(snapshot: Snapshot, pages: PageSet, signal?: AbortSignal): Promise<void> {
    if (pages.isEmpty) return;
    const fault = this.#begin(snapshot, pages);
    let failed = true;
    try {
      try {
        await this.#loadPages(snapshot, fault.pages, pages, signal);
      } catch (error) {
        const missing = snapshot.missing(pages.first!, pages.last!).intersect(pages);
        if (!missing.isEmpty && (fault.pages.size === pages.size || signal?.aborted)) throw error;
        if (!missing.isEmpty) await this.#loadPages(snapshot, missing, missing, signal);
      }
      failed = false;
    } finally {
      fault.end(failed);
    }
  }

  async #loadPages(
    snapshot: Snapshot,
    pages: PageSet,
    needed: PageSet,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const { context, fetcher, replica } = this.#options;
    const { sink, putAgain } = this.#keepingSink(snapshot, needed, false);
    const wanted = wantedPages(snapshot.table, pages);
    await fetcher.load(String(replica.handle), context, wanted, sink, signal);
    putAgain();
  }

  /**
   * In a small cache the pages that come along with the needed ones (of the same frame, or read ahead) may push these out, and would the next
   * time, too: `putAgain` puts them last.
   */
  #keepingSink(snapshot: Snapshot, needed: PageSet, hold: boolean): { sink: PageSink; putAgain: () => void } {
    const toCache = this.#sink(snapshot.table);
    const again: (() => void)[] = [];
    const { pageSize } = snapshot;
    const sink: PageSink = (lsn, group, bytes) => {
      toCache(lsn, group, bytes);
      let offset = 0;
      for (const page of group) {
        if (needed.has(page)) {
          const copy = bytes.slice(offset, offset + pageSize);
          again.push(() => toCache(lsn, PageSet.of([page]), copy));
          if (hold) this.#hold(page, lsn);
        }
        offset += pageSize;
      }
    };
    return {
      sink,
      putAgain: () => {
        // Twice: one that was still there the first time may have been the next to go.
        for (const put of [...again, ...again]) put();
      },
    };
  }

  #hold(page: number, lsn: number): void {
    const { cache, replica } = this.#options;
    // Zeros and local commits are not in the cache.
    if (lsn <= 0) return;
    const handle = cacheHandle(replica, lsn as Lsn);
    if (cache.pin(handle, page, lsn)) this.#held.push({ handle, page, lsn });
  }

  #letGo(): void {
    for (const { handle, page, lsn } of this.#held) this.#options.cache.unpin(handle, page, lsn);
    this.#held = [];
  }

  #begin(snapshot: Snapshot, needed: PageSet): { pages: PageSet; end: (failed: boolean) => void } {
    const { prefetch, runtime, recorder, onFault, context, cache } = this.#options;
    const startedAt = runtime.now();
    const start = runtime.monotonic();
    const last = needed.last!;
    // Never so much that it would push out what it is meant to join; and where that has happened all the same, nothing more than it.
    const room = Math.floor(cache.capacityPages / 16);
    const isAgain = needed.intersect(this.#lastNeeded).size === needed.size;
    const extended = isAgain ? last : prefetch.extend(needed.first!, last, room);
    const until = Math.min(extended, snapshot.pageCount);
    this.#lastNeeded = needed;
    const pages = until > last ? needed.union(snapshot.missing(last + 1, until)) : needed;
    return {
      pages,
      end: (failed) => {
        const durationMs = runtime.monotonic() - start;
        recorder.count("fault.count");
        recorder.count("fault.pages", needed.size);
        recorder.count("fault.read_ahead_pages", pages.size - needed.size);
        recorder.observe("fault.duration_ms", durationMs);
        if (failed) recorder.count("fault.failed");
        onFault({
          volume: context.directory.manifest.volume,
          firstPage: needed.first!,
          lastPage: last,
          pages: needed.size,
          readAheadPages: pages.size - needed.size,
          startedAt,
          durationMs,
          failed,
        });
      },
    };
  }

  /** Puts pages into the cache, but not those that a later commit of this state overwrote: nobody would read them. */
  #sink(table: PageTable): PageSink {
    const { cache, replica } = this.#options;
    const { pageSize } = replica.manifest;
    return (lsn, pages, bytes) => {
      const handle = cacheHandle(replica, lsn);
      let offset = 0;
      for (const page of pages) {
        if (table.lookup(page) === lsn) {
          cache.put(handle, page, lsn, bytes.subarray(offset, offset + pageSize), { prefetched: true });
        }
        offset += pageSize;
      }
    };
  }
}

/** Pages grouped by the commit that wrote them last. Pages of local commits and pages never written need no fetch. */
export function wantedPages(table: PageTable, pages: PageSet): WantedPages[] {
  const byLsn = new Map<Lsn, number[]>();
  for (const page of pages) {
    const lsn = table.lookup(page) as Lsn;
    if (lsn <= 0) continue;
    const group = byLsn.get(lsn);
    if (group === undefined) byLsn.set(lsn, [page]);
    else group.push(page);
  }
  return [...byLsn].map(([lsn, group]) => ({ lsn, pages: PageSet.of(group) }));
}
