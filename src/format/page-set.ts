/**
 * An immutable set of page indexes, held as sorted, disjoint, non-adjacent runs: 8 bytes per run, so "all 5 million pages" is
 * one run. `page-set-codec.ts` turns it into bytes. Knows nothing of volumes.
 */
import { assert } from "../base/assert.ts";
import { MAX_PAGE_COUNT, type PageIdx } from "../base/brand.ts";
import { PageBits } from "./page-bits.ts";

/** An inclusive run of page indexes. */
export interface PageRun {
  readonly first: PageIdx;
  readonly last: PageIdx;
}

export class PageSet implements Iterable<PageIdx> {
  static readonly empty = new PageSet(new Uint32Array(0));

  /** [first0, last0, first1, last1, …], inclusive; gaps of at least one page between runs. */
  readonly #bounds: Uint32Array;
  /** Number of pages before run i; built on first use. */
  #ranks: Float64Array | undefined;
  readonly size: number;

  private constructor(bounds: Uint32Array) {
    this.#bounds = bounds;
    let size = 0;
    for (let i = 0; i < bounds.length; i += 2) size += bounds[i + 1]! - bounds[i]! + 1;
    this.size = size;
  }

  /** The pages first … last; empty when last < first. */
  static range(first: number, last: number): PageSet {
    if (last < first) return PageSet.empty;
    return new PageSetBuilder().addRun(first, last).build();
  }

  /** The union of any number of sets. O(runs · log runs) at most, whatever the number of sets. */
  static unionAll(sets: readonly PageSet[]): PageSet {
    if (sets.length === 0) return PageSet.empty;
    if (sets.length === 1) return sets[0]!;
    const builder = new PageSetBuilder();
    const bits = bitsFor(sets);
    if (bits !== undefined) {
      for (const set of sets) set.#markIn(bits);
      bits.forEachRun((first, last) => builder.mergeRun(first, last));
      return builder.build();
    }
    const { firsts, lasts } = sortedBounds(sets);
    // A sweep: where as many runs have ended as have begun, a run of the union ends.
    let start = 0;
    for (let i = 0; i < firsts.length; i++) {
      if (i + 1 < firsts.length && firsts[i + 1]! <= lasts[i]!) continue;
      builder.mergeRun(firsts[start]!, lasts[i]!);
      start = i + 1;
    }
    return builder.build();
  }

  /** Whether no page is in two of the sets. O(runs · log runs) at most, whatever the number of sets. */
  static areDisjoint(sets: readonly PageSet[]): boolean {
    const bits = bitsFor(sets);
    if (bits !== undefined) return sets.every((set) => !set.#markIn(bits));
    const { firsts, lasts } = sortedBounds(sets);
    for (let i = 1; i < firsts.length; i++) if (firsts[i]! <= lasts[i - 1]!) return false;
    return true;
  }

  /** From any pages in any order, repeats allowed. */
  static of(pages: Iterable<number>): PageSet {
    const sorted = Uint32Array.from(pages).sort();
    const builder = new PageSetBuilder();
    for (const page of sorted) builder.add(page);
    return builder.build();
  }

  /** @internal Used by the builder, which upholds the invariant of the bounds. */
  static fromBounds(bounds: Uint32Array): PageSet {
    return bounds.length === 0 ? PageSet.empty : new PageSet(bounds);
  }

  /** Whether any of the pages was marked before. */
  #markIn(bits: PageBits): boolean {
    const bounds = this.#bounds;
    let before = false;
    for (let i = 0; i < bounds.length; i += 2) before = bits.mark(bounds[i]!, bounds[i + 1]!) || before;
    return before;
  }

  get isEmpty(): boolean {
    return this.#bounds.length === 0;
  }

  get runCount(): number {
    return this.#bounds.length / 2;
  }

  /** The smallest page, or undefined when empty. */
  get first(): PageIdx | undefined {
    return this.#bounds[0] as PageIdx | undefined;
  }

  /** The largest page, or undefined when empty. */
  get last(): PageIdx | undefined {
    return this.#bounds[this.#bounds.length - 1] as PageIdx | undefined;
  }

  /** First page of run i. Unlike `run`, allocates nothing. */
  runFirst(i: number): PageIdx {
    return this.#bounds[2 * i] as PageIdx;
  }

  /** Last page (inclusive) of run i. */
  runLast(i: number): PageIdx {
    return this.#bounds[2 * i + 1] as PageIdx;
  }

  run(i: number): PageRun {
    return { first: this.#bounds[2 * i] as PageIdx, last: this.#bounds[2 * i + 1] as PageIdx };
  }

  *runs(): IterableIterator<PageRun> {
    for (let i = 0; i < this.runCount; i++) yield this.run(i);
  }

  *[Symbol.iterator](): IterableIterator<PageIdx> {
    for (let i = 0; i < this.#bounds.length; i += 2) {
      const last = this.#bounds[i + 1]!;
      for (let page = this.#bounds[i]!; page <= last; page++) yield page as PageIdx;
    }
  }

  has(page: number): boolean {
    return this.rankOf(page) !== -1;
  }

  /** How many pages of the set are below `page`, or -1 when `page` is not in the set. O(log runs). */
  rankOf(page: number): number {
    const run = this.#runAtOrBefore(page);
    if (run < 0 || page > this.#bounds[2 * run + 1]!) return -1;
    return this.#rankOfRun(run) + (page - this.#bounds[2 * run]!);
  }

  /** The page with so many pages of the set below it; 0 <= rank < size. O(log runs). */
  at(rank: number): PageIdx {
    assert(rank >= 0 && rank < this.size, `rank ${rank} of a page set of ${this.size}`);
    let low = 0;
    let high = this.runCount - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.#rankOfRun(middle) <= rank) low = middle;
      else high = middle - 1;
    }
    return (this.#bounds[2 * low]! + (rank - this.#rankOfRun(low))) as PageIdx;
  }

  /** The pages with ranks from (inclusive) to (exclusive). */
  slice(from: number, to: number): PageSet {
    const builder = new PageSetBuilder();
    let rank = 0;
    for (let i = 0; i < this.#bounds.length && rank < to; i += 2) {
      const first = this.#bounds[i]!;
      const length = this.#bounds[i + 1]! - first + 1;
      const skip = Math.max(0, from - rank);
      const take = Math.min(length, to - rank);
      if (skip < take) builder.addRun(first + skip, first + take - 1);
      rank += length;
    }
    return builder.build();
  }

  union(other: PageSet): PageSet {
    if (other.isEmpty) return this;
    if (this.isEmpty) return other;
    const a = this.#bounds;
    const b = other.#bounds;
    const builder = new PageSetBuilder();
    let i = 0;
    let j = 0;
    while (i < a.length || j < b.length) {
      if (j >= b.length || (i < a.length && a[i]! <= b[j]!)) {
        builder.mergeRun(a[i]!, a[i + 1]!);
        i += 2;
      } else {
        builder.mergeRun(b[j]!, b[j + 1]!);
        j += 2;
      }
    }
    return builder.build();
  }

  subtract(other: PageSet): PageSet {
    if (other.isEmpty || this.isEmpty) return this;
    const b = other.#bounds;
    const builder = new PageSetBuilder();
    let j = 0;
    for (let i = 0; i < this.#bounds.length; i += 2) {
      let first = this.#bounds[i]!;
      const last = this.#bounds[i + 1]!;
      j = skipRunsBefore(b, j, first);
      let k = j;
      while (k < b.length && b[k]! <= last) {
        if (b[k]! > first) builder.addRun(first, b[k]! - 1);
        first = b[k + 1]! + 1;
        k += 2;
      }
      if (first <= last) builder.addRun(first, last);
    }
    return builder.build();
  }

  intersect(other: PageSet): PageSet {
    const a = this.#bounds;
    const b = other.#bounds;
    const builder = new PageSetBuilder();
    let i = 0;
    let j = 0;
    while (i < a.length && j < b.length) {
      const first = Math.max(a[i]!, b[j]!);
      const last = Math.min(a[i + 1]!, b[j + 1]!);
      if (first <= last) builder.addRun(first, last);
      if (a[i + 1]! < b[j + 1]!) i = skipRunsBefore(a, i + 2, b[j]!);
      else j = skipRunsBefore(b, j + 2, a[i]!);
    }
    return builder.build();
  }

  /** Without the pages above `pageCount`. */
  clampTo(pageCount: number): PageSet {
    if (this.isEmpty || this.last! <= pageCount) return this;
    return this.intersect(PageSet.range(1, pageCount));
  }

  equals(other: PageSet): boolean {
    const a = this.#bounds;
    const b = other.#bounds;
    return a.length === b.length && a.every((bound, i) => bound === b[i]);
  }

  /** "1-5, 9, 12-40": for messages; cut after `most` runs. */
  toString(most = 8): string {
    const parts: string[] = [];
    for (let i = 0; i < Math.min(this.runCount, most); i++) {
      const { first, last } = this.run(i);
      parts.push(first === last ? `${first}` : `${first}-${last}`);
    }
    return parts.join(", ") + (this.runCount > most ? ", …" : "");
  }

  /** Index of the last run that starts at or before `page`, or -1. */
  #runAtOrBefore(page: number): number {
    let low = 0;
    let high = this.runCount - 1;
    let found = -1;
    while (low <= high) {
      const middle = (low + high) >> 1;
      if (this.#bounds[2 * middle]! <= page) {
        found = middle;
        low = middle + 1;
      } else {
        high = middle - 1;
      }
    }
    return found;
  }

  #rankOfRun(run: number): number {
    if (this.#ranks === undefined) {
      const ranks = new Float64Array(this.runCount);
      let rank = 0;
      for (let i = 0; i < ranks.length; i++) {
        ranks[i] = rank;
        rank += this.#bounds[2 * i + 1]! - this.#bounds[2 * i]! + 1;
      }
      this.#ranks = ranks;
    }
    return this.#ranks[run]!;
  }
}

/**
 * Index of the first run at or after `from` that ends at or after `page`. Gallops, so that a small set against a large one costs
 * O(small · log large) rather than O(large).
 */
function skipRunsBefore(bounds: Uint32Array, from: number, page: number): number {
  let low = from;
  let stride = 2;
  while (low + stride < bounds.length && bounds[low + stride + 1]! < page) {
    low += stride;
    stride *= 2;
  }
  let high = Math.min(low + stride, bounds.length);
  while (low < high) {
    const middle = low + 2 * Math.floor((high - low) / 4);
    if (bounds[middle + 1]! < page) low = middle + 2;
    else high = middle;
  }
  return low;
}

/** A run and what is worth as much: words of bits that are walked instead. */
const WORDS_PER_RUN = 2;

/** Where the runs are many for the stretch of pages that they lie in: a bit for each page of it. */
function bitsFor(sets: readonly PageSet[]): PageBits | undefined {
  let runs = 0;
  let first = Number.POSITIVE_INFINITY;
  let last = 0;
  for (const set of sets) {
    if (set.isEmpty) continue;
    runs += set.runCount;
    first = Math.min(first, set.first!);
    last = Math.max(last, set.last!);
  }
  return runs > 0 && last - first < 32 * WORDS_PER_RUN * runs ? new PageBits(first, last) : undefined;
}

/** First and last pages of all runs, each in ascending order: the i-th last is where the i-th of the runs to end ends. */
function sortedBounds(sets: readonly PageSet[]): { firsts: Uint32Array; lasts: Uint32Array } {
  let runs = 0;
  for (const set of sets) runs += set.runCount;
  const firsts = new Uint32Array(runs);
  const lasts = new Uint32Array(runs);
  let at = 0;
  for (const set of sets) {
    for (let i = 0; i < set.runCount; i++, at++) {
      firsts[at] = set.runFirst(i);
      lasts[at] = set.runLast(i);
    }
  }
  return { firsts: firsts.sort(), lasts: lasts.sort() };
}

/** Builds a PageSet from pages or runs in ascending order. */
export class PageSetBuilder {
  #bounds = new Uint32Array(8);
  #length = 0;

  /** Adds a page; pages must come in ascending order, a repeat of the last one is ignored. */
  add(page: number): this {
    return this.mergeRun(page, page);
  }

  /** Adds a run that starts after everything added so far. */
  addRun(first: number, last: number): this {
    // Texts are made only where they are needed: tables with millions of runs come through here.
    if (this.#length > 0 && first <= this.#bounds[this.#length - 1]!)
      assert(false, `page runs out of order: ${first} after ${this.#bounds[this.#length - 1]}`);
    return this.mergeRun(first, last);
  }

  /** Adds a run that starts at or after the start of the last one; overlapping or adjacent runs melt together. */
  mergeRun(first: number, last: number): this {
    const whole = Number.isInteger(first) && Number.isInteger(last);
    if (!(whole && first >= 1 && first <= last && last <= MAX_PAGE_COUNT))
      assert(false, `bad page run ${first}-${last}`);
    const previousLast = this.#length === 0 ? -1 : this.#bounds[this.#length - 1]!;
    if (this.#length > 0 && first <= previousLast + 1) {
      if (first < this.#bounds[this.#length - 2]!) assert(false, `page runs out of order: ${first}-${last}`);
      if (last > previousLast) this.#bounds[this.#length - 1] = last;
      return this;
    }
    if (this.#length === this.#bounds.length) {
      const grown = new Uint32Array(this.#bounds.length * 2);
      grown.set(this.#bounds);
      this.#bounds = grown;
    }
    this.#bounds[this.#length++] = first;
    this.#bounds[this.#length++] = last;
    return this;
  }

  /** The set; the builder may be used on, later additions do not change it. */
  build(): PageSet {
    return PageSet.fromBounds(this.#bounds.slice(0, this.#length));
  }
}
