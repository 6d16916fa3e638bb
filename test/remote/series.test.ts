/** The newest of a series: told by asking for numbers, in few requests, wherever a listing or a memory says to begin. */
import { describe, expect, it } from "vitest";
import type { VolumeId } from "../../src/base/brand.ts";
import { floorKey, floorPrefix } from "../../src/format/keys.ts";
import { MemoryObjectStore } from "../../src/remote/memory-store.ts";
import { type Numbered, newestByProbing, searchNewest } from "../../src/remote/newest-by-probing.ts";
import type { ObjectStore } from "../../src/remote/object-store.ts";
import { newerInSeries, newestInSeries, type Series } from "../../src/remote/series.ts";
import { someId } from "../format/support.ts";
import { CountedStore } from "../history/counted-store.ts";

/** What a search asks for where so many are there, in batches. */
function searched(known: number, there: number, widths: readonly number[]) {
  const asked: (readonly number[])[] = [];
  const search = searchNewest<string>(known, widths);
  let step = search.next();
  while (!step.done) {
    asked.push(step.value);
    step = search.next(step.value.map((n) => (n <= there ? `value ${n}` : undefined)));
  }
  return { asked, found: step.value };
}

describe("a search for the newest", () => {
  it("finds it from anywhere, asking for no number twice", () => {
    for (const widths of [[1], [2], [1, 2]]) {
      for (const known of [0, 1, 7]) {
        for (let there = known; there < known + 70; there++) {
          const { asked, found } = searched(known, there, widths);
          const expected: Numbered<string> = { n: there, value: `value ${there}` };
          expect(found).toEqual(there === known ? undefined : expected);
          const numbers = asked.flat();
          expect(new Set(numbers).size).toBe(numbers.length);
          // That the next is absent is what makes it the newest.
          expect(numbers).toContain(there + 1);
        }
      }
    }
  });

  it.each([
    { widths: [1], name: "one by one", requests: [1, 3, 3, 5, 5, 5, 5, 7, 7, 7, 7, 7, 7, 7, 7, 9] },
    {
      widths: [1, 2],
      name: "one, then two",
      requests: [1, 3, 3, 5, 5, 7, 7, 7, 7, 9, 9, 9, 9, 9, 9, 9, 9, 11],
    },
    { widths: [2], name: "two", requests: [2, 2, 4, 4, 6, 6, 6, 6, 8, 8, 8, 8, 8, 8, 8, 8, 10] },
  ])("by how many it grew decides the requests: $name", ({ widths, requests }) => {
    expect(requests.map((_, grown) => searched(5, 5 + grown, widths).asked.flat().length)).toEqual(requests);
  });

  it("asks for two at once where that saves a round trip", () => {
    expect(searched(4, 4, [1, 2]).asked).toEqual([[5]]);
    expect(searched(4, 6, [1, 2]).asked).toEqual([[5], [6, 7]]);
    expect(searched(4, 6, [1]).asked).toEqual([[5], [7], [6]]);
    expect(searched(4, 5, [2]).asked).toEqual([[5, 6]]);
  });

  it("needs no values", async () => {
    for (const there of [0, 1, 2, 3, 30])
      expect(await newestByProbing(0, async (n) => n <= there)).toBe(there);
    expect(await newestByProbing(9, async (n) => n <= 20)).toBe(20);
  });
});

const volume = someId<VolumeId>(1);
const series: Series = { prefix: floorPrefix(volume), key: (n) => floorKey(volume, n) };

/** A series of so many values. */
async function grown(length: number): Promise<MemoryObjectStore> {
  const store = new MemoryObjectStore();
  for (let n = 1; n <= length; n++) await store.put(series.key(n), new Uint8Array([n]));
  return store;
}

const value = (n: number) => ({ n, bytes: new Uint8Array([n]) });

/** Its listing shows nothing above a number. */
function lagging(store: ObjectStore, shown: number): ObjectStore {
  const list: ObjectStore["list"] = async (...args) =>
    (await store.list(...args)).filter(({ key }) => key >= series.key(shown));
  return { ...new CountedStore(store).store, list };
}

describe("the newest of a series", () => {
  it("is a listing and one round trip away", async () => {
    const counted = new CountedStore(await grown(40));
    const cost = await counted.cost(() => newestInSeries(counted.store, series));
    expect(cost).toMatchObject({ value: value(40), list: 1, get: 2, roundTrips: 2 });
    const empty = new CountedStore(new MemoryObjectStore());
    const none = await empty.cost(() => newestInSeries(empty.store, series));
    expect(none).toMatchObject({ value: undefined, list: 1, get: 1, roundTrips: 2 });
  });

  it("is no older than it is, however far a listing lags behind", async () => {
    const store = await grown(40);
    for (const shown of [0, 1, 17, 38, 39, 40])
      expect(await newestInSeries(lagging(store, shown), series)).toEqual(value(40));
  });

  it("is asked for without a listing from a number that was seen", async () => {
    const counted = new CountedStore(await grown(40));
    for (const [known, gets, roundTrips] of [
      [40, 2, 1],
      [39, 4, 2],
      [38, 4, 2],
    ] as const) {
      const cost = await counted.cost(() => newestInSeries(counted.store, series, known));
      expect(cost).toMatchObject({ value: value(40), list: 0, get: gets, roundTrips });
    }
  });

  it("is one request away for whoever has the value that was the newest", async () => {
    const counted = new CountedStore(await grown(40));
    for (const [known, gets, roundTrips] of [
      [40, 1, 1],
      [39, 3, 2],
      [38, 3, 2],
      [37, 5, 4],
    ] as const) {
      const cost = await counted.cost(() => newerInSeries(counted.store, series, known));
      expect(cost).toMatchObject({ list: 0, get: gets, roundTrips });
      expect(cost.value).toEqual(known === 40 ? undefined : value(40));
    }
  });

  it("is none where a listing shows what is gone, which is asked for once", async () => {
    const store = await grown(3);
    const entries = await store.list(series.prefix);
    await store.delete(entries.map(({ key }) => key));
    const stale = { ...new CountedStore(store).store, list: async () => entries };
    const counted = new CountedStore(stale);
    const cost = await counted.cost(() => newestInSeries(counted.store, series));
    expect(cost).toMatchObject({ value: undefined, get: 2, list: 1 });
  });
});
