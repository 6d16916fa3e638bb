import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Lsn, SegmentId, VolumeId } from "../../src/base/brand.ts";
import { isPagefoldError, PagefoldError } from "../../src/base/errors.ts";
import { concatBytes, corruptError } from "../../src/format/bytes.ts";
import { decodeFrame, type EncodedFrame, encodeFrame, frameRawLength } from "../../src/format/frame.ts";
import type { ReadIndex, SegmentRef } from "../../src/format/model.ts";
import { PageSet } from "../../src/format/page-set.ts";
import {
  checkDigestArea,
  decodeReadIndex,
  decodeSegmentFooter,
  encodeReadIndex,
  openReadIndex,
  SEGMENT_FOOTER_BYTES,
} from "../../src/format/segment-codec.ts";
import { segmentLayout } from "../../src/format/segment-layout.ts";
import { buildInlineSegment, inlineFrameEncoder, SegmentWriter } from "../../src/format/segment-writer.ts";
import {
  codecs,
  expectEveryDamageNoticed,
  expectTotal,
  pageBytes,
  sampleCommit,
  smallPageSet,
  someBytes,
  someHash,
  someId,
} from "./support.ts";

const { hash } = codecs;
const volume = someId<VolumeId>(1);
const id = someId<SegmentId>(2);
const lsn = 9 as Lsn;
const seed = someBytes(16, 3);
const encoder = inlineFrameEncoder(codecs);

interface Batch {
  readonly pages: Uint32Array;
  readonly bytes: Uint8Array;
}

/** Batches of `perBatch` pages with bytes that depend on the page alone. */
function batchesOf(pages: PageSet, pageSize: number, perBatch: number): Batch[] {
  const list = [...pages];
  const batches: Batch[] = [];
  for (let at = 0; at < list.length; at += perBatch) {
    const part = Uint32Array.from(list.slice(at, at + perBatch));
    batches.push({ pages: part, bytes: concatBytes([...part].map((page) => pageBytes(pageSize, page))) });
  }
  return batches;
}

async function collect(body: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of body) chunks.push(chunk);
  return concatBytes(chunks);
}

async function writeSegment(pages: PageSet, pageSize: number, framePages: number, perBatch: number) {
  const writer = new SegmentWriter({ hasher: hash, volume, lsn, id, pageSize, framePages });
  const stored = collect(writer.body);
  for (const batch of batchesOf(pages, pageSize, perBatch)) {
    await writer.add(batch.pages, await encoder.encode({ ...batch, pageSize, framePages, seed }));
  }
  const finished = await writer.finish();
  return { ...finished, bytes: await stored };
}

/** Reads every page back through the index and checks digests. */
function expectReadable(segment: Uint8Array, ref: SegmentRef, pages: PageSet, pageSize: number): ReadIndex {
  expect(segment.length).toBe(ref.length);
  const part = ({ offset, length }: { offset: number; length: number }) =>
    segment.subarray(offset, offset + length);
  const index = openReadIndex(hash, part(ref.index), ref);
  const digests = checkDigestArea(hash, part(ref.digests), ref);
  expect(index.pages.equals(pages)).toBe(true);
  const digester = hash.pageDigests(seed);
  let rank = 0;
  for (let i = 0; i < index.frameCount; i++) {
    const frame = index.frame(i);
    const raw = decodeFrame(codecs, frame, part(frame), frameRawLength(index, i), { frame: i });
    for (let at = 0; at < raw.length; at += pageSize, rank++) {
      const page = index.pages.at(rank);
      expect(Math.floor(rank / index.framePages)).toBe(i);
      expect(Buffer.compare(raw.subarray(at, at + pageSize), pageBytes(pageSize, page))).toBe(0);
      const digest = new Uint8Array(16);
      digester.digestInto(page, raw.subarray(at, at + pageSize), digest, 0);
      expect(digests.subarray(16 * rank, 16 * rank + 16)).toEqual(digest);
    }
  }
  expect(rank).toBe(pages.size);
  return index;
}

describe("segments", () => {
  it("stored: whatever the pages and the batches, every page comes back and proves itself", async () => {
    const cases = fc.sample(
      fc.record({
        pages: smallPageSet(200).filter((set) => !set.isEmpty),
        pageSize: fc.constantFrom(512, 1024, 4096),
        framePages: fc.constantFrom(1, 3, 4, 16),
        frames: fc.integer({ min: 1, max: 5 }),
      }),
      { seed: 42, numRuns: 25 },
    );
    for (const { pages, pageSize, framePages, frames } of cases) {
      const { bytes, ref } = await writeSegment(pages, pageSize, framePages, frames * framePages);
      expectReadable(bytes, ref, pages, pageSize);
      const footer = decodeSegmentFooter(bytes.subarray(-SEGMENT_FOOTER_BYTES), bytes.length);
      expect(footer).toEqual({ volume, lsn, id, index: ref.index, digests: ref.digests });
    }
  });

  it("inline: index first, so that the start of a commit brings it", async () => {
    const pages = PageSet.of([1, 2, 5, 6, 7, 30]);
    const batches = await Promise.all(
      batchesOf(pages, 512, 4).map(async (batch) => ({
        pages: batch.pages,
        batch: await encoder.encode({ ...batch, pageSize: 512, framePages: 4, seed }),
      })),
    );
    const { ref, bytes, digests } = buildInlineSegment(hash, { pageSize: 512, framePages: 4 }, batches);
    expect(ref.id).toBeUndefined();
    expect(ref.index.offset).toBe(0);
    expect(expectReadable(bytes, ref, pages, 512).frame(0).offset).toBe(ref.index.length);
    expect(bytes.slice(ref.digests.offset)).toEqual(digests);
    expect((await sampleCommit()).header.segments[0]?.index.offset).toBe(0);
  });

  it("every damage is noticed, the footer apart, which readers do not use (invariant 7)", async () => {
    const pages = PageSet.of([3, 4, 8]);
    const { bytes, ref } = await writeSegment(pages, 512, 2, 2);
    expectEveryDamageNoticed(bytes, (broken) => {
      if (broken.length !== ref.length) throw corruptError("a segment", "length");
      const footer = decodeSegmentFooter(broken.subarray(-SEGMENT_FOOTER_BYTES), broken.length);
      if (footer.volume !== volume || footer.lsn !== lsn || footer.id !== id)
        throw corruptError("a segment", "names");
      if (footer.index.offset !== ref.index.offset) throw corruptError("a segment", "layout");
      const part = ({ offset, length }: { offset: number; length: number }) =>
        broken.subarray(offset, offset + length);
      const index = openReadIndex(hash, part(ref.index), ref);
      checkDigestArea(hash, part(ref.digests), ref);
      for (let i = 0; i < index.frameCount; i++) {
        decodeFrame(codecs, index.frame(i), part(index.frame(i)), frameRawLength(index, i), {});
      }
    });
  });

  it("swapped frames are noticed", async () => {
    const pages = PageSet.range(1, 4);
    const { bytes, ref } = await writeSegment(pages, 512, 1, 1);
    const index = openReadIndex(
      hash,
      bytes.subarray(ref.index.offset, ref.index.offset + ref.index.length),
      ref,
    );
    const [a, b] = [index.frame(0), index.frame(1)];
    const other = { ...b, length: a.length };
    expect(() =>
      decodeFrame(codecs, other, bytes.subarray(a.offset, a.offset + a.length), 512, { frame: 1 }),
    ).toThrow(/its hash is/);
  });
});

describe("read index", () => {
  const pages = PageSet.of([1, 2, 3, 9, 12]);
  const frames: EncodedFrame[] = [pageBytes(1024, 1), someBytes(1024, 2), pageBytes(512, 3)].map((raw) =>
    encodeFrame(codecs, raw),
  );
  const entries = frames.map(({ codec, hash: h, bytes }) => ({ codec, hash: h, length: bytes.length }));
  const framesLength = entries.reduce((sum, { length }) => sum + length, 0);
  const refOf = (index: Uint8Array, change: Partial<SegmentRef> = {}, extra = 0): SegmentRef => {
    const length = framesLength + index.length + 16 * pages.size + SEGMENT_FOOTER_BYTES + extra;
    const layout = segmentLayout(false, length, index.length, pages.size)!;
    return {
      id,
      firstPage: pages.first!,
      lastPage: pages.last!,
      length,
      index: layout.index,
      indexHash: hash.blake3(index),
      digests: layout.digests,
      digestsHash: someHash(1),
      ...change,
    };
  };
  const valid = encodeReadIndex({ pageSize: 512, framePages: 2, pages, frames: entries });

  it("round-trips and is canonical and total", () => {
    const index = decodeReadIndex(valid, refOf(valid));
    expect(index.frameCount).toBe(3);
    let offset = 0;
    for (const [i, entry] of entries.entries()) {
      expect(index.frame(i)).toEqual({ ...entry, offset });
      offset += entry.length;
    }
    expect([0, 1, 2].map((i) => frameRawLength(index, i))).toEqual([1024, 1024, 512]);
    expect(() => index.frame(3)).toThrow(/frame 3 of 3/);
    expectTotal(
      (bytes) => {
        const back = decodeReadIndex(bytes, refOf(bytes));
        const list = Array.from({ length: back.frameCount }, (_, i) => back.frame(i));
        expect(encodeReadIndex({ ...back, frames: list })).toEqual(bytes);
      },
      [valid],
    );
    expectEveryDamageNoticed(valid, (bytes) => openReadIndex(hash, bytes, refOf(valid)));
  });

  it("must be that of its segment", () => {
    const refuse = (index: Uint8Array, change: Partial<SegmentRef>, extra = 0) => {
      try {
        decodeReadIndex(index, refOf(index, change, extra));
      } catch (error) {
        if (isPagefoldError(error)) return `${error.code}: ${error.message}`;
        throw error;
      }
      return "accepted";
    };
    expect(refuse(valid, { firstPage: 2 as never })).toMatch(/^corrupt: .*not those of its segment/);
    expect(refuse(valid, { lastPage: 13 as never })).toMatch(/^corrupt: .*not those of its segment/);
    expect(refuse(valid, { digests: { offset: 0, length: 96 } })).toMatch(/not those of its digest area/);
    expect(refuse(valid, {}, 1)).toMatch(/do not fill their area/);
    expect(refuse(valid, {}, -1)).toMatch(/past the end of their area/);
    expect(refuse(valid, {}, -framesLength)).toMatch(/past the end of their area/);
    const encode = (change: object) =>
      encodeReadIndex({ pageSize: 512, framePages: 2, pages, frames: entries, ...change });
    const lie = (change: object) =>
      refuse(encode({ frames: entries.map((e, i) => (i === 0 ? { ...e, ...change } : e)) }), {});
    expect(lie({ length: 1024 })).toMatch(/a zstd frame of 1024 bytes/);
    expect(lie({ length: 0 })).toMatch(/a zstd frame of 0 bytes/);
    expect(lie({ length: 1025 })).toMatch(/more than 1024/);
    expect(lie({ codec: "raw" })).toMatch(/a raw frame of/);
    expect(() => encode({ framePages: 4096 })).toThrow(/pages of 512 bytes per frame/);
    const version = valid.slice();
    version[1] = 2;
    expect(refuse(version, {})).toMatch(/^unsupported_version/);
  });

  it("of a 64 MiB segment costs some 20 bytes per frame, on the wire and in memory", () => {
    const count = 1024;
    const many = PageSet.range(1, count * 16);
    const list = Array.from({ length: count }, (_, i) => ({
      codec: "zstd" as const,
      length: 30_000 + i,
      hash: entries[0]!.hash,
    }));
    const bytes = encodeReadIndex({ pageSize: 4096, framePages: 16, pages: many, frames: list });
    expect(bytes.length / count).toBeLessThan(21);
  });
});

describe("segment writer", () => {
  const pageSize = 4096;
  const framePages = 16;
  const open = (maxBufferedBytes?: number) =>
    new SegmentWriter({
      hasher: hash,
      volume,
      lsn,
      id,
      pageSize,
      framePages,
      ...(maxBufferedBytes === undefined ? {} : { maxBufferedBytes }),
    });
  const encoded = (first: number) => {
    const [batch] = batchesOf(PageSet.range(first, first + 63), pageSize, 64);
    return encoder
      .encode({ ...batch!, pageSize, framePages, seed })
      .then((result) => ({ pages: batch!.pages, result }));
  };

  it("holds the producer back while the store is slow (invariant 10: memory is bounded)", async () => {
    const writer = open(50_000);
    const { pages, result } = await encoded(1);
    let added = 0;
    const producing = (async () => {
      await writer.add(pages, result);
      added++;
      const second = await encoded(65);
      await writer.add(second.pages, second.result);
      added++;
    })();
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(added).toBe(0);
    const iterator = writer.body[Symbol.asyncIterator]();
    const first = await iterator.next();
    expect(first.value?.length).toBeGreaterThan(50_000);
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(added).toBe(1);
    await iterator.next();
    await producing;
    const { ref } = await writer.finish();
    const tail = await iterator.next();
    expect((await iterator.next()).done).toBe(true);
    expect(tail.value?.length).toBe(ref.index.length + ref.digests.length + SEGMENT_FOOTER_BYTES);
  });

  it("a store that stops reading, or was abandoned, fails the producer instead of hanging it", async () => {
    const { pages, result } = await encoded(1);
    const stopped = open(1000);
    const adding = stopped.add(pages, result);
    for await (const _ of stopped.body) break;
    await expect(adding.then(() => stopped.finish())).rejects.toThrow(/stopped reading a segment/);

    const abandoned = open(1000);
    const waiting = abandoned.add(pages, result);
    const cause = new PagefoldError("quota", "full");
    abandoned.abandon(cause);
    await expect(waiting).rejects.toBe(cause);
    await expect(abandoned.add(pages, result)).rejects.toBe(cause);
    await expect(collect(abandoned.body)).rejects.toBe(cause);
  });

  it("a source that fails makes the body fail: a cut segment is never stored as whole", async () => {
    const writer = open();
    const { pages, result } = await encoded(1);
    const stored = collect(writer.body);
    await writer.add(pages, result);
    writer.abandon(new PagefoldError("invalid", "the file shrank"));
    await expect(stored).rejects.toThrow(/the file shrank/);
  });

  it("refuses to pass the limits of the format, and disorder", async () => {
    const { pages, result } = await encoded(1);
    const writer = open(Number.POSITIVE_INFINITY);
    await writer.add(pages, result);
    await expect(writer.add(pages, result)).rejects.toThrow(/out of order/);
    const full = open(Number.POSITIVE_INFINITY);
    const at = (first: number) => Uint32Array.from({ length: 64 }, (_, i) => first + i);
    for (let i = 0; i < 256; i++) await full.add(at(1 + 64 * i), result);
    await expect(full.add(at(1 + 64 * 256), result)).rejects.toThrow(/would take .* more than the 67108864/);
  });
});
