/**
 * Journals, sorter spill and temporary databases: files in this thread's memory, in chunks, so that growing one copies nothing. They
 * lie outside the wasm heap, which ends at 2 GiB; all files of a VFS share one budget.
 */
import { PagefoldError } from "../../src/base/errors.ts";
import { IOERR_SHORT_READ, OK } from "./codes.ts";
import type { VfsFile } from "./vfs-file.ts";

const CHUNK_BYTES = 65_536;

/** Bytes of temporary files that may exist at a time. */
export class MemoryBudget {
  readonly limit: number;
  #used = 0;

  constructor(limit: number) {
    this.limit = limit;
  }

  get used(): number {
    return this.#used;
  }

  take(bytes: number): void {
    if (this.#used + bytes > this.limit) {
      throw new PagefoldError(
        "quota",
        `temporary files of queries would take more than ${this.limit} bytes of memory; sort or group less at once, or raise tempBytes`,
      );
    }
    this.#used += bytes;
  }

  give(bytes: number): void {
    this.#used -= bytes;
  }
}

export class MemoryFile implements VfsFile {
  readonly #budget: MemoryBudget;
  readonly #chunks: Uint8Array[] = [];
  #size = 0;

  constructor(budget: MemoryBudget) {
    this.#budget = budget;
  }

  read(into: Uint8Array, offset: number): number {
    const available = Math.max(0, Math.min(into.length, this.#size - offset));
    this.#copy(offset, available, (chunk, at, start, length) =>
      into.set(chunk.subarray(start, start + length), at),
    );
    if (available === into.length) return OK;
    into.fill(0, available);
    return IOERR_SHORT_READ;
  }

  write(bytes: Uint8Array, offset: number): number {
    this.#reserve(offset + bytes.length);
    this.#copy(offset, bytes.length, (chunk, at, start, length) =>
      chunk.set(bytes.subarray(at, at + length), start),
    );
    this.#size = Math.max(this.#size, offset + bytes.length);
    return OK;
  }

  truncate(size: number): number {
    if (size >= this.#size) {
      this.#reserve(size);
      this.#size = size;
      return OK;
    }
    const keep = Math.ceil(size / CHUNK_BYTES);
    this.#budget.give((this.#chunks.length - keep) * CHUNK_BYTES);
    this.#chunks.length = keep;
    // What grows back reads zeros.
    this.#chunks[keep - 1]?.fill(0, size - (keep - 1) * CHUNK_BYTES);
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

  #reserve(size: number): void {
    const count = Math.ceil(size / CHUNK_BYTES);
    while (this.#chunks.length < count) {
      this.#budget.take(CHUNK_BYTES);
      this.#chunks.push(new Uint8Array(CHUNK_BYTES));
    }
  }

  /** Calls `part` for every chunk that [offset, offset + length) touches; all of them exist. */
  #copy(
    offset: number,
    length: number,
    part: (chunk: Uint8Array, at: number, start: number, length: number) => void,
  ): void {
    for (let at = 0; at < length; ) {
      const start = (offset + at) % CHUNK_BYTES;
      const take = Math.min(CHUNK_BYTES - start, length - at);
      const chunk = this.#chunks[(offset + at - start) / CHUNK_BYTES];
      if (chunk !== undefined) part(chunk, at, start, take);
      at += take;
    }
  }
}
