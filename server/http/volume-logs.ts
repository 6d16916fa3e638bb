/**
 * What the server knows of volumes' logs: manifests, newest commits, headers, states. Bounded; everything is read anew when it was
 * forgotten, and verified along the jump hashes as any reader does.
 */
import type { Hash, Lsn, VolumeId } from "../../src/base/brand.ts";
import { isPagefoldError, PagefoldError } from "../../src/base/errors.ts";
import { Lru } from "../../src/base/lru.ts";
import { noopRecorder } from "../../src/base/recorder.ts";
import { type Runtime, systemRuntime } from "../../src/base/runtime.ts";
import type { Codecs } from "../../src/format/codecs.ts";
import {
  COMMIT_PREFIX_BYTES,
  commitHeaderLength,
  type DecodedCommit,
  decodeCommit,
} from "../../src/format/commit-codec.ts";
import { commitKey, manifestKey } from "../../src/format/keys.ts";
import { decodeManifest } from "../../src/format/manifest-codec.ts";
import { type Floor, forkPoint, type Manifest } from "../../src/format/model.ts";
import type { ObjectStore } from "../../src/remote/object-store.ts";
import { buildState, type StateSource } from "../../src/replicate/build-state.ts";
import { fetchChain } from "../../src/replicate/chain-fetch.ts";
import type { FramePlanContext } from "../../src/replicate/commit-lookup.ts";
import { Fetcher } from "../../src/replicate/fetcher.ts";
import { loadCheckpoint, newestFloorOf } from "../../src/replicate/floor.ts";
import { findHead } from "../../src/replicate/head.ts";
import { CommitDirectory, type NamedCheckpoint } from "../../src/volume/commit-directory.ts";
import type { LoadedCheckpoint } from "../../src/volume/loaded-checkpoint.ts";
import { advance, type ChainStep, type RemoteState } from "../../src/volume/remote-state.ts";
import type { CachedStore } from "./cache/with-cache.ts";

export interface KnownVolume {
  readonly manifest: Manifest;
  /** Of all bytes of the manifest: it stands for LSN 0 where the volume is no fork. */
  readonly hash: Hash;
  readonly forkPoint: Lsn;
}

/** How many volumes' headers and indexes are kept; each directory is bounded itself. */
const DIRECTORIES = 64;
const DIRECTORY_LIMITS = {
  headerBytes: 1_048_576,
  startBytes: 0,
  indexBytes: 1_048_576,
  digestBytes: 0,
  checkpointBytes: 4 * 2 ** 20,
};
/** Memory for states (page tables), at four bytes per page. */
const STATE_BYTES = 128 * 2 ** 20;
/** How long a commit that this server has just created is taken for the newest one without asking, milliseconds, and of how many volumes. */
const FRESH_MS = 2000;
const FRESH_VOLUMES = 4096;
/** Enough for the header of an ordinary commit. */
const HEADER_GUESS = 16_384;

export class VolumeLogs {
  readonly fetcher: Fetcher;
  readonly #store: CachedStore;
  readonly #origin: ObjectStore;
  readonly #codecs: Codecs;
  readonly #directories = new Lru<VolumeId, CommitDirectory>(DIRECTORIES);
  readonly #states = new Lru<string, RemoteState>(STATE_BYTES / 2);
  /** The newest state of a volume that was asked for: the next one is a step away. */
  readonly #newest = new Lru<VolumeId, RemoteState>(STATE_BYTES / 2);

  readonly #created = new Lru<VolumeId, { readonly commit: DecodedCommit; readonly at: number }>(
    FRESH_VOLUMES,
  );
  readonly #runtime: Pick<Runtime, "monotonic">;

  constructor(
    store: CachedStore,
    origin: ObjectStore,
    codecs: Codecs,
    runtime: Pick<Runtime, "monotonic"> = systemRuntime,
  ) {
    this.#runtime = runtime;
    this.#store = store;
    this.#origin = origin;
    this.#codecs = codecs;
    this.fetcher = new Fetcher(store, noopRecorder);
  }

  /** The volume of an id; undefined where there is none. */
  async find(volume: VolumeId, signal?: AbortSignal): Promise<KnownVolume | undefined> {
    const bytes = await this.#store.read(manifestKey(volume), undefined, signal);
    if (bytes === undefined) return undefined;
    const manifest = decodeManifest(bytes, { volume, hasher: this.#codecs.hash });
    return { manifest, hash: this.#codecs.hash.blake3(bytes), forkPoint: forkPoint(manifest) };
  }

  /** The volume of an id. @throws `not_found` */
  async volume(volume: VolumeId, signal?: AbortSignal): Promise<KnownVolume> {
    const known = await this.find(volume, signal);
    if (known === undefined) throw noVolume(volume);
    return known;
  }

  /**
   * The newest commit, as the store says now: one listing. Where there is none, whether there is a volume is asked, too: another server may have
   * deleted it.
   * @throws `not_found`
   */
  async head(known: KnownVolume, signal?: AbortSignal): Promise<Lsn> {
    const { manifest, forkPoint: point } = known;
    const { volume } = manifest;
    const options = signalOf(signal);
    const head = await findHead(this.#origin, volume, { known: 0 as Lsn, forkPoint: point }, options);
    if (head > point) return head;
    const start = await this.#origin.get(manifestKey(volume), {
      range: { offset: 0, length: 1 },
      ...options,
    });
    if (start !== undefined) return head;
    this.forget(volume);
    throw noVolume(volume);
  }

  /** This server has created a commit. */
  created(volume: VolumeId, commit: DecodedCommit): void {
    this.#created.set(volume, { commit, at: this.#runtime.monotonic() }, 1);
  }

  /**
   * The commit `lsn`, where this server created it a moment ago: a push on top of it asks the store for nothing but the next commit, which is created only if
   * nobody was faster.
   */
  justCreated(volume: VolumeId, lsn: number): DecodedCommit | undefined {
    const created = this.#created.get(volume);
    if (created === undefined || created.commit.header.lsn !== lsn) return undefined;
    return this.#runtime.monotonic() - created.at <= FRESH_MS ? created.commit : undefined;
  }

  directory({ manifest }: KnownVolume): CommitDirectory {
    const { volume } = manifest;
    let directory = this.#directories.get(volume);
    if (directory === undefined) {
      directory = new CommitDirectory(manifest, undefined, DIRECTORY_LIMITS);
      this.#directories.set(volume, directory, 1);
    }
    return directory;
  }

  /** Prefix and header of a stored commit, decoded. @throws `not_found` */
  async commit(known: KnownVolume, lsn: Lsn, signal?: AbortSignal): Promise<DecodedCommit> {
    return this.#commit(known, lsn, (key, length) => this.#store.read(key, { offset: 0, length }, signal));
  }

  /** As `commit`, asked of the store itself: what a push builds on must be there now. */
  async commitNow(known: KnownVolume, lsn: Lsn, signal?: AbortSignal): Promise<DecodedCommit> {
    const commit = await this.#commit(known, lsn, (key, length) =>
      this.#origin.get(key, { range: { offset: 0, length }, ...signalOf(signal) }),
    );
    const remembered = this.directory(known).hash(lsn);
    // The store was restored from a backup: what is remembered is of another history.
    if (remembered !== undefined && remembered !== commit.hash) this.forget(known.manifest.volume);
    return commit;
  }

  /**
   * Which commit wrote each page last, as of an LSN: a step away from one that is at hand, else from a checkpoint or the beginning.
   * @throws `not_found` where it was collected, naming what is kept
   */
  async state(known: KnownVolume, lsn: Lsn, signal?: AbortSignal): Promise<RemoteState> {
    const { volume } = known.manifest;
    const id = `${volume}@${lsn}`;
    const kept = this.#states.get(id);
    if (kept !== undefined) return kept;
    const newest = this.#newest.get(volume);
    const state =
      (newest === undefined || newest.lsn > lsn
        ? undefined
        : await this.#onFrom(known, newest, lsn, signal)) ?? (await this.#build(known, lsn, signal));
    if (lsn === 0) return state;
    const cost = 4 * state.pageCount + 1024;
    this.#states.set(id, state, cost);
    if (newest === undefined || newest.lsn < lsn) this.#newest.set(volume, state, cost);
    return state;
  }

  /** The newest floor of a volume, as the store says now; undefined where nothing was ever compacted or collected. */
  floor(known: KnownVolume, signal?: AbortSignal): Promise<Floor | undefined> {
    return newestFloorOf(
      { directory: this.directory(known), remote: this.#origin, codecs: this.#codecs },
      known.manifest.volume,
      signalOf(signal),
    );
  }

  /** A checkpoint that a header or a floor names; undefined where it is not there. @throws `corrupt` */
  checkpoint(
    known: KnownVolume,
    named: NamedCheckpoint,
    signal?: AbortSignal,
  ): Promise<LoadedCheckpoint | undefined> {
    return this.fetcher.run(loadCheckpoint(this.plans(known), named), signal);
  }

  /** What plans need to know of a volume. */
  plans(known: KnownVolume): FramePlanContext {
    return { directory: this.directory(known), codecs: this.#codecs, storeUrl: this.#store.url };
  }

  async #build(known: KnownVolume, lsn: Lsn, signal: AbortSignal | undefined): Promise<RemoteState> {
    const { manifest, hash } = known;
    const source: StateSource = {
      directory: this.directory(known),
      codecs: this.#codecs,
      remote: this.#store,
      originHash: manifest.ancestors.length === 0 ? hash : undefined,
      run: (plan, its) => this.fetcher.run(plan, its),
    };
    try {
      return (await buildState(source, lsn, { signal })).state;
    } catch (error) {
      if (isPagefoldError(error, "corrupt", "diverged")) this.forget(manifest.volume);
      throw error;
    }
  }

  /** The state after one that is at hand; undefined where the log is another one by now. */
  async #onFrom(
    known: KnownVolume,
    from: RemoteState,
    lsn: Lsn,
    signal: AbortSignal | undefined,
  ): Promise<RemoteState | undefined> {
    try {
      return advance(from, await this.way(known, from, lsn, signal));
    } catch (error) {
      if (!isPagefoldError(error, "corrupt", "diverged", "not_found")) throw error;
      this.forget(known.manifest.volume);
      return undefined;
    }
  }

  /** The verified steps from one LSN up to another, oldest first. */
  async way(
    known: KnownVolume,
    from: { readonly lsn: Lsn; readonly hash?: Hash | undefined },
    to: Lsn,
    signal?: AbortSignal,
  ): Promise<ChainStep[]> {
    const { manifest, forkPoint: point } = known;
    const chain = { store: this.#store, directory: this.directory(known), codecs: this.#codecs, signal };
    try {
      if (from.lsn >= point || to <= point) return await fetchChain({ ...chain, from, to: { lsn: to } });
      const fork = { lsn: point, hash: manifest.forkHash };
      const shared = await fetchChain({ ...chain, from, to: fork });
      return [...shared, ...(await fetchChain({ ...chain, from: fork, to: { lsn: to } }))];
    } catch (error) {
      // What was remembered may be of a history that a restored store no longer has: the next request reads anew.
      if (isPagefoldError(error, "corrupt", "diverged")) this.forget(manifest.volume);
      throw error;
    }
  }

  /** Forgets what is remembered of a volume. */
  forget(volume: VolumeId): void {
    this.#directories.delete(volume);
    this.#states.clear();
    this.#newest.delete(volume);
    this.#created.delete(volume);
    this.#store.forgetAll(`volumes/${volume}/`);
  }

  async #commit(
    known: KnownVolume,
    lsn: Lsn,
    read: (key: string, length: number) => Promise<Uint8Array | undefined>,
  ): Promise<DecodedCommit> {
    const volume = this.directory(known).volumeOf(lsn);
    const key = commitKey(volume, lsn);
    let bytes = await read(key, HEADER_GUESS);
    if (bytes !== undefined && bytes.length >= COMMIT_PREFIX_BYTES) {
      const length = commitHeaderLength(bytes, { volume, lsn });
      if (length > bytes.length) bytes = await read(key, length);
    }
    if (bytes === undefined) throw noCommit(volume, lsn);
    return decodeCommit(bytes, this.#codecs.hash, { volume, lsn });
  }
}

export function noVolume(name: string): PagefoldError {
  return new PagefoldError("not_found", `there is no volume ${name} here, or you may not see it`, {
    details: { volume: name },
  });
}

export function noCommit(volume: string, lsn: number): PagefoldError {
  return new PagefoldError("not_found", `volume ${volume} has no commit ${lsn}`, {
    details: { volume, lsn },
  });
}

export function signalOf(signal: AbortSignal | undefined): { readonly signal?: AbortSignal } {
  return signal === undefined ? {} : { signal };
}
