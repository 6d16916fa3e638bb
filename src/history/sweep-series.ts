/**
 * Superseded values of the series that grow by themselves. Settings and deletions are few, and are kept. The oldest go first, each before the next: what
 * is left has no gap, so that whoever asks for the number after the one that he knows is never told that there is none.
 */
import { decodeFloor } from "../format/floor-codec.ts";
import { floorKey, floorPrefix, leasesPrefix, parseSeriesKey } from "../format/keys.ts";
import type { ListEntry } from "../remote/object-store.ts";
import { listedPages } from "./listed-pages.ts";
import type { SweepContext } from "./sweep.ts";

/** So many of the newest stay, whatever their age. */
const NEWEST_KEPT = 10;
/** Whoever cannot list, or slept, looks for the newest floor from the one that he knows: for so long he finds it. */
export const FLOORS_KEPT_MS = 365 * 86_400_000;

export async function sweepSeries(sweep: SweepContext): Promise<void> {
  const { volume } = sweep.context.replica.manifest;
  await sweepOldest(sweep, floorPrefix(volume), (n) => isOldFloor(sweep, n));
  await sweepOldest(sweep, leasesPrefix(volume), async () => true);
}

async function sweepOldest(
  sweep: SweepContext,
  prefix: string,
  isOld: (n: number) => Promise<boolean>,
): Promise<void> {
  const { context, sweeper, signal } = sweep;
  const values: { readonly entry: ListEntry; readonly n: number }[] = [];
  for await (const entries of listedPages(context.remote, prefix, signal)) {
    for (const entry of entries) {
      const n = parseSeriesKey(prefix, entry.key);
      if (n !== undefined) values.push({ entry, n });
    }
  }
  for (const { entry, n } of values.slice(NEWEST_KEPT).reverse()) {
    if (!(await isOld(n))) return;
    await sweeper.take(entry, "others");
    await sweeper.flush();
  }
}

async function isOldFloor({ context, now, signal }: SweepContext, n: number): Promise<boolean> {
  const { volume } = context.replica.manifest;
  const bytes = await context.remote.get(floorKey(volume, n), signal);
  // Absent: another collection was faster.
  return (
    bytes === undefined || decodeFloor(bytes, context.codecs.hash, { volume, n }).time + FLOORS_KEPT_MS < now
  );
}
