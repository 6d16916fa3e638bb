/**
 * Deleting on the object plane: an administrator's, but for what whoever gave something up takes back, a segment of a push, say. Nothing that the newest
 * floor keeps is deleted, but of a volume that was deleted itself: a collector never does that, and one that is broken shall not.
 */
import type { VolumeId } from "../../src/base/brand.ts";
import { checkpointKey, leaseKey } from "../../src/format/keys.ts";
import { checkKey } from "../../src/remote/keys.ts";
import { newestInSeries } from "../../src/remote/series.ts";
import { floorSeries } from "../../src/replicate/floor.ts";
import type { ServerContext } from "./context.ts";
import type { Kept } from "./kept.ts";
import { isOwnLeftover } from "./leftovers.ts";
import { type NameOf, type ObjectName, parseObjectKey } from "./object-keys.ts";
import type { Principal } from "./principal.ts";
import { HttpError } from "./problem.ts";
import { isNamed } from "./push-bundle.ts";

/** Keys of one request. */
export const DELETE_MAX = 1000;
const STAYS = "values of this series stay, so that its newest is found";

type OfVolume = Exclude<ObjectName, NameOf<"tag">>;

/** Deletes keys, whether they are there or not. Rights are checked for all of them before anything is deleted. */
export async function deleteObjects(
  context: ServerContext,
  principal: Principal,
  keys: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  if (keys.length > DELETE_MAX) {
    throw new HttpError(400, "invalid", `${keys.length} keys at once; send at most ${DELETE_MAX}`);
  }
  const names = keys.map((key) => {
    checkKey(key);
    return parseObjectKey(key);
  });
  // What is no key of the format is not there: nothing to do, as with any absent key.
  const known = names.filter((name) => name !== undefined);
  for (const name of known) await checkDelete(context, principal, name, signal);
  if (known.length > 0) await context.writable();
  for (const name of known) if (name.kind === "tag") await deleteTag(context, name, signal);
  const volumes = new Map<VolumeId, OfVolume[]>();
  for (const name of known) {
    if (name.kind === "tag") continue;
    const some = volumes.get(name.volume);
    if (some === undefined) volumes.set(name.volume, [name]);
    else some.push(name);
  }
  for (const [volume, some] of volumes)
    await context.locks.run(volume, signal, () => deleteOf(context, principal, volume, some, signal));
}

/** Kinds that somebody with less than admin may have left behind; whether this one is such a thing is told under the lock. */
const LEFTOVERS = {
  segment: "write",
  compacted: "write",
  checkpoint: "write",
  restore: "write",
  pin: "read",
} as const;

async function checkDelete(
  context: ServerContext,
  principal: Principal,
  name: ObjectName,
  signal: AbortSignal,
): Promise<void> {
  const { access } = context;
  if (name.kind === "tag") return access.checkTag(principal, "admin", name.tag);
  // Whoever deletes a fork for good takes its pin away last, and need not have a right on the parent.
  if (name.kind === "pin" && (await isOwnLeftover(context, principal, name, signal))) return;
  const right = Object.hasOwn(LEFTOVERS, name.kind)
    ? LEFTOVERS[name.kind as keyof typeof LEFTOVERS]
    : "admin";
  await access.check(principal, name.kind === "pin" ? "admin" : right, name.volume);
}

async function deleteTag(
  { store, access }: ServerContext,
  { key }: NameOf<"tag">,
  signal: AbortSignal,
): Promise<void> {
  await store.delete([key], { signal });
  access.forgetTags();
}

/** Needs the volume's lock. */
async function deleteOf(
  context: ServerContext,
  principal: Principal,
  volume: VolumeId,
  names: readonly OfVolume[],
  signal: AbortSignal,
): Promise<void> {
  const { access, store, logs, events, verified, checkpoints, kept } = context;
  const needed = await kept.find(volume, signal);
  const free = await access.allows(principal, "admin", volume);
  let newest: Promise<number> | undefined;
  for (const name of names) {
    if (!free && !(await isOwnLeftover(context, principal, name, signal))) {
      throw new HttpError(
        403,
        "forbidden",
        `${name.key} is needed, or may be, or is not yours: deleting it takes admin`,
        {
          details: { key: name.key },
        },
      );
    }
    const reason = await reasonToKeep(
      context,
      name,
      needed,
      () => (newest ??= lastFloor(context, volume, signal)),
    );
    if (reason === undefined) continue;
    throw new HttpError(
      409,
      "conflict",
      `${name.key} is not deleted, nor anything else of this request: ${reason}`,
      {
        details: { key: name.key },
      },
    );
  }
  for (const { key } of names) verified.forget(key);
  if (names.some(({ kind }) => kind === "segment" || kind === "compacted" || kind === "checkpoint"))
    checkpoints.forgetAll();
  await store.delete(
    names.map(({ key }) => key),
    { signal },
  );
  const hasManifest = names.some(({ kind }) => kind === "manifest");
  if (hasManifest) events.gone(volume);
  if (hasManifest || names.some(({ kind }) => kind === "commit")) logs.forget(volume);
}

/** Why an object stays; undefined where it may go. @param needed undefined: the volume was deleted @param last the number of its newest floor */
async function reasonToKeep(
  context: ServerContext,
  name: OfVolume,
  needed: Kept | undefined,
  last: () => Promise<number>,
): Promise<string | undefined> {
  if (needed === undefined) {
    return name.kind === "floor" && name.n === (await last())
      ? "it says that the volume was deleted for good, to whoever comes late"
      : undefined;
  }
  const { floor, segments, onlyPins = false } = needed;
  const lowest = floor?.lsn ?? 0;
  switch (name.kind) {
    case "commit":
      return onlyPins || name.lsn < lowest ? undefined : `its log is kept from LSN ${lowest} on`;
    case "floor":
    case "config":
    case "deleted":
      return STAYS;
    case "lease":
      return (await isThere(context, leaseKey(name.volume, name.n + 1)))
        ? undefined
        : "it is the newest lease";
    case "checkpoint": {
      const named = floor?.checkpoints.some(
        ({ lsn, hash }) => checkpointKey(name.volume, lsn, hash) === name.key,
      );
      return named === true ? `floor ${floor!.n} names it` : undefined;
    }
    case "compacted":
    case "segment":
      if (segments.has(name.key)) return `a checkpoint that floor ${floor!.n} names reads from it`;
      if (name.kind === "compacted" || onlyPins || name.lsn < lowest) return undefined;
      return (await isNamed(context, name.volume, name.lsn, name.key))
        ? `commit ${name.lsn} names it`
        : undefined;
    default:
      return undefined;
  }
}

/** The number of the newest floor that is there. */
async function lastFloor({ origin }: ServerContext, volume: VolumeId, signal: AbortSignal): Promise<number> {
  return (await newestInSeries(origin, floorSeries(volume), 0, { signal }))?.n ?? 0;
}

async function isThere({ origin }: ServerContext, key: string): Promise<boolean> {
  return (await origin.get(key, { range: { offset: 0, length: 1 } })) !== undefined;
}
