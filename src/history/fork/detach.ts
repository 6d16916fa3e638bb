/**
 * Makes a fork independent of its ancestors: what it shares is copied under its own prefix, and its floor passes its fork point, so that nothing that it
 * keeps is read from theirs. Its own commits stay as they are. The pin in its parent goes with the first collection after the grace period.
 */
import type { Lsn } from "../../base/brand.ts";
import { PagefoldError } from "../../base/errors.ts";
import { type Floor, type FloorCheckpoint, forkPoint } from "../../format/model.ts";
import { assertWritable } from "../../remote/writable.ts";
import type { ReplicaContext } from "../../replicate/context.ts";
import { fetchCheckpoint } from "../../replicate/floor.ts";
import { placesAllOf } from "../../volume/loaded-checkpoint.ts";
import { compactVolume } from "../compact/compact.ts";
import { currentFloor, raiseFloor } from "../keep/floors.ts";
import { listPins } from "../keep/pins.ts";
import { keptBy, pinsOf } from "../keep/raise-floor.ts";

export interface DetachOptions {
  /** Read and written, together; default: as fast as it goes. */
  readonly bytesPerSecond?: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (pagesDone: number, pagesTotal: number) => void;
  /** Awaited before the floor is made, and after; what it throws ends the work there. */
  readonly onStep?: (step: "copied" | "raise floor" | "raised") => void | Promise<void>;
}

export interface DetachResult {
  /** From this LSN on everything is the volume's own. */
  readonly floor: Lsn;
  /** Bytes of segments and checkpoints that were written. */
  readonly bytesWritten: number;
  /** Whether there was anything left to do. */
  readonly detached: boolean;
}

const MOST_ATTEMPTS = 16;

/**
 * Where it was cut off, running it again goes on.
 * @throws `invalid` for a volume that is no fork, or a fork without a commit of its own: that is its fork point, which lives in its parent;
 * `conflict` where others keep moving the floor
 */
export async function detachVolume(
  context: ReplicaContext,
  options: DetachOptions = {},
): Promise<DetachResult> {
  const { replica, remote } = context;
  const { manifest, state } = replica;
  const { volume } = manifest;
  const signal = options.signal === undefined ? {} : { signal: options.signal };
  const shared = forkPoint(manifest);
  if (shared === 0) {
    throw new PagefoldError(
      "invalid",
      `volume ${volume} shares nothing with another; there is nothing to detach`,
      {
        details: { volume },
      },
    );
  }
  if (state.base.lsn === shared) {
    throw new PagefoldError(
      "invalid",
      `fork ${volume} has no commit of its own yet, so its newest commit is its parent's; push or pull one, then detach it`,
      { details: { volume, lsn: shared } },
    );
  }
  await assertWritable(remote, context.runtime);
  let bytesWritten = 0;
  for (let attempt = 0; attempt < MOST_ATTEMPTS; attempt++) {
    const floor = await currentFloor(context, signal);
    const target = Math.max(shared + 1, floor?.lsn ?? 0) as Lsn;
    const pinned = pinsOf(await listPins(remote, volume, signal)).filter(
      ({ lsn, until = target + 1 }) => lsn >= 1 && lsn < target && until > target,
    );
    const wanted = new Set([...keptBy(floor), ...pinned].map(({ lsn }) => lsn).filter((lsn) => lsn < target));
    const { done, written } = await copyAll(context, [...wanted, target], options);
    bytesWritten += written;
    await options.onStep?.("copied");
    if (written === 0 && floor?.lsn === target) return { floor: target, bytesWritten, detached: attempt > 0 };
    const now = await currentFloor(context, signal);
    const checkpoints = [...done, ...(now?.checkpoints.filter(({ lsn }) => lsn > target) ?? [])];
    if ((now?.lsn ?? 0) > target || !namesAll(now, done)) continue;
    if (now?.lsn === target) return { floor: target, bytesWritten, detached: true };
    await options.onStep?.("raise floor");
    const raised = await raiseFloor(context, now, { lsn: target, checkpoints }, signal);
    if (raised === undefined) continue;
    await options.onStep?.("raised");
    return { floor: target, bytesWritten, detached: true };
  }
  throw new PagefoldError(
    "conflict",
    `others moved the floor of volume ${volume} ${MOST_ATTEMPTS} times while it was detached; what was copied stays: run it again when they have ended`,
    { details: { volume }, retryable: true },
  );
}

/**
 * Copies, state by state, what ancestors hold: each step registers its checkpoint with the floor that there is. The newest first, as that of a newer state
 * takes the place of older ones above the floor. Answers them with LSNs rising.
 */
async function copyAll(
  context: ReplicaContext,
  lsns: readonly Lsn[],
  options: DetachOptions,
): Promise<{ readonly done: readonly FloorCheckpoint[]; readonly written: number }> {
  const { volume } = context.replica.manifest;
  const signal = options.signal === undefined ? {} : { signal: options.signal };
  let written = 0;
  const done: FloorCheckpoint[] = [];
  for (const lsn of [...lsns].sort((a, b) => b - a)) {
    let named = (await currentFloor(context, signal))?.checkpoints.find((each) => each.lsn === lsn);
    const loaded = named && (await fetchCheckpoint(context, { volume, ...named }, signal));
    if (named === undefined || loaded === undefined || !placesAllOf(loaded.checkpoint, false)) {
      const { bytesPerSecond, onProgress } = options;
      const work = { to: lsn, own: true, complete: true, bytesPerSecond, onProgress, ...signal };
      written += (await compactVolume(context, work)).bytesWritten;
      named = (await currentFloor(context, signal))?.checkpoints.find((each) => each.lsn === lsn);
    }
    if (named !== undefined) done.unshift(named);
  }
  return { done, written };
}

function namesAll(floor: Floor | undefined, checkpoints: readonly FloorCheckpoint[]): boolean {
  const named = new Set(floor?.checkpoints.map(({ hash }) => hash));
  return checkpoints.every(({ hash }) => named.has(hash));
}
