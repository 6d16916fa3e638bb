/**
 * Deletes what nothing needs any more, one folder of the volume after the other. What is garbage for the floors in force stays garbage for ever, so a
 * sweep may be cut off anywhere, sleep for a month, or run beside another. FORMAT.md, "Collection".
 */
import type { Lsn } from "../../base/brand.ts";
import { isPagefoldError, throwIfAborted } from "../../base/errors.ts";
import { CHECKPOINT_START_BYTES, checkpointMadeUnder } from "../../format/checkpoint-codec.ts";
import {
  checkpointsPrefix,
  commitKey,
  commitsPrefix,
  compactedPrefix,
  complement,
  lsnOfCommitKey,
  parseCheckpointKey,
  parseCompactedKey,
  parseSegmentKey,
  parseSeriesKey,
  rollupKey,
  rollupsPrefix,
  segmentsPrefix,
} from "../../format/keys.ts";
import type { ListEntry } from "../../remote/object-store.ts";
import type { ReplicaContext } from "../../replicate/context.ts";
import { listedPages } from "../keep/listed-pages.ts";
import type { Pins } from "../keep/pins.ts";
import { orphansAmong } from "./orphans.ts";
import type { Protection } from "./protect.ts";
import { sweepPins } from "./sweep-pins.ts";
import { sweepSeries } from "./sweep-series.ts";
import type { Sweeper } from "./sweeper.ts";

export interface SweepContext {
  readonly context: ReplicaContext;
  /** Commits below it are needed by no floor in force; 0: nothing of the log goes. */
  readonly lowest: Lsn;
  /** Of a deleted volume: nothing above it is needed either. */
  readonly top: Lsn | undefined;
  /** The number of the newest floor; 0 where there is none. */
  readonly newestFloor: number;
  readonly protection: Protection;
  readonly pins: Pins;
  readonly now: number;
  readonly sweeper: Sweeper;
  readonly signal: { readonly signal?: AbortSignal };
  /** Told of what should go by the rules and stays, as something about it is wrong. */
  readonly onSkipped: (why: string) => void;
}

/** Checkpoints that are looked into at once. */
const AT_ONCE = 16;

/** In their order; each is a place where a sweep may be cut off. */
export const SWEEP_STEPS = [
  "sweep checkpoints",
  "sweep commits",
  "sweep rollups",
  "sweep segments",
  "sweep compacted",
  "sweep pins",
  "sweep series",
] as const;
export type SweepStep = (typeof SWEEP_STEPS)[number];

const work: Readonly<Record<SweepStep, (sweep: SweepContext) => Promise<void>>> = {
  // First, so that nobody opens from one whose segments are going.
  "sweep checkpoints": sweepCheckpoints,
  "sweep commits": (sweep) => sweepBelow(sweep, "commits"),
  "sweep rollups": (sweep) => sweepBelow(sweep, "rollups"),
  "sweep segments": sweepSegments,
  "sweep compacted": sweepCompacted,
  "sweep pins": sweepPins,
  // What is in order is one at a time: whoever asks for the number after the one he knows must not fall into a gap.
  "sweep series": sweepSeries,
};

export async function sweepVolume(
  sweep: SweepContext,
  onStep: (step: SweepStep) => Promise<void>,
): Promise<void> {
  const { context, signal } = sweep;
  for (const step of SWEEP_STEPS) {
    throwIfAborted(signal.signal, `collecting volume ${context.replica.manifest.volume}`);
    await onStep(step);
    await work[step](sweep);
    await sweep.sweeper.flush();
  }
}

async function sweepCheckpoints(sweep: SweepContext): Promise<void> {
  const { context, lowest, top, protection, sweeper, signal } = sweep;
  const prefix = checkpointsPrefix(context.replica.manifest.volume);
  const start = top === undefined ? { startAfter: `${prefix}${complement(lowest)}~` } : {};
  for await (const entries of listedPages(context.remote, prefix, { ...start, ...signal })) {
    const loose = entries.filter(({ key }) => {
      const named = parseCheckpointKey(key);
      return named !== undefined && isOutside(named.lsn, lowest, top) && !protection.checkpoints.has(key);
    });
    for (let from = 0; from < loose.length; from += AT_ONCE) {
      const some = loose.slice(from, from + AT_ONCE);
      const past = await Promise.all(some.map((entry) => isOfThePast(sweep, entry)));
      for (const [i, entry] of some.entries()) if (past[i]) await sweeper.take(entry, "checkpoints");
    }
  }
}

/** Whether no floor can come to name a checkpoint of a kept state any more: another may be about to write that one anew. */
async function isOfThePast(
  { context, top, newestFloor, signal, onSkipped }: SweepContext,
  { key }: ListEntry,
): Promise<boolean> {
  const { volume } = context.replica.manifest;
  const { lsn } = parseCheckpointKey(key)!;
  if (top !== undefined && lsn > top) return true;
  const bytes = await context.remote.get(key, {
    range: { offset: 0, length: CHECKPOINT_START_BYTES },
    ...signal,
  });
  try {
    return bytes === undefined || checkpointMadeUnder(bytes, { volume, lsn }) < newestFloor;
  } catch (error) {
    if (isPagefoldError(error, "corrupt")) return true;
    if (!isPagefoldError(error, "unsupported_version")) throw error;
    onSkipped(`the checkpoint ${key} stays, as it cannot be read: ${error.message}`);
    return false;
  }
}

/** Below every floor in force, or above what is needed at all. */
function isOutside(lsn: number, lowest: Lsn, top: Lsn | undefined): boolean {
  return lsn < lowest || (top !== undefined && lsn > top);
}

/** Commits, or rollups stored apart, that no floor in force needs. */
async function sweepBelow(
  { context, lowest, top, sweeper, signal }: SweepContext,
  kind: "commits" | "rollups",
): Promise<void> {
  if (lowest === 0 && top === undefined) return;
  const { volume } = context.replica.manifest;
  const isCommit = kind === "commits";
  const prefix = isCommit ? commitsPrefix(volume) : rollupsPrefix(volume);
  const start = top === undefined ? { startAfter: (isCommit ? commitKey : rollupKey)(volume, lowest) } : {};
  for await (const entries of listedPages(context.remote, prefix, { ...start, ...signal })) {
    for (const entry of entries) {
      const lsn = isCommit ? lsnOfCommitKey(entry.key) : parseSeriesKey(prefix, entry.key);
      if (lsn !== undefined && isOutside(lsn, lowest, top)) await sweeper.take(entry, kind);
    }
  }
}

async function sweepSegments(sweep: SweepContext): Promise<void> {
  const { context, sweeper, signal } = sweep;
  const prefix = segmentsPrefix(context.replica.manifest.volume);
  for await (const entries of listedPages(context.remote, prefix, signal)) {
    for (const entry of entries) if (isLooseSegment(sweep, entry)) await sweeper.take(entry, "segments");
    for (const entry of await orphansAmong(sweep, entries)) await sweeper.take(entry, "segments");
  }
}

async function sweepCompacted(sweep: SweepContext): Promise<void> {
  const { context, sweeper, signal } = sweep;
  const prefix = compactedPrefix(context.replica.manifest.volume);
  for await (const entries of listedPages(context.remote, prefix, signal)) {
    for (const entry of entries) if (isLooseCompacted(sweep, entry)) await sweeper.take(entry, "compacted");
  }
}

/** Of a commit that is gone or going, and no checkpoint reads from it. */
function isLooseSegment({ lowest, top, protection }: SweepContext, { key }: ListEntry): boolean {
  const named = parseSegmentKey(key);
  if (named === undefined || !isOutside(named.lsn, lowest, top)) return false;
  return !protection.keeps({ kind: "commit", number: named.lsn, id: named.id });
}

/** Of a compaction that was registered, or can no longer be, and no checkpoint reads from it. */
function isLooseCompacted({ newestFloor, protection }: SweepContext, { key }: ListEntry): boolean {
  const named = parseCompactedKey(key);
  if (named === undefined || named.n >= newestFloor) return false;
  return !protection.keeps({ kind: "compacted", number: named.n, id: named.id });
}
