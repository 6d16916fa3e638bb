/**
 * What a key may look like, and the order that listings have. Every backend checks the keys it is given here, so that all of
 * them refuse the same ones; wrappers pass keys through unchecked.
 */
import { PagefoldError } from "../base/errors.ts";

/** Longest key, bytes of UTF-8. S3 takes 1024; the rest is room for a prefix. */
export const MAX_KEY_BYTES = 900;

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const FORBIDDEN = /[\u0000-\u001f\u007f-\u009f\\]/;
const LONE_SURROGATE = /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/;
const BAD_PART = /(?:^|\/)\.{0,2}(?:\/|$)/;
/** From here on the order of UTF-16 units and the order of UTF-8 bytes differ. */
const BEYOND_PLAIN = /[\ud800-\uffff]/;

/** Bytes of `s` in UTF-8. */
export function utf8Length(s: string): number {
  let length = s.length;
  for (let i = 0; i < s.length; i++) {
    const c = s.charCodeAt(i);
    if (c >= 0x800) length += c >= 0xd800 && c <= 0xdfff ? 1 : 2;
    else if (c >= 0x80) length += 1;
  }
  return length;
}

/** What nearly every key consists of: found in one pass, before the rules are looked at one by one. */
const PLAIN = /^[a-z0-9~_-][a-z0-9~_.-]*(?:\/[a-z0-9~_-][a-z0-9~_.-]*)*$/;

/** Why `key` cannot be a key, or `undefined` where it can. */
export function keyFault(key: string): string | undefined {
  if (key.length <= MAX_KEY_BYTES && PLAIN.test(key)) return undefined;
  if (key.length === 0) return "it is empty";
  if (FORBIDDEN.test(key)) return "it holds a control character or a backslash";
  if (LONE_SURROGATE.test(key)) return "it is not valid Unicode";
  if (BAD_PART.test(key)) return 'a part between slashes is empty, "." or ".."';
  if (key.length * 3 > MAX_KEY_BYTES && utf8Length(key) > MAX_KEY_BYTES) {
    return `it is longer than ${MAX_KEY_BYTES} bytes of UTF-8`;
  }
  return undefined;
}

/** Throws `invalid` unless `key` is one that every backend can hold. */
export function checkKey(key: string): void {
  const fault = keyFault(key);
  if (fault === undefined) return;
  const shown = key.length > 120 ? `${key.slice(0, 120)}…` : key;
  throw new PagefoldError("invalid", `${JSON.stringify(shown)} is no object key: ${fault}; choose another`, {
    details: { key: shown },
  });
}

/** Throws `invalid` unless `prefix` can begin a key. The empty prefix stands for everything. */
export function checkPrefix(prefix: string): void {
  if (prefix !== "") checkKey(prefix.endsWith("/") ? `${prefix}x` : prefix.replace(/(^|\/)\.{1,2}$/, "$1x"));
}

/** Throws `invalid` unless `limit` is a count of entries. */
export function checkLimit(limit: number): void {
  if (Number.isSafeInteger(limit) && limit >= 0) return;
  throw new PagefoldError(
    "invalid",
    `limit ${limit} of a listing is no count; give a whole number of at least 0`,
  );
}

/** Throws `invalid` unless both numbers of a range are exact and not negative. */
export function checkRange(range: { readonly offset: number; readonly length: number }): void {
  const { offset, length } = range;
  if (Number.isSafeInteger(offset) && offset >= 0 && Number.isSafeInteger(length) && length >= 0) return;
  throw new PagefoldError(
    "invalid",
    `range of ${length} bytes at ${offset}: both must be whole numbers from 0 to 2^53 - 1`,
  );
}

/** Whether keys that include `s` need `compareKeys`; otherwise plain `<` gives the same order, faster. */
export function needsByteOrder(s: string): boolean {
  return BEYOND_PLAIN.test(s);
}

/** Order of the UTF-8 bytes: negative, 0 or positive. Plain `<` compares UTF-16 units, which differs above U+FFFF. */
export function compareKeys(a: string, b: string): number {
  if (a === b) return 0;
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const x = a.charCodeAt(i);
    const y = b.charCodeAt(i);
    if (x !== y) return codePointRank(x) - codePointRank(y);
  }
  return a.length - b.length;
}

/** Moves the surrogates (code points above U+FFFF) behind U+E000–U+FFFF, where UTF-8 has them. */
function codePointRank(unit: number): number {
  if (unit < 0xd800) return unit;
  return unit >= 0xe000 ? unit - 0x800 : unit + 0x2000;
}
