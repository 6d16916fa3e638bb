/**
 * The first half of a collection: plans what is kept, makes the checkpoints that this takes, and creates the next floor, until there is a floor that keeps
 * everything that anybody pinned. Nothing is deleted here.
 */
import type { Lsn } from "../base/brand.ts";
import { isPagefoldError, PagefoldError } from "../base/errors.ts";
import { decodeFloor } from "../format/floor-codec.ts";
import { floorKey } from "../format/keys.ts";
import { type Floor, type FloorCheckpoint, forkPoint } from "../format/model.ts";
import type { ReplicaContext } from "../replicate/context.ts";
import { newestFloorOf } from "../replicate/floor.ts";
import { completeCheckpointAt } from "./complete-checkpoint.ts";
import { currentFloor, raiseFloor } from "./floors.ts";
import { LogTimes } from "./log-times.ts";
import { listPins, type Pins } from "./pins.ts";
import { getRetention, type RetentionRules, retentionRules } from "./retention.ts";
import { type Pin, planRetention, type RetentionPlan } from "./retention-plan.ts";

type Signal = { readonly signal?: AbortSignal };

export interface RaiseOptions extends Signal {
  readonly dryRun: boolean;
  readonly bytesPerSecond?: number;
  readonly onStep: (step: "plan" | "complete" | "raise floor" | "raised") => Promise<void>;
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
  /** As they were after the floor was made. */
  readonly pins: Pins;
  /** Segments and checkpoints that were made for it. */
  readonly bytesWritten: number;
}

/** How often others may come first, or pins turn up, before it is given up. */
const MOST_ATTEMPTS = 16;
/** How many floors back it is looked where the pages of a late pin lie. */
const OLDER_FLOORS = 16;

/** @throws `conflict` where others keep moving the floor */
export async function raiseByRetention(context: ReplicaContext, options: RaiseOptions): Promise<Raised> {
  const { remote, replica } = context;
  const { volume } = replica.manifest;
  const signal = options.signal === undefined ? {} : { signal: options.signal };
  const rules = retentionRules((await getRetention(context, signal)).policy);
  const lost = new Set<Lsn>();
  let first: Floor | undefined;
  let bytesWritten = 0;
  for (let attempt = 0; attempt < MOST_ATTEMPTS; attempt++) {
    await options.onStep("plan");
    const floor = await currentFloor(context, signal);
    if (attempt === 0) first = floor;
    if (floor?.closed) {
      throw new PagefoldError(
        "not_found",
        `volume ${volume} was deleted for good; there is nothing to collect`,
        {
          details: { volume },
        },
      );
    }
    const pins = await listPins(remote, volume, signal);
    const plan = await planUnder(context, floor, rules, pins, signal);
    if (options.dryRun) return { before: first, floor, plan, pins, bytesWritten };
    const onWritten = (bytes: number) => {
      bytesWritten += bytes;
    };
    const raised = await raise(context, floor, plan, lost, { ...options, onWritten });
    if (raised === "lost") continue;
    // A pin that was made before the floor, and listed by nobody, counts: its maker asked for the floor before this one was there.
    const now = await listPins(remote, volume, signal);
    if (uncovered(raised, now).every((lsn) => lost.has(lsn)))
      return { before: first, floor: raised, plan, pins: now, bytesWritten };
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
  signal: Signal,
): Promise<RetentionPlan> {
  const shared = forkPoint(context.replica.manifest);
  const bottom = Math.max(
    1,
    floor?.lsn ?? 0,
    (floor?.lsn ?? 0) > shared ? 0 : await sharedBottom(context, signal),
  ) as Lsn;
  const times = new LogTimes(context, bottom, signal);
  return planRetention({
    now: context.runtime.now(),
    rules,
    floor: floor?.lsn ?? (0 as Lsn),
    keptBefore: keptBy(floor),
    bottom,
    first: (shared + 1) as Lsn,
    pins: pinsOf(pins),
    newest: times.newest,
    newestBefore: (time) => times.newestBefore(time),
  });
}

/** From where on what a fork shares is whole in its ancestors. */
async function sharedBottom(context: ReplicaContext, options: Signal): Promise<number> {
  const { replica, remote, codecs } = context;
  let bottom = 1;
  for (const { volume, lsn } of replica.manifest.ancestors) {
    const floor = await newestFloorOf({ directory: replica.directory, remote, codecs }, volume, options);
    bottom = Math.max(bottom, Math.min(floor?.lsn ?? 1, lsn));
  }
  return bottom;
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

/** LSNs that are pinned and that a floor does not keep. */
function uncovered(floor: Floor | undefined, pins: Pins): Lsn[] {
  if (floor === undefined) return [];
  const kept = new Set(keptBy(floor).map(({ lsn }) => lsn));
  return pinsOf(pins)
    .filter(
      ({ lsn, until = floor.lsn + 1 }) => lsn >= 1 && lsn < floor.lsn && until > floor.lsn && !kept.has(lsn),
    )
    .map(({ lsn }) => lsn);
}

/** Answers the floor that holds then: the same where the plan changes nothing. @param lost LSNs that cannot be had any more: added to */
async function raise(
  context: ReplicaContext,
  floor: Floor | undefined,
  plan: RetentionPlan,
  lost: Set<Lsn>,
  options: Work,
): Promise<Floor | undefined | "lost"> {
  const known = new Map(keptBy(floor).map((checkpoint) => [checkpoint.lsn, checkpoint]));
  // A pin that no floor covers may be of a state that is there all the same, for as long as the grace period.
  const late = plan.missing.filter(({ lsn, why }) => why !== "keep" && lsn < plan.floor && !lost.has(lsn));
  const wanted = [...new Set([...plan.kept, ...late].map(({ lsn }) => lsn))].sort((a, b) => a - b);
  const isSame = wanted.length === known.size && wanted.every((lsn) => known.has(lsn));
  if (plan.floor === 0 || (isSame && plan.floor === floor?.lsn)) return floor;
  if (late.length > 0 && floor !== undefined) await nameOlder(context, floor, options);
  const checkpoints: FloorCheckpoint[] = [];
  for (const lsn of wanted) {
    const checkpoint = known.get(lsn) ?? (await complete(context, floor, lsn, late, checkpoints, options));
    if (checkpoint === "overtaken") return "lost";
    if (checkpoint === "gone") lost.add(lsn);
    else checkpoints.push(checkpoint);
  }
  // Those above are there to open from, and stay named.
  for (const checkpoint of floor?.checkpoints ?? [])
    if (checkpoint.lsn > plan.floor) checkpoints.push(checkpoint);
  const before = new Map(floor?.checkpoints.map((each) => [each.lsn, each.hash]));
  const unchanged =
    plan.floor === floor?.lsn &&
    checkpoints.length === before.size &&
    checkpoints.every(({ lsn, hash }) => before.get(lsn) === hash);
  if (unchanged) return floor;
  await options.onStep("raise floor");
  const signal = options.signal === undefined ? {} : { signal: options.signal };
  const raised = await raiseFloor(context, floor, { lsn: plan.floor, checkpoints }, signal);
  if (raised !== undefined) await options.onStep("raised");
  return raised ?? "lost";
}

/** The checkpoint of an LSN that is to be kept while its commits go. @param made those that the next floor will name, too */
async function complete(
  context: ReplicaContext,
  floor: Floor | undefined,
  lsn: Lsn,
  late: RetentionPlan["missing"],
  made: readonly FloorCheckpoint[],
  options: Work,
): Promise<FloorCheckpoint | "overtaken" | "gone"> {
  await options.onStep("complete");
  const { bytesPerSecond, signal, onSkipped } = options;
  const pin = late.find((each) => each.lsn === lsn);
  try {
    const number = floor?.n ?? 0;
    const reuse = made.map(({ hash }) => hash);
    const work = { number, reuse, bytesPerSecond, signal, belowFloor: pin !== undefined };
    const { time, hash, bytesWritten } = await completeCheckpointAt(context, lsn, work);
    options.onWritten(bytesWritten);
    return { lsn, time, hash };
  } catch (error) {
    if (isPagefoldError(error, "conflict")) return "overtaken";
    if (pin === undefined || !isPagefoldError(error, "not_found")) throw error;
    onSkipped(`LSN ${lsn}, which a ${pin.why} pins, was collected before: ${error.message}`);
    return "gone";
  }
}

/** What older floors kept is where pages lie that this one does not show any more: for as long as the grace period it is there. */
async function nameOlder(context: ReplicaContext, floor: Floor, options: Signal): Promise<void> {
  const { replica, remote, codecs } = context;
  const { volume } = replica.manifest;
  const signal = options.signal === undefined ? {} : { signal: options.signal };
  for (let n = floor.n - 1; n >= Math.max(1, floor.n - OLDER_FLOORS); n--) {
    const bytes = await remote.get(floorKey(volume, n), signal);
    if (bytes === undefined) return;
    for (const { lsn, hash } of decodeFloor(bytes, codecs.hash, { volume, n }).checkpoints) {
      replica.directory.nameCheckpoint({ volume, lsn, hash });
    }
  }
}
