/**
 * Promoting a fork: what it changed since its fork point becomes one commit of its parent. Rebasing it: the same on a new fork of a later state, which takes
 * its tags over; the old one stays, to be deleted. Running either again after it was cut off finishes it.
 */
import type { Lsn, VolumeId } from "../../base/brand.ts";
import { isPagefoldError, PagefoldError } from "../../base/errors.ts";
import { parseId } from "../../format/ids.ts";
import { assertWritable } from "../../remote/writable.ts";
import type { ReplicaContext } from "../../replicate/context.ts";
import { stateOf } from "../../replicate/past.ts";
import { publish } from "../../replicate/push.ts";
import type { VolumeTags } from "../delete/delete-volume.ts";
import {
  bringUpToDate,
  buildMerge,
  isMerged,
  type Merge,
  type MergeOptions,
  parentOf,
  planMerge,
} from "./merge.ts";

type Signal = { readonly signal?: AbortSignal };

export interface PromoteResult {
  /** The parent. */
  readonly volume: VolumeId;
  /** Its newest commit, which has the changes. */
  readonly lsn: Lsn;
  /** Pages that the fork had changed and the parent had not. */
  readonly changedPages: number;
  /** Whether there was anything to promote: false where the parent has it all. */
  readonly promoted: boolean;
}

/**
 * @throws `invalid` for a volume that is no fork, or not of this parent; `conflict` naming the pages that both changed, or where either has local commits;
 * `diverged` when another writer was faster: running it again goes on from there
 */
export async function promote(
  fork: ReplicaContext,
  parent: ReplicaContext,
  options: MergeOptions = {},
): Promise<PromoteResult> {
  const { volume, lsn } = parentOf(fork);
  const { volume: target } = parent.replica.manifest;
  if (volume !== target) {
    throw new PagefoldError(
      "invalid",
      `volume ${fork.replica.manifest.volume} is a fork of ${volume}, not of ${target}`,
      {
        details: { volume: fork.replica.manifest.volume },
      },
    );
  }
  await assertWritable(parent.remote, parent.runtime);
  await bringUpToDate(fork, options);
  await bringUpToDate(parent, options);
  return parent.moves.run(async () => {
    const onto = parent.replica.state.base;
    const base = await stateOf(parent, lsn, signalOf(options));
    const merge = await planMerge(fork, parent, { base, onto }, options);
    const result = { volume: target, changedPages: merge.pages.size };
    if (isMerged(merge, onto)) return { ...result, lsn: onto.lsn, promoted: false };
    return { ...result, lsn: await commit(fork, parent, merge, options), promoted: true };
  }, options.signal);
}

/** How forks are made and found, and tags moved, which is the store's business. */
export interface RebaseAccess {
  /** A fork of the parent at an LSN that a tag names; the one that has that tag already, where there is one. */
  forkAt(parent: string, lsn: Lsn, tag: string): Promise<ReplicaContext>;
  readonly tags: VolumeTags & {
    /** @throws `conflict` where it names neither of the two */
    move(tag: string, from: VolumeId, to: VolumeId): Promise<void>;
  };
}

export interface RebaseOptions extends MergeOptions {
  /** The LSN of the parent to put the fork on; its newest by default. */
  readonly onto?: number;
}

export interface RebaseResult {
  /** The new fork, or the old one where it is there already. */
  readonly volume: VolumeId;
  readonly lsn: Lsn;
  readonly onto: Lsn;
  readonly changedPages: number;
  /** Tags that name it now. */
  readonly tags: readonly string[];
  /** The fork that it was, which nothing needs any more; undefined where there was nothing to do. */
  readonly old: VolumeId | undefined;
}

/** @throws as `promote`; `not_found` for an LSN that the parent does not have, `invalid` for one before the fork point */
export async function rebase(
  fork: ReplicaContext,
  parent: ReplicaContext,
  access: RebaseAccess,
  options: RebaseOptions = {},
): Promise<RebaseResult> {
  const { lsn: point, volume } = parentOf(fork);
  const { volume: old } = fork.replica.manifest;
  await bringUpToDate(fork, options);
  await bringUpToDate(parent, options);
  const at = options.onto ?? parent.replica.state.base.lsn;
  if (at < point) {
    throw new PagefoldError(
      "invalid",
      `fork ${old} begins at LSN ${point} of its parent, it cannot be put on LSN ${at} before that`,
      {
        details: { volume: old, lsn: at },
      },
    );
  }
  const onto = await stateOf(parent, at, signalOf(options));
  const base = await stateOf(parent, point, signalOf(options));
  const merge = await planMerge(fork, parent, { base, onto }, options);
  if (onto.lsn === point) {
    await finishOther(access, old);
    const { lsn } = fork.replica.state.base;
    return {
      volume: old,
      lsn,
      onto: point,
      changedPages: 0,
      tags: await access.tags.of(old),
      old: undefined,
    };
  }
  // A name by which a run that was cut off is found.
  const marker = `rebase-${old}-${onto.lsn}`;
  const target = await access.forkAt(volume, onto.lsn, marker);
  await bringUpToDate(target, options);
  const { state, manifest } = target.replica;
  const isBegun = state.base.lsn > onto.lsn;
  const lsn =
    isBegun || isMerged(merge, onto)
      ? state.base.lsn
      : await target.moves.run(() => commit(fork, target, merge, options), options.signal);
  await takeOver(access, old, manifest.volume, marker);
  const tags = await access.tags.of(manifest.volume);
  return { volume: manifest.volume, lsn, onto: onto.lsn, changedPages: merge.pages.size, tags, old };
}

/** The tags of the old fork are the new one's, and the marker is nobody's. */
async function takeOver(
  { tags }: RebaseAccess,
  old: VolumeId,
  volume: VolumeId,
  marker: string,
): Promise<void> {
  for (const tag of await tags.of(old)) await tags.move(tag, old, volume);
  await tags.remove(marker, volume);
}

/** A rebase that made this fork, and was cut off when it had taken over some of the tags. */
async function finishOther(access: RebaseAccess, volume: VolumeId): Promise<void> {
  for (const tag of await access.tags.of(volume)) {
    const old = parseId<VolumeId>(/^rebase-([0-9a-z]{26})-\d+$/.exec(tag)?.[1] ?? "");
    if (old !== undefined) await takeOver(access, old, volume, tag);
  }
}

async function commit(
  fork: ReplicaContext,
  target: ReplicaContext,
  merge: Merge,
  options: MergeOptions,
): Promise<Lsn> {
  const built = await buildMerge(fork, target, merge, options);
  try {
    await publish(target, built, 0, signalOf(options));
  } catch (error) {
    if (!isPagefoldError(error, "diverged")) throw error;
    const { volume } = target.replica.manifest;
    throw new PagefoldError(
      "diverged",
      `another writer committed to volume ${volume} while the changes of fork ${fork.replica.manifest.volume} were put on top of it, and nothing was changed; run it again`,
      { cause: error, details: error.details },
    );
  }
  return built.lsn;
}

function signalOf({ signal }: Signal): Signal {
  return signal === undefined ? {} : { signal };
}
