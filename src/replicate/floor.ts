/**
 * The floor and the checkpoints of a volume as readers meet them: as plans, so that a page that was collected from where it lay is found again
 * inside SQLite too, and as requests for verbs. Whatever is learned goes into the volume's directory.
 */
import { type Hash, LSN_ZERO, type Lsn, type VolumeId } from "../base/brand.ts";
import { concatBytes } from "../format/bytes.ts";
import { decodeCheckpoint } from "../format/checkpoint-codec.ts";
import type { Codecs } from "../format/codecs.ts";
import { decodeFloor } from "../format/floor-codec.ts";
import { checkpointKey, floorKey, floorPrefix } from "../format/keys.ts";
import type { Floor } from "../format/model.ts";
import { searchNewest } from "../remote/newest-by-probing.ts";
import type { ObjectStore } from "../remote/object-store.ts";
import { newerInSeries, newestInSeries, type Series, type SeriesValue } from "../remote/series.ts";
import type { CommitDirectory, NamedCheckpoint } from "../volume/commit-directory.ts";
import type { FetchPlan } from "../volume/fetch-plan.ts";
import type { LoadedCheckpoint } from "../volume/loaded-checkpoint.ts";
import type { FramePlanContext } from "./commit-lookup.ts";
import type { ReplicaContext } from "./context.ts";

type Options = { readonly signal?: AbortSignal | undefined };

/** More than the largest floor takes. */
const FLOOR_BYTES = 4 * 2 ** 20;
/** A checkpoint is asked for in pieces of rising size, where memory is taken for what is asked for: small ones come with the first. */
const FIRST_PIECE_BYTES = 2 ** 20;
/** Whoever opens a volume asks for so much at once, as every piece is a round trip: memory is taken for what there is. */
export const LARGEST_PIECE_BYTES = 32 * 2 ** 20;

export const floorSeries = (volume: VolumeId): Series => ({
  prefix: floorPrefix(volume),
  key: (n) => floorKey(volume, n),
});

/** The newest floor of the volume: one request where it has not moved since it was last asked for. */
export function newestFloor(context: ReplicaContext, options: Options = {}): Promise<Floor | undefined> {
  const { directory, manifest } = context.replica;
  const { remote, codecs } = context;
  return newestFloorOf({ directory, remote, codecs }, manifest.volume, options);
}

export interface FloorSource {
  readonly directory: CommitDirectory;
  readonly remote: ObjectStore;
  readonly codecs: Codecs;
}

/** The floor that a listing showed when a volume was opened: so far no other is known. */
export async function learnListedFloor(
  { directory, remote, codecs }: FloorSource,
  volume: VolumeId,
  n: number | undefined,
  { signal }: Options = {},
): Promise<void> {
  if (n === undefined) return;
  if (n === 0) directory.learnFloorless(volume);
  if (n <= (directory.floorNumber(volume) ?? 0)) return;
  const bytes = await remote.get(floorKey(volume, n), signal === undefined ? {} : { signal });
  if (bytes !== undefined) directory.learnFloor(decodeFloor(bytes, codecs.hash, { volume, n }));
}

/** The LSN of the newest floor of a volume of which nothing is known yet; 0 where it has none. */
export async function newestFloorLsn(
  { remote, codecs }: Omit<FloorSource, "directory">,
  volume: VolumeId,
  options: { readonly signal?: AbortSignal } = {},
): Promise<Lsn> {
  const newest = await newestInSeries(remote, floorSeries(volume), 0, options);
  return newest === undefined
    ? LSN_ZERO
    : decodeFloor(newest.bytes, codecs.hash, { volume, n: newest.n }).lsn;
}

/** The newest floor of the volume or of one of its ancestors: those after the one that is known are asked for. */
export async function newestFloorOf(
  { directory, remote, codecs }: FloorSource,
  volume: VolumeId,
  { signal }: Options = {},
): Promise<Floor | undefined> {
  const options = signal === undefined ? {} : { signal };
  const series = floorSeries(volume);
  const known = directory.floorNumber(volume);
  const newer =
    known === undefined
      ? await newestInSeries(remote, series, 0, options)
      : await newerInSeries(remote, series, known, options);
  return learnNewer({ directory, codecs }, volume, newer);
}

/** Learns what a search for newer floors found; answers the newest that is known now. */
function learnNewer(
  { directory, codecs }: Pick<FloorSource, "directory" | "codecs">,
  volume: VolumeId,
  newer: SeriesValue | undefined,
): Floor | undefined {
  if (newer !== undefined)
    directory.learnFloor(decodeFloor(newer.bytes, codecs.hash, { volume, n: newer.n }));
  else if (directory.floorNumber(volume) === undefined) directory.learnFloorless(volume);
  return directory.floor(volume);
}

/** A checkpoint that a header or a floor names, verified and learned; undefined where it is gone. @throws `corrupt` */
export function fetchCheckpoint(
  context: ReplicaContext,
  named: NamedCheckpoint,
  { signal }: Options = {},
): Promise<LoadedCheckpoint | undefined> {
  return context.fetcher.run(loadCheckpoint(context.frames, named), signal);
}

/** The same as a plan. */
export function* loadCheckpoint(
  { directory, codecs }: FramePlanContext,
  { volume, lsn, hash }: NamedCheckpoint,
  firstPieceBytes = FIRST_PIECE_BYTES,
): FetchPlan<LoadedCheckpoint | undefined> {
  const known = directory.checkpoint(hash);
  if (known !== undefined) return known;
  const key = checkpointKey(volume, lsn, hash);
  const pieces: Uint8Array[] = [];
  let offset = 0;
  for (let length = firstPieceBytes; ; length = Math.min(4 * length, LARGEST_PIECE_BYTES)) {
    const [piece] = yield [{ key, offset, length }];
    if (piece === undefined) {
      directory.forgetCheckpoint(hash);
      return undefined;
    }
    pieces.push(piece);
    offset += piece.length;
    if (piece.length < length) break;
  }
  return directory.learnCheckpoint(decodeCheckpoint(concatBytes(pieces), codecs.hash, { volume, lsn, hash }));
}

/** As `newestFloorOf`, but as a plan, and one by one: a reader that missed floors may have missed many. */
export function* findFloor(context: FramePlanContext, volume: VolumeId): FetchPlan<Floor | undefined> {
  const search = searchNewest<Uint8Array>(context.directory.floorNumber(volume) ?? 0, [1]);
  let step = search.next();
  while (!step.done) {
    step = search.next(
      yield step.value.map((n) => ({ key: floorKey(volume, n), offset: 0, length: FLOOR_BYTES })),
    );
  }
  const newest = step.value;
  return learnNewer(context, volume, newest && { n: newest.n, bytes: newest.value });
}

/** How many floors that were replaced are asked for at once. */
const OLDER_AT_ONCE = 16;

/**
 * Names the checkpoints of the floors before one, some at a time; answers the oldest of them. What they kept is there for a grace period more, and whoever
 * opened it then may never have asked for a floor.
 */
export function* findOlderFloors(
  { directory, codecs }: FramePlanContext,
  { volume, n: before }: Floor,
): FetchPlan<Floor | undefined> {
  const numbers = Array.from({ length: Math.min(OLDER_AT_ONCE, before - 1) }, (_, i) => before - 1 - i);
  if (numbers.length === 0) return undefined;
  const answers = yield numbers.map((n) => ({ key: floorKey(volume, n), offset: 0, length: FLOOR_BYTES }));
  let oldest: Floor | undefined;
  for (const [i, bytes] of answers.entries()) {
    // Swept: nobody needs it, nor those before it.
    if (bytes === undefined) break;
    oldest = decodeFloor(bytes, codecs.hash, { volume, n: numbers[i]! });
    for (const { lsn, hash } of oldest.checkpoints) directory.nameCheckpoint({ volume, lsn, hash });
  }
  return oldest;
}

/** The checkpoint of a floor that a state can be opened from: the newest one up to an LSN. */
export function checkpointUpTo(floor: Floor | undefined, lsn: Lsn): { lsn: Lsn; hash: Hash } | undefined {
  return floor?.checkpoints.findLast((each) => each.lsn <= lsn);
}
