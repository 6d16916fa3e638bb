/** What remains of a log below its floor: the commits of the checkpoints that the floor names. */
import type { Lsn, VolumeId } from "../base/brand.ts";
import type { DecodedCommit } from "../format/commit-codec.ts";
import type { Floor, FloorCheckpoint } from "../format/model.ts";
import { type ReplicaContext, sourceOf } from "./context.ts";
import { fetchCheckpoint, newestFloorOf } from "./floor.ts";

type Options = { readonly signal?: AbortSignal | undefined };

/** Where the log of a volume, or of a fork's ancestors, begins. */
export interface LogBottom {
  /** Of whose floor it is. */
  readonly volume: VolumeId;
  readonly floor: Floor;
  /** Kept below the floor, LSNs rising. */
  readonly below: readonly FloorCheckpoint[];
}

/** The floor that a walk down the log comes to first; undefined where nothing was ever collected. One request, and one for each ancestor. */
export async function logBottom(
  context: ReplicaContext,
  options: Options = {},
): Promise<LogBottom | undefined> {
  const { manifest } = context.replica;
  const lineage = [{ volume: manifest.volume, lsn: Number.POSITIVE_INFINITY }, ...manifest.ancestors];
  for (const { volume, lsn: through } of lineage) {
    const floor = await newestFloorOf(sourceOf(context), volume, options);
    if (floor === undefined || floor.lsn === 0) continue;
    // An ancestor's floor may have gone past what is shared: that is kept by itself.
    if (floor.lsn <= through)
      return { volume, floor, below: floor.checkpoints.filter(({ lsn }) => lsn < floor.lsn) };
    return { volume, floor, below: floor.checkpoints.filter(({ lsn }) => lsn <= through) };
  }
  return undefined;
}

/** The commit at an LSN below the floor, where a checkpoint keeps it. */
export async function keptCommit(
  context: ReplicaContext,
  lsn: Lsn,
  options: Options = {},
): Promise<DecodedCommit | undefined> {
  const volume = context.replica.directory.volumeOf(lsn);
  const floor = await newestFloorOf(sourceOf(context), volume, options);
  const kept = floor?.checkpoints.find((each) => each.lsn === lsn);
  if (kept === undefined) return undefined;
  return (await fetchCheckpoint(context, { volume, ...kept }, options))?.checkpoint.commit;
}
