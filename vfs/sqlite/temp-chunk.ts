/**
 * The unit in which temporary files take space: 64 KiB, in memory or in a slot of the spill file. `ChunkList` keeps the chunks in
 * memory in the order in which they came, so that the oldest one can make room.
 */

export const CHUNK_BYTES = 65_536;
/** The slot of a chunk that is in memory. */
export const NO_SLOT = -1;

export class TempChunk {
  /** CHUNK_BYTES long; undefined while the bytes are in the spill file. Shared with nobody. */
  memory: Uint8Array | undefined;
  /** Where in the spill file the bytes are, in chunks; NO_SLOT while they are in memory. */
  slot = NO_SLOT;
  /**
   * The first `filled` bytes are content. The rest is whatever an earlier use left there and reads as zeros, so that neither a new chunk nor
   * a file that shrinks and grows again costs 64 KiB of zeros. Never beyond the end of the file.
   */
  filled = 0;
  older: TempChunk = this;
  newer: TempChunk = this;
}

/** Chunks by age; adding and removing cost the same wherever they are. A chunk is in at most one list. */
export class ChunkList {
  /** Closes the ring: its `newer` is the oldest chunk. */
  readonly #ends = new TempChunk();
  #length = 0;

  get length(): number {
    return this.#length;
  }

  get oldest(): TempChunk | undefined {
    return this.#length === 0 ? undefined : this.#ends.newer;
  }

  add(chunk: TempChunk): void {
    chunk.older = this.#ends.older;
    chunk.newer = this.#ends;
    chunk.older.newer = chunk;
    this.#ends.older = chunk;
    this.#length++;
  }

  remove(chunk: TempChunk): void {
    chunk.older.newer = chunk.newer;
    chunk.newer.older = chunk.older;
    // A removed chunk may live on in a file: it must not keep its former neighbours alive.
    chunk.older = chunk;
    chunk.newer = chunk;
    this.#length--;
  }
}
