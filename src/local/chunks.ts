/** The bytes of one file in memory, as chunks that are made when they are first written: a hole costs nothing, and growing copies nothing. */

/** 64 pages of 4 KiB. */
export const CHUNK_BYTES = 256 * 1024;

/** A chunk that was never written is undefined and reads as zeros. */
export type Chunks = (Uint8Array | undefined)[];

/** The part of a range that lies in one chunk: `length` bytes at `at` of the chunk, `done` bytes after the range's begin. */
export interface Piece {
  readonly index: number;
  readonly at: number;
  readonly done: number;
  readonly length: number;
}

/** Calls back for every chunk that a range of bytes touches, in order. */
export function eachPiece(offset: number, length: number, visit: (piece: Piece) => void): void {
  for (let done = 0; done < length; ) {
    const at = (offset + done) % CHUNK_BYTES;
    const n = Math.min(CHUNK_BYTES - at, length - done);
    visit({ index: Math.floor((offset + done) / CHUNK_BYTES), at, done, length: n });
    done += n;
  }
}

/** Fills `into` from `offset` of a file of `size` bytes; answers how many there were. */
export function readChunks(chunks: Chunks, size: number, offset: number, into: Uint8Array): number {
  const available = Math.max(0, Math.min(into.length, size - offset));
  eachPiece(offset, available, ({ index, at, done, length }) => {
    const chunk = chunks[index];
    if (chunk === undefined) into.fill(0, done, done + length);
    else into.set(chunk.subarray(at, at + length), done);
  });
  return available;
}
