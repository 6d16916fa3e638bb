/**
 * Sends local commits as one remote commit: builds it, records the exact bytes, creates it if absent, records the outcome. The
 * protocol itself is `push-machine.ts`; here are its actions.
 */
import type { Lsn, PageIdx, TimeMs } from "../base/brand.ts";
import { abortedError, isPagefoldError, PagefoldError } from "../base/errors.ts";
import { isZeroPage, StateChecksumSum } from "../format/checksum.ts";
import { decodeCommit } from "../format/commit-codec.ts";
import { commitKey } from "../format/keys.ts";
import { PageSet, PageSetBuilder } from "../format/page-set.ts";
import { assertWritable } from "../remote/writable.ts";
import type { RemoteState } from "../volume/remote-state.ts";
import { type LocalCommit, type MergedCommits, mergeCommits } from "../volume/replica.ts";
import { CommitWriter, type FinishedCommit } from "./commit-writer.ts";
import { confirmBase } from "./confirm.ts";
import type { ReplicaContext } from "./context.ts";
import { digestsOf } from "./digests.ts";
import { writeHint } from "./head.ts";
import {
  freshPush,
  type PushEvent,
  type PushState,
  pushAction,
  pushNext,
  recoveredPush,
} from "./push-machine.ts";

type Options = { readonly signal?: AbortSignal };

export interface PushResult {
  /** The remote commit that now holds the changes; the base's where there was nothing to push. */
  readonly lsn: Lsn;
  /** Local commits that went into it. */
  readonly commits: number;
  readonly changedPages: number;
  /** Bytes put into the store. */
  readonly storedBytes: number;
}

/** Requests sent for one commit before the push is left unfinished for a later one. */
const MAX_ATTEMPTS = 5;
const RETRY_BASE_MS = 100;
/** How often the head hint is rewritten, in commits. */
const HINT_EVERY = 16;

/**
 * Pushes all local commits as one remote commit.
 * @throws `diverged` when another writer's commit came first (nothing is dropped), `unavailable` when the store did not answer: the
 * push is then finished by the next push, pull, fetch or reset.
 */
export async function push(context: ReplicaContext, options: Options = {}): Promise<PushResult> {
  return context.moves.run(async () => {
    const recovered = await settlePush(context, options);
    const { replica } = context;
    const { commits, base } = replica.state;
    const merged = mergeCommits(commits, PageSet.empty);
    if (merged === undefined) {
      return recovered ?? { lsn: base.lsn, commits: 0, changedPages: 0, storedBytes: 0 };
    }
    await assertWritable(context.remote, context.runtime);
    await confirmBase(context, options);
    const commit = await buildPush(context, commits, merged, options.signal);
    await publish(context, commit, merged.throughSequence, options);
    const { changed, zeroed } = commit.header;
    return {
      lsn: commit.lsn,
      commits: commits.length,
      changedPages: changed.size + zeroed.size,
      storedBytes: commit.storedBytes,
    };
  }, options.signal);
}

/** Records the intent and runs the protocol to its end. @throws `diverged` when another writer won the LSN. */
export async function publish(
  context: ReplicaContext,
  commit: FinishedCommit,
  throughSequence: number,
  options: Options,
): Promise<void> {
  const { lsn, hash, object } = commit;
  context.log.beginPush(context.replica, { lsn, hash, throughSequence, object });
  await runPush(context, freshPush, options);
  const { changed, zeroed } = commit.header;
  context.onCommit({
    volume: commit.header.volume,
    lsn,
    where: "remote",
    changedPages: changed.size + zeroed.size,
  });
}

/**
 * Finishes a push whose outcome is not known: one that was cut off by a crash, an abort or an unreachable store. Answers what it
 * pushed, or undefined when there was none or another writer had won.
 * @param options.insist throw `unavailable` rather than leave it unfinished
 */
export async function settlePush(
  context: ReplicaContext,
  options: Options & { readonly insist?: boolean } = {},
): Promise<PushResult | undefined> {
  const { intent, commits } = context.replica.state;
  if (intent === undefined) return undefined;
  try {
    await runPush(context, recoveredPush, options);
  } catch (error) {
    if (isPagefoldError(error, "diverged")) return undefined;
    throw error;
  }
  return {
    lsn: intent.lsn,
    commits: commits.filter(({ sequence }) => sequence <= intent.throughSequence).length,
    changedPages: 0,
    storedBytes: intent.object.length,
  };
}

async function runPush(context: ReplicaContext, start: PushState, options: Options): Promise<void> {
  let state = start;
  let failure: unknown;
  for (;;) {
    const action = pushAction(state);
    if (action.do === "finish") return finish(context, action.result, failure);
    const step: { event?: PushEvent; failure?: unknown } =
      action.do === "create" ? await create(context, options) : await readBack(context, options);
    failure = step.failure ?? failure;
    if (step.event !== undefined) state = pushNext(state, step.event);
    if (options.signal?.aborted) throw unfinished(context, abortedError("the push", options.signal.reason));
    const attempts = state.at === "recorded" || state.at === "asking" ? state.attempts : 0;
    if (step.event === undefined || attempts >= MAX_ATTEMPTS) throw unfinished(context, failure);
    if (state.at === "recorded" && attempts > 0) {
      await context.runtime.sleep(
        RETRY_BASE_MS * 2 ** attempts * (0.5 + context.runtime.random()),
        options.signal,
      );
    }
  }
}

interface Step {
  readonly event?: PushEvent;
  readonly failure?: unknown;
}

async function create(context: ReplicaContext, options: Options): Promise<Step> {
  const { replica, remote } = context;
  const intent = replica.state.intent!;
  try {
    const answer = await remote.put(commitKey(replica.manifest.volume, intent.lsn), intent.object, {
      ifAbsent: true,
      ...options,
    });
    return { event: { answer } };
  } catch (failure) {
    const certain = isPagefoldError(failure, "unauthorized", "forbidden", "quota", "invalid", "not_found");
    return { event: { answer: certain ? "refused" : "unknown" }, failure };
  }
}

async function readBack(context: ReplicaContext, options: Options): Promise<Step> {
  const { replica, remote, codecs } = context;
  const intent = replica.state.intent!;
  const { volume } = replica.manifest;
  const ours = decodeCommit(intent.object, codecs.hash);
  try {
    const range = { offset: 0, length: Math.max(ours.headerLength, 65_536) };
    const stored = await remote.get(commitKey(volume, intent.lsn), { range, ...options });
    if (stored === undefined) return { event: { found: "absent" } };
    const theirs = decodeCommit(stored, codecs.hash, { volume, lsn: intent.lsn });
    const same = theirs.header.pushId === ours.header.pushId && theirs.hash === ours.hash;
    return { event: { found: same ? "ours" : "another" } };
  } catch (failure) {
    return { failure };
  }
}

/** Writes the outcome down; a commit that was won leaves its pages in the cache, so that nothing of it is fetched again. */
function finish(context: ReplicaContext, result: "won" | "lost" | "refused", failure: unknown): void {
  const { replica, log } = context;
  const intent = replica.state.intent!;
  if (result === "won") {
    const pushed = replica.state.commits.filter(({ sequence }) => sequence <= intent.throughSequence);
    cachePushed(context, pushed, intent.lsn, intent.object);
    log.endPush(replica, "won");
    const commit = decodeCommit(intent.object, context.codecs.hash);
    learnOwn(context, commit.header.lsn);
    context.confirmed = true;
    context.onStatus();
    if (intent.lsn % HINT_EVERY === 0 || intent.lsn === 1) void hint(context, intent.lsn);
    return;
  }
  log.endPush(replica, result);
  context.onStatus();
  const { volume } = replica.manifest;
  if (result === "refused") throw failure;
  context.learned = { lsn: Math.max(intent.lsn, context.learned?.lsn ?? 0) as Lsn, steps: [] };
  throw new PagefoldError(
    "diverged",
    `another writer created commit ${intent.lsn} of volume ${volume} first; the local commits are kept: ` +
      "reset drops them, after which the changes can be made again on the newest state",
    { details: { volume, lsn: intent.lsn } },
  );
}

async function hint(context: ReplicaContext, lsn: Lsn): Promise<void> {
  try {
    await writeHint(context.remote, context.replica.manifest.volume, lsn);
  } catch {
    // A hint is a cache for stores that cannot list; the next push writes another.
    context.recorder.count("push.hint_failed");
  }
}

function unfinished(context: ReplicaContext, cause: unknown): PagefoldError {
  const { intent } = context.replica.state;
  const { volume } = context.replica.manifest;
  return new PagefoldError(
    isPagefoldError(cause, "aborted") ? "aborted" : "unavailable",
    `it is not known whether commit ${intent?.lsn} of volume ${volume} reached ${context.remote.url}; its bytes are kept here, and the next push, pull or reset ` +
      "finds out and finishes it",
    { cause, details: { volume, lsn: intent?.lsn ?? 0 } },
  );
}

/** What was learned of the remote before now starts below our own commit. */
function learnOwn(context: ReplicaContext, lsn: Lsn): void {
  context.learned = { lsn: Math.max(lsn, context.learned?.lsn ?? 0) as Lsn, steps: [] };
}

function cachePushed(
  context: ReplicaContext,
  commits: readonly LocalCommit[],
  lsn: Lsn,
  object: Uint8Array,
): void {
  const { replica, log, cache } = context;
  if (commits.length === 0) return;
  const { header } = decodeCommit(object, context.codecs.hash);
  const bytes = new Uint8Array(replica.manifest.pageSize);
  for (const page of header.changed) {
    const writer = lastWriter(commits, page);
    if (writer === undefined) continue;
    log.readPage(replica, writer, page, bytes);
    cache.put(replica.handle, page, lsn, bytes);
  }
}

function lastWriter(commits: readonly LocalCommit[], page: number): LocalCommit | undefined {
  for (let i = commits.length - 1; i >= 0; i--) {
    const commit = commits[i]!;
    if (commit.changed.has(page) || commit.zeroed.has(page)) return commit;
  }
  return undefined;
}

async function buildPush(
  context: ReplicaContext,
  commits: readonly LocalCommit[],
  merged: MergedCommits,
  signal: AbortSignal | undefined,
): Promise<FinishedCommit> {
  const { replica, log, runtime } = context;
  const { base } = replica.state;
  const writer = new CommitWriter(context, base, signal);
  try {
    const zeros = new PageSetBuilder();
    const bytes = new Uint8Array(replica.manifest.pageSize);
    for (const page of merged.changed) {
      log.readPage(replica, lastWriter(commits, page)!, page, bytes);
      if (isZeroPage(bytes)) zeros.add(page);
      else await writer.add(page, bytes);
    }
    const zeroed = merged.zeroed.union(zeros.build());
    const overwritten = merged.changed.union(merged.zeroed);
    return await writer.finish({
      pageCount: merged.pageCount,
      lowestPageCount: Math.min(
        merged.lowestPageCount,
        base.pageCount,
        merged.pageCount,
      ) as typeof merged.pageCount,
      byteLength: merged.byteLength,
      zeroed,
      time: Math.max(merged.time, runtime.now()) as TimeMs,
      removed: await removedDigests(context, base, overwritten, merged.lowestPageCount, signal),
    });
  } catch (error) {
    await writer.abandon(error);
    throw error;
  }
}

/** The digests of every page of `parent` that a commit overwrites, zeroes or cuts off. */
export async function removedDigests(
  context: ReplicaContext,
  parent: RemoteState,
  overwritten: PageSet,
  lowestPageCount: number,
  signal: AbortSignal | undefined,
): Promise<StateChecksumSum> {
  const { replica, fetcher, frames, cache, codecs } = context;
  const cut = PageSet.range(lowestPageCount + 1, parent.pageCount);
  const pages = overwritten.union(cut).intersect(parent.table.written(parent.pageCount));
  const digester = codecs.hash.pageDigests(replica.manifest.digestSeed);
  const resident = (page: PageIdx, lsn: Lsn, out: Uint8Array, offset: number): boolean => {
    const bytes = cache.get(replica.handle, page, lsn);
    if (bytes === undefined) return false;
    if (!isZeroPage(bytes)) digester.digestInto(page, bytes, out, offset);
    return true;
  };
  const sum = new StateChecksumSum();
  // In slices, so that memory stays bounded when a whole volume is replaced.
  const slice = 65_536;
  for (let from = 0; from < pages.size; from += slice) {
    const some = pages.slice(from, from + slice);
    sum.add(await fetcher.run(digestsOf(frames, parent.table, some, resident), signal), 0);
  }
  return sum;
}
