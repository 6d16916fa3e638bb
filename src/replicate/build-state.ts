/**
 * The state of a volume at an LSN, from as near as it can be had: the newest checkpoint at or below it, else the first commit; from there along the
 * rollups of the log. A fork's state goes on from its parent's. Two round trips, or three where only the commit's header names the checkpoint.
 */
import { type Hash, LSN_ZERO, type Lsn, type VolumeId } from "../base/brand.ts";
import { isPagefoldError, PagefoldError } from "../base/errors.ts";
import type { Codecs } from "../format/codecs.ts";
import type { DecodedCommit } from "../format/commit-codec.ts";
import { forkPoint } from "../format/model.ts";
import type { ObjectStore } from "../remote/object-store.ts";
import type { CommitDirectory, NamedCheckpoint } from "../volume/commit-directory.ts";
import type { FetchPlan } from "../volume/fetch-plan.ts";
import type { LoadedCheckpoint } from "../volume/loaded-checkpoint.ts";
import { advance, type ChainStep, emptyState, type RemoteState, stateAt } from "../volume/remote-state.ts";
import { type CommitStart, fetchChain, fetchCommitStart } from "./chain-fetch.ts";
import { LARGEST_PIECE_BYTES, learnListedFloor, loadCheckpoint, newestFloorOf } from "./floor.ts";

/** What building a state needs; a ReplicaContext gives one. */
export interface StateSource {
  readonly directory: CommitDirectory;
  readonly codecs: Codecs;
  readonly remote: ObjectStore;
  /** Of the manifest; undefined for a fork. */
  readonly originHash: Hash | undefined;
  run<T>(plan: FetchPlan<T>, signal?: AbortSignal): Promise<T>;
}

export interface BuildOptions {
  /** The commit's hash, where it is known; else what the store has of that LSN is believed as far as it proves itself. */
  readonly hash?: Hash | undefined;
  /** The number of the newest floor that a listing showed, where none was learned yet: it is fetched beside the header. */
  readonly floor?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

interface ReadOptions extends BuildOptions {
  /** Of the commit that is asked for, where it was read. */
  readonly start?: CommitStart | undefined;
}

export interface BuiltState {
  readonly state: RemoteState;
  /** Prefix and header of the commit, as stored; undefined at LSN 0. */
  readonly header: Uint8Array | undefined;
}

/** Logs up to this long are read whole, without asking the newest header for a checkpoint first: that saves a round trip. */
const SHORT_LOG = 1024;
/** Enough for the headers of ordinary commits. */
const HEADER_GUESS = 16_384;
/** Checkpoints that are tried before the log is read from its beginning. */
const CANDIDATES = 3;

/**
 * @throws `not_found` where there is no such commit, or it was collected and is not among what the retention keeps; `corrupt` where the log
 * does not verify
 */
export async function buildState(
  source: StateSource,
  lsn: Lsn,
  given: BuildOptions = {},
): Promise<BuiltState> {
  const { directory } = source;
  const { manifest } = directory;
  // A fork's manifest proves the commit at its fork point.
  const options = lsn === forkPoint(manifest) ? { ...given, hash: given.hash ?? manifest.forkHash } : given;
  if (lsn === LSN_ZERO)
    return { state: emptyState(source.originHash, manifest.createdAt), header: undefined };
  const collected = (options.floor ?? 0) > 0 || directory.floor(directory.volumeOf(lsn)) !== undefined;
  // Whoever relies on that later asks for the first floor, and need not list them again.
  if (options.floor === 0) directory.learnFloorless(manifest.volume);
  const isShort = lsn <= SHORT_LOG && !collected;
  if (isShort && candidatesFor(source, lsn, undefined).length === 0) {
    try {
      return await fromBelow(source, lsn, options);
    } catch (error) {
      if (!isPagefoldError(error, "not_found")) throw error;
    }
  }
  const [newest] = await Promise.all([
    fetchHeader(source, lsn, options),
    learnListedFloor(source, manifest.volume, options.floor, options),
  ]);
  if (newest === undefined) return keptState(source, lsn, options);
  const above = { ...options, hash: newest.commit.hash, start: newest.start };
  for (const candidate of candidatesFor(source, lsn, newest.commit)) {
    const built = await fromCheckpoint(source, candidate, lsn, above);
    if (built !== undefined) return built;
  }
  try {
    return await fromBelow(source, lsn, above);
  } catch (error) {
    if (!isPagefoldError(error, "not_found")) throw error;
    // Commits on the way were collected, and nothing that is known names the checkpoint that took their place.
    // Of a fork of a fork, that may be a floor of any ancestor.
    const owners = new Set([directory.volumeOf(lsn), ...manifest.ancestors.map(({ volume }) => volume)]);
    const floors = await Promise.all([...owners].map((each) => newestFloorOf(source, each, options)));
    const isKnown = floors.some((floor) => floor !== undefined);
    for (const candidate of isKnown ? candidatesFor(source, lsn, newest.commit) : []) {
      const built = await fromCheckpoint(source, candidate, lsn, above);
      if (built !== undefined) return built;
    }
    throw error;
  }
}

/** A state that only a checkpoint of the floor keeps: its commit was collected. */
async function keptState(source: StateSource, lsn: Lsn, options: BuildOptions): Promise<BuiltState> {
  const { directory } = source;
  const volume = directory.volumeOf(lsn);
  const floor = await newestFloorOf(source, volume, options);
  const kept = floor?.checkpoints.find((each) => each.lsn === lsn);
  if (kept !== undefined) {
    const loaded = await source.run(loadCheckpoint(framesOf(source), { volume, ...kept }), options.signal);
    if (
      loaded !== undefined &&
      (options.hash === undefined || loaded.checkpoint.commit.hash === options.hash)
    ) {
      return stateOfCheckpoint(loaded);
    }
  }
  throw notKept(source, volume, lsn);
}

function notKept({ directory, remote }: StateSource, volume: VolumeId, lsn: Lsn): PagefoldError {
  const floor = directory.floor(volume);
  const below = floor?.checkpoints.filter((each) => each.lsn < floor.lsn).map((each) => each.lsn) ?? [];
  const kept = below.length === 0 ? "" : `, and below that LSN ${below.slice(-8).join(", ")}`;
  const what =
    floor !== undefined && floor.lsn > lsn
      ? `was collected: the retention keeps everything from LSN ${floor.lsn} on${kept}; ask for one of these`
      : `is not in ${remote.url}; fetch again, or check the store`;
  return new PagefoldError("not_found", `commit ${lsn} of volume ${volume} ${what}`, {
    details: { volume, lsn, ...(floor === undefined ? {} : { floor: floor.lsn }) },
  });
}

/** Checkpoints that may be built on, the newest first: those that are known by name, and that the commit's header names. */
function candidatesFor(
  { directory }: StateSource,
  lsn: Lsn,
  commit: DecodedCommit | undefined,
): NamedCheckpoint[] {
  const named = new Map<Hash, NamedCheckpoint>();
  for (const each of directory.namedCheckpoints()) named.set(each.hash, each);
  const anchored = commit?.header.checkpoint;
  if (anchored !== undefined) {
    // A fork's first headers may name one of its parent's.
    named.set(anchored.hash, { volume: directory.volumeOf(anchored.lsn), ...anchored });
  }
  const usable = [...named.values()].filter((each) => each.lsn <= lsn && !isSwept(directory, each));
  return usable.sort((a, b) => b.lsn - a.lsn).slice(0, CANDIDATES);
}

/** Below the floor only what the floor names is whole. */
function isSwept(directory: CommitDirectory, { volume, lsn, hash }: NamedCheckpoint): boolean {
  const floor = directory.floor(volume);
  return floor !== undefined && lsn < floor.lsn && !floor.checkpoints.some((each) => each.hash === hash);
}

async function fromCheckpoint(
  source: StateSource,
  named: NamedCheckpoint,
  lsn: Lsn,
  { hash, start, signal }: ReadOptions,
): Promise<BuiltState | undefined> {
  const { directory, codecs, remote } = source;
  const point = forkPoint(directory.manifest);
  // The log above a fork point is the fork's; what lies below it must be the parent's that the manifest proves.
  const crosses = named.lsn < point && lsn > point;
  if (crosses) return undefined;
  const chain = fetchChain({
    ...{ store: remote, directory, codecs, signal },
    ...{ from: { lsn: named.lsn }, to: { lsn, hash }, start },
  });
  chain.catch(() => {}); // awaited below
  const loaded = await loadOrSkip(source, named, signal);
  if (loaded === undefined) return undefined;
  const { state, header } = stateOfCheckpoint(loaded);
  let steps: ChainStep[];
  try {
    steps = await chain;
  } catch (error) {
    // The floor rose above it meanwhile.
    if (isPagefoldError(error, "not_found")) return undefined;
    throw error;
  }
  const last = steps.at(-1);
  if (last === undefined) {
    if (hash !== undefined && loaded.checkpoint.commit.hash !== hash) throw another(source, lsn);
    return { state, header };
  }
  const lowest = steps[0]!;
  if (lowest.commit.header.jumpHashes[lowest.rollups.length - 1] !== state.hash)
    throw another(source, named.lsn);
  return { state: advance(state, steps), header: last.stored };
}

/** A checkpoint is a cache: where it is damaged or gone another one, or the log, serves. */
async function loadOrSkip(
  source: StateSource,
  named: NamedCheckpoint,
  signal: AbortSignal | undefined,
): Promise<LoadedCheckpoint | undefined> {
  try {
    return await source.run(loadCheckpoint(framesOf(source), named, LARGEST_PIECE_BYTES), signal);
  } catch (error) {
    if (!isPagefoldError(error, "corrupt", "unsupported_version")) throw error;
    source.directory.forgetCheckpoint(named.hash);
    return undefined;
  }
}

/** From the fork point, or from nothing. */
async function fromBelow(
  source: StateSource,
  lsn: Lsn,
  { hash, start, signal }: ReadOptions,
): Promise<BuiltState> {
  const { directory, codecs, remote } = source;
  const { manifest } = directory;
  const fork = forkPoint(manifest);
  const bottom =
    fork > 0 && lsn > fork
      ? (await buildState(source, fork, { hash: manifest.forkHash, signal })).state
      : emptyState(source.originHash, manifest.createdAt);
  const steps = await fetchChain({
    ...{ store: remote, directory, codecs, signal },
    ...{ from: bottom, to: { lsn, hash }, start },
  });
  const last = steps.at(-1);
  if (last === undefined) throw another(source, lsn);
  return { state: advance(bottom, steps), header: last.stored };
}

/** The state that a checkpoint holds. */
export function stateOfCheckpoint({ checkpoint, table }: LoadedCheckpoint): BuiltState {
  const { commit, header } = checkpoint;
  return { state: stateAt(commit.header, commit.hash, table), header };
}

interface FetchedHeader {
  readonly commit: DecodedCommit;
  /** Where it was read just now: the way down from it need not read it again. */
  readonly start?: CommitStart;
}

async function fetchHeader(
  { directory, codecs, remote }: StateSource,
  lsn: Lsn,
  { hash, signal }: BuildOptions,
): Promise<FetchedHeader | undefined> {
  const known = directory.commit(lsn);
  if (known !== undefined && (hash === undefined || known.hash === hash)) return { commit: known };
  const from = { store: remote, directory, codecs, signal };
  const start = await fetchCommitStart(from, { lsn, hash }, HEADER_GUESS);
  return start && { commit: start.commit, start };
}

function framesOf({ directory, codecs, remote }: StateSource) {
  return { directory, codecs, storeUrl: remote.url };
}

function another({ directory }: StateSource, lsn: Lsn): PagefoldError {
  const volume = directory.volumeOf(lsn);
  return new PagefoldError(
    "corrupt",
    `commit ${lsn} of volume ${volume} is not the one that later commits name; the store was tampered with or mixed up`,
    { details: { volume, lsn } },
  );
}
