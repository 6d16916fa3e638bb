/**
 * Ids of volumes, segments and pushes: 48 bits of milliseconds and 80 random bits, so that they sort by age; 16 bytes where stored, 26
 * lower-case characters of Crockford's base32 in text (no i, l, o, u), most significant first.
 */
import { assert } from "../base/assert.ts";
import type { PushId, SegmentId, TimeMs, VolumeId } from "../base/brand.ts";
import type { Runtime } from "../base/runtime.ts";
import { textOf } from "./bytes.ts";

export type AnyId = VolumeId | SegmentId | PushId;

export const ID_BYTES = 16;
export const ID_CHARS = 26;

const ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz";
const VALUES: ReadonlyMap<string, number> = new Map([...ALPHABET].map((c, i) => [c, i]));

/** A new id: unpredictable, and later ones sort after it but for those of the same millisecond. */
export function newId<Id extends AnyId = VolumeId>(runtime: Pick<Runtime, "now" | "randomBytes">): Id {
  const bytes = runtime.randomBytes(new Uint8Array(ID_BYTES));
  let time: number = runtime.now();
  assert(Number.isInteger(time) && time >= 0 && time < 2 ** 48, `a clock at ${time} ms`);
  for (let i = 5; i >= 0; i--) {
    bytes[i] = time % 256;
    time = Math.floor(time / 256);
  }
  return idFromBytes<Id>(bytes);
}

/** The text form of 16 bytes. */
export function idFromBytes<Id extends AnyId = VolumeId>(bytes: Uint8Array): Id {
  assert(bytes.length === ID_BYTES, `an id of ${bytes.length} bytes`);
  const codes: number[] = [];
  // 130 bits in 26 digits: the first digit carries two leading zero bits.
  let bits = 2;
  let buffer = 0;
  for (const byte of bytes) {
    buffer = buffer * 256 + byte;
    bits += 8;
    while (bits >= 5) {
      bits -= 5;
      const unit = 2 ** bits;
      codes.push(ALPHABET.charCodeAt(Math.floor(buffer / unit)));
      buffer %= unit;
    }
  }
  return textOf(codes) as Id;
}

/** The stored form of an id. */
export function idToBytes(id: AnyId): Uint8Array {
  const bytes = decodeText(id);
  assert(bytes !== undefined, `malformed id ${id}`);
  return bytes;
}

/** The volume id that a person typed (upper case is fine), or undefined where the text is none. */
export function parseVolumeId(text: string): VolumeId | undefined {
  const lower = text.toLowerCase();
  return decodeText(lower) === undefined ? undefined : (lower as VolumeId);
}

/** Like `parseVolumeId`, for ids within keys: exactly as written there, lower case. */
export function parseId<Id extends AnyId>(text: string): Id | undefined {
  return decodeText(text) === undefined ? undefined : (text as Id);
}

/** When the id was made, by the clock of its maker. */
export function idTime(id: AnyId): TimeMs {
  const bytes = idToBytes(id);
  let time = 0;
  for (let i = 0; i < 6; i++) time = time * 256 + bytes[i]!;
  return time as TimeMs;
}

function decodeText(text: string): Uint8Array | undefined {
  if (text.length !== ID_CHARS || text.charCodeAt(0) > 0x37) return undefined;
  const bytes = new Uint8Array(ID_BYTES);
  let at = 0;
  let bits = -2;
  let buffer = 0;
  for (const char of text) {
    const value = VALUES.get(char);
    if (value === undefined) return undefined;
    buffer = buffer * 32 + value;
    bits += 5;
    if (bits >= 8) {
      bits -= 8;
      const unit = 2 ** bits;
      bytes[at++] = Math.floor(buffer / unit);
      buffer %= unit;
    }
  }
  return bytes;
}
