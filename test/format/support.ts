/** Shared by the tests of the format: seeds, generators, valid objects to break, and the check that breaking them is noticed. */
import fc from "fast-check";
import type {
  Hash,
  Lsn,
  PageCount,
  PageIdx,
  PushId,
  SegmentId,
  StateChecksum,
  TimeMs,
  VolumeId,
} from "../../src/base/brand.ts";
import { isPagefoldError } from "../../src/base/errors.ts";
import { type Codecs, loadCodecs } from "../../src/format/codecs.ts";
import { encodeCommit } from "../../src/format/commit-codec.ts";
import { idFromBytes } from "../../src/format/ids.ts";
import { bandInterval, trailingPowers } from "../../src/format/jumps.ts";
import type { BandRef, CommitHeader, Manifest, Rollup, SegmentRef } from "../../src/format/model.ts";
import { PageSet } from "../../src/format/page-set.ts";
import { encodeRollup } from "../../src/format/rollup-codec.ts";
import { buildInlineSegment, inlineFrameEncoder } from "../../src/format/segment-writer.ts";

/** Printed by fast-check on failure; set PAGEFOLD_TEST_SEED to try others. */
export const SEED = Number(process.env.PAGEFOLD_TEST_SEED ?? 42);

export function property<T>(arbitrary: fc.Arbitrary<T>, check: (value: T) => void, numRuns = 200): void {
  fc.assert(
    fc.property(arbitrary, (value) => {
      check(value);
    }),
    { seed: SEED, numRuns },
  );
}

/** A small deterministic generator for bytes (mulberry32). */
export function randomSource(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 0x1_0000_0000;
  };
}

export function someBytes(length: number, seed: number): Uint8Array {
  const next = randomSource(seed);
  return Uint8Array.from({ length }, () => Math.floor(next() * 256));
}

/** Page bytes that compress about as well as a database's. */
export function pageBytes(length: number, seed: number): Uint8Array {
  const next = randomSource(seed);
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = i % 48 < 16 ? Math.floor(next() * 256) : i % 48;
  return bytes;
}

export const someId = <Id extends VolumeId | SegmentId | PushId>(seed: number): Id =>
  idFromBytes<Id>(someBytes(16, seed));
export const someHash = (seed: number): Hash =>
  Array.from(someBytes(32, seed), (b) => b.toString(16).padStart(2, "0")).join("") as Hash;

export const smallPageSet = (maxPage = 300): fc.Arbitrary<PageSet> =>
  fc.oneof(
    fc.array(fc.integer({ min: 1, max: maxPage }), { maxLength: 60 }).map((pages) => PageSet.of(pages)),
    fc
      .array(fc.tuple(fc.integer({ min: 1, max: maxPage }), fc.integer({ min: 0, max: 40 })), {
        maxLength: 12,
      })
      .map((runs) =>
        PageSet.unionAll(runs.map(([first, more]) => PageSet.range(first, Math.min(maxPage, first + more)))),
      ),
  );

/**
 * Runs `decode` over every single-byte mutation, truncation and one-byte extension of `valid`: each must throw `corrupt` or
 * `unsupported_version`. Where an object is proved by a hash from elsewhere, `decode` includes that check.
 */
export function expectEveryDamageNoticed(valid: Uint8Array, decode: (bytes: Uint8Array) => unknown): void {
  decode(valid);
  const check = (bytes: Uint8Array, what: string) => {
    let noticed: unknown;
    try {
      decode(bytes);
    } catch (error) {
      noticed = error;
    }
    if (!isPagefoldError(noticed, "corrupt", "unsupported_version")) {
      throw new Error(`${what} went ${noticed === undefined ? "unnoticed" : `wrong: ${String(noticed)}`}`);
    }
  };
  const broken = valid.slice();
  for (let i = 0; i < valid.length; i++) {
    const original = valid[i]!;
    for (const value of new Set([
      original ^ 1,
      original ^ 0x80,
      original ^ 0x10,
      0,
      255,
      (original + 1) & 255,
    ])) {
      if (value === original) continue;
      broken[i] = value;
      check(broken, `byte ${i}: ${original} -> ${value}`);
    }
    broken[i] = original;
  }
  for (let length = 0; length < valid.length; length++)
    check(valid.slice(0, length), `a cut to ${length} bytes`);
  for (const value of [0, 1, 255]) check(Uint8Array.from([...valid, value]), `an added byte ${value}`);
}

/** Whatever the bytes, a value or one of the two errors: decoders are total. */
export function expectTotal(decode: (bytes: Uint8Array) => unknown, seeds: readonly Uint8Array[] = []): void {
  const arbitrary = fc.oneof(
    fc.uint8Array({ maxLength: 200 }),
    ...seeds.map((valid) =>
      fc
        .array(fc.tuple(fc.nat(Math.max(0, valid.length - 1)), fc.nat(255)), { minLength: 1, maxLength: 6 })
        .map((edits) => {
          const bytes = valid.slice();
          for (const [at, value] of edits) bytes[at] = value;
          return bytes;
        }),
    ),
  );
  property(
    arbitrary,
    (bytes) => {
      try {
        decode(bytes);
      } catch (error) {
        if (!isPagefoldError(error, "corrupt", "unsupported_version")) throw error;
      }
    },
    2000,
  );
}

export const codecs: Codecs = await loadCodecs();

export const sampleManifest: Manifest = {
  volume: someId<VolumeId>(1),
  features: { compatible: 0, incompatible: 0 },
  createdAt: 1_760_000_000_000 as TimeMs,
  pageSize: 512,
  digestSeed: someBytes(16, 2),
  digestAlgorithm: 1,
  ancestors: [
    { volume: someId<VolumeId>(3), lsn: 900 as Lsn },
    { volume: someId<VolumeId>(4), lsn: 7 as Lsn },
  ],
  encryption: new Uint8Array(0),
};

/** A fork that proves itself. */
export const sampleForkManifest: Manifest = {
  ...sampleManifest,
  features: { compatible: 1, incompatible: 0 },
  forkHash: someHash(6),
};

export interface SampleCommit {
  readonly header: CommitHeader;
  readonly bands: readonly Uint8Array[];
  readonly apart: readonly Uint8Array[];
  readonly frames: Uint8Array;
  readonly bytes: Uint8Array;
  readonly hash: Hash;
}

export interface SampleOptions {
  readonly lsn?: number;
  readonly pages?: PageSet;
  readonly pageSize?: number;
  readonly framePages?: number;
  /** Bands from this one on are stored apart. */
  readonly apartFrom?: number;
  readonly change?: (header: CommitHeader) => CommitHeader;
}

/** A rollup of (from, to] in which each LSN wrote the page of its number. */
export function sampleRollup(from: number, to: number): Rollup {
  const writers = [];
  for (let lsn = to; lsn > from; lsn--) {
    writers.push({ lsn: lsn as Lsn, hash: someHash(lsn), pages: PageSet.of([lsn + 1]) });
  }
  return { from: from as Lsn, to: to as Lsn, lowestPageCount: 3 as PageCount, writers };
}

/** A valid commit with an inline segment and real bands. */
export async function sampleCommit(options: SampleOptions = {}): Promise<SampleCommit> {
  const { lsn = 4, pages = PageSet.of([1, 2, 3, 9, 12]), pageSize = 512, framePages = 2 } = options;
  const manifest = sampleManifest;
  const list = Uint32Array.from(pages);
  let segments: SegmentRef[] = [];
  let frames: Uint8Array = new Uint8Array(0);
  if (list.length > 0) {
    const batch = await inlineFrameEncoder(codecs).encode({
      pages: list,
      bytes: pageBytes(list.length * pageSize, 5),
      pageSize,
      framePages,
      seed: manifest.digestSeed,
    });
    const inline = buildInlineSegment(codecs.hash, { pageSize, framePages }, [{ pages: list, batch }]);
    segments = [inline.ref];
    frames = inline.bytes;
  }
  const powers = trailingPowers(lsn);
  const all: Uint8Array[] = [];
  const bands: BandRef[] = [];
  for (let j = 1; j <= powers; j++) {
    const { from, to } = bandInterval(lsn as Lsn, j);
    const bytes = encodeRollup(sampleRollup(from, to));
    all.push(bytes);
    bands.push({
      length: bytes.length,
      hash: codecs.hash.blake3(bytes),
      apart: j >= (options.apartFrom ?? Number.POSITIVE_INFINITY),
    });
  }
  const pageCount = (pages.last ?? 0) + 2;
  let header: CommitHeader = {
    volume: manifest.volume,
    lsn: lsn as Lsn,
    features: { compatible: 0, incompatible: 0 },
    jumpHashes: Array.from({ length: powers + 1 }, (_, j) => someHash(100 + j)),
    pageSize,
    pageCount: pageCount as PageCount,
    lowestPageCount: Math.min(3, pageCount) as PageCount,
    byteLength: pageCount * pageSize - 5,
    changed: pages,
    zeroed: PageSet.of([pageCount - 1]),
    restoredFrom: undefined,
    restored: [],
    time: 1_760_000_000_123 as TimeMs,
    pushId: someId<PushId>(6),
    stateChecksum: (2n ** 127n + 12345n) as StateChecksum,
    checkpoint: lsn > 2 ? { lsn: 2 as Lsn, hash: someHash(7) } : undefined,
    segments,
    bands,
  };
  if (options.change !== undefined) header = options.change(header);
  const riding = all.filter((_, i) => header.bands[i]?.apart === false);
  const apart = all.filter((_, i) => header.bands[i]?.apart);
  const { bytes, hash } = encodeCommit({ header, bands: riding, frames }, codecs.hash);
  return { header, bands: riding, apart, frames, bytes, hash };
}

/** A plain page index, for terse tests. */
export const page = (n: number): PageIdx => n as PageIdx;
