/**
 * Floors as collections use them: the one that holds, those that held a short time ago, and how the next is made. The floor's LSN never falls, and
 * neither does its time, whatever the clocks of those who make them say.
 */
import type { Lsn, TimeMs } from "../../base/brand.ts";
import { PagefoldError } from "../../base/errors.ts";
import { decodeFloor, encodeFloor } from "../../format/floor-codec.ts";
import { floorKey } from "../../format/keys.ts";
import type { Floor, FloorCheckpoint } from "../../format/model.ts";
import { appendToSeries } from "../../remote/series.ts";
import type { ReplicaContext } from "../../replicate/context.ts";
import { floorSeries, newestFloor } from "../../replicate/floor.ts";

type Signal = { readonly signal?: AbortSignal };

/**
 * The floor that holds, asked for anew by the next numbers, whatever a listing shows; undefined where nothing was ever collected. Nobody deletes by a floor
 * that is only remembered.
 * @throws `diverged` where the store has lost one that this side knows
 */
export async function currentFloor(context: ReplicaContext, options: Signal): Promise<Floor | undefined> {
  const { replica, remote } = context;
  const { volume } = replica.manifest;
  const n = replica.directory.floorNumber(volume) ?? 0;
  const [newest, known] = await Promise.all([
    newestFloor(context, options),
    n === 0 ? undefined : remote.get(floorKey(volume, n), options),
  ]);
  if (n > 0 && known === undefined) {
    throw new PagefoldError(
      "diverged",
      `floor ${n} of volume ${volume}, which this side knows, is not in ${remote.url} any more (was the store restored from a backup?); nothing was deleted: open the store anew, and run it again`,
      { details: { volume, key: floorKey(volume, n) } },
    );
  }
  return newest;
}

export interface FloorsInForce {
  /** Every floor that held at any time within the grace period, the newest first. */
  readonly floors: readonly Floor[];
  /** Commits below it are needed by none of them; 0 where there was no floor for a part of that time. */
  readonly lowest: Lsn;
  /** When more may go: the oldest of them is out of force then. Undefined where there is but one. */
  readonly nextAt: TimeMs | undefined;
}

/** A reader may have opened what any of these floors keep: they hold on for as long as the grace period after they were replaced. */
export async function floorsInForce(
  { replica, remote, codecs }: ReplicaContext,
  newest: Floor | undefined,
  { now, graceMs, signal }: Signal & { readonly now: number; readonly graceMs: number },
): Promise<FloorsInForce> {
  if (newest === undefined) return { floors: [], lowest: 0 as Lsn, nextAt: undefined };
  const { volume } = replica.manifest;
  const options = signal === undefined ? {} : { signal };
  const floors = [newest];
  for (let later = newest; later.time + graceMs > now; ) {
    const nextAt = (later.time + graceMs) as TimeMs;
    const n = later.n - 1;
    const bytes = n === 0 ? undefined : await remote.get(floorKey(volume, n), options);
    // The first floor replaced that there was none. One that was swept was out of force for whoever did that.
    if (n === 0) return { floors, lowest: 0 as Lsn, nextAt };
    if (bytes === undefined) break;
    later = decodeFloor(bytes, codecs.hash, { volume, n });
    floors.push(later);
  }
  const lowest = Math.min(...floors.map(({ lsn }) => lsn)) as Lsn;
  const replacing = floors.at(-2);
  return { floors, lowest, nextAt: replacing && ((replacing.time + graceMs) as TimeMs) };
}

export interface NextFloor {
  readonly lsn: Lsn;
  /** Rising; a complete one at `lsn` is among them, unless that is 0. */
  readonly checkpoints: readonly FloorCheckpoint[];
  /** It says that the one after it will keep less. */
  readonly raising?: boolean;
}

/** Makes the next floor hold, if `before` still is the newest: undefined where another came first. */
export async function raiseFloor(
  { replica, remote, codecs, runtime }: ReplicaContext,
  before: Floor | undefined,
  { lsn, checkpoints, raising }: NextFloor,
  options: Signal,
): Promise<Floor | undefined> {
  const { volume } = replica.manifest;
  const time = Math.max(runtime.now(), before?.time ?? 0) as TimeMs;
  const announced = raising === true ? { raising } : {};
  const floor: Floor = { volume, n: (before?.n ?? 0) + 1, ...announced, lsn, time, checkpoints };
  const bytes = encodeFloor(floor, codecs.hash);
  if (!(await appendToSeries(remote, floorSeries(volume), { n: floor.n, bytes }, options))) return undefined;
  // Whoever asks for the newest next begins behind it.
  replica.directory.learnFloor(floor);
  return floor;
}
