/**
 * Which commit was the newest at some time: a search down the skip list of the log, whose jump hashes prove every header on the way.
 */
import { LSN_ZERO, type Lsn } from "../base/brand.ts";
import { isPagefoldError, PagefoldError } from "../base/errors.ts";
import { type DecodedCommit, decodeCommit } from "../format/commit-codec.ts";
import { pathDown } from "../format/jumps.ts";
import { hashOf } from "../volume/remote-state.ts";
import { loadCommits, proveCommit } from "./commit-lookup.ts";
import type { ReplicaContext } from "./context.ts";
import { type LogBottom, logBottom } from "./kept.ts";

type Options = { readonly signal?: AbortSignal };

/**
 * The newest commit, of those that the replica has seen, whose time is `time` or earlier. At most 2·log2(n) requests for n commits: one round
 * trip for the coarse steps, then one each for the fine ones.
 * @param time milliseconds since 1970
 * Below the floor, the newest that is kept.
 * @throws `not_found` before the first commit, naming its time; `corrupt` for a commit that the log does not name
 */
export async function lsnAt(context: ReplicaContext, time: number, options: Options = {}): Promise<Lsn> {
  if (!Number.isFinite(time)) throw new PagefoldError("invalid", "an invalid Date names no commit");
  const { replica } = context;
  const { base } = replica.state;
  if (base.lsn === 0) throw tooEarly(context, time, undefined);
  if (base.time <= time) return base.lsn;
  try {
    return await search(context, time, undefined, options);
  } catch (error) {
    if (!isPagefoldError(error, "corrupt")) throw error;
    // Commits on the way may have been collected.
    const bottom = await logBottom(context, options);
    if (bottom === undefined) throw error;
    return search(context, time, bottom, options);
  }
}

async function search(
  context: ReplicaContext,
  time: number,
  bottom: LogBottom | undefined,
  options: Options,
): Promise<Lsn> {
  const { base } = context.replica.state;
  const lowest = bottom?.floor.checkpoints.find(({ lsn }) => lsn === bottom.floor.lsn);
  if (bottom !== undefined && (bottom.floor.lsn > base.lsn || (lowest?.time ?? 0) > time)) {
    const kept = bottom.below.findLast((each) => each.time <= time);
    if (kept === undefined) throw tooEarly(context, time, (bottom.below[0] ?? lowest)?.time);
    return kept.lsn;
  }
  const least = bottom?.floor.lsn ?? LSN_ZERO;
  let { later, bound } = await coarse(context, time, least, options);
  while (later.header.lsn - bound > 1) {
    const step = stepInto(later, bound);
    const lsn = (later.header.lsn - 2 ** step) as Lsn;
    const commits = await context.fetcher.run(loadCommits(context.frames, [lsn]), options.signal);
    const middle = proveCommit(context.frames, commits.get(lsn)!, later.header.jumpHashes[step]!);
    if (middle.header.time > time) later = middle;
    else bound = lsn;
  }
  if (bound === LSN_ZERO) throw tooEarly(context, time, later.header.time);
  return bound;
}

/** Commit `later` comes after the time; the one at `bound` does not, or is LSN 0. Nothing below `bound` is asked for: it may have been collected. */
interface Bracket {
  readonly later: DecodedCommit;
  readonly bound: Lsn;
}

/** The largest step down from a commit that stays above `bound`: half the way where the commit has all its jump hashes. */
function stepInto({ header }: DecodedCommit, bound: Lsn): number {
  let step = header.bands.length;
  while (2 ** step >= header.lsn - bound) step--;
  return step;
}

/** Walks from the newest commit, which comes after the time, down by the largest steps there are, until one passes the time. */
async function coarse(context: ReplicaContext, time: number, least: Lsn, options: Options): Promise<Bracket> {
  const { fetcher, frames, replica, codecs } = context;
  const { base, baseHeader } = replica.state;
  const { directory } = replica;
  if (directory.commit(base.lsn) === undefined) {
    directory.learn(decodeCommit(baseHeader!, codecs.hash, { lsn: base.lsn, hash: hashOf(base) }));
  }
  const path = pathDown(base.lsn, least);
  const lsns = path.map(({ lsn }) => lsn);
  const commits = await fetcher.run(loadCommits(frames, lsns), options.signal);
  let later = proveCommit(frames, commits.get(base.lsn)!, hashOf(base));
  let { step } = path[0]!;
  for (const next of path.slice(1)) {
    const named = later.header.jumpHashes[step];
    // A commit with fewer jump hashes than its LSN could carry does not prove this one: from there on it is smaller steps.
    if (named === undefined) break;
    const commit = proveCommit(frames, commits.get(next.lsn)!, named);
    if (commit.header.time <= time) return { later, bound: next.lsn };
    later = commit;
    step = next.step;
  }
  return { later, bound: least };
}

function tooEarly(context: ReplicaContext, time: number, oldest: number | undefined): PagefoldError {
  const { volume } = context.replica.manifest;
  const what =
    oldest === undefined
      ? "it has no commit yet"
      : `its oldest commit is of ${dateText(oldest)}; ask for that`;
  return new PagefoldError("not_found", `volume ${volume} had no commit at ${dateText(time)}: ${what}`, {
    details: { volume, time, ...(oldest === undefined ? {} : { oldest }) },
  });
}

/** Times of commits are any integer; a Date ends in the year 275760. */
function dateText(time: number): string {
  return Math.abs(time) <= 8.64e15 ? new Date(time).toISOString() : `${time} ms`;
}
