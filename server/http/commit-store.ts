/**
 * Storing a commit: one writer of a volume at a time in this server, the conditional create between servers. Whoever wins is announced
 * at once; whoever loses learns what is stored instead.
 */
import type { Hash, Lsn, VolumeId } from "../../src/base/brand.ts";
import { isPagefoldError } from "../../src/base/errors.ts";
import { equalBytes } from "../../src/format/bytes.ts";
import { commitKey, rollupKey } from "../../src/format/keys.ts";
import type { ServerContext } from "./context.ts";
import { HttpError } from "./problem.ts";
import { type CheckedCommit, checkCommit, decodeWhole, placeOfCommit } from "./verify/commit.ts";
import { type KnownVolume, signalOf } from "./volume-logs.ts";

export interface StoredCommit {
  /** "exists": another commit, or this very one, was there already. */
  readonly outcome: "created" | "exists";
  /** Of what was sent. */
  readonly hash: Hash;
}

/**
 * Checks a commit and creates it.
 * @throws 422 where it lies, 409 where it is not the next one, 404 where there is no such volume
 */
export function storeCommit(
  context: ServerContext,
  volume: VolumeId,
  lsn: Lsn,
  bytes: Uint8Array,
  signal: AbortSignal,
): Promise<StoredCommit> {
  return context.locks.run(volume, signal, () => storeLocked(context, volume, lsn, bytes, signal));
}

/** For callers that hold the volume's lock. */
export async function storeLocked(
  context: ServerContext,
  volume: VolumeId,
  lsn: Lsn,
  bytes: Uint8Array,
  signal: AbortSignal,
): Promise<StoredCommit> {
  const { logs, store, events, recorder } = context;
  const known = await logs.volume(volume, signal);
  const { hash } = decodeWhole(context, `commit ${lsn} of volume ${volume}`, volume, lsn, bytes);
  const parent = logs.justCreated(volume, lsn - 1);
  const head = parent === undefined ? await logs.head(known, signal) : parent.header.lsn;
  const place = placeOfCommit(known, lsn, head);
  if (place === "exists") return { outcome: "exists", hash };
  // On top of one that this server has just created it needs no asking: nobody collects that fast.
  const notCollected = parent === undefined ? checkAboveFloor(context, known, lsn, signal) : undefined;
  const [checked] = await Promise.all([checkCommit(context, known, lsn, bytes, signal), notCollected]);
  // Not given up halfway: whether it came through would not be known.
  const outcome = await store
    .put(commitKey(volume, lsn), bytes, { ifAbsent: true })
    .catch((error: unknown) => {
      throw isRefusal(error) ? error : unknownOutcome(volume, lsn, error);
    });
  // "Exists" may be an attempt of this very call that came through unseen: news either way.
  events.announce(known, lsn, outcome === "created" ? bytes : undefined);
  if (outcome === "exists") return { outcome, hash };
  logs.created(volume, checked.commit);
  recorder.count("server.commits");
  await keepRollup(context, volume, lsn, checked);
  return { outcome, hash };
}

/**
 * That the commit is not below the floor, nor its volume being deleted for good. What a listing that lags behind says of the newest commit may be long gone.
 * @throws 409 `diverged`
 */
async function checkAboveFloor(
  { logs }: ServerContext,
  known: KnownVolume,
  lsn: Lsn,
  signal: AbortSignal,
): Promise<void> {
  const floor = await logs.floor(known, signal);
  if (floor !== undefined && (floor.closed || floor.lsn >= lsn)) throw collected(known, lsn);
}

/**
 * Asks for the floor once more, now that a commit is stored: where it passed the commit meanwhile, "created" may say only that another commit of that LSN was
 * collected. Then the next commit tells, if it is there. For whoever pushes in one request; writers of single objects ask for themselves.
 * @throws 409 `diverged` where it is not one of the log
 */
export async function checkAcknowledged(
  context: ServerContext,
  volume: VolumeId,
  lsn: Lsn,
  hash: Hash,
  signal: AbortSignal,
): Promise<void> {
  const { logs } = context;
  const known = await logs.volume(volume, signal);
  const floor = await logs.floor(known, signal);
  if (floor === undefined || (!floor.closed && floor.lsn <= lsn)) return;
  const next = await logs.commitNow(known, (lsn + 1) as Lsn, signal).catch((error: unknown) => {
    if (!isPagefoldError(error, "not_found")) throw error;
  });
  if (next?.header.jumpHashes[0] !== hash) throw collected(known, lsn);
}

function collected({ manifest: { volume } }: KnownVolume, lsn: Lsn): HttpError {
  return new HttpError(
    409,
    "diverged",
    `volume ${volume} has gone on past commit ${lsn}, which was collected: pull, and make the changes again on top`,
    { details: { volume, lsn } },
  );
}

/** Whether the store said no to the only attempt that was made. */
function isRefusal(error: unknown): boolean {
  return (
    isPagefoldError(error, "unauthorized", "forbidden", "quota", "invalid", "not_found") &&
    error.details.repeated !== true
  );
}

const UNKNOWN = "unknown";

function unknownOutcome(volume: VolumeId, lsn: Lsn, cause: unknown): HttpError {
  return new HttpError(
    503,
    "unavailable",
    `it is not known whether commit ${lsn} of volume ${volume} reached the store; send it again to find out`,
    { cause, details: { volume, lsn, outcome: UNKNOWN } },
  );
}

/** Whether an error leaves open that the commit is stored, now or a little later: then nothing that it names may be deleted. */
export function isUnknownOutcome(error: unknown): boolean {
  return error instanceof HttpError && error.details.outcome === UNKNOWN;
}

/** Bands apart as this very commit has them: a writer that lost the LSN may have left its own. */
async function keepRollup(
  { store, origin, recorder }: ServerContext,
  volume: VolumeId,
  lsn: Lsn,
  { apart }: CheckedCommit,
): Promise<void> {
  if (apart === undefined) return;
  const key = rollupKey(volume, lsn);
  try {
    const stored = await origin.get(key, signalOf(undefined));
    if (stored === undefined || !equalBytes(stored, apart)) await store.put(key, apart);
  } catch {
    // A cache: without it readers take smaller steps. The commit stands.
    recorder.count("server.rollup_failed");
  }
}
