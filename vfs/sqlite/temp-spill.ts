/**
 * The spill file of a TempStorage: slots of one chunk each, reused before the file grows, and the file is emptied when none is
 * in use. It knows nothing of files; what a slot held before is garbage that its user must not show.
 */
import { assert } from "../../src/base/assert.ts";
import { isPagefoldError, PagefoldError } from "../../src/base/errors.ts";
import type { Recorder } from "../../src/base/recorder.ts";
import type { BlockFile } from "../../src/local/block-file.ts";
import { CHUNK_BYTES } from "./temp-chunk.ts";

export interface TempSpillOptions {
  readonly file: BlockFile;
  readonly maxFileBytes: number;
  /** For messages: what may be in memory beside it. */
  readonly memoryBytes: number;
  readonly recorder: Recorder;
}

const ZEROS = new Uint8Array(CHUNK_BYTES);

export class TempSpill {
  readonly #options: TempSpillOptions;
  readonly #file: BlockFile;
  readonly #free: number[] = [];
  /** Slots from here on were never used since the file was last empty. */
  #frontier = 0;

  constructor(options: TempSpillOptions) {
    this.#options = options;
    this.#file = options.file;
    // What a process that was killed left behind.
    if (this.#file.size() > 0) this.#file.truncate(0);
  }

  get used(): number {
    return this.#frontier - this.#free.length;
  }

  /** Writes `bytes` at the start of a slot of its own and returns that; when it fails, no slot is taken. */
  store(bytes: Uint8Array): number {
    const reused = this.#free.at(-1);
    const slot = reused ?? this.#frontier;
    if ((slot + 1) * CHUNK_BYTES > this.#options.maxFileBytes) throw this.#full();
    try {
      this.#writeAt(slot * CHUNK_BYTES, bytes);
    } catch (error) {
      if (this.used === 0) this.#empty();
      throw error;
    }
    if (reused === undefined) this.#frontier++;
    else this.#free.pop();
    return slot;
  }

  /** Fills `into` from `start` within the slot, where it has been written. */
  read(slot: number, start: number, into: Uint8Array): void {
    const count = this.#file.readAt(slot * CHUNK_BYTES + start, into);
    if (count === into.length) return;
    throw new PagefoldError(
      "corrupt",
      `${this.#file.name} lost bytes of temporary files (${count} of ${into.length} are left at ${slot * CHUNK_BYTES + start}); keep others from writing to it, and run the statement again`,
      { details: { path: this.#file.name } },
    );
  }

  /** When it fails, what lay at [start, start + bytes.length) is undefined. */
  write(slot: number, start: number, bytes: Uint8Array): void {
    this.#writeAt(slot * CHUNK_BYTES + start, bytes);
  }

  zero(slot: number, start: number, end: number): void {
    this.#writeAt(slot * CHUNK_BYTES + start, ZEROS.subarray(0, end - start));
  }

  release(slot: number): void {
    assert(slot >= 0 && slot < this.#frontier, `slot ${slot} of the spill file was never given out`);
    this.#free.push(slot);
    if (this.used === 0) this.#empty();
  }

  #empty(): void {
    this.#free.length = 0;
    this.#frontier = 0;
    try {
      this.#file.truncate(0);
    } catch {
      // The space comes back the next time the file empties, or its old bytes are written over: nothing is lost. An error here would fail
      // the truncation of a journal, which is the moment of commit.
      this.#options.recorder.count("temp.spill.truncate_failed");
    }
  }

  #writeAt(offset: number, bytes: Uint8Array): void {
    try {
      this.#file.writeAt(offset, bytes);
    } catch (error) {
      throw isPagefoldError(error, "quota") ? this.#full(error) : error;
    }
    this.#options.recorder.count("temp.spill.bytes", bytes.length);
  }

  #full(cause?: unknown): PagefoldError {
    const { memoryBytes, maxFileBytes } = this.#options;
    const path = this.#file.name;
    const spilledBytes = this.used * CHUNK_BYTES;
    const why =
      cause === undefined
        ? `may not grow beyond ${maxFileBytes} bytes; let it grow further`
        : "cannot grow, the disk is full; free disk space";
    return new PagefoldError(
      "quota",
      `no room for temporary files: tempBytes (${memoryBytes} bytes of memory) is used up, and ${path}, which holds ${spilledBytes} bytes of them, ${why}, raise tempBytes, or sort, group or change less at once`,
      {
        details: { path, tempBytes: memoryBytes, spilledBytes },
        ...(cause === undefined ? {} : { cause }),
      },
    );
  }
}
