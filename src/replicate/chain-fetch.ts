/**
 * Learns a stretch of a remote log in one or two round trips: steps back over rollups whose names are known by arithmetic, all
 * fetched in parallel, each verified along the jump hashes before anything of it is used. Callers decide what to do with the steps.
 */
import type { Hash, Lsn } from "../base/brand.ts";
import { PagefoldError } from "../base/errors.ts";
import type { Codecs } from "../format/codecs.ts";
import { COMMIT_PREFIX_BYTES, commitHeaderLength, decodeCommit } from "../format/commit-codec.ts";
import { bandInterval, type JumpStep, pathDown } from "../format/jumps.ts";
import { commitKey, rollupKey } from "../format/keys.ts";
import type { Rollup } from "../format/model.ts";
import { decodeRollup, rollupOfCommit } from "../format/rollup-codec.ts";
import type { ObjectStore } from "../remote/object-store.ts";
import type { CommitDirectory } from "../volume/commit-directory.ts";
import type { ChainStep } from "../volume/remote-state.ts";

export interface ChainFetchOptions {
  readonly store: ObjectStore;
  readonly directory: CommitDirectory;
  readonly codecs: Codecs;
  /** The known end: where its hash is given, the log must say the same of that LSN. */
  readonly from: { readonly lsn: Lsn; readonly hash?: Hash | undefined };
  /** The newest commit of the stretch; where its hash is given, it must be that one. */
  readonly to: { readonly lsn: Lsn; readonly hash?: Hash | undefined };
  readonly signal?: AbortSignal | undefined;
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

/**
 * One jump: the commit's header and so many bands; where it has fewer, or one that is stored apart is lost, the same way in smaller jumps.
 */
async function fetchJump(options: ChainFetchOptions, jump: JumpStep): Promise<ChainStep[]> {
  const { store, directory, codecs, signal } = options;
  const known = directory.step(jump.lsn);
  if (known !== undefined) {
    const bands = Math.min(jump.step, known.commit.header.bands.length);
    if (known.rollups.length > bands) return goOn(options, shorten(known, bands), jump);
  }
  const volume = directory.volumeOf(jump.lsn);
  const key = commitKey(volume, jump.lsn);
  const wherefrom = { volume, lsn: jump.lsn, key };
  let bytes = await getFrom(store, key, 0, firstGuess(options, jump), signal);
  if (bytes === undefined) {
    throw new PagefoldError(
      "not_found",
      `commit ${jump.lsn} of volume ${volume} is not in ${store.url}; fetch again, or check the store`,
      {
        details: wherefrom,
      },
    );
  }
  const headerLength =
    bytes.length >= COMMIT_PREFIX_BYTES ? commitHeaderLength(bytes, { volume, lsn: jump.lsn }) : 0;
  if (bytes.length < headerLength) bytes = await extend(store, key, bytes, headerLength, signal);
  const commit = decodeCommit(bytes, codecs.hash, { volume, lsn: jump.lsn });
  const { header } = commit;
  const own = rollupOfCommit(header, commit.hash);

  const wanted = header.bands.slice(0, jump.step);
  const inline = wanted.filter((band) => !band.apart).length;
  const end = inline === 0 ? commit.headerLength : endOf(commit.bandExtents[inline - 1]!);
  if (bytes.length < end) bytes = await extend(store, key, bytes, end, signal);
  const apart =
    inline < wanted.length
      ? await getFrom(store, rollupKey(volume, jump.lsn), 0, Number.MAX_SAFE_INTEGER, signal)
      : undefined;

  const rollups: Rollup[] = [own];
  let apartOffset = 0;
  for (let j = 1; j <= wanted.length; j++) {
    const band = wanted[j - 1]!;
    let stored: Uint8Array;
    if (band.apart) {
      if (apart === undefined || apart.length < apartOffset + band.length) break;
      stored = apart.subarray(apartOffset, apartOffset + band.length);
      apartOffset += band.length;
    } else {
      const { offset, length } = commit.bandExtents[j - 1]!;
      stored = bytes.subarray(offset, offset + length);
    }
    if (codecs.hash.blake3(stored) !== band.hash) {
      // A rollup apart is a cache: a bad one costs smaller steps. Bands within the commit are part of the log.
      if (band.apart) break;
      throw new PagefoldError(
        "corrupt",
        `band ${j} of commit ${jump.lsn} of volume ${volume} does not match its hash; run \`pagefold verify\`, or restore the object`,
        { details: { ...wherefrom, band: j } },
      );
    }
    rollups.push(decodeRollup(stored, bandInterval(jump.lsn, j)));
  }
  const reached = rollups.length - 1;
  const stored = bytes.slice(0, commit.headerLength);
  return goOn(options, { commit, stored, from: (jump.lsn - 2 ** reached) as Lsn, rollups }, jump);
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
