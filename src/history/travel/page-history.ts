/**
 * Which commits touched one page, newest first, without looking at the others: bands of the skip list say who wrote a page last in a run of commits.
 * O(log n) requests for each commit that is found.
 */
import { type Hash, LSN_ZERO, type Lsn } from "../../base/brand.ts";
import { isPagefoldError, PagefoldError, throwIfAborted } from "../../base/errors.ts";
import type { DecodedCommit } from "../../format/commit-codec.ts";
import { touchedPages } from "../../format/commit-pages.ts";
import { pathDown } from "../../format/jumps.ts";
import type { PageWriter } from "../../format/model.ts";
import { fetchChain } from "../../replicate/chain-fetch.ts";
import { loadCommits, proveCommit } from "../../replicate/commit-lookup.ts";
import type { ReplicaContext } from "../../replicate/context.ts";
import { fetchCheckpoint } from "../../replicate/floor.ts";
import { type LogBottom, logBottom } from "../../replicate/kept.ts";
import type { ChainStep } from "../../volume/remote-state.ts";

type Options = { readonly signal?: AbortSignal };

/** A commit's place in the log, proven. */
export interface Place {
  readonly lsn: Lsn;
  readonly hash: Hash;
}

/** Steps of a way down that are fetched together: the first ones are small, and often enough. */
const STEPS_AT_ONCE = 4;

/**
 * The commits from `top` downward that gave the page other bytes, or the same again: wrote, zeroed or restored it. Ends where the page's present life began:
 * what was before a shrink that cut it off is not found. Below the floor, those of the commits that are kept.
 */
export async function* pageHistory(
  context: ReplicaContext,
  page: number,
  top: Place,
  options: Options = {},
): AsyncGenerator<DecodedCommit, void, undefined> {
  // Asked for when something on the way is gone: mostly nothing is.
  let floor: LogBottom | undefined;
  for (let place = top; place.lsn > 0; ) {
    const above = floor === undefined ? LSN_ZERO : lowestOf(context, floor);
    let commit: DecodedCommit | "cut off" | undefined;
    try {
      commit = place.lsn > above ? await lastTouch(context, page, place, above, options) : undefined;
    } catch (error) {
      if (floor !== undefined || !isPagefoldError(error, "not_found")) throw error;
      floor = await logBottom(context, options);
      if (floor === undefined) throw error;
      continue;
    }
    if (commit === "cut off") return;
    if (commit === undefined) {
      if (floor !== undefined) yield* keptTouches(context, page, place.lsn, floor, options);
      return;
    }
    yield commit;
    const { lsn, jumpHashes } = commit.header;
    place = { lsn: (lsn - 1) as Lsn, hash: jumpHashes[0]! };
  }
}

/** From where on nothing was collected. */
function lowestOf({ replica }: ReplicaContext, { floor, volume }: LogBottom): Lsn {
  const shared = replica.manifest.ancestors.find((ancestor) => ancestor.volume === volume);
  // An ancestor's floor may have gone past what is shared with it.
  return shared !== undefined && shared.lsn < floor.lsn ? shared.lsn : floor.lsn;
}

/** Of the commits that are kept up to an LSN, at the floor and below, those that touched the page. */
export async function* keptTouches(
  context: ReplicaContext,
  page: number,
  from: Lsn,
  { floor, below, volume }: LogBottom,
  options: Options = {},
): AsyncGenerator<DecodedCommit, void, undefined> {
  const itself = floor.checkpoints.filter(({ lsn }) => lsn === floor.lsn);
  const kept = [...below.filter(({ lsn }) => lsn !== floor.lsn), ...itself];
  for (const { lsn, hash } of kept.reverse()) {
    if (lsn > from) continue;
    throwIfAborted(options.signal, "reading the log");
    const loaded = await fetchCheckpoint(context, { volume, lsn, hash }, options);
    if (loaded === undefined) continue;
    const { commit } = loaded.checkpoint;
    if (touchedPages(commit.header).has(page)) yield commit;
    if (commit.header.lowestPageCount < page) return;
  }
}

/**
 * The newest commit after `above`, up to a place, that touched the page; undefined where none did, "cut off" where the page is not there.
 * @throws `not_found` where commits on the way are gone
 */
async function lastTouch(
  context: ReplicaContext,
  page: number,
  top: Place,
  above: Lsn,
  options: Options,
): Promise<DecodedCommit | "cut off" | undefined> {
  const { frames, fetcher } = context;
  for (let place = top; place.lsn > above; ) {
    const path = pathDown(place.lsn, above).slice(0, STEPS_AT_ONCE);
    const { lsn, step } = path[path.length - 1]!;
    const steps = await stepsDown(context, place, (lsn - 2 ** step) as Lsn, options);
    const run = newestRun(steps, page);
    if (run === "cut off") return run;
    if (run === undefined) {
      place = bottomOf(steps);
      continue;
    }
    const touch = await newestWithin(context, page, run, options);
    const loaded = await fetcher.run(loadCommits(frames, [touch.lsn], { mayBeGone: true }), options.signal);
    const commit = loaded.get(touch.lsn);
    if (commit === undefined) throw gone(context, touch.lsn);
    return proveCommit(frames, commit, touch.hash);
  }
  return undefined;
}

function gone({ replica, remote }: ReplicaContext, lsn: Lsn): PagefoldError {
  const volume = replica.directory.volumeOf(lsn);
  return new PagefoldError(
    "not_found",
    `commit ${lsn} of volume ${volume} is not in ${remote.url}; fetch again, or check the store`,
    { details: { volume, lsn } },
  );
}

/** A run of commits whose merged changes name a writer of the page. */
interface Run {
  readonly from: Lsn;
  readonly to: Place;
  readonly writer: PageWriter;
}

/**
 * The newest commit of a run that touched the page. That is the writer which the run names, unless a later commit restored what that had written: then the
 * commits between the two name it, too.
 */
async function newestWithin(
  context: ReplicaContext,
  page: number,
  run: Run,
  options: Options,
): Promise<Place> {
  const { from, to, writer } = run;
  const isInside = writer.lsn > from;
  if (to.lsn - from === 1 || writer.lsn === to.lsn) return to;
  const steps = await stepsDown(context, to, isInside ? writer.lsn : from, options);
  const later = newestRun(steps, page);
  if (later !== undefined && later !== "cut off") return newestWithin(context, page, later, options);
  if (isInside) return bottomOf(steps);
  const { volume } = context.replica.manifest;
  throw new PagefoldError(
    "corrupt",
    `a rollup of volume ${volume} says that a commit from ${from + 1} to ${to.lsn} restored page ${page}, and none of them did; run \`pagefold verify\``,
    { details: { volume, lsn: to.lsn, page } },
  );
}

/** The verified steps from a place down to an LSN, newest first. */
async function stepsDown(
  { replica, remote, codecs }: ReplicaContext,
  to: Place,
  from: Lsn,
  { signal }: Options,
): Promise<ChainStep[]> {
  const fetching = { store: remote, directory: replica.directory, codecs, signal };
  return (await fetchChain({ ...fetching, from: { lsn: from }, to })).reverse();
}

/** What lies below the last of some steps, newest first. */
function bottomOf(steps: readonly ChainStep[]): Place {
  const { from, commit, rollups } = steps[steps.length - 1]!;
  return { lsn: from, hash: commit.header.jumpHashes[rollups.length - 1]! };
}

/** The newest run of the steps, newest first, that touched the page, unless a later one has cut it off. */
function newestRun(steps: readonly ChainStep[], page: number): Run | "cut off" | undefined {
  for (const { commit, rollups } of steps) {
    for (const [i, { from, to, writers, lowestPageCount }] of rollups.entries()) {
      const writer = writers.find(({ pages }) => pages.has(page));
      const hash = i === 0 ? commit.hash : commit.header.jumpHashes[i - 1]!;
      if (writer !== undefined) return { from, to: { lsn: to, hash }, writer };
      if (lowestPageCount < page) return "cut off";
    }
  }
  return undefined;
}
