/**
 * Whether the remote still is what a replica knows: a store that was restored from a backup, or replaced, would otherwise take
 * commits that build on a history it does not have.
 */
import type { Lsn } from "../base/brand.ts";
import { isPagefoldError, PagefoldError } from "../base/errors.ts";
import { decodeCommit } from "../format/commit-codec.ts";
import { commitKey } from "../format/keys.ts";
import { type ReplicaContext, sourceOf } from "./context.ts";
import { fetchCheckpoint, newestFloorOf } from "./floor.ts";

type Options = { readonly signal?: AbortSignal };

/** Once per opened volume: the remote must hold the commit that the replica stands on, not another one of the same LSN. */
export async function confirmBase(context: ReplicaContext, options: Options): Promise<void> {
  const { replica, remote, codecs } = context;
  const { base, baseHeader } = replica.state;
  if (context.confirmed || baseHeader === undefined) return;
  const volume = replica.directory.volumeOf(base.lsn);
  const stored = await remote.get(commitKey(volume, base.lsn), {
    range: { offset: 0, length: baseHeader.length },
    ...options,
  });
  if (stored === undefined) {
    await refuseLeftBehind(context, options);
    context.confirmed = await isKept(context, options);
    if (context.confirmed) return;
    throw lostHistory(context, (base.lsn - 1) as Lsn);
  }
  let same = false;
  try {
    same = decodeCommit(stored, codecs.hash, { volume, lsn: base.lsn }).hash === base.hash;
  } catch (error) {
    if (!isPagefoldError(error, "corrupt")) throw error;
  }
  if (!same) throw lostHistory(context, base.lsn);
  context.confirmed = true;
}

/** @throws `diverged` where the log went on so far that the commit which the replica stands on was collected */
export async function refuseLeftBehind(context: ReplicaContext, options: Options): Promise<void> {
  const { manifest, state } = context.replica;
  const floor = await newestFloorOf(sourceOf(context), manifest.volume, options);
  if (floor !== undefined && floor.lsn > state.base.lsn) throw leftBehind(context, floor.lsn);
}

/** Whether a fork stands on a commit that its ancestor has collected and keeps for it. */
async function isKept(context: ReplicaContext, options: Options): Promise<boolean> {
  const { directory, state } = context.replica;
  const { lsn, hash } = state.base;
  const volume = directory.volumeOf(lsn);
  const floor = await newestFloorOf(sourceOf(context), volume, options);
  const kept = floor?.checkpoints.find((each) => each.lsn === lsn);
  if (kept === undefined) return false;
  const loaded = await fetchCheckpoint(context, { volume, ...kept }, options);
  return loaded?.checkpoint.commit.hash === hash;
}

/** The log went on from the commit that this replica stands on, so far that it was collected. */
function leftBehind(context: ReplicaContext, floor: Lsn): PagefoldError {
  const { replica, remote } = context;
  const { lsn } = replica.state.base;
  const { volume } = replica.manifest;
  context.learned = { lsn: Math.max(floor, context.learned?.lsn ?? 0) as Lsn, steps: [] };
  return new PagefoldError(
    "diverged",
    `this replica of volume ${volume} stands on commit ${lsn}, which was collected in ${remote.url}: the log went on to LSN ${floor} at least; ` +
      "nothing was changed: fetch, then reset (drop the local commits) or make their changes again after a reset",
    { details: { volume, lsn, remoteLsn: floor } },
  );
}

/** The remote log does not have the commit that this replica stands on. */
export function lostHistory(context: ReplicaContext, head: Lsn): PagefoldError {
  const { base } = context.replica.state;
  const { volume } = context.replica.manifest;
  return new PagefoldError(
    "diverged",
    `this replica of volume ${volume} stands on commit ${base.lsn}, which the log in ${context.remote.url} (now at LSN ${head}) does not have; ` +
      "the store was restored from a backup or replaced: clone into an empty directory, or export the local state and import it as a new volume",
    { details: { volume, lsn: base.lsn, remoteLsn: head } },
  );
}
