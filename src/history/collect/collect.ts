/**
 * Collects a volume's garbage: (1) plans what its retention keeps, makes sure that every kept LSN has a checkpoint that needs no commits, and raises the
 * floor; (2) deletes what no floor of the grace period needs. Whatever step it is cut off at, running it again goes on from what the store holds, and two
 * at once do no harm. FORMAT.md, "Collection".
 */
import type { Lsn, TimeMs } from "../../base/brand.ts";
import { isPagefoldError, PagefoldError, throwIfAborted } from "../../base/errors.ts";
import { assertWritable } from "../../remote/writable.ts";
import type { ReplicaContext } from "../../replicate/context.ts";
import { parseDuration } from "../keep/duration.ts";
import { currentFloor, floorsInForce } from "../keep/floors.ts";
import { type Lease, takeLease } from "../keep/lease.ts";
import { type Raised, type RaiseOptions, raiseByRetention } from "../keep/raise-floor.ts";
import type { Duration } from "../keep/retention.ts";
import type { KeptLsn, RetentionPlan } from "../keep/retention-plan.ts";
import { forecast } from "./forecast.ts";
import { Protection } from "./protect.ts";
import { SWEEP_STEPS, type SweepContext, sweepVolume } from "./sweep.ts";
import { Sweeper, type SweepProgress, type SweptCounts, type SweptKind } from "./sweeper.ts";

/** Where a collection may be cut off, in order; "complete" comes once for every LSN that needs a checkpoint, "rewrite" where the floor is going to move. */
export const COLLECT_STEPS = [
  "plan",
  "complete",
  "rewrite",
  "announce",
  "raise floor",
  "raised",
  "protect",
  ...SWEEP_STEPS,
  "end",
] as const;
export type CollectStep = (typeof COLLECT_STEPS)[number];

export interface CollectOptions {
  /** Writes and deletes nothing, and tells what would go once the grace period has passed. */
  readonly dryRun?: boolean;
  /** How long what nobody needs any more stays for readers who opened it before; default 1 h. */
  readonly graceMs?: Duration;
  /** What making checkpoints may read and write; default: as fast as it goes. */
  readonly bytesPerSecond?: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: CollectProgress) => void;
  /** Told of every object that goes, or would: there may be millions. */
  readonly onObject?: (object: { readonly key: string; readonly size: number }, kind: SweptKind) => void;
  /** Awaited before each step; what it throws ends the collection there. */
  readonly onStep?: (step: CollectStep) => void | Promise<void>;
  /** @internal Of a deleted volume: only what forks pin is kept, and nothing above that either. */
  readonly onlyPins?: boolean;
  /** False: takes no lease. Default: others that want to collect or compact meanwhile are told that it is `busy`. */
  readonly lease?: boolean;
}

export interface CollectProgress extends SweepProgress {
  /** Of what is kept; before anything is deleted. */
  readonly pagesCopied: number;
}

export interface CollectResult {
  readonly volume: string;
  readonly dryRun: boolean;
  /** Everything from it on is kept; 0: everything is. */
  readonly floor: { readonly before: Lsn; readonly after: Lsn };
  /** LSNs up to the floor that stay readable. */
  readonly kept: readonly KeptLsn[];
  /** LSNs that were kept below the floor until now. */
  readonly dropped: readonly Lsn[];
  /** Asked to be kept, and gone already. */
  readonly missing: RetentionPlan["missing"];
  /** Objects. In a dry run: that would go, then and now; how large they are in all is known, what compaction will save of shared segments is not. */
  readonly deleted: SweptCounts;
  readonly bytesFreed: number;
  /** Segments and checkpoints that keeping LSNs without their commits took. */
  readonly bytesWritten: number;
  /** When more can go, by a collection that runs then: what readers may still have open stays until that time. */
  readonly moreAt: TimeMs | undefined;
  /** What was left alone though it looks like garbage, and why. */
  readonly skipped: readonly string[];
}

export const DEFAULT_GRACE_MS = 3_600_000;
const LEASE_MS = 10 * 60_000;

/**
 * @throws `busy` where another collection or compaction has a lease, `conflict` where others keep moving the floor, `corrupt` where what protects
 * objects cannot be read: then nothing is deleted
 */
export async function collectVolume(
  context: ReplicaContext,
  options: CollectOptions = {},
): Promise<CollectResult> {
  const graceMs = parseDuration(options.graceMs ?? DEFAULT_GRACE_MS, "the grace period");
  if (options.dryRun !== true) await assertWritable(context.remote, context.runtime);
  // A listing that was bundled with something else is older than one that is asked for.
  context.remote.forget();
  const lease = await leaseFor(context, options);
  try {
    return await collect(context, { ...options, graceMs }, lease);
  } finally {
    await lease?.release();
  }
}

async function leaseFor(context: ReplicaContext, options: CollectOptions): Promise<Lease | undefined> {
  if (options.dryRun === true || options.lease === false) return undefined;
  const { remote, codecs, runtime, replica } = context;
  const what = { ttlMs: LEASE_MS, what: "collection", ...signalOf(options) };
  return takeLease(remote, codecs, runtime, replica.manifest.volume, what);
}

type Settings = CollectOptions & { readonly graceMs: number };

async function collect(
  context: ReplicaContext,
  options: Settings,
  lease: Lease | undefined,
): Promise<CollectResult> {
  const { runtime, replica } = context;
  const signal = signalOf(options);
  const skipped: string[] = [];
  const beforeWork = () => renew(lease, context, options.signal);
  const onStep = async (step: CollectStep) => {
    throwIfAborted(options.signal, `collecting volume ${replica.manifest.volume}`);
    await beforeWork();
    await options.onStep?.(step);
  };
  const onSkipped = (why: string) => void skipped.push(why);
  let pagesCopied = 0;
  const onPages = (pages: number) => {
    pagesCopied += pages;
    options.onProgress?.({ pagesCopied, objects: 0, bytes: 0 });
  };
  const { raised, scope } = await prepare(context, { ...options, onSkipped, onPages }, onStep);
  const now = runtime.now();
  const sweeper = new Sweeper(context.remote, {
    dryRun: options.dryRun === true,
    ...signal,
    onProgress: (swept) => options.onProgress?.({ pagesCopied, ...swept }),
    ...(options.onObject === undefined ? {} : { onObject: options.onObject }),
    beforeBatch: beforeWork,
  });
  const sweep: SweepContext = {
    ...{ context, ...scope, pins: raised.pins, now, sweeper, signal },
    top: options.onlyPins === true ? raised.plan.floor : undefined,
    onSkipped,
  };
  await sweepVolume(sweep, onStep);
  await onStep("end");
  const { plan, before } = raised;
  return {
    volume: replica.manifest.volume,
    dryRun: options.dryRun === true,
    floor: { before: before?.lsn ?? (0 as Lsn), after: plan.floor },
    kept: plan.kept,
    dropped: plan.dropped,
    missing: plan.missing,
    deleted: sweeper.counts,
    bytesFreed: sweeper.bytes,
    bytesWritten: raised.bytesWritten,
    moreAt: scope.moreAt,
    skipped,
  };
}

interface Scope {
  readonly lowest: Lsn;
  readonly newestFloor: number;
  readonly protection: Protection;
  readonly moreAt: TimeMs | undefined;
}

/** How often others may move the floor between its making and the sweep. */
const MOST_ATTEMPTS = 8;

/** Makes the floor, and tells what may go. Begins again where the floor moved on meanwhile: what it names may be gone then. */
async function prepare(
  context: ReplicaContext,
  options: Settings & Pick<RaiseOptions, "onSkipped" | "onPages">,
  onStep: (step: CollectStep) => Promise<void>,
): Promise<{ readonly raised: Raised; readonly scope: Scope }> {
  const { graceMs, bytesPerSecond, onSkipped, onPages, dryRun = false, onlyPins = false } = options;
  const signal = signalOf(options);
  for (let attempt = 1; ; attempt++) {
    const copying = {
      ...(bytesPerSecond === undefined ? {} : { bytesPerSecond }),
      ...(onPages === undefined ? {} : { onPages }),
    };
    const raised = await raiseByRetention(context, {
      ...{ dryRun, onlyPins, onStep, onSkipped },
      ...copying,
      ...signal,
    });
    await onStep("protect");
    const moment = { now: context.runtime.now(), graceMs, ...signal };
    try {
      const scope = await (dryRun ? forecast : present)(context, raised, moment);
      if (!(await hasMoved(context, raised, signal))) return { raised, scope };
    } catch (error) {
      if (!isPagefoldError(error, "corrupt") || !(await hasMoved(context, raised, signal))) throw error;
    }
    if (attempt === MOST_ATTEMPTS) throw outrun(context);
  }
}

async function hasMoved(
  context: ReplicaContext,
  { floor }: Raised,
  signal: { readonly signal?: AbortSignal },
): Promise<boolean> {
  return (await currentFloor(context, signal))?.n !== floor?.n;
}

/** What may go now: what no floor of the grace period needs. */
async function present(
  context: ReplicaContext,
  { floor }: Raised,
  moment: { readonly now: number; readonly graceMs: number; readonly signal?: AbortSignal },
): Promise<Scope> {
  const inForce = await floorsInForce(context, floor, moment);
  const protection = await Protection.by(context, inForce.floors, signalOf(moment));
  return { lowest: inForce.lowest, newestFloor: floor?.n ?? 0, protection, moreAt: inForce.nextAt };
}

function outrun({ replica }: ReplicaContext): PagefoldError {
  const { volume } = replica.manifest;
  return new PagefoldError(
    "conflict",
    `others moved the floor of volume ${volume} again and again while it was collected; nothing was deleted: run it again when they have ended`,
    { details: { volume }, retryable: true },
  );
}

/** Long work keeps its lease. @throws `busy` where it was lost: whoever has it does the work */
async function renew(
  lease: Lease | undefined,
  { runtime }: ReplicaContext,
  signal: AbortSignal | undefined,
): Promise<void> {
  if (lease === undefined || lease.until - runtime.now() > LEASE_MS / 2) return;
  await lease.renew(signal === undefined ? {} : { signal });
}

function signalOf({ signal }: { readonly signal?: AbortSignal }): { readonly signal?: AbortSignal } {
  return signal === undefined ? {} : { signal };
}
