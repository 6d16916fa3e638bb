/**
 * Which LSNs a retention keeps at some time: decided from times alone, without I/O but the questions that it asks. Everything from the new floor on is
 * kept as it is; below it, single LSNs are, each with its reasons. An LSN that a plan dropped is never asked for again by a later one.
 */
import type { Lsn, TimeMs } from "../../base/brand.ts";
import type { FloorCheckpoint } from "../../format/model.ts";
import { bucketOf } from "./buckets.ts";
import type { Period, RetentionRules } from "./retention.ts";

/** Why an LSN is kept. */
export type Reason = "newest" | "all" | Period | "keep" | "fork" | "restore" | "kept before";

export interface CommitTime {
  readonly lsn: Lsn;
  readonly time: TimeMs;
}

/** An LSN that somebody relies on. */
export interface Pin {
  readonly lsn: Lsn;
  readonly why: "fork" | "restore";
  /** Of a restore: the commit that goes back to `lsn`. A floor at it, or above, holds what that needed. */
  readonly until?: Lsn;
}

export interface PlanInput {
  readonly now: number;
  readonly rules: RetentionRules;
  /** Of the floor that holds: 0 where there is none. */
  readonly floor: Lsn;
  /** The floor's own and the LSNs below it that can be read, rising. */
  readonly keptBefore: readonly FloorCheckpoint[];
  /** From this LSN on the log is whole. */
  readonly bottom: Lsn;
  /** No commit below it can be deleted here: 1, or the first of a fork's own. */
  readonly first: Lsn;
  readonly pins: readonly Pin[];
  /** Undefined where the volume has no commit. */
  readonly newest: CommitTime | undefined;
  /** The newest commit, of those from `bottom` on, that was made before a time; undefined where there is none. */
  newestBefore(time: number): Promise<CommitTime | undefined>;
}

export interface KeptLsn {
  readonly lsn: Lsn;
  /** Undefined of a pin whose commit was not looked at. */
  readonly time: TimeMs | undefined;
  readonly why: readonly Reason[];
}

export interface RetentionPlan {
  /** Commits below it may go; 0: none may. Never below the floor that holds. */
  readonly floor: Lsn;
  /** LSNs up to the floor that stay readable, rising; the floor's own is the last. */
  readonly kept: readonly KeptLsn[];
  /** Kept until now, and no longer. */
  readonly dropped: readonly Lsn[];
  /** Asked for by `keep` or a pin, and gone already as far as can be told from here. */
  readonly missing: readonly { readonly lsn: Lsn; readonly why: "keep" | "fork" | "restore" }[];
}

export async function planRetention(input: PlanInput): Promise<RetentionPlan> {
  const { rules, floor, keptBefore, newest } = input;
  const kept = new KeptSet();
  const missing: RetentionPlan["missing"][number][] = [];
  if (newest === undefined) return { floor, kept: [], dropped: [], missing };
  const top = await floorOf(input, newest);
  if (top === 0) return { floor: top, kept: [], dropped: [], missing: gone(input, kept, top) };
  const everything = rules.allMs === Number.POSITIVE_INFINITY;
  if (everything) for (const { lsn, time } of keptBefore) kept.add({ lsn, time }, "kept before");
  const topTime = await timeAt(input, newest, top);
  kept.add({ lsn: top, time: topTime }, top === newest.lsn ? "newest" : everything ? "kept before" : "all");
  if (!everything) {
    for (const { period, ms } of rules.periods) await keepPeriods(input, kept, topTime, period, ms);
  }
  missing.push(...gone(input, kept, top));
  const stays = kept.sorted();
  const lsns = new Set(stays.map(({ lsn }) => lsn));
  const dropped = keptBefore.map(({ lsn }) => lsn).filter((lsn) => !lsns.has(lsn));
  return { floor: top, kept: stays, dropped, missing };
}

/** The commit that was the newest when the time began of which everything is kept. */
async function floorOf(input: PlanInput, newest: CommitTime): Promise<Lsn> {
  const { rules, floor, first, now } = input;
  if (rules.allMs === Number.POSITIVE_INFINITY) return floor;
  const since = now - rules.allMs;
  const oldest = newest.time <= since ? newest : await input.newestBefore(since + 1);
  // A floor that nothing lies below would cost a checkpoint and free nothing.
  return oldest === undefined || oldest.lsn <= Math.max(floor, first) ? floor : oldest.lsn;
}

async function timeAt(input: PlanInput, newest: CommitTime, lsn: Lsn): Promise<TimeMs> {
  if (lsn === newest.lsn) return newest.time;
  const known = input.keptBefore.find((each) => each.lsn === lsn);
  if (known !== undefined) return known.time;
  const found = await input.newestBefore(input.now - input.rules.allMs + 1);
  return found!.time;
}

/** From the floor down: the newest commit before it of another hour (or day …), of the one before that, and so on. */
async function keepPeriods(
  input: PlanInput,
  kept: KeptSet,
  topTime: TimeMs,
  period: Period,
  ms: number,
): Promise<void> {
  const oldest = input.now - ms;
  // What is newest in the floor's own hour lies at the floor or above it.
  for (let before = bucketOf(period, topTime).start; ; ) {
    const found = await newestKeepable(input, before);
    if (found === undefined) return;
    const { start, end } = bucketOf(period, found.time);
    if (end <= oldest) return;
    kept.add(found, period);
    before = start;
  }
}

/** In the log where it is whole, else among what was kept below it. */
async function newestKeepable(input: PlanInput, before: number): Promise<CommitTime | undefined> {
  const inLog = await input.newestBefore(before);
  if (inLog !== undefined) return inLog;
  return input.keptBefore.findLast(({ lsn, time }) => lsn < input.bottom && time < before);
}

/** Adds what is named by LSN; answers what of it cannot be had any more. */
function gone(input: PlanInput, kept: KeptSet, top: Lsn): RetentionPlan["missing"][number][] {
  const { rules, pins, bottom, first, keptBefore } = input;
  const before = new Map(keptBefore.map(({ lsn, time }) => [lsn, time]));
  const needed = pins.filter(({ until }) => until === undefined || until > top);
  const wanted = [...rules.keep.map((lsn) => ({ lsn: lsn as Lsn, why: "keep" as const })), ...needed];
  const missing: RetentionPlan["missing"][number][] = [];
  for (const { lsn, why } of wanted) {
    if (lsn < 1 || lsn > (top === 0 ? bottom - 1 : top)) continue;
    if (lsn >= bottom || before.has(lsn)) kept.add({ lsn, time: before.get(lsn) }, why);
    // What a fork shares is kept by its ancestors, where it has a pin.
    else if (lsn >= first || why === "keep") missing.push({ lsn, why });
  }
  return missing;
}

class KeptSet {
  readonly #kept = new Map<Lsn, { time: TimeMs | undefined; why: Reason[] }>();

  add({ lsn, time }: { readonly lsn: Lsn; readonly time: TimeMs | undefined }, why: Reason): void {
    const known = this.#kept.get(lsn);
    if (known === undefined) {
      this.#kept.set(lsn, { time, why: [why] });
      return;
    }
    known.time ??= time;
    if (!known.why.includes(why)) known.why.push(why);
  }

  sorted(): KeptLsn[] {
    return [...this.#kept].map(([lsn, more]) => ({ lsn, ...more })).sort((a, b) => a.lsn - b.lsn);
  }
}
