/** The log's figures: what each commit changed and where it lies. */
import { afterEach, describe, expect, it } from "vitest";
import { PageSet } from "../../src/format/page-set.ts";
import { coarseRanges, commitFiguresOf, RANGES_MAX } from "../../src/inspect/commit-figures.ts";
import { inspectVolume } from "../../src/inspect/inspection.ts";
import { MemoryObjectStore } from "../../src/remote/memory-store.ts";
import type { PageStore } from "../../src/store/page-store.ts";
import { openStore, randomBytes, WatchedStore } from "../store/support.ts";

const PAGE = 4096;
const stores: PageStore[] = [];

afterEach(async () => {
  await Promise.all(stores.splice(0).map((store) => store.close()));
});

async function volumeOf(remote = new MemoryObjectStore()) {
  const store = await openStore(remote);
  stores.push(store);
  return store.createVolume({ tag: "v" });
}

describe("commitFiguresOf", () => {
  it("tells of each commit, newest first, what it changed and where it lies", async () => {
    const volume = await volumeOf();
    await volume.write(0, randomBytes(600 * PAGE, 1));
    await volume.push();
    await volume.write(7 * PAGE, randomBytes(PAGE, 2));
    await volume.write(9 * PAGE, new Uint8Array(2 * PAGE));
    await volume.push();
    await volume.write(0, new Uint8Array(PAGE));
    await volume.push();
    const commits = await commitFiguresOf(volume, { limit: 10 });
    expect(commits.map(({ lsn }) => lsn)).toEqual([3, 2, 1]);
    const [zeroed, small, large] = commits;
    expect(zeroed).toMatchObject({
      pages: 1,
      zeroedPages: 1,
      placed: "none",
      segments: [],
      ranges: [[1, 1]],
    });
    expect(small).toMatchObject({
      ...{ pages: 3, zeroedPages: 2, placed: "inline", segmentCount: 1, blockPages: 1 },
      ranges: [
        [8, 8],
        [10, 11],
      ],
      segments: [{ id: null, firstPage: 8, lastPage: 8 }],
    });
    expect(large).toMatchObject({ pages: 600, placed: "segments", pageCount: 600, ranges: [[1, 600]] });
    expect(large!.segments[0]).toMatchObject({ firstPage: 1, lastPage: 600 });
    expect(large!.segments[0]!.id).toMatch(/^[0-9a-z]{26}$/);
    // Random bytes do not compress.
    expect(large!.storedBytes).toBeGreaterThan(600 * PAGE);
    expect(large!.segments[0]!.storedBytes).toBeLessThanOrEqual(large!.storedBytes);
    expect(JSON.parse(JSON.stringify(commits))).toEqual(commits);
  });

  it("stops at the limit, and asks nothing of the store for none", async () => {
    const { store: remote, cost } = watched();
    const volume = await volumeOf(remote as MemoryObjectStore);
    for (let i = 0; i < 5; i++) {
      await volume.write(i * PAGE, randomBytes(PAGE, i));
      await volume.push();
    }
    expect((await commitFiguresOf(volume, { limit: 2 })).map(({ lsn }) => lsn)).toEqual([5, 4]);
    expect(await cost(() => commitFiguresOf(volume, { limit: 0 }))).toEqual({ value: [], requests: [] });
    const inspection = await cost(() => inspectVolume(volume));
    expect(inspection.requests).toEqual([]);
    expect(inspection.value).toMatchObject({
      ...{ volume: volume.id, lsn: 5, localCommits: 0, byteLength: 5 * PAGE, commits: [] },
      lag: { state: "clean", lsn: 5, remoteLsn: 5, ahead: 0, behind: 0, pendingPush: false },
    });
  });

  it("is aborted by its signal", async () => {
    const volume = await volumeOf();
    await volume.write(0, randomBytes(PAGE, 1));
    await volume.push();
    const signal = AbortSignal.abort();
    await expect(commitFiguresOf(volume, { limit: 1, signal })).rejects.toMatchObject({ code: "aborted" });
  });
});

function watched() {
  const watchedStore = new WatchedStore();
  const cost = async <T>(work: () => Promise<T>) => {
    const { requests, value } = await watchedStore.cost(work);
    return { requests, value };
  };
  return { store: watchedStore.store, cost };
}

describe("coarseRanges", () => {
  it("keeps ranges that are few enough as they are", () => {
    expect(coarseRanges(PageSet.of([1, 2, 3, 9, 20]), 8)).toEqual({
      ranges: [
        [1, 3],
        [9, 9],
        [20, 20],
      ],
      blockPages: 1,
    });
    expect(coarseRanges(PageSet.empty, 8)).toEqual({ ranges: [], blockPages: 1 });
  });

  it("merges more of them into blocks that cover every page, and nothing that no block has", () => {
    const pages = Array.from({ length: 5000 }, (_, i) => 1 + i * 37);
    const { ranges, blockPages } = coarseRanges(PageSet.of(pages), RANGES_MAX);
    expect(ranges.length).toBeLessThanOrEqual(RANGES_MAX);
    for (const page of pages)
      expect(ranges.some(([first, last]) => first <= page && page <= last)).toBe(true);
    for (const [first, last] of ranges) {
      expect((first - 1) % blockPages).toBe(0);
      expect(last % blockPages).toBe(0);
    }
    // One step finer would have been too many.
    const blocks = new Set(pages.map((page) => Math.floor((page - 1) / (blockPages / 2))));
    expect(blocks.size).toBeGreaterThan(RANGES_MAX / 2);
  });
});
