/**
 * The digests of pages as they are at the place in the log that a deep verification has come to: bounded, so what was forgotten is had from the store
 * again. Sixteen zero bytes stand for a page of zeros.
 */
import { DIGEST_BYTES } from "../../format/hash.ts";

const CHUNK_PAGES = 1024;

interface Chunk {
  readonly digests: Uint8Array;
  /** Of each page, whether its digest is known. */
  readonly known: Uint8Array;
}

export class DigestMemory {
  readonly #chunks = new Map<number, Chunk>();
  readonly #most: number;

  constructor(bytes: number) {
    this.#most = Math.max(1, Math.floor(bytes / (CHUNK_PAGES * (DIGEST_BYTES + 1))));
  }

  /** Bytes that the next call may change; undefined where it is not known. */
  get(page: number): Uint8Array | undefined {
    const chunk = this.#chunks.get(Math.floor(page / CHUNK_PAGES));
    const at = page % CHUNK_PAGES;
    if (chunk === undefined || chunk.known[at] === 0) return undefined;
    return chunk.digests.subarray(at * DIGEST_BYTES, (at + 1) * DIGEST_BYTES);
  }

  set(page: number, digests: Uint8Array, offset: number): void {
    const number = Math.floor(page / CHUNK_PAGES);
    let chunk = this.#chunks.get(number);
    if (chunk === undefined) {
      chunk = { digests: new Uint8Array(CHUNK_PAGES * DIGEST_BYTES), known: new Uint8Array(CHUNK_PAGES) };
      this.#chunks.set(number, chunk);
      this.#shrink();
    }
    const at = page % CHUNK_PAGES;
    chunk.digests.set(digests.subarray(offset, offset + DIGEST_BYTES), at * DIGEST_BYTES);
    chunk.known[at] = 1;
  }

  /** The chunks that were begun first go first. */
  #shrink(): void {
    for (const number of this.#chunks.keys()) {
      if (this.#chunks.size <= this.#most) return;
      this.#chunks.delete(number);
    }
  }
}
