/**
 * Older states of a volume: the state at an LSN (verified against the replica's own place in the log), the log itself, newest first.
 */
import {
  type Hash,
  LSN_ZERO,
  type Lsn,
  type PageCount,
  type StateChecksum,
  type TimeMs,
} from "../base/brand.ts";
import { isPagefoldError, PagefoldError, throwIfAborted } from "../base/errors.ts";
import type { DecodedCommit } from "../format/commit-codec.ts";
import { restoredPages, touchedPageCount } from "../format/commit-pages.ts";
import { forkPoint } from "../format/model.ts";
import type { PageSet } from "../format/page-set.ts";
import { hashOf, type RemoteState } from "../volume/remote-state.ts";
import { buildState } from "./build-state.ts";
import { fetchChain } from "./chain-fetch.ts";
import { loadCommits, proveCommit } from "./commit-lookup.ts";
import { type ReplicaContext, sourceOf } from "./context.ts";
import { fetchCheckpoint, newestFloorOf } from "./floor.ts";
import { logBottom } from "./kept.ts";

type Options = { readonly signal?: AbortSignal };

/** Where some of a commit's pages lie. */
export interface LogSegment {
  /** undefined: within the commit object. */
  readonly id: string | undefined;
  readonly firstPage: number;
  readonly lastPage: number;
  /** Frames, index and digests, as stored. */
  readonly bytes: number;
}

/** One line of the log. */
export interface LogEntry {
  readonly lsn: Lsn;
  readonly time: TimeMs;
  /** Pages changed, zeroed or restored. */
  readonly pages: number;
  readonly pageCount: PageCount;
  /** Exact length of the volume in bytes. */
  readonly byteLength: number;
  /** Bytes that the commit's frames, indexes and digests take in the store. */
  readonly bytes: number;
  readonly hash: Hash;
  readonly stateChecksum: StateChecksum;
  /** The pages with new bytes, those that became zeros, and those that went back to what older commits wrote. */
  readonly changed: PageSet;
  readonly zeroed: PageSet;
  readonly restored: PageSet;
  /** Of a restore: the LSN whose state it brought back. */
  readonly restoredFrom: Lsn | undefined;
  readonly segments: readonly LogSegment[];
}

/** The state at an LSN that the replica has seen. @throws `not_found` for an LSN beyond the replica's. */
export async function stateOf(
  context: ReplicaContext,
  lsn: number,
  options: Options = {},
): Promise<RemoteState> {
  const { replica } = context;
  const { base } = replica.state;
  const { volume } = replica.manifest;
  if (!Number.isSafeInteger(lsn) || lsn < 0) {
    throw new PagefoldError("invalid", `an LSN is a whole number from 0 on, not ${lsn}`);
  }
  if (lsn > base.lsn) {
    throw new PagefoldError("not_found", `volume ${volume} has no commit ${lsn}: its newest is ${base.lsn}`, {
      details: { volume, lsn },
    });
  }
  if (lsn === base.lsn) return base;
  const at = lsn as Lsn;
  const source = sourceOf(context);
  const hash = at === LSN_ZERO ? undefined : await hashBelow(context, at, options);
  return (await buildState(source, at, { hash, ...options })).state;
}

/**
 * The hash of an older commit, proven down from where the replica stands; its header is learned with it. Undefined where commits on the way were
 * collected: then the floor's word counts.
 */
async function hashBelow(context: ReplicaContext, lsn: Lsn, { signal }: Options): Promise<Hash | undefined> {
  const { replica, remote, codecs, fetcher, frames } = context;
  const { directory, manifest } = replica;
  const { base } = replica.state;
  const point = forkPoint(manifest);
  // A fork's manifest proves the commit at its fork point, whatever was collected above.
  const top = lsn <= point && point < base.lsn ? { lsn: point, hash: manifest.forkHash } : base;
  const known = directory.floor(directory.volumeOf(lsn));
  if (known !== undefined && known.lsn > lsn) return top.lsn === lsn ? top.hash : undefined;
  try {
    const [[lowest], commits] = await Promise.all([
      top.lsn === lsn ? [] : fetchChain({ store: remote, directory, codecs, signal, from: { lsn }, to: top }),
      fetcher.run(loadCommits(frames, [lsn], { mayBeGone: true }), signal),
    ]);
    const hash =
      lowest === undefined ? top.hash! : lowest.commit.header.jumpHashes[lowest.rollups.length - 1]!;
    const commit = commits.get(lsn);
    if (commit !== undefined) proveCommit(frames, commit, hash);
    return hash;
  } catch (error) {
    if (!isPagefoldError(error, "not_found")) throw error;
    // Each volume on the way has a floor of its own.
    const ancestors = manifest.ancestors.filter((each) => each.lsn >= lsn);
    for (const volume of [manifest.volume, ...ancestors.map((each) => each.volume)]) {
      const floor = await newestFloorOf(sourceOf(context), volume, { signal });
      if (floor !== undefined && floor.lsn > lsn) return undefined;
    }
    throw error;
  }
}

/** How many headers are fetched together when the log is walked. */
const LOG_BATCH = 32;

export interface WalkOptions extends Options {
  /** Where to begin, proven; the replica's place by default. */
  readonly top?: { readonly lsn: Lsn; readonly hash: Hash };
  /** The oldest commit that is wanted; default 1. */
  readonly bottom?: number;
  /** How many are wanted: no more headers are fetched. */
  readonly limit?: number;
}

/** The remote log from the replica's place downward, newest first, each entry verified against the one above it; below the floor what is kept. */
export async function* walkLog(
  context: ReplicaContext,
  options: WalkOptions = {},
): AsyncGenerator<LogEntry, void, undefined> {
  const { replica, fetcher, frames } = context;
  const { base } = replica.state;
  const { signal, top = base, bottom = 1, limit = Number.POSITIVE_INFINITY } = options;
  if (base.lsn === 0) return;
  let expected = options.top?.hash ?? hashOf(base);
  const last = Math.max(bottom, 1, top.lsn - limit + 1);
  for (let from: number = top.lsn; from >= last; from -= LOG_BATCH) {
    throwIfAborted(signal, "reading the log");
    const lsns: Lsn[] = [];
    for (let lsn = from; lsn >= last && lsn > from - LOG_BATCH; lsn--) lsns.push(lsn as Lsn);
    const commits = await fetcher.run(loadCommits(frames, lsns, { mayBeGone: true }), signal);
    for (const lsn of lsns) {
      const found = commits.get(lsn);
      if (found === undefined) {
        yield* walkKept(context, lsn, bottom, options);
        return;
      }
      const commit = proveCommit(frames, found, expected);
      expected = commit.header.jumpHashes[0]!;
      yield logEntry(commit);
    }
  }
}

/** Below the floor, the commits that are kept. @throws `corrupt` where one is missing that was not collected */
export async function* walkKept(
  context: ReplicaContext,
  from: Lsn,
  last: number,
  { signal }: Options,
): AsyncGenerator<LogEntry, void, undefined> {
  const bottom = await logBottom(context, { signal });
  if (bottom === undefined || (bottom.floor.lsn <= from && !bottom.below.some(({ lsn }) => lsn <= from))) {
    await context.fetcher.run(loadCommits(context.frames, [from]), signal);
    return;
  }
  for (const { lsn, hash } of [...bottom.below].reverse()) {
    if (lsn > from || lsn < last) continue;
    throwIfAborted(signal, "reading the log");
    const loaded = await fetchCheckpoint(context, { volume: bottom.volume, lsn, hash }, { signal });
    if (loaded !== undefined) yield logEntry(loaded.checkpoint.commit);
  }
}

/** A proven commit as a line of the log. */
export function logEntry({ header, hash, headerLength }: DecodedCommit): LogEntry {
  return {
    lsn: header.lsn,
    time: header.time,
    pages: touchedPageCount(header),
    pageCount: header.pageCount,
    byteLength: header.byteLength,
    bytes: headerLength + header.segments.reduce((sum, segment) => sum + segment.length, 0),
    hash,
    stateChecksum: header.stateChecksum,
    changed: header.changed,
    zeroed: header.zeroed,
    restored: restoredPages(header),
    restoredFrom: header.restoredFrom,
    segments: header.segments.map(({ id, firstPage, lastPage, length }) => ({
      id,
      firstPage,
      lastPage,
      bytes: length,
    })),
  };
}
