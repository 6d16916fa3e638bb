/**
 * Logs of up to a million commits, written straight into a store as pushers would have written them: the formats are the engine's own, the rollups of the
 * chain stay in memory as a writer's do, and two runs of 2^k commits become one of 2^(k+1). Shared by tests and benchmarks; `long-log.test.ts` compares its
 * objects with those of real pushes byte for byte.
 */
import { assert } from "../../src/base/assert.ts";
import type { Hash, Lsn, PageCount, PageIdx, PushId, TimeMs, VolumeId } from "../../src/base/brand.ts";
import { concatBytes } from "../../src/format/bytes.ts";
import { StateChecksumSum } from "../../src/format/checksum.ts";
import type { Codecs } from "../../src/format/codecs.ts";
import { encodeCommit } from "../../src/format/commit-codec.ts";
import { type EncodedFrame, encodeFrame } from "../../src/format/frame.ts";
import { DIGEST_BYTES, type PageDigester } from "../../src/format/hash.ts";
import { encodeHeadHint } from "../../src/format/head-codec.ts";
import { newId } from "../../src/format/ids.ts";
import { trailingPowers } from "../../src/format/jumps.ts";
import { commitKey, headKey, manifestKey, rollupKey } from "../../src/format/keys.ts";
import { DIGEST_ALGORITHM_BLAKE3, decodeManifest, encodeManifest } from "../../src/format/manifest-codec.ts";
import type { BandRef, CommitHeader, Manifest, Rollup, RollupWriter } from "../../src/format/model.ts";
import { PageSet } from "../../src/format/page-set.ts";
import { encodeRollup, mergeRollups } from "../../src/format/rollup-codec.ts";
import { buildInlineSegment } from "../../src/format/segment-writer.ts";
import type { ObjectStore } from "../../src/remote/object-store.ts";
import { seededRandom } from "../local/xxh64.ts";

/** What commits write into their pages. Never a page of zeros. */
export interface PageContents {
  /** The bytes of a page as the commit `lsn` writes them: not to be changed, and good until the next call. */
  bytes(page: number, lsn: number): Uint8Array;
  /** Where all pages of a commit are alike: commits with one answer write the same bytes, so that a frame of them is encoded once. */
  variant?(lsn: number): number;
}

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
const INLINE_RAW_BYTES = 1_048_576;
const RIDE_ALONG_BYTES = 1_048_576;
const HINT_EVERY = 16;

/** The same as RollupWriter, for a commit whose hash is known only when its bands are made. */
type OwnWriter = { -readonly [K in keyof RollupWriter]: RollupWriter[K] };

export class LongLog {
  readonly store: ObjectStore;
  readonly manifest: Manifest;
  readonly volume: VolumeId;
  readonly contents: PageContents;
  /** Of the newest commit. */
  lsn = 0 as Lsn;
  hash: Hash;
  /** Bytes of commit objects so far, and of rollups stored apart, with their numbers; bands that ride along are counted in both. */
  readonly stored = { commits: 0, commitBytes: 0, rollups: 0, rollupBytes: 0, bandBytes: 0, pages: 0 };
  readonly #options: LongLogOptions;
  readonly #codecs: Codecs;
  readonly #digester: PageDigester;
  readonly #random: () => number;
  readonly #framePages: number;
  readonly #sum = new StateChecksumSum();
  /** 16 bytes per page as it is now; zeros where nobody wrote it. */
  readonly #digests: Uint8Array;
  readonly #writers: Uint32Array;
  #time: TimeMs;
  /** Of the manifest: it stands for LSN 0. */
  readonly #origin: Hash;
  /** For every j, the hash of the newest commit whose LSN 2^j divides: what jump hashes are taken from. */
  readonly #aligned: Hash[] = [];
  /** Slot k: the merged run of 2^k commits that ends at the newest multiple of 2^k, while the other half of 2^(k+1) is to come. */
  readonly #runs: (Rollup | undefined)[] = [];
  readonly #frames = new Map<string, EncodedFrame>();

  private constructor(options: LongLogOptions, manifestBytes: Uint8Array) {
    this.#options = options;
    this.#codecs = options.codecs;
    this.store = options.store;
    this.manifest = decodeManifest(manifestBytes);
    this.volume = this.manifest.volume;
    this.#origin = options.codecs.hash.blake3(manifestBytes);
    this.hash = this.#origin;
    this.contents = options.contents ?? alikePages(this.manifest.pageSize);
    this.#digester = options.codecs.hash.pageDigests(this.manifest.digestSeed);
    this.#random = seededRandom(options.seed ?? 1);
    this.#framePages = Math.max(1, Math.floor((options.frameBytes ?? 65_536) / this.manifest.pageSize));
    this.#digests = new Uint8Array(DIGEST_BYTES * options.pageCount);
    this.#writers = new Uint32Array(options.pageCount);
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
    return this.#sum.value();
  }

  /** The commit that wrote a page last; 0 where none did. */
  writerOf(page: number): number {
    return this.#writers[page - 1]!;
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
    const { segment, own } = this.#change(lsn, pages, changed);
    const bands = this.#bands(lsn, own);
    this.#time = Math.max(time, this.#time) as TimeMs;
    const { pageCount } = this.#options;
    const header: CommitHeader = {
      volume,
      lsn,
      features: { compatible: 0, incompatible: 0 },
      jumpHashes: this.#jumpHashes(lsn),
      pageSize: this.manifest.pageSize,
      pageCount: pageCount as PageCount,
      lowestPageCount: (lsn === 1 ? 0 : pageCount) as PageCount,
      byteLength: pageCount * this.manifest.pageSize,
      changed,
      zeroed: PageSet.empty,
      restoredFrom: undefined,
      restored: [],
      time: this.#time,
      pushId,
      stateChecksum: this.#sum.value(),
      checkpoint: undefined,
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
    this.stored.bandBytes += bands.refs.reduce((sum, band) => sum + band.length, 0);
    this.stored.pages += pages.length;
    own.hash = hash;
    this.hash = hash;
    this.lsn = lsn;
    for (let j = trailingPowers(lsn); j >= 0; j--) this.#aligned[j] = hash;
    return lsn;
  }

  async #putRollup(lsn: Lsn, bytes: Uint8Array): Promise<void> {
    await this.store.put(rollupKey(this.volume, lsn), bytes);
    this.stored.rollups++;
    this.stored.rollupBytes += bytes.length;
  }

  /** Encodes the pages, and takes their old digests from the state checksum and the new ones to it. */
  #change(lsn: Lsn, pages: readonly number[], changed: PageSet) {
    const { pageSize } = this.manifest;
    assert(changed.size === pages.length && !changed.isEmpty, "different pages, one at least");
    assert(
      pages.length * pageSize <= INLINE_RAW_BYTES,
      `a commit of ${pages.length} pages carries its frames itself`,
    );
    const digests = new Uint8Array(DIGEST_BYTES * pages.length);
    const alike = this.contents.variant?.(lsn);
    const raw = alike === undefined ? new Uint8Array(pageSize * pages.length) : undefined;
    for (let i = 0; i < pages.length; i++) {
      const page = pages[i]! as PageIdx;
      const bytes = this.contents.bytes(page, lsn);
      raw?.set(bytes, i * pageSize);
      this.#digester.digestInto(page, bytes, digests, DIGEST_BYTES * i);
      const at = DIGEST_BYTES * (page - 1);
      this.#sum.subtract(this.#digests, at, 1);
      this.#digests.set(digests.subarray(DIGEST_BYTES * i, DIGEST_BYTES * (i + 1)), at);
      this.#writers[page - 1] = lsn;
    }
    this.#sum.add(digests);
    const frames: EncodedFrame[] = [];
    for (let at = 0; at < pages.length; at += this.#framePages) {
      const count = Math.min(this.#framePages, pages.length - at);
      if (raw === undefined) frames.push(this.#alikeFrame(pages[at]!, lsn, alike!, count));
      else frames.push(encodeFrame(this.#codecs, raw.subarray(at * pageSize, (at + count) * pageSize)));
    }
    const shape = { pageSize, framePages: this.#framePages };
    const segment = buildInlineSegment(this.#codecs.hash, shape, [{ pages, batch: { frames, digests } }]);
    const own: OwnWriter = { lsn, hash: this.hash, pages: changed };
    return { segment, own };
  }

  #alikeFrame(page: number, lsn: Lsn, variant: number, count: number): EncodedFrame {
    const key = `${variant}/${count}`;
    let frame = this.#frames.get(key);
    if (frame === undefined) {
      const { pageSize } = this.manifest;
      const raw = new Uint8Array(pageSize * count);
      for (let i = 0; i < count; i++) raw.set(this.contents.bytes(page, lsn), i * pageSize);
      frame = encodeFrame(this.#codecs, raw);
      this.#frames.set(key, frame);
    }
    return frame;
  }

  #jumpHashes(lsn: Lsn): Hash[] {
    const hashes = [this.hash];
    // Where 2^j divides lsn, the newest multiple of it before is lsn - 2^j.
    for (let j = 1; j <= trailingPowers(lsn); j++) hashes.push(this.#aligned[j] ?? this.#origin);
    return hashes;
  }

  #below(n: number): number {
    return Math.floor(this.#random() * n);
  }

  /** The bands of commit `lsn`, newest first; what they cover becomes one run. `own` stays part of it and is told its hash later. */
  #bands(lsn: Lsn, own: OwnWriter) {
    const powers = trailingPowers(lsn);
    const { pageCount, rideAlongBytes = RIDE_ALONG_BYTES } = this.#options;
    let newer: Rollup = {
      from: (lsn - 1) as Lsn,
      to: lsn,
      lowestPageCount: (lsn === 1 ? 0 : pageCount) as PageCount,
      writers: [own],
    };
    const refs: BandRef[] = [];
    const inline: Uint8Array[] = [];
    const apart: Uint8Array[] = [];
    let riding = 0;
    for (let j = 1; j <= powers; j++) {
      const older = this.#runs[j - 1]!;
      const merged = mergeRollups(older, newer);
      const band = encodeRollup({ ...older, writers: merged.writers.slice(newer.writers.length) });
      riding += band.length;
      const isApart = riding > rideAlongBytes;
      (isApart ? apart : inline).push(band);
      refs.push({ length: band.length, hash: this.#codecs.hash.blake3(band), apart: isApart });
      this.#runs[j - 1] = undefined;
      newer = merged;
    }
    this.#runs[powers] = newer;
    return { refs, inline, apart };
  }
}

/** Pages that all say the same within a commit: frames of some twenty bytes, encoded once per variant. For figures that do not depend on the bytes. */
export function alikePages(pageSize: number, variants = 61): PageContents {
  const pages = Array.from({ length: variants }, (_, i) => new Uint8Array(pageSize).fill(i + 1));
  return { bytes: (_, lsn) => pages[lsn % variants]!, variant: (lsn) => lsn % variants };
}

/** Pages that are all different and compress to about half, like those of a database. */
export function mixedPages(pageSize: number): PageContents {
  const pool = fillRandom(seededRandom(7), new Uint8Array(2 ** 20));
  const bytes = new Uint8Array(pageSize);
  const view = new DataView(bytes.buffer);
  return {
    bytes(page, lsn) {
      const start = (Math.imul(page, 2_654_435_761) ^ Math.imul(lsn, 2_246_822_519)) >>> 0;
      const from = start % (pool.length - pageSize);
      bytes.set(pool.subarray(from, from + pageSize / 2));
      bytes.fill(32 + (start % 64), pageSize / 2);
      view.setUint32(0, page, true);
      view.setUint32(4, lsn, true);
      return bytes;
    },
  };
}

function fillRandom(random: () => number, bytes: Uint8Array): Uint8Array {
  for (let i = 0; i < bytes.length; i++) bytes[i] = Math.floor(random() * 256);
  return bytes;
}
