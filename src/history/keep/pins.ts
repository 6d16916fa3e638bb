/**
 * What others rely on in a volume, as they wrote it down under its prefix: forks at their fork points, restores from the LSNs that they take pages back
 * to. A pin is an empty object, and counts from before its maker looked at the floor.
 */
import type { Lsn, VolumeId } from "../../base/brand.ts";
import { forksPrefix, parseForkKey, parseRestorePinKey, restoresPrefix } from "../../format/keys.ts";
import type { ObjectStore } from "../../remote/object-store.ts";
import { listedPages } from "./listed-pages.ts";

type Signal = { readonly signal?: AbortSignal };

export interface ForkPin {
  readonly key: string;
  readonly fork: VolumeId;
  /** The fork point, or what a restore of the fork goes back to. */
  readonly lsn: Lsn;
}

export interface RestorePin {
  readonly key: string;
  /** The commit that was to be made. */
  readonly lsn: Lsn;
  /** The state that it takes pages back to. */
  readonly from: Lsn;
}

export interface Pins {
  readonly forks: readonly ForkPin[];
  readonly restores: readonly RestorePin[];
}

export async function listPins(store: ObjectStore, volume: VolumeId, options: Signal = {}): Promise<Pins> {
  const forks: ForkPin[] = [];
  for await (const entries of listedPages(store, forksPrefix(volume), options)) {
    for (const { key } of entries) {
      const pin = parseForkKey(key);
      if (pin !== undefined) forks.push({ key, fork: pin.fork, lsn: pin.lsn });
    }
  }
  const restores: RestorePin[] = [];
  for await (const entries of listedPages(store, restoresPrefix(volume), options)) {
    for (const { key } of entries) {
      const pin = parseRestorePinKey(key);
      if (pin !== undefined) restores.push({ key, lsn: pin.lsn, from: pin.from });
    }
  }
  return { forks, restores };
}
