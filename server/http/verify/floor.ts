/**
 * Checks a floor that was sent. What it does not name may be collected, for good: so it follows the newest one, never falls, names only checkpoints that
 * were proven, complete ones where commits may go, and keeps what forks share.
 */
import type { Lsn, VolumeId } from "../../../src/base/brand.ts";
import { decodeFloor } from "../../../src/format/floor-codec.ts";
import { checkpointKey, forksPrefix, parseForkKey } from "../../../src/format/keys.ts";
import type { Floor, FloorCheckpoint } from "../../../src/format/model.ts";
import { lastDeletion } from "../../../src/history/delete/deleted.ts";
import type { ServerContext } from "../context.ts";
import { type NameOf, parseObjectKey } from "../object-keys.ts";
import type { Right } from "../principal.ts";
import { HttpError } from "../problem.ts";
import { type KnownVolume, signalOf } from "../volume-logs.ts";
import { type CheckedCheckpoint, checkCheckpoint } from "./checkpoint.ts";
import { decoding, lie } from "./lies.ts";

export interface CheckedFloor {
  readonly floor: Floor;
  /**
   * What its sender must be allowed to: "admin" where anything may be collected because of it that might not before, "write" where not, "read" where it
   * only takes back that the one before was about to be raised, which whoever pins something does.
   */
  readonly right: Right;
}

/** Pins of one listing. */
const PAGE = 1000;

/** @throws 422, 409 where it is not the next one, or drops what a fork needs */
export async function checkFloor(
  context: ServerContext,
  known: KnownVolume,
  { volume, n }: NameOf<"floor">,
  bytes: Uint8Array,
  signal: AbortSignal,
): Promise<CheckedFloor> {
  const what = `floor ${n} of volume ${volume}`;
  const floor = decoding(what, () => decodeFloor(bytes, context.codecs.hash, { volume, n }));
  if (floor.closed) throw lie(what, "it closes the log, and the volume was not deleted");
  const before = await context.logs.floor(known, signal);
  if (before?.closed === true)
    throw lie(what, `floor ${before.n} has closed the log: the volume was deleted for good`);
  const newest = before?.n ?? 0;
  if (n > newest + 1) {
    throw new HttpError(409, "conflict", `${what} has to wait: the newest is ${newest}`, {
      details: { volume, n: newest },
    });
  }
  // One that exists: creating it says so.
  if (n <= newest) return { floor, right: "write" };
  const lowest = before?.lsn ?? 0;
  if (floor.lsn < lowest)
    throw lie(what, `it is at LSN ${floor.lsn}, below ${lowest}, where the newest is: a floor never falls`);
  if (floor.time < (before?.time ?? 0)) throw lie(what, "its time is before that of the floor before it");
  const head = await context.logs.head(known, signal);
  if (floor.lsn > head) throw lie(what, `there is no commit ${floor.lsn}`);
  for (const named of floor.checkpoints)
    if (!wasNamed(floor, before, named)) await checkNamed(context, known, what, floor, named, signal);
  await checkForks(context, known, what, { floor, before }, signal);
  return { floor, right: takesBack(floor, before) ? "read" : keepsAll(floor, before) ? "write" : "admin" };
}

/** A closed floor ends a volume that is being deleted for good. @throws 422 */
export async function checkClosing(
  { origin, codecs }: ServerContext,
  { volume, n }: NameOf<"floor">,
  signal: AbortSignal,
): Promise<void> {
  const last = await lastDeletion(origin, codecs, volume, signalOf(signal));
  if (last !== undefined && last.act !== "purging")
    throw lie(`floor ${n} of volume ${volume}`, "it closes the log of a volume that can be undeleted");
}

/** The floor before named it for the same: it was proven then, and one that is lost now is not this sender's fault. */
function wasNamed(floor: Floor, before: Floor | undefined, { lsn, time, hash }: FloorCheckpoint): boolean {
  const named = before?.checkpoints.find((each) => each.lsn === lsn);
  return named?.hash === hash && named.time === time && (lsn > floor.lsn || lsn <= before!.lsn);
}

function takesBack(floor: Floor, before: Floor | undefined): boolean {
  if (before?.raising !== true || floor.raising === true) return false;
  if (floor.lsn !== before.lsn || floor.checkpoints.length !== before.checkpoints.length) return false;
  return floor.checkpoints.every(({ hash }, i) => hash === before.checkpoints[i]!.hash);
}

function keepsAll(floor: Floor, before: Floor | undefined): boolean {
  if (floor.lsn !== (before?.lsn ?? 0)) return false;
  const lsns = new Set(floor.checkpoints.map(({ lsn }) => lsn));
  return before === undefined || before.checkpoints.every(({ lsn }) => lsn > before.lsn || lsns.has(lsn));
}

async function checkNamed(
  context: ServerContext,
  known: KnownVolume,
  what: string,
  floor: Floor,
  { lsn, time, hash }: FloorCheckpoint,
  signal: AbortSignal,
): Promise<void> {
  const checked = await provenCheckpoint(context, known, { volume: floor.volume, lsn, hash }, signal);
  if (checked === undefined)
    throw lie(what, `there is no checkpoint of LSN ${lsn} with the hash ${hash}; send it first`);
  if (checked.time !== time) throw lie(what, `commit ${lsn} is of another time`);
  if (lsn <= floor.lsn && !checked.complete)
    throw lie(
      what,
      `commits below LSN ${floor.lsn} may go, and the checkpoint of LSN ${lsn} does not place every page`,
    );
}

/** A checkpoint that is stored now, and was checked when it came or is checked here; undefined where there is none with this hash. @throws 422 */
export async function provenCheckpoint(
  context: ServerContext,
  known: KnownVolume,
  {
    volume,
    lsn,
    hash,
  }: { readonly volume: VolumeId; readonly lsn: Lsn; readonly hash: CheckedCheckpoint["hash"] },
  signal: AbortSignal,
): Promise<CheckedCheckpoint | undefined> {
  const key = checkpointKey(volume, lsn, hash);
  const remembered = context.checkpoints.get(key);
  const range = remembered === undefined ? {} : { range: { offset: 0, length: 1 } };
  const bytes = await context.origin.get(key, { ...range, ...signalOf(signal) });
  if (bytes === undefined) return undefined;
  const name = parseObjectKey(key) as NameOf<"checkpoint">;
  const checked = remembered ?? (await checkCheckpoint(context, known, name, bytes, signal));
  return checked.hash === hash ? checked : undefined;
}

/** Forks read what they share through this floor: what they pin, and the one before kept, it keeps. @throws 409 */
async function checkForks(
  { origin, logs }: ServerContext,
  { manifest: { volume } }: KnownVolume,
  what: string,
  { floor, before }: { readonly floor: Floor; readonly before: Floor | undefined },
  signal: AbortSignal,
): Promise<void> {
  if (floor.lsn === 0) return;
  for (let startAfter = ""; ; ) {
    const pins = await origin.list(forksPrefix(volume), { startAfter, limit: PAGE, ...signalOf(signal) });
    for (const { key } of pins) {
      startAfter = key;
      const pin = parseForkKey(key);
      if (pin === undefined || isKept(floor, pin.lsn) || !isKept(before, pin.lsn)) continue;
      // One that is gone needs nothing.
      if ((await logs.find(pin.fork, signal)) === undefined) continue;
      throw new HttpError(
        409,
        "conflict",
        `${what} is refused: fork ${pin.fork} shares the state at LSN ${pin.lsn}, which it does not keep; keep that LSN, or detach the fork first`,
        { details: { volume, fork: pin.fork, lsn: pin.lsn } },
      );
    }
    if (pins.length < PAGE) return;
  }
}

function isKept(floor: Floor | undefined, lsn: Lsn): boolean {
  return floor === undefined || lsn >= floor.lsn || floor.checkpoints.some((each) => each.lsn === lsn);
}
