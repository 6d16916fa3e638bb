/**
 * Appends records to the file of one generation: preallocates space, gathers a record into one write, keeps sequence and
 * chain. Knows nothing of generations switching, poisoning or recovery; RecordLog does.
 */
import { assert } from "../base/assert.ts";
import { isPagefoldError, PagefoldError } from "../base/errors.ts";
import type { BlockFile } from "./block-file.ts";
import {
  addPayloadBlock,
  encodeRecordHeader,
  hashPayload,
  PAYLOAD_BLOCK_BYTES,
  RECORD_HEADER_BYTES,
  recordBytes,
} from "./record-format.ts";
import type { Xxh64 } from "./xxh64.ts";

/** Where a payload lies. Valid until the generation is replaced by `rewrite`. */
export interface RecordRef {
  /** Byte position of the payload in the generation's file. */
  readonly position: number;
  /** Bytes of the payload. */
  readonly length: number;
  readonly generation: number;
}

/** Records up to this size are gathered into one write; larger ones take one write per MiB. */
const GATHER_BYTES = 16 * PAYLOAD_BLOCK_BYTES;
const EXTENT_GROWTH_MAX = 8;

export interface LogWriterOptions {
  readonly file: BlockFile;
  readonly hash: Xxh64;
  readonly generation: number;
  readonly salt: bigint;
  /** First extent of preallocated space; each further one doubles, up to eight times this. */
  readonly extentBytes: number;
  readonly maxRecordBytes: number;
  /** Where recovery ended. Default: an empty generation. */
  readonly end?: number;
  readonly sequence?: number;
  readonly chain?: bigint;
}

export class LogWriter {
  readonly file: BlockFile;
  readonly generation: number;
  readonly salt: bigint;
  readonly #hash: Xxh64;
  readonly #extentBytesMax: number;
  readonly #maxRecordBytes: number;
  #extentBytes: number;
  #end: number;
  #allocated: number;
  #sequence: number;
  #chain: bigint;
  #flushed: number;
  #buffer = new Uint8Array(32 * 1024);

  constructor(options: LogWriterOptions) {
    this.file = options.file;
    this.generation = options.generation;
    this.salt = options.salt;
    this.#hash = options.hash;
    this.#extentBytes = options.extentBytes;
    this.#extentBytesMax = options.extentBytes * EXTENT_GROWTH_MAX;
    this.#maxRecordBytes = options.maxRecordBytes;
    this.#end = options.end ?? 0;
    this.#sequence = options.sequence ?? 0;
    this.#chain = options.chain ?? options.salt;
    this.#flushed = this.#sequence;
    this.#allocated = this.file.size();
  }

  /** Bytes of all records. */
  get end(): number {
    return this.#end;
  }

  /** Sequence of the last record that is known to be flushed. */
  get flushed(): number {
    return this.#flushed;
  }

  get dirty(): boolean {
    return this.#flushed < this.#sequence;
  }

  /**
   * Nothing changes in the writer if this throws: the next append goes to the same place.
   * @param spareBytes how much preallocated space must be left behind the record; else it is `quota`
   */
  append(type: number, parts: readonly Uint8Array[], spareBytes = 0): RecordRef {
    assert(Number.isInteger(type) && type >= 0 && type <= 255, `record type ${type} is no byte`);
    let length = 0;
    for (const part of parts) length += part.length;
    if (length > this.#maxRecordBytes) {
      throw new PagefoldError(
        "invalid",
        `a log record of ${length} bytes is larger than the limit of ${this.#maxRecordBytes}; split it or raise maxRecordBytes`,
        { details: { path: this.file.name } },
      );
    }
    const position = this.#end;
    const size = recordBytes(length);
    if (position + size + spareBytes > this.#allocated) this.#allocate(position + size, spareBytes);
    const header = { type, length, sequence: this.#sequence + 1, flushed: this.#flushed };
    let chain: bigint;
    if (size <= GATHER_BYTES) {
      const record = this.#scratch(size);
      let at = RECORD_HEADER_BYTES;
      for (const part of parts) {
        record.set(part, at);
        at += part.length;
      }
      record.fill(0, at, size);
      const payloadHash = hashPayload(this.#hash, this.salt, record.subarray(RECORD_HEADER_BYTES, at));
      chain = encodeRecordHeader(this.#hash, record, header, payloadHash, this.#chain);
      this.file.writeAt(position, record);
    } else {
      const payloadHash = this.#writeLargePayload(position + RECORD_HEADER_BYTES, parts);
      // The header goes last, so that a write which fails on the way never leaves a whole record behind.
      const bytes = this.#scratch(RECORD_HEADER_BYTES);
      chain = encodeRecordHeader(this.#hash, bytes, header, payloadHash, this.#chain);
      this.file.writeAt(position, bytes);
    }
    this.#end = position + size;
    this.#allocated = Math.max(this.#allocated, this.#end);
    this.#sequence = header.sequence;
    this.#chain = chain;
    return { position: position + RECORD_HEADER_BYTES, length, generation: this.generation };
  }

  flush(): void {
    this.file.flush();
    this.#flushed = this.#sequence;
  }

  #writeLargePayload(start: number, parts: readonly Uint8Array[]): bigint {
    const buffer = this.#scratch(GATHER_BYTES);
    let running = this.salt;
    let position = start;
    let used = 0;
    const drain = (): void => {
      for (let at = 0; at < used; at += PAYLOAD_BLOCK_BYTES) {
        const block = buffer.subarray(at, Math.min(used, at + PAYLOAD_BLOCK_BYTES));
        running = addPayloadBlock(this.#hash, running, block);
      }
      this.file.writeAt(position, buffer.subarray(0, used));
      position += used;
      used = 0;
    };
    for (const part of parts) {
      for (let done = 0; done < part.length; ) {
        const n = Math.min(GATHER_BYTES - used, part.length - done);
        buffer.set(part.subarray(done, done + n), used);
        used += n;
        done += n;
        if (used === GATHER_BYTES) drain();
      }
    }
    if (used > 0) drain();
    return running;
  }

  /**
   * Fills an extent with zeros behind the coming record: overwriting allocated blocks makes the next flushes half as dear as appending.
   * Where space is too short for an extent the record is tried with what must be spared behind it, or alone.
   */
  #allocate(needed: number, spareBytes: number): void {
    try {
      this.#fill(needed, needed + spareBytes + this.#extentBytes);
    } catch (e) {
      if (!isPagefoldError(e, "quota")) throw e;
      if (spareBytes > 0) this.#fill(needed, needed + spareBytes);
      return;
    }
    this.#extentBytes = Math.min(this.#extentBytes * 2, this.#extentBytesMax);
  }

  /** Allocates up to `target`, with zeros from `from` on; all or nothing. */
  #fill(from: number, target: number): void {
    const before = this.#allocated;
    const start = Math.max(from, before);
    const zeros = new Uint8Array(Math.max(0, Math.min(target - start, 1024 * 1024)));
    try {
      for (let at = start; at < target; at += zeros.length) {
        this.file.writeAt(at, zeros.subarray(0, Math.min(zeros.length, target - at)));
      }
    } catch (e) {
      if (isPagefoldError(e, "quota") && this.file.size() > before) this.file.truncate(before);
      throw e;
    }
    this.#allocated = Math.max(before, target);
  }

  #scratch(size: number): Uint8Array {
    if (this.#buffer.length < size) {
      this.#buffer = new Uint8Array(Math.min(GATHER_BYTES, 2 ** Math.ceil(Math.log2(size))));
    }
    return this.#buffer.subarray(0, size);
  }
}
