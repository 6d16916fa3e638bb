/**
 * A page store: the volumes of one object store as one process (or tab) sees them, with its local files, cache and connections.
 * Composes the layers; the verbs of a volume are in `volume.ts`.
 */
import {
  DEFAULT_PAGE_SIZE,
  isPageSize,
  LSN_ZERO,
  type Lsn,
  MAX_PAGE_SIZE,
  MIN_PAGE_SIZE,
  type VolumeId,
} from "../base/brand.ts";
import { isPagefoldError, PagefoldError } from "../base/errors.ts";
import { noopRecorder, type Recorder } from "../base/recorder.ts";
import { type Runtime, systemRuntime } from "../base/runtime.ts";
import { type Codecs, loadCodecs } from "../format/codecs.ts";
import type { FrameDecoder } from "../format/frame-decoder.ts";
import type { FrameEncoder } from "../format/frame-encoder.ts";
import { newId, parseVolumeId } from "../format/ids.ts";
import { checkTagName, manifestKey } from "../format/keys.ts";
import { DIGEST_ALGORITHM_BLAKE3, encodeManifest } from "../format/manifest-codec.ts";
import type { CollectOptions, CollectResult } from "../history/collect/collect.ts";
import type {
  DeleteVolumeOptions,
  DeleteVolumeResult,
  DeletionContext,
  UndeleteOptions,
  UndeleteResult,
} from "../history/delete/delete-volume.ts";
import type { ForkOptions } from "../history/fork/fork.ts";
import type { MergeOptions } from "../history/fork/merge.ts";
import type { PromoteResult, RebaseOptions, RebaseResult } from "../history/fork/promote.ts";
import type { BlockFileSystem } from "../local/block-file.ts";
import { MemoryBlockFileSystem } from "../local/memory-block-file.ts";
import type { PageCache } from "../local/page-cache.ts";
import { BundledStore } from "../remote/bundled-store.ts";
import type { ObjectStore } from "../remote/object-store.ts";
import { withMetrics } from "../remote/with-metrics.ts";
import { withRetry } from "../remote/with-retry.ts";
import type { ReplicaContext } from "../replicate/context.ts";
import { Fetcher } from "../replicate/fetcher.ts";
import type { FetchPlan } from "../volume/fetch-plan.ts";
import type { Replica } from "../volume/replica.ts";
import { ReplicaLog } from "../volume/replica-log.ts";
import { FollowedVolumes, maybeCutOff } from "./followed.ts";
import { loadVerbs, withVerbs } from "./load-verbs.ts";
import { defaultSettings, type StoreSettings } from "./settings.ts";
import type { TagEntry, TagValueEntry } from "./tag-verbs.ts";
import { resolveTag } from "./tags.ts";
import type { Options, Volume } from "./volume.ts";

/** Where local state lives; memory by default. */
export interface LocalOptions {
  readonly files?: BlockFileSystem;
  /** Called by `close`: a process lock, say. */
  readonly release?: () => Promise<void>;
  /** Asked where the files are full, before cached pages are given up: gives back room that nothing needs, and answers whether there was any. */
  readonly makeRoom?: () => boolean;
}

export interface PageStoreOptions {
  readonly remote: ObjectStore;
  readonly local?: LocalOptions;
  readonly codecs?: Codecs;
  /** Bulk work; on the calling thread by default, in workers with `pagefold/node`. */
  readonly encoder?: FrameEncoder;
  readonly decoder?: FrameDecoder;
  readonly runtime?: Runtime;
  readonly recorder?: Recorder;
  readonly settings?: Partial<StoreSettings>;
}

/** Nobody knows yet whether such a volume exists remotely. */
export interface VolumeOptions extends Options {
  /** Use only what this side knows: a volume that was never cloned here is `not_found`, no request is made. */
  readonly offline?: boolean;
}

export class PageStore {
  readonly settings: StoreSettings;
  readonly #options: PageStoreOptions;
  readonly #codecs: Codecs;
  readonly #runtime: Runtime;
  readonly #recorder: Recorder;
  readonly #remote: BundledStore;
  readonly #log: ReplicaLog;
  readonly #openCaches: PageCache[];
  readonly #followed: FollowedVolumes;
  #plans: Fetcher | undefined;
  #flushWaits = false;
  #closed = false;

  private constructor(
    options: PageStoreOptions,
    codecs: Codecs,
    remote: BundledStore,
    log: ReplicaLog,
    caches: PageCache[],
  ) {
    this.#openCaches = caches;
    this.settings = { ...defaultSettings, ...options.settings };
    this.#options = options;
    this.#codecs = codecs;
    this.#runtime = options.runtime ?? systemRuntime;
    this.#recorder = options.recorder ?? noopRecorder;
    this.#remote = remote;
    this.#log = log;
    const { encoder, decoder } = options;
    this.#followed = new FollowedVolumes({
      ...{ remote, log, codecs, encoder, decoder, openCaches: caches },
      ...{ runtime: this.#runtime, recorder: this.#recorder, settings: this.settings },
      files: options.local?.files,
      flushSoon: () => this.#flushSoon(),
      durable: () => this.durable(),
    });
  }

  /** Opens the local state; makes no request. */
  static async open(options: PageStoreOptions): Promise<PageStore> {
    const runtime = options.runtime ?? systemRuntime;
    const recorder = options.recorder ?? noopRecorder;
    const codecs = options.codecs ?? (await loadCodecs());
    const retried = withRetry(withMetrics(options.remote, recorder), { runtime, recorder });
    const remote = new BundledStore(retried, { runtime });
    const files = options.local?.files ?? new MemoryBlockFileSystem();
    try {
      const { compactAboveBytes } = { ...defaultSettings, ...options.settings };
      const caches: PageCache[] = [];
      // Where only `durable` says what did not fit, that gives way.
      const makeRoom = (bytes: number) =>
        !log.deferred && (options.local?.makeRoom?.() === true || giveWay(caches, bytes));
      const log: ReplicaLog = await ReplicaLog.open(files, {
        codecs,
        runtime,
        recorder,
        compactAboveBytes,
        makeRoom,
      });
      return new PageStore({ ...options, local: { ...options.local, files } }, codecs, remote, log, caches);
    } catch (error) {
      await options.local?.release?.();
      throw error;
    }
  }

  /** @throws when the remote cannot be written safely (read-only, or without real conditional creation) */
  async probeWritable(): Promise<void> {
    await withVerbs(({ assertWritable }) => assertWritable(this.#remote, this.#runtime));
  }

  /** Creates an empty volume, and a tag for it if one is given. */
  async createVolume(
    options: Options & { readonly tag?: string; readonly pageSize?: number } = {},
  ): Promise<Volume> {
    this.#check();
    const pageSize = options.pageSize ?? DEFAULT_PAGE_SIZE;
    if (!isPageSize(pageSize)) {
      throw new PagefoldError(
        "invalid",
        `${pageSize} is no page size; use a power of two from ${MIN_PAGE_SIZE} to ${MAX_PAGE_SIZE}`,
      );
    }
    if (options.tag !== undefined) checkTagName(options.tag);
    await this.probeWritable();
    const volume = newId(this.#runtime) as VolumeId;
    const manifest = encodeManifest({
      volume,
      features: { compatible: 0, incompatible: 0 },
      createdAt: this.#runtime.now(),
      pageSize,
      digestSeed: this.#runtime.randomBytes(new Uint8Array(16)),
      digestAlgorithm: DIGEST_ALGORITHM_BLAKE3,
      ancestors: [],
      encryption: new Uint8Array(0),
    });
    await this.#remote.put(manifestKey(volume), manifest, { ifAbsent: true, ...signalOf(options) });
    const replica = this.#log.addVolume(manifest);
    if (options.tag !== undefined) await this.tag(options.tag, volume, { ...signalOf(options) });
    return this.#followed.open(replica);
  }

  /**
   * The volume that a tag or an id names. One that this side follows already is opened without a request, where it stands; another is cloned:
   * its log is learned, none of its pages.
   * @throws `not_found` naming the tags that exist
   */
  async volume(name: string, options: VolumeOptions = {}): Promise<Volume> {
    this.#check();
    const known = this.#log.find(name);
    if (known !== undefined && !maybeCutOff(known)) return this.#followed.open(known);
    if (options.offline) {
      throw new PagefoldError(
        "not_found",
        `"${name}" was never cloned into this local store; clone it while the object store can be reached`,
        {
          details: { tag: name },
        },
      );
    }
    const signal = signalOf(options);
    if (known === undefined) await this.#remote.prime(name, LSN_ZERO, signal);
    return this.#followed.open(await this.#remote.orSingly(() => this.#cloneNamed(name, signal)));
  }

  async #cloneNamed(name: string, signal: Options): Promise<Replica> {
    const asId = parseVolumeId(name);
    const id = asId ?? (await resolveTag(this.#remote, this.#codecs, checkTagName(name), signal));
    if (id === undefined) throw await this.#unknownTag(name, signal);
    const replica = await this.#followed.clone(id, signal);
    if (asId === undefined) this.#log.addTag(replica, name);
    return replica;
  }

  /** The volume that a tag or an id names, if it is open already; undefined where it must be opened first (`volume`). */
  opened(name: string): Volume | undefined {
    this.#check();
    const replica = this.#log.find(name);
    return replica && this.#followed.opened(replica);
  }

  /** Carries out what a snapshot or a transaction must fetch (`fault`), for callers that read synchronously. */
  async run<T>(plan: FetchPlan<T>, options: Options = {}): Promise<T> {
    this.#check();
    this.#plans ??= new Fetcher(this.#remote, this.#recorder, this.settings.fetcher);
    try {
      return await this.#plans.run(plan, options.signal);
    } catch (error) {
      // The plan is spent; the next one must not meet the same bytes.
      if (isPagefoldError(error, "corrupt")) this.#remote.forget();
      throw error;
    }
  }

  /** All tags of the remote. */
  async tags(options: Options = {}): Promise<TagEntry[]> {
    this.#check();
    return withVerbs(({ listTags }) => listTags(this.#remote, this.#codecs, signalOf(options)));
  }

  /** The volume that a tag names in the remote now; undefined when none. */
  async resolve(tag: string, options: Options = {}): Promise<VolumeId | undefined> {
    this.#check();
    return resolveTag(this.#remote, this.#codecs, checkTagName(tag), signalOf(options));
  }

  /**
   * Gives a volume a tag.
   * @param options.move a tag that names another volume already names this one from now on: whatever it names (true), or if it names that volume
   * @throws `conflict` when the tag names another volume, or somebody else has changed it meanwhile
   */
  async tag(
    tag: string,
    volume: VolumeId,
    options: Options & { readonly move?: true | VolumeId } = {},
  ): Promise<void> {
    this.#check();
    await this.probeWritable();
    const expected = options.move === true ? "anything" : options.move;
    await withVerbs(({ setTag }) =>
      setTag(this.#remote, this.#codecs, this.#runtime, tag, volume, expected, signalOf(options)),
    );
    const replica = this.#log.find(volume);
    if (replica !== undefined) this.#log.addTag(replica, tag);
  }

  /** What a tag of the remote has named, newest first, with the times; empty where there never was one. */
  async tagHistory(tag: string, options: Options = {}): Promise<TagValueEntry[]> {
    this.#check();
    return withVerbs(({ tagHistory }) => tagHistory(this.#remote, this.#codecs, tag, signalOf(options)));
  }

  /**
   * Makes a tag name nothing. What was opened by that name on this side stays open, and known by it.
   * @param options.expected what it must name; @throws `conflict` when it names something else, `not_found`
   */
  async untag(tag: string, options: Options & { readonly expected?: VolumeId } = {}): Promise<void> {
    this.#check();
    await this.probeWritable();
    const signal = signalOf(options);
    const removed = await withVerbs(({ removeTag }) =>
      removeTag(this.#remote, this.#codecs, this.#runtime, tag, options.expected, signal),
    );
    if (!removed) throw await this.#unknownTag(tag, signal);
  }

  /**
   * Deletes a volume of the remote, its tags, and what this side has of it, local commits included. Its objects stay for as long as the grace period of a
   * collection, so that `undelete` can put it back; forks read on what they share. Where it was cut off, running it again finishes it.
   * @param options.purge deletes the objects at once: @throws `conflict` while forks need them
   * @throws `invalid` unless `options.confirm` is its id
   */
  async deleteVolume(volume: VolumeId, options: DeleteVolumeOptions): Promise<DeleteVolumeResult> {
    this.#check();
    await this.probeWritable();
    const context = await this.#deletion(options);
    const result = await withVerbs(({ deleteVolume }) => deleteVolume(context, volume, options));
    const replica = this.#log.find(volume);
    if (replica !== undefined) this.#followed.forget(replica);
    return result;
  }

  /**
   * Collects a volume that was deleted (a live one collects itself: `volume.collect`): nothing for as long as the grace period, in which it can be undeleted;
   * then everything goes that no fork shares.
   * @throws `not_found` where there is no such volume, `invalid` for one that is not deleted
   */
  async collectDeleted(volume: VolumeId, options: CollectOptions = {}): Promise<CollectResult> {
    this.#check();
    const { collectDeleted } = await loadVerbs();
    const parts = { store: this.#remote, codecs: this.#codecs, runtime: this.#runtime };
    return collectDeleted(parts, volume, options, async (remote, more) => {
      // Followed for as long as that takes only: it is nobody's volume any more.
      const store = await PageStore.open({ ...this.#options, remote, local: {} });
      try {
        return await (await store.volume(volume, signalOf(options))).collect({ ...more, onlyPins: true });
      } finally {
        await store.close();
      }
    });
  }

  /**
   * Puts a deleted volume back, with the tags that nothing else has taken.
   * @throws `not_found` where a collection or a purge has taken it
   */
  async undelete(volume: VolumeId, options: UndeleteOptions = {}): Promise<UndeleteResult> {
    this.#check();
    await this.probeWritable();
    const context = await this.#deletion(options);
    return withVerbs(({ undeleteVolume }) => undeleteVolume(context, volume, options));
  }

  async #deletion(options: Options): Promise<DeletionContext> {
    const { volumeTags } = await loadVerbs();
    const tags = volumeTags(this.#remote, this.#codecs, this.#runtime, signalOf(options));
    return { store: this.#remote, codecs: this.#codecs, runtime: this.#runtime, tags };
  }

  /**
   * Makes a new volume that shares the state of another at one LSN, where this side stands by default: nothing is copied, and LSNs go on from
   * there. Where it was cut off, running it again finishes it.
   * @throws `conflict` when the tag names a volume already, `not_found` for an LSN that this side has not seen
   */
  async fork(name: string, options: ForkOptions = {}): Promise<Volume> {
    this.#check();
    if (options.tag !== undefined) checkTagName(options.tag);
    const signal = signalOf(options);
    const parent = await this.volume(name, signal);
    const context = this.#contextOf(parent);
    const fork = await withVerbs(({ forkVolume, setTag }) =>
      forkVolume(context, options, {
        resolve: (tag) => resolveTag(this.#remote, this.#codecs, tag, signal),
        give: (tag, id) => setTag(this.#remote, this.#codecs, this.#runtime, tag, id, undefined, signal),
      }),
    );
    if (options.tag !== undefined) this.#log.addTag(fork, options.tag);
    const made = await this.#followed.open(await this.#followed.clone(fork.manifest.volume, signal));
    this.#contextOf(made).onStatus();
    return made;
  }

  /**
   * Makes what a fork changed since its fork point one commit of the volume that it was forked from. Running it again finishes it, or says that it is done.
   * @throws `conflict` naming the pages that both changed, `invalid` for a volume that is no fork, `diverged` when another writer was faster
   */
  async promote(name: string, options: MergeOptions = {}): Promise<PromoteResult> {
    const { fork, parent } = await this.#withParent(name, signalOf(options));
    return withVerbs(({ promote }) => promote(fork, parent, options));
  }

  /**
   * Puts a fork on a later state of its parent: a new fork with its changes as one commit, which takes over its tags. The old one is left to be deleted.
   * Running it again finishes it.
   * @throws as `promote`
   */
  async rebase(name: string, options: RebaseOptions = {}): Promise<RebaseResult> {
    const signal = signalOf(options);
    const { fork, parent } = await this.#withParent(name, signal);
    const { rebase, volumeTags } = await loadVerbs();
    const tags = volumeTags(this.#remote, this.#codecs, this.#runtime, signal);
    const move = (tag: string, from: VolumeId, to: VolumeId) => this.tag(tag, to, { move: from, ...signal });
    const forkAt = async (of: string, lsn: Lsn, tag: string): Promise<ReplicaContext> => {
      const begun = await this.resolve(tag, signal);
      return this.#contextOf(
        await (begun === undefined ? this.fork(of, { lsn, tag, ...signal }) : this.volume(begun, signal)),
      );
    };
    return rebase(fork, parent, { forkAt, tags: { ...tags, move } }, options);
  }

  async #withParent(
    name: string,
    signal: Options,
  ): Promise<{ readonly fork: ReplicaContext; readonly parent: ReplicaContext }> {
    this.#check();
    const fork = this.#contextOf(await this.volume(name, signal));
    const { volume } = (await loadVerbs()).parentOf(fork);
    return { fork, parent: this.#contextOf(await this.volume(volume, signal)) };
  }

  #contextOf({ id }: Volume): ReplicaContext {
    return this.#followed.contextOf(this.#log.find(id)!);
  }

  /**
   * Resolves when every local commit so far that was made with durability "full" is on stable storage: at once where a flush says so, as in a directory
   * or in OPFS; over IndexedDB, which is asynchronous, a little later.
   * @throws `quota` when there is no room for them, with all cached pages given up; they stay readable until the store is closed, and can be pushed
   */
  async durable(): Promise<void> {
    this.#check();
    if (!this.#log.deferred) return;
    for (;;) {
      try {
        return await this.#log.durable();
      } catch (error) {
        if (!isPagefoldError(error, "quota") || !giveWay(this.#openCaches, GIVE_WAY_BYTES)) throw error;
      }
    }
  }

  /** Ids of the volumes that this side follows. */
  local(): VolumeId[] {
    return [...this.#log.all()].map(({ manifest }) => manifest.volume);
  }

  /**
   * Hands the disk the cached pages that wait for company, for a process that may end without closing, as tabs do. They could be fetched again, but not
   * without a network.
   */
  writeWaiting(): void {
    this.#check();
    for (const cache of this.#openCaches) cache.writeWaiting();
  }

  /** Flushes and closes everything; idempotent. Unpushed commits stay in the local files. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    try {
      await this.#followed.close();
      await this.#log.close();
      await this.#remote.close();
    } finally {
      // Whatever failed: nobody else may be kept out for longer than this process lives.
      await this.#options.local?.release?.();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Relaxed commits become durable together, a little later. */
  #flushSoon(): void {
    if (this.#flushWaits) return;
    this.#flushWaits = true;
    void this.#flushLater();
  }

  async #flushLater(): Promise<void> {
    await this.#runtime.sleep(this.settings.relaxedFlushMs);
    this.#flushWaits = false;
    if (this.#closed) return;
    try {
      this.#log.flush();
    } catch {
      // The log is poisoned now: the next commit, which must not be lost silently, is refused with the reason.
      this.#recorder.count("local.flush_failed");
    }
  }

  async #unknownTag(name: string, options: Options): Promise<PagefoldError> {
    let known: string;
    try {
      const tags = await withVerbs(({ listTags }) => listTags(this.#remote, this.#codecs, options));
      known = tags.length === 0 ? "it has none yet" : `it has: ${tags.map(({ tag }) => tag).join(", ")}`;
    } catch (error) {
      if (!isPagefoldError(error)) throw error;
      known = "its tags cannot be listed";
    }
    return new PagefoldError(
      "not_found",
      `there is no tag "${name}" in ${this.#remote.url} (${known}); import something under that name, or use one that exists`,
      {
        details: { tag: name },
      },
    );
  }

  #check(): void {
    if (this.#closed) throw new PagefoldError("closed", "this store was closed; open it again");
  }
}

/** Room that is asked for where it is not known how much would do. */
const GIVE_WAY_BYTES = 4 * 2 ** 20;

/** Gives up cached pages on disk, about so many bytes; false where there are none left. */
function giveWay(caches: readonly PageCache[], bytes: number): boolean {
  let freed = 0;
  for (const cache of caches) if (freed < bytes) freed += cache.giveWay(bytes - freed);
  return freed > 0;
}

function signalOf(options: Options): Options {
  return options.signal === undefined ? {} : { signal: options.signal };
}
