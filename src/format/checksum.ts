/**
 * The state checksum: the sum modulo 2^128 of the digests of all non-zero pages (FORMAT.md, "State checksum"). Adding and taking away
 * digests is all that a commit needs, in any order, so two replicas compare states by two numbers.
 */
import { assert } from "../base/assert.ts";
import type { StateChecksum } from "../base/brand.ts";

const DIGEST_BYTES = 16;
const WORD = 0x1_0000_0000;
const MODULUS = 1n << 128n;
/** Additions to a lane before its carry is moved on: 2^20 words below 2^32 stay below 2^53. */
const CARRY_AFTER = 1 << 20;

/** Of a volume without non-zero pages. */
export const STATE_CHECKSUM_EMPTY = 0n as StateChecksum;

/** A running sum. Four 32-bit lanes in doubles: no bigint per page. */
export class StateChecksumSum {
  #lane0 = 0;
  #lane1 = 0;
  #lane2 = 0;
  #lane3 = 0;
  #pending = 0;

  static from(value: StateChecksum): StateChecksumSum {
    assert(value >= 0n && value < MODULUS, "a state checksum below 2^128");
    const sum = new StateChecksumSum();
    sum.#lane0 = Number(value & 0xffff_ffffn);
    sum.#lane1 = Number((value >> 32n) & 0xffff_ffffn);
    sum.#lane2 = Number((value >> 64n) & 0xffff_ffffn);
    sum.#lane3 = Number(value >> 96n);
    return sum;
  }

  /** Adds `count` digests of 16 bytes, from byte `offset` on; by default all of them. */
  add(digests: Uint8Array, offset = 0, count = (digests.length - offset) / DIGEST_BYTES): this {
    return this.#accumulate(digests, offset, count, 1);
  }

  /** Takes `count` digests of 16 bytes away. */
  subtract(digests: Uint8Array, offset = 0, count = (digests.length - offset) / DIGEST_BYTES): this {
    return this.#accumulate(digests, offset, count, -1);
  }

  /** Adds another sum: partial sums of parts of a volume may be made apart. */
  addValue(value: StateChecksum): this {
    const other = StateChecksumSum.from(value);
    this.#lane0 += other.#lane0;
    this.#lane1 += other.#lane1;
    this.#lane2 += other.#lane2;
    this.#lane3 += other.#lane3;
    this.#carry();
    return this;
  }

  value(): StateChecksum {
    this.#carry();
    return ((BigInt(this.#lane3) << 96n) |
      (BigInt(this.#lane2) << 64n) |
      (BigInt(this.#lane1) << 32n) |
      BigInt(this.#lane0)) as StateChecksum;
  }

  #accumulate(digests: Uint8Array, offset: number, count: number, sign: 1 | -1): this {
    const end = offset + count * DIGEST_BYTES;
    assert(Number.isInteger(count) && count >= 0 && end <= digests.length, "whole digests");
    const view = new DataView(digests.buffer, digests.byteOffset, digests.byteLength);
    for (let at = offset; at < end; at += DIGEST_BYTES) {
      this.#lane0 += sign * view.getUint32(at, true);
      this.#lane1 += sign * view.getUint32(at + 4, true);
      this.#lane2 += sign * view.getUint32(at + 8, true);
      this.#lane3 += sign * view.getUint32(at + 12, true);
      if (++this.#pending === CARRY_AFTER) this.#carry();
    }
    return this;
  }

  #carry(): void {
    const carry0 = Math.floor(this.#lane0 / WORD);
    this.#lane0 -= carry0 * WORD;
    this.#lane1 += carry0;
    const carry1 = Math.floor(this.#lane1 / WORD);
    this.#lane1 -= carry1 * WORD;
    this.#lane2 += carry1;
    const carry2 = Math.floor(this.#lane2 / WORD);
    this.#lane2 -= carry2 * WORD;
    this.#lane3 += carry2;
    this.#lane3 -= Math.floor(this.#lane3 / WORD) * WORD;
    this.#pending = 0;
  }
}

/** The checksum as the 16 little-endian bytes that headers store. */
export function stateChecksumToBytes(value: StateChecksum): Uint8Array {
  const bytes = new Uint8Array(DIGEST_BYTES);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, value & 0xffff_ffff_ffff_ffffn, true);
  view.setBigUint64(8, value >> 64n, true);
  return bytes;
}

/** Inverse of `stateChecksumToBytes`; `bytes` has 16 bytes. */
export function stateChecksumFromBytes(bytes: Uint8Array): StateChecksum {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return (view.getBigUint64(0, true) | (view.getBigUint64(8, true) << 64n)) as StateChecksum;
}

/** The checksum as people compare it: 32 hexadecimal characters, most significant first. */
export function stateChecksumToText(value: StateChecksum): string {
  return value.toString(16).padStart(32, "0");
}

/** Whether all bytes are zero. Pages with a non-zero byte near the start, almost all, cost next to nothing. */
export function isZeroPage(bytes: Uint8Array): boolean {
  const length = bytes.length;
  if (length === 0) return true;
  if (bytes[0] !== 0 || bytes[length >>> 1] !== 0 || bytes[length - 1] !== 0) return false;
  if (bytes.byteOffset % 8 === 0 && length % 8 === 0) {
    const words = new Float64Array(bytes.buffer, bytes.byteOffset, length / 8);
    // -0 equals 0 as a double, so a lone sign bit is looked for in the bytes of each word's end.
    for (let i = 0; i < words.length; i++) if (words[i] !== 0 || bytes[8 * i + 7] !== 0) return false;
    return true;
  }
  for (let i = 0; i < length; i++) if (bytes[i] !== 0) return false;
  return true;
}
