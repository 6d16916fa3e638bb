/**
 * A push in one request: whole segments as they come, each checked and stored, then the commit that names them. Where it is refused, what it
 * stored is deleted again, unless a commit names it by now.
 */
import type { Hash, Lsn, VolumeId } from "../../src/base/brand.ts";
import { isPagefoldError } from "../../src/base/errors.ts";
import { commitKey } from "../../src/format/keys.ts";
import { LIMITS } from "../../src/format/limits.ts";
import { type BundleEntry, decodeBundle } from "../../src/remote/http/bundle-codec.ts";
import { bodyChunks } from "./body.ts";
import { checkAcknowledged, isUnknownOutcome, storeLocked } from "./commit-store.ts";
import { bodyLimits, type ServerContext } from "./context.ts";
import { parseObjectKey } from "./object-keys.ts";
import { storeSegment } from "./object-write.ts";
import { HttpError } from "./problem.ts";
import { lie } from "./verify/lies.ts";
import { type KnownVolume, noVolume } from "./volume-logs.ts";

export interface Pushed {
  readonly lsn: Lsn;
  readonly hash: Hash;
  /** False where this very commit was stored already. */
  readonly created: boolean;
}

/** A push may be as large as its volume; one object at a time is in memory. */
const PUSH_BYTES = Number.MAX_SAFE_INTEGER;

/**
 * @throws 422 where anything of it lies, 409 `diverged` where another commit has the LSN, `conflict` where it is not the next one
 */
export function pushBundle(context: ServerContext, volume: VolumeId, request: Request): Promise<Pushed> {
  return context.uploads.lend(LIMITS.segmentStoredBytes, request.signal, () =>
    take(context, volume, request),
  );
}

interface Stored {
  readonly key: string;
  readonly lsn: Lsn;
}

interface SentCommit {
  readonly lsn: Lsn;
  readonly bytes: Uint8Array;
}

async function take(context: ServerContext, volume: VolumeId, request: Request): Promise<Pushed> {
  const { signal } = request;
  if ((await context.logs.find(volume, signal)) === undefined) throw noVolume(volume);
  const chunks = bodyChunks(request, bodyLimits(context, PUSH_BYTES));
  const payloadBytes = Math.max(LIMITS.segmentStoredBytes, context.settings.commitBytes);
  const entries = decodeBundle(chunks, { payloadBytes });
  try {
    const first = await nextEntry(entries);
    const key = first?.kind === "bytes" ? first.key : "";
    // A repetition of the push waits for the attempt before it, and finds its commit or nothing; other pushes do not wait for a slow sender.
    return await context.locks.run(`push ${key}`, signal, () =>
      takeAndCommit(context, volume, first, entries, signal),
    );
  } finally {
    await entries.return();
  }
}

type Entries = AsyncGenerator<BundleEntry, void, undefined>;

async function takeAndCommit(
  context: ServerContext,
  volume: VolumeId,
  first: BundleEntry | undefined,
  entries: Entries,
  signal: AbortSignal,
): Promise<Pushed> {
  const stored: Stored[] = [];
  try {
    // The commit is stored when all has come: nothing may be wrong with the push behind it.
    const commit = await takeAll(context, volume, first, entries, stored, signal);
    return await context.locks.run(volume, signal, () => commitPush(context, volume, commit, signal));
  } catch (error) {
    if (!isUnknownOutcome(error))
      await context.locks.run(volume, undefined, () => takeBack(context, volume, stored));
    throw error;
  }
}

/** Stores the segments as they come, notes which in `stored`, and answers the commit, which comes last. */
async function takeAll(
  context: ServerContext,
  volume: VolumeId,
  first: BundleEntry | undefined,
  entries: Entries,
  stored: Stored[],
  signal: AbortSignal,
): Promise<SentCommit> {
  let commit: SentCommit | undefined;
  for (let entry = first; entry !== undefined; entry = await nextEntry(entries)) {
    if (commit !== undefined) throw badBundle("something follows its commit");
    commit = await takeEntry(context, volume, entry, stored, signal);
  }
  if (commit === undefined) throw badBundle("it has no commit");
  const { lsn } = commit;
  const other = stored.find((segment) => segment.lsn !== lsn);
  if (other !== undefined) throw badBundle(`it has a segment of LSN ${other.lsn}, and commit ${lsn}`);
  return commit;
}

/** What the decoder says of a bundle as what it means of a request. */
async function nextEntry(
  entries: AsyncGenerator<BundleEntry, void, undefined>,
): Promise<BundleEntry | undefined> {
  try {
    const { value, done } = await entries.next();
    return done === true ? undefined : (value as BundleEntry);
  } catch (error) {
    if (error instanceof HttpError || !isPagefoldError(error)) throw error;
    if (error.code === "corrupt") throw badBundle("it is no bundle of this version", error);
    throw new HttpError(
      400,
      "invalid",
      "the push was cut off before its end; nothing of it was stored: send it again",
      {
        cause: error,
      },
    );
  }
}

async function takeEntry(
  context: ServerContext,
  volume: VolumeId,
  entry: BundleEntry,
  stored: Stored[],
  signal: AbortSignal,
): Promise<SentCommit | undefined> {
  if (entry.kind !== "bytes") throw badBundle(`it has an entry of the kind "${entry.kind}"`);
  const { key, bytes } = entry;
  const name = parseObjectKey(key);
  if (name === undefined || name.kind === "tag" || name.volume !== volume) {
    throw badBundle(`${key.slice(0, 200)} is nothing that a push of volume ${volume} brings`);
  }
  if (entry.offset !== 0 || entry.total !== bytes.length) throw badBundle(`${key} is not there whole`);
  if (name.kind === "commit") return { lsn: name.lsn, bytes };
  if (name.kind !== "segment") throw badBundle(`a ${name.kind} does not belong into it`);
  const outcome = await storeSegment(context, name, bytes, signal);
  if (outcome === "created") stored.push({ key, lsn: name.lsn });
  return undefined;
}

async function commitPush(
  context: ServerContext,
  volume: VolumeId,
  { lsn, bytes }: SentCommit,
  signal: AbortSignal,
): Promise<Pushed> {
  const { outcome, hash } = await storeLocked(context, volume, lsn, bytes, signal);
  const created = outcome === "created";
  const known = await context.logs.volume(volume);
  const isStored = created || (await storedHash(context, known, lsn)) === hash;
  if (isStored) {
    await checkAcknowledged(context, volume, lsn, hash, signal);
    return { lsn, hash, created };
  }
  throw new HttpError(
    409,
    "diverged",
    `volume ${volume} has another commit ${lsn}; nothing of this one was stored: pull, and make the changes again on top`,
    { details: { volume, lsn } },
  );
}

/** Undefined where the commit was collected. */
async function storedHash({ logs }: ServerContext, known: KnownVolume, lsn: Lsn): Promise<Hash | undefined> {
  try {
    return (await logs.commitNow(known, lsn)).hash;
  } catch (error) {
    if (!isPagefoldError(error, "not_found")) throw error;
    return undefined;
  }
}

/** Deletes what a refused push stored, but what a commit names: then another attempt of this push came through meanwhile. */
async function takeBack(
  context: ServerContext,
  volume: VolumeId,
  stored: readonly { readonly key: string; readonly lsn: Lsn }[],
): Promise<void> {
  try {
    const garbage: string[] = [];
    for (const { key, lsn } of stored) {
      if (!(await isNamed(context, volume, lsn, key))) garbage.push(key);
      context.verified.forget(key);
    }
    if (garbage.length > 0) await context.store.delete(garbage);
  } catch {
    // What stays is garbage that a collection finds; why the push was refused is what its sender must hear.
    context.recorder.count("server.push.leftovers");
  }
}

/** Whether the commit of an LSN exists and names a segment. */
export async function isNamed(
  context: ServerContext,
  volume: VolumeId,
  lsn: Lsn,
  key: string,
): Promise<boolean> {
  const start = await context.origin.get(commitKey(volume, lsn), { range: { offset: 0, length: 1 } });
  if (start === undefined) return false;
  const { header } = await context.logs.commitNow(await context.logs.volume(volume), lsn);
  return header.segments.some(({ id }) => id !== undefined && key.endsWith(`-${id}`));
}

function badBundle(problem: string, cause?: unknown): HttpError {
  return lie("the push", problem, {}, cause);
}
