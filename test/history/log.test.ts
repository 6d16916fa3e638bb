/** The log by time, by LSN and by page: equal to looking at all of it, at the price of what is found. */
import { describe, expect, it } from "vitest";
import type { Lsn } from "../../src/base/brand.ts";
import { commitKey } from "../../src/format/keys.ts";
import type { LogOptions } from "../../src/history/travel/log-filter.ts";
import { MemoryObjectStore } from "../../src/remote/memory-store.ts";
import type { LogEntry } from "../../src/replicate/past.ts";
import type { Volume } from "../../src/store/volume.ts";
import { seededRandom } from "../local/xxh64.ts";
import { LogBuilder } from "../replicate/log-builder.ts";
import { SimRuntime } from "../sim/runtime.ts";
import { failure, openStore, testSeed, WatchedStore } from "../store/support.ts";

const LENGTH = 400;
const objects = new MemoryObjectStore();
const builder = await LogBuilder.create({ store: objects });
const random = seededRandom(testSeed);
/** Many commits share a millisecond; page 300 is written once, and page 200 now and then. */
for (let i = 0; i < LENGTH; i++) {
  if (random() < 0.5) builder.runtime.advance(Math.ceil(random() * 5000));
  const pages = i === 40 ? [1, 300] : i % 90 === 7 ? [200] : [1 + Math.floor(random() * 150)];
  await builder.commit(pages, (page, bytes) => bytes.fill(1 + ((page + i) % 250)));
}

async function lsns(volume: Volume, options: LogOptions = {}): Promise<number[]> {
  return (await entries(volume, options)).map(({ lsn }) => lsn);
}

async function entries(volume: Volume, options: LogOptions = {}): Promise<LogEntry[]> {
  const found: LogEntry[] = [];
  for await (const entry of volume.log(options)) found.push(entry);
  return found;
}

async function open() {
  const watched = new WatchedStore(objects);
  const store = await openStore(watched.store, { runtime: watched.runtime });
  return { watched, volume: await store.volume(builder.volume) };
}

describe("the log", () => {
  it("between two points is what a look at all of it finds", async () => {
    const { volume } = await open();
    const all = await entries(volume);
    expect(all.map(({ lsn }) => lsn)).toEqual(Array.from({ length: LENGTH }, (_, i) => LENGTH - i));
    const point = (): number | Date => {
      const entry = all[Math.floor(random() * LENGTH)]!;
      return random() < 0.5 ? entry.lsn : new Date(entry.time + Math.floor(random() * 3) - 1);
    };
    const isFrom = (entry: LogEntry, since: number | Date): boolean =>
      typeof since === "number" ? entry.lsn >= since : entry.time >= since.getTime();
    const isTo = (entry: LogEntry, until: number | Date): boolean =>
      typeof until === "number" ? entry.lsn <= until : entry.time <= until.getTime();
    for (let i = 0; i < 60; i++) {
      const options = {
        ...(random() < 0.8 ? { since: point() } : {}),
        ...(random() < 0.8 ? { until: point() } : {}),
        ...(random() < 0.3 ? { limit: Math.floor(random() * 20) } : {}),
        ...(random() < 0.3 ? { page: 1 + Math.floor(random() * 160) } : {}),
      };
      const expected = all.filter(
        (entry) =>
          isFrom(entry, options.since ?? 0) &&
          isTo(entry, options.until ?? LENGTH) &&
          (options.page === undefined || entry.changed.has(options.page)),
      );
      expect(await entries(volume, options), JSON.stringify(options)).toEqual(
        expected.slice(0, options.limit),
      );
    }
  });

  it("is empty before the first commit, and for points beyond the newest it is what there is", async () => {
    const { volume } = await open();
    expect(await lsns(volume, { until: new Date(0) })).toEqual([]);
    expect(await lsns(volume, { until: 0 })).toEqual([]);
    expect(await lsns(volume, { since: LENGTH + 1 })).toEqual([]);
    expect(await lsns(volume, { since: new Date(8e15) })).toEqual([]);
    expect(await lsns(volume, { since: LENGTH - 1, until: LENGTH + 9 })).toEqual([LENGTH, LENGTH - 1]);
    expect(await lsns(volume, { since: 9, until: 8 })).toEqual([]);
    expect(await lsns(volume, { limit: 0 })).toEqual([]);
  });

  it("of points, pages and limits that are none is refused", async () => {
    const { volume } = await open();
    for (const options of [
      ...[{ since: -1 }, { until: 1.5 }, { since: new Date("soon") }, { until: Number.NaN }],
      ...[{ page: 0 }, { page: 2.5 }, { limit: -1 }],
    ])
      await failure(entries(volume, options), "invalid");
  });

  it("to a time costs O(log n) requests, not a walk", async () => {
    const { volume, watched } = await open();
    const { time } = (await entries((await open()).volume, { since: 30, limit: 1, until: 30 }))[0]!;
    const { requests } = await watched.cost(() => lsns(volume, { until: new Date(time), limit: 1 }));
    expect(requests.length).toBeLessThanOrEqual(4 * Math.ceil(Math.log2(LENGTH)));
  });

  it("of a page costs O(log n) requests for each commit that wrote it", async () => {
    const each = 3 * Math.ceil(Math.log2(LENGTH)) + 1;
    const once = await open();
    const first = await once.watched.cost(() => lsns(once.volume, { page: 300 }));
    expect(first.value).toEqual([41]);
    expect(first.requests.length).toBeLessThanOrEqual(2 * each);
    const more = await open();
    const second = await more.watched.cost(() => lsns(more.volume, { page: 200 }));
    expect(second.value).toEqual([368, 278, 188, 98, 8]);
    expect(second.requests.length).toBeLessThanOrEqual(6 * each);
    const never = await open();
    const none = await never.watched.cost(() => lsns(never.volume, { page: 250 }));
    expect(none.value).toEqual([]);
    expect(none.requests.length).toBeLessThanOrEqual(each);
    // Its end is told without looking on.
    const newest = await open();
    const { requests } = await newest.watched.cost(() => lsns(newest.volume, { page: 200, limit: 1 }));
    expect(requests.length).toBeLessThanOrEqual(each);
  });

  it("of a page ends where it was cut off; what was before is found from there", async () => {
    const volume = await (await openStore(new MemoryObjectStore())).createVolume({ pageSize: 512 });
    const page = (n: number) => ({ at: (n - 1) * 512, bytes: new Uint8Array(512).fill(n) });
    const write = async (n: number): Promise<void> => {
      await volume.write(page(n).at, page(n).bytes);
      await volume.push();
    };
    await write(4); // 1
    await write(3); // 2
    await volume.truncate(512);
    await volume.push(); // 3
    await write(2); // 4
    await write(4); // 5
    await volume.write(page(4).at, new Uint8Array(512));
    await volume.push(); // 6
    expect(await lsns(volume, { page: 4 })).toEqual([6, 5]);
    expect(await lsns(volume, { page: 4, until: 2 })).toEqual([1]);
    expect(await lsns(volume, { page: 4, until: 3 })).toEqual([]);
    expect(await lsns(volume, { page: 3 })).toEqual([]);
    expect(await lsns(volume, { page: 2 })).toEqual([4]);
  });

  it("has times that never decrease, whatever the writers' clocks say", async () => {
    const own = new MemoryObjectStore();
    const ahead = new SimRuntime(1);
    const behind = new SimRuntime(2);
    ahead.advance(7_200_000);
    const first = await (await openStore(own, { runtime: ahead })).createVolume({ tag: "docs" });
    await first.write(0, new Uint8Array(10).fill(1));
    await first.push();
    const then = ahead.now();
    // Its clock is two hours behind that of the other writer.
    const second = await (await openStore(own, { runtime: behind })).volume("docs");
    for (let i = 0; i < 3; i++) {
      behind.advance(1000);
      await second.write(20 * i, new Uint8Array(10).fill(2));
      await second.push();
    }
    expect(behind.now()).toBeLessThan(then);
    const times = (await entries(second)).map(({ time }) => time);
    expect(times).toEqual([...times].sort((a, b) => b - a));
    expect(times.at(-1)).toBeLessThanOrEqual(then);
    const { time } = (await entries(second, { until: 1 }))[0]!;
    expect(await lsns(second, { since: new Date(time) })).toEqual([4, 3, 2, 1]);
    expect(await lsns(second, { until: new Date(time - 1) })).toEqual([]);
    expect(await second.lsnAt(new Date(time))).toBe(4);
  });

  it("of a page has the restores that brought it back, whatever they brought it back to", async () => {
    for (let i = 0; i < 4; i++) {
      const random = seededRandom(testSeed + i);
      const upTo = (n: number): number => Math.floor(random() * n);
      const own = new MemoryObjectStore();
      const volume = await (await openStore(own)).createVolume({ pageSize: 512 });
      while (volume.status().lsn < 40) {
        if (random() < 0.3 && volume.status().lsn > 3) {
          await volume.restore({ at: 1 + upTo(volume.status().lsn - 1) });
        } else {
          await volume.write(upTo(6) * 512, new Uint8Array(512).fill(1 + upTo(200)));
          await volume.push();
        }
      }
      const reader = await (await openStore(own)).volume(volume.id);
      const all = await entries(reader);
      expect(all.some(({ restored }) => !restored.isEmpty)).toBe(true);
      for (let page = 1; page <= 6; page++) {
        const touching = all.filter(({ changed, zeroed, restored }) =>
          [changed, zeroed, restored].some((pages) => pages.has(page)),
        );
        // A restore of a shorter state cuts the page off.
        const end = all.findIndex(({ pageCount }) => pageCount < page);
        const oldest = end === -1 ? 0 : all[end]!.lsn;
        const expected = touching.map(({ lsn }) => lsn).filter((lsn) => lsn > oldest);
        expect(await lsns(reader, { page }), `seed ${testSeed + i}, page ${page}`).toEqual(expected);
      }
    }
  });

  it("below the floor is what the retention keeps", async () => {
    const own = new MemoryObjectStore();
    const runtime = new SimRuntime(9);
    const volume = await (await openStore(own, { runtime })).createVolume({ pageSize: 512 });
    for (let lsn = 1; lsn <= 70; lsn++) {
      await volume.write((lsn % 4) * 512, new Uint8Array(512).fill(lsn));
      await volume.push();
      runtime.advance(60_000);
    }
    await volume.setRetention({ all: "20m", keep: [10, 16, 31] });
    await volume.collect({ graceMs: 0 });
    runtime.advance(1);
    const { floor } = await volume.collect({ graceMs: 0 });
    expect(await own.get(commitKey(volume.id, 30 as Lsn)), "it was collected").toBeUndefined();
    const above = Array.from({ length: 70 - floor.after + 1 }, (_, i) => 70 - i);
    const kept = [31, 16, 10];
    const fresh = async (): Promise<Volume> => (await openStore(own, { runtime })).volume(volume.id);
    expect(await lsns(await fresh())).toEqual([...above, ...kept]);
    expect(await lsns(await fresh(), { until: 20 })).toEqual([16, 10]);
    expect(await lsns(await fresh(), { until: 31, limit: 2 })).toEqual([31, 16]);
    expect(await lsns(await fresh(), { limit: above.length + 1 })).toEqual([...above, 31]);
    expect(await lsns(await fresh(), { since: 12, until: 50 })).toEqual([
      ...above.filter((lsn) => lsn <= 50),
      ...[31, 16],
    ]);
    // LSNs 10, 14, 18 … wrote page 3, 16, 20 … page 1, 31, 35 … page 4.
    const everyFourth = (rest: number): number[] => above.filter((lsn) => lsn % 4 === rest);
    expect(await lsns(await fresh(), { page: 3 })).toEqual([...everyFourth(2), 10]);
    expect(await lsns(await fresh(), { page: 4 })).toEqual([...everyFourth(3), 31]);
    expect(await lsns(await fresh(), { page: 1, until: 40 })).toEqual([16]);
    expect(await lsns(await fresh(), { page: 2 })).toEqual(everyFourth(1));

    const { pages, gone } = await (await fresh()).diff(10, 31);
    expect([[...pages], [...gone]]).toEqual([[1, 2, 3, 4], []]);
    expect([...(await (await fresh()).diff(69, 70, { exact: true })).pages]).toEqual([3]);
    expect([...(await (await fresh()).diff(31, 70, { exact: true })).pages]).toEqual([1, 2, 3, 4]);
    const error = await failure((await fresh()).diff(30, 31), "not_found");
    expect(error.message).toContain("retention");
  });

  it("of a fork goes on in its ancestors, by time, by page, and for differences", async () => {
    const own = new MemoryObjectStore();
    const runtime = new SimRuntime(6);
    const store = await openStore(own, { runtime });
    let volume = await store.createVolume({ pageSize: 512 });
    const times: number[] = [];
    const grow = async (count: number): Promise<void> => {
      for (let i = 0; i < count; i++) {
        const lsn = volume.status().lsn + 1;
        await volume.write((lsn % 5) * 512, new Uint8Array(512).fill(lsn));
        await volume.push();
        times[lsn] = runtime.now();
        runtime.advance(60_000);
      }
    };
    await grow(11);
    for (const more of [9, 14]) {
      const fork = await store.fork(volume.id, { lsn: volume.status().lsn - 2 });
      // The parent goes on, too: none of it is the fork's.
      await grow(3);
      volume = fork;
      await grow(more);
    }
    const fork = await (await openStore(own, { runtime })).volume(volume.id);
    const newest = fork.status().lsn;
    const all = Array.from({ length: newest }, (_, i) => newest - i);
    expect(newest).toBe(11 - 2 + 9 - 2 + 14);
    expect(await lsns(fork)).toEqual(all);
    for (let page = 1; page <= 5; page++)
      expect(await lsns(fork, { page })).toEqual(all.filter((lsn) => lsn % 5 === page - 1));
    expect(await lsns(fork, { until: 8, limit: 2 })).toEqual([8, 7]);
    expect(await lsns(fork, { until: new Date(times[8]!), limit: 1 })).toEqual([8]);
    for (const [from, to] of [
      ...[[7, 9] as const, [8, 12] as const, [8, 18] as const],
      ...[[15, 17] as const, [29, newest] as const],
    ]) {
      const written = all.filter((lsn) => lsn > from && lsn <= to).map((lsn) => (lsn % 5) + 1);
      expect([...(await fork.diff(from, to)).pages], `${from} to ${to}`).toEqual(
        [...new Set(written)].sort((a, b) => a - b),
      );
    }
  });

  it("invariant 7: a commit that the log does not name is not believed, wherever it is looked up", async () => {
    // Another history of the same volume: the same ids, other hashes.
    const twin = await LogBuilder.create({ store: new MemoryObjectStore() });
    expect(twin.volume).toBe(builder.volume);
    await twin.grow(133);
    const swapped = async (lsn: number): Promise<Volume> => {
      const mixed = objects.clone();
      const key = commitKey(builder.volume, lsn as Lsn);
      const stored = (await twin.store.get(key))!;
      await mixed.delete([key]);
      await mixed.put(key, stored);
      return (await openStore(mixed)).volume(builder.volume);
    };
    for (const [lsn, look] of [
      [133, (volume: Volume) => entries(volume, { until: 133, limit: 1 })],
      [133, (volume: Volume) => volume.diff(133, LENGTH)],
      [133, (volume: Volume) => volume.diff(100, 133)],
      [41, (volume: Volume) => entries(volume, { page: 300 })],
    ] as const) {
      const error = await failure(look(await swapped(lsn)), "corrupt");
      expect(error.details).toMatchObject({ lsn });
    }
  });
});
