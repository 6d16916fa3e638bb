/**
 * Whether a volume was deleted: the manifest, without which nobody can open it, and the series `deleted/`, whose newest value says what holds and keeps
 * what it takes to put the volume back. Deleting, undeleting and carrying a deletion out are next values of that series, so of two that race one wins.
 */
import type { TimeMs, VolumeId } from "../../base/brand.ts";
import { PagefoldError } from "../../base/errors.ts";
import type { Codecs } from "../../format/codecs.ts";
import { type DeletedValue, decodeDeleted, encodeDeleted } from "../../format/deleted-codec.ts";
import { deletedKey, deletedPrefix, manifestKey } from "../../format/keys.ts";
import type { ObjectStore } from "../../remote/object-store.ts";
import { appendToSeries, newestInSeries, type Series } from "../../remote/series.ts";

type Signal = { readonly signal?: AbortSignal };

export interface DeletedState {
  /**
   * - `live`: it can be opened. A deletion that was cut off may have left a value all the same.
   * - `deleted`: since `last.time`, and can be undeleted
   * - `undeleting`: undeleting it was cut off; running it again finishes it
   * - `purging`: it is being deleted for good; running that again finishes it
   * - `absent`: nothing says that there ever was such a volume; an old deletion may have left objects
   */
  readonly state: "live" | "deleted" | "undeleting" | "purging" | "absent";
  /** The newest value of the series. */
  readonly last: (DeletedValue & { readonly n: number }) | undefined;
  /** As it is stored; undefined where it is not. */
  readonly manifest: Uint8Array | undefined;
}

export function deletedSeries(volume: VolumeId): Series {
  return { prefix: deletedPrefix(volume), key: (n) => deletedKey(volume, n) };
}

/** A listing and three or four requests. */
export async function deletedState(
  store: ObjectStore,
  codecs: Codecs,
  volume: VolumeId,
  options: Signal = {},
): Promise<DeletedState> {
  // The series first: whoever puts the manifest back says so before.
  const last = await lastDeletion(store, codecs, volume, options);
  const manifest = await store.get(manifestKey(volume), options);
  if (manifest !== undefined) return { state: "live", last, manifest };
  if (last === undefined) return { state: "absent", last, manifest };
  return { state: last.act === "undeleted" ? "undeleting" : last.act, last, manifest };
}

export async function lastDeletion(
  store: ObjectStore,
  codecs: Codecs,
  volume: VolumeId,
  options: Signal = {},
): Promise<DeletedState["last"]> {
  const newest = await newestInSeries(store, deletedSeries(volume), 0, options);
  if (newest === undefined) return undefined;
  const { n, bytes } = newest;
  return { n, ...decodeDeleted(bytes, codecs.hash, { volume, key: deletedKey(volume, n) }) };
}

/** Makes `value` the newest. @throws `conflict` where somebody was faster */
export async function recordDeletion(
  store: ObjectStore,
  codecs: Codecs,
  volume: VolumeId,
  value: DeletedValue & { readonly n: number },
  options: Signal = {},
): Promise<void> {
  const bytes = encodeDeleted(value, codecs.hash);
  if (await appendToSeries(store, deletedSeries(volume), { n: value.n, bytes }, options)) return;
  throw new PagefoldError(
    "conflict",
    `volume ${volume} is being deleted or undeleted by somebody else; look what became of it, and run it again if that is still meant`,
    { details: { volume } },
  );
}

/** A time as people write it. */
export function timeText(time: TimeMs): string {
  // Times are any integer; a Date ends in the year 275760.
  return time <= 8.64e15 ? new Date(time).toISOString() : `${time} ms`;
}
