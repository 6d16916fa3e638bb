/**
 * Finds the newest commit of a volume: by one listing where the store can list (keys are complemented, so the newest comes
 * first), else from the head hint, probing forward. The hint is never believed beyond what exists.
 */
import type { Lsn, VolumeId } from "../base/brand.ts";
import { decodeHeadHint, encodeHeadHint } from "../format/head-codec.ts";
import { commitKey, commitsPrefix, headKey, lsnOfCommitKey } from "../format/keys.ts";
import type { ObjectStore } from "../remote/object-store.ts";

type Signal = { readonly signal?: AbortSignal };

/** The LSN of the newest commit; 0 when there is none. `known` is a commit that is known to exist. */
export async function findHead(
  store: ObjectStore,
  volume: VolumeId,
  known: Lsn,
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
        if (lsn !== undefined) return lsn;
      }
      startAfter = found[found.length - 1]?.key;
      if (startAfter === undefined) return 0 as Lsn;
    }
  }
  const hint = await readHint(store, volume, options);
  const start = hint > known && (await exists(store, volume, hint, options)) ? hint : known;
  return probeForward(store, volume, start, options);
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

/** LSNs have no gaps: doubling finds a bound, bisection the end. */
async function probeForward(store: ObjectStore, volume: VolumeId, start: Lsn, options: Signal): Promise<Lsn> {
  let present: number = start;
  let step = 1;
  while (await exists(store, volume, present + step, options)) {
    present += step;
    step *= 2;
  }
  let absent = present + step;
  while (absent - present > 1) {
    const middle = present + Math.floor((absent - present) / 2);
    if (await exists(store, volume, middle, options)) present = middle;
    else absent = middle;
  }
  return present as Lsn;
}
