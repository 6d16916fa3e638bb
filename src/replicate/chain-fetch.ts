/**
 * Learns a stretch of a remote log in one or two round trips: steps back over rollups whose names are known by arithmetic, all
 * fetched in parallel, each verified along the jump hashes before anything of it is used. Callers decide what to do with the steps.
 */
import type { Hash, Lsn } from "../base/brand.ts";
import { PagefoldError } from "../base/errors.ts";
import type { Codecs } from "../format/codecs.ts";
import {
  COMMIT_PREFIX_BYTES,
  commitHeaderLength,
  type DecodedCommit,
  decodeCommit,
} from "../format/commit-codec.ts";
import { bandInterval, type JumpStep, pathDown } from "../format/jumps.ts";
import { commitKey, rollupKey } from "../format/keys.ts";
import type { Rollup } from "../format/model.ts";
import { decodeRollup, rollupOfCommit } from "../format/rollup-codec.ts";
import type { ObjectStore } from "../remote/object-store.ts";
import type { CommitDirectory } from "../volume/commit-directory.ts";
import type { ChainStep } from "../volume/remote-state.ts";

/** Where commits are read from, and in which volume's lineage. */
export interface CommitSource {
  readonly store: ObjectStore;
  readonly directory: CommitDirectory;
  readonly codecs: Codecs;
  readonly signal?: AbortSignal | undefined;
}

/** A commit, and its object as far as it was read: at least the header. */
export interface CommitStart {
  readonly commit: DecodedCommit;
  readonly bytes: Uint8Array;
}

export interface ChainFetchOptions extends CommitSource {
  /** The known end: where its hash is given, the log must say the same of that LSN. */
  readonly from: { readonly lsn: Lsn; readonly hash?: Hash | undefined };
  /** The newest commit of the stretch; where its hash is given, it must be that one. */
  readonly to: { readonly lsn: Lsn; readonly hash?: Hash | undefined };
  /** Of the newest commit, where the caller has read it: of that, only what is missing is asked for. */
  readonly start?: CommitStart | undefined;
}

/**
 * The verified steps that lead from `from` to `to`, oldest first.
 * @throws `not_found` when a commit on the way is missing, `corrupt` when one does not verify, `diverged` when the log's history
 * is another than the one that `from` belongs to (a store restored from a backup, say).
 */
export async function fetchChain(options: ChainFetchOptions): Promise<ChainStep[]> {
  const path = pathDown(options.to.lsn, options.from.lsn);
  const fetched = await Promise.all(path.map((jump) => fetchJump(options, jump)));
  const steps = fetched.flat();
  verifyChain(options, steps);
  for (const step of steps) {
    options.directory.learnHash(step.commit.header.lsn, step.commit.hash);
    options.directory.learnStep(step);
    for (const rollup of step.rollups) options.directory.learnWriters(rollup.writers);
  }
  return steps.reverse();
}

/** The first bytes of a commit's object: in one request, or two where its header takes more; undefined where there is none. @throws `corrupt` */
export async function fetchCommitStart(
  { store, directory, codecs, signal }: CommitSource,
  { lsn, hash }: { readonly lsn: Lsn; readonly hash?: Hash | undefined },
  guess: number,
): Promise<CommitStart | undefined> {
  const volume = directory.volumeOf(lsn);
  const expect = { volume, lsn, ...(hash === undefined ? {} : { hash }) };
  const key = commitKey(volume, lsn);
  let bytes = await getFrom(store, key, 0, guess, signal);
  if (bytes === undefined) return undefined;
  const headerLength = bytes.length >= COMMIT_PREFIX_BYTES ? commitHeaderLength(bytes, expect) : 0;
  if (bytes.length < headerLength) bytes = await extend(store, key, bytes, headerLength, signal);
  return { commit: decodeCommit(bytes, codecs.hash, expect), bytes };
}

/** What was read of a commit before, by the caller or for pages of it. */
function knownStart({ directory, start }: ChainFetchOptions, lsn: Lsn): CommitStart | undefined {
  if (start?.commit.header.lsn === lsn) return start;
  const commit = directory.commit(lsn);
  const bytes = commit && directory.start(commitKey(directory.volumeOf(lsn), lsn));
  return bytes && { commit, bytes };
}

/**
 * One jump: the commit's header and so many bands; where it has fewer, or one that is stored apart is lost, the same way in smaller jumps.
 */
async function fetchJump(options: ChainFetchOptions, jump: JumpStep): Promise<ChainStep[]> {
  const { store, directory } = options;
  const { lsn } = jump;
  const known = directory.step(lsn);
  if (known !== undefined) {
    const bands = Math.min(jump.step, known.commit.header.bands.length);
    if (known.rollups.length > bands) return goOn(options, shorten(known, bands), jump);
  }
  const start =
    knownStart(options, lsn) ?? (await fetchCommitStart(options, { lsn }, firstGuess(options, jump)));
  if (start === undefined) {
    const volume = directory.volumeOf(lsn);
    throw new PagefoldError(
      "not_found",
      `commit ${lsn} of volume ${volume} is not in ${store.url}; fetch again, or check the store`,
      { details: { volume, lsn, key: commitKey(volume, lsn) } },
    );
  }
  const { commit, bytes } = start;
  const bands = await fetchBands(options, start, jump.step);
  const rollups = [rollupOfCommit(commit.header, commit.hash), ...bands];
  const stored = bytes.slice(0, commit.headerLength);
  return goOn(options, { commit, stored, from: (lsn - 2 ** bands.length) as Lsn, rollups }, jump);
}

/** Its first so many bands, verified: fewer where it has fewer, or one that is stored apart is lost. */
async function fetchBands(
  { store, directory, codecs, signal }: CommitSource,
  { commit, bytes: read }: CommitStart,
  most: number,
): Promise<Rollup[]> {
  const { lsn } = commit.header;
  const volume = directory.volumeOf(lsn);
  const key = commitKey(volume, lsn);
  const wanted = commit.header.bands.slice(0, most);
  const inline = wanted.filter((band) => !band.apart).length;
  const end = inline === 0 ? commit.headerLength : endOf(commit.bandExtents[inline - 1]!);
  const [bytes, apart] = await Promise.all([
    read.length < end ? extend(store, key, read, end, signal) : read,
    inline < wanted.length
      ? getFrom(store, rollupKey(volume, lsn), 0, Number.MAX_SAFE_INTEGER, signal)
      : undefined,
  ]);
  const rollups: Rollup[] = [];
  let apartOffset = 0;
  for (const [i, band] of wanted.entries()) {
    let stored: Uint8Array;
    if (band.apart) {
      if (apart === undefined || apart.length < apartOffset + band.length) break;
      stored = apart.subarray(apartOffset, apartOffset + band.length);
      apartOffset += band.length;
    } else {
      const { offset, length } = commit.bandExtents[i]!;
      stored = bytes.subarray(offset, offset + length);
    }
    if (codecs.hash.blake3(stored) !== band.hash) {
      // A rollup apart is a cache: a bad one costs smaller steps. Bands within the commit are part of the log.
      if (band.apart) break;
      // Should what is remembered of it be damaged, the next reader asks the store again.
      directory.forgetStart(key);
      throw new PagefoldError(
        "corrupt",
        `band ${i + 1} of commit ${lsn} of volume ${volume} does not match its hash; run \`pagefold verify\`, or restore the object`,
        { details: { volume, lsn, key, band: i + 1 } },
      );
    }
    rollups.push(decodeRollup(stored, bandInterval(lsn, i + 1)));
  }
  return rollups;
}

/** What remains of a jump below where a step reached. */
async function goOn(options: ChainFetchOptions, step: ChainStep, jump: JumpStep): Promise<ChainStep[]> {
  const rest = pathDown(step.from, (jump.lsn - 2 ** jump.step) as Lsn);
  return [step, ...(await Promise.all(rest.map((smaller) => fetchJump(options, smaller)))).flat()];
}

/** The same commit with fewer of its bands. */
function shorten(step: ChainStep, bands: number): ChainStep {
  if (step.rollups.length === bands + 1) return step;
  return {
    ...step,
    from: (step.commit.header.lsn - 2 ** bands) as Lsn,
    rollups: step.rollups.slice(0, bands + 1),
  };
}

/** `steps` newest first: each is named by the hash that the one before carries, the last leads to what is known already. */
function verifyChain(options: ChainFetchOptions, steps: readonly ChainStep[]): void {
  let expected = options.to.hash;
  for (const { commit, rollups } of steps) {
    const { header, hash } = commit;
    if (expected !== undefined && hash !== expected) {
      throw new PagefoldError(
        "corrupt",
        `commit ${header.lsn} of volume ${header.volume} is not the one that later commits name; the store was tampered with or mixed up`,
        { details: { volume: header.volume, lsn: header.lsn } },
      );
    }
    // One rollup is the commit's own; with j bands the next step is 2^j below.
    expected = header.jumpHashes[rollups.length - 1];
  }
  if (expected !== undefined && options.from.hash !== undefined && expected !== options.from.hash) {
    const { lsn } = options.from;
    throw new PagefoldError(
      lsn === 0 ? "corrupt" : "diverged",
      lsn === 0
        ? `the log in ${options.store.url} does not begin with this volume's manifest; the store was tampered with or mixed up`
        : `the log in ${options.store.url} has another commit ${lsn} than the one this replica holds (was the store restored from a backup?); ` +
            "clone into an empty directory, or export the local state and import it as a new volume",
      { details: { volume: options.directory.volumeOf(options.to.lsn), lsn } },
    );
  }
}

/** Enough for the header and bands of ordinary commits, so that a second request is rare; a cold open reads more at once. */
function firstGuess(options: ChainFetchOptions, jump: JumpStep): number {
  const cold = options.from.lsn === 0 && jump.lsn === options.to.lsn;
  return Math.min((cold ? 65_536 : 4096) + 64 * 2 ** jump.step, 1_048_576);
}

function endOf(extent: { offset: number; length: number }): number {
  return extent.offset + extent.length;
}

async function getFrom(
  store: ObjectStore,
  key: string,
  offset: number,
  length: number,
  signal: AbortSignal | undefined,
): Promise<Uint8Array | undefined> {
  return store.get(key, { range: { offset, length }, ...(signal === undefined ? {} : { signal }) });
}

/** `bytes` made longer, up to `length`; as long as the object is when it ends before. */
async function extend(
  store: ObjectStore,
  key: string,
  bytes: Uint8Array,
  length: number,
  signal: AbortSignal | undefined,
): Promise<Uint8Array> {
  const rest = await getFrom(store, key, bytes.length, length - bytes.length, signal);
  if (rest === undefined || rest.length === 0) return bytes;
  const whole = new Uint8Array(bytes.length + rest.length);
  whole.set(bytes);
  whole.set(rest, bytes.length);
  return whole;
}
