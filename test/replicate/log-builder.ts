/**
 * Real logs of any length, fast: commits made by the CommitWriter itself and put straight into a store, without a local store, a push
 * intent or a cache around it.
 */
import type { Lsn, PageCount, StateChecksum, TimeMs, VolumeId } from "../../src/base/brand.ts";
import { StateChecksumSum } from "../../src/format/checksum.ts";
import { decodeCommit } from "../../src/format/commit-codec.ts";
import { inlineFrameEncoder } from "../../src/format/frame-encoder.ts";
import { DIGEST_BYTES } from "../../src/format/hash.ts";
import { newId } from "../../src/format/ids.ts";
import { commitKey, manifestKey } from "../../src/format/keys.ts";
import { decodeManifest, encodeManifest } from "../../src/format/manifest-codec.ts";
import { PageSet } from "../../src/format/page-set.ts";
import { rollupOfCommit } from "../../src/format/rollup-codec.ts";
import { BundledStore } from "../../src/remote/bundled-store.ts";
import { MemoryObjectStore } from "../../src/remote/memory-store.ts";
import type { ObjectStore } from "../../src/remote/object-store.ts";
import { CommitWriter } from "../../src/replicate/commit-writer.ts";
import type { ReplicaContext } from "../../src/replicate/context.ts";
import { CommitDirectory } from "../../src/volume/commit-directory.ts";
import { advance, emptyState, type RemoteState } from "../../src/volume/remote-state.ts";
import { SimRuntime } from "../sim/runtime.ts";
import { codecs } from "../store/support.ts";

export interface LogBuilderOptions {
  readonly store?: ObjectStore;
  readonly pageSize?: number;
  readonly seed?: number;
  /** Bands beyond it are stored apart. */
  readonly rideAlongBytes?: number;
  /** How far down the bands of a commit reach at most, as if older commits had been collected. */
  readonly bandsFrom?: (lsn: number) => number;
}

export class LogBuilder {
  readonly store: ObjectStore;
  readonly volume: VolumeId;
  readonly pageSize: number;
  readonly runtime: SimRuntime;
  /** Bytes of every page that is not zeros. */
  readonly pages = new Map<number, Uint8Array>();
  state: RemoteState;
  readonly #context: ReplicaContext;
  readonly #directory: CommitDirectory;
  readonly #bandsFrom: LogBuilderOptions["bandsFrom"];

  private constructor(
    store: ObjectStore,
    manifestBytes: Uint8Array,
    runtime: SimRuntime,
    options: LogBuilderOptions,
  ) {
    const manifest = decodeManifest(manifestBytes);
    this.store = store;
    this.#bandsFrom = options.bandsFrom;
    this.volume = manifest.volume;
    this.pageSize = manifest.pageSize;
    this.runtime = runtime;
    this.#directory = new CommitDirectory(manifest);
    this.state = emptyState(codecs.hash.blake3(manifestBytes), manifest.createdAt);
    // All that a CommitWriter takes from its context.
    const parts: Partial<ReplicaContext> & { replica: unknown } = {
      replica: {
        ...{ manifest, directory: this.#directory },
        state: { base: this.state, baseHeader: undefined },
      } as unknown as ReplicaContext["replica"],
      remote: new BundledStore(store, { runtime }),
      codecs,
      encoder: inlineFrameEncoder(codecs),
      runtime,
      frameBytes: 2 * manifest.pageSize,
      ...(options.rideAlongBytes === undefined ? {} : { rideAlongBytes: options.rideAlongBytes }),
    };
    this.#context = parts as ReplicaContext;
  }

  static async create(options: LogBuilderOptions = {}): Promise<LogBuilder> {
    const store = options.store ?? new MemoryObjectStore();
    const runtime = new SimRuntime(options.seed ?? 1);
    const volume = newId(runtime) as VolumeId;
    const manifest = encodeManifest({
      volume,
      features: { compatible: 0, incompatible: 0 },
      createdAt: runtime.now(),
      pageSize: options.pageSize ?? 512,
      digestSeed: runtime.randomBytes(new Uint8Array(16)),
      digestAlgorithm: 1,
      ancestors: [],
      encryption: new Uint8Array(0),
    });
    await store.put(manifestKey(volume), manifest, { ifAbsent: true });
    return new LogBuilder(store, manifest, runtime, options);
  }

  /** One commit that writes these pages; the volume grows as needed. */
  async commit(pages: Iterable<number>, fill: (page: number, bytes: Uint8Array) => void): Promise<Lsn> {
    const writer = new CommitWriter(this.#context, this.state);
    const set = PageSet.of(pages);
    const digester = codecs.hash.pageDigests(this.#directory.manifest.digestSeed);
    const removed = new StateChecksumSum();
    const digest = new Uint8Array(DIGEST_BYTES);
    for (const page of set) {
      const before = this.pages.get(page);
      if (before !== undefined) {
        digester.digestInto(page, before, digest, 0);
        removed.add(digest);
      }
      const bytes = new Uint8Array(this.pageSize);
      fill(page, bytes);
      this.pages.set(page, bytes);
      await writer.add(page, bytes);
    }
    const pageCount = Math.max(this.state.pageCount, set.last ?? 0) as PageCount;
    const { lsn, object, header, hash } = await writer.finish({
      pageCount,
      lowestPageCount: this.state.pageCount,
      byteLength: pageCount * this.pageSize,
      zeroed: PageSet.empty,
      time: this.runtime.now() as TimeMs,
      removed,
      bandsFrom: (this.#bandsFrom?.(this.state.lsn + 1) ?? 0) as Lsn,
    });
    await this.store.put(commitKey(this.volume, lsn), object, { ifAbsent: true });
    const commit = decodeCommit(object, codecs.hash);
    this.#directory.learnHash(lsn, hash);
    const step = {
      commit,
      stored: object.slice(0, commit.headerLength),
      from: (lsn - 1) as Lsn,
      rollups: [rollupOfCommit(header, hash)],
    };
    this.#directory.learnStep(step);
    this.state = advance(this.state, [step]);
    return lsn;
  }

  /** `count` commits of one or two pages each among `span` pages. */
  async grow(count: number, span = 200): Promise<void> {
    for (let i = 0; i < count; i++) {
      const lsn = this.state.lsn + 1;
      const first = 1 + ((lsn * 7919) % span);
      const pages = lsn % 3 === 0 ? [first, 1 + ((lsn * 104_729) % span)] : [first];
      await this.commit(pages, (page, bytes) => {
        new DataView(bytes.buffer).setUint32(0, lsn);
        new DataView(bytes.buffer).setUint32(4, page);
        bytes.fill(1 + (lsn % 250), 8, 40);
      });
    }
  }

  /** The volume's bytes as they must be now. */
  content(): Uint8Array {
    const content = new Uint8Array(this.state.byteLength);
    for (const [page, bytes] of this.pages) content.set(bytes, (page - 1) * this.pageSize);
    return content;
  }

  get stateChecksum(): StateChecksum {
    return this.state.stateChecksum;
  }
}
