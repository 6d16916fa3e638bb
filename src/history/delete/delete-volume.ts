/**
 * Deletes a volume, and takes that back. Deleted, nobody can open it; what it holds stays until a collection after the grace period, or a purge. The
 * order makes every place where it may be cut off a safe one, and running it again finishes it:
 *
 * 1. a value of the series `deleted/`, which keeps the manifest and the names of the tags;
 * 2. tags, so that no name leads to a volume that is going;
 * 3. the manifest, so that there is no volume any more;
 * 4. the series once more: who undeleted it meanwhile finds its manifest back.
 *
 * Forks read what they share as before: their pins keep it.
 */
import type { TimeMs, VolumeId } from "../../base/brand.ts";
import { isPagefoldError, PagefoldError } from "../../base/errors.ts";
import type { Runtime } from "../../base/runtime.ts";
import type { Codecs } from "../../format/codecs.ts";
import { floorPrefix, manifestKey, volumePrefix } from "../../format/keys.ts";
import type { ObjectStore } from "../../remote/object-store.ts";
import { type DeletedState, deletedState, lastDeletion, recordDeletion, timeText } from "./deleted.ts";
import { type PurgeOptions, purgeDeleted, refuseForForks } from "./purge.ts";

export interface DeleteVolumeOptions extends PurgeOptions {
  /** The volume's id once more. */
  readonly confirm: string;
  /** Deletes every object at once: then there is no way back. @throws `conflict` while forks need it */
  readonly purge?: boolean;
}

export interface DeleteVolumeResult {
  /** Tags that named it. */
  readonly tags: readonly string[];
  /** When it was deleted; undefined where nothing of it is left. */
  readonly time: TimeMs | undefined;
  /** How many objects are gone for good. */
  readonly objects: number;
}

export interface UndeleteOptions {
  /** Gives back the tags, too, where nothing has taken them; default true. */
  readonly tags?: boolean;
  readonly signal?: AbortSignal;
}

export interface UndeleteResult {
  /** Tags that name it again. */
  readonly tags: readonly string[];
  /** Tags that named it once, and name another volume now. */
  readonly taken: readonly string[];
}

/** How tags are read and given, which is the store's business. */
export interface VolumeTags {
  /** The tags that name a volume now, in order. */
  of(volume: VolumeId): Promise<string[]>;
  /** @throws `conflict` where it names another volume */
  give(tag: string, volume: VolumeId): Promise<void>;
  /** @throws `conflict` where it names another volume */
  remove(tag: string, volume: VolumeId): Promise<void>;
}

/** What deleting and undeleting work with. */
export interface DeletionContext {
  readonly store: ObjectStore;
  readonly codecs: Codecs;
  readonly runtime: Runtime;
  readonly tags: VolumeTags;
}

type Signal = { readonly signal?: AbortSignal };

/** @throws `invalid` unless `confirm` is the id, `not_found` where there is no such volume, `conflict` to purge one that forks need */
export async function deleteVolume(
  context: DeletionContext,
  volume: VolumeId,
  options: DeleteVolumeOptions,
): Promise<DeleteVolumeResult> {
  if (options.confirm !== volume) {
    throw new PagefoldError(
      "invalid",
      `deleting volume ${volume} takes its name from everybody: confirm it with its id, not with "${options.confirm.slice(0, 64)}"`,
      { details: { volume } },
    );
  }
  const { store, codecs, runtime } = context;
  const signal = signalOf(options);
  const found = await deletedState(store, codecs, volume, signal);
  if (options.purge === true) await refuseForForks(store, volume, signal);
  const deleted = await withdraw(context, volume, found, options, signal);
  if (options.purge !== true) return { ...deleted, objects: 0 };
  const objects = await purgeDeleted(store, codecs, runtime, volume, options);
  return { tags: deleted.tags, time: undefined, objects };
}

/** Takes the volume from everybody, if that was not done before. */
async function withdraw(
  context: DeletionContext,
  volume: VolumeId,
  found: DeletedState,
  options: DeleteVolumeOptions,
  signal: Signal,
): Promise<{ readonly tags: readonly string[]; readonly time: TimeMs | undefined }> {
  const { last } = found;
  switch (found.state) {
    case "deleted":
      return { tags: last!.tags, time: last!.time };
    case "live":
      return withdrawLive(context, volume, found, signal);
    case "undeleting":
      throw new PagefoldError(
        "conflict",
        `undeleting volume ${volume} was begun and not finished; undelete it again, then it can be deleted`,
        { details: { volume } },
      );
    default:
      // Only a purge has something to do here.
      if (options.purge === true && !(await isGone(context.store, volume, signal))) {
        return { tags: last?.tags ?? [], time: undefined };
      }
      throw noSuchVolume(context.store, volume);
  }
}

async function withdrawLive(
  { store, codecs, runtime, tags }: DeletionContext,
  volume: VolumeId,
  { last, manifest }: DeletedState,
  signal: Signal,
): Promise<{ readonly tags: readonly string[]; readonly time: TimeMs }> {
  const named = await tags.of(volume);
  // A deletion that was cut off has removed some already.
  const before = last?.act === "deleted" ? last.tags : [];
  const names = [...new Set([...named, ...before])].sort();
  const n = (last?.n ?? 0) + 1;
  const time = runtime.now();
  const value = { act: "deleted" as const, time, manifest: manifest!, tags: names, n };
  await recordDeletion(store, codecs, volume, value, signal);
  for (const tag of named) {
    await tags.remove(tag, volume).catch((error: unknown) => {
      // It names another volume by now, which is none of this one's business.
      if (!isPagefoldError(error, "conflict")) throw error;
    });
  }
  await store.delete([manifestKey(volume)], signal);
  const newest = await lastDeletion(store, codecs, volume, signal);
  if (newest?.act === "undeleted") {
    await store.put(manifestKey(volume), manifest!, { ifAbsent: true, ...signal });
    throw new PagefoldError("conflict", `volume ${volume} was undeleted meanwhile; it stays`, {
      details: { volume },
    });
  }
  return { tags: names, time };
}

/**
 * Puts a deleted volume back as it was, commits that were pushed meanwhile by those who had not heard included.
 * @throws `not_found` where nothing is left of it, or where it is being deleted for good
 */
export async function undeleteVolume(
  context: DeletionContext,
  volume: VolumeId,
  options: UndeleteOptions = {},
): Promise<UndeleteResult> {
  const { store, codecs, runtime } = context;
  const signal = signalOf(options);
  const { state, last } = await deletedState(store, codecs, volume, signal);
  if (last === undefined && state === "live") {
    throw new PagefoldError("invalid", `volume ${volume} was never deleted; there is nothing to undo`, {
      details: { volume },
    });
  }
  if (last === undefined) throw noSuchVolume(store, volume);
  if (last.act === "purging") {
    throw new PagefoldError(
      "not_found",
      `volume ${volume} cannot be put back: its objects are being deleted for good since ${timeText(last.time)}`,
      { details: { volume, time: last.time } },
    );
  }
  if (last.act === "deleted") {
    const value = { ...last, act: "undeleted" as const, time: runtime.now(), n: last.n + 1 };
    await recordDeletion(store, codecs, volume, value, signal);
  }
  // "Exists": the deletion, or an earlier attempt to undo it, was cut off.
  await store.put(manifestKey(volume), last.manifest, { ifAbsent: true, ...signal });
  return options.tags === false ? { tags: [], taken: [] } : giveBack(context, volume, last.tags);
}

async function giveBack(
  { tags }: DeletionContext,
  volume: VolumeId,
  names: readonly string[],
): Promise<UndeleteResult> {
  const given: string[] = [];
  const taken: string[] = [];
  for (const tag of names) {
    try {
      await tags.give(tag, volume);
      given.push(tag);
    } catch (error) {
      if (!isPagefoldError(error, "conflict")) throw error;
      taken.push(tag);
    }
  }
  return { tags: given, taken };
}

/** Whether nothing is left but the floor that says so. */
async function isGone(store: ObjectStore, volume: VolumeId, signal: Signal): Promise<boolean> {
  const found = await store.list(volumePrefix(volume), { limit: 2, ...signal });
  return found.every(({ key }) => key.startsWith(floorPrefix(volume)));
}

function noSuchVolume({ url }: ObjectStore, volume: VolumeId): PagefoldError {
  return new PagefoldError(
    "not_found",
    `there is no volume ${volume} in ${url}, nor a deleted one that could be put back`,
    { details: { volume } },
  );
}

function signalOf({ signal }: Signal): Signal {
  return signal === undefined ? {} : { signal };
}
