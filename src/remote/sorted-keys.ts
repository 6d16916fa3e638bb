/**
 * A sorted set of keys for the memory store: two levels, chunks of at most 512 keys, so that a million keys can be
 * added in any order, and listed between additions, at the cost of a search and a short splice each.
 */
import { compareKeys, needsByteOrder } from "./keys.ts";

const CHUNK_MAX = 512;

export class SortedKeys {
  /** Never an empty chunk; each sorted, and all of one before all of the next. */
  readonly #chunks: string[][] = [];
  /** While no key needs it, the plain comparison of strings gives the same order in a fraction of the time. */
  #byteOrder = false;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** Adds a key that is not in the set. */
  add(key: string): void {
    if (!this.#byteOrder && needsByteOrder(key)) this.#byteOrder = true;
    this.#size++;
    const c = Math.max(0, this.#chunkOf(key, this.#byteOrder));
    const chunk = this.#chunks[c];
    if (chunk === undefined) {
      this.#chunks.push([key]);
      return;
    }
    const at = this.#lowerBound(chunk, key, this.#byteOrder);
    chunk.splice(at, 0, key);
    if (chunk.length <= CHUNK_MAX) return;
    // Ascending additions leave full chunks behind instead of half-full ones.
    const appended = c === this.#chunks.length - 1 && at === chunk.length - 1;
    this.#chunks.splice(c + 1, 0, chunk.splice(appended ? CHUNK_MAX : CHUNK_MAX / 2));
  }

  /** Removes a key that is in the set. */
  remove(key: string): void {
    const c = this.#chunkOf(key, this.#byteOrder);
    const chunk = this.#chunks[c];
    if (chunk === undefined) return;
    const at = this.#lowerBound(chunk, key, this.#byteOrder);
    if (chunk[at] !== key) return;
    chunk.splice(at, 1);
    this.#size--;
    if (chunk.length === 0) this.#chunks.splice(c, 1);
  }

  /** Keys in order, from the first one that is not before `bound`. The set must not change meanwhile. */
  *from(bound: string): Generator<string, void, undefined> {
    const byteOrder = this.#byteOrder || needsByteOrder(bound);
    const first = Math.max(0, this.#chunkOf(bound, byteOrder));
    for (let c = first; c < this.#chunks.length; c++) {
      const chunk = this.#chunks[c] ?? [];
      for (let i = c === first ? this.#lowerBound(chunk, bound, byteOrder) : 0; i < chunk.length; i++) {
        yield chunk[i] as string;
      }
    }
  }

  /** The last chunk whose first key is not after `key`; -1 where there is none. */
  #chunkOf(key: string, byteOrder: boolean): number {
    let low = 0;
    let high = this.#chunks.length;
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      if (isBefore(key, this.#chunks[middle]?.[0] as string, byteOrder)) high = middle;
      else low = middle + 1;
    }
    return low - 1;
  }

  #lowerBound(chunk: readonly string[], key: string, byteOrder: boolean): number {
    let low = 0;
    let high = chunk.length;
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      if (isBefore(chunk[middle] as string, key, byteOrder)) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

function isBefore(a: string, b: string, byteOrder: boolean): boolean {
  return byteOrder ? compareKeys(a, b) < 0 : a < b;
}
