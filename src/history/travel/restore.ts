/**
 * Restores: one more commit, whose state is that of an older LSN. It has no pages of its own: its header says of every page that goes back which
 * older commit wrote it. So nothing is copied, and whoever has the old pages needs none.
 */
import { assert } from "../../base/assert.ts";
import { LSN_ZERO, type Lsn, type PageCount, type StateChecksum } from "../../base/brand.ts";
import { isPagefoldError, PagefoldError, throwIfAborted } from "../../base/errors.ts";
import { StateChecksumSum } from "../../format/checksum.ts";
import { forkKey, restorePinKey } from "../../format/keys.ts";
import { type Floor, forkPoint, type PageWriter } from "../../format/model.ts";
import { type PageSet, PageSetBuilder } from "../../format/page-set.ts";
import { assertWritable } from "../../remote/writable.ts";
import { CommitWriter, type FinishedCommit } from "../../replicate/commit-writer.ts";
import type { ReplicaContext } from "../../replicate/context.ts";
import { pull } from "../../replicate/fetch.ts";
import { lsnAt } from "../../replicate/lsn-at.ts";
import { stateOf } from "../../replicate/past.ts";
import { publish, settlePush } from "../../replicate/push.ts";
import type { CommitDirectory } from "../../volume/commit-directory.ts";
import type { RemoteState } from "../../volume/remote-state.ts";
import { listPins } from "../keep/pins.ts";
import { floorToRelyOn } from "../keep/rely.ts";

type Signal = { readonly signal?: AbortSignal };

export interface RestoreOptions extends Signal {
  /** The LSN whose state is to be the newest again (0: the empty state), or a time: then the newest commit that is not later. */
  readonly at: number | Date;
  /** Pages compared so far, and in all. */
  readonly onProgress?: (pagesDone: number, pagesTotal: number) => void;
}

export interface RestoreResult {
  /** The newest commit now: the restore's own, or, where the volume had that state already, the one there was. */
  readonly lsn: Lsn;
  /** The LSN whose state it has. */
  readonly from: Lsn;
  /** Pages that went back. */
  readonly changedPages: number;
  /** Whether there was anything to restore. */
  readonly restored: boolean;
}

/** How a state differs from an older one that is to be restored. */
interface WayBack {
  readonly writers: readonly PageWriter[];
  /** Pages that the older state never wrote. */
  readonly zeroed: PageSet;
}

/** How often progress is told, in pages. */
const PROGRESS_PAGES = 2 ** 18;

/**
 * Makes the state at an earlier point the newest one again, as a commit on top of the newest of the remote; an unfinished push is finished first, and
 * the replica moves to the newest commit. A few requests, whatever the size of the volume.
 * @throws `conflict` where there are local commits, `not_found` for a point that the volume does not have or has not kept, `diverged` when another
 * writer was faster: running it again restores on top of that, `unavailable` when it is not known whether the commit arrived
 */
export async function restoreVolume(
  context: ReplicaContext,
  options: RestoreOptions,
): Promise<RestoreResult> {
  const signal = signalOf(options);
  await context.moves.run(() => settlePush(context, signal), options.signal);
  refuseLocal(context);
  await assertWritable(context.remote, context.runtime);
  await pull(context, signal);
  return context.moves.run(async () => {
    refuseLocal(context);
    const { at } = options;
    const from = typeof at === "number" ? at : await lsnAt(context, at.getTime(), signal);
    return restoreOnto(context, await stateOf(context, from, signal), options);
  }, options.signal);
}

function refuseLocal({ replica }: ReplicaContext): void {
  const { commits } = replica.state;
  if (commits.length === 0) return;
  const { volume } = replica.manifest;
  throw new PagefoldError(
    "conflict",
    `volume ${volume} has ${commits.length} local commit(s) that were not pushed; nothing was restored: push them (the restore then undoes them, and they ` +
      "stay in the log), reset (drop them), or fork (keep them as a new volume), then run it again",
    { details: { volume, ahead: commits.length } },
  );
}

async function restoreOnto(
  context: ReplicaContext,
  target: RemoteState,
  options: RestoreOptions,
): Promise<RestoreResult> {
  const { base } = context.replica.state;
  const way = wayBack(context.replica.directory, base, target, options);
  if (isThere(base, target, way)) {
    return { lsn: base.lsn, from: target.lsn, changedPages: 0, restored: false };
  }
  if (way.writers.length > 0) await pin(context, (base.lsn + 1) as Lsn, target.lsn, options);
  const commit = await build(context, base, target, way, options.signal);
  try {
    await publish(context, commit, 0, signalOf(options));
  } catch (error) {
    if (!isPagefoldError(error, "diverged")) throw error;
    const { volume } = context.replica.manifest;
    throw new PagefoldError(
      "diverged",
      `another writer committed to volume ${volume} while LSN ${target.lsn} was being restored, and nothing was changed; run it again to restore on top of that commit`,
      { cause: error, details: error.details },
    );
  }
  const changedPages = way.writers.reduce((sum, { pages }) => sum + pages.size, way.zeroed.size);
  return { lsn: commit.lsn, from: target.lsn, changedPages, restored: true };
}

/** Pages that only differ in which commit made them zeros are equal: where nothing else differs the checksums say so. */
function isThere(base: RemoteState, target: RemoteState, { writers, zeroed }: WayBack): boolean {
  return (
    writers.length === 0 &&
    base.pageCount === target.pageCount &&
    base.byteLength === target.byteLength &&
    (zeroed.isEmpty || base.stateChecksum === target.stateChecksum)
  );
}

/** Compares the two page tables. O(runs of pages that one commit wrote) */
function wayBack(
  directory: CommitDirectory,
  base: RemoteState,
  target: RemoteState,
  options: Pick<RestoreOptions, "signal" | "onProgress">,
): WayBack {
  const { pageCount } = target;
  const zeroed = new PageSetBuilder();
  const back = new Map<number, PageSetBuilder>();
  const goBack = (first: number, last: number, value: number, now: number): void => {
    if (value === now) return;
    let pages = zeroed;
    if (value !== 0) {
      pages = back.get(value) ?? new PageSetBuilder();
      back.set(value, pages);
    }
    pages.addRun(first, last);
  };
  let told = 0;
  for (const { first, last, value } of target.table.runs(1, pageCount)) {
    // What lies above the lower of both page counts was cut off before it comes back.
    for (const run of base.table.runs(first, Math.min(last, base.pageCount)))
      goBack(run.first, run.last, value, run.value);
    const above = Math.max(first, base.pageCount + 1);
    if (above <= last) goBack(above, last, value, 0);
    if (last - told < PROGRESS_PAGES && last < pageCount) continue;
    throwIfAborted(options.signal, "the restore");
    options.onProgress?.(last, pageCount);
    told = last;
  }
  const writers = [...back]
    .sort(([a], [b]) => b - a)
    .map(([lsn, pages]) => ({
      lsn: lsn as Lsn,
      hash: directory.hash(lsn as Lsn),
      pages: pages.build(),
    }));
  return { writers, zeroed: zeroed.build() };
}

/** Keeps collections from taking what the commit will share, then asks whether one has already. @throws `not_found` */
async function pin(context: ReplicaContext, lsn: Lsn, from: Lsn, options: RestoreOptions): Promise<void> {
  const { remote, replica } = context;
  const { volume } = replica.manifest;
  const owner = replica.directory.volumeOf(from);
  assert(from > LSN_ZERO, "sharing pages of the empty state");
  const signal = signalOf(options);
  const own = restorePinKey(volume, lsn, from);
  // Where the commit of that LSN is an ancestor's: its collections look for the pins of forks.
  const elders = owner === volume ? [] : [forkKey(owner, volume, from)];
  const put = { ifAbsent: true, ...signal };
  await Promise.all([own, ...elders].map((key) => remote.put(key, new Uint8Array(0), put)));
  // A fork may keep by itself what it shared before.
  const floors = await Promise.all(
    [...new Set([volume, owner])].map((each) => floorToRelyOn(context, each, from, signal)),
  );
  if (floors.some((floor, i) => keeps(floor, from, i === floors.length - 1))) return;
  await takeAway(context, own, from === forkPoint(replica.manifest) ? [] : elders, from);
  throw new PagefoldError(
    "not_found",
    `LSN ${from} of volume ${volume} was collected: its retention does not keep it; restore a later one, or one that it keeps`,
    { details: { volume, lsn: from } },
  );
}

/** Pins of what nobody can restore any more. Whoever could has a pin of his own: then the one in an ancestor is his, too. */
async function takeAway(
  { remote, replica, recorder }: ReplicaContext,
  own: string,
  elders: readonly string[],
  from: Lsn,
): Promise<void> {
  try {
    await remote.delete([own]);
    const { restores } =
      elders.length === 0 ? { restores: [] } : await listPins(remote, replica.manifest.volume);
    if (elders.length > 0 && restores.every((pin) => pin.from !== from)) await remote.delete(elders);
  } catch {
    // They keep nothing, as it is gone; what is to be told is that.
    recorder.count("restore.pins_left");
  }
}

/** @param isOwner whether the LSN lies in the log of the floor's volume */
function keeps(floor: Floor | undefined, lsn: Lsn, isOwner: boolean): boolean {
  if (floor?.checkpoints.some((checkpoint) => checkpoint.lsn === lsn)) return true;
  return isOwner && (floor === undefined || (!floor.closed && lsn >= floor.lsn));
}

async function build(
  context: ReplicaContext,
  base: RemoteState,
  target: RemoteState,
  { writers, zeroed }: WayBack,
  signal: AbortSignal | undefined,
): Promise<FinishedCommit> {
  const { pageCount, byteLength } = target;
  const stateChecksum: StateChecksum = target.stateChecksum;
  const writer = new CommitWriter(context, base, signal);
  return writer.finish({
    pageCount,
    lowestPageCount: Math.min(base.pageCount, pageCount) as PageCount,
    byteLength,
    zeroed,
    time: context.runtime.now(),
    removed: new StateChecksumSum(),
    restores: { from: target.lsn, writers, stateChecksum },
  });
}

function signalOf({ signal }: Signal): Signal {
  return signal === undefined ? {} : { signal };
}
