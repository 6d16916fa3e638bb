/**
 * Collects a deleted volume, once the grace period has passed in which it can be undeleted: without pins everything goes; with pins what the forks do not
 * need. The deletion is announced as final first, so that nobody takes back what is only half there.
 */
import type { Lsn, TimeMs, VolumeId } from "../../base/brand.ts";
import { PagefoldError } from "../../base/errors.ts";
import type { Runtime } from "../../base/runtime.ts";
import type { Codecs } from "../../format/codecs.ts";
import { deletedPrefix, floorPrefix, manifestKey, volumePrefix } from "../../format/keys.ts";
import type { ObjectStore } from "../../remote/object-store.ts";
import { assertWritable } from "../../remote/writable.ts";
import { deletedState, recordDeletion } from "../delete/deleted.ts";
import { purgeDeleted } from "../delete/purge.ts";
import { parseDuration } from "../keep/duration.ts";
import { listedPages } from "../keep/listed-pages.ts";
import { listPins } from "../keep/pins.ts";
import type { CollectOptions, CollectResult } from "./collect.ts";
import { DEFAULT_GRACE_MS } from "./collect.ts";
import { noneSwept, type SweptKind } from "./sweeper.ts";

interface Parts {
  readonly store: ObjectStore;
  readonly codecs: Codecs;
  readonly runtime: Runtime;
}

/**
 * @param collectPinned collects the volume through a store that shows its manifest, for what its pins need alone
 * @throws `not_found` where there is no such volume, nor a deleted one; `invalid` for one that is not deleted
 */
export async function collectDeleted(
  { store, codecs, runtime }: Parts,
  volume: VolumeId,
  options: CollectOptions,
  collectPinned: (shown: ObjectStore, options: CollectOptions) => Promise<CollectResult>,
): Promise<CollectResult> {
  const graceMs = parseDuration(options.graceMs ?? DEFAULT_GRACE_MS, "the grace period");
  const signal = options.signal === undefined ? {} : { signal: options.signal };
  const dryRun = options.dryRun === true;
  const { state, last } = await deletedState(store, codecs, volume, signal);
  if (last === undefined || state === "live" || state === "undeleting") {
    const isThere = state === "live" || state === "undeleting";
    throw new PagefoldError(
      isThere ? "invalid" : "not_found",
      isThere
        ? `volume ${volume} is not deleted; collect it as itself`
        : `there is no volume ${volume} in ${store.url}, nor a deleted one`,
      { details: { volume } },
    );
  }
  const result = { ...nothing(volume), dryRun };
  const goesAt = (last.time + graceMs) as TimeMs;
  if (state === "deleted" && goesAt > runtime.now() && !dryRun) return { ...result, moreAt: goesAt };
  if (!dryRun) await assertWritable(store, runtime);
  const { forks } = await listPins(store, volume, signal);
  if (forks.length === 0) {
    const whole = await measure(store, volume, signal);
    if (!dryRun) await purgeDeleted(store, codecs, runtime, volume, signal);
    return { ...result, ...whole, moreAt: dryRun && goesAt > runtime.now() ? goesAt : undefined };
  }
  if (!dryRun && state === "deleted") {
    const { manifest, tags, n } = last;
    const final = { act: "purging" as const, time: runtime.now(), manifest, tags, n: n + 1 };
    await recordDeletion(store, codecs, volume, final, signal);
  }
  return collectPinned(showing(store, manifestKey(volume), last.manifest), options);
}

function nothing(volume: VolumeId): CollectResult {
  return {
    ...{ volume, dryRun: false, kept: [], dropped: [], missing: [], skipped: [] },
    floor: { before: 0 as Lsn, after: 0 as Lsn },
    ...{ deleted: noneSwept, bytesFreed: 0, bytesWritten: 0, moreAt: undefined },
  };
}

const KINDS: Readonly<Record<string, SweptKind>> = {
  ...{ commits: "commits", rollups: "rollups", segments: "segments" },
  ...{ checkpoints: "checkpoints", compacted: "compacted" },
};

/** All that a purge deletes: the objects that say so themselves, and the last floor, aside. */
async function measure(store: ObjectStore, volume: VolumeId, signal: { readonly signal?: AbortSignal }) {
  const deleted = { ...noneSwept } as { -readonly [kind in SweptKind]: number };
  let bytesFreed = 0;
  const prefix = volumePrefix(volume);
  for await (const entries of listedPages(store, prefix, signal)) {
    for (const { key, size } of entries) {
      if (key.startsWith(deletedPrefix(volume)) || key.startsWith(floorPrefix(volume))) continue;
      deleted[KINDS[key.slice(prefix.length).split("/")[0]!] ?? "others"]++;
      bytesFreed += size;
    }
  }
  return { deleted, bytesFreed };
}

/** The same store with one object more, which is not to be had there any longer. Closing it leaves the store open. */
function showing(store: ObjectStore, shown: string, bytes: Uint8Array): ObjectStore {
  return {
    url: store.url,
    capabilities: store.capabilities,
    get: async (key, options) => {
      if (key !== shown) return store.get(key, options);
      const { offset = 0, length = bytes.length } = options?.range ?? {};
      return bytes.slice(offset, offset + length);
    },
    put: (key, body, options) => store.put(key, body, options),
    list: (prefix, options) => store.list(prefix, options),
    delete: (keys, options) => store.delete(keys, options),
    close: async () => {},
  };
}
