/** Giving tags to volumes, taking them away, and what they name and named. */
import type { VolumeId } from "../base/brand.ts";
import { PagefoldError } from "../base/errors.ts";
import type { Runtime } from "../base/runtime.ts";
import type { Codecs } from "../format/codecs.ts";
import { checkTagName, parseTagKey, tagKey, tagsPrefix } from "../format/keys.ts";
import { decodeTag, encodeTag } from "../format/tag-codec.ts";
import type { ObjectStore } from "../remote/object-store.ts";
import { appendToSeries, seriesHistory } from "../remote/series.ts";
import { newestOfTag, tagSeries } from "./tags.ts";

type Signal = { readonly signal?: AbortSignal };

export interface TagEntry {
  readonly tag: string;
  readonly volume: VolumeId;
  /** When the tag was given its present value, milliseconds since 1970. */
  readonly time: number;
}

/** One of the values that a tag has had. */
export interface TagValueEntry {
  /** From 1 on. */
  readonly n: number;
  /** What it named from then on; undefined: nothing. */
  readonly volume: VolumeId | undefined;
  /** When it was given, milliseconds since 1970, by the clock of whoever did. */
  readonly time: number;
}

/** What a tag must name before it is changed: a volume, nothing (undefined), or whatever it does. */
export type ExpectedTag = VolumeId | undefined | "anything";

/**
 * Makes `tag` name `volume`. Of several who do so at once one is first, and the others are told.
 * @param expected what it must name now; @throws `conflict` when it names something else, or another has changed it meanwhile
 */
export async function setTag(
  store: ObjectStore,
  codecs: Codecs,
  runtime: Runtime,
  tag: string,
  volume: VolumeId,
  expected: ExpectedTag,
  options: Signal = {},
): Promise<void> {
  checkTagName(tag);
  const newest = await newestOfTag(store, codecs, tag, options);
  if (newest.volume === volume) return;
  if (expected !== "anything" && newest.volume !== expected) throw tagTaken(tag, newest.volume);
  await append(store, codecs, runtime, tag, { n: newest.n + 1, volume }, options);
}

/**
 * Makes `tag` name nothing. Answers false where it named nothing before.
 * @param expected what it must name now, anything by default; @throws `conflict` when it names something else
 */
export async function removeTag(
  store: ObjectStore,
  codecs: Codecs,
  runtime: Runtime,
  tag: string,
  expected: VolumeId | undefined,
  options: Signal = {},
): Promise<boolean> {
  checkTagName(tag);
  const newest = await newestOfTag(store, codecs, tag, options);
  if (newest.volume === undefined) return false;
  if (expected !== undefined && newest.volume !== expected) throw tagTaken(tag, newest.volume);
  await append(store, codecs, runtime, tag, { n: newest.n + 1, volume: undefined }, options);
  return true;
}

/** The values that a tag has had, newest first; none where there never was such a tag. */
export async function tagHistory(
  store: ObjectStore,
  codecs: Codecs,
  tag: string,
  options: Signal = {},
): Promise<TagValueEntry[]> {
  const entries: TagValueEntry[] = [];
  for await (const { n, bytes } of seriesHistory(store, tagSeries(checkTagName(tag)), options)) {
    entries.push({ n, ...decodeTag(bytes, codecs.hash, { tag, key: tagKey(tag, n) }) });
  }
  return entries;
}

/** All tags in the order of their names. */
export async function listTags(
  store: ObjectStore,
  codecs: Codecs,
  options: Signal = {},
): Promise<TagEntry[]> {
  const newest = new Map<string, string>();
  for (let startAfter: string | undefined; ; ) {
    const page = await store.list(tagsPrefix(), {
      ...(startAfter === undefined ? {} : { startAfter }),
      ...options,
    });
    for (const { key } of page) {
      const parsed = parseTagKey(key);
      // Newest first within a tag, because numbers in keys are complemented.
      if (parsed !== undefined && !newest.has(parsed.name)) newest.set(parsed.name, key);
    }
    startAfter = page[page.length - 1]?.key;
    if (startAfter === undefined || page.length < 1000) break;
  }
  const entries = await Promise.all(
    [...newest].map(async ([tag, key]) => {
      const bytes = await store.get(key, options);
      if (bytes === undefined) return undefined;
      const { volume, time } = decodeTag(bytes, codecs.hash, { tag, key });
      return volume === undefined ? undefined : { tag, volume, time };
    }),
  );
  return entries.filter((entry) => entry !== undefined);
}

/** Whoever is first with a value wins; the same value by another is as good as one's own. */
async function append(
  store: ObjectStore,
  codecs: Codecs,
  runtime: Runtime,
  tag: string,
  { n, volume }: { readonly n: number; readonly volume: VolumeId | undefined },
  options: Signal,
): Promise<void> {
  const bytes = encodeTag({ volume, time: runtime.now() }, codecs.hash);
  if (await appendToSeries(store, tagSeries(tag), { n, bytes }, options)) return;
  const winner = await newestOfTag(store, codecs, tag, options);
  if (winner.volume !== volume) throw tagTaken(tag, winner.volume);
}

function tagTaken(tag: string, volume: VolumeId | undefined): PagefoldError {
  return new PagefoldError(
    "conflict",
    `tag "${tag}" ${volume === undefined ? "was removed" : `names volume ${volume}`} meanwhile; look with \`pagefold tags\` and run the operation again`,
    { details: { tag, ...(volume === undefined ? {} : { volume }) } },
  );
}
