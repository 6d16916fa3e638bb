/**
 * Little-endian reading and writing of bytes: the only place where the format meets a buffer. The reader is total: whatever the
 * input, it answers a value or throws `corrupt` naming what was being read; it never reads past the end and never allocates
 * more than it was given.
 */
import { assert } from "../base/assert.ts";
import { type ErrorDetails, PagefoldError } from "../base/errors.ts";

/** Character codes of the sixteen digits. */
const DIGITS: readonly number[] = [..."0123456789abcdef"].map((digit) => digit.charCodeAt(0));
/** Bytes that become text at once: a call takes only so many arguments. */
const TEXT_PIECE = 4096;
const codes: number[] = [];

/** Lower-case hexadecimal. */
export function toHex(bytes: Uint8Array, from = 0, to = bytes.length): string {
  if (to - from > TEXT_PIECE)
    return toHex(bytes, from, from + TEXT_PIECE) + toHex(bytes, from + TEXT_PIECE, to);
  codes.length = 2 * Math.max(0, to - from);
  for (let i = from, at = 0; i < to; i++) {
    const byte = bytes[i]!;
    codes[at++] = DIGITS[byte >>> 4]!;
    codes[at++] = DIGITS[byte & 15]!;
  }
  return textOf(codes);
}

/**
 * ASCII codes as text that lies in one piece. Put together character by character it would be a tree of pieces, ten times as large for as long as
 * it lives, and hashes are kept by the hundred thousand.
 */
export function textOf(codes: readonly number[]): string {
  return String.fromCharCode.apply(undefined, codes as number[]);
}

function nibble(code: number): number {
  if (code >= 48 && code <= 57) return code - 48;
  if (code >= 97 && code <= 102) return code - 87;
  return -1;
}

/** Inverse of `toHex`. Throws `invalid` on anything but an even number of lower-case hexadecimal digits. */
export function fromHex(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length >>> 1);
  let bad = text.length % 2 !== 0;
  for (let i = 0; i < bytes.length && !bad; i++) {
    const high = nibble(text.charCodeAt(2 * i));
    const low = nibble(text.charCodeAt(2 * i + 1));
    bad = high < 0 || low < 0;
    bytes[i] = high * 16 + low;
  }
  if (bad) {
    throw new PagefoldError(
      "invalid",
      `"${text.slice(0, 80)}" is not lower-case hexadecimal; check where the hash came from`,
    );
  }
  return bytes;
}

/** Whether two byte strings are equal. */
export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** One byte string after the other. */
export function concatBytes(parts: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const part of parts) length += part.length;
  const all = new Uint8Array(length);
  let offset = 0;
  for (const part of parts) {
    all.set(part, offset);
    offset += part.length;
  }
  return all;
}

/** The parts one after the other: where they lie in memory like that already, a view of it, else a copy. */
export function joinBytes(parts: readonly Uint8Array[]): Uint8Array {
  const [first] = parts;
  if (first === undefined) return new Uint8Array(0);
  let end = first.byteOffset;
  for (const part of parts) {
    if (part.buffer !== first.buffer || part.byteOffset !== end) return concatBytes(parts);
    end += part.length;
  }
  return new Uint8Array(first.buffer, first.byteOffset, end - first.byteOffset);
}

/** How many bytes `writer.varint(value)` takes. */
export function varintLength(value: number): number {
  let length = 1;
  for (let rest = value; rest >= 128; rest = Math.floor(rest / 128)) length++;
  return length;
}

/** The error of stored bytes that cannot be what they claim to be. */
export function corruptError(
  what: string,
  problem: string,
  details: ErrorDetails = {},
  cause?: unknown,
): PagefoldError {
  return new PagefoldError(
    "corrupt",
    `${what}${placeText(what, details)} is damaged: ${problem}; restore the object from a copy of the store, then run \`pagefold verify\``,
    { details, ...(cause === undefined ? {} : { cause }) },
  );
}

/** Which one "a commit" is, as far as the details know; empty where the name says it already. */
function placeText(what: string, { volume, lsn, tag }: ErrorDetails): string {
  if (!/^an? /.test(what)) return "";
  const places = [
    ...(tag === undefined ? [] : [`"${tag}"`]),
    ...(lsn === undefined ? [] : [`at LSN ${lsn}`]),
    ...(volume === undefined ? [] : [`of volume ${volume}`]),
  ];
  return places.map((place) => ` ${place}`).join("");
}

/** The error of stored bytes that a newer version of the format wrote. */
export function unsupportedError(what: string, problem: string, details: ErrorDetails = {}): PagefoldError {
  return new PagefoldError(
    "unsupported_version",
    `${what}${placeText(what, details)} ${problem}; update pagefold to read it`,
    {
      details,
    },
  );
}

/** Grows as it is written. Values out of range are our own bugs: assertions. */
export class ByteWriter {
  #bytes: Uint8Array;
  #view: DataView;
  #length = 0;

  constructor(capacity = 256) {
    this.#bytes = new Uint8Array(Math.max(capacity, 16));
    this.#view = new DataView(this.#bytes.buffer);
  }

  /** Bytes written so far. */
  get length(): number {
    return this.#length;
  }

  u8(value: number): this {
    assert(Number.isInteger(value) && value >= 0 && value <= 0xff, `u8 ${value}`);
    const at = this.#claim(1);
    this.#bytes[at] = value;
    return this;
  }

  u16(value: number): this {
    assert(Number.isInteger(value) && value >= 0 && value <= 0xffff, `u16 ${value}`);
    const at = this.#claim(2);
    this.#view.setUint16(at, value, true);
    return this;
  }

  u32(value: number): this {
    assert(Number.isInteger(value) && value >= 0 && value <= 0xffff_ffff, `u32 ${value}`);
    const at = this.#claim(4);
    this.#view.setUint32(at, value, true);
    return this;
  }

  /** Eight bytes; the value must be exact, so at most 2^53 - 1. */
  u64(value: number): this {
    assert(Number.isSafeInteger(value) && value >= 0, `u64 ${value}`);
    const at = this.#claim(8);
    this.#view.setUint32(at, value % 0x1_0000_0000, true);
    this.#view.setUint32(at + 4, Math.floor(value / 0x1_0000_0000), true);
    return this;
  }

  /** LEB128 in the fewest bytes; 0 … 2^53 - 1. */
  varint(value: number): this {
    assert(Number.isSafeInteger(value) && value >= 0, `varint ${value}`);
    let at = this.#claim(8);
    let rest = value;
    while (rest >= 128) {
      this.#bytes[at++] = (rest % 128) + 128;
      rest = Math.floor(rest / 128);
    }
    this.#bytes[at++] = rest;
    this.#length = at;
    return this;
  }

  bytes(bytes: Uint8Array): this {
    const at = this.#claim(bytes.length);
    this.#bytes.set(bytes, at);
    return this;
  }

  zeros(count: number): this {
    this.#claim(count);
    return this;
  }

  /** The bytes written; the writer must not be used afterwards. */
  finish(): Uint8Array {
    return this.#length === this.#bytes.length ? this.#bytes : this.#bytes.slice(0, this.#length);
  }

  #claim(count: number): number {
    const at = this.#length;
    const needed = at + count;
    if (needed > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(needed, this.#bytes.length * 2));
      grown.set(this.#bytes.subarray(0, at));
      this.#bytes = grown;
      this.#view = new DataView(grown.buffer);
    }
    this.#length = needed;
    return at;
  }
}

/** Reads from a byte string that it neither keeps nor changes; `what` and `details` go into the errors. */
export class ByteReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #what: string;
  readonly #details: ErrorDetails;
  #at: number;
  readonly #end: number;

  constructor(bytes: Uint8Array, what: string, details: ErrorDetails = {}, from = 0, to = bytes.length) {
    assert(from >= 0 && from <= to && to <= bytes.length, "a reader within its bytes");
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#what = what;
    this.#details = details;
    this.#at = from;
    this.#end = to;
  }

  get offset(): number {
    return this.#at;
  }

  get remaining(): number {
    return this.#end - this.#at;
  }

  /** Throws `corrupt`. */
  fail(problem: string): never {
    throw corruptError(this.#what, problem, this.#details);
  }

  /** Throws `corrupt` unless the condition holds. */
  check(condition: boolean, problem: string): asserts condition {
    if (!condition) this.fail(problem);
  }

  u8(field: string): number {
    return this.#bytes[this.#take(1, field)]!;
  }

  u16(field: string): number {
    return this.#view.getUint16(this.#take(2, field), true);
  }

  u32(field: string): number {
    return this.#view.getUint32(this.#take(4, field), true);
  }

  u64(field: string): number {
    const at = this.#take(8, field);
    const high = this.#view.getUint32(at + 4, true);
    if (high > 0x1f_ffff) this.fail(`${field} is past 2^53 - 1`);
    return high * 0x1_0000_0000 + this.#view.getUint32(at, true);
  }

  /** Minimal LEB128 of at most 2^53 - 1, and at most `most`. */
  varint(field: string, most = Number.MAX_SAFE_INTEGER): number {
    let value = 0;
    let scale = 1;
    for (let i = 0; i < 8; i++) {
      if (this.#at >= this.#end) this.fail(`it ends within ${field}`);
      const byte = this.#bytes[this.#at++]!;
      value += (byte & 127) * scale;
      if (byte < 128) {
        if (byte === 0 && i > 0) this.fail(`${field} is not written in the fewest bytes`);
        if (value > most) this.fail(`${field} is ${value}, more than ${most}`);
        return value;
      }
      scale *= 128;
    }
    return this.fail(`${field} is past 2^53 - 1`);
  }

  /** A view, not a copy. */
  bytes(count: number, field: string): Uint8Array {
    const at = this.#take(count, field);
    return this.#bytes.subarray(at, at + count);
  }

  /** Hexadecimal text of the next bytes. */
  hex(count: number, field: string): string {
    const at = this.#take(count, field);
    return toHex(this.#bytes, at, at + count);
  }

  zeros(count: number, field: string): void {
    const at = this.#take(count, field);
    for (let i = at; i < at + count; i++) if (this.#bytes[i] !== 0) this.fail(`${field} is not zero`);
  }

  /** Throws `corrupt` unless everything was read. */
  end(): void {
    if (this.#at !== this.#end) this.fail(`${this.#end - this.#at} bytes too many`);
  }

  #take(count: number, field: string): number {
    if (count > this.#end - this.#at) this.fail(`it ends within ${field}`);
    const at = this.#at;
    this.#at += count;
    return at;
  }
}
