import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type {
  Hash,
  Lsn,
  PageCount,
  SegmentId,
  StateChecksum,
  TimeMs,
  VolumeId,
} from "../../src/base/brand.ts";
import { isPagefoldError, PagefoldError } from "../../src/base/errors.ts";
import { ByteReader, corruptError, fromHex } from "../../src/format/bytes.ts";
import { headerProblem } from "../../src/format/commit-check.ts";
import {
  COMMIT_PREFIX_BYTES,
  commitBandsEnd,
  commitHeaderLength,
  decodeCommit,
  encodeCommit,
} from "../../src/format/commit-codec.ts";
import { readHeader, writeHeader } from "../../src/format/commit-header.ts";
import { decodeFrame, frameRawLength } from "../../src/format/frame.ts";
import { bandInterval } from "../../src/format/jumps.ts";
import { LIMITS } from "../../src/format/limits.ts";
import type { CommitHeader, SegmentRef } from "../../src/format/model.ts";
import { PageSet } from "../../src/format/page-set.ts";
import { decodeRollup } from "../../src/format/rollup-codec.ts";
import { checkDigestArea, openReadIndex } from "../../src/format/segment-codec.ts";
import { segmentLayout } from "../../src/format/segment-layout.ts";
import {
  codecs,
  expectEveryDamageNoticed,
  expectTotal,
  page,
  property,
  type SampleCommit,
  sampleCommit,
  smallPageSet,
  someHash,
  someId,
} from "./support.ts";

const { hash } = codecs;
const sample = await sampleCommit();

/** Reads all of a commit object as a verifier would; `expected` is what a later commit says its hash is. */
function verifyWhole(bytes: Uint8Array, expected: Hash): void {
  const commit = decodeCommit(bytes, hash, { hash: expected });
  if (bytes.length !== commit.totalLength)
    throw corruptError("a commit", "its length is not the one it claims");
  commit.bandExtents.forEach(({ offset, length }, i) => {
    const band = bytes.subarray(offset, offset + length);
    if (hash.blake3(band) !== commit.header.bands[i]!.hash) throw corruptError("a band", "hash");
    decodeRollup(band, bandInterval(commit.header.lsn, i + 1));
  });
  const inline = commit.header.segments.find((segment) => segment.id === undefined);
  if (inline === undefined) return;
  const area = bytes.subarray(commit.frames.offset, commit.frames.offset + commit.frames.length);
  const part = ({ offset, length }: { offset: number; length: number }) =>
    area.subarray(offset, offset + length);
  const index = openReadIndex(hash, part(inline.index), inline);
  checkDigestArea(hash, part(inline.digests), inline);
  for (let i = 0; i < index.frameCount; i++) {
    const frame = index.frame(i);
    decodeFrame(codecs, frame, part(frame), frameRawLength(index, i), { frame: i });
  }
}

function refused(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof PagefoldError) return `${error.code}: ${error.message}`;
    throw error;
  }
  return "accepted";
}

describe("commit object", () => {
  it("round-trips, from the whole object and from its start alone", async () => {
    const samples: SampleCommit[] = [
      sample,
      await sampleCommit({ lsn: 1 }),
      await sampleCommit({ lsn: 7, pages: PageSet.empty }),
      await sampleCommit({ lsn: 96, apartFrom: 4 }),
      await sampleCommit({ lsn: 64, apartFrom: 1, pages: PageSet.range(1, 40), framePages: 16 }),
      await sampleCommit({ lsn: 5, pageSize: 65536, framePages: 1, pages: PageSet.of([2]) }),
    ];
    for (const { header, bytes, hash: proof, bands, apart, frames } of samples) {
      const commit = decodeCommit(bytes, hash, { volume: header.volume, lsn: header.lsn, hash: proof });
      expect(commit.header).toEqual(header);
      expect(commit.header.changed.equals(header.changed)).toBe(true);
      expect(commit.header.zeroed.equals(header.zeroed)).toBe(true);
      expect(commit.hash).toBe(proof);
      expect(commit.totalLength).toBe(bytes.length);
      expect(commitHeaderLength(bytes.subarray(0, COMMIT_PREFIX_BYTES))).toBe(commit.headerLength);
      expect(commitBandsEnd(bytes)).toBe(commit.frames.offset);
      expect(commit.bandExtents.map(({ offset, length }) => bytes.slice(offset, offset + length))).toEqual(
        bands,
      );
      let offset = 0;
      for (const [i, band] of apart.entries()) {
        expect(commit.apartBandExtents[i]).toEqual({ offset, length: band.length });
        offset += band.length;
      }
      expect(bytes.slice(commit.frames.offset)).toEqual(frames);
      expect(encodeCommit({ header: commit.header, bands, frames }, hash).bytes).toEqual(bytes);
      const start = decodeCommit(bytes.slice(0, commit.headerLength), hash, { hash: proof });
      expect({ ...start }).toEqual({ ...commit });
      verifyWhole(bytes, proof);
    }
  });

  it("every damage is noticed, by decoding or by a hash (invariant 7)", async () => {
    expectEveryDamageNoticed(sample.bytes, (bytes) => verifyWhole(bytes, sample.hash));
    const other = await sampleCommit({ lsn: 8, pages: PageSet.of([2, 4, 5]), apartFrom: 3, framePages: 1 });
    expectEveryDamageNoticed(other.bytes, (bytes) => verifyWhole(bytes, other.hash));
  }, 60_000);

  it("is total, and canonical: what decodes without a hash encodes to the same header", () => {
    expectTotal(
      (bytes) => {
        const { header, headerLength } = decodeCommit(bytes, hash);
        expect(writeHeader(header)).toEqual(bytes.slice(COMMIT_PREFIX_BYTES, headerLength));
        expect(headerProblem(header)).toBeUndefined();
      },
      [sample.bytes],
    );
  });

  it("the hash is checked before the header is read, and names the commit", () => {
    const broken = sample.bytes.slice();
    broken[COMMIT_PREFIX_BYTES + 40]! ^= 1;
    const message = refused(() => decodeCommit(broken, hash, { lsn: 4 as Lsn, hash: sample.hash }));
    expect(message).toMatch(/^corrupt: a commit at LSN 4 .*is damaged: its hash is/);
    expect(refused(() => decodeCommit(sample.bytes, hash, { lsn: 5 as Lsn }))).toMatch(
      /^corrupt: .*it is LSN 4/,
    );
    expect(refused(() => decodeCommit(sample.bytes, hash, { volume: someId<VolumeId>(9) }))).toMatch(
      /belongs to volume/,
    );
    try {
      decodeCommit(broken, hash, { volume: sample.header.volume, lsn: 4 as Lsn, hash: sample.hash });
    } catch (error) {
      expect(isPagefoldError(error, "corrupt") && error.details).toEqual({
        volume: sample.header.volume,
        lsn: 4,
      });
    }
  });

  it("lengths past the limits, later versions and unknown features are refused from the first bytes", () => {
    const at = (offset: number, ...values: number[]) => {
      const bytes = sample.bytes.slice();
      bytes.set(values, offset);
      return refused(() => decodeCommit(bytes, hash));
    };
    expect(at(4, 2)).toMatch(/^unsupported_version: a commit is of format version 2/);
    expect(at(6, 1)).toMatch(/^corrupt: .*unknown flags/);
    expect(at(8, 0, 0, 0, 255)).toMatch(/^corrupt: .*a header of 4278190080 bytes/);
    expect(at(12, 0, 0, 0, 255)).toMatch(/^corrupt: .*bands of/);
    expect(at(16, 0, 0, 0, 255)).toMatch(/^corrupt: .*an inline area of/);
    expect(at(8, 0, 0, 0, 4)).toMatch(/^corrupt: .*within its header of/);
    expect(at(31, 1)).toMatch(/^corrupt: .*does not match the check/);
    // A later version's own commit: its check is right.
    const from = (offset: number, value: number) => {
      const bytes = sample.bytes.slice();
      const end = commitHeaderLength(bytes);
      bytes[offset] = value;
      const check = hash.blake3(bytes.subarray(0, 20), bytes.subarray(COMMIT_PREFIX_BYTES, end));
      bytes.set(fromHex(check).subarray(0, 12), 20);
      return refused(() => decodeCommit(bytes, hash));
    };
    expect(from(COMMIT_PREFIX_BYTES + 16 + 4, 1)).toMatch(/^unsupported_version: .*features/);
    expect(from(COMMIT_PREFIX_BYTES + 16 + 7, 128)).toMatch(/^unsupported_version: .*0x80000000/);
    expect(LIMITS.commitHeaderBytes).toBe(64 * 1024 * 1024);
  });

  it("past the limits of the format a writer is told so", () => {
    const length = LIMITS.inlineAreaBytes + 1;
    expect(() => encodeCommit({ ...sample, frames: new Uint8Array(length) }, hash)).toThrow(/pagefold bug/);
  });
});

describe("commit header rules", () => {
  /** The header is changed, written without the writer's checks, and must be refused by the reader. */
  const problem = (change: Partial<CommitHeader>) => headerProblem({ ...sample.header, ...change });
  const segment = sample.header.segments[0] as SegmentRef;
  const stored = (first: number, last: number, pages: number, seed: number): SegmentRef => {
    const layout = segmentLayout(false, 5000, 100, pages)!;
    return {
      id: someId<SegmentId>(seed),
      firstPage: page(first),
      lastPage: page(last),
      length: 5000,
      index: layout.index,
      digests: layout.digests,
      indexHash: someHash(1),
      digestsHash: someHash(2),
    };
  };

  it.each<[string, Partial<CommitHeader>, RegExp]>([
    ["page size", { pageSize: 1000 }, /page size of 1000/],
    ["page count below its pages", { pageCount: 11 as PageCount, byteLength: 11 * 512 }, /page 13 of 11/],
    ["lowest above the page count", { lowestPageCount: 15 as PageCount }, /lowest page count 15 is above/],
    ["too long", { byteLength: 14 * 512 + 1 }, /7169 bytes in 14 pages/],
    ["too short", { byteLength: 13 * 512 }, /6656 bytes in 14 pages/],
    ["zeroed also changed", { zeroed: PageSet.of([9]) }, /both changed and zeroed/],
    [
      "a jump hash missing",
      { jumpHashes: sample.header.jumpHashes.slice(1) },
      /2 jump hashes with 2 bands at LSN 4/,
    ],
    ["a band missing", { bands: sample.header.bands.slice(1) }, /3 jump hashes with 1 bands at LSN 4/],
    [
      "apart before riding",
      { bands: sample.header.bands.map((b, i) => ({ ...b, apart: i === 0 })) },
      /rides along behind/,
    ],
    ["an empty band", { bands: sample.header.bands.map((b) => ({ ...b, length: 0 })) }, /empty band/],
    [
      "a huge band",
      { bands: sample.header.bands.map((b) => ({ ...b, length: 2 ** 28 + 1 })) },
      /a band of 268435457 bytes/,
    ],
    ["checkpoint of its own", { checkpoint: { lsn: 4 as Lsn, hash: someHash(1) } }, /checkpoint at LSN 4/],
    ["no segment", { segments: [] }, /5 changed pages are in no segment/],
    ["two inline segments", { segments: [segment, segment] }, /two inline/],
    ["a page between", { segments: [stored(1, 2, 2, 1), stored(9, 12, 2, 2)] }, /out of order/],
    ["a page after", { segments: [stored(1, 9, 4, 1)] }, /1 changed pages/],
    ["overlap", { segments: [stored(1, 9, 4, 1), stored(9, 12, 2, 2)] }, /out of order/],
    ["out of order", { segments: [stored(9, 12, 2, 2), stored(1, 3, 3, 1)] }, /out of order/],
    ["first page unchanged", { segments: [stored(1, 8, 4, 1), stored(9, 12, 2, 2)] }, /out of order/],
    ["one id twice", { segments: [stored(1, 3, 3, 1), stored(9, 12, 2, 1)] }, /named twice/],
    ["digests elsewhere", { segments: [{ ...segment, digests: { offset: 1, length: 80 } }] }, /do not fit/],
    [
      "too long a segment",
      { segments: [{ ...stored(1, 12, 5, 1), length: LIMITS.segmentStoredBytes + 1 }] },
      /a segment of/,
    ],
    ["unknown features", { features: { compatible: 0, incompatible: 2 } }, /features/],
  ])("%s", (_, change, expected) => {
    expect(problem(change)).toMatch(expected);
  });

  it("valid variants", () => {
    expect(problem({})).toBeUndefined();
    expect(problem({ segments: [stored(1, 3, 3, 1), stored(9, 12, 2, 2)] })).toBeUndefined();
    expect(problem({ segments: [stored(1, 12, 5, 1)] })).toBeUndefined();
    expect(
      problem({
        pageCount: 0 as PageCount,
        lowestPageCount: 0 as PageCount,
        byteLength: 0,
        changed: PageSet.empty,
        zeroed: PageSet.empty,
        segments: [],
      }),
    ).toBeUndefined();
  });

  it("headers of any shape round-trip", () => {
    const headers = fc
      .record({
        changed: smallPageSet(),
        more: smallPageSet(),
        pageCount: fc.integer({ min: 400, max: 2 ** 32 - 2 }),
        cut: fc.nat(4095),
        time: fc.maxSafeNat(),
        sum: fc.bigInt({ min: 0n, max: 2n ** 128n - 1n }),
        parts: fc.integer({ min: 1, max: 5 }),
      })
      .map(({ changed, more, pageCount, cut, time, sum, parts }): CommitHeader => {
        const size = Math.max(1, Math.ceil(changed.size / parts));
        const segments: SegmentRef[] = [];
        for (let at = 0; at < changed.size; at += size) {
          const pages = changed.slice(at, at + size);
          segments.push(stored(pages.first!, pages.last!, pages.size, at));
        }
        return {
          ...sample.header,
          pageSize: 4096,
          pageCount: pageCount as PageCount,
          lowestPageCount: (pageCount - 400) as PageCount,
          byteLength: pageCount * 4096 - cut,
          changed,
          zeroed: more.subtract(changed),
          time: time as TimeMs,
          stateChecksum: sum as StateChecksum,
          checkpoint: cut % 2 === 0 ? undefined : sample.header.checkpoint,
          segments,
        };
      });
    property(headers, (header) => {
      expect(headerProblem(header)).toBeUndefined();
      const reader: ByteReader = new ByteReader(writeHeader(header), "a commit");
      const back = readHeader(reader, {}, {});
      reader.end();
      expect(back).toEqual(header);
      expect(back.changed.equals(header.changed) && back.zeroed.equals(header.zeroed)).toBe(true);
    });
  });
});
