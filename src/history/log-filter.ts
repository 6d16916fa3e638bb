/**
 * The log, or what is wanted of it: from one point to another, of one page, so many. The upper end is searched for, not walked to, and the commits of a
 * page are jumped to. Newest first, every entry proven.
 */
import { LSN_ZERO, type Lsn } from "../base/brand.ts";
import { isPagefoldError, PagefoldError } from "../base/errors.ts";
import type { ReplicaContext } from "../replicate/context.ts";
import { lsnAt } from "../replicate/lsn-at.ts";
import { type LogEntry, logEntry, walkLog } from "../replicate/past.ts";
import { hashOf } from "../volume/remote-state.ts";
import { type Place, pageHistory } from "./page-history.ts";
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
  const top = await topOf(context, options);
  if (top === undefined || limit === 0) return;
  const more = signal === undefined ? {} : { signal };
  const bottom = typeof since === "number" ? since : 1;
  const earliest = typeof since === "number" ? Number.NEGATIVE_INFINITY : since.getTime();
  const entries =
    page === undefined
      ? walkLog(context, { top, bottom, limit, ...more })
      : entriesOf(context, page, top, more);
  let found = 0;
  for await (const entry of entries) {
    // Times never decrease along the log: whoever writes a commit takes its parent's time where the own clock is behind it.
    if (entry.lsn < bottom || entry.time < earliest) return;
    yield entry;
    if (++found === limit) return;
  }
}

async function* entriesOf(
  context: ReplicaContext,
  page: number,
  top: Place,
  options: { readonly signal?: AbortSignal },
): AsyncGenerator<LogEntry, void, undefined> {
  for await (const commit of pageHistory(context, page, top, options)) yield logEntry(commit);
}

/** The newest commit that is wanted; undefined where there is none. */
async function topOf(context: ReplicaContext, options: LogOptions): Promise<Place | undefined> {
  const { base } = context.replica.state;
  const { until = base.lsn } = options;
  const lsn = typeof until === "number" ? Math.min(until, base.lsn) : await newestAt(context, until, options);
  if (lsn === 0) return undefined;
  if (lsn === base.lsn) return { lsn: base.lsn, hash: hashOf(base) };
  const { hash } = await provenCommit(context, lsn as Lsn, options);
  return { lsn: lsn as Lsn, hash };
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
