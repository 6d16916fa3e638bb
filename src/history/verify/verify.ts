/**
 * Checks a remote state against the store, anew: the headers of the log, every read index, frame and digest area that the state uses, and that pages and
 * digests both add up to its checksum; or a random sample of its pages; and, deep, what every commit, band and checkpoint says.
 */
import type { Lsn, StateChecksum } from "../../base/brand.ts";
import { isPagefoldError, PagefoldError } from "../../base/errors.ts";
import type { ReplicaContext } from "../../replicate/context.ts";
import { stateOf } from "../../replicate/past.ts";
import type { RemoteState } from "../../volume/remote-state.ts";
import { spanOf, verifyLog } from "./log.ts";
import { samplePages, verifyPages } from "./pages.ts";
import { type Finding, type RunOptions, VerifyRun } from "./run.ts";
import { verifyStates } from "./states.ts";
import { type DeepCounts, freshToken, resumedToken } from "./token.ts";

export interface VerifyOptions extends RunOptions {
  /** Default: where the replica stands. */
  readonly lsn?: number | undefined;
  /** Instead of the log and every page, pages chosen at random: a share of them, above 0 to 1, or from 2 on so many. */
  readonly sample?: number | undefined;
  /** Also recomputes the state checksum of every state that is kept, and compares bands and checkpoints with the commits. */
  readonly deep?: boolean | undefined;
  /** What `onProgress`, or the error of a verification that was cut off (`details.resume`), gave: goes on from there. */
  readonly resume?: string | undefined;
}

export interface VerifyResult {
  readonly lsn: Lsn;
  /** Commits of the log whose headers were checked. */
  readonly commits: number;
  /** Pages with content that were checked. */
  readonly pages: number;
  readonly requests: number;
  readonly bytesFetched: number;
  readonly stateChecksum: StateChecksum;
  /** Only with `deep`. */
  readonly deep?: DeepCounts;
  /** What is wrong, only with `keepGoing`; the first thousand. */
  readonly findings: readonly Finding[];
  readonly findingCount: number;
}

/**
 * @throws `corrupt` naming volume, LSN, segment and frame of the first thing that is wrong, unless `keepGoing`; whatever ends it carries
 * `details.resume`
 */
export async function verify(context: ReplicaContext, options: VerifyOptions = {}): Promise<VerifyResult> {
  checkOptions(options);
  const { sample, deep = false, resume } = options;
  const { base } = context.replica.state;
  const lsn = options.lsn ?? base.lsn;
  const state = await stateOf(context, lsn, options.signal === undefined ? {} : { signal: options.signal });
  const fresh = freshToken(context.replica.manifest.volume, state, { deep, sample });
  const run = new VerifyRun(context, resume === undefined ? fresh : resumedToken(resume, fresh), options);
  try {
    return await verifyAll(run, state, options);
  } catch (error) {
    // Where it is known what was done, that need not be done again.
    throw isPagefoldError(error) ? resumable(error, JSON.stringify(run.token)) : error;
  }
}

async function verifyAll(run: VerifyRun, state: RemoteState, options: VerifyOptions): Promise<VerifyResult> {
  const { sample, deep = false } = options;
  const span = await spanOf(run, state.lsn);
  const { lsn, hash, stateChecksum } = state;
  const isDone = (part: "log" | "pages" | "states") => run.token.done.includes(part);
  const end = (part: "log" | "pages" | "states") => {
    const none = { done: 0, total: 0 };
    run.advance({ done: [...run.token.done, part] }, { part, commits: none, pages: none, bytes: none });
  };
  if (hash !== undefined && (sample === undefined || deep) && !isDone("log")) {
    await verifyLog(run, { lsn, hash, stateChecksum }, span);
    end("log");
  }
  let pages = run.token.pages.pages;
  if (!isDone("pages")) {
    pages = sample === undefined ? await verifyPages(run, state) : await samplePages(run, state, sample);
    if (sample === undefined) end("pages");
  }
  let counts: DeepCounts | undefined;
  if (deep) {
    counts = isDone("states") ? run.token.states.counts : await verifyStates(run, state, span);
    if (!isDone("states")) end("states");
  }
  return {
    ...{ lsn, commits: run.token.log.commits, pages },
    ...{ requests: run.requests, bytesFetched: run.bytesFetched, stateChecksum },
    ...(counts === undefined ? {} : { deep: counts }),
    ...{ findings: run.findings, findingCount: run.findingCount },
  };
}

function resumable(error: PagefoldError, resume: string): PagefoldError {
  return new PagefoldError(error.code, error.message, {
    cause: error.cause ?? error,
    details: { ...error.details, resume },
    retryable: error.retryable,
  });
}

function checkOptions({ sample, concurrency }: VerifyOptions): void {
  if (sample !== undefined && !(sample > 0 && (sample <= 1 || Number.isSafeInteger(sample)))) {
    throw new PagefoldError(
      "invalid",
      `a sample is a share of the pages (above 0, up to 1) or a number of pages (from 2 on), not ${sample}`,
    );
  }
  if (concurrency !== undefined && !(Number.isSafeInteger(concurrency) && concurrency >= 1)) {
    throw new PagefoldError("invalid", `"concurrency" is a whole number from 1 on, not ${concurrency}`);
  }
}
