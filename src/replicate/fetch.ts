/**
 * Learning what the remote has (`fetch`), moving there (`pull`), letting go of local commits (`reset`), and where the two stand
 * (`status`). Each finishes an unfinished push first, because its outcome decides what is ahead.
 */
import { assert } from "../base/assert.ts";
import { LSN_ZERO, type Lsn, type PageCount } from "../base/brand.ts";
import { isPagefoldError, PagefoldError } from "../base/errors.ts";
import { forkPoint } from "../format/model.ts";
import type { ChainStep, RemoteState } from "../volume/remote-state.ts";
import { shapeOf } from "../volume/replica.ts";
import { buildState } from "./build-state.ts";
import { fetchChain } from "./chain-fetch.ts";
import { confirmBase, lostHistory } from "./confirm.ts";
import { type LearnedRemote, type ReplicaContext, sourceOf } from "./context.ts";
import { checkpointsIfAway, type ListedCheckpoint, learnOver, worthGoingOver } from "./far-ahead.ts";
import { newestFloorOf } from "./floor.ts";
import { findHead } from "./head.ts";
import { nextStep, type Verb, type VerbStep } from "./verb-machine.ts";

type Options = { readonly signal?: AbortSignal };
/** `head`: the newest commit, where the caller has just asked for it. */
type PullOptions = Options & {
  readonly head?: Lsn;
  /** The number of the newest floor that a listing showed, where the volume is new here. */
  readonly floor?: number;
};

export interface FetchResult {
  /** The newest remote commit. */
  readonly lsn: Lsn;
  /** How many commits the replica is behind it. */
  readonly behind: number;
}

export interface PullResult {
  readonly from: Lsn;
  readonly to: Lsn;
  /** Pages that differ in who wrote them last. */
  readonly changedPages: number;
}

export type SyncState = "clean" | "ahead" | "behind" | "diverged";

export interface ReplicaStatus {
  readonly volume: string;
  readonly state: SyncState;
  /** The remote commit that the replica stands on. */
  readonly lsn: Lsn;
  /** The newest remote commit as of the last fetch. */
  readonly remoteLsn: Lsn;
  /** Local commits that were not pushed. */
  readonly ahead: number;
  readonly behind: number;
  readonly pageCount: PageCount;
  readonly pageSize: number;
  readonly byteLength: number;
  /** A push was begun and its outcome is not known. */
  readonly pendingPush: boolean;
}

/** Learns the remote's new commits in two round trips, whatever their number; the replica stays where it is. */
export async function fetchRemote(context: ReplicaContext, options: PullOptions = {}): Promise<FetchResult> {
  return context.moves.run(async () => {
    const { head } = await prepare(context, "fetch", options);
    const { base } = context.replica.state;
    return { lsn: head ?? base.lsn, behind: (head ?? base.lsn) - base.lsn };
  }, options.signal);
}

/** Fetches and moves to the newest commit. @throws `diverged` when there are local commits and new remote ones. */
export async function pull(context: ReplicaContext, options: PullOptions = {}): Promise<PullResult> {
  return context.moves.run(async () => {
    const { head } = await prepare(context, "pull", options);
    // Writers wait meanwhile: a commit made on the old base must not slip under the new one.
    return context.writers.run(async () => {
      const from = context.replica.state.base.lsn;
      const step = stepOf(context, "pull", head);
      if (step === "diverged") throw divergedError(context);
      return step === "move" ? moveTo(context) : { from, to: from, changedPages: 0 };
    }, options.signal);
  }, options.signal);
}

/**
 * Drops every local commit that was not pushed; an unfinished push is finished first. Answers how many were dropped.
 * @param options.pull and moves to the newest remote commit, in one step with that: where it cannot be learned, nothing is dropped, and
 * no local commit can come in between
 */
export async function reset(
  context: ReplicaContext,
  options: Options & { readonly pull?: boolean } = {},
): Promise<{ readonly dropped: number }> {
  return context.moves.run(async () => {
    const { head } = await prepare(context, options.pull === true ? "fetch" : "reset", options);
    return context.writers.run(async () => {
      const { commits } = context.replica.state;
      if (stepOf(context, "reset") === "drop" && commits.last !== undefined) {
        context.log.reset(context.replica, commits.last.sequence);
      }
      if (head !== undefined && stepOf(context, "pull", head) === "move") moveTo(context);
      context.onStatus();
      return { dropped: commits.length };
    }, options.signal);
  }, options.signal);
}

/** Where replica and remote stand, as of the last fetch. */
export function statusOf(context: ReplicaContext): ReplicaStatus {
  const { replica, learned } = context;
  const { base, commits, intent } = replica.state;
  const { pageCount, byteLength } = shapeOf(replica.state);
  const ahead = commits.length;
  const remoteLsn = Math.max(learned?.lsn ?? 0, base.lsn) as Lsn;
  const behind = remoteLsn - base.lsn;
  const state = ahead > 0 ? (behind > 0 ? "diverged" : "ahead") : behind > 0 ? "behind" : "clean";
  return {
    volume: replica.manifest.volume,
    state,
    lsn: base.lsn,
    remoteLsn,
    ahead,
    behind,
    pageCount,
    pageSize: replica.manifest.pageSize,
    byteLength,
    pendingPush: intent !== undefined,
  };
}

/** The steps of a verb that ask the remote; what remains moves the replica, or is to be told. */
async function prepare(context: ReplicaContext, verb: Verb, options: PullOptions): Promise<{ head?: Lsn }> {
  let head: Lsn | undefined;
  for (;;) {
    const step = stepOf(context, verb, head);
    if (step === "settle") await (await import("./push.ts")).settlePush(context, options);
    else if (step === "learn") head = await learn(context, options);
    else return head === undefined ? {} : { head };
  }
}

function stepOf(context: ReplicaContext, verb: Verb, head?: Lsn): VerbStep {
  const { base, commits, intent } = context.replica.state;
  const standing = { intentOpen: intent !== undefined, unpushed: commits.length, base: base.lsn };
  return nextStep(verb, { ...standing, head, acted: false });
}

/** Learns the way from the base to the newest commit, and answers that; needs the caller to hold `moves`. */
async function learn(context: ReplicaContext, options: PullOptions): Promise<Lsn> {
  const { replica, remote } = context;
  const { base } = replica.state;
  const { volume } = replica.manifest;
  // What the caller was told may be older than where another caller has moved the replica since.
  const told = options.head !== undefined && options.head >= base.lsn ? options.head : undefined;
  const search = {
    known: base.lsn,
    forkPoint: forkPoint(replica.manifest),
    floorLsn: async () =>
      (await newestFloorOf(sourceOf(context), volume, signalOf(options)))?.lsn ?? LSN_ZERO,
  };
  if (told === undefined) await remote.prime(volume, base.lsn, signalOf(options));
  const [head, listed] = await Promise.all([
    told ?? findHead(remote, volume, search, options),
    checkpointsIfAway(context, { head: told, ...signalOf(options) }),
  ]);
  if (head < base.lsn) {
    context.confirmed = false;
    throw lostHistory(context, head);
  }
  if (head === base.lsn) {
    await confirmBase(context, options);
    context.learned = { lsn: head, steps: [] };
  } else if (context.learned?.lsn !== head || stale(context)) {
    const way = await wayTo(context, head, listed, options);
    context.confirmed = true;
    context.learned = { lsn: head, ...way };
  }
  context.onStatus();
  return head;
}

/**
 * The way from the base to the newest commit. Where this side has nothing yet, or commits behind its base were collected, the newest state as a whole:
 * a replica's pages stay good, as they are known by who wrote them.
 */
async function wayTo(
  context: ReplicaContext,
  head: Lsn,
  listed: readonly ListedCheckpoint[],
  options: PullOptions,
): Promise<Omit<LearnedRemote, "lsn">> {
  const { replica, remote, codecs } = context;
  const { manifest, directory, state } = replica;
  const { base } = state;
  const { signal } = options;
  const source = sourceOf(context);
  if (base.lsn < Math.max(1, forkPoint(manifest))) {
    return { steps: [], built: await buildState(source, head, { signal, floor: options.floor }) };
  }
  const over = worthGoingOver(context, head, listed);
  if (over !== undefined && (await learnOver(context, head, over, signalOf(options))))
    return { steps: [], built: await buildState(source, head, { signal }) };
  try {
    const known = { store: remote, directory, codecs, signal };
    return { steps: await fetchChain({ ...known, from: base, to: { lsn: head } }) };
  } catch (error) {
    // Where a commit was collected there may be another one, of a writer who slept: nothing builds on it.
    if (!isPagefoldError(error, "not_found", "corrupt")) throw error;
    const floor = await newestFloorOf(source, manifest.volume, { signal });
    if (floor === undefined || floor.lsn <= base.lsn) throw error;
    return { steps: [], built: await buildState(source, head, { signal }) };
  }
}

/** What was learned starts at another base than the replica's. */
function stale({ learned, replica }: ReplicaContext): boolean {
  if (learned?.built !== undefined) return false;
  const first = learned?.steps[0];
  return first === undefined || first.from !== replica.state.base.lsn;
}

/** Moves along what was learned; needs the caller to hold `moves` and `writers`. */
function moveTo(context: ReplicaContext): PullResult {
  const { replica, log, learned } = context;
  const from = replica.state.base.lsn;
  assert(learned !== undefined, "moving before anything was learned");
  const { steps, built } = learned;
  const before = replica.state.base;
  if (built?.header !== undefined) log.rebase(replica, built.state, built.header);
  else log.sync(replica, steps);
  const changedPages = built === undefined ? pagesIn(steps) : differing(before, built.state);
  context.learned = { lsn: learned.lsn, steps: [] };
  context.onStatus();
  return { from, to: learned.lsn, changedPages };
}

function pagesIn(steps: readonly ChainStep[]): number {
  let pages = 0;
  for (const { rollups } of steps)
    for (const { writers } of rollups) for (const writer of writers) pages += writer.pages.size;
  return pages;
}

/** Pages that another commit wrote last, or that are there in one state only. O(runs) */
function differing(before: RemoteState, after: RemoteState): number {
  let pages = 0;
  for (const run of after.table.runs(1, Math.max(before.pageCount, after.pageCount))) {
    for (const old of before.table.runs(run.first, run.last)) {
      if (old.value !== run.value) pages += old.last - old.first + 1;
    }
  }
  return pages;
}

function divergedError(context: ReplicaContext): PagefoldError {
  const { replica, learned } = context;
  const { base, commits } = replica.state;
  const { volume } = replica.manifest;
  return new PagefoldError(
    "diverged",
    `volume ${volume} has ${commits.length} local commit(s) on LSN ${base.lsn} that were not pushed, and the remote has gone on to LSN ${learned?.lsn}; ` +
      "nothing was changed: fork (keep the local commits as a new volume), reset (drop them), or write their changes again after a reset",
    { details: { volume, lsn: base.lsn, remoteLsn: learned?.lsn, ahead: commits.length } },
  );
}

function signalOf({ signal }: Options): Options {
  return signal === undefined ? {} : { signal };
}
