/** Tags: names for volumes. A tag's values are objects created if absent, numbered from 1; the newest wins, history is free. */
import type { VolumeId } from "../base/brand.ts";
import { PagefoldError } from "../base/errors.ts";
import type { Runtime } from "../base/runtime.ts";
import type { Codecs } from "../format/codecs.ts";
import { checkTagName, parseTagKey, tagKey, tagPrefix, tagsPrefix } from "../format/keys.ts";
import { decodeTag, encodeTag } from "../format/tag-codec.ts";
import { newestByProbing } from "../remote/newest-by-probing.ts";
import type { ObjectStore } from "../remote/object-store.ts";

type Signal = { readonly signal?: AbortSignal };

export interface TagEntry {
  readonly tag: string;
  readonly volume: VolumeId;
  /** When the tag was given its present value, milliseconds since 1970. */
  readonly time: number;
}

interface NewestTag {
  readonly n: number;
  readonly volume: VolumeId | undefined;
}

/** The volume that a tag names now, or undefined. */
export async function resolveTag(
  store: ObjectStore,
  codecs: Codecs,
  tag: string,
  options: Signal = {},
): Promise<VolumeId | undefined> {
  return (await newestOf(store, codecs, tag, options)).volume;
}

/**
 * Makes `tag` name `volume`.
 * @param expected what it must name now (undefined: nothing); @throws `conflict` when it names something else
 */
export async function setTag(
  store: ObjectStore,
  codecs: Codecs,
  runtime: Runtime,
  tag: string,
  volume: VolumeId,
  expected: VolumeId | undefined,
  options: Signal = {},
): Promise<void> {
  checkTagName(tag);
  const newest = await newestOf(store, codecs, tag, options);
  if (newest.volume === volume) return;
  if (newest.volume !== expected) throw tagTaken(tag, newest.volume);
  const bytes = encodeTag({ volume, time: runtime.now() }, codecs.hash);
  const answer = await store.put(tagKey(tag, newest.n + 1), bytes, { ifAbsent: true, ...options });
  if (answer === "created") return;
  const winner = await newestOf(store, codecs, tag, options);
  if (winner.volume !== volume) throw tagTaken(tag, winner.volume);
}

/**
 * Makes `tag` name nothing. Answers false where it named nothing before.
 * @param expected what it must name now; @throws `conflict` when it names something else
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
  const newest = await newestOf(store, codecs, tag, options);
  if (newest.volume === undefined) return false;
  if (expected !== undefined && newest.volume !== expected) throw tagTaken(tag, newest.volume);
  const bytes = encodeTag({ volume: undefined, time: runtime.now() }, codecs.hash);
  const answer = await store.put(tagKey(tag, newest.n + 1), bytes, { ifAbsent: true, ...options });
  if (answer === "created") return true;
  const winner = await newestOf(store, codecs, tag, options);
  if (winner.volume !== undefined) throw tagTaken(tag, winner.volume);
  return true;
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

async function newestOf(
  store: ObjectStore,
  codecs: Codecs,
  tag: string,
  options: Signal,
): Promise<NewestTag> {
  if (!store.capabilities.list) return probedNewestOf(store, codecs, tag, options);
  const [entry] = await store.list(tagPrefix(tag), { limit: 1, ...options });
  const n = entry === undefined ? undefined : parseTagKey(entry.key)?.n;
  if (entry === undefined || n === undefined) return { n: 0, volume: undefined };
  const bytes = await store.get(entry.key, options);
  if (bytes === undefined) return { n, volume: undefined };
  return { n, volume: decodeTag(bytes, codecs.hash, { tag, key: entry.key }).volume };
}

/** Values of a tag are small, and few: those that are probed are kept. */
async function probedNewestOf(
  store: ObjectStore,
  codecs: Codecs,
  tag: string,
  options: Signal,
): Promise<NewestTag> {
  const values = new Map<number, Uint8Array>();
  const n = await newestByProbing(0, async (number) => {
    const bytes = await store.get(tagKey(tag, number), options);
    if (bytes !== undefined) values.set(number, bytes);
    return bytes !== undefined;
  });
  const bytes = values.get(n);
  if (bytes === undefined) return { n: 0, volume: undefined };
  return { n, volume: decodeTag(bytes, codecs.hash, { tag, key: tagKey(tag, n) }).volume };
}

function tagTaken(tag: string, volume: VolumeId | undefined): PagefoldError {
  return new PagefoldError(
    "conflict",
    `tag "${tag}" ${volume === undefined ? "was removed" : `names volume ${volume}`} meanwhile; look with \`pagefold tags\` and run the operation again`,
    { details: { tag, ...(volume === undefined ? {} : { volume }) } },
  );
}
