/**
 * Which commit wrote each page of a volume last: a two-level table, copied on write, so that snapshots share all but what
 * changed between them. Lookup is O(1) whatever the length of the log; advancing costs O(pages changed).
 *
 * A value is 0 (never written, or gone by a shrink: reads as zeros), a remote LSN (> 0), or minus the sequence number of a
 * local commit that has not been pushed (< 0).
 */
import { MAX_PAGE_COUNT } from "../base/brand.ts";
import { type PageSet, PageSetBuilder } from "../format/page-set.ts";

const CHUNK_PAGES = 1024;
const INT32_MAX = 2 ** 31 - 1;

/** One value for all 1024 pages, or one per page; 32-bit as long as every value fits. */
type Chunk = number | Int32Array | Float64Array;

export class PageTable {
  static readonly empty = new PageTable([], 0);

  readonly #chunks: readonly Chunk[];
  /** Pages above it have no entry. Not the volume's page count: trailing pages may never have been written. */
  readonly #limit: number;

  /** @internal */
  constructor(chunks: readonly Chunk[], limit: number) {
    this.#chunks = chunks;
    this.#limit = limit;
  }

  /** The value of a page (1-based). O(1). */
  lookup(page: number): number {
    if (page > this.#limit) return 0;
    const i = page - 1;
    const chunkNo = Math.floor(i / CHUNK_PAGES);
    const chunk = this.#chunks[chunkNo]!;
    return typeof chunk === "number" ? chunk : chunk[i - chunkNo * CHUNK_PAGES]!;
  }

  /** A mutable copy that shares every chunk it does not change. */
  edit(): PageTableEditor {
    return new PageTableEditor(this.#chunks, this.#limit);
  }

  /** Runs of pages from `first` to `last` that share one value, ascending; value 0 included. */
  *runs(first: number, last: number): IterableIterator<{ first: number; last: number; value: number }> {
    let start = first;
    let value = start <= last ? this.lookup(start) : 0;
    for (let page = first; page <= last; ) {
      const chunk = page > this.#limit ? 0 : this.#chunks[Math.floor((page - 1) / CHUNK_PAGES)]!;
      if (page > this.#limit) {
        if (value !== 0) {
          yield { first: start, last: page - 1, value };
          start = page;
          value = 0;
        }
        break;
      }
      if (typeof chunk === "number") {
        if (chunk !== value) {
          yield { first: start, last: page - 1, value };
          start = page;
          value = chunk;
        }
        page = (Math.floor((page - 1) / CHUNK_PAGES) + 1) * CHUNK_PAGES + 1;
        if (page > this.#limit + 1) page = this.#limit + 1;
      } else {
        const next = chunk[(page - 1) % CHUNK_PAGES]!;
        if (next !== value) {
          yield { first: start, last: page - 1, value };
          start = page;
          value = next;
        }
        page++;
      }
    }
    if (start <= last) yield { first: start, last, value };
  }

  /** The pages of each value other than 0, up to `pageCount`. Memory: O(runs). */
  byValue(pageCount: number): Map<number, PageSet> {
    const builders = new Map<number, PageSetBuilder>();
    for (const run of this.runs(1, Math.min(pageCount, this.#limit))) {
      if (run.value === 0) continue;
      let builder = builders.get(run.value);
      if (builder === undefined) {
        builder = new PageSetBuilder();
        builders.set(run.value, builder);
      }
      builder.addRun(run.first, run.last);
    }
    return new Map([...builders].map(([value, builder]) => [value, builder.build()]));
  }

  /** The pages, up to `pageCount`, that have any value. */
  written(pageCount: number): PageSet {
    const builder = new PageSetBuilder();
    for (const run of this.runs(1, Math.min(pageCount, this.#limit))) {
      if (run.value !== 0) builder.addRun(run.first, run.last);
    }
    return builder.build();
  }
}

/** Collects changes to a PageTable; `finish` gives the new one and the old one stays as it was. */
export class PageTableEditor {
  readonly #chunks: Chunk[];
  /** Chunks that belong to this editor alone and may be changed in place. */
  readonly #owned = new Set<number>();
  #limit: number;

  /** @internal */
  constructor(chunks: readonly Chunk[], limit: number) {
    this.#chunks = chunks.slice();
    this.#limit = limit;
  }

  /** Forgets every page above `pageCount`: they read as zeros if the volume grows again. */
  truncate(pageCount: number): this {
    if (pageCount >= this.#limit) return this;
    const chunkCount = Math.ceil(pageCount / CHUNK_PAGES);
    this.#chunks.length = chunkCount;
    const rest = pageCount % CHUNK_PAGES;
    if (rest !== 0) this.#fill(chunkCount - 1, rest, CHUNK_PAGES - 1, 0);
    this.#limit = pageCount;
    return this;
  }

  /** Gives every page of the set one value. */
  assign(pages: PageSet, value: number): this {
    for (let i = 0; i < pages.runCount; i++) {
      const { first, last } = pages.run(i);
      this.#assignRun(first, last, value);
    }
    return this;
  }

  finish(): PageTable {
    this.#owned.clear();
    return new PageTable(this.#chunks.slice(), this.#limit);
  }

  #assignRun(first: number, last: number, value: number): void {
    const limit = Math.min(MAX_PAGE_COUNT, last);
    while (this.#chunks.length * CHUNK_PAGES < limit) this.#chunks.push(0);
    if (limit > this.#limit) this.#limit = limit;
    for (let start = first; start <= last; ) {
      const chunk = Math.floor((start - 1) / CHUNK_PAGES);
      const end = Math.min(last, (chunk + 1) * CHUNK_PAGES);
      this.#fill(chunk, (start - 1) % CHUNK_PAGES, (end - 1) % CHUNK_PAGES, value);
      start = end + 1;
    }
  }

  /** Sets slots from … to (inclusive) of one chunk. */
  #fill(index: number, from: number, to: number, value: number): void {
    const chunk = this.#chunks[index]!;
    if (from === 0 && to === CHUNK_PAGES - 1) {
      this.#chunks[index] = value;
      this.#owned.delete(index);
      return;
    }
    if (chunk === value) return;
    this.#writable(index, chunk, value).fill(value, from, to + 1);
  }

  #writable(index: number, chunk: Chunk, value: number): Int32Array | Float64Array {
    const wide = Math.abs(value) > INT32_MAX;
    if (this.#owned.has(index) && typeof chunk !== "number" && (!wide || chunk instanceof Float64Array))
      return chunk;
    let copy: Int32Array | Float64Array;
    if (typeof chunk === "number") {
      copy =
        wide || Math.abs(chunk) > INT32_MAX ? new Float64Array(CHUNK_PAGES) : new Int32Array(CHUNK_PAGES);
      if (chunk !== 0) copy.fill(chunk);
    } else {
      copy = wide ? Float64Array.from(chunk) : chunk.slice();
    }
    this.#chunks[index] = copy;
    this.#owned.add(index);
    return copy;
  }
}
