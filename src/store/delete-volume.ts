/**
 * Deletes a volume with everything that is its own. The order makes every place where it may be cut off a safe one, and running it again
 * finishes it:
 *
 * 1. pins are looked for: what forks need stays, whole;
 * 2. tags, so that no name leads to a volume that is going;
 * 3. the manifest, so that there is no volume any more: nobody can open what is left, let alone see an older state of it;
 * 4. pins once more: a fork that was begun meanwhile either saw that the manifest is gone, or its pin is seen here, and the manifest comes back;
 * 5. everything else, newest commits first, until nothing is found;
 * 6. the own pin in the parent, last: until then nothing that a fork shows may be deleted there.
 */
import type { VolumeId } from "../base/brand.ts";
import { PagefoldError, throwIfAborted } from "../base/errors.ts";
import type { Runtime } from "../base/runtime.ts";
import type { Codecs } from "../format/codecs.ts";
import { parseId } from "../format/ids.ts";
import {
  commitsPrefix,
  forkKey,
  forksPrefix,
  headKey,
  manifestKey,
  volumePrefix,
  volumesPrefix,
} from "../format/keys.ts";
import { decodeManifest } from "../format/manifest-codec.ts";
import type { ListEntry, ObjectStore } from "../remote/object-store.ts";
import { listTags, removeTag } from "./tags.ts";

export interface DeleteVolumeOptions {
  /** The volume's id once more: there is no way back. */
  readonly confirm: string;
  /** Told after every batch how many objects are gone. */
  readonly onProgress?: (objects: number) => void;
  readonly signal?: AbortSignal;
}

export interface DeleteVolumeResult {
  /** Tags that named it. */
  readonly tags: readonly string[];
  readonly objects: number;
}

interface Deletion {
  readonly store: ObjectStore;
  readonly codecs: Codecs;
  readonly runtime: Runtime;
  readonly volume: VolumeId;
  readonly signal: { readonly signal?: AbortSignal };
  readonly onGone: (objects: number) => void;
}

const BATCH = 1000;
/** How often the prefix is listed again for what writers that had not heard yet left there. */
const ROUNDS = 10;
/** After every key that begins so far. */
const LAST = "\u{10ffff}";

/**
 * @throws `invalid` unless `confirm` is the id, `not_found` where nothing of the volume exists, `conflict` while forks need it (`details.forks`)
 */
export async function deleteVolume(
  store: ObjectStore,
  codecs: Codecs,
  runtime: Runtime,
  volume: VolumeId,
  options: DeleteVolumeOptions,
): Promise<DeleteVolumeResult> {
  if (options.confirm !== volume) {
    throw new PagefoldError(
      "invalid",
      `deleting volume ${volume} cannot be undone: confirm it with its id, not with "${options.confirm.slice(0, 64)}"`,
      { details: { volume } },
    );
  }
  let objects = 0;
  const deletion: Deletion = {
    store,
    codecs,
    runtime,
    volume,
    signal: options.signal === undefined ? {} : { signal: options.signal },
    onGone: (count) => {
      objects += count;
      if (count > 0) options.onProgress?.(objects);
    },
  };
  const manifest = await store.get(manifestKey(volume), deletion.signal);
  await refuseForForks(deletion);
  const pins = await ownPins(deletion, manifest);
  if (manifest === undefined && pins.length === 0 && (await isGone(deletion))) {
    throw new PagefoldError(
      "not_found",
      `there is no volume ${volume} in ${store.url}; nothing was deleted`,
      {
        details: { volume },
      },
    );
  }
  const tags = await untagAll(deletion);
  if (manifest !== undefined) await deleteManifest(deletion, manifest);
  await deleteRest(deletion);
  await deleteKeys(deletion, pins);
  return { tags, objects };
}

async function isGone({ store, volume, signal }: Deletion): Promise<boolean> {
  return (await store.list(volumePrefix(volume), { limit: 1, ...signal })).length === 0;
}

async function refuseForForks({ store, volume, signal }: Deletion): Promise<void> {
  const prefix = forksPrefix(volume);
  const pins = await store.list(prefix, { limit: 20, ...signal });
  if (pins.length === 0) return;
  const forks = [...new Set(pins.map(({ key }) => key.slice(prefix.length).split("@")[0]))];
  throw new PagefoldError(
    "conflict",
    `volume ${volume} shares its pages with the forks ${forks.join(", ")}, which need them; delete those first`,
    { details: { volume, forks: forks.join(" ") } },
  );
}

async function untagAll({ store, codecs, runtime, volume, signal }: Deletion): Promise<string[]> {
  const tags = (await listTags(store, codecs, signal)).filter((entry) => entry.volume === volume);
  for (const { tag } of tags) await removeTag(store, codecs, runtime, tag, volume, signal);
  return tags.map(({ tag }) => tag);
}

async function deleteManifest(deletion: Deletion, manifest: Uint8Array): Promise<void> {
  const { store, volume } = deletion;
  const key = manifestKey(volume);
  await deleteKeys(deletion, [key]);
  try {
    await refuseForForks(deletion);
  } catch (error) {
    // A fork that is being made would lose what it shares: the volume stays, without its tags.
    await store.put(key, manifest, { ifAbsent: true });
    throw error;
  }
}

/** Newest commits first: what is left is always a log that ends somewhere, for readers that still have the volume open. */
async function deleteRest(deletion: Deletion): Promise<void> {
  const { store, volume, signal } = deletion;
  await deleteKeys(deletion, [headKey(volume)]);
  for (const prefix of [commitsPrefix(volume), volumePrefix(volume)]) {
    for (let round = 0; round < ROUNDS; round++) {
      const entries: ListEntry[] = await store.list(prefix, { limit: BATCH, ...signal });
      if (entries.length === 0) break;
      // A store of any size is worked off page by page; the rounds are for what comes while this goes on.
      if (entries.length === BATCH) round = 0;
      await deleteKeys(
        deletion,
        entries.map(({ key }) => key),
      );
    }
  }
}

async function deleteKeys(deletion: Deletion, keys: readonly string[]): Promise<void> {
  const { store, volume, signal, onGone } = deletion;
  throwIfAborted(signal.signal, `deleting volume ${volume}`);
  if (keys.length === 0) return;
  await store.delete(keys, signal);
  onGone(keys.length);
}

/** The pins that keep for this volume what it shares. Without its manifest, which an earlier run deleted, all volumes are asked. */
async function ownPins(deletion: Deletion, manifest: Uint8Array | undefined): Promise<string[]> {
  const { store, codecs, volume, signal } = deletion;
  if (manifest !== undefined) {
    const [direct] = decodeManifest(manifest, { volume, hasher: codecs.hash }).ancestors;
    return direct === undefined ? [] : [forkKey(direct.volume, volume, direct.lsn)];
  }
  const pins: string[] = [];
  for (let startAfter = ""; ; ) {
    const [entry] = await store.list(volumesPrefix(), { limit: 1, startAfter, ...signal });
    if (entry === undefined) return pins;
    const id = entry.key.slice(volumesPrefix().length).split("/")[0]!;
    const other = parseId<VolumeId>(id);
    if (other !== undefined) {
      const found = await store.list(`${forksPrefix(other)}${volume}@`, signal);
      pins.push(...found.map(({ key }) => key));
    }
    startAfter = `${volumesPrefix()}${id}/${LAST}`;
  }
}
