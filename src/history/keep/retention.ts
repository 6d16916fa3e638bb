/**
 * What of a volume's history is to be kept: the policy as people write it, checked, and as the volume's settings hold it. Which LSNs it keeps at some
 * time is told by `retention-plan.ts`; nothing is deleted here.
 */
import type { TimeMs } from "../../base/brand.ts";
import { PagefoldError } from "../../base/errors.ts";
import { assertWritable } from "../../remote/writable.ts";
import type { ReplicaContext } from "../../replicate/context.ts";
import { parseDuration } from "./duration.ts";
import { changeSettings, readSettings, type StoredSettings } from "./settings-series.ts";

type Signal = { readonly signal?: AbortSignal };

/** "90m", "24h", "7d", "4w", or milliseconds. */
export type Duration = string | number;

/**
 * Without any of the spans, everything is kept. With one: everything that is newer than `all`, then the newest commit of every hour within `hourly`, of
 * every day within `daily` and so on (hours, days, weeks from Monday, and months are those of UTC), the LSNs in `keep`, what forks and restores need,
 * and always the newest commit.
 */
export interface RetentionPolicy {
  readonly all?: Duration | "forever";
  readonly hourly?: Duration;
  readonly daily?: Duration;
  readonly weekly?: Duration;
  readonly monthly?: Duration;
  /** LSNs that are kept until they are no longer named here. */
  readonly keep?: readonly number[];
}

export const PERIODS = ["hourly", "daily", "weekly", "monthly"] as const;
export type Period = (typeof PERIODS)[number];

/** A policy as numbers. */
export interface RetentionRules {
  /** How far back every commit is kept, ms. Infinity: nothing goes. */
  readonly allMs: number;
  readonly periods: readonly { readonly period: Period; readonly ms: number }[];
  readonly keep: readonly number[];
}

export interface StoredRetention {
  /** `{}`: everything is kept. */
  readonly policy: RetentionPolicy;
  /** The number of the settings that it is part of; 0 where none were ever set. */
  readonly n: number;
  /** When those were set. */
  readonly time: TimeMs | undefined;
}

const MOST_KEPT = 10_000;
const FIELDS: ReadonlySet<string> = new Set(["all", ...PERIODS, "keep"]);

/** @throws `invalid` for what is no policy */
export function retentionRules(policy: RetentionPolicy): RetentionRules {
  if (typeof policy !== "object" || policy === null || Array.isArray(policy)) {
    throw new PagefoldError("invalid", 'a retention is an object such as {all: "24h", daily: "30d"}');
  }
  const unknown = Object.keys(policy).find((name) => !FIELDS.has(name));
  if (unknown !== undefined) {
    throw new PagefoldError(
      "invalid",
      `a retention has no "${unknown.slice(0, 80)}"; it has ${[...FIELDS].join(", ")}`,
    );
  }
  const periods = PERIODS.filter((period) => policy[period] !== undefined).map((period) => ({
    period,
    ms: parseDuration(policy[period], period),
  }));
  const hasSpans = policy.all !== undefined || periods.length > 0;
  return { allMs: hasSpans ? allMs(policy.all) : Number.POSITIVE_INFINITY, periods, keep: keptLsns(policy) };
}

function allMs(all: RetentionPolicy["all"]): number {
  if (all === undefined) return 0;
  return all === "forever" ? Number.POSITIVE_INFINITY : parseDuration(all, "all");
}

function keptLsns({ keep = [] }: RetentionPolicy): number[] {
  const isList = Array.isArray(keep) && keep.every((lsn) => Number.isSafeInteger(lsn) && lsn >= 1);
  if (!isList || keep.length > MOST_KEPT) {
    throw new PagefoldError(
      "invalid",
      `"keep" is a list of at most ${MOST_KEPT} LSNs, whole numbers from 1 on`,
    );
  }
  return [...new Set(keep)].sort((a, b) => a - b);
}

/** The policy that holds, and the settings that it is part of. @throws `unsupported_version` where it says more than this version understands */
export async function getRetention(context: ReplicaContext, options: Signal = {}): Promise<StoredRetention> {
  return retentionOf(context, await readSettings(context, options));
}

/**
 * Makes a policy hold from now on, for everybody who collects the volume; `{}` keeps everything. What was dropped before does not come back.
 * @throws `conflict` where somebody else changed the settings at the same time, `invalid` for what is no policy
 */
export async function setRetention(
  context: ReplicaContext,
  policy: RetentionPolicy,
  options: Signal = {},
): Promise<StoredRetention> {
  retentionRules(policy);
  await assertWritable(context.remote, context.runtime);
  return retentionOf(context, await changeSettings(context, { retention: policy }, options));
}

function retentionOf({ replica }: ReplicaContext, { n, time, settings }: StoredSettings): StoredRetention {
  const policy = (settings.retention ?? {}) as RetentionPolicy;
  try {
    retentionRules(policy);
  } catch (cause) {
    // Rules of a later version: what they keep must not be collected by one that does not know them.
    const { volume } = replica.manifest;
    throw new PagefoldError(
      "unsupported_version",
      `the retention of volume ${volume} has rules that this version does not understand; nothing is collected: upgrade, or set it anew`,
      { cause, details: { volume, config: n } },
    );
  }
  return { policy, n, time };
}
