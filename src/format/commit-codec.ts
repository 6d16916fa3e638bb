/**
 * A commit object, `volumes/<volume>/commits/<~lsn>` (FORMAT.md, "Commit"): [prefix 32][header][bands][inline area]. The prefix lets a reader
 * take the header, or the header and the bands, by one ranged GET. Its hash is BLAKE3-256 over prefix and header as stored; bands and
 * segments are proved by the hashes in the header.
 *
 *     0  4  "PFCM"       6  2  flags, zero        12  4  bands length (those that ride along)
 *     4  2  version      8  4  header length      16  4  inline area length       20  12  check
 *
 * The check is the first 12 bytes of BLAKE3 over bytes 0 … 19 and the header: the newest commit is named by no later one yet, and damage to
 * it must be found all the same.
 */
import { assert } from "../base/assert.ts";
import type { Hash, Lsn, VolumeId } from "../base/brand.ts";
import type { ErrorDetails } from "../base/errors.ts";
import { ByteReader, ByteWriter, concatBytes, corruptError, equalBytes, fromHex } from "./bytes.ts";
import { headerProblem } from "./commit-check.ts";
import { readHeader, writeHeader } from "./commit-header.ts";
import { checkLimit, readMagic, writeMagic } from "./features.ts";
import type { Hasher } from "./hash.ts";
import { LIMITS } from "./limits.ts";
import type { CommitHeader, Extent } from "./model.ts";

const MAGIC = "PFCM";
export const COMMIT_PREFIX_BYTES = 32;
const CHECK_AT = 20;

/** A commit as read from the start of its object. */
export interface DecodedCommit {
  readonly header: CommitHeader;
  readonly hash: Hash;
  /** Bytes of prefix and header. */
  readonly headerLength: number;
  /** Place in the object of every band that rides along: bandExtents[j - 1] is band j. */
  readonly bandExtents: readonly Extent[];
  /** Place in `rollups/<~lsn>` of every band stored apart, in the order of the header. */
  readonly apartBandExtents: readonly Extent[];
  /** Place in the object of the inline area; of length 0 where there is none. */
  readonly frames: Extent;
  /** Bytes of the whole object. */
  readonly totalLength: number;
}

/** What a commit must be, where the reader knows. */
export interface CommitExpectation {
  readonly volume?: VolumeId;
  readonly lsn?: Lsn;
  readonly hash?: Hash;
}

export interface CommitParts {
  readonly header: CommitHeader;
  /** The bytes of the bands that ride along, in the order of the header; they must match its lengths and hashes. */
  readonly bands: readonly Uint8Array[];
  /** The inline area, empty where there is none. */
  readonly frames: Uint8Array;
}

/** The object and its hash. Throws `invalid` past the limits of the format; an inconsistent header is our own bug. */
export function encodeCommit(parts: CommitParts, hasher: Hasher): { bytes: Uint8Array; hash: Hash } {
  const { header, bands, frames } = parts;
  const problem = headerProblem(header);
  assert(problem === undefined, `a commit header to be written: ${problem}`);
  const riding = header.bands.filter((band) => !band.apart);
  assert(riding.length === bands.length, `${bands.length} bands for the ${riding.length} that ride along`);
  riding.forEach((band, i) => {
    assert(
      band.length === bands[i]!.length && band.hash === hasher.blake3(bands[i]!),
      `band ${i + 1} is not its own`,
    );
  });
  assert(inlineLength(header) === frames.length, `an inline area of ${frames.length} bytes`);
  const body = writeHeader(header);
  const bandsLength = bands.reduce((sum, band) => sum + band.length, 0);
  checkLimit(body.length, LIMITS.commitHeaderBytes, "the commit's header");
  checkLimit(bandsLength, LIMITS.commitBandsBytes, "the commit's bands");
  checkLimit(frames.length, LIMITS.inlineAreaBytes, "the commit's inline pages");
  const prefix = new ByteWriter(COMMIT_PREFIX_BYTES);
  writeMagic(prefix, MAGIC);
  prefix.u16(0).u32(body.length).u32(bandsLength).u32(frames.length);
  const lengths = prefix.finish();
  const prefixBytes = concatBytes([lengths, selfCheck(hasher, lengths, body)]);
  return {
    bytes: concatBytes([prefixBytes, body, ...bands, frames]),
    hash: hasher.blake3(prefixBytes, body),
  };
}

/** Bytes of prefix and header, told from the first 32 bytes of the object. Throws `corrupt` or `unsupported_version`. */
export function commitHeaderLength(bytes: Uint8Array, expect: CommitExpectation = {}): number {
  return COMMIT_PREFIX_BYTES + readPrefix(bytes, expect).headerLength;
}

/** Bytes of prefix, header and the bands that ride along, told from the first 32 bytes of the object. */
export function commitBandsEnd(bytes: Uint8Array, expect: CommitExpectation = {}): number {
  const { headerLength, bandsLength } = readPrefix(bytes, expect);
  return COMMIT_PREFIX_BYTES + headerLength + bandsLength;
}

/**
 * Decodes a commit from the start of its object: `bytes` holds at least prefix and header, and may end anywhere after. The hash, where one is
 * expected, is checked before the header is read. Keeps no reference to `bytes`.
 */
export function decodeCommit(
  bytes: Uint8Array,
  hasher: Hasher,
  expect: CommitExpectation = {},
): DecodedCommit {
  const details = whereIs(expect);
  const prefix = readPrefix(bytes, expect);
  const headerLength = COMMIT_PREFIX_BYTES + prefix.headerLength;
  if (bytes.length < headerLength) {
    throw corruptError(
      "a commit",
      `it ends after ${bytes.length} bytes, within its header of ${headerLength}`,
      details,
    );
  }
  const hash = hasher.blake3(bytes.subarray(0, headerLength));
  if (expect.hash !== undefined && hash !== expect.hash) {
    throw corruptError("a commit", `its hash is ${hash}, not ${expect.hash} as a later commit says`, details);
  }
  const check = selfCheck(
    hasher,
    bytes.subarray(0, CHECK_AT),
    bytes.subarray(COMMIT_PREFIX_BYTES, headerLength),
  );
  if (!equalBytes(check, bytes.subarray(CHECK_AT, COMMIT_PREFIX_BYTES))) {
    throw corruptError("a commit", "its header does not match the check in its prefix", details);
  }
  const reader: ByteReader = new ByteReader(bytes, "a commit", details, COMMIT_PREFIX_BYTES, headerLength);
  const header = readHeader(reader, expect, details);
  reader.end();
  const problem = headerProblem(header);
  reader.check(problem === undefined, problem ?? "");
  const bandExtents = placeBands(header, false, headerLength);
  const bandsEnd = endOf(bandExtents, headerLength);
  reader.check(bandsEnd - headerLength === prefix.bandsLength, "its bands do not add up");
  reader.check(inlineLength(header) === prefix.framesLength, "its inline area is not that of its segment");
  return {
    header,
    hash,
    headerLength,
    bandExtents,
    apartBandExtents: placeBands(header, true, 0),
    frames: { offset: bandsEnd, length: prefix.framesLength },
    totalLength: bandsEnd + prefix.framesLength,
  };
}

interface Prefix {
  readonly headerLength: number;
  readonly bandsLength: number;
  readonly framesLength: number;
}

function readPrefix(bytes: Uint8Array, expect: CommitExpectation): Prefix {
  const details = whereIs(expect);
  const reader: ByteReader = new ByteReader(bytes, "a commit", details);
  readMagic(reader, MAGIC, "a commit", details);
  reader.check(reader.u16("flags") === 0, "unknown flags");
  const headerLength = reader.u32("the header's length");
  const bandsLength = reader.u32("the bands' length");
  const framesLength = reader.u32("the inline area's length");
  reader.bytes(COMMIT_PREFIX_BYTES - CHECK_AT, "the check");
  reader.check(headerLength <= LIMITS.commitHeaderBytes, `a header of ${headerLength} bytes`);
  reader.check(bandsLength <= LIMITS.commitBandsBytes, `bands of ${bandsLength} bytes`);
  reader.check(framesLength <= LIMITS.inlineAreaBytes, `an inline area of ${framesLength} bytes`);
  return { headerLength, bandsLength, framesLength };
}

function selfCheck(hasher: Hasher, lengths: Uint8Array, header: Uint8Array): Uint8Array {
  return fromHex(hasher.blake3(lengths, header)).subarray(0, COMMIT_PREFIX_BYTES - CHECK_AT);
}

function whereIs(expect: CommitExpectation): ErrorDetails {
  return {
    ...(expect.volume === undefined ? {} : { volume: expect.volume }),
    ...(expect.lsn === undefined ? {} : { lsn: expect.lsn }),
  };
}

function inlineLength(header: CommitHeader): number {
  return header.segments.find((segment) => segment.id === undefined)?.length ?? 0;
}

function placeBands(header: CommitHeader, apart: boolean, from: number): Extent[] {
  const extents: Extent[] = [];
  let offset = from;
  for (const band of header.bands) {
    if (band.apart !== apart) continue;
    extents.push({ offset, length: band.length });
    offset += band.length;
  }
  return extents;
}

function endOf(extents: readonly Extent[], from: number): number {
  const last = extents.at(-1);
  return last === undefined ? from : last.offset + last.length;
}
