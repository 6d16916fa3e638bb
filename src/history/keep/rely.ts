/**
 * How forks and restores find out that what they pinned is kept: after the pin, they ask for the floor. One that is about to be raised was announced
 * before the pins were listed, so a pin made since then may not have been seen: who relies on it makes the next floor first, and whoever wanted to raise
 * it begins again (decision 19, "Pins and the floor").
 */
import type { Lsn, VolumeId } from "../../base/brand.ts";
import { isPagefoldError, PagefoldError } from "../../base/errors.ts";
import { encodeFloor } from "../../format/floor-codec.ts";
import type { Floor } from "../../format/model.ts";
import { appendToSeries } from "../../remote/series.ts";
import { type ReplicaContext, sourceOf } from "../../replicate/context.ts";
import { floorSeries, newestFloorOf } from "../../replicate/floor.ts";

type Signal = { readonly signal?: AbortSignal };

/** How often others may move the floor meanwhile. */
const MOST_ATTEMPTS = 16;

/** Whether an LSN of the floor's own volume can be read as long as this floor holds. */
export function keepsLsn(floor: Floor, lsn: Lsn): boolean {
  if (floor.closed) return false;
  return lsn >= floor.lsn || floor.checkpoints.some((each) => each.lsn === lsn);
}

/**
 * The newest floor of a volume; where it keeps `lsn`, it will until a collection has seen the pin that the caller has made before. One request, unless
 * a collection is just about to raise it.
 * @throws `unavailable` where that must be waited for
 */
export async function floorToRelyOn(
  context: ReplicaContext,
  volume: VolumeId,
  lsn: Lsn,
  options: Signal,
): Promise<Floor | undefined> {
  for (let attempt = 0; attempt < MOST_ATTEMPTS; attempt++) {
    const floor = await newestFloorOf(sourceOf(context), volume, options);
    if (floor?.raising !== true || !keepsLsn(floor, lsn)) return floor;
    await takeBack(context, floor, options);
  }
  throw beingRaised(volume, undefined);
}

/** The next floor says what this one says, and announces nothing. Where another was faster, he is to be asked. */
async function takeBack(
  { remote, codecs }: ReplicaContext,
  { raising: _, ...floor }: Floor,
  options: Signal,
): Promise<void> {
  const n = floor.n + 1;
  const bytes = encodeFloor({ ...floor, n }, codecs.hash);
  try {
    await appendToSeries(remote, floorSeries(floor.volume), { n, bytes }, options);
  } catch (error) {
    if (!isPagefoldError(error, "forbidden", "unauthorized")) throw error;
    throw beingRaised(floor.volume, error);
  }
}

function beingRaised(volume: VolumeId, cause: unknown): PagefoldError {
  return new PagefoldError(
    "unavailable",
    `a collection of volume ${volume} is just about to say what it keeps; try again in a moment`,
    { details: { volume }, retryable: true, cause },
  );
}
