/**
 * Checkpoints as they are written: from a state, and from what loaded checkpoints say of where its pages lie. Nothing is copied here. A checkpoint that was
 * stored is nothing yet: it counts once a commit's header or a floor names its hash.
 */
import type { Hash, Lsn } from "../../base/brand.ts";
import { PagefoldError } from "../../base/errors.ts";
import { type DecodedCheckpoint, encodeCheckpoint } from "../../format/checkpoint-codec.ts";
import { COMMIT_PREFIX_BYTES, commitHeaderLength, decodeCommit } from "../../format/commit-codec.ts";
import { checkpointKey, commitKey } from "../../format/keys.ts";
import type { Checkpoint, Floor } from "../../format/model.ts";
import type { ReplicaContext } from "../../replicate/context.ts";
import { newestFloor } from "../../replicate/floor.ts";
import { hashOf, type RemoteState } from "../../volume/remote-state.ts";
import { Placement } from "./placement.ts";

type Signal = { readonly signal?: AbortSignal | undefined };

/** A checkpoint as headers and floors name it. */
export interface CheckpointName {
  readonly lsn: Lsn;
  readonly hash: Hash;
}

/** Enough for the header of an ordinary commit in one request. */
const HEADER_GUESS = 16_384;

/** The checkpoint of a state that copies nothing: pages keep the places that loaded checkpoints give them. @param header of its commit, as stored */
export function buildCheckpoint(context: ReplicaContext, state: RemoteState, header: Uint8Array): Checkpoint {
  const { directory } = context.replica;
  const floor = directory.floor(directory.manifest.volume);
  const placement = new Placement(directory, state, reliable(context, floor, state.lsn));
  return placement.checkpoint(directory, header, floor?.n ?? 0);
}

/**
 * Stores the checkpoint of a state, to be named by the next header. Answers undefined where it is larger than `maxBytes`, or where the floor moved meanwhile:
 * what it places may be going, and whoever opened from it would have to look elsewhere. That one is left for a collection to find: another may
 * have written the very same bytes, and named them already.
 */
export async function writeCheckpoint(
  context: ReplicaContext,
  state: RemoteState,
  header: Uint8Array,
  options: Signal & { readonly maxBytes?: number } = {},
): Promise<(CheckpointName & { readonly bytes: number }) | undefined> {
  const { replica, recorder, codecs } = context;
  const before = replica.directory.floorNumber(replica.manifest.volume) ?? 0;
  const { maxBytes = Number.POSITIVE_INFINITY } = options;
  const built = buildCheckpoint(context, state, header);
  // A fragmented table takes a while to encode: seconds for millions of pages. That it is too large is told before.
  const encoded = leastBytes(built) > maxBytes ? undefined : encodeCheckpoint(built, codecs.hash);
  if (encoded === undefined || encoded.bytes.length > maxBytes) {
    recorder.count("checkpoint.too_large");
    return undefined;
  }
  const { bytes, hash } = encoded;
  const checkpoint = await storeCheckpoint(context, built, encoded, options);
  if (((await newestFloor(context, options))?.n ?? 0) !== before) {
    recorder.count("checkpoint.overtaken");
    return undefined;
  }
  replica.directory.learnCheckpoint(checkpoint);
  return { lsn: state.lsn, hash, bytes: bytes.length };
}

/** What the writers of a checkpoint take at least: two bytes for a run of pages, and an LSN and a hash for each. */
function leastBytes({ writers }: Checkpoint): number {
  return writers.reduce((sum, { pages }) => sum + Math.min(2 * pages.runCount, pages.last! / 8) + 34, 0);
}

/** Puts the object, and answers it as readers will see it. @param encoded of the checkpoint */
export async function storeCheckpoint(
  { remote, codecs }: ReplicaContext,
  checkpoint: Checkpoint,
  { bytes, hash }: { readonly bytes: Uint8Array; readonly hash: Hash },
  { signal }: Signal,
): Promise<DecodedCheckpoint> {
  const commit = decodeCommit(checkpoint.header, codecs.hash);
  const options = signal === undefined ? {} : { signal };
  const key = checkpointKey(checkpoint.volume, commit.header.lsn, hash);
  await remote.put(key, bytes, { ifAbsent: true, ...options });
  return { ...checkpoint, hash, commit, length: bytes.length };
}

/**
 * Loaded checkpoints of the volume whose places hold under a floor, those that tell most of the state at `lsn` first: the floor names them. What others
 * place may be swept: were it named again, a sweep that was planned before would take it away.
 * @param also of those that the next floor will name, made under this one
 */
export function reliable(
  { replica }: ReplicaContext,
  floor: Floor | undefined,
  lsn: Lsn,
  also: ReadonlySet<Hash> = new Set(),
): Checkpoint[] {
  const { volume } = replica.manifest;
  const named = new Set(floor?.checkpoints.map(({ hash }) => hash));
  return [...replica.directory.checkpoints()]
    .filter(({ checkpoint }) => checkpoint.volume === volume)
    .filter(({ checkpoint: { hash } }) => named.has(hash) || also.has(hash))
    .sort((a, b) => {
      const newer = Number(a.lsn > lsn) - Number(b.lsn > lsn);
      if (newer !== 0) return newer;
      return a.lsn > lsn ? a.lsn - b.lsn : b.lsn - a.lsn;
    })
    .map(({ checkpoint }) => checkpoint);
}

/** Prefix and header of the commit at a state's LSN, as stored: from this side where it has them. @throws `not_found` where it was collected */
export async function commitHeaderOf(
  context: ReplicaContext,
  state: RemoteState,
  { signal }: Signal = {},
): Promise<Uint8Array> {
  const { replica, remote, codecs } = context;
  const { directory } = replica;
  const { lsn } = state;
  const volume = directory.volumeOf(lsn);
  const expect = { volume, lsn, hash: hashOf(state) };
  if (replica.state.base.hash === state.hash && replica.state.baseHeader !== undefined)
    return replica.state.baseHeader;
  const step = directory.step(lsn);
  if (step?.commit.hash === state.hash) return step!.stored;
  for (const { checkpoint } of directory.checkpoints())
    if (checkpoint.commit.hash === state.hash) return checkpoint.header;
  const options = signal === undefined ? {} : { signal };
  const get = (length: number) =>
    remote.get(commitKey(volume, lsn), { range: { offset: 0, length }, ...options });
  let bytes = await get(HEADER_GUESS);
  if (bytes !== undefined && bytes.length >= COMMIT_PREFIX_BYTES) {
    const length = commitHeaderLength(bytes, expect);
    if (bytes.length < length) bytes = await get(length);
  }
  if (bytes === undefined) {
    throw new PagefoldError(
      "not_found",
      `commit ${lsn} of volume ${volume} was collected and is not among the LSNs that are kept; choose another, or a newer one`,
      { details: { volume, lsn } },
    );
  }
  return bytes.slice(0, decodeCommit(bytes, codecs.hash, expect).headerLength);
}
