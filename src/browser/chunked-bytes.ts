/**
 * The bytes of one file in chunks, and which of them changed since they were last taken to be stored. What was taken is not copied: a chunk that is
 * written again after it was taken is copied first, so that what waits to be stored stays as it was.
 */
import { CHUNK_BYTES, type Chunks, eachPiece, readChunks } from "../local/chunks.ts";

export class ChunkedBytes {
  readonly #name: string;
  readonly #chunks: Chunks = [];
  readonly #changed = new Set<number>();
  /** Chunks that are stored, or were taken to be. */
  readonly #stored = new Set<number>();
  /** Chunks that somebody who took them may still read. */
  readonly #lent = new Set<number>();
  #size: number;
  #storedSize: number | undefined;

  /** @param storedSize undefined where the file is not stored at all */
  constructor(name: string, storedSize: number | undefined) {
    this.#name = name;
    this.#size = storedSize ?? 0;
    this.#storedSize = storedSize;
  }

  get size(): number {
    return this.#size;
  }

  /** Takes a chunk as it was stored; false where it can be none. What lies beyond the file's size was written and not flushed: it never was there. */
  restore(index: number, bytes: Uint8Array): boolean {
    if (!Number.isSafeInteger(index) || index < 0 || bytes.length > CHUNK_BYTES) return false;
    this.#stored.add(index);
    const used = Math.min(bytes.length, this.#size - index * CHUNK_BYTES);
    if (used <= 0) {
      this.#changed.add(index);
      return true;
    }
    let chunk = bytes;
    if (used < CHUNK_BYTES) {
      chunk = new Uint8Array(CHUNK_BYTES);
      chunk.set(bytes.subarray(0, used));
    }
    this.#chunks[index] = chunk;
    return true;
  }

  read(offset: number, into: Uint8Array): number {
    return readChunks(this.#chunks, this.#size, offset, into);
  }

  write(offset: number, bytes: Uint8Array): void {
    eachPiece(offset, bytes.length, ({ index, at, done, length }) => {
      this.#own(index).set(bytes.subarray(done, done + length), at);
    });
    this.#size = Math.max(this.#size, offset + bytes.length);
  }

  /** Whether a write there would need chunks that are not stored. */
  grows(offset: number, length: number): boolean {
    const last = Math.floor((offset + length - 1) / CHUNK_BYTES);
    for (let index = Math.floor(offset / CHUNK_BYTES); index <= last; index++) {
      if (!this.#stored.has(index)) return true;
    }
    return false;
  }

  truncate(size: number): void {
    if (size < this.#size) {
      const keep = Math.ceil(size / CHUNK_BYTES);
      for (const index of this.#stored) if (index >= keep) this.#changed.add(index);
      if (this.#chunks.length > keep) this.#chunks.length = keep;
      for (const index of this.#lent) if (index >= keep) this.#lent.delete(index);
      // What lay above the new end must read as zeros when the file grows again.
      if (size % CHUNK_BYTES !== 0 && this.#chunks[keep - 1] !== undefined)
        this.#own(keep - 1).fill(0, size % CHUNK_BYTES);
    }
    this.#size = size;
  }

  /** What is to be stored so that the file is stored as it is now: by key, undefined where nothing is to be left. */
  takeChanges(): Map<string, unknown> {
    const changes = new Map<string, unknown>();
    for (const index of this.#changed) {
      const chunk = this.#chunks[index];
      const key = `chunk/${this.#name}/${index}`;
      if (chunk === undefined) {
        if (this.#stored.delete(index)) changes.set(key, undefined);
        continue;
      }
      const used = Math.min(CHUNK_BYTES, this.#size - index * CHUNK_BYTES);
      // A part of a buffer would be stored with the whole buffer.
      if (used < CHUNK_BYTES) changes.set(key, chunk.slice(0, used));
      else {
        changes.set(key, chunk);
        this.#lent.add(index);
      }
      this.#stored.add(index);
    }
    this.#changed.clear();
    if (this.#storedSize !== this.#size) changes.set(`size/${this.#name}`, this.#size);
    this.#storedSize = this.#size;
    return changes;
  }

  /** Whether a key is one of this file's. */
  owns(key: string): boolean {
    return key === `size/${this.#name}` || key.startsWith(`chunk/${this.#name}/`);
  }

  /** A chunk to write into. */
  #own(index: number): Uint8Array {
    let chunk = this.#chunks[index];
    if (chunk === undefined) chunk = new Uint8Array(CHUNK_BYTES);
    else if (this.#lent.delete(index)) chunk = chunk.slice();
    this.#chunks[index] = chunk;
    this.#changed.add(index);
    return chunk;
  }
}
