/**
 * What whoever may not delete may take away all the same, because nothing needs it and they, or somebody with the same right, left it behind: segments of
 * a push that was given up, what a compaction wrote that another overtook, pins of restores and forks that came to nothing.
 */
import { decodeCheckpoint } from "../../src/format/checkpoint-codec.ts";
import { decodeFloor } from "../../src/format/floor-codec.ts";
import { checkpointKey, floorKey, restoresPrefix } from "../../src/format/keys.ts";
import type { Floor } from "../../src/format/model.ts";
import { deletedState } from "../../src/history/delete/deleted.ts";
import { placedKey } from "../../src/replicate/commit-lookup.ts";
import { placesAllOf } from "../../src/volume/loaded-checkpoint.ts";
import type { ServerContext } from "./context.ts";
import { type NameOf, type ObjectName, parseObjectKey } from "./object-keys.ts";
import type { Principal } from "./principal.ts";
import { isNamed } from "./push-bundle.ts";
import type { KnownVolume } from "./volume-logs.ts";

/** Floors that are looked through for one segment; what is older is the collector's. */
const FLOORS_MOST = 16;

export async function isOwnLeftover(
  context: ServerContext,
  principal: Principal,
  name: Exclude<ObjectName, NameOf<"tag">>,
  signal: AbortSignal,
): Promise<boolean> {
  const { access, logs } = context;
  if (name.kind === "pin") return isIdlePin(context, principal, name, signal);
  if (!(await access.allows(principal, "write", name.volume))) return false;
  const known = await logs.find(name.volume, signal);
  if (known === undefined) return false;
  switch (name.kind) {
    case "segment":
      return !(await isNamed(context, name.volume, name.lsn, name.key));
    case "restore":
      return !(await hasRestored(context, known, name, signal));
    case "compacted":
      return isOvertaken(context, known, name, signal);
    case "checkpoint":
      return isUseless(context, known, name, signal);
    default:
      return false;
  }
}

/**
 * The fork that a pin was made for came to nothing, is being deleted for good, or needs it no more; and this one might make the fork, or administers it. A
 * right on the parent is not asked for: what the pin keeps is kept for the fork.
 */
async function isIdlePin(
  context: ServerContext,
  principal: Principal,
  pin: NameOf<"pin">,
  signal: AbortSignal,
): Promise<boolean> {
  const { access, origin, codecs, logs } = context;
  const { fork } = pin;
  const known = await logs.find(fork, signal);
  // Only a restore pins something else than the fork point, and that is a writer's.
  const right = known !== undefined && pin.lsn !== known.forkPoint ? "write" : "admin";
  const owns = await access.allows(principal, right, fork);
  if (known !== undefined) return owns && !(await needsPin(context, known, pin, signal));
  if (!owns && !(await access.adopts(principal, fork, signal))) return false;
  const { state } = await deletedState(origin, codecs, fork, { signal });
  return state === "absent" || state === "purging";
}

/** Whether a fork reads in its ancestors what a pin keeps: at its fork point unless everything was copied, below it for a restore. */
async function needsPin(
  context: ServerContext,
  known: KnownVolume,
  { lsn: pinned }: NameOf<"pin">,
  signal: AbortSignal,
): Promise<boolean> {
  if (await isIndependent(context, known, signal)) return false;
  if (pinned === known.forkPoint) return true;
  const restores = await context.origin.list(restoresPrefix(known.manifest.volume), { signal });
  for (const { key } of restores) {
    const name = parseObjectKey(key);
    if (name?.kind !== "restore" || name.from !== pinned) continue;
    if (await hasRestored(context, known, name, signal)) return true;
  }
  return false;
}

/** Whether the newest floor of a fork keeps nothing that lies in its ancestors. */
async function isIndependent(
  { logs }: ServerContext,
  known: KnownVolume,
  signal: AbortSignal,
): Promise<boolean> {
  const floor = await logs.floor(known, signal);
  if (floor === undefined || floor.lsn <= known.forkPoint) return false;
  for (const { lsn, hash } of floor.checkpoints) {
    if (lsn > floor.lsn) continue;
    const loaded = await logs.checkpoint(known, { volume: floor.volume, lsn, hash }, signal);
    if (loaded === undefined || !placesAllOf(loaded.checkpoint, false)) return false;
  }
  return true;
}

/** Whether the commit that a pin was made for is the restore that needs it. */
async function hasRestored(
  { logs }: ServerContext,
  known: KnownVolume,
  { lsn, from }: NameOf<"restore">,
  signal: AbortSignal,
): Promise<boolean> {
  const [head, floor] = [await logs.head(known, signal), await logs.floor(known, signal)];
  // From its floor on a volume is read without older commits.
  if (lsn > head || lsn <= (floor?.lsn ?? 0)) return false;
  return (await logs.commitNow(known, lsn, signal)).header.restoredFrom === from;
}

/** The floor after the one that a compaction began under is there, and neither that one nor a later one reads from the segment. */
async function isOvertaken(
  context: ServerContext,
  known: KnownVolume,
  { key, n }: NameOf<"compacted">,
  signal: AbortSignal,
): Promise<boolean> {
  const { logs, kept } = context;
  const newest = await logs.floor(known, signal);
  if (newest === undefined || newest.n <= n || newest.n - n > FLOORS_MOST) return false;
  for (let i = n + 1; i <= newest.n; i++) {
    const floor = i === newest.n ? newest : await floorNumber(context, known, i, signal);
    if (floor === undefined || (await kept.under(known, floor, signal)).segments.has(key)) return false;
  }
  return true;
}

/** No floor names the checkpoint, and none will: it is below the newest and of before that, or reads from what another compaction overtook. */
async function isUseless(
  context: ServerContext,
  known: KnownVolume,
  { volume, lsn, key }: NameOf<"checkpoint">,
  signal: AbortSignal,
): Promise<boolean> {
  const floor = await context.logs.floor(known, signal);
  if (floor === undefined) return false;
  if (floor.checkpoints.some((each) => checkpointKey(volume, each.lsn, each.hash) === key)) return false;
  const bytes = await context.origin.get(key, { signal });
  if (bytes === undefined) return true;
  const { segments: named, madeUnder } = decodeCheckpoint(bytes, context.codecs.hash, { volume, lsn });
  if (lsn < floor.lsn && madeUnder < floor.n) return true;
  const { segments } = await context.kept.under(known, floor, signal);
  return named.some(
    (segment) =>
      segment.kind === "compacted" && segment.number < floor.n && !segments.has(placedKey(segment)),
  );
}

async function floorNumber(
  { origin, codecs }: ServerContext,
  { manifest: { volume } }: KnownVolume,
  n: number,
  signal: AbortSignal,
): Promise<Floor | undefined> {
  const bytes = await origin.get(floorKey(volume, n), { signal });
  return bytes === undefined ? undefined : decodeFloor(bytes, codecs.hash, { volume, n });
}
