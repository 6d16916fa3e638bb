/**
 * What is known of a volume's commits beside the page table: their verified hashes, and, bounded, their headers, read indexes
 * and digest areas. Everything here can be forgotten and fetched again; nothing enters before it was verified. A fork that was made on
 * this side shares what is known of the commits that it shares.
 */
import { type Hash, LSN_ZERO, type Lsn, type VolumeId } from "../base/brand.ts";
import { PagefoldError } from "../base/errors.ts";
import { Lru } from "../base/lru.ts";
import type { DecodedCheckpoint } from "../format/checkpoint-codec.ts";
import type { DecodedCommit } from "../format/commit-codec.ts";
import type { Floor, Manifest, PageWriter, ReadIndex } from "../format/model.ts";
import { LoadedCheckpoint } from "./loaded-checkpoint.ts";
import type { ChainStep } from "./remote-state.ts";

export interface DirectoryLimits {
  /** Bytes of headers kept, with what their objects take, and as many encoded ones of headers with their bands; default 16 MiB. */
  readonly headerBytes: number;
  /** Bytes of small commits' objects kept for the frames in them; default 4 MiB. */
  readonly startBytes: number;
  /** Encoded bytes of read indexes kept; default 16 MiB. */
  readonly indexBytes: number;
  /** Bytes of digest areas kept; default 16 MiB. */
  readonly digestBytes: number;
  /** Encoded bytes of checkpoints kept ready; default 64 MiB. */
  readonly checkpointBytes: number;
}

export const defaultDirectoryLimits: DirectoryLimits = {
  headerBytes: 16 * 2 ** 20,
  startBytes: 4 * 2 ** 20,
  indexBytes: 16 * 2 ** 20,
  digestBytes: 16 * 2 ** 20,
  checkpointBytes: 64 * 2 ** 20,
};

/** About what the objects take that small commits are decoded to, beside their bytes: of these there may be tens of thousands. */
const COMMIT_OBJECTS_BYTES = 2500;
const INDEX_OBJECTS_BYTES = 1500;
const AREA_OBJECTS_BYTES = 300;

/** A checkpoint that can be believed when its bytes have this hash. */
export interface NamedCheckpoint {
  readonly volume: VolumeId;
  readonly lsn: Lsn;
  readonly hash: Hash;
}

/** Where commits up to an LSN are known to be the same. */
export interface Elder {
  readonly directory: CommitDirectory;
  readonly through: Lsn;
}

const GONE_MOST = 10_000;

export class CommitDirectory {
  readonly manifest: Manifest;
  readonly #elder: Elder | undefined;
  readonly #hashes = new Map<Lsn, Hash>();
  readonly #commits: Lru<Lsn, DecodedCommit>;
  readonly #steps: Lru<Lsn, ChainStep>;
  readonly #starts: Lru<string, Uint8Array>;
  readonly #indexes: Lru<string, ReadIndex>;
  readonly #digests: Lru<string, Uint8Array>;
  readonly #checkpoints: Lru<Hash, LoadedCheckpoint>;
  readonly #named = new Map<Hash, NamedCheckpoint>();
  readonly #floors = new Map<VolumeId, Floor>();
  readonly #floorless = new Set<VolumeId>();
  readonly #gone = new Set<string>();

  constructor(manifest: Manifest, elder?: Elder, limits: DirectoryLimits = defaultDirectoryLimits) {
    this.manifest = manifest;
    this.#elder = elder;
    this.#commits = new Lru(limits.headerBytes);
    this.#steps = new Lru(limits.headerBytes);
    this.#starts = new Lru(limits.startBytes);
    this.#indexes = new Lru(limits.indexBytes);
    this.#digests = new Lru(limits.digestBytes);
    this.#checkpoints = new Lru(limits.checkpointBytes);
  }

  /** Under which volume's prefix the commit of an LSN lives: a fork's early LSNs are its ancestors'. */
  volumeOf(lsn: Lsn): VolumeId {
    let owner = this.manifest.volume;
    for (const ancestor of this.manifest.ancestors) {
      if (lsn > ancestor.lsn) break;
      owner = ancestor.volume;
    }
    return owner;
  }

  /** Up to which LSN the commits of a volume are this one's: all of its own, an ancestor's up to where they parted, nobody else's. */
  sharedThrough(volume: VolumeId): number {
    if (volume === this.manifest.volume) return Number.MAX_SAFE_INTEGER;
    return this.manifest.ancestors.find((ancestor) => ancestor.volume === volume)?.lsn ?? 0;
  }

  /** The verified hash of a commit that wrote a page of a known state, if it was learned. */
  hash(lsn: Lsn): Hash | undefined {
    return this.#of(lsn).#hashes.get(lsn);
  }

  /** @throws `corrupt` when the log named another commit for this LSN before. */
  learnHash(lsn: Lsn, hash: Hash): void {
    const hashes = this.#of(lsn).#hashes;
    const known = hashes.get(lsn);
    if (known === undefined) {
      hashes.set(lsn, hash);
    } else if (known !== hash) {
      const { volume } = this.manifest;
      throw new PagefoldError(
        "corrupt",
        `volume ${volume} names two different commits ${lsn}; a rollup lies: run \`pagefold verify\` on the store`,
        { details: { volume, lsn } },
      );
    }
  }

  /** The hashes that a verified list of writers knows. @throws `corrupt` as `learnHash` */
  learnWriters(writers: readonly PageWriter[]): void {
    for (const { lsn, hash } of writers) if (hash !== undefined) this.learnHash(lsn, hash);
  }

  /** A commit that was learned, and is the one that the log names where that is known. */
  commit(lsn: Lsn): DecodedCommit | undefined {
    const commit = this.#of(lsn).#commits.get(lsn);
    const hash = this.hash(lsn);
    return commit !== undefined && hash !== undefined && commit.hash !== hash ? undefined : commit;
  }

  /** `commit` was verified against the log. */
  learn(commit: DecodedCommit): void {
    const { lsn } = commit.header;
    this.#of(lsn).#commits.set(lsn, commit, commit.headerLength + COMMIT_OBJECTS_BYTES);
  }

  /** A verified step of the log with as many of its bands as were learned: what later rollups are built from. */
  step(lsn: Lsn): ChainStep | undefined {
    return this.#of(lsn).#steps.get(lsn);
  }

  learnStep(step: ChainStep): void {
    const { header } = step.commit;
    const steps = this.#of(header.lsn).#steps;
    const known = steps.get(header.lsn);
    this.learn(step.commit);
    if (known !== undefined && known.rollups.length >= step.rollups.length) return;
    const bands = header.bands.slice(0, step.rollups.length - 1).reduce((sum, band) => sum + band.length, 0);
    steps.set(header.lsn, step, step.stored.length + bands);
  }

  /** The first bytes of a commit's object, where they were fetched with its header: a small commit's frames are among them. */
  start(key: string): Uint8Array | undefined {
    return this.#starts.get(key);
  }

  /** They were not what the log says: the next reader asks the store again. */
  forgetStart(key: string): void {
    this.#starts.delete(key);
  }

  learnStart(key: string, bytes: Uint8Array): void {
    this.#starts.set(key, bytes, bytes.length + AREA_OBJECTS_BYTES);
  }

  /** The read index of the segment in an object: no object holds two. */
  index(key: string): ReadIndex | undefined {
    return this.#indexes.get(key) ?? this.#elder?.directory.index(key);
  }

  learnIndex(key: string, index: ReadIndex, cost: number): void {
    this.#indexes.set(key, index, cost + INDEX_OBJECTS_BYTES);
  }

  digests(key: string): Uint8Array | undefined {
    return this.#digests.get(key) ?? this.#elder?.directory.digests(key);
  }

  learnDigests(key: string, digests: Uint8Array): void {
    this.#digests.set(key, digests, digests.length + AREA_OBJECTS_BYTES);
  }

  /** Checkpoints that are loaded, this volume's and, up to the fork point, its elders'. */
  *checkpoints(): IterableIterator<LoadedCheckpoint> {
    yield* this.#checkpoints.values();
    if (this.#elder === undefined) return;
    for (const loaded of this.#elder.directory.checkpoints())
      if (loaded.lsn <= this.#elder.through) yield loaded;
  }

  checkpoint(hash: Hash): LoadedCheckpoint | undefined {
    return this.#checkpoints.get(hash) ?? this.#elder?.directory.checkpoint(hash);
  }

  /** It was verified: a header or a floor names its hash. One of an ancestor's from after the fork point is about other commits: it is not kept. */
  learnCheckpoint(checkpoint: DecodedCheckpoint): LoadedCheckpoint {
    const loaded = this.checkpoint(checkpoint.hash) ?? new LoadedCheckpoint(checkpoint);
    if (loaded.lsn > this.sharedThrough(checkpoint.volume)) return loaded;
    this.#checkpoints.set(checkpoint.hash, loaded, checkpoint.length);
    this.learnHash(checkpoint.commit.header.lsn, checkpoint.commit.hash);
    this.learnWriters(checkpoint.writers);
    this.learn(checkpoint.commit);
    this.nameCheckpoint({ volume: checkpoint.volume, lsn: loaded.lsn, hash: checkpoint.hash });
    return loaded;
  }

  /** Checkpoints whose hashes a header or a floor names: those that can be loaded when a page is to be found. */
  namedCheckpoints(): Iterable<NamedCheckpoint> {
    return this.#named.values();
  }

  nameCheckpoint(named: NamedCheckpoint): void {
    if (named.lsn <= this.sharedThrough(named.volume)) this.#named.set(named.hash, named);
  }

  /** It is not there any more. */
  forgetCheckpoint(hash: Hash): void {
    this.#named.delete(hash);
  }

  /** Another of the same LSN took its place, and says where pages lie better. */
  dropCheckpoint(hash: Hash): void {
    this.#checkpoints.delete(hash);
    this.#named.delete(hash);
  }

  /** An object that was asked for is not there any more: whatever else holds its pages is to be looked for. */
  learnGone(key: string): void {
    // Few objects are collected under a reader; should they be many, they are found out again.
    if (this.#gone.size >= GONE_MOST) this.#gone.clear();
    this.#gone.add(key);
    this.#starts.delete(key);
  }

  forgetGone(): void {
    this.#gone.clear();
  }

  isGone(key: string): boolean {
    return this.#gone.has(key);
  }

  /** The newest floor of this volume, or of one of its ancestors, that was learned. */
  floor(volume: VolumeId): Floor | undefined {
    return this.#floors.get(volume);
  }

  /** From where on the log is whole, as far as is known: commits below the floor that a walk down comes to first may be gone. */
  get logBegin(): Lsn {
    const { volume, ancestors } = this.manifest;
    for (const owner of [{ volume, lsn: Number.POSITIVE_INFINITY }, ...ancestors]) {
      const floor = this.#floors.get(owner.volume);
      if (floor !== undefined && floor.lsn > 0) return Math.min(floor.lsn, owner.lsn) as Lsn;
    }
    return LSN_ZERO;
  }

  /** The number of the newest floor that was learned, 0 where there was none; undefined where nobody asked yet. */
  floorNumber(volume: VolumeId): number | undefined {
    return this.#floors.get(volume)?.n ?? (this.#floorless.has(volume) ? 0 : undefined);
  }

  learnFloor(floor: Floor): void {
    if ((this.#floors.get(floor.volume)?.n ?? 0) >= floor.n) return;
    this.#floors.set(floor.volume, floor);
    for (const { lsn, hash } of floor.checkpoints) this.nameCheckpoint({ volume: floor.volume, lsn, hash });
  }

  /** It has no floor so far. */
  learnFloorless(volume: VolumeId): void {
    this.#floorless.add(volume);
  }

  /** The directory that keeps what is known of a commit. */
  #of(lsn: Lsn): CommitDirectory {
    const elder = this.#elder;
    return elder !== undefined && lsn <= elder.through ? elder.directory.#of(lsn) : this;
  }
}
