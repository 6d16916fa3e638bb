/**
 * Superseded leases: the only series that grows by itself and tells nothing afterwards. Floors are kept, as settings and deletions are: they are small, and
 * where a store cannot list, the newest is found by asking for 1, 2, 4 …. The oldest go first, each before the next, so that what is left has no gap:
 * whoever asks for the number after the one that he knows is never told that there is none.
 */
import { leasesPrefix, parseSeriesKey } from "../../format/keys.ts";
import type { ListEntry } from "../../remote/object-store.ts";
import { listedPages } from "../keep/listed-pages.ts";
import type { SweepContext } from "./sweep.ts";

/** So many of the newest stay, whatever their age. */
const NEWEST_KEPT = 10;

export async function sweepSeries({ context, sweeper, signal }: SweepContext): Promise<void> {
  const prefix = leasesPrefix(context.replica.manifest.volume);
  const leases: ListEntry[] = [];
  for await (const entries of listedPages(context.remote, prefix, signal)) {
    for (const entry of entries) if (parseSeriesKey(prefix, entry.key) !== undefined) leases.push(entry);
  }
  for (const lease of leases.slice(NEWEST_KEPT).reverse()) {
    await sweeper.take(lease, "others");
    await sweeper.flush();
  }
}
