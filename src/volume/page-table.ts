/**
 * Which commit wrote each page of a volume last: chunks of pages under nodes of chunks, copied on write, so that snapshots share all
 * but what changed between them. Lookup is O(1) whatever the length of the log; advancing costs O(pages changed), whatever the
 * size of the volume: the list of nodes has one entry for half a million pages.
 *
 * A value is 0 (never written, or gone by a shrink: reads as zeros), a remote LSN (> 0), or minus the sequence number of a
 * local commit that has not been pushed (< 0).
 */
import { MAX_PAGE_COUNT } from "../base/brand.ts";
import { type PageSet, PageSetBuilder } from "../format/page-set.ts";

const CHUNK_BITS = 10;
const CHUNK_PAGES = 2 ** CHUNK_BITS;
const NODE_CHUNKS = 512;
const NODE_BITS = CHUNK_BITS + 9;
const INT32_MAX = 2 ** 31 - 1;

/** One value for all 1024 pages, or one per page; 32-bit as long as every value fits. */
type Chunk = number | Int32Array | Float64Array;
/** Up to 512 chunks; only the last node has fewer. */
type Node = readonly Chunk[];

export class PageTable {
  static readonly empty = new PageTable([], 0);

  readonly #nodes: readonly Node[];
  /** Pages above it have no entry. Not the volume's page count: trailing pages may never have been written. */
  readonly #limit: number;

  /** @internal */
  constructor(nodes: readonly Node[], limit: number) {
    this.#nodes = nodes;
    this.#limit = limit;
  }

  /** The value of a page (1-based). O(1). */
  lookup(page: number): number {
    if (page > this.#limit) return 0;
    // Shifts, as page indexes have 32 bits: this is the hottest path of reading what is resident.
    const i = page - 1;
    const chunk = this.#nodes[i >>> NODE_BITS]![(i >>> CHUNK_BITS) & (NODE_CHUNKS - 1)]!;
    return typeof chunk === "number" ? chunk : chunk[i & (CHUNK_PAGES - 1)]!;
  }

  /** A mutable copy that shares everything it does not change. O(1). */
  edit(): PageTableEditor {
    return new PageTableEditor(this.#nodes, this.#limit);
  }

  /** Runs of pages from `first` to `last` that share one value, ascending; value 0 included. */
  *runs(first: number, last: number): IterableIterator<{ first: number; last: number; value: number }> {
    let start = first;
    let value = start <= last ? this.lookup(start) : 0;
    for (let page = first; page <= last; ) {
      const chunk = page > this.#limit ? 0 : this.#chunk(Math.floor((page - 1) / CHUNK_PAGES));
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
    this.#eachRun(Math.min(pageCount, this.#limit), (value, first, last) => {
      let builder = builders.get(value);
      if (builder === undefined) {
        builder = new PageSetBuilder();
        builders.set(value, builder);
      }
      builder.addRun(first, last);
    });
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

  /** As `runs` from page 1 on, value 0 left out, without an object per run: a table may have millions. */
  #eachRun(last: number, onRun: (value: number, first: number, last: number) => void): void {
    let value = 0;
    let start = 1;
    const turn = (page: number, next: number): void => {
      if (value !== 0) onRun(value, start, page - 1);
      value = next;
      start = page;
    };
    for (let first = 1; first <= last; first += CHUNK_PAGES) {
      const chunk = this.#chunk((first - 1) / CHUNK_PAGES);
      if (typeof chunk === "number") {
        if (chunk !== value) turn(first, chunk);
        continue;
      }
      const count = Math.min(CHUNK_PAGES, last - first + 1);
      for (let i = 0; i < count; i++) if (chunk[i] !== value) turn(first + i, chunk[i]!);
    }
    if (value !== 0) onRun(value, start, last);
  }

  #chunk(index: number): Chunk {
    const nodeNo = Math.floor(index / NODE_CHUNKS);
    return this.#nodes[nodeNo]![index - nodeNo * NODE_CHUNKS]!;
  }
}

/** Collects changes to a PageTable; `finish` gives the new one and the old one stays as it was. */
export class PageTableEditor {
  #nodes: Node[];
  /** Whether the list of nodes belongs to this editor alone; the nodes and chunks that do, which may be changed in place. */
  #ownsList = false;
  readonly #ownNodes = new Set<number>();
  readonly #ownChunks = new Set<number>();
  #limit: number;

  /** @internal */
  constructor(nodes: readonly Node[], limit: number) {
    this.#nodes = nodes as Node[];
    this.#limit = limit;
  }

  /** Forgets every page above `pageCount`: they read as zeros if the volume grows again. */
  truncate(pageCount: number): this {
    if (pageCount >= this.#limit) return this;
    const chunkCount = Math.ceil(pageCount / CHUNK_PAGES);
    const nodeCount = Math.ceil(chunkCount / NODE_CHUNKS);
    this.#ownList().length = nodeCount;
    if (chunkCount % NODE_CHUNKS !== 0) this.#ownNode(nodeCount - 1).length = chunkCount % NODE_CHUNKS;
    this.#limit = pageCount;
    const rest = pageCount % CHUNK_PAGES;
    if (rest !== 0) this.#fill(chunkCount - 1, rest, CHUNK_PAGES - 1, 0);
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
    // What was given away is shared from now on.
    this.#ownsList = false;
    this.#ownNodes.clear();
    this.#ownChunks.clear();
    return new PageTable(this.#nodes, this.#limit);
  }

  #assignRun(first: number, last: number, value: number): void {
    this.#grow(Math.min(MAX_PAGE_COUNT, last));
    for (let start = first; start <= last; ) {
      const chunk = Math.floor((start - 1) / CHUNK_PAGES);
      const end = Math.min(last, (chunk + 1) * CHUNK_PAGES);
      this.#fill(chunk, (start - 1) % CHUNK_PAGES, (end - 1) % CHUNK_PAGES, value);
      start = end + 1;
    }
  }

  /** Makes room for pages up to `limit`, all of value 0. */
  #grow(limit: number): void {
    const chunkCount = Math.ceil(limit / CHUNK_PAGES);
    for (let chunk = Math.ceil(this.#limit / CHUNK_PAGES); chunk < chunkCount; chunk++) {
      const nodeNo = Math.floor(chunk / NODE_CHUNKS);
      if (nodeNo === this.#nodes.length) {
        this.#ownList().push([]);
        this.#ownNodes.add(nodeNo);
      }
      this.#ownNode(nodeNo).push(0);
    }
    this.#limit = Math.max(this.#limit, limit);
  }

  /** Sets slots from … to (inclusive) of one chunk. */
  #fill(index: number, from: number, to: number, value: number): void {
    const nodeNo = Math.floor(index / NODE_CHUNKS);
    const chunk = this.#nodes[nodeNo]![index - nodeNo * NODE_CHUNKS]!;
    if (chunk === value) return;
    if (from === 0 && to === CHUNK_PAGES - 1) {
      this.#ownNode(nodeNo)[index - nodeNo * NODE_CHUNKS] = value;
      return;
    }
    this.#ownChunk(index, chunk, value).fill(value, from, to + 1);
  }

  #ownList(): Node[] {
    if (!this.#ownsList) this.#nodes = this.#nodes.slice();
    this.#ownsList = true;
    return this.#nodes;
  }

  #ownNode(nodeNo: number): Chunk[] {
    const node = this.#nodes[nodeNo]!;
    if (this.#ownNodes.has(nodeNo)) return node as Chunk[];
    const copy = node.slice();
    this.#ownList()[nodeNo] = copy;
    this.#ownNodes.add(nodeNo);
    return copy;
  }

  /** The chunk with a slot per page, wide enough for `value`, and this editor's own. */
  #ownChunk(index: number, chunk: Chunk, value: number): Int32Array | Float64Array {
    const wide = Math.abs(value) > INT32_MAX;
    // An index may be left over from before a shrink: a chunk that is a number is nobody's.
    if (this.#ownChunks.has(index) && typeof chunk !== "number" && (!wide || chunk instanceof Float64Array))
      return chunk;
    let copy: Int32Array | Float64Array;
    if (typeof chunk === "number") {
      copy =
        wide || Math.abs(chunk) > INT32_MAX ? new Float64Array(CHUNK_PAGES) : new Int32Array(CHUNK_PAGES);
      if (chunk !== 0) copy.fill(chunk);
    } else {
      copy = wide ? Float64Array.from(chunk) : chunk.slice();
    }
    const nodeNo = Math.floor(index / NODE_CHUNKS);
    this.#ownNode(nodeNo)[index - nodeNo * NODE_CHUNKS] = copy;
    this.#ownChunks.add(index);
    return copy;
  }
}
