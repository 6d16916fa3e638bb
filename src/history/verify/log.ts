/**
 * The headers of the log, oldest first: each names the one before it, and every older one that it jumps to, by their hashes; the newest must be the one
 * that this side stands on. Fetched many at a time; what is remembered between batches is one hash per power of two.
 */
import { type Hash, LSN_ZERO, type Lsn, type VolumeId } from "../../base/brand.ts";
import { PagefoldError } from "../../base/errors.ts";
import type { DecodedCommit } from "../../format/commit-codec.ts";
import { trailingPowers } from "../../format/jumps.ts";
import { commitKey } from "../../format/keys.ts";
import { forkPoint } from "../../format/model.ts";
import { loadCommits } from "../../replicate/commit-lookup.ts";
import { newestFloorOf } from "../../replicate/floor.ts";
import type { Target, VerifyRun } from "./run.ts";

/** Headers that are fetched together. */
const BATCH = 256;
/** Checkpoints that headers named and that are remembered for a deep verification: far more than there are. */
const CHECKPOINTS_MOST = 100_000;

/** The commits that must be there: those above `from`. */
export interface LogSpan {
  readonly from: Lsn;
  readonly to: Lsn;
  /** Where commits were collected: under whose prefix, and the lowest state that the log goes on from, which a checkpoint keeps. */
  readonly collected: { readonly volume: VolumeId; readonly start: Lsn } | undefined;
}

/** How far down the log is kept, by the floors of the volume and of those whose commits it shares. */
export async function spanOf(run: VerifyRun, to: Lsn): Promise<LogSpan> {
  const family = [{ volume: run.volume, lsn: to }, ...run.manifest.ancestors];
  for (let i = 0; i < family.length; i++) {
    const high = Math.min(family[i]!.lsn, to);
    const low = Math.min(family[i + 1]?.lsn ?? 0, to);
    if (high === low) continue;
    const { volume } = family[i]!;
    const floor = await newestFloorOf(run.source, volume, { signal: run.signal });
    if (floor === undefined || floor.lsn <= low) continue;
    // The commit at the floor itself is there.
    const from = (floor.lsn <= high ? floor.lsn - 1 : high) as Lsn;
    return { from, to, collected: { volume, start: Math.min(floor.lsn, high) as Lsn } };
  }
  return { from: LSN_ZERO, to, collected: undefined };
}

/** Commits of one batch, oldest first; undefined where one was reported. */
export interface CommitBatch {
  readonly first: Lsn;
  readonly last: Lsn;
  readonly commits: readonly (DecodedCommit | undefined)[];
}

/** The commits above `from` in batches, the next one fetched while one is worked on. Not proven yet. */
export async function* commitBatches(run: VerifyRun, from: Lsn, to: Lsn): AsyncGenerator<CommitBatch> {
  const begin = (first: number): Promise<CommitBatch> | undefined => {
    if (first > to) return undefined;
    // Batches end at multiples, whatever they begin at.
    const last = Math.min(to, Math.floor((first + BATCH - 1) / BATCH) * BATCH);
    const batch = loadBatch(run, first as Lsn, last as Lsn);
    batch.catch(() => {}); // awaited when its turn comes
    return batch;
  };
  for (let next = begin(from + 1); next !== undefined; ) {
    const batch = await next;
    next = begin(batch.last + 1);
    yield batch;
  }
}

async function loadBatch(run: VerifyRun, first: Lsn, last: Lsn): Promise<CommitBatch> {
  const lsns = Array.from({ length: last - first + 1 }, (_, i) => (first + i) as Lsn);
  const commits = await Promise.all(
    lsns.map((lsn) => run.attempt(() => loadCommit(run, lsn), commitKey(run.directory.volumeOf(lsn), lsn))),
  );
  return { first, last, commits };
}

async function loadCommit(run: VerifyRun, lsn: Lsn): Promise<DecodedCommit | undefined> {
  const commit = (await run.fetch(loadCommits(run.frames, [lsn], { mayBeGone: true }))).get(lsn);
  if (commit !== undefined) return commit;
  const volume = run.directory.volumeOf(lsn);
  const floor = await newestFloorOf(run.source, volume, { signal: run.signal });
  // It was collected since the verification began.
  if (floor !== undefined && floor.lsn > lsn) return undefined;
  throw new PagefoldError(
    "corrupt",
    `commit ${lsn} of volume ${volume} is missing in ${run.frames.storeUrl}, though later commits name it; restore the object from a copy of the store`,
    { details: { volume, lsn, key: commitKey(volume, lsn) } },
  );
}

/** Checks every header of the span. Answers how many there were. */
export async function verifyLog(run: VerifyRun, target: Target, span: LogSpan): Promise<number> {
  const { log } = run.token;
  const from = Math.max(log.through, span.from) as Lsn;
  const chain = new Chain(run, log.through > span.from ? log.hashes : [], span);
  const checkpoints = new Map(log.checkpoints.map((each) => [each.hash, each]));
  let commits = log.commits;
  const total = span.to - span.from;
  const nothing = { done: 0, total: 0 };
  const tell = () => ({
    part: "log" as const,
    commits: { done: commits, total },
    pages: nothing,
    bytes: nothing,
  });
  for await (const batch of commitBatches(run, from, span.to)) {
    batch.commits.forEach((commit, i) => {
      const lsn = (batch.first + i) as Lsn;
      chain.add(lsn, commit);
      const named = commit?.header.checkpoint;
      if (named !== undefined && checkpoints.size < CHECKPOINTS_MOST) checkpoints.set(named.hash, named);
      if (commit !== undefined) commits++;
    });
    if (batch.last === span.to) chain.end(target);
    const { hashes } = chain;
    run.advance(
      { log: { through: batch.last, commits, hashes, checkpoints: [...checkpoints.values()] } },
      tell(),
    );
  }
  return commits;
}

/** Headers one after the other. */
class Chain {
  readonly #run: VerifyRun;
  /** [j]: of the newest commit whose LSN 2^j divides; undefined where that is not known. */
  readonly #newest: (Hash | undefined)[];
  readonly #span: LogSpan;
  #before: DecodedCommit | undefined;

  constructor(run: VerifyRun, hashes: readonly (Hash | null | undefined)[], span: LogSpan) {
    this.#run = run;
    // JSON knows no undefined.
    this.#newest = hashes.map((hash) => hash ?? undefined);
    this.#span = span;
    const origin = run.source.originHash;
    // LSN 0 is the manifest, and every power of two divides it.
    if (hashes.length === 0 && span.from === 0 && origin !== undefined)
      this.#newest = Array.from({ length: 54 }, () => origin);
  }

  get hashes(): readonly Hash[] {
    return [...this.#newest] as Hash[];
  }

  add(lsn: Lsn, commit: DecodedCommit | undefined): void {
    if (commit !== undefined) {
      try {
        this.#check(lsn, commit);
      } catch (error) {
        this.#run.report(error);
      }
    }
    const powers = trailingPowers(lsn);
    for (let j = 0; j <= powers; j++) this.#newest[j] = commit?.hash;
    this.#before = commit;
  }

  /** The newest is named by what this side knows. */
  end({ lsn, hash }: Target): void {
    const found = this.#newest[0];
    if (found === undefined || found === hash) return;
    this.#run.report(this.#lie(lsn, "is not the one that this side stands on"));
  }

  #check(lsn: Lsn, { header, hash }: DecodedCommit): void {
    const { manifest, context } = this.#run;
    header.jumpHashes.forEach((named, j) => {
      const older = this.#newest[j];
      const below = (lsn - 2 ** j) as Lsn;
      if (older === undefined || older === named || below < this.#span.from) return;
      throw below === 0
        ? this.#lie(lsn, "does not begin this volume: the manifest is not the one that it names")
        : this.#lie(below, `is not the one that commit ${lsn} names`);
    });
    if (lsn === forkPoint(manifest) && manifest.forkHash !== undefined && manifest.forkHash !== hash)
      throw this.#lie(lsn, "is not the one that the fork's manifest names");
    const known = context.replica.directory.hash(lsn);
    if (known !== undefined && known !== hash) throw this.#lie(lsn, "is not the one that this side knows");
    if (header.pageSize !== manifest.pageSize)
      throw this.#lie(
        lsn,
        `has pages of ${header.pageSize} bytes, the volume has pages of ${manifest.pageSize}`,
      );
    const before = this.#before?.header;
    if (before === undefined) return;
    if (header.time < before.time) throw this.#lie(lsn, "is older than the one before it");
    if (header.lowestPageCount > before.pageCount)
      throw this.#lie(
        lsn,
        `passed through ${header.lowestPageCount} pages at least, the commit before it has ${before.pageCount}`,
      );
  }

  #lie(lsn: Lsn, what: string): PagefoldError {
    const volume = this.#run.directory.volumeOf(lsn);
    return new PagefoldError(
      "corrupt",
      `commit ${lsn} of volume ${volume} ${what}; the store was tampered with or mixed up: restore the object from a copy of it`,
      { details: { volume, lsn, key: commitKey(volume, lsn) } },
    );
  }
}
