/**
 * Tags: names for volumes. What a tag names is the newest value of a series, so changes are atomic, and what it named before is known. Here is what
 * opening a volume needs; the rest is in `tag-verbs.ts`.
 */
import type { VolumeId } from "../base/brand.ts";
import type { Codecs } from "../format/codecs.ts";
import { tagKey, tagPrefix } from "../format/keys.ts";
import { decodeTag } from "../format/tag-codec.ts";
import type { ObjectStore } from "../remote/object-store.ts";
import { newestInSeries, type Series } from "../remote/series.ts";

type Signal = { readonly signal?: AbortSignal };

/** The volume that a tag names now, or undefined. */
export async function resolveTag(
  store: ObjectStore,
  codecs: Codecs,
  tag: string,
  options: Signal = {},
): Promise<VolumeId | undefined> {
  return (await newestOfTag(store, codecs, tag, options)).volume;
}

export const tagSeries = (tag: string): Series => ({ prefix: tagPrefix(tag), key: (n) => tagKey(tag, n) });

/** Number 0 stands for a tag that never was. */
export async function newestOfTag(
  store: ObjectStore,
  codecs: Codecs,
  tag: string,
  options: Signal,
): Promise<{ readonly n: number; readonly volume: VolumeId | undefined }> {
  const newest = await newestInSeries(store, tagSeries(tag), 0, options);
  if (newest === undefined) return { n: 0, volume: undefined };
  const { n, bytes } = newest;
  return { n, volume: decodeTag(bytes, codecs.hash, { tag, key: tagKey(tag, n) }).volume };
}
