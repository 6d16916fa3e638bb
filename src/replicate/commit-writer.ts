/**
 * Makes the next remote commit of a volume from pages in ascending order: encodes them in batches (in parallel, where the encoder can),
 * keeps a small commit's frames for its own object and streams a larger one's into segments. Bounded memory whatever the size;
 * nothing is visible until the commit object exists.
 */
import { assert } from "../base/assert.ts";
import type {
  Hash,
  Lsn,
  PageCount,
  PageIdx,
  PushId,
  SegmentId,
  StateChecksum,
  TimeMs,
} from "../base/brand.ts";
import { throwIfAborted } from "../base/errors.ts";
import { concatBytes } from "../format/bytes.ts";
import { StateChecksumSum } from "../format/checksum.ts";
import { encodeCommit } from "../format/commit-codec.ts";
import { newId } from "../format/ids.ts";
import { trailingPowers } from "../format/jumps.ts";
import { rollupKey, segmentKey } from "../format/keys.ts";
import { LIMITS, RESTORED, SHORT_BANDS } from "../format/limits.ts";
import type { CommitHeader, PageWriter, SegmentRef } from "../format/model.ts";
import type { PageSet } from "../format/page-set.ts";
import { PageSetBuilder } from "../format/page-set.ts";
import { rollupOfCommit } from "../format/rollup-codec.ts";
import { buildInlineSegment, type EncodedBatch, SegmentWriter } from "../format/segment-writer.ts";
import { hashOf, type RemoteState } from "../volume/remote-state.ts";
import { anchorOf } from "./anchor.ts";
import { buildBands } from "./bands.ts";
import type { ReplicaContext } from "./context.ts";

/** Pages (uncompressed) that one encoding job takes. */
const BATCH_BYTES = 1_048_576;
/** A commit of at most so many bytes of pages carries its frames itself. */
const INLINE_RAW_BYTES = 1_048_576;
/** Batches given to the encoder and not yet written. */
const BATCHES_IN_FLIGHT = 6;

/** What the commit says beside its pages. */
export interface CommitFacts {
  readonly pageCount: PageCount;
  readonly lowestPageCount: PageCount;
  readonly byteLength: number;
  readonly zeroed: PageSet;
  readonly time: TimeMs;
  /** Digests of everything that the commit overwrites, zeroes or cuts off, to be taken from the state checksum. */
  readonly removed: StateChecksumSum;
  /** Of a restore, which has no pages of its own: all that it takes back, and the state checksum that it thereby comes back to. */
  readonly restores?: {
    readonly from: Lsn;
    readonly writers: readonly PageWriter[];
    readonly stateChecksum: StateChecksum;
  };
  /** Where the caller knows that older commits were collected: the lowest LSN down to which bands can be had. */
  readonly bandsFrom?: Lsn;
}

/** A commit that is ready to be created: all that it names is stored. */
export interface FinishedCommit {
  readonly lsn: Lsn;
  readonly hash: Hash;
  readonly header: CommitHeader;
  /** The commit object. */
  readonly object: Uint8Array;
  /** Bytes put so far plus the object's. */
  readonly storedBytes: number;
}

interface OpenSegment {
  readonly writer: SegmentWriter;
  readonly stored: Promise<unknown>;
}

interface Batch {
  readonly pages: Uint32Array;
  readonly batch: EncodedBatch;
}

export class CommitWriter {
  readonly #context: ReplicaContext;
  readonly #parent: RemoteState;
  readonly #lsn: Lsn;
  readonly #signal: AbortSignal | undefined;
  readonly #pageSize: number;
  readonly #framePages: number;
  readonly #batchPages: number;
  readonly #segmentPages: number;
  readonly #sum: StateChecksumSum;
  readonly #changed = new PageSetBuilder();
  /** The batch that is being filled. */
  #pages: Uint32Array<ArrayBuffer>;
  #bytes: Uint8Array<ArrayBuffer>;
  #filled = 0;
  /** Memory of batches that are encoded, for the next ones. */
  readonly #spare: Uint8Array<ArrayBuffer>[] = [];
  readonly #encoding: { readonly pages: Uint32Array; readonly result: Promise<EncodedBatch> }[] = [];
  /** Encoded batches while the commit may still turn out to be small. */
  #small: Batch[] | undefined = [];
  #smallPages = 0;
  #segment: OpenSegment | undefined;
  readonly #segments: SegmentRef[] = [];
  /** Of the segments that were begun. */
  readonly #keys: string[] = [];
  readonly #uploads: Promise<unknown>[] = [];
  #storedBytes = 0;
  #pagesAdded = 0;

  constructor(context: ReplicaContext, parent: RemoteState, signal?: AbortSignal) {
    this.#context = context;
    this.#parent = parent;
    this.#lsn = (parent.lsn + 1) as Lsn;
    this.#signal = signal;
    this.#pageSize = context.replica.manifest.pageSize;
    this.#framePages = Math.max(1, Math.floor(context.frameBytes / this.#pageSize));
    const frames = Math.max(1, Math.floor(BATCH_BYTES / (this.#framePages * this.#pageSize)));
    this.#batchPages = frames * this.#framePages;
    this.#segmentPages =
      Math.floor(LIMITS.segmentRawBytes / (this.#batchPages * this.#pageSize)) * this.#batchPages;
    this.#sum = StateChecksumSum.from(parent.stateChecksum);
    this.#pages = new Uint32Array(this.#batchPages);
    this.#bytes = new Uint8Array(this.#batchPages * this.#pageSize);
  }

  get pagesAdded(): number {
    return this.#pagesAdded;
  }

  /** Adds a page that is not all zeros, in ascending order; `bytes` is copied. Await the result when it is a promise. */
  add(page: PageIdx, bytes: Uint8Array): Promise<void> | undefined {
    assert(bytes.length === this.#pageSize, `a page of ${bytes.length} bytes`);
    this.#pages[this.#filled] = page;
    this.#bytes.set(bytes, this.#filled * this.#pageSize);
    this.#filled++;
    this.#pagesAdded++;
    this.#changed.add(page);
    return this.#filled === this.#batchPages ? this.#encode() : undefined;
  }

  /** Stores what is left and builds the commit object; the caller creates it. */
  async finish(facts: CommitFacts): Promise<FinishedCommit> {
    await this.#encode();
    while (this.#encoding.length > 0) await this.#writeNext();
    await this.#closeSegment();
    await Promise.all(this.#uploads);
    throwIfAborted(this.#signal, "writing a commit");
    const { codecs } = this.#context;
    const inline =
      this.#small === undefined || this.#small.length === 0
        ? undefined
        : buildInlineSegment(
            codecs.hash,
            { pageSize: this.#pageSize, framePages: this.#framePages },
            this.#small,
          );
    return this.#build(
      facts,
      inline === undefined ? this.#segments : [inline.ref],
      inline?.bytes ?? new Uint8Array(0),
    );
  }

  /**
   * Gives up before the commit was sent: uploads end, and what was stored is deleted again, best effort. No commit can name it any more: a
   * segment's id is random and was told to nobody.
   */
  async discard(error: unknown): Promise<void> {
    this.#segment?.writer.abandon(error);
    this.#segment = undefined;
    await Promise.allSettled([...this.#uploads, ...this.#encoding.map(({ result }) => result)]);
    if (this.#keys.length === 0) return;
    try {
      await this.#context.remote.delete(this.#keys);
    } catch {
      // What stays is garbage that a collection finds; the failure that led here is the one to tell.
      this.#context.recorder.count("commit.discard_failed");
    }
  }

  async #build(
    facts: CommitFacts,
    segments: readonly SegmentRef[],
    frames: Uint8Array,
  ): Promise<FinishedCommit> {
    const { replica, remote, codecs, runtime } = this.#context;
    const parent = { lsn: this.#parent.lsn, hash: hashOf(this.#parent) };
    const { volume } = replica.manifest;
    const skeleton: CommitHeader = {
      volume,
      lsn: this.#lsn,
      features: { compatible: 0, incompatible: facts.restores === undefined ? 0 : RESTORED },
      jumpHashes: [parent.hash],
      pageSize: this.#pageSize,
      pageCount: facts.pageCount,
      lowestPageCount: facts.lowestPageCount,
      byteLength: facts.byteLength,
      changed: this.#changed.build(),
      zeroed: facts.zeroed,
      restoredFrom: facts.restores?.from,
      restored: facts.restores?.writers ?? [],
      time: Math.max(facts.time, this.#parent.time) as TimeMs,
      pushId: newId(runtime) as string as PushId,
      stateChecksum: this.#checksum(facts),
      checkpoint: anchorOf(this.#context, this.#parent),
      segments,
      bands: [],
    };
    const bands = await buildBands(
      {
        store: remote,
        directory: replica.directory,
        codecs,
        parent,
        rideAlongBytes: this.#context.rideAlongBytes,
        // What this side still remembers of commits that were collected, nobody else could check.
        notBelow: facts.bandsFrom ?? replica.directory.logBegin,
        signal: this.#signal,
      },
      rollupOfCommit(skeleton, parent.hash),
    );
    if (bands.apart.length > 0) {
      const apart = concatBytes(bands.apart);
      await this.#put(rollupKey(volume, this.#lsn), apart);
      this.#storedBytes += apart.length;
    }
    const { features } = skeleton;
    const short = bands.refs.length < trailingPowers(this.#lsn) ? SHORT_BANDS : 0;
    const header: CommitHeader = {
      ...skeleton,
      features: { ...features, incompatible: features.incompatible | short },
      jumpHashes: bands.jumpHashes,
      bands: bands.refs,
    };
    const { bytes, hash } = encodeCommit({ header, bands: bands.inline, frames }, codecs.hash);
    return { lsn: this.#lsn, hash, header, object: bytes, storedBytes: this.#storedBytes + bytes.length };
  }

  #checksum(facts: CommitFacts): StateChecksum {
    if (facts.restores !== undefined) {
      assert(this.#pagesAdded === 0, "pages of its own in a restore");
      return facts.restores.stateChecksum;
    }
    const removed = facts.removed.value();
    const negated = (removed === 0n ? 0n : 2n ** 128n - removed) as StateChecksum;
    return this.#sum.addValue(negated).value();
  }

  async #encode(): Promise<void> {
    if (this.#filled === 0) return;
    while (this.#encoding.length >= BATCHES_IN_FLIGHT) await this.#writeNext();
    throwIfAborted(this.#signal, "writing a commit");
    const { encoder, replica } = this.#context;
    const whole = this.#filled === this.#batchPages;
    const pages = whole ? this.#pages : this.#pages.slice(0, this.#filled);
    const bytes = whole ? this.#bytes : this.#bytes.slice(0, this.#filled * this.#pageSize);
    const job = { pages: pages.slice(), bytes, pageSize: this.#pageSize, framePages: this.#framePages };
    const result = encoder.encode({ ...job, seed: replica.manifest.digestSeed });
    result.catch(() => {}); // awaited in #writeNext; a failure before that is not unhandled
    this.#encoding.push({ pages, result });
    this.#pages = new Uint32Array(this.#batchPages);
    this.#bytes = this.#spare.pop() ?? new Uint8Array(this.#batchPages * this.#pageSize);
    this.#filled = 0;
  }

  async #writeNext(): Promise<void> {
    const { pages, result } = this.#encoding.shift()!;
    const { spent, ...batch } = await result;
    if (spent?.length === this.#bytes.length) this.#spare.push(spent as Uint8Array<ArrayBuffer>);
    this.#sum.add(batch.digests);
    if (this.#small !== undefined) {
      this.#small.push({ pages, batch });
      this.#smallPages += pages.length;
      if (this.#smallPages * this.#pageSize <= INLINE_RAW_BYTES) return;
      const batches = this.#small;
      this.#small = undefined;
      for (const each of batches) await this.#toSegment(each);
      return;
    }
    await this.#toSegment({ pages, batch });
  }

  async #toSegment({ pages, batch }: Batch): Promise<void> {
    this.#segment ??= this.#openSegment();
    const { writer } = this.#segment;
    await writer.add(pages, batch).catch((error) => this.#uploadError(error));
    if (writer.pageCount >= this.#segmentPages) await this.#closeSegment();
  }

  #openSegment(): OpenSegment {
    const { replica, codecs, runtime, remote } = this.#context;
    const { volume } = replica.manifest;
    const id = newId(runtime) as string as SegmentId;
    const shape = { pageSize: this.#pageSize, framePages: this.#framePages };
    const writer = new SegmentWriter({ ...shape, hasher: codecs.hash, volume, lsn: this.#lsn, id });
    const key = segmentKey(volume, this.#lsn, id);
    this.#keys.push(key);
    const stored = remote.put(key, writer.body, this.#options());
    stored.catch((error) => writer.abandon(error));
    this.#uploads.push(stored);
    return { writer, stored };
  }

  async #closeSegment(): Promise<void> {
    const segment = this.#segment;
    if (segment === undefined) return;
    this.#segment = undefined;
    const { ref } = await segment.writer.finish().catch((error) => this.#uploadError(error));
    this.#segments.push(ref);
    this.#storedBytes += ref.length;
    // The next segment fills while this one ends; no more than two at a time.
    const before = this.#uploads[this.#uploads.length - 2];
    if (before !== undefined) await before;
  }

  /** Where a store gave up on a segment, its own reason is the one to tell. */
  async #uploadError(error: unknown): Promise<never> {
    for (const upload of this.#uploads) await upload;
    throw error;
  }

  async #put(key: string, bytes: Uint8Array): Promise<void> {
    await this.#context.remote.put(key, bytes, this.#options());
  }

  #options(): { readonly signal?: AbortSignal } {
    return this.#signal === undefined ? {} : { signal: this.#signal };
  }
}
