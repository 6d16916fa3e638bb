/**
 * What forks and restores rely on: the state at an old LSN. A pin, created first, makes collections keep it; then the newest floor is asked whether
 * one that did not see the pin was faster.
 */
import type { Lsn, VolumeId } from "../base/brand.ts";
import type { ReplicaContext } from "../replicate/context.ts";
import { newestFloorOf } from "../replicate/floor.ts";

/** Whether the state at an LSN is kept, as of the newest floor of the volume under which it lives. One request, as a rule. */
export async function isKept(
  context: ReplicaContext,
  owner: VolumeId,
  lsn: Lsn,
  options: { readonly signal?: AbortSignal } = {},
): Promise<boolean> {
  const { remote, codecs, replica } = context;
  const floor = await newestFloorOf({ directory: replica.directory, remote, codecs }, owner, options);
  return (
    floor === undefined || lsn >= floor.lsn || floor.checkpoints.some((checkpoint) => checkpoint.lsn === lsn)
  );
}
