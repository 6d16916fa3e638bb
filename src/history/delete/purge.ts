/**
 * Deletes for good what a deleted volume left: everything of its own that is not pinned by a fork, which means nothing of a volume with pins. Announced
 * by a value of the series `deleted/`, after which nothing is taken back and nobody forks; the order makes every place where it may be cut off a safe
 * one, and running it again finishes it:
 *
 * 1. the announcement, and a closed floor: whoever pushes or forks now finds it before that counts;
 * 2. pins are looked for: a fork that was begun before is found here;
 * 3. everything else, newest commits first, until nothing is found;
 * 4. the own pin in the parent: until then nothing that a fork shows may be deleted there;
 * 5. the series itself, which said whose pin that is.
 *
 * The closed floor stays: a push that slept for as long as it likes must not be acknowledged into a volume that is gone.
 */
import { LSN_ZERO, type VolumeId } from "../../base/brand.ts";
import { PagefoldError, throwIfAborted } from "../../base/errors.ts";
import type { Runtime } from "../../base/runtime.ts";
import type { Codecs } from "../../format/codecs.ts";
import { decodeFloor, encodeFloor } from "../../format/floor-codec.ts";
import { parseId } from "../../format/ids.ts";
import {
  commitsPrefix,
  deletedPrefix,
  floorKey,
  forkKey,
  forksPrefix,
  headKey,
  volumePrefix,
  volumesPrefix,
} from "../../format/keys.ts";
import { decodeManifest } from "../../format/manifest-codec.ts";
import type { ObjectStore } from "../../remote/object-store.ts";
import { appendToSeries, newestInSeries } from "../../remote/series.ts";
import { floorSeries } from "../../replicate/floor.ts";
import { type DeletedState, deletedState, recordDeletion } from "./deleted.ts";

export interface PurgeOptions {
  /** Told after every batch how many objects are gone. */
  readonly onProgress?: (objects: number) => void;
  readonly signal?: AbortSignal;
}

interface Purge {
  readonly store: ObjectStore;
  readonly codecs: Codecs;
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
 * Answers how many objects were deleted; 0 where nothing was left.
 * @throws `conflict` while forks pin it (`details.forks`), or where the volume was not deleted, or was undeleted meanwhile
 */
export async function purgeDeleted(
  store: ObjectStore,
  codecs: Codecs,
  runtime: Runtime,
  volume: VolumeId,
  options: PurgeOptions = {},
): Promise<number> {
  let objects = 0;
  const purge: Purge = {
    ...{ store, codecs, volume },
    signal: options.signal === undefined ? {} : { signal: options.signal },
    onGone: (count) => {
      objects += count;
      if (count > 0) options.onProgress?.(objects);
    },
  };
  const found = await deletedState(store, codecs, volume, purge.signal);
  if (found.state === "live" || found.state === "undeleting") {
    throw new PagefoldError("conflict", `volume ${volume} is not deleted; its objects stay`, {
      details: { volume },
    });
  }
  await refuseForForks(store, volume, purge.signal);
  const pins = await ownPins(purge, found.last);
  if (found.state === "deleted") {
    const { n, manifest, tags } = found.last!;
    const value = { act: "purging" as const, time: runtime.now(), manifest, tags, n: n + 1 };
    await recordDeletion(store, codecs, volume, value, purge.signal);
  }
  await closeFloor(purge, runtime);
  await refuseForForks(store, volume, purge.signal);
  await deleteObjects(purge);
  await deleteKeys(purge, pins);
  await deleteAll(purge, deletedPrefix(volume));
  return objects;
}

/** The last floor that the volume will ever have. */
async function closeFloor({ store, codecs, volume, signal }: Purge, runtime: Runtime): Promise<void> {
  for (;;) {
    const newest = await newestInSeries(store, floorSeries(volume), 0, signal);
    const before = newest && decodeFloor(newest.bytes, codecs.hash, { volume, n: newest.n });
    if (before?.closed) return;
    const n = (before?.n ?? 0) + 1;
    const time = runtime.now();
    const floor = { volume, n, closed: true, lsn: LSN_ZERO, time, checkpoints: [] };
    const bytes = encodeFloor(floor, codecs.hash);
    if (await appendToSeries(store, floorSeries(volume), { n, bytes }, signal)) return;
  }
}

/** @throws `conflict` naming the forks that share pages of the volume */
export async function refuseForForks(
  store: ObjectStore,
  volume: VolumeId,
  options: { readonly signal?: AbortSignal },
): Promise<void> {
  const prefix = forksPrefix(volume);
  const pins = await store.list(prefix, { limit: 20, ...options });
  if (pins.length === 0) return;
  const forks = [...new Set(pins.map(({ key }) => key.slice(prefix.length).split("@")[0]))];
  throw new PagefoldError(
    "conflict",
    `volume ${volume} shares its pages with the forks ${forks.join(", ")}, which need them; delete those for good first, or delete this one without purging it`,
    { details: { volume, forks: forks.join(" ") } },
  );
}

/** Newest commits first: what is left is always a log that ends somewhere, for readers that still have the volume open. */
async function deleteObjects(purge: Purge): Promise<void> {
  const { volume } = purge;
  await deleteKeys(purge, [headKey(volume)]);
  await deleteAll(purge, commitsPrefix(volume));
  const newest = await newestInSeries(purge.store, floorSeries(volume), 0, purge.signal);
  const closed = newest === undefined ? "" : floorKey(volume, newest.n);
  await deleteAll(purge, volumePrefix(volume), [deletedPrefix(volume), closed]);
}

/** Everything with a prefix, but for what has one of others. */
async function deleteAll(purge: Purge, prefix: string, except: readonly string[] = []): Promise<void> {
  const { store, signal } = purge;
  for (let round = 0; round < ROUNDS; round++) {
    let gone = 0;
    for (let startAfter = ""; ; ) {
      const entries = await store.list(prefix, { limit: BATCH, startAfter, ...signal });
      const keys = entries
        .map(({ key }) => key)
        .filter((key) => !except.some((other) => key.startsWith(other)));
      await deleteKeys(purge, keys);
      gone += keys.length;
      startAfter = entries.at(-1)?.key ?? "";
      if (entries.length < BATCH) break;
    }
    if (gone === 0) return;
  }
}

async function deleteKeys(purge: Purge, keys: readonly string[]): Promise<void> {
  const { store, volume, signal, onGone } = purge;
  throwIfAborted(signal.signal, `deleting volume ${volume}`);
  if (keys.length === 0) return;
  await store.delete(keys, signal);
  onGone(keys.length);
}

/** The pins that keep for this volume what it shares. Where nothing tells of its manifest any more, all volumes are asked. */
async function ownPins(purge: Purge, last: DeletedState["last"]): Promise<string[]> {
  const { store, codecs, volume, signal } = purge;
  if (last !== undefined) {
    const { ancestors } = decodeManifest(last.manifest, { volume, hasher: codecs.hash });
    const pins = await Promise.all(
      // One for the fork point, and one for every LSN below it that was restored.
      ancestors.map((each) => store.list(`${forksPrefix(each.volume)}${volume}@`, signal)),
    );
    const [direct] = ancestors;
    const first = direct === undefined ? [] : [forkKey(direct.volume, volume, direct.lsn)];
    return [...new Set([...first, ...pins.flat().map(({ key }) => key)])];
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
