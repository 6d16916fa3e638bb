/**
 * The volumes that a page store follows: each is cloned once and opened once, whoever asks at the same time, and has what its verbs work with. Caches are
 * shared by all volumes of one page size.
 */
import { LSN_ZERO, type Lsn, type VolumeId } from "../base/brand.ts";
import { Emitter } from "../base/emitter.ts";
import { PagefoldError } from "../base/errors.ts";
import type { Recorder } from "../base/recorder.ts";
import type { Runtime } from "../base/runtime.ts";
import { Semaphore } from "../base/semaphore.ts";
import { equalBytes } from "../format/bytes.ts";
import type { Codecs } from "../format/codecs.ts";
import { type FrameDecoder, inlineFrameDecoder } from "../format/frame-decoder.ts";
import { type FrameEncoder, inlineFrameEncoder } from "../format/frame-encoder.ts";
import { manifestKey } from "../format/keys.ts";
import { decodeManifest } from "../format/manifest-codec.ts";
import { forkPoint } from "../format/model.ts";
import type { BlockFileSystem } from "../local/block-file.ts";
import { PageCache } from "../local/page-cache.ts";
import type { BundledStore } from "../remote/bundled-store.ts";
import { newestListed } from "../remote/series.ts";
import type { ReplicaContext } from "../replicate/context.ts";
import { pull, statusOf } from "../replicate/fetch.ts";
import { Fetcher } from "../replicate/fetcher.ts";
import { floorSeries, newestFloorLsn } from "../replicate/floor.ts";
import { findHead } from "../replicate/head.ts";
import { noReadAhead, ReadAhead } from "../replicate/read-ahead.ts";
import { CachingSupply } from "../replicate/supply.ts";
import { residentPages } from "../volume/cached-pages.ts";
import type { Replica } from "../volume/replica.ts";
import type { ReplicaLog } from "../volume/replica-log.ts";
import { withVerbs } from "./load-verbs.ts";
import type { StoreSettings } from "./settings.ts";
import { type Options, Volume, type VolumeEvents } from "./volume.ts";

export interface FollowedParts {
  readonly remote: BundledStore;
  readonly log: ReplicaLog;
  readonly codecs: Codecs;
  readonly encoder: FrameEncoder | undefined;
  readonly decoder: FrameDecoder | undefined;
  readonly runtime: Runtime;
  readonly recorder: Recorder;
  readonly settings: StoreSettings;
  readonly files: BlockFileSystem | undefined;
  /** Caches that are open, added to as they are opened. */
  readonly openCaches: PageCache[];
  /** Makes relaxed commits durable, a little later. */
  readonly flushSoon: () => void;
  /** Resolves when what was flushed is on stable storage. */
  readonly durable: () => Promise<void>;
}

export class FollowedVolumes {
  readonly #parts: FollowedParts;
  readonly #caches = new Map<number, Promise<PageCache>>();
  readonly #volumes = new Map<VolumeId, Promise<Volume>>();
  /** Those of `#volumes` that are there already. */
  readonly #opened = new Map<VolumeId, Volume>();
  readonly #contexts = new Map<Replica, ReplicaContext>();
  readonly #clones = new Map<VolumeId, Semaphore>();

  constructor(parts: FollowedParts) {
    this.#parts = parts;
  }

  /** The volume of a replica, where it is open already. */
  opened({ manifest }: Replica): Volume | undefined {
    return this.#opened.get(manifest.volume);
  }

  /** What the verbs of a volume that is open work with. */
  contextOf(replica: Replica): ReplicaContext {
    return this.#contexts.get(replica)!;
  }

  /** Callers that want the same volume at once wait for one another; whoever comes after a success finds it there. */
  async clone(id: VolumeId, options: Options): Promise<Replica> {
    let turn = this.#clones.get(id);
    if (turn === undefined) {
      turn = new Semaphore(1, `cloning volume ${id}`);
      this.#clones.set(id, turn);
    }
    return turn.run(async () => {
      const replica = this.#parts.log.find(id);
      return replica === undefined || maybeCutOff(replica) ? this.#cloneNow(id, options) : replica;
    }, options.signal);
  }

  async #cloneNow(id: VolumeId, options: Options): Promise<Replica> {
    const list = this.#parts.remote.capabilities.list;
    const floorLsn = () =>
      newestFloorLsn({ remote: this.#parts.remote, codecs: this.#parts.codecs }, id, options);
    const [bytes, found, floor] = await Promise.all([
      this.#parts.remote.get(manifestKey(id), options),
      findHead(this.#parts.remote, id, { known: LSN_ZERO, forkPoint: LSN_ZERO, floorLsn }, options),
      list ? newestListed(this.#parts.remote, floorSeries(id), options) : 0,
    ]);
    if (bytes === undefined) {
      throw new PagefoldError(
        "not_found",
        `there is no volume ${id} in ${this.#parts.remote.url}; see \`pagefold tags\` for what there is`,
        {
          details: { volume: id },
        },
      );
    }
    const point = followable(bytes, id, this.#parts.codecs);
    // Of a fork whose commits cannot be listed, the search must begin at the fork point.
    const search = { known: point, forkPoint: point, floorLsn };
    const head = found > point || list ? found : await findHead(this.#parts.remote, id, search, options);
    let replica = this.#parts.log.find(id);
    // The log proves the manifest: one that came damaged when a clone was begun never got further.
    if (replica !== undefined && !equalBytes(replica.manifestBytes, bytes)) {
      this.forget(replica);
      replica = undefined;
    }
    replica ??= this.#parts.log.addVolume(bytes);
    await this.open(replica);
    await pull(this.#contexts.get(replica)!, { ...options, floor, head: Math.max(head, point) as Lsn });
    return replica;
  }

  /** The volume of a replica, once for all that ask. */
  open(replica: Replica): Promise<Volume> {
    const { volume } = replica.manifest;
    const open = this.#volumes.get(volume);
    if (open !== undefined) return open;
    const opening = this.#compose(replica);
    this.#volumes.set(volume, opening);
    // A failure is the caller's; the next call tries again.
    opening.then(
      (opened) => this.#opened.set(volume, opened),
      () => this.#volumes.delete(volume),
    );
    return opening;
  }

  async #compose(replica: Replica): Promise<Volume> {
    const { settings, runtime, recorder, codecs, remote, log, encoder, decoder } = this.#parts;
    const cache = await this.#cache(replica.manifest.pageSize);
    const fetcher = new Fetcher(remote, recorder, settings.fetcher);
    const frames = { directory: replica.directory, codecs, storeUrl: remote.url };
    const events = new Emitter<VolumeEvents>(() => recorder.count("events.listener_failed"));
    const context: ReplicaContext = {
      replica,
      log,
      cache,
      remote,
      fetcher,
      frames,
      codecs,
      encoder: encoder ?? inlineFrameEncoder(codecs),
      decoder: decoder ?? inlineFrameDecoder(codecs),
      runtime,
      recorder,
      frameBytes: settings.frameBytes,
      moves: new Semaphore(1, "the volume's push, pull or reset"),
      writers: new Semaphore(1, "the volume's writer"),
      learned: undefined,
      confirmed: false,
      onCommit: (event) => events.emit("commit", event),
      onPushed: (commit) =>
        void withVerbs(async ({ checkpointAfterPush }) =>
          checkpointAfterPush(context, settings.checkpointEvery, commit),
        ),
      onStatus: () => {
        if (!events.hears("status")) return;
        events.emit("status", { ...statusOf(context), residentPages: residentPages(cache, replica) });
      },
    };
    this.#contexts.set(replica, context);
    const supply = new CachingSupply({
      replica,
      context: frames,
      cache,
      fetcher,
      prefetch: settings.readAhead === undefined ? noReadAhead : new ReadAhead(settings.readAhead),
      runtime,
      recorder,
      onFault: (event) => events.emit("fault", event),
    });
    return new Volume({
      ...{ context, supply, settings, events },
      flushSoon: this.#parts.flushSoon,
      durable: this.#parts.durable,
    });
  }

  #cache(pageSize: number): Promise<PageCache> {
    let cache = this.#caches.get(pageSize);
    if (cache === undefined) {
      const { settings, files, codecs, recorder } = this.#parts;
      const { memoryBytes, diskBytes } = settings;
      cache = PageCache.open({
        pageSize,
        memoryBytes,
        diskBytes,
        ...(files === undefined ? {} : { files }),
        xxh64: codecs.hash,
        recorder,
      });
      this.#caches.set(pageSize, cache);
      cache.then(
        (open) => this.#parts.openCaches.push(open),
        () => this.#caches.delete(pageSize),
      );
    }
    return cache;
  }

  /** The volume is followed no more; who has it open finds it closed. */
  forget(replica: Replica): void {
    const { volume } = replica.manifest;
    this.#opened.get(volume)?.markClosed();
    this.#contexts.get(replica)?.background?.abort();
    this.#volumes.delete(volume);
    this.#opened.delete(volume);
    this.#contexts.delete(replica);
    this.#parts.log.forget(replica);
  }

  /** Ends what runs in the background, and closes the caches. */
  async close(): Promise<void> {
    for (const volume of this.#volumes.values()) (await volume).markClosed();
    const background = [...this.#contexts.values()].flatMap((context) => context.background ?? []);
    for (const { abort } of background) abort();
    const hints = [...this.#contexts.values()].map(({ hinting }) => hinting);
    await Promise.all([...background.map(({ done }) => done), ...hints]);
    for (const cache of this.#caches.values()) await (await cache).close();
  }
}

/**
 * A replica at LSN 0 that has no name yet: its clone was cut off, or is under way, before the log was learned. It must not pass for an empty
 * volume.
 */
export function maybeCutOff({ state, tags, manifest }: Replica): boolean {
  if (state.base.lsn < forkPoint(manifest)) return true;
  return state.base.lsn === 0 && state.commits.length === 0 && state.intent === undefined && tags.size === 0;
}

/** The fork point of a volume whose manifest proves what it can. @throws `corrupt` */
function followable(bytes: Uint8Array, id: VolumeId, { hash }: Codecs): Lsn {
  const manifest = decodeManifest(bytes, { volume: id, hasher: hash });
  if (manifest.ancestors.length > 0 && manifest.forkHash === undefined) {
    throw new PagefoldError(
      "corrupt",
      `volume ${id} is a fork whose manifest does not name the commit that it starts from; restore the manifest from a copy of the store`,
      { details: { volume: id } },
    );
  }
  return forkPoint(manifest);
}
