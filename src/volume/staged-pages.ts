/**
 * The pages that a transaction has written so far: in memory up to a budget, above it in spilled batches of the local log. Knows
 * pages, not bytes at offsets and not commits; `transaction.ts` stands on it.
 */
import { PageSet } from "../format/page-set.ts";
import { PageTable } from "./page-table.ts";
import type { StoredBatch } from "./replica.ts";

export interface StagingSpace {
  /** Bytes of staged pages kept in memory before they spill. */
  readonly budgetBytes: number;
  spill(pages: PageSet, bytes: readonly Uint8Array[]): StoredBatch;
  readSpilled(batch: StoredBatch, page: number, into: Uint8Array): void;
  /** Every page of a batch that was spilled has been spilled again since: nobody will read it. */
  forget(batch: StoredBatch): void;
}

/** A spilled batch, and how many of its pages no later one has. */
interface SpilledBatch {
  readonly batch: StoredBatch;
  newest: number;
}

/** Pages' buffers that nobody uses, by size: most transactions stage a few pages, thousands of times a second. */
const POOLED_BYTES_MAX = 1_048_576;
const pools = new Map<number, Uint8Array[]>();

export class StagedPages {
  readonly #space: StagingSpace;
  readonly #pageSize: number;
  readonly #pagesMax: number;
  #inMemory = new Map<number, Uint8Array>();
  /** Oldest first; undefined where later ones have all pages of a batch. */
  readonly #spilled: (SpilledBatch | undefined)[] = [];
  /** For each spilled page the last batch that has it, by its number from 1. */
  #batchOf = PageTable.empty;
  /** Spilled pages that count no more, because a shrink came after. */
  readonly #dropped = new Set<number>();

  readonly #pool: Uint8Array[];
  #scratch: Uint8Array | undefined;

  constructor(space: StagingSpace, pageSize: number) {
    this.#pool = pools.get(pageSize) ?? [];
    pools.set(pageSize, this.#pool);
    this.#space = space;
    this.#pageSize = pageSize;
    this.#pagesMax = Math.floor(space.budgetBytes / pageSize);
  }

  /** Pages in memory, in the order in which they were first written since the last spill. */
  get inMemory(): ReadonlyMap<number, Uint8Array> {
    return this.#inMemory;
  }

  /** Oldest first: a page in several has the bytes of the last. */
  get spilled(): readonly StoredBatch[] {
    return this.#spilled.flatMap((spilled) => (spilled === undefined ? [] : [spilled.batch]));
  }

  /** Spilled pages that a shrink cut off and nothing has written since. */
  get dropped(): ReadonlySet<number> {
    return this.#dropped;
  }

  hasSpilled(page: number): boolean {
    return this.#batchOf.lookup(page) !== 0;
  }

  /** Fills `into` with part of a page, from byte `start` of it; false where the page was not staged. */
  read(page: number, start: number, into: Uint8Array): boolean {
    const staged = this.#inMemory.get(page);
    if (staged !== undefined) {
      into.set(into.length === this.#pageSize ? staged : staged.subarray(start, start + into.length));
      return true;
    }
    if (this.#spilled.length === 0) return false;
    if (this.#dropped.has(page)) {
      into.fill(0);
      return true;
    }
    const batch = this.#spilled[this.#batchOf.lookup(page) - 1]?.batch;
    if (batch === undefined) return false;
    const whole = into.length === this.#pageSize ? into : new Uint8Array(this.#pageSize);
    this.#space.readSpilled(batch, page, whole);
    if (whole !== into) into.set(whole.subarray(start, start + into.length));
    return true;
  }

  /** Takes a whole page over; `bytes` is copied. Spills when memory is full. */
  write(page: number, bytes: Uint8Array): void {
    const staged = this.#inMemory.get(page);
    if (staged !== undefined) {
      staged.set(bytes);
      return;
    }
    const own = this.#pool.pop() ?? new Uint8Array(this.#pageSize);
    own.set(bytes);
    this.#inMemory.set(page, own);
    if (this.#dropped.size > 0) this.#dropped.delete(page);
    if (this.#inMemory.size > this.#pagesMax) this.#spill();
  }

  /** Forgets every page above `pageCount`. */
  truncate(pageCount: number): void {
    for (const [page, bytes] of this.#inMemory) {
      if (page <= pageCount) continue;
      this.#inMemory.delete(page);
      this.#recycle(bytes);
    }
    for (const batch of this.spilled) {
      if ((batch.pages.last ?? 0) <= pageCount) continue;
      for (const page of batch.pages) if (page > pageCount) this.#dropped.add(page);
    }
  }

  /** Room for one page, until `clear`. */
  scratch(): Uint8Array {
    this.#scratch ??= this.#pool.pop() ?? new Uint8Array(this.#pageSize);
    return this.#scratch;
  }

  /** The transaction has ended: its pages were written down, or are forgotten. */
  clear(): void {
    for (const bytes of this.#inMemory.values()) this.#recycle(bytes);
    this.#inMemory.clear();
    if (this.#scratch !== undefined) this.#recycle(this.#scratch);
    this.#scratch = undefined;
  }

  #recycle(bytes: Uint8Array): void {
    if (this.#pool.length * this.#pageSize < POOLED_BYTES_MAX) this.#pool.push(bytes);
  }

  #spill(): void {
    const pages = PageSet.of(this.#inMemory.keys());
    const bytes = [...pages].map((page) => this.#inMemory.get(page)!);
    const batch = this.#space.spill(pages, bytes);
    for (const page of pages) this.#spilledAgain(this.#batchOf.lookup(page));
    this.#spilled.push({ batch, newest: pages.size });
    this.#batchOf = this.#batchOf.edit().assign(pages, this.#spilled.length).finish();
    for (const each of bytes) this.#recycle(each);
    this.#inMemory = new Map();
  }

  /** One more page of this batch, by its number from 1, is in a later one. 0: the page was never spilled. */
  #spilledAgain(number: number): void {
    const spilled = this.#spilled[number - 1];
    if (spilled === undefined || --spilled.newest > 0) return;
    this.#spilled[number - 1] = undefined;
    this.#space.forget(spilled.batch);
  }
}
