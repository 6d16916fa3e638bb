/**
 * Logs of up to a million commits, written straight into a store as pushers would have written them: the formats are the engine's own, the rollups of the
 * chain stay in memory as a writer's do, and two runs of 2^k commits become one of 2^(k+1). Shared by tests and benchmarks; `long-log.test.ts` compares its
 * objects with those of real pushes byte for byte.
 */
import { assert } from "../../src/base/assert.ts";
import type { Hash, Lsn, PageCount, PushId, TimeMs, VolumeId } from "../../src/base/brand.ts";
import { concatBytes, fromHex, toHex } from "../../src/format/bytes.ts";
import { encodeCheckpoint } from "../../src/format/checkpoint-codec.ts";
import type { Codecs } from "../../src/format/codecs.ts";
import { commitHeaderLength, encodeCommit } from "../../src/format/commit-codec.ts";
import { HASH_BYTES } from "../../src/format/hash.ts";
import { encodeHeadHint } from "../../src/format/head-codec.ts";
import { newId } from "../../src/format/ids.ts";
import { checkpointKey, commitKey, headKey, manifestKey, rollupKey } from "../../src/format/keys.ts";
import { DIGEST_ALGORITHM_BLAKE3, decodeManifest, encodeManifest } from "../../src/format/manifest-codec.ts";
import type { CommitHeader, Manifest, PageWriter } from "../../src/format/model.ts";
import { PageSet } from "../../src/format/page-set.ts";
import type { ObjectStore } from "../../src/remote/object-store.ts";
import { seededRandom } from "../local/xxh64.ts";
import { ChainRollups, type OwnWriter } from "./chain-rollups.ts";
import { LogPages } from "./log-pages.ts";
import { alikePages, fillRandom, type PageContents } from "./page-contents.ts";

export { alikePages, mixedPages, type PageContents } from "./page-contents.ts";

export interface LongLogOptions {
  readonly store: ObjectStore;
  readonly codecs: Codecs;
  /** Pages of the volume, from its first commit on. Those that nobody wrote read as zeros. */
  readonly pageCount: number;
  /** Bytes; default 512. */
  readonly pageSize?: number;
  /** How many random pages `grow` changes per commit: always so many, or from … to; default 4. */
  readonly pagesPerCommit?: number | readonly [number, number];
  /** Default: `alikePages`. */
  readonly contents?: PageContents;
  readonly seed?: number;
  /** Between one commit and the next of `grow`; default 1000. */
  readonly stepMs?: number;
  /** As the store setting; default 64 KiB. */
  readonly frameBytes?: number;
  /** Bands beyond it are stored apart; default 1 MiB, as pushers do. */
  readonly rideAlongBytes?: number;
  /** Where checkpoints are written, which later headers name; default: nowhere. Pushers write one at every LSN that 1024 divides. */
  readonly checkpointAt?: (lsn: number) => boolean;
  /** Of a volume that is in the store already and has no commit; default: a new one. */
  readonly manifest?: Uint8Array;
}

/** One commit that is said in full. */
export interface CommitToWrite {
  /** Ascending, at most 1 MiB of them: the commit carries its frames itself. */
  readonly pages: readonly number[];
  readonly pushId: PushId;
  readonly time: TimeMs;
}

/** An arbitrary day. */
const START_MS = 1_767_225_600_000;
/** A pusher's constants, which are its own business: the test compares. */
const RIDE_ALONG_BYTES = 1_048_576;
const HINT_EVERY = 16;

export class LongLog {
  readonly store: ObjectStore;
  readonly manifest: Manifest;
  readonly volume: VolumeId;
  readonly contents: PageContents;
  /** Of the newest commit. */
  lsn = 0 as Lsn;
  hash: Hash;
  /** What was put so far. Of the commits' bytes, `areaBytes` are their pages with index and digests; bands that ride along are in `bandBytes`, too. */
  readonly stored = {
    ...{ commits: 0, commitBytes: 0, areaBytes: 0, pages: 0 },
    ...{ bandBytes: 0, rollups: 0, rollupBytes: 0, checkpoints: 0, checkpointBytes: 0 },
  };
  readonly #options: LongLogOptions;
  readonly #codecs: Codecs;
  readonly #random: () => number;
  readonly #pages: LogPages;
  #time: TimeMs;
  readonly #chain: ChainRollups;
  /** 32 bytes per commit, where checkpoints are to name them. */
  #hashes = new Uint8Array(0);
  #checkpoint: CommitHeader["checkpoint"];

  private constructor(options: LongLogOptions, manifestBytes: Uint8Array) {
    this.#options = options;
    this.#codecs = options.codecs;
    this.store = options.store;
    this.manifest = decodeManifest(manifestBytes);
    this.volume = this.manifest.volume;
    this.hash = options.codecs.hash.blake3(manifestBytes);
    const { rideAlongBytes = RIDE_ALONG_BYTES } = options;
    this.#chain = new ChainRollups(options.codecs.hash, this.hash, rideAlongBytes);
    this.contents = options.contents ?? alikePages(this.manifest.pageSize);
    this.#random = seededRandom(options.seed ?? 1);
    const { pageCount, frameBytes = 65_536 } = options;
    this.#pages = new LogPages(options.codecs, this.manifest, {
      pageCount,
      frameBytes,
      contents: this.contents,
    });
    this.#time = this.manifest.createdAt;
  }

  static async create(options: LongLogOptions): Promise<LongLog> {
    if (options.manifest !== undefined) return new LongLog(options, options.manifest);
    const random = seededRandom((options.seed ?? 1) + 1);
    const runtime = {
      now: () => START_MS as TimeMs,
      randomBytes: (bytes: Uint8Array) => fillRandom(random, bytes),
    };
    const volume = newId<VolumeId>(runtime);
    const manifest = encodeManifest({
      volume,
      features: { compatible: 0, incompatible: 0 },
      createdAt: START_MS as TimeMs,
      pageSize: options.pageSize ?? 512,
      digestSeed: fillRandom(random, new Uint8Array(16)),
      digestAlgorithm: DIGEST_ALGORITHM_BLAKE3,
      ancestors: [],
      encryption: new Uint8Array(0),
    });
    await options.store.put(manifestKey(volume), manifest, { ifAbsent: true });
    return new LongLog(options, manifest);
  }

  get stateChecksum(): bigint {
    return this.#pages.sum.value();
  }

  /** Of the newest commit. */
  get time(): TimeMs {
    return this.#time;
  }

  /** The commit that wrote a page last; 0 where none did. */
  writerOf(page: number): number {
    return this.#pages.writerOf(page);
  }

  /** The bytes of a page as they are now: good until the next call. */
  page(page: number): Uint8Array {
    const writer = this.writerOf(page);
    return writer === 0 ? new Uint8Array(this.manifest.pageSize) : this.contents.bytes(page, writer);
  }

  /** So many commits of random pages. */
  async grow(count: number): Promise<void> {
    const { pagesPerCommit = 4, pageCount, stepMs = 1000 } = this.#options;
    const [least, most] =
      typeof pagesPerCommit === "number" ? [pagesPerCommit, pagesPerCommit] : pagesPerCommit;
    assert(most <= pageCount, `${most} different pages of ${pageCount}`);
    for (let i = 0; i < count; i++) {
      const time = (this.#time + stepMs) as TimeMs;
      const pages = new Set<number>();
      for (const wanted = least + this.#below(most - least + 1); pages.size < wanted; )
        pages.add(1 + this.#below(pageCount));
      const ascending = [...pages].sort((a, b) => a - b);
      const randomBytes = (bytes: Uint8Array) => fillRandom(this.#random, bytes);
      await this.append({ pages: ascending, time, pushId: newId<PushId>({ now: () => time, randomBytes }) });
    }
  }

  async append({ pages, pushId, time }: CommitToWrite): Promise<Lsn> {
    const { store, volume } = this;
    const lsn = (this.lsn + 1) as Lsn;
    const changed = PageSet.of(pages);
    const segment = this.#pages.change(lsn, pages, changed);
    const own: OwnWriter = { lsn, hash: this.hash, pages: changed };
    const { pageCount } = this.#options;
    const lowestPageCount = (lsn === 1 ? 0 : pageCount) as PageCount;
    const bands = this.#chain.bands(own, lowestPageCount);
    this.#time = Math.max(time, this.#time) as TimeMs;
    const header: CommitHeader = {
      volume,
      lsn,
      features: { compatible: 0, incompatible: 0 },
      jumpHashes: this.#chain.jumpHashes(lsn),
      pageSize: this.manifest.pageSize,
      pageCount: pageCount as PageCount,
      lowestPageCount,
      byteLength: pageCount * this.manifest.pageSize,
      changed,
      zeroed: PageSet.empty,
      restoredFrom: undefined,
      restored: [],
      time: this.#time,
      pushId,
      stateChecksum: this.#pages.sum.value(),
      checkpoint: this.#checkpoint,
      segments: [segment.ref],
      bands: bands.refs,
    };
    if (bands.apart.length > 0) await this.#putRollup(lsn, concatBytes(bands.apart));
    const { bytes, hash } = encodeCommit(
      { header, bands: bands.inline, frames: segment.bytes },
      this.#codecs.hash,
    );
    await store.put(commitKey(volume, lsn), bytes, { ifAbsent: true });
    if (lsn % HINT_EVERY === 0 || lsn === 1) await store.put(headKey(volume), encodeHeadHint(lsn));
    this.stored.commits++;
    this.stored.commitBytes += bytes.length;
    this.stored.areaBytes += segment.bytes.length;
    this.stored.bandBytes += bands.refs.reduce((sum, band) => sum + band.length, 0);
    this.stored.pages += pages.length;
    own.hash = hash;
    this.hash = hash;
    this.lsn = lsn;
    this.#chain.created(lsn, hash);
    const { checkpointAt } = this.#options;
    if (checkpointAt !== undefined) {
      this.#keepHash(lsn, hash);
      if (checkpointAt(lsn)) await this.#putCheckpoint(bytes.slice(0, commitHeaderLength(bytes)));
    }
    return lsn;
  }

  #keepHash(lsn: Lsn, hash: Hash): void {
    if (this.#hashes.length < HASH_BYTES * lsn) {
      const grown = new Uint8Array(2 * HASH_BYTES * lsn);
      grown.set(this.#hashes);
      this.#hashes = grown;
    }
    this.#hashes.set(fromHex(hash), HASH_BYTES * (lsn - 1));
  }

  /** Nothing is copied: pages are read from their writers' commits. */
  async #putCheckpoint(header: Uint8Array): Promise<void> {
    const { lsn, volume } = this;
    const writers = [...this.#pages.byWriter()]
      .sort(([a], [b]) => b - a)
      .map(([writer, pages]): PageWriter => {
        const hash = toHex(this.#hashes, HASH_BYTES * (writer - 1), HASH_BYTES * writer) as Hash;
        return { lsn: writer as Lsn, hash, pages: pages.build() };
      });
    const features = { compatible: 0, incompatible: 0 };
    const { bytes, hash } = encodeCheckpoint(
      { volume, features, madeUnder: 0, header, writers, segments: [] },
      this.#codecs.hash,
    );
    await this.store.put(checkpointKey(volume, lsn, hash), bytes, { ifAbsent: true });
    this.#checkpoint = { lsn, hash };
    this.stored.checkpoints++;
    this.stored.checkpointBytes += bytes.length;
  }

  async #putRollup(lsn: Lsn, bytes: Uint8Array): Promise<void> {
    await this.store.put(rollupKey(this.volume, lsn), bytes);
    this.stored.rollups++;
    this.stored.rollupBytes += bytes.length;
  }

  #below(n: number): number {
    return Math.floor(this.#random() * n);
  }
}
