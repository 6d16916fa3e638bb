/**
 * What a generation's file says after a crash: which records are good, and whether the first bad one is a torn tail (cut it) or
 * damage (report it). Reads only; the log acts on the result.
 *
 * Unflushed writes reach the disk in any order, so a bad record followed by a good one proves nothing by itself: the two may
 * have been written since the last flush, and only the second arrived. Every record therefore says up to which sequence the log had been
 * flushed when it was written, and so does the header. The first bad record r is damage exactly if some witness,
 * a later record whose own sum holds or the header, says that r had been flushed; otherwise losing r and all that
 * follows is a legal outcome of the crash, and nothing of it was ever acknowledged as durable. Without a witness (the very last flush
 * before a crash, when nothing was appended after it) damage cannot be told from a torn write; a clean close leaves one in
 * the header.
 */
import type { BlockFile } from "./block-file.ts";
import {
  addPayloadBlock,
  decodeRecordHeader,
  type LogHeader,
  PAYLOAD_BLOCK_BYTES,
  RECORD_ALIGNMENT,
  RECORD_HEADER_BYTES,
  type RecordHeader,
  recordBytes,
  recordChainHolds,
  recordSumHolds,
} from "./record-format.ts";
import type { Xxh64 } from "./xxh64.ts";

const WINDOW_BYTES = 1024 * 1024;

export interface RecoveredLog {
  /** Where the good records end and the next one goes. */
  readonly end: number;
  /** Sequence of the last good record, 0 for none. */
  readonly sequence: number;
  /** Its chain value; the salt for none. */
  readonly chain: bigint;
  /** Whether anything but zeros follows `end`. */
  readonly dirtyTail: boolean;
  /** Set when the record at `end` had been flushed and is now bad: who says so. */
  readonly damage?: { readonly sequence: number; readonly witness: string };
}

/** Calls `visit` for every good record in order, and judges what follows them. `payload` is valid during the call. */
export function recoverLog(
  file: BlockFile,
  header: LogHeader,
  hash: Xxh64,
  visit: (type: number, payload: Uint8Array, position: number) => void,
): RecoveredLog {
  const window = new Window(file);
  let end = 0;
  let sequence = 0;
  let chain = header.salt;
  for (;;) {
    const record = readRecord(window, end, header.salt, hash);
    if (record === undefined || record.header.sequence !== sequence + 1) break;
    if (!recordChainHolds(hash, record.header, record.headerBytes, chain)) break;
    visit(
      record.header.type,
      window.at(end + RECORD_HEADER_BYTES, record.header.length),
      end + RECORD_HEADER_BYTES,
    );
    sequence = record.header.sequence;
    chain = record.header.chain;
    end += recordBytes(record.header.length);
  }
  const tail = judgeTail(window, end, sequence + 1, header, hash);
  return { end, sequence, chain, ...tail };
}

/** Looks through everything after the good records for a witness that record `missing` had been flushed. */
function judgeTail(
  window: Window,
  end: number,
  missing: number,
  header: LogHeader,
  hash: Xxh64,
): Pick<RecoveredLog, "dirtyTail" | "damage"> {
  if (header.flushed >= missing) {
    const witness = `the header says that record ${header.flushed} had been flushed`;
    return { dirtyTail: true, damage: { sequence: missing, witness } };
  }
  let dirtyTail = false;
  for (let start = end; start < window.size; start += WINDOW_BYTES) {
    const bytes = window.at(start, Math.min(WINDOW_BYTES, window.size - start));
    const candidates: number[] = [];
    for (let i = 0; i < bytes.length; i += RECORD_ALIGNMENT) {
      if (isZero(bytes, i)) continue;
      dirtyTail = true;
      if (bytes[i] === 0x50 && bytes[i + 1] === 0x47 && bytes[i + 2] === 0x52) candidates.push(start + i);
    }
    for (const position of candidates) {
      const record = readRecord(window, position, header.salt, hash, missing);
      if (record === undefined) continue;
      const witness = `record ${record.header.sequence} at ${position} says that record ${record.header.flushed} had been flushed`;
      return { dirtyTail: true, damage: { sequence: missing, witness } };
    }
  }
  return { dirtyTail };
}

/**
 * The record at `position` if its own sum holds, whatever its place in the chain; with `flushedAtLeast`, only one that says so much.
 * Payloads are hashed block by block, so a damaged length costs no memory.
 */
function readRecord(
  window: Window,
  position: number,
  salt: bigint,
  hash: Xxh64,
  flushedAtLeast = 0,
): { header: RecordHeader; headerBytes: Uint8Array } | undefined {
  if (position + RECORD_HEADER_BYTES > window.size) return undefined;
  const headerBytes = window.at(position, RECORD_HEADER_BYTES).slice();
  const header = decodeRecordHeader(headerBytes);
  if (header === undefined || header.flushed < flushedAtLeast) return undefined;
  const payloadEnd = position + RECORD_HEADER_BYTES + header.length;
  // With its padding: a write that ran out of space within it was reported as failed, so the record must not exist.
  if (position + recordBytes(header.length) > window.size) return undefined;
  let running = salt;
  for (let at = position + RECORD_HEADER_BYTES; at < payloadEnd; at += PAYLOAD_BLOCK_BYTES) {
    running = addPayloadBlock(hash, running, window.at(at, Math.min(PAYLOAD_BLOCK_BYTES, payloadEnd - at)));
  }
  return recordSumHolds(hash, header, headerBytes, running) ? { header, headerBytes } : undefined;
}

/** Whether the (up to) eight bytes at `i` are zero. */
function isZero(bytes: Uint8Array, i: number): boolean {
  for (let j = i; j < i + RECORD_ALIGNMENT && j < bytes.length; j++) if (bytes[j] !== 0) return false;
  return true;
}

/** A buffered view of the file: at least 1 MiB is read at a time. */
class Window {
  readonly size: number;
  readonly #file: BlockFile;
  #buffer = new Uint8Array(0);
  #start = 0;
  #length = 0;

  constructor(file: BlockFile) {
    this.#file = file;
    this.size = file.size();
  }

  /** `length` bytes from `position`, which must lie inside the file. Valid until the next call. */
  at(position: number, length: number): Uint8Array {
    if (position < this.#start || position + length > this.#start + this.#length) {
      const want = Math.min(this.size - position, Math.max(length, WINDOW_BYTES));
      if (this.#buffer.length < want) this.#buffer = new Uint8Array(want);
      this.#start = position;
      this.#length = this.#file.readAt(position, this.#buffer.subarray(0, want));
    }
    const from = position - this.#start;
    return this.#buffer.subarray(from, from + length);
  }
}
