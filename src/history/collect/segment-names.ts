/**
 * A set of names of segments, 24 bytes each however many there are: a million names as strings would take hundreds of megabytes. Sealed before it is
 * asked; what is added after that needs another sealing.
 */
import { assert } from "../../base/assert.ts";
import type { SegmentId } from "../../base/brand.ts";
import { idToBytes } from "../../format/ids.ts";
import type { PlacedSegment } from "../../format/model.ts";

/** Kind and number (an LSN, or that of a floor) in 8 bytes, big-endian, then the id: the order of bytes is that of names. */
const NAME_BYTES = 24;
const WORDS = NAME_BYTES / 4;

export type SegmentName = Pick<PlacedSegment, "kind" | "number" | "id">;

export class SegmentNames {
  #words = new Uint32Array(1024 * WORDS);
  #size = 0;
  /** Ordinals of the names in order, once sealed. */
  #order: Uint32Array | undefined;

  get size(): number {
    return this.#size;
  }

  add(name: SegmentName): void {
    this.#order = undefined;
    if ((this.#size + 1) * WORDS > this.#words.length) {
      const larger = new Uint32Array(2 * this.#words.length);
      larger.set(this.#words);
      this.#words = larger;
    }
    this.#words.set(wordsOf(name), this.#size * WORDS);
    this.#size++;
  }

  /** The same name may have been added often. */
  seal(): this {
    const words = this.#words;
    this.#order = Uint32Array.from({ length: this.#size }, (_, i) => i).sort((a, b) =>
      compare(words, a, words, b),
    );
    return this;
  }

  has(name: SegmentName): boolean {
    assert(this.#order !== undefined, "asking names that are not sealed");
    const wanted = wordsOf(name);
    let low = 0;
    let high = this.#size;
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      const order = compare(this.#words, this.#order[middle]!, wanted, 0);
      if (order === 0) return true;
      if (order < 0) low = middle + 1;
      else high = middle;
    }
    return false;
  }
}

function wordsOf({ kind, number, id }: SegmentName): Uint32Array {
  const bytes = idToBytes(id as SegmentId);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const high = Math.floor(number / 0x1_0000_0000) + (kind === "compacted" ? 0x8000_0000 : 0);
  return Uint32Array.of(
    high,
    number % 0x1_0000_0000,
    ...[0, 4, 8, 12].map((offset) => view.getUint32(offset)),
  );
}

function compare(a: Uint32Array, i: number, b: Uint32Array, j: number): number {
  for (let word = 0; word < WORDS; word++) {
    const difference = a[i * WORDS + word]! - b[j * WORDS + word]!;
    if (difference !== 0) return difference;
  }
  return 0;
}
