/**
 * The distinct number and string types of the engine. A page index, a page count, an LSN and a byte offset are all
 * numbers, and mixing them up is the oldest bug of storage engines: the compiler keeps them apart.
 */

declare const brand: unique symbol;
export type Brand<T, Name extends string> = T & { readonly [brand]: Name };

/** 1-based number of a page within its volume: 1 … MAX_PAGE_COUNT. */
export type PageIdx = Brand<number, "PageIdx">;
/** How many pages a volume has: 0 … MAX_PAGE_COUNT. Never an index. */
export type PageCount = Brand<number, "PageCount">;
/** Log sequence number of a commit: 1, 2, 3 … without gaps; 0 stands for "before the first commit". */
export type Lsn = Brand<number, "Lsn">;
/** Position in a volume seen as bytes, or in an object or file. Exact up to 2^53 - 1; never shifted or `| 0`-ed. */
export type ByteOffset = Brand<number, "ByteOffset">;
/** 16 random, time-ordered bytes as 26 characters of Crockford's base32, lower case. */
export type VolumeId = Brand<string, "VolumeId">;
/** Same form as a volume id. */
export type SegmentId = Brand<string, "SegmentId">;
/** Same form as a volume id: names one attempt to push, so that a writer recognises its own commit. */
export type PushId = Brand<string, "PushId">;
/** BLAKE3-256 as 64 lower-case hexadecimal characters. */
export type Hash = Brand<string, "Hash">;
/** BLAKE3 truncated to 128 bits, as 32 lower-case hexadecimal characters (one frame of a segment). */
export type FrameHash = Brand<string, "FrameHash">;
/** Sum modulo 2^128 of the digests of all non-zero pages: see FORMAT.md, "State checksum". */
export type StateChecksum = Brand<bigint, "StateChecksum">;
/** Milliseconds since 1970-01-01T00:00Z, an integer. */
export type TimeMs = Brand<number, "TimeMs">;

/** The largest page count (and page index), 2^32 - 2: SQLite's own limit, and what fits 32-bit page tables. */
export const MAX_PAGE_COUNT = 4_294_967_294 as PageCount;
export const MIN_PAGE_SIZE = 512;
export const MAX_PAGE_SIZE = 1_048_576;
export const DEFAULT_PAGE_SIZE = 4096;

export const LSN_ZERO = 0 as Lsn;

/** Whether `n` is a page size that a volume may have: a power of two from 512 B to 1 MiB. */
export function isPageSize(n: number): boolean {
  return Number.isInteger(n) && n >= MIN_PAGE_SIZE && n <= MAX_PAGE_SIZE && Number.isInteger(Math.log2(n));
}
