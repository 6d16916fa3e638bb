/** Memory of a collection does not grow with what there is: a million objects, as a store that makes up its listings shows them. */
import { describe, expect, it } from "vitest";
import type { Lsn, SegmentId, VolumeId } from "../../src/base/brand.ts";
import {
  commitKey,
  commitsPrefix,
  parseComplement,
  segmentKey,
  segmentsPrefix,
} from "../../src/format/keys.ts";
import { Protection } from "../../src/history/collect/protect.ts";
import { SegmentNames } from "../../src/history/collect/segment-names.ts";
import { sweepVolume } from "../../src/history/collect/sweep.ts";
import { Sweeper } from "../../src/history/collect/sweeper.ts";
import type { ListEntry, ObjectStore } from "../../src/remote/object-store.ts";
import type { ReplicaContext } from "../../src/replicate/context.ts";
import { someId } from "../format/support.ts";
import { onDemand } from "../more.ts";
import { codecs } from "../store/support.ts";

const MiB = 2 ** 20;

describe("names of segments", () => {
  it("are found, those of commits apart from those of compactions, in 28 bytes each", () => {
    const names = new SegmentNames();
    const id = (n: number) => someId<SegmentId>(n);
    for (let n = 0; n < 3000; n++)
      names.add({ kind: n % 2 === 0 ? "commit" : "compacted", number: n * 2 ** 33, id: id(n) });
    names.seal();
    for (let n = 0; n < 3000; n++) {
      const isCommit = n % 2 === 0;
      expect(names.has({ kind: isCommit ? "commit" : "compacted", number: n * 2 ** 33, id: id(n) })).toBe(
        true,
      );
      expect(names.has({ kind: isCommit ? "compacted" : "commit", number: n * 2 ** 33, id: id(n) })).toBe(
        false,
      );
      expect(names.has({ kind: isCommit ? "commit" : "compacted", number: n * 2 ** 33 + 1, id: id(n) })).toBe(
        false,
      );
    }
    names.add({ kind: "commit", number: 7, id: id(1) });
    expect(names.seal().has({ kind: "commit", number: 7, id: id(1) })).toBe(true);
  });
});

describe("a sweep", () => {
  it("deletes all of many pages of listings", async () => {
    await sweepMadeUp(5300);
  });

  it("of a million objects takes at most 200 MB", { timeout: 600_000 }, async (context) => {
    onDemand(context);
    expect(await sweepMadeUp(500_000)).toBeLessThan(200 * MiB);
  });
});

/** Sweeps so many commits, and as many segments; answers by how much memory grew meanwhile at most. */
async function sweepMadeUp(each: number): Promise<number> {
  const volume = someId<VolumeId>(5);
  const store = madeUp(volume, each);
  // All that a sweep takes from its context, of a volume that is no fork.
  const parts: unknown = { replica: { manifest: { volume, ancestors: [] } }, remote: store, codecs };
  const context = parts as ReplicaContext;
  const protection = await Protection.by(context, [], {});
  globalThis.gc?.();
  const before = process.memoryUsage().rss;
  let most = before;
  const sweeper = new Sweeper(store, {
    dryRun: false,
    onProgress: () => {
      most = Math.max(most, process.memoryUsage().rss);
    },
    beforeBatch: async () => {},
  });
  const pins = { forks: [], restores: [] };
  const onSkipped = (why: string) => expect.fail(why);
  const lowest = (each + 1) as Lsn;
  const scope = {
    context,
    lowest,
    top: undefined,
    newestFloor: 1,
    protection,
    pins,
    now: 0,
    sweeper,
    signal: {},
    onSkipped,
  };
  await sweepVolume(scope, async () => {});
  expect(sweeper.counts).toMatchObject({ commits: each, segments: each });
  expect(sweeper.bytes).toBe(2 * each * 100);
  expect(store.count).toBe(2 * each);
  return most - before;
}

/** A store that makes its listings up: as many commits and segments, of which none is kept in memory. */
function madeUp(volume: VolumeId, each: number) {
  const ids = Array.from({ length: 64 }, (_, i) => someId<SegmentId>(100 + i));
  const list: ObjectStore["list"] = async (prefix, { startAfter = "", limit = 1000 } = {}) => {
    const isCommit = prefix === commitsPrefix(volume);
    if (!isCommit && prefix !== segmentsPrefix(volume)) return [];
    const passed = parseComplement(startAfter.slice(prefix.length, prefix.length + 16)) ?? each + 1;
    const entries: ListEntry[] = [];
    for (let lsn = Math.min(passed, each + 1) - 1; lsn >= 1 && entries.length < limit; lsn--) {
      const at = lsn as Lsn;
      const key = isCommit ? commitKey(volume, at) : segmentKey(volume, at, ids[lsn % ids.length]!);
      entries.push({ key, size: 100 });
    }
    return entries;
  };
  const store = {
    url: "made-up:",
    capabilities: { write: true, list: true, conditionalCreate: "yes" } as const,
    count: 0,
    list,
    get: async () => undefined,
    put: async () => "created" as const,
    delete: async (keys: readonly string[]) => {
      store.count += keys.length;
    },
    close: async () => {},
  };
  return store;
}
