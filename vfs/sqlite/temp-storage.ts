/**
 * Where the temporary files of one VFS keep their bytes: chunks in memory (outside the wasm heap, which ends at 2 GiB) up to a
 * budget, beyond it in one spill file. A new chunk is always in memory, and the oldest one goes to disk to make room for it: a journal, written in
 * pieces of a few bytes, reaches the disk in whole chunks, and small journals never do. What is on disk is read and written there.
 */
import { assert } from "../../src/base/assert.ts";
import { PagefoldError } from "../../src/base/errors.ts";
import { noopRecorder, type Recorder } from "../../src/base/recorder.ts";
import type { BlockFile } from "../../src/local/block-file.ts";
import { CHUNK_BYTES, ChunkList, NO_SLOT, TempChunk } from "./temp-chunk.ts";
import { TempSpill } from "./temp-spill.ts";

export interface TempStorageOptions {
  /** The setting `tempBytes`: bytes of temporary files in memory, in chunks of 64 KiB. With a spill file at least one chunk is used. */
  readonly memoryBytes: number;
  /**
   * For what does not fit into memory: used by nobody else, emptied now, and closed by its owner after the last temporary file. Never
   * flushed. Default: none, and what does not fit is `quota`.
   */
  readonly file?: BlockFile;
  /** Upper bound of the spill file. Default: what the disk has. */
  readonly maxFileBytes?: number;
  /** `temp.spill.bytes`, `temp.spill.truncate_failed`. */
  readonly recorder?: Recorder;
}

export interface TempStorageStats {
  /** Chunks of files in memory. */
  readonly memoryChunks: number;
  /** Chunks in memory that no file uses, kept for the next one. */
  readonly spareChunks: number;
  /** Chunks of files in the spill file. */
  readonly fileChunks: number;
}

/** Every transaction has a journal: its chunk is neither allocated nor zeroed anew each time. */
const SPARE_CHUNKS_MAX = 16;

export class TempStorage {
  readonly #memoryBytes: number;
  readonly #memoryChunksMax: number;
  readonly #spill: TempSpill | undefined;
  readonly #inMemory = new ChunkList();
  readonly #spare: TempChunk[] = [];

  constructor(options: TempStorageOptions) {
    const { memoryBytes, file, maxFileBytes = Number.MAX_SAFE_INTEGER, recorder = noopRecorder } = options;
    for (const [name, bytes] of Object.entries({ memoryBytes, maxFileBytes })) {
      if (Number.isSafeInteger(bytes) && bytes >= 0) continue;
      throw new PagefoldError("invalid", `${name} is ${bytes}; give a number of bytes, 0 or more`);
    }
    this.#memoryBytes = memoryBytes;
    this.#memoryChunksMax = Math.max(Math.floor(memoryBytes / CHUNK_BYTES), file === undefined ? 0 : 1);
    this.#spill =
      file === undefined ? undefined : new TempSpill({ file, memoryBytes, maxFileBytes, recorder });
  }

  stats(): TempStorageStats {
    return {
      memoryChunks: this.#inMemory.length,
      spareChunks: this.#spare.length,
      fileChunks: this.#spill?.used ?? 0,
    };
  }

  /** A chunk in memory with nothing in it. Throws `quota`, and whatever the spill file throws; then nothing has changed. */
  take(): TempChunk {
    let memory: Uint8Array | undefined;
    // More than one chunk may have to go: see bringBack.
    while (this.#inMemory.length >= this.#memoryChunksMax) memory = this.#evictOldest();
    return this.#add(memory);
  }

  /** Gives back the space of a chunk, which is not used again by whoever had it. */
  release(chunk: TempChunk): void {
    if (chunk.memory === undefined) {
      this.#disk().release(chunk.slot);
      chunk.slot = NO_SLOT;
      return;
    }
    this.#inMemory.remove(chunk);
    chunk.filled = 0;
    const held = this.#inMemory.length + this.#spare.length;
    if (this.#spare.length < SPARE_CHUNKS_MAX && held < this.#memoryChunksMax) this.#spare.push(chunk);
    else chunk.memory = undefined;
  }

  /** Fills `into` from `start` within the chunk, with zeros where there is no content. */
  read(chunk: TempChunk, start: number, into: Uint8Array): void {
    const length = Math.max(0, Math.min(into.length, chunk.filled - start));
    if (length > 0) {
      if (chunk.memory !== undefined) into.set(chunk.memory.subarray(start, start + length));
      else this.#disk().read(chunk.slot, start, into.subarray(0, length));
    }
    into.fill(0, length);
  }

  /**
   * Writes `bytes` at `start` within the chunk. Does not fail for a chunk in memory. When it fails for one in the spill file, what lay at
   * [start, start + bytes.length) is undefined there until `bringBack` and a new write, and all else is as before.
   */
  write(chunk: TempChunk, start: number, bytes: Uint8Array): void {
    const end = start + bytes.length;
    if (chunk.memory !== undefined) {
      if (start > chunk.filled) chunk.memory.fill(0, chunk.filled, start);
      chunk.memory.set(bytes, start);
    } else {
      if (start > chunk.filled) this.#disk().zero(chunk.slot, chunk.filled, start);
      this.#disk().write(chunk.slot, start, bytes);
    }
    chunk.filled = Math.max(chunk.filled, end);
  }

  /**
   * Moves a chunk back into memory, where a write cannot fail: the way to repair what a failed write tore. Goes beyond the budget by
   * this chunk, until the next `take`.
   */
  bringBack(chunk: TempChunk): void {
    if (chunk.memory !== undefined) return;
    const memory = this.#spare.pop()?.memory ?? new Uint8Array(CHUNK_BYTES);
    this.#disk().read(chunk.slot, 0, memory.subarray(0, chunk.filled));
    this.#disk().release(chunk.slot);
    chunk.slot = NO_SLOT;
    chunk.memory = memory;
    this.#inMemory.add(chunk);
  }

  #add(memory: Uint8Array | undefined): TempChunk {
    const chunk = (memory === undefined ? this.#spare.pop() : undefined) ?? new TempChunk();
    chunk.memory ??= memory ?? new Uint8Array(CHUNK_BYTES);
    this.#inMemory.add(chunk);
    return chunk;
  }

  #disk(): TempSpill {
    assert(this.#spill !== undefined, "a chunk of temporary files was used after its release");
    return this.#spill;
  }

  /** Moves the oldest chunk to the spill file and returns the memory it had. */
  #evictOldest(): Uint8Array {
    const chunk = this.#inMemory.oldest;
    if (this.#spill === undefined || chunk?.memory === undefined) {
      throw new PagefoldError(
        "quota",
        `temporary files would take more than tempBytes (${this.#memoryBytes} bytes of memory), and there is no file to spill to; raise tempBytes, open the database with a local directory, or sort, group or change less at once`,
        { details: { tempBytes: this.#memoryBytes } },
      );
    }
    const memory = chunk.memory;
    chunk.slot = this.#spill.store(memory.subarray(0, chunk.filled));
    chunk.memory = undefined;
    this.#inMemory.remove(chunk);
    return memory;
  }
}
