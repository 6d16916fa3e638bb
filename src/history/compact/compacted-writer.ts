/**
 * Writes the segments of a compaction: pages come in ascending order, each with the class it belongs to, and every class fills segments of its own. A class
 * of few pages waits in memory, compressed; a larger one is streamed. Until a checkpoint names them the segments are garbage.
 */
import { assert } from "../../base/assert.ts";
import type { Lsn, PageIdx, SegmentId } from "../../base/brand.ts";
import { throwIfAborted } from "../../base/errors.ts";
import { StateChecksumSum } from "../../format/checksum.ts";
import { newId } from "../../format/ids.ts";
import { compactedKey } from "../../format/keys.ts";
import { LIMITS } from "../../format/limits.ts";
import type { PlacedSegment } from "../../format/model.ts";
import { type EncodedBatch, SegmentWriter } from "../../format/segment-writer.ts";
import type { ReplicaContext } from "../../replicate/context.ts";
import type { Pace } from "./pace.ts";

/** Pages (uncompressed) that one encoding job takes. */
const BATCH_BYTES = 1_048_576;
/** Batches given to the encoder and not yet written. */
const BATCHES_IN_FLIGHT = 6;
/** Compressed bytes of a class that wait for company before an upload is begun: one that stood still would be cut off by the store. */
const WAITING_BYTES = 4 * 1_048_576;

export interface CompactedWriterOptions {
  /** Of the floor that the compaction began under. */
  readonly number: number;
  /** Of the state that is compacted. */
  readonly lsn: Lsn;
  /** About how many pages there will be: they are divided evenly among segments. */
  readonly pages: number;
  readonly pace: Pace;
  readonly signal: AbortSignal | undefined;
  readonly onSegment: () => void | Promise<void>;
}

interface Batch {
  readonly pages: Uint32Array;
  readonly batch: EncodedBatch;
}

interface OpenSegment {
  readonly id: SegmentId;
  readonly writer: SegmentWriter;
  readonly stored: Promise<unknown>;
}

/** The segments of one class, one after the other. */
interface Lane {
  pages: Uint32Array<ArrayBuffer>;
  bytes: Uint8Array<ArrayBuffer>;
  filled: number;
  /** Encoded, of the segment to come, which is not open yet. */
  waiting: Batch[];
  waitingBytes: number;
  segment: OpenSegment | undefined;
  /** Pages encoded for the segment that is open or to come. */
  count: number;
}

/** Pages of a full segment, a whole number of batches. */
export function fullSegmentPages(pageSize: number, framePages: number): number {
  const batch = batchPages(pageSize, framePages);
  return Math.floor(LIMITS.segmentRawBytes / (batch * pageSize)) * batch;
}

function batchPages(pageSize: number, framePages: number): number {
  return Math.max(1, Math.floor(BATCH_BYTES / (framePages * pageSize))) * framePages;
}

export class CompactedWriter {
  readonly #context: ReplicaContext;
  readonly #options: CompactedWriterOptions;
  readonly #pageSize: number;
  readonly #framePages: number;
  readonly #batchPages: number;
  readonly #segmentPages: number;
  readonly #lanes = new Map<number, Lane>();
  readonly #encoding: {
    readonly lane: Lane;
    readonly pages: Uint32Array;
    readonly result: Promise<EncodedBatch>;
  }[] = [];
  readonly #segments: PlacedSegment[] = [];
  readonly #keys: string[] = [];
  readonly #uploads = new Set<Promise<unknown>>();
  readonly #sum = new StateChecksumSum();
  #storedBytes = 0;

  constructor(context: ReplicaContext, options: CompactedWriterOptions) {
    this.#context = context;
    this.#options = options;
    this.#pageSize = context.replica.manifest.pageSize;
    this.#framePages = framePagesOf(context);
    this.#batchPages = batchPages(this.#pageSize, this.#framePages);
    const full = fullSegmentPages(this.#pageSize, this.#framePages);
    const even = options.pages / Math.max(1, Math.ceil(options.pages / full));
    this.#segmentPages = Math.max(1, Math.ceil(even / this.#batchPages)) * this.#batchPages;
  }

  /** The digests of all pages so far, added up. */
  get sum(): StateChecksumSum {
    return this.#sum;
  }

  get storedBytes(): number {
    return this.#storedBytes;
  }

  /** Adds a page that is not all zeros; `bytes` is copied. Await the result when it is a promise. */
  add(page: PageIdx, bytes: Uint8Array, classOf: number): Promise<void> | undefined {
    assert(bytes.length === this.#pageSize, `a page of ${bytes.length} bytes`);
    const lane = this.#lane(classOf);
    lane.pages[lane.filled] = page;
    lane.bytes.set(bytes, lane.filled * this.#pageSize);
    lane.filled++;
    return lane.filled === this.#batchPages ? this.#encode(lane) : undefined;
  }

  /** Stores what is left. The segments are there when it resolves. */
  async finish(): Promise<readonly PlacedSegment[]> {
    for (const lane of this.#lanes.values()) await this.#encode(lane);
    while (this.#encoding.length > 0) await this.#writeNext();
    for (const lane of this.#lanes.values()) await this.#close(lane);
    return this.#segments;
  }

  /** Gives up: uploads end, and what was stored is deleted again, best effort. Nothing names it, and nothing will: ids are random and were told to nobody. */
  async discard(error: unknown): Promise<void> {
    for (const lane of this.#lanes.values()) lane.segment?.writer.abandon(error);
    await Promise.allSettled([...this.#uploads, ...this.#encoding.map(({ result }) => result)]);
    await deleteGarbage(this.#context, this.#keys);
  }

  #lane(classOf: number): Lane {
    let lane = this.#lanes.get(classOf);
    if (lane === undefined) {
      const room = { pages: new Uint32Array(this.#batchPages), bytes: this.#newBytes() };
      lane = { ...room, filled: 0, waiting: [], waitingBytes: 0, segment: undefined, count: 0 };
      this.#lanes.set(classOf, lane);
    }
    return lane;
  }

  #newBytes(): Uint8Array<ArrayBuffer> {
    return new Uint8Array(this.#batchPages * this.#pageSize);
  }

  async #encode(lane: Lane): Promise<void> {
    if (lane.filled === 0) return;
    const pages = lane.pages.slice(0, lane.filled);
    const bytes = lane.bytes.slice(0, lane.filled * this.#pageSize);
    lane.filled = 0;
    while (this.#encoding.length >= BATCHES_IN_FLIGHT) await this.#writeNext();
    throwIfAborted(this.#options.signal, "a compaction");
    const { encoder, replica } = this.#context;
    const shape = { pageSize: this.#pageSize, framePages: this.#framePages };
    const result = encoder.encode({
      pages: pages.slice(),
      bytes,
      ...shape,
      seed: replica.manifest.digestSeed,
    });
    result.catch(() => {}); // awaited in #writeNext; a failure before that is not unhandled
    this.#encoding.push({ lane, pages, result });
  }

  async #writeNext(): Promise<void> {
    const { lane, pages, result } = this.#encoding.shift()!;
    const batch = await result;
    this.#sum.add(batch.digests);
    const encodedBytes = batch.frames.reduce((sum, frame) => sum + frame.bytes.length, 0);
    lane.count += pages.length;
    if (lane.segment === undefined) {
      lane.waiting.push({ pages, batch });
      lane.waitingBytes += encodedBytes;
      if (lane.waitingBytes > WAITING_BYTES) await this.#open(lane);
    } else {
      await this.#write(lane.segment, { pages, batch });
    }
    await this.#options.pace.spend(encodedBytes);
    if (lane.count >= this.#segmentPages) await this.#close(lane);
  }

  async #open(lane: Lane): Promise<OpenSegment> {
    const { replica, codecs, runtime, remote } = this.#context;
    const { volume } = replica.manifest;
    const { number, lsn, signal } = this.#options;
    const id = newId(runtime) as string as SegmentId;
    const shape = { pageSize: this.#pageSize, framePages: this.#framePages };
    const writer = new SegmentWriter({ ...shape, hasher: codecs.hash, volume, lsn, id });
    const key = compactedKey(volume, number, id);
    this.#keys.push(key);
    const stored = remote.put(key, writer.body, signal === undefined ? {} : { signal });
    stored.catch((error) => writer.abandon(error));
    this.#uploads.add(stored);
    const segment = { id, writer, stored };
    lane.segment = segment;
    const { waiting } = lane;
    lane.waiting = [];
    lane.waitingBytes = 0;
    for (const batch of waiting) await this.#write(segment, batch);
    return segment;
  }

  async #write({ writer, stored }: OpenSegment, { pages, batch }: Batch): Promise<void> {
    await writer.add(pages, batch).catch((error) => storesOwn(stored, error));
  }

  async #close(lane: Lane): Promise<void> {
    if (lane.count === 0) return;
    const { writer, stored, id } = lane.segment ?? (await this.#open(lane));
    const { ref, pages } = await writer.finish().catch((error) => storesOwn(stored, error));
    await stored;
    this.#uploads.delete(stored);
    lane.segment = undefined;
    lane.count = 0;
    this.#storedBytes += ref.length;
    const { volume } = this.#context.replica.manifest;
    this.#segments.push({ volume, kind: "compacted", number: this.#options.number, id, ref, pages });
    await this.#options.onSegment();
  }
}

/** Where a store gave up on a segment, its own reason is the one to tell. */
async function storesOwn(stored: Promise<unknown>, error: unknown): Promise<never> {
  await stored;
  throw error;
}

export function framePagesOf({ frameBytes, replica }: ReplicaContext): number {
  return Math.max(1, Math.floor(frameBytes / replica.manifest.pageSize));
}

/** Deletes what nothing names, best effort: what stays is garbage that a collection finds. */
export async function deleteGarbage(context: ReplicaContext, keys: readonly string[]): Promise<void> {
  if (keys.length === 0) return;
  try {
    await context.remote.delete(keys);
  } catch {
    context.recorder.count("compaction.discard_failed");
  }
}
