/**
 * Sends local commits as one remote commit: builds it, records the exact bytes, creates it if absent, records the outcome. The
 * protocol itself is `push-machine.ts`; here are its actions.
 */
import { assert } from "../base/assert.ts";
import type { Lsn } from "../base/brand.ts";
import { abortedError, isPagefoldError, PagefoldError } from "../base/errors.ts";
import { COMMIT_PREFIX_BYTES, commitHeaderLength, decodeCommit } from "../format/commit-codec.ts";
import { touchedPageCount } from "../format/commit-pages.ts";
import { commitKey } from "../format/keys.ts";
import { forkPoint } from "../format/model.ts";
import type { IntentRecord } from "../local/replica-records.ts";
import { assertWritable } from "../remote/writable.ts";
import { mergeCommits } from "../volume/local-commits.ts";
import { overlay } from "../volume/replica.ts";
import type { FinishedCommit } from "./commit-writer.ts";
import { confirmBase, refuseLeftBehind } from "./confirm.ts";
import type { ReplicaContext } from "./context.ts";
import { newestFloor } from "./floor.ts";
import { writeHint } from "./head.ts";
import { buildPush } from "./push-build.ts";
import {
  closing,
  freshPush,
  givesUp,
  type PushEvent,
  type PushState,
  pushAction,
  pushNext,
  recoveredPush,
  whose,
} from "./push-machine.ts";
import { nextStep } from "./verb-machine.ts";

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
    const { replica } = context;
    let result: PushResult | undefined;
    for (let acted = false; ; ) {
      const { intent, commits, base } = replica.state;
      const step = nextStep("push", {
        intentOpen: intent !== undefined,
        unpushed: commits.length,
        base: base.lsn,
        head: undefined,
        acted,
      });
      if (step === "settle") {
        result = await settlePush(context, options);
      } else if (step === "publish") {
        result = await pushCommits(context, options);
        acted = true;
      } else {
        return result ?? { lsn: base.lsn, commits: 0, changedPages: 0, storedBytes: 0 };
      }
    }
  }, options.signal);
}

async function pushCommits(context: ReplicaContext, options: Options): Promise<PushResult> {
  await assertWritable(context.remote, context.runtime);
  await confirmBase(context, options);
  // One state to the end: what is committed here meanwhile goes with the next push.
  const { state } = context.replica;
  const { commits } = state;
  const merged = mergeCommits(commits, state.table);
  assert(merged !== undefined, "publishing without local commits");
  const commit = await buildPush(context, state, merged, options.signal).catch(async (error: unknown) => {
    // What the commit would overwrite was collected: then so was what it builds on.
    if (isPagefoldError(error, "not_found")) await refuseLeftBehind(context, options);
    throw error;
  });
  await publish(context, commit, merged.last.sequence, options);
  return {
    lsn: commit.lsn,
    commits: commits.length,
    changedPages: touchedPageCount(commit.header),
    storedBytes: commit.storedBytes,
  };
}

/**
 * Records the intent and runs the protocol to its end.
 * @param throughSequence the last local commit that is in it; 0 for none (an import)
 * @throws `diverged` when another writer won the LSN; `conflict` when local commits were made while one without any was prepared
 */
export async function publish(
  context: ReplicaContext,
  commit: FinishedCommit,
  throughSequence: number,
  options: Options,
): Promise<void> {
  const { lsn, hash, object } = commit;
  const { volume } = context.replica.manifest;
  const send = async () => {
    if (throughSequence === 0 && context.replica.state.commits.length > 0) {
      throw new PagefoldError(
        "conflict",
        `local commits were made to volume ${volume} while commit ${lsn}, which does not hold them, was prepared; nothing was sent: push or reset them, then run it again`,
        { details: { volume, lsn } },
      );
    }
    context.log.beginPush(context.replica, { lsn, hash, throughSequence, object });
    const end = await runPush(context, freshPush, options);
    if (end.result !== "won") throw end.error;
  };
  // Local commits slip in beside a push that holds local ones, but not under a state that they do not know.
  if (throughSequence === 0) await context.writers.run(send, options.signal);
  else await send();
  context.onCommit({ volume, lsn, where: "remote", changedPages: touchedPageCount(commit.header) });
  context.onPushed?.(commit);
}

/**
 * Finishes a push whose outcome is not known: one that was cut off by a crash, an abort or an unreachable store. Answers what it
 * pushed, or undefined when there was none or another writer had won.
 * @throws `unavailable` when its outcome still cannot be known, `diverged` when the store lost the history that it builds on
 */
export async function settlePush(
  context: ReplicaContext,
  options: Options = {},
): Promise<PushResult | undefined> {
  const { intent, commits } = context.replica.state;
  if (intent === undefined) return undefined;
  const end = await runPush(context, recoveredPush, options);
  if (end.result === "refused") throw end.error;
  if (end.result === "lost") return undefined;
  return {
    lsn: intent.lsn,
    commits: commits.through(intent.throughSequence).length,
    changedPages: 0,
    storedBytes: intent.object.length,
  };
}

/** How a push ended, written down already; the error is what the caller of the push should hear. */
type PushEnd = { readonly result: "won" } | { readonly result: "lost" | "refused"; readonly error: unknown };

async function runPush(context: ReplicaContext, start: PushState, options: Options): Promise<PushEnd> {
  let state = start;
  let failure: unknown;
  for (;;) {
    const action = pushAction(state);
    if (action.do === "finish") return finish(context, action.result, failure);
    const step = await act[action.do](context, options);
    failure = step.failure ?? failure;
    if (step.event !== undefined) state = pushNext(state, step.event);
    if (pushAction(state).do === "finish") continue;
    if (options.signal?.aborted) throw unfinished(context, abortedError("the push", options.signal.reason));
    if (step.event === undefined || givesUp(state)) throw unfinished(context, failure);
    if (state.at === "recorded" && state.attempts > 0) {
      const pauseMs = RETRY_BASE_MS * 2 ** state.attempts * (0.5 + context.runtime.random());
      await context.runtime.sleep(pauseMs, options.signal).catch((reason: unknown) => {
        throw unfinished(context, abortedError("the push", reason));
      });
    }
  }
}

interface Step {
  readonly event?: PushEvent;
  readonly failure?: unknown;
}

const act = { create, readBack, askFloor, readNext };

async function create(context: ReplicaContext, options: Options): Promise<Step> {
  const { replica, remote } = context;
  const intent = replica.state.intent!;
  // A commit on top of a history that the store does not have (any more) would leave a gap in its log.
  await confirmBase(context, options);
  await keepIntent(context);
  try {
    const answer = await remote.put(commitKey(replica.manifest.volume, intent.lsn), intent.object, {
      ifAbsent: true,
      ...options,
    });
    return { event: { answer } };
  } catch (failure) {
    return { event: { answer: isRefusal(failure) ? "refused" : "unknown" }, failure };
  }
}

/**
 * Without its intent a push that is cut off after its commit was created would not know its own commit again. Where there is no room to keep it the push
 * goes on: nothing else saves the local commits.
 */
async function keepIntent({ log, recorder }: ReplicaContext): Promise<void> {
  try {
    await log.durable();
  } catch (error) {
    if (!isPagefoldError(error, "quota")) throw error;
    recorder.count("push.intent_not_kept");
  }
}

/** Whether the store said no to the only request that was sent. An earlier attempt of the same call may still arrive. */
function isRefusal(failure: unknown): boolean {
  return (
    isPagefoldError(failure, "unauthorized", "forbidden", "quota", "invalid", "not_found") &&
    failure.details.repeated !== true
  );
}

async function readBack(context: ReplicaContext, options: Options): Promise<Step> {
  const { replica, codecs } = context;
  const intent = replica.state.intent!;
  const { volume } = replica.manifest;
  const ours = decodeCommit(intent.object, codecs.hash);
  try {
    const stored = await readHeader(context, intent.lsn, Math.max(ours.headerLength, 65_536), options);
    if (stored === undefined) return { event: { found: "absent" } };
    const theirs = decodeCommit(stored, codecs.hash, { volume, lsn: intent.lsn });
    const found = whose(
      { pushId: ours.header.pushId, hash: ours.hash },
      { pushId: theirs.header.pushId, hash: theirs.hash },
    );
    return { event: { found } };
  } catch (failure) {
    return { failure };
  }
}

async function askFloor(context: ReplicaContext, options: Options): Promise<Step> {
  const { lsn } = context.replica.state.intent!;
  try {
    const floor = await newestFloor(context, options);
    return {
      event: { floor: floor !== undefined && (floor.closed || floor.lsn > lsn) ? "above" : "notAbove" },
    };
  } catch (failure) {
    return { failure };
  }
}

/** The floor went past our commit: those above it that were not collected yet say whether it is in the log. */
async function readNext(context: ReplicaContext, options: Options): Promise<Step> {
  const { replica, codecs } = context;
  const { lsn, hash } = replica.state.intent!;
  const next = (lsn + 1) as Lsn;
  try {
    const stored = await readHeader(context, next, 65_536, options);
    if (stored === undefined) return { event: { next: "absent" } };
    const { header } = decodeCommit(stored, codecs.hash, { volume: replica.manifest.volume, lsn: next });
    return { event: { next: header.jumpHashes[0] === hash ? "onOurs" : "onAnother" } };
  } catch (failure) {
    return { failure };
  }
}

/** Prefix and header of the stored commit, in a second request where the first was too short for another's larger header. */
async function readHeader(
  context: ReplicaContext,
  lsn: Lsn,
  guess: number,
  options: Options,
): Promise<Uint8Array | undefined> {
  const key = commitKey(context.replica.manifest.volume, lsn);
  const range = { offset: 0, length: guess };
  const stored = await context.remote.get(key, { range, ...options });
  if (stored === undefined || stored.length < COMMIT_PREFIX_BYTES) return stored;
  const length = commitHeaderLength(stored);
  if (length <= stored.length) return stored;
  return context.remote.get(key, { range: { offset: 0, length }, ...options });
}

/** Writes the outcome down; a commit that was won leaves its pages in the cache, so that nothing of it is fetched again. */
function finish(context: ReplicaContext, result: "won" | "lost" | "refused", failure: unknown): PushEnd {
  const { replica, log } = context;
  const intent = replica.state.intent!;
  const outcome = closing(result, intent.throughSequence, replica.state.commits.length);
  if (outcome === "won") {
    cachePushed(context, intent);
    log.endPush(replica, "won");
    learnOwn(context, intent.lsn);
    context.confirmed = true;
    context.onStatus();
    const isFirst = intent.lsn === forkPoint(replica.manifest) + 1;
    if (intent.lsn % HINT_EVERY === 0 || isFirst) context.hinting = hint(context, intent.lsn);
    return { result: "won" };
  }
  log.endPush(replica, outcome);
  if (outcome === "lost") {
    context.learned = { lsn: Math.max(intent.lsn, context.learned?.lsn ?? 0) as Lsn, steps: [] };
  }
  context.onStatus();
  return {
    result: outcome,
    error: outcome === "lost" ? divergedError(context, intent.lsn, result) : failure,
  };
}

function divergedError(context: ReplicaContext, lsn: Lsn, result: "won" | "lost" | "refused"): PagefoldError {
  const { volume } = context.replica.manifest;
  const what =
    result === "won"
      ? `commit ${lsn} of volume ${volume} was pushed, and local commits were made meanwhile that do not build on it; they`
      : `another writer created commit ${lsn} of volume ${volume} first; the local commits`;
  return new PagefoldError(
    "diverged",
    `${what} are kept: reset drops them, after which the changes can be made again on the newest state; fork makes them a volume of their own`,
    { details: { volume, lsn } },
  );
}

/** After the one before, so that an older one does not come last. */
async function hint(context: ReplicaContext, lsn: Lsn): Promise<void> {
  await context.hinting;
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

function cachePushed(context: ReplicaContext, { lsn, throughSequence, object }: IntentRecord): void {
  const { replica, log, cache } = context;
  const { state } = replica;
  const commits = state.commits.through(throughSequence);
  if (commits.length === 0) return;
  // Later local commits are not in it: who wrote a page last is asked of the pushed ones alone.
  const table = commits === state.commits ? state.table : overlay(state.base.table, commits);
  const { header } = decodeCommit(object, context.codecs.hash);
  const bytes = new Uint8Array(replica.manifest.pageSize);
  try {
    for (const page of header.changed) {
      const writer = commits.bySequence(-table.lookup(page));
      if (writer === undefined) continue;
      log.readPage(replica, writer, page, bytes);
      cache.put(replica.handle, page, lsn, bytes);
    }
  } catch (error) {
    // A page that this side lost since it was sent is fetched when it is read; the push must end all the same.
    if (!isPagefoldError(error)) throw error;
    context.recorder.count("push.cache_failed");
  }
}
