/** Differences between two states: what a look at all the bytes finds, whatever was written, cut off, grown and put back between; at the price of a few requests. */
import { describe, expect, it } from "vitest";
import { PageSet } from "../../src/format/page-set.ts";
import { compareTables } from "../../src/history/travel/diff.ts";
import { MemoryObjectStore } from "../../src/remote/memory-store.ts";
import type { Volume } from "../../src/store/volume.ts";
import { seededRandom } from "../local/xxh64.ts";
import { onDemand } from "../more.ts";
import { LogBuilder } from "../replicate/log-builder.ts";
import { failure, openStore, testSeed, WatchedStore } from "../store/support.ts";

const PAGE = 512;

/** Commits of all kinds: writes, zeros, the same bytes again, shrinks, growing, restores. */
async function randomHistory(
  seed: number,
  commits: number,
): Promise<{ objects: MemoryObjectStore; id: string }> {
  const objects = new MemoryObjectStore();
  const store = await openStore(objects);
  const volume = await store.createVolume({ pageSize: PAGE });
  const random = seededRandom(seed);
  const upTo = (n: number): number => Math.floor(random() * n);
  while (volume.status().lsn < commits) {
    const kind = random();
    const page = upTo(40);
    if (kind < 0.5) await volume.write(page * PAGE, new Uint8Array(PAGE).fill(1 + upTo(3)));
    else if (kind < 0.65) await volume.write(page * PAGE, new Uint8Array(2 * PAGE));
    else if (kind < 0.8) await volume.truncate(upTo(40 * PAGE));
    else await volume.write(page * PAGE + upTo(PAGE), new Uint8Array(upTo(3 * PAGE)).fill(7));
    if (random() < 0.15 && volume.status().ahead === 0)
      await volume.restore({ at: upTo(volume.status().lsn + 1) });
    // Sometimes several local commits are one of the log, so that a shrink hides within it.
    if (random() < 0.7) await volume.push();
  }
  await store.close();
  return { objects, id: volume.id };
}

async function contents(volume: Volume, lsn: number): Promise<Uint8Array[]> {
  const snapshot = await volume.at(lsn);
  const bytes = await snapshot.read(0, 1e9);
  const pages = Array.from({ length: snapshot.pageCount }, (_, i) => {
    const page = new Uint8Array(PAGE);
    page.set(bytes.subarray(i * PAGE, (i + 1) * PAGE));
    return page;
  });
  snapshot.close();
  return pages;
}

const zeros = new Uint8Array(PAGE);
const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;

async function checkAll(seed: number, commits: number): Promise<void> {
  const { objects, id } = await randomHistory(seed, commits);
  const volume = await (await openStore(objects)).volume(id);
  const states = [];
  for (let lsn = 0; lsn <= commits; lsn++) states.push(await contents(volume, lsn));
  for (let a = 0; a <= commits; a++) {
    for (let b = 0; b <= commits; b++) {
      const what = `seed ${seed}, ${a} to ${b}`;
      const [before, after] = [states[a]!, states[b]!];
      const differ = after.flatMap((page, i) => (same(page, before[i] ?? zeros) ? [] : [i + 1]));
      const exact = await volume.diff(a, b, { exact: true });
      expect([...exact.pages], what).toEqual(differ);
      expect([...exact.zeroed], what).toEqual(differ.filter((page) => same(after[page - 1]!, zeros)));

      const { pages, zeroed, gone, ...rest } = await volume.diff(a, b);
      expect(PageSet.of(differ).subtract(pages).size, `${what}: all that differ are among them`).toBe(0);
      const [x, y] = [await volume.at(a), await volume.at(b)];
      // The merged changes of the run, and the two page tables, say the same.
      const tables = compareTables(x.table, y.table, y.pageCount);
      expect([...pages], what).toEqual([...tables.pages]);
      expect([...zeroed], what).toEqual([...tables.zeroed]);
      expect([...gone], what).toEqual([...PageSet.range(after.length + 1, before.length)]);
      expect(rest).toEqual({
        ...{ from: a, to: b, exact: false, pageCountFrom: before.length, pageCountTo: after.length },
        ...{ byteLengthFrom: x.byteLength, byteLengthTo: y.byteLength },
      });
      x.close();
      y.close();
    }
  }
}

describe("the difference between two states", () => {
  it("is what their bytes say, in either direction", async () => {
    for (let i = 0; i < 3; i++) await checkAll(testSeed + i, 10);
  });

  it("the same for many histories", { timeout: 300_000 }, async (context) => {
    onDemand(context);
    for (let i = 0; i < 60; i++) await checkAll(testSeed + 100 + i, 20);
  });

  it("of points in time is that of the commits that were the newest then", async () => {
    const watched = new WatchedStore();
    const store = await openStore(watched.store, { runtime: watched.runtime });
    const volume = await store.createVolume({ pageSize: PAGE });
    const times: number[] = [];
    for (let i = 0; i < 3; i++) {
      await volume.write(i * PAGE, new Uint8Array(PAGE).fill(1));
      await volume.push();
      times.push(watched.runtime.now());
      watched.runtime.advance(60_000);
    }
    const { from, to, pages } = await volume.diff(new Date(times[0]!), new Date(times[2]! + 1));
    expect({ from, to, pages: [...pages] }).toEqual({ from: 1, to: 3, pages: [2, 3] });
    expect([...(await volume.diff(2, new Date(times[0]!))).gone]).toEqual([2]);
  });

  it("of points that there are not is refused, naming what there is", async () => {
    const volume = await (await openStore(new MemoryObjectStore())).createVolume();
    await volume.write(0, new Uint8Array(10).fill(1));
    await volume.push();
    expect((await failure(volume.diff(0, 2), "not_found")).message).toContain("its newest is 1");
    await failure(volume.diff(-1, 1), "invalid");
    await failure(volume.diff(0.5, 1), "invalid");
    await failure(volume.diff(new Date(0), 1), "not_found");
    expect((await volume.diff(0, 0)).pages.isEmpty).toBe(true);
  });

  it("costs O(log n) requests, and no page", async () => {
    const objects = new MemoryObjectStore();
    const builder = await LogBuilder.create({ store: objects });
    await builder.grow(500, 400);
    const most = 2 * Math.ceil(Math.log2(500));
    const cost = async (a: number, b: number, options = {}) => {
      const watched = new WatchedStore(objects);
      const volume = await (await openStore(watched.store, { runtime: watched.runtime })).volume(
        builder.volume,
      );
      const { requests, roundTrips } = await watched.cost(() => volume.diff(a, b, options));
      expect(volume.status().residentPages).toBe(0);
      return { requests: requests.length, roundTrips };
    };
    // Down to each point for its header, and the way between.
    for (const [a, b] of [
      [499, 500],
      [1, 500],
      [123, 317],
    ] as const) {
      const { requests, roundTrips } = await cost(a, b);
      expect(requests, `${a} to ${b}`).toBeLessThanOrEqual(3 * most);
      expect(roundTrips).toBeLessThanOrEqual(3);
    }
    expect((await cost(499, 500)).requests).toBeLessThanOrEqual(2);
  });

  it("exact asks the store for nothing where the pages are here", async () => {
    const watched = new WatchedStore();
    const store = await openStore(watched.store, { runtime: watched.runtime });
    const volume = await store.createVolume({ pageSize: PAGE });
    for (let i = 1; i <= 20; i++) {
      await volume.write((i % 5) * PAGE, new Uint8Array(PAGE).fill(1 + (i % 2)));
      await volume.push();
    }
    const { value, requests } = await watched.cost(() => volume.diff(7, 17, { exact: true }));
    expect([...value.pages]).toEqual([]);
    expect([...(await volume.diff(7, 17)).pages]).toEqual([1, 2, 3, 4, 5]);
    // What is asked for is the log, which this side did not keep.
    expect(requests.every(({ key }) => /\/commits\//.test(key))).toBe(true);
    const again = await watched.cost(() => volume.diff(7, 17, { exact: true }));
    expect(again.requests).toEqual([]);
  });
});
