/**
 * Journals, sorter spill and temporary databases: files without names that go when they are closed, over the chunks of a
 * TempStorage. A failed write leaves the file as it was.
 */
import { assert } from "../../src/base/assert.ts";
import { IOERR_SHORT_READ, OK } from "./codes.ts";
import { CHUNK_BYTES, type TempChunk } from "./temp-chunk.ts";
import type { TempStorage } from "./temp-storage.ts";
import type { VfsFile } from "./vfs-file.ts";

/** Up to here a loop is faster than a call of `set`; a journal writes page numbers and checksums of 4 bytes each. */
const FEW_BYTES = 16;

export class TempFile implements VfsFile {
  readonly #storage: TempStorage;
  /** By place in the file; where there is none, the file reads as zeros. */
  readonly #chunks: (TempChunk | undefined)[] = [];
  #size = 0;

  constructor(storage: TempStorage) {
    this.#storage = storage;
  }

  read(into: Uint8Array, offset: number): number {
    const start = offset % CHUNK_BYTES;
    const end = start + into.length;
    const chunk = this.#chunks[(offset - start) / CHUNK_BYTES];
    // `filled` is never more than CHUNK_BYTES, nor beyond the end of the file.
    if (chunk?.memory === undefined || end > chunk.filled) return this.#readParts(into, offset);
    into.set(chunk.memory.subarray(start, end));
    return OK;
  }

  write(bytes: Uint8Array, offset: number): number {
    const start = offset % CHUNK_BYTES;
    const end = start + bytes.length;
    const chunk = this.#chunks[(offset - start) / CHUNK_BYTES];
    if (chunk?.memory === undefined || start > chunk.filled || end > CHUNK_BYTES) {
      return this.#writeParts(bytes, offset);
    }
    if (bytes.length <= FEW_BYTES) {
      for (let i = 0; i < bytes.length; i++) chunk.memory[start + i] = bytes[i] as number;
    } else {
      chunk.memory.set(bytes, start);
    }
    if (end > chunk.filled) chunk.filled = end;
    if (offset + bytes.length > this.#size) this.#size = offset + bytes.length;
    return OK;
  }

  truncate(size: number): number {
    if (size < this.#size) this.#shrink(size);
    this.#size = size;
    return OK;
  }

  size(): number {
    return this.#size;
  }

  lock(): number {
    return OK;
  }

  unlock(): number {
    return OK;
  }

  close(): void {
    this.truncate(0);
  }

  #readParts(into: Uint8Array, offset: number): number {
    const available = Math.max(0, Math.min(into.length, this.#size - offset));
    for (let at = 0; at < available; ) {
      const start = (offset + at) % CHUNK_BYTES;
      const take = Math.min(CHUNK_BYTES - start, available - at);
      const chunk = this.#chunks[(offset + at - start) / CHUNK_BYTES];
      if (chunk === undefined) into.fill(0, at, at + take);
      else this.#storage.read(chunk, start, into.subarray(at, at + take));
      at += take;
    }
    if (available === into.length) return OK;
    into.fill(0, available);
    return IOERR_SHORT_READ;
  }

  /** All of the write or nothing: SQLite rolls back from journals that were being written when the disk filled up. */
  #writeParts(bytes: Uint8Array, offset: number): number {
    if (bytes.length === 0) return OK;
    const before = this.#existing(offset, bytes.length);
    const created = this.#create(offset, bytes.length);
    let at = 0;
    try {
      while (at < bytes.length) {
        const start = (offset + at) % CHUNK_BYTES;
        const take = Math.min(CHUNK_BYTES - start, bytes.length - at);
        this.#storage.write(
          this.#at((offset + at - start) / CHUNK_BYTES),
          start,
          bytes.subarray(at, at + take),
        );
        at += take;
      }
    } catch (error) {
      this.#discard(created);
      this.#undo(offset, before, at);
      throw error;
    }
    this.#size = Math.max(this.#size, offset + bytes.length);
    return OK;
  }

  /** A copy of what a write at `offset` will replace. */
  #existing(offset: number, length: number): Uint8Array {
    const bytes = new Uint8Array(Math.max(0, Math.min(length, this.#size - offset)));
    if (bytes.length > 0) this.#readParts(bytes, offset);
    return bytes;
  }

  /** Makes the chunks that [offset, offset + length) lacks, all or none, and tells which. */
  #create(offset: number, length: number): number[] {
    const created: number[] = [];
    const last = Math.floor((offset + length - 1) / CHUNK_BYTES);
    try {
      for (let index = Math.floor(offset / CHUNK_BYTES); index <= last; index++) {
        if (this.#chunks[index] !== undefined) continue;
        this.#chunks[index] = this.#storage.take();
        created.push(index);
      }
    } catch (error) {
      this.#discard(created);
      throw error;
    }
    return created;
  }

  #discard(created: readonly number[]): void {
    for (const index of created) {
      this.#storage.release(this.#at(index));
      this.#chunks[index] = undefined;
    }
  }

  /** Puts back `before`, up to and with the chunk of the write at `offset + failedAt` that failed and may have torn its slot. */
  #undo(offset: number, before: Uint8Array, failedAt: number): void {
    this.#clip(this.#size);
    for (let at = 0; at < before.length && at <= failedAt; ) {
      const start = (offset + at) % CHUNK_BYTES;
      const take = Math.min(CHUNK_BYTES - start, before.length - at);
      const chunk = this.#chunks[(offset + at - start) / CHUNK_BYTES];
      // A chunk that was made for this write is gone again, and its place reads as zeros, which it did before.
      if (chunk !== undefined) {
        this.#storage.bringBack(chunk);
        this.#storage.write(chunk, start, before.subarray(at, at + take));
      }
      at += take;
    }
  }

  #shrink(size: number): void {
    const keep = Math.ceil(size / CHUNK_BYTES);
    for (let index = keep; index < this.#chunks.length; index++) {
      const chunk = this.#chunks[index];
      if (chunk !== undefined) this.#storage.release(chunk);
    }
    if (this.#chunks.length > keep) this.#chunks.length = keep;
    this.#clip(size);
  }

  /** Makes what lies beyond `size` in the last chunk of a file of that size read as zeros if the file grows back. */
  #clip(size: number): void {
    if (size === 0) return;
    const index = Math.ceil(size / CHUNK_BYTES) - 1;
    const last = this.#chunks[index];
    if (last !== undefined) last.filled = Math.min(last.filled, size - index * CHUNK_BYTES);
  }

  #at(index: number): TempChunk {
    const chunk = this.#chunks[index];
    assert(chunk !== undefined, `a temporary file lacks its chunk ${index}`);
    return chunk;
  }
}
