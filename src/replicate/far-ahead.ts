/**
 * Catching up from far behind. Rollups of long stretches repeat one another where the same pages are written again and again, and large ones lie apart; the
 * newest checkpoint says the same once. A listing finds it in the round trip that finds the head, so that it comes together with the log behind it.
 */
import type { Lsn } from "../base/brand.ts";
import { isPagefoldError } from "../base/errors.ts";
import { decodeCheckpoint } from "../format/checkpoint-codec.ts";
import { checkpointsPrefix, parseCheckpointKey } from "../format/keys.ts";
import { fetchChain } from "./chain-fetch.ts";
import { confirmBase } from "./confirm.ts";
import type { ReplicaContext } from "./context.ts";
import { LARGEST_PIECE_BYTES } from "./floor.ts";

type Options = { readonly signal?: AbortSignal };

/** A checkpoint as a listing shows it: to be believed when a header names its hash. */
export interface ListedCheckpoint {
  readonly key: string;
  readonly lsn: Lsn;
  /** The first half of its hash. */
  readonly hash: string;
  readonly bytes: number;
}

/** Who looked for the head so short a time ago is not far behind. */
const AWAY_MS = 3_600_000;
/** Fewer commits are learned from their rollups, whatever a checkpoint takes. */
const FAR_COMMITS = 4096;
/** What rollups take per commit, about, where commits are small. */
const ROLLUP_BYTES_PER_COMMIT = 64;
/** The newest may be of the head itself, which nothing names yet, and there may be several of one LSN. */
const LISTED = 4;

const lookedAt = new WeakMap<ReplicaContext, number>();

/**
 * The newest checkpoints, where it is some time ago that this side looked for new commits; asks for nothing otherwise.
 * @param options.head where the caller knows the head already
 */
export async function checkpointsIfAway(
  context: ReplicaContext,
  { head, ...options }: Options & { readonly head?: Lsn | undefined },
): Promise<ListedCheckpoint[]> {
  const { replica, remote, runtime } = context;
  const { base } = replica.state;
  const now = runtime.now();
  const isAway = now - (lookedAt.get(context) ?? base.time) > AWAY_MS;
  lookedAt.set(context, now);
  if (!isAway || head !== undefined || base.lsn === 0 || !remote.capabilities.list) return [];
  const found = await remote.list(checkpointsPrefix(replica.manifest.volume), { limit: LISTED, ...options });
  return found.flatMap(({ key, size }) => {
    const named = parseCheckpointKey(key);
    return named === undefined ? [] : [{ key, lsn: named.lsn, hash: named.hash, bytes: size }];
  });
}

/** The one to go over on the way to `head`; undefined where rollups are less. */
export function worthGoingOver(
  { replica }: ReplicaContext,
  head: Lsn,
  listed: readonly ListedCheckpoint[],
): ListedCheckpoint | undefined {
  const commits = head - replica.state.base.lsn;
  const checkpoint = listed.find(({ lsn }) => lsn < head);
  if (checkpoint === undefined || commits < FAR_COMMITS) return undefined;
  if (checkpoint.lsn <= replica.state.base.lsn || checkpoint.bytes > LARGEST_PIECE_BYTES) return undefined;
  return checkpoint.bytes <= ROLLUP_BYTES_PER_COMMIT * commits ? checkpoint : undefined;
}

/**
 * Learns the checkpoint and the log from there to `head`, in one round trip, and that the log still holds the commit that the replica stands on. Answers
 * false where it is not to be had so: whoever goes the usual way is told why.
 */
export async function learnOver(
  context: ReplicaContext,
  head: Lsn,
  listed: ListedCheckpoint,
  options: Options,
): Promise<boolean> {
  const { replica, remote, codecs } = context;
  const { directory, manifest } = replica;
  // Nothing else on this way leads through that commit.
  context.confirmed = false;
  try {
    const [steps, bytes] = await Promise.all([
      fetchChain({
        ...{ store: remote, directory, codecs, signal: options.signal },
        ...{ from: { lsn: listed.lsn }, to: { lsn: head } },
      }),
      remote.get(listed.key, { range: { offset: 0, length: listed.bytes }, ...options }),
      confirmBase(context, options),
    ]);
    const named = steps.at(-1)?.commit.header.checkpoint;
    if (bytes === undefined || named?.lsn !== listed.lsn || !named.hash.startsWith(listed.hash)) return false;
    directory.learnCheckpoint(
      decodeCheckpoint(bytes, codecs.hash, { volume: manifest.volume, lsn: named.lsn, hash: named.hash }),
    );
    return true;
  } catch (error) {
    if (!isPagefoldError(error, "not_found", "corrupt", "diverged", "unsupported_version")) throw error;
    return false;
  }
}
