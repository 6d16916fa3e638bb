/**
 * What is known of a volume's commits beside the page table: their verified hashes, and, bounded, their headers, read indexes
 * and digest areas. Everything here can be forgotten and fetched again; nothing enters before it was verified. A fork that was made on
 * this side shares what is known of the commits that it shares.
 */
import type { Hash, Lsn, VolumeId } from "../base/brand.ts";
import { PagefoldError } from "../base/errors.ts";
import { Lru } from "../base/lru.ts";
import type { DecodedCommit } from "../format/commit-codec.ts";
import type { Manifest, ReadIndex } from "../format/model.ts";
import type { ChainStep } from "./remote-state.ts";

export interface DirectoryLimits {
  /** Encoded bytes of headers kept, and as many of headers with their bands; default 16 MiB. */
  readonly headerBytes: number;
  /** Bytes of small commits' objects kept for the frames in them; default 4 MiB. */
  readonly startBytes: number;
  /** Encoded bytes of read indexes kept; default 16 MiB. */
  readonly indexBytes: number;
  /** Bytes of digest areas kept; default 16 MiB. */
  readonly digestBytes: number;
}

export const defaultDirectoryLimits: DirectoryLimits = {
  headerBytes: 16 * 2 ** 20,
  startBytes: 4 * 2 ** 20,
  indexBytes: 16 * 2 ** 20,
  digestBytes: 16 * 2 ** 20,
};

/** Where commits up to an LSN are known to be the same. */
export interface Elder {
  readonly directory: CommitDirectory;
  readonly through: Lsn;
}

export class CommitDirectory {
  readonly manifest: Manifest;
  readonly #elder: Elder | undefined;
  readonly #hashes = new Map<Lsn, Hash>();
  readonly #commits: Lru<Lsn, DecodedCommit>;
  readonly #steps: Lru<Lsn, ChainStep>;
  readonly #starts: Lru<string, Uint8Array>;
  readonly #indexes: Lru<string, ReadIndex>;
  readonly #digests: Lru<string, Uint8Array>;

  constructor(manifest: Manifest, elder?: Elder, limits: DirectoryLimits = defaultDirectoryLimits) {
    this.manifest = manifest;
    this.#elder = elder;
    this.#commits = new Lru(limits.headerBytes);
    this.#steps = new Lru(limits.headerBytes);
    this.#starts = new Lru(limits.startBytes);
    this.#indexes = new Lru(limits.indexBytes);
    this.#digests = new Lru(limits.digestBytes);
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

  /** A commit that was learned, and is the one that the log names where that is known. */
  commit(lsn: Lsn): DecodedCommit | undefined {
    const commit = this.#of(lsn).#commits.get(lsn);
    const hash = this.hash(lsn);
    return commit !== undefined && hash !== undefined && commit.hash !== hash ? undefined : commit;
  }

  /** `commit` was verified against the log. */
  learn(commit: DecodedCommit): void {
    const { lsn } = commit.header;
    this.#of(lsn).#commits.set(lsn, commit, commit.headerLength);
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
    this.#starts.set(key, bytes, bytes.length);
  }

  index(lsn: Lsn, segment: number): ReadIndex | undefined {
    return this.#of(lsn).#indexes.get(`${lsn}/${segment}`);
  }

  learnIndex(lsn: Lsn, segment: number, index: ReadIndex, cost: number): void {
    this.#of(lsn).#indexes.set(`${lsn}/${segment}`, index, cost);
  }

  digests(lsn: Lsn, segment: number): Uint8Array | undefined {
    return this.#of(lsn).#digests.get(`${lsn}/${segment}`);
  }

  learnDigests(lsn: Lsn, segment: number, digests: Uint8Array): void {
    this.#of(lsn).#digests.set(`${lsn}/${segment}`, digests, digests.length);
  }

  /** The directory that keeps what is known of a commit. */
  #of(lsn: Lsn): CommitDirectory {
    const elder = this.#elder;
    return elder !== undefined && lsn <= elder.through ? elder.directory.#of(lsn) : this;
  }
}
