/**
 * Bytes of the record log (log-0, log-1, header): how a record and a header slot are encoded, recognised and checked. Pure
 * functions over bytes; recovery and the log itself decide what follows from them.
 *
 * A record, little-endian, at a multiple of 8:
 *
 *   0  3  magic 50 47 52 ("PGR")
 *   3  1  type, the caller's
 *   4  4  payload length in bytes
 *   8  8  sequence: 1, 2, 3 … within the generation
 *  16  8  flushed: the highest sequence known to be on stable storage when this record was written
 *  24  8  sum: over bytes 0–23 and the payload, seeded by the salt; valid without knowing any other record
 *  32  8  chain: xxh64 of bytes 0–31, seeded by the chain of the previous record (of the first: by the salt)
 *  40  …  payload, then zeros to a multiple of 8
 *
 * `sum` hashes the payload in blocks of 64 KiB, each seeded by the result of the one before, so that a large payload is never needed in
 * one piece to write it.
 *
 * A header slot (two of them, at 0 and 512 of the file `header`):
 *
 *   0  8  magic 50 47 46 4c 4f 47 30 31 ("PGFLOG01")
 *   8  8  sequence of this header: the newest valid slot wins
 *  16  8  generation: its records lie in log-<generation mod 2>
 *  24  8  salt of the generation, random
 *  32  8  flushed: the highest sequence known to be on stable storage
 *  40  8  xxh64 of bytes 0–39
 */
import { PagefoldError } from "../base/errors.ts";
import type { Xxh64 } from "./xxh64.ts";

export const RECORD_HEADER_BYTES = 40;
export const RECORD_ALIGNMENT = 8;
export const PAYLOAD_BLOCK_BYTES = 64 * 1024;
export const HEADER_SLOT_BYTES = 512;

const RECORD_MAGIC = 0x52_47_50; // "PGR" in the low three bytes of a little-endian u32
const HEADER_MAGIC = 0x3130_474f_4c46_4750n; // "PGFLOG01"
const HEADER_SUMMED_BYTES = 40;

export interface RecordHeader {
  readonly type: number;
  readonly length: number;
  readonly sequence: number;
  readonly flushed: number;
  readonly sum: bigint;
  readonly chain: bigint;
}

export interface LogHeader {
  readonly sequence: number;
  readonly generation: number;
  readonly salt: bigint;
  readonly flushed: number;
}

/** How many bytes a record with this payload takes in the log. */
export function recordBytes(payloadLength: number): number {
  return Math.ceil((RECORD_HEADER_BYTES + payloadLength) / RECORD_ALIGNMENT) * RECORD_ALIGNMENT;
}

/** Adds one block (64 KiB, or the last) of a payload to its running hash, which starts as the salt. */
export function addPayloadBlock(hash: Xxh64, running: bigint, block: Uint8Array): bigint {
  return hash.xxh64(block, running);
}

/** Hash of a payload that lies in one piece. */
export function hashPayload(hash: Xxh64, salt: bigint, payload: Uint8Array): bigint {
  let running = salt;
  for (let at = 0; at < payload.length; at += PAYLOAD_BLOCK_BYTES) {
    running = addPayloadBlock(hash, running, payload.subarray(at, at + PAYLOAD_BLOCK_BYTES));
  }
  return running;
}

/** Writes the 40 bytes of a record header; returns its chain value. */
export function encodeRecordHeader(
  hash: Xxh64,
  into: Uint8Array,
  header: Omit<RecordHeader, "sum" | "chain">,
  payloadHash: bigint,
  previousChain: bigint,
): bigint {
  const view = new DataView(into.buffer, into.byteOffset, RECORD_HEADER_BYTES);
  view.setUint32(0, RECORD_MAGIC + header.type * 0x1_00_00_00, true);
  view.setUint32(4, header.length, true);
  setUint53(view, 8, header.sequence);
  setUint53(view, 16, header.flushed);
  view.setBigUint64(24, hash.xxh64(into.subarray(0, 24), payloadHash), true);
  const chain = hash.xxh64(into.subarray(0, 32), previousChain);
  view.setBigUint64(32, chain, true);
  return chain;
}

/** The fields of what may be a record header, or undefined where the magic or a number is impossible. Nothing is verified yet. */
export function decodeRecordHeader(bytes: Uint8Array, offset = 0): RecordHeader | undefined {
  if (bytes.length - offset < RECORD_HEADER_BYTES) return undefined;
  if (bytes[offset] !== 0x50 || bytes[offset + 1] !== 0x47 || bytes[offset + 2] !== 0x52) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset + offset, RECORD_HEADER_BYTES);
  const sequence = getUint53(view, 8);
  const flushed = getUint53(view, 16);
  if (sequence === undefined || flushed === undefined || sequence === 0 || flushed >= sequence)
    return undefined;
  return {
    type: view.getUint8(3),
    length: view.getUint32(4, true),
    sequence,
    flushed,
    sum: view.getBigUint64(24, true),
    chain: view.getBigUint64(32, true),
  };
}

/** Whether the record's own sum holds: header fields and payload are what was written in this generation. */
export function recordSumHolds(
  hash: Xxh64,
  header: RecordHeader,
  headerBytes: Uint8Array,
  payloadHash: bigint,
): boolean {
  return hash.xxh64(headerBytes.subarray(0, 24), payloadHash) === header.sum;
}

/** Whether the record follows the one whose chain value is `previousChain`. */
export function recordChainHolds(
  hash: Xxh64,
  header: RecordHeader,
  headerBytes: Uint8Array,
  previousChain: bigint,
): boolean {
  return hash.xxh64(headerBytes.subarray(0, 32), previousChain) === header.chain;
}

/** One slot of 512 bytes. */
export function encodeLogHeader(hash: Xxh64, header: LogHeader): Uint8Array {
  const slot = new Uint8Array(HEADER_SLOT_BYTES);
  const view = new DataView(slot.buffer);
  view.setBigUint64(0, HEADER_MAGIC, true);
  setUint53(view, 8, header.sequence);
  setUint53(view, 16, header.generation);
  view.setBigUint64(24, header.salt, true);
  setUint53(view, 32, header.flushed);
  view.setBigUint64(40, hash.xxh64(slot.subarray(0, HEADER_SUMMED_BYTES)), true);
  return slot;
}

/**
 * A slot's header; undefined when the slot is torn, damaged or empty.
 *
 * @throws `unsupported_version` for a valid slot of a newer format
 */
export function decodeLogHeader(hash: Xxh64, slot: Uint8Array, name: string): LogHeader | undefined {
  if (slot.length < HEADER_SUMMED_BYTES + 8) return undefined;
  const view = new DataView(slot.buffer, slot.byteOffset, slot.length);
  if (view.getBigUint64(40, true) !== hash.xxh64(slot.subarray(0, HEADER_SUMMED_BYTES))) return undefined;
  const magic = view.getBigUint64(0, true);
  if (magic !== HEADER_MAGIC) {
    // An all-zero slot does not get here: xxh64 of zeros is not zero.
    throw new PagefoldError(
      "unsupported_version",
      `${name} was written by another version of Pagefold (magic ${magic.toString(16)}); open it with that version`,
      { details: { path: name } },
    );
  }
  const sequence = getUint53(view, 8);
  const generation = getUint53(view, 16);
  const flushed = getUint53(view, 32);
  if (sequence === undefined || generation === undefined || flushed === undefined) return undefined;
  return { sequence, generation, salt: view.getBigUint64(24, true), flushed };
}

function setUint53(view: DataView, at: number, value: number): void {
  view.setUint32(at, value % 0x1_0000_0000, true);
  view.setUint32(at + 4, Math.floor(value / 0x1_0000_0000), true);
}

function getUint53(view: DataView, at: number): number | undefined {
  const value = view.getUint32(at, true) + view.getUint32(at + 4, true) * 0x1_0000_0000;
  return Number.isSafeInteger(value) ? value : undefined;
}
