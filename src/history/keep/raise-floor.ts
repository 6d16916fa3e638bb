/**
 * The first half of a collection: plans what is kept, makes the checkpoints that this takes, and creates the next floor, until there is a floor that keeps
 * everything that anybody pinned. Nothing is deleted here.
 */
import { LSN_ZERO, type Lsn, type TimeMs } from "../../base/brand.ts";
import { isPagefoldError, PagefoldError } from "../../base/errors.ts";
import { type Floor, type FloorCheckpoint, forkPoint } from "../../format/model.ts";
import type { ReplicaContext } from "../../replicate/context.ts";
import { completeCheckpointAt } from "../compact/complete-checkpoint.ts";
import { rewriteKept } from "../compact/rewrite-kept.ts";
import { currentFloor, type NextFloor, raiseFloor } from "./floors.ts";
import { LogTimes } from "./log-times.ts";
import { listPins, type Pins } from "./pins.ts";
import { getRetention, type RetentionRules, retentionRules } from "./retention.ts";
import { type CommitTime, type Pin, planRetention, type RetentionPlan } from "./retention-plan.ts";

type Signal = { readonly signal?: AbortSignal };

export interface RaiseOptions extends Signal {
  readonly dryRun: boolean;
  /** Whatever the retention says, only what forks pin is kept: the volume is deleted. */
  readonly onlyPins: boolean;
  readonly bytesPerSecond?: number;
  /** Told of pages that were copied, some at a time. */
  readonly onPages?: (pages: number) => void;
  readonly onStep: (
    step: "plan" | "complete" | "rewrite" | "announce" | "raise floor" | "raised",
  ) => Promise<void>;
  readonly onSkipped: (why: string) => void;
}

interface Work extends RaiseOptions {
  readonly onWritten: (bytes: number) => void;
}

export interface Raised {
  /** The floor that held before. */
  readonly before: Floor | undefined;
  /** The one that holds now; in a dry run, and where nothing changes, the same. */
  readonly floor: Floor | undefined;
  readonly plan: RetentionPlan;
  /** As they were when it was announced. */
  readonly pins: Pins;
  /** Segments and checkpoints that were made for it. */
  readonly bytesWritten: number;
}

/** How often others may come first, or pins turn up, before it is given up. */
const MOST_ATTEMPTS = 16;
const PINS_ALONE: RetentionRules = { allMs: 0, periods: [], keep: [] };

/**
 * In two floors: the first keeps what the one before kept, names the checkpoints that were made, and announces the second, which keeps what the retention says
 * and what was pinned when that was announced. Who pins something later finds the announcement, and takes it back before relying on what it keeps.
 * @throws `conflict` where others keep moving the floor
 */
export async function raiseByRetention(context: ReplicaContext, options: RaiseOptions): Promise<Raised> {
  const { remote, replica } = context;
  const { volume } = replica.manifest;
  const signal = options.signal === undefined ? {} : { signal: options.signal };
  const rules = options.onlyPins ? PINS_ALONE : retentionRules((await getRetention(context, signal)).policy);
  let first: Floor | undefined;
  let bytesWritten = 0;
  const work: Work = {
    ...options,
    onWritten: (bytes) => {
      bytesWritten += bytes;
    },
  };
  for (let attempt = 0; attempt < MOST_ATTEMPTS; attempt++) {
    await options.onStep("plan");
    const floor = await currentFloor(context, signal);
    if (attempt === 0) first = floor;
    if (floor?.closed) {
      throw new PagefoldError(
        "not_found",
        `volume ${volume} was deleted for good; there is nothing to collect`,
        { details: { volume } },
      );
    }
    const pins = await listPins(remote, volume, signal);
    const plan = await planUnder(context, floor, rules, pins, options);
    const done = { before: first, floor, plan, pins, bytesWritten };
    if (options.dryRun || keepsTheSame(floor, plan)) return done;
    const next = await prepare(context, floor, plan, work);
    if (next === "overtaken") continue;
    const announced = floor?.raising === true;
    await options.onStep(announced ? "raise floor" : "announce");
    const raised = await raiseFloor(context, floor, announced ? next : announcement(floor, next), signal);
    // Where it was announced, the pins that were there then are listed next.
    if (raised === undefined || !announced) continue;
    await options.onStep("raised");
    for (const { lsn, why } of plan.missing)
      if (why !== "keep") options.onSkipped(`LSN ${lsn}, which a ${why} pins, was collected before`);
    return { ...done, floor: raised, bytesWritten };
  }
  throw new PagefoldError(
    "conflict",
    `others moved the floor of volume ${volume} ${MOST_ATTEMPTS} times while a collection was being prepared; nothing was deleted: run it again when they have ended`,
    { details: { volume }, retryable: true },
  );
}

async function planUnder(
  context: ReplicaContext,
  floor: Floor | undefined,
  rules: RetentionRules,
  pins: Pins,
  { onlyPins, signal }: Pick<RaiseOptions, "onlyPins" | "signal">,
): Promise<RetentionPlan> {
  const shared = forkPoint(context.replica.manifest);
  // What a fork shares is its parent's to keep, pinned or not.
  const bottom = Math.max(floor?.lsn ?? 0, shared + 1) as Lsn;
  const times = new LogTimes(context, bottom, signal === undefined ? {} : { signal });
  return planRetention({
    now: context.runtime.now(),
    rules,
    floor: floor?.lsn ?? (0 as Lsn),
    keptBefore: keptBy(floor),
    bottom,
    first: (shared + 1) as Lsn,
    pins: pinsOf(pins),
    newest: onlyPins ? highestPin(pins) : times.newest,
    newestBefore: (time) => times.newestBefore(time),
  });
}

/** The newest state that a fork shares stands for the newest of all; what made it old is of no matter. */
function highestPin({ forks }: Pins): CommitTime | undefined {
  const lsn = Math.max(0, ...forks.map((pin) => pin.lsn)) as Lsn;
  return lsn === 0 ? undefined : { lsn, time: 0 as TimeMs };
}

/** What a floor keeps without commits. */
export function keptBy(floor: Floor | undefined): FloorCheckpoint[] {
  return floor === undefined ? [] : floor.checkpoints.filter(({ lsn }) => lsn <= floor.lsn);
}

export function pinsOf({ forks, restores }: Pins): Pin[] {
  return [
    ...forks.map(({ lsn }): Pin => ({ lsn, why: "fork" })),
    ...restores.map(({ lsn, from }): Pin => ({ lsn: from, why: "restore", until: lsn })),
  ];
}

/** Whether a floor says what the plan says already. */
function keepsTheSame(floor: Floor | undefined, plan: RetentionPlan): boolean {
  if (plan.floor === 0) return true;
  const known = new Set(keptBy(floor).map(({ lsn }) => lsn));
  const isSame = plan.kept.length === known.size && plan.kept.every(({ lsn }) => known.has(lsn));
  return isSame && plan.floor === floor?.lsn;
}

/** Makes the checkpoints that the plan takes, and keeps what they name compact. */
async function prepare(
  context: ReplicaContext,
  floor: Floor | undefined,
  plan: RetentionPlan,
  work: Work,
): Promise<NextFloor | "overtaken"> {
  const known = new Map(keptBy(floor).map((checkpoint) => [checkpoint.lsn, checkpoint]));
  const checkpoints: FloorCheckpoint[] = [];
  for (const { lsn } of [...plan.kept].sort((a, b) => b.lsn - a.lsn)) {
    const checkpoint = known.get(lsn) ?? (await complete(context, floor, lsn, checkpoints, work));
    if (checkpoint === "overtaken") return "overtaken";
    checkpoints.unshift(checkpoint);
  }
  // Those above are there to open from, and stay named.
  const above = work.onlyPins ? [] : (floor?.checkpoints ?? []).filter(({ lsn }) => lsn > plan.floor);
  const next = { lsn: plan.floor, checkpoints: [...checkpoints, ...above] };
  // Whoever announced a floor has done it.
  return floor?.raising === true ? next : await rewrite(context, floor, next, work);
}

async function rewrite(
  context: ReplicaContext,
  floor: Floor | undefined,
  next: NextFloor,
  { onStep, onWritten, onPages, bytesPerSecond, signal }: Work,
): Promise<NextFloor> {
  await onStep("rewrite");
  const options = { number: floor?.n ?? 0, onPages, bytesPerSecond, signal };
  const { checkpoints, bytesWritten } = await rewriteKept(context, next.checkpoints, options);
  onWritten(bytesWritten);
  return { ...next, checkpoints };
}

/** A floor that keeps what the one before keeps, and names what was made: else that would be garbage under the next. */
function announcement(floor: Floor | undefined, next: NextFloor): NextFloor {
  const all = new Map(floor?.checkpoints.map((checkpoint) => [checkpoint.lsn, checkpoint]));
  for (const checkpoint of next.checkpoints) all.set(checkpoint.lsn, checkpoint);
  const checkpoints = [...all.values()].sort((a, b) => a.lsn - b.lsn);
  return { lsn: floor?.lsn ?? LSN_ZERO, checkpoints, raising: true };
}

/** The checkpoint of an LSN that is to be kept while its commits go. @param made those that the next floor will name, too */
async function complete(
  context: ReplicaContext,
  floor: Floor | undefined,
  lsn: Lsn,
  made: readonly FloorCheckpoint[],
  options: Work,
): Promise<FloorCheckpoint | "overtaken"> {
  await options.onStep("complete");
  const { onPages, bytesPerSecond, signal } = options;
  try {
    const number = floor?.n ?? 0;
    const reuse = made.map(({ hash }) => hash);
    const work = { number, reuse, onPages, bytesPerSecond, signal };
    const { time, hash, bytesWritten } = await completeCheckpointAt(context, lsn, work);
    options.onWritten(bytesWritten);
    return { lsn, time, hash };
  } catch (error) {
    if (isPagefoldError(error, "conflict")) return "overtaken";
    throw error;
  }
}
