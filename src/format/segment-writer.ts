/**
 * Segments from encoded batches: a stored segment as a stream with bounded memory, an inline one as bytes. Neither compresses anything (that is
 * `frame-encoder.ts`); what they keep is 16 bytes per page and some 40 per frame.
 */
import { assert } from "../base/assert.ts";
import type { Lsn, PageIdx, SegmentId, VolumeId } from "../base/brand.ts";
import { PagefoldError } from "../base/errors.ts";
import { concatBytes, joinBytes } from "./bytes.ts";
import { checkLimit } from "./features.ts";
import type { EncodedBatch } from "./frame-encoder.ts";
import { DIGEST_BYTES, type Hasher } from "./hash.ts";
import { LIMITS } from "./limits.ts";
import type { SegmentRef } from "./model.ts";
import { type PageSet, PageSetBuilder } from "./page-set.ts";
import { encodeReadIndex, encodeSegmentFooter, type FrameEntry } from "./segment-codec.ts";
import { SEGMENT_FOOTER_BYTES, segmentLayout } from "./segment-layout.ts";

export { type EncodedBatch, type EncodeJob, type FrameEncoder, inlineFrameEncoder } from "./frame-encoder.ts";

export interface SegmentShape {
  readonly pageSize: number;
  /** Pages per frame. */
  readonly framePages: number;
}

/** Collects what the read index and the digest area will say. */
class SegmentTally {
  readonly #shape: SegmentShape;
  readonly #pages = new PageSetBuilder();
  readonly #frames: FrameEntry[] = [];
  readonly #digests: Uint8Array[] = [];
  pageCount = 0;
  framesLength = 0;

  constructor(shape: SegmentShape) {
    this.#shape = shape;
  }

  add(pages: Uint32Array | readonly number[], batch: EncodedBatch): void {
    const { framePages, pageSize } = this.#shape;
    assert(this.pageCount % framePages === 0, "only the last batch of a segment ends within a frame");
    assert(batch.frames.length === Math.ceil(pages.length / framePages), "a batch with all its frames");
    assert(batch.digests.length === pages.length * DIGEST_BYTES, "a batch with all its digests");
    this.pageCount += pages.length;
    checkLimit(this.pageCount * pageSize, LIMITS.segmentRawBytes, "the pages of a segment");
    for (const page of pages) this.#pages.addRun(page, page);
    for (const { codec, hash, bytes } of batch.frames) {
      this.#frames.push({ codec, hash, length: bytes.length });
      this.framesLength += bytes.length;
    }
    this.#digests.push(batch.digests);
  }

  /** Index and digest area, and the reference that a header will carry. */
  close(
    hasher: Hasher,
    id: SegmentId | undefined,
  ): { ref: SegmentRef; pages: PageSet; index: Uint8Array; digests: Uint8Array } {
    const pages = this.#pages.build();
    const index = encodeReadIndex({ ...this.#shape, pages, frames: this.#frames });
    const digests = concatBytes(this.#digests);
    const inline = id === undefined;
    const length = this.framesLength + index.length + digests.length + (inline ? 0 : SEGMENT_FOOTER_BYTES);
    checkLimit(length, inline ? LIMITS.inlineAreaBytes : LIMITS.segmentStoredBytes, "a segment");
    const layout = segmentLayout(inline, length, index.length, pages.size);
    assert(
      layout !== undefined && layout.frames.length === this.framesLength,
      "a segment whose parts add up",
    );
    const ref: SegmentRef = {
      id,
      firstPage: pages.first as PageIdx,
      lastPage: pages.last as PageIdx,
      length,
      index: layout.index,
      indexHash: hasher.blake3(index),
      digests: layout.digests,
      digestsHash: hasher.blake3(digests),
    };
    return { ref, pages, index, digests };
  }
}

export interface InlineSegment {
  readonly ref: SegmentRef;
  /** The inline area of the commit object. */
  readonly bytes: Uint8Array;
  readonly pages: PageSet;
  /** 16 bytes per page. */
  readonly digests: Uint8Array;
}

/** The inline area of a small commit, from its batches in page order. Throws `invalid` past LIMITS.inlineAreaBytes. */
export function buildInlineSegment(
  hasher: Hasher,
  shape: SegmentShape,
  batches: Iterable<{ readonly pages: Uint32Array | readonly number[]; readonly batch: EncodedBatch }>,
): InlineSegment {
  const tally = new SegmentTally(shape);
  const frames: Uint8Array[] = [];
  for (const { pages, batch } of batches) {
    tally.add(pages, batch);
    for (const frame of batch.frames) frames.push(frame.bytes);
  }
  const { ref, pages, index, digests } = tally.close(hasher, undefined);
  return { ref, pages, digests, bytes: concatBytes([index, ...frames, digests]) };
}

export interface SegmentWriterOptions extends SegmentShape {
  readonly hasher: Hasher;
  readonly volume: VolumeId;
  /** Of the commit that will name the segment. */
  readonly lsn: Lsn;
  readonly id: SegmentId;
  /** Encoded bytes that may wait for the store before `add` does; default 4 MiB. */
  readonly maxBufferedBytes?: number;
}

/** What a finished segment was. */
export interface FinishedSegment {
  readonly ref: SegmentRef;
  readonly pages: PageSet;
  /** 16 bytes per page: the digest area. */
  readonly digests: Uint8Array;
}

/**
 * A stored segment, streamed: `store.put(key, writer.body)` consumes while `add` fills.
 *
 *     const writer = new SegmentWriter({...});
 *     const stored = store.put(segmentKey(volume, lsn, id), writer.body);
 *     stored.catch((error) => writer.abandon(error));
 *     for (…) await writer.add(pages, await encoder.encode(job));
 *     const { ref } = await writer.finish();
 *     await stored;
 *
 * Abandoning makes `add` and `finish` reject with the error and the body throw it, so that neither side waits for ever for the other.
 */
export class SegmentWriter {
  /** The object's bytes, to be consumed once. */
  readonly body: AsyncIterable<Uint8Array>;
  readonly #options: SegmentWriterOptions;
  readonly #tally: SegmentTally;
  readonly #queue: Uint8Array[] = [];
  #buffered = 0;
  #ended = false;
  #error: { readonly error: unknown } | undefined;
  /** Wakes whoever waits for room or for bytes. */
  #wake: (() => void)[] = [];

  constructor(options: SegmentWriterOptions) {
    this.#options = options;
    this.#tally = new SegmentTally(options);
    this.body = { [Symbol.asyncIterator]: () => this.#iterate() };
  }

  /** Pages given so far. */
  get pageCount(): number {
    return this.#tally.pageCount;
  }

  /** Encoded bytes given so far. */
  get framesLength(): number {
    return this.#tally.framesLength;
  }

  /** Adds the next batch, in page order; resolves when there is room for another. */
  async add(pages: Uint32Array | readonly number[], batch: EncodedBatch): Promise<void> {
    assert(!this.#ended, "a segment that is not finished");
    this.#check();
    this.#tally.add(pages, batch);
    this.#push(joinBytes(batch.frames.map((frame) => frame.bytes)));
    const most = this.#options.maxBufferedBytes ?? 4 * 1024 * 1024;
    while (this.#buffered > most) {
      await this.#waitForChange();
      this.#check();
    }
  }

  /** Writes index, digests and footer. The reference is valid once the `put` of the body has resolved. */
  async finish(): Promise<FinishedSegment> {
    assert(!this.#ended, "a segment that is not finished");
    this.#check();
    const { volume, lsn, id, hasher } = this.#options;
    const { ref, pages, index, digests } = this.#tally.close(hasher, id);
    const footer = encodeSegmentFooter({ volume, lsn, id, index: ref.index, digests: ref.digests });
    this.#push(concatBytes([index, digests, footer]));
    this.#ended = true;
    this.#changed();
    return { ref, pages, digests };
  }

  /** Gives up: the store failed, or the source did. Idempotent; after the body was consumed whole it does nothing. */
  abandon(error: unknown): void {
    this.#error ??= { error };
    this.#queue.length = 0;
    this.#buffered = 0;
    this.#changed();
  }

  async *#iterate(): AsyncGenerator<Uint8Array, void, undefined> {
    let whole = false;
    try {
      for (;;) {
        this.#check();
        const chunk = this.#queue.shift();
        if (chunk !== undefined) {
          this.#buffered -= chunk.length;
          this.#changed();
          yield chunk;
        } else if (this.#ended) {
          whole = true;
          return;
        } else {
          await this.#waitForChange();
        }
      }
    } finally {
      if (!whole) {
        this.abandon(
          new PagefoldError(
            "unavailable",
            "the store stopped reading a segment before its end; run the operation again",
            {
              details: { segment: this.#options.id },
            },
          ),
        );
      }
    }
  }

  #push(bytes: Uint8Array): void {
    this.#queue.push(bytes);
    this.#buffered += bytes.length;
    this.#changed();
  }

  #check(): void {
    if (this.#error !== undefined) throw this.#error.error;
  }

  #waitForChange(): Promise<void> {
    return new Promise((resolve) => this.#wake.push(resolve));
  }

  #changed(): void {
    const waiting = this.#wake;
    this.#wake = [];
    for (const wake of waiting) wake();
  }
}
