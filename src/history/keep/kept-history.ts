/** What is kept of a volume's history, in figures, as its newest floor and the checkpoint to open from say. */
import type { Lsn, TimeMs } from "../../base/brand.ts";
import { segmentPages } from "../../format/checkpoint-codec.ts";
import type { ReplicaContext } from "../../replicate/context.ts";
import { checkpointUpTo, fetchCheckpoint, newestFloor } from "../../replicate/floor.ts";

/** A state that a checkpoint holds. */
export interface KeptState {
  readonly lsn: Lsn;
  /** Of its commit. */
  readonly time: TimeMs;
}

export interface KeptHistory {
  /** Every state from `lsn` on is kept; 0: all are. `n` floors there were so far. Undefined where nothing was ever compacted or collected. */
  readonly floor: { readonly n: number; readonly lsn: Lsn; readonly time: TimeMs } | undefined;
  /** States below the floor that are kept all the same, rising. */
  readonly below: readonly KeptState[];
  /** Checkpoints from the floor on, rising: others are opened from them. */
  readonly checkpoints: readonly KeptState[];
  /** The segments that the newest of them reads from; `livePages` of the `pages` in them are those that it shows. */
  readonly segments: {
    readonly count: number;
    readonly bytes: number;
    readonly pages: number;
    readonly livePages: number;
  };
}

/** One request where the floor has not moved; the checkpoint, where it is not at hand. */
export async function keptHistory(
  context: ReplicaContext,
  options: { readonly signal?: AbortSignal } = {},
): Promise<KeptHistory> {
  const found = await newestFloor(context, options);
  const all = (found?.checkpoints ?? []).map(({ lsn, time }) => ({ lsn, time }));
  const lowest = found?.lsn ?? 0;
  return {
    floor: found === undefined ? undefined : { n: found.n, lsn: found.lsn, time: found.time },
    below: all.filter(({ lsn }) => lsn < lowest),
    checkpoints: all.filter(({ lsn }) => lsn >= lowest),
    segments: await segmentsOf(context, found, options),
  };
}

async function segmentsOf(
  context: ReplicaContext,
  floor: Awaited<ReturnType<typeof newestFloor>>,
  options: { readonly signal?: AbortSignal },
): Promise<KeptHistory["segments"]> {
  const { manifest, state } = context.replica;
  const newest = checkpointUpTo(floor, state.base.lsn);
  const loaded = newest && (await fetchCheckpoint(context, { volume: manifest.volume, ...newest }, options));
  const sum = { count: 0, bytes: 0, pages: 0, livePages: 0 };
  for (const segment of loaded?.checkpoint.segments ?? []) {
    sum.count++;
    sum.bytes += segment.ref.length;
    sum.pages += segmentPages(segment);
    sum.livePages += segment.pages.size;
  }
  return sum;
}
