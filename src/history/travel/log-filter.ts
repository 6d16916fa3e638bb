/**
 * The log, or what is wanted of it: from one point to another, of one page, so many. The upper end is searched for, not walked to, and the commits of a
 * page are jumped to. Newest first, every entry proven.
 */
import { LSN_ZERO, type Lsn } from "../../base/brand.ts";
import { isPagefoldError, PagefoldError } from "../../base/errors.ts";
import type { ReplicaContext } from "../../replicate/context.ts";
import { logBottom } from "../../replicate/kept.ts";
import { lsnAt } from "../../replicate/lsn-at.ts";
import { type LogEntry, logEntry, walkKept, walkLog } from "../../replicate/past.ts";
import { hashOf } from "../../volume/remote-state.ts";
import { keptTouches, type Place, pageHistory } from "./page-history.ts";
import { provenCommit } from "./proven-commit.ts";

export interface LogOptions {
  readonly signal?: AbortSignal;
  /** Commits from this LSN or time on. */
  readonly since?: number | Date;
  /** Commits up to this LSN, or to this time; that of the newest that this side has seen by default. */
  readonly until?: number | Date;
  /** Commits that wrote, zeroed or restored this page, back to where its present life began: a shrink that cut it off ends the search. */
  readonly page?: number;
  /** So many at most. */
  readonly limit?: number;
}

/** @throws `invalid` for a point, page or limit that is none */
export async function* readLog(
  context: ReplicaContext,
  options: LogOptions = {},
): AsyncGenerator<LogEntry, void, undefined> {
  const { since = 1, page, limit = Number.POSITIVE_INFINITY, signal } = options;
  check(options);
  const lsn = await newestWanted(context, options);
  if (lsn === 0 || limit === 0) return;
  const bottom = typeof since === "number" ? since : 1;
  const earliest = typeof since === "number" ? Number.NEGATIVE_INFINITY : since.getTime();
  const walk = { bottom, limit, ...(signal === undefined ? {} : { signal }) };
  const entries = page === undefined ? walkFrom(context, lsn, walk) : touchesFrom(context, page, lsn, walk);
  let found = 0;
  for await (const entry of entries) {
    // Times never decrease along the log: whoever writes a commit takes its parent's time where the own clock is behind it.
    if (entry.lsn < bottom || entry.time < earliest) return;
    yield entry;
    if (++found === limit) return;
  }
}

interface Walk {
  readonly signal?: AbortSignal;
  readonly bottom: number;
  readonly limit: number;
}

async function* walkFrom(
  context: ReplicaContext,
  lsn: Lsn,
  walk: Walk,
): AsyncGenerator<LogEntry, void, undefined> {
  const top = await placeOf(context, lsn, walk);
  if (top !== undefined) yield* walkLog(context, { top, ...walk });
  else yield* walkKept(context, lsn, walk.bottom, walk);
}

async function* touchesFrom(
  context: ReplicaContext,
  page: number,
  lsn: Lsn,
  walk: Walk,
): AsyncGenerator<LogEntry, void, undefined> {
  const top = await placeOf(context, lsn, walk);
  const bottom = top === undefined ? await logBottom(context, walk) : undefined;
  if (top !== undefined) {
    for await (const commit of pageHistory(context, page, top, walk)) yield logEntry(commit);
  } else if (bottom !== undefined) {
    for await (const commit of keptTouches(context, page, lsn, bottom, walk)) yield logEntry(commit);
  }
}

/** Of the newest commit that may be wanted; 0 where there is none. */
async function newestWanted(context: ReplicaContext, options: LogOptions): Promise<Lsn> {
  const { base } = context.replica.state;
  const { until = base.lsn } = options;
  if (typeof until === "number") return Math.min(until, base.lsn) as Lsn;
  return newestAt(context, until, options);
}

/** Undefined where the commit was collected: what is kept below the floor goes on from there. */
async function placeOf(context: ReplicaContext, lsn: Lsn, options: Walk): Promise<Place | undefined> {
  const { base } = context.replica.state;
  if (lsn === base.lsn) return { lsn, hash: hashOf(base) };
  try {
    return { lsn, hash: (await provenCommit(context, lsn, options)).hash };
  } catch (error) {
    if (isPagefoldError(error, "not_found")) return undefined;
    throw error;
  }
}

/** LSN 0 where there was no commit yet. */
async function newestAt(context: ReplicaContext, date: Date, options: LogOptions): Promise<Lsn> {
  try {
    return await lsnAt(context, date.getTime(), options);
  } catch (error) {
    // It says for which time there is none; whatever else is not there is a failure.
    if (isPagefoldError(error, "not_found") && error.details.time === date.getTime()) return LSN_ZERO;
    throw error;
  }
}

function check({ since, until, page, limit }: LogOptions): void {
  for (const [name, value] of Object.entries({ since, until })) {
    if (value instanceof Date ? Number.isNaN(value.getTime()) : value !== undefined && !isCount(value))
      throw invalid(`"${name}" of a log is an LSN (a whole number from 0 on) or a Date`, value);
  }
  if (page !== undefined && !(isCount(page) && page >= 1))
    throw invalid(`"page" of a log is the index of a page, a whole number from 1 on`, page);
  if (limit !== undefined && limit !== Number.POSITIVE_INFINITY && !isCount(limit))
    throw invalid(`"limit" of a log is a whole number from 0 on`, limit);
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}

function invalid(what: string, value: unknown): PagefoldError {
  return new PagefoldError("invalid", `${what}, not ${String(value)}`);
}
