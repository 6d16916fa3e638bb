/**
 * Finds the newest commit of a volume: by one listing where the store can list (keys are complemented, so the newest comes
 * first), else from the head hint, probing forward. The hint is never believed beyond what exists.
 */
import type { Lsn, VolumeId } from "../base/brand.ts";
import { decodeHeadHint, encodeHeadHint } from "../format/head-codec.ts";
import { commitKey, commitsPrefix, headKey, lsnOfCommitKey } from "../format/keys.ts";
import { newestByProbing } from "../remote/newest-by-probing.ts";
import type { ObjectStore } from "../remote/object-store.ts";

type Signal = { readonly signal?: AbortSignal };

/** What is known of a volume when its newest commit is looked for. */
export interface HeadSearch {
  /** A commit that is known to exist, or 0. */
  readonly known: Lsn;
  /** Of a fork: the newest commit while it has none of its own; else 0. */
  readonly forkPoint: Lsn;
  /** The LSN of the newest floor, or 0; asked for where the store cannot list. */
  readonly floorLsn?: () => Promise<Lsn>;
}

/** The LSN of the newest commit; the fork point when there is none of the volume's own. */
export async function findHead(
  store: ObjectStore,
  volume: VolumeId,
  { known, forkPoint, floorLsn }: HeadSearch,
  options: Signal = {},
): Promise<Lsn> {
  if (store.capabilities.list) {
    // Keys that are none of ours are passed over: they must not hide the log.
    for (let startAfter: string | undefined, limit = 1; ; limit = 100) {
      const found = await store.list(commitsPrefix(volume), {
        limit,
        ...(startAfter === undefined ? {} : { startAfter }),
        ...options,
      });
      for (const { key } of found) {
        const lsn = lsnOfCommitKey(key);
        if (lsn !== undefined && lsn > forkPoint) return lsn;
      }
      startAfter = found[found.length - 1]?.key;
      if (startAfter === undefined) return forkPoint;
    }
  }
  const hint = await readHint(store, volume, options);
  const least = Math.max(known, forkPoint) as Lsn;
  const has = (lsn: number): Promise<boolean> => exists(store, volume, lsn, options);
  const probe = async (): Promise<number> => {
    // The hint is nearly always right: that it is, and that there is nothing behind it, is asked in one round trip.
    const [found, more] = hint > least ? await Promise.all([has(hint), has(hint + 1)]) : [false, false];
    if (!found) return newestByProbing(least, has);
    return more ? newestByProbing(hint + 1, has) : hint;
  };
  const [head, floor] = await Promise.all([probe(), floorLsn?.() ?? 0]);
  // Below the floor a log ends where it was collected, or goes on to what a writer who slept created there.
  return (floor > head ? await newestByProbing(floor, has) : head) as Lsn;
}

/** Rewrites the hint; best effort, for readers of stores that cannot list. */
export async function writeHint(store: ObjectStore, volume: VolumeId, lsn: Lsn): Promise<void> {
  await store.put(headKey(volume), encodeHeadHint(lsn));
}

async function readHint(store: ObjectStore, volume: VolumeId, options: Signal): Promise<Lsn> {
  const bytes = await store.get(headKey(volume), options);
  return bytes === undefined ? (0 as Lsn) : (decodeHeadHint(bytes) ?? (0 as Lsn));
}

async function exists(store: ObjectStore, volume: VolumeId, lsn: number, options: Signal): Promise<boolean> {
  const first = await store.get(commitKey(volume, lsn as Lsn), {
    range: { offset: 0, length: 1 },
    ...options,
  });
  return first !== undefined;
}
