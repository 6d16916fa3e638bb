/** Finding the commit of a time: equal to looking at all of them, at the price of a few, and nothing believed unproven. */
import { describe, expect, it } from "vitest";
import type { Lsn } from "../../src/base/brand.ts";
import { commitKey } from "../../src/format/keys.ts";
import { MemoryObjectStore } from "../../src/remote/memory-store.ts";
import { seededRandom } from "../local/xxh64.ts";
import { expectSame, failure, openStore, testSeed, textBytes, WatchedStore } from "../store/support.ts";
import { LogBuilder } from "./log-builder.ts";

const LENGTH = 300;
const objects = new MemoryObjectStore();
const builder = await LogBuilder.create({ store: objects });
/** times[lsn - 1]; many commits share a millisecond. */
const times: number[] = [];
const random = seededRandom(testSeed);
while (times.length < LENGTH) {
  if (random() < 0.5) builder.runtime.advance(Math.ceil(random() * 5000));
  await builder.grow(1);
  times.push(builder.state.time);
}
const first = times[0]!;

function newestAt(time: number): number {
  return times.findLastIndex((each) => each <= time) + 1;
}

/** An LSN that a search for its time must end at, and that opening the volume does not need. */
function visited(): Lsn {
  for (let lsn = 102; lsn < LENGTH; lsn += 4) if (times[lsn]! > times[lsn - 1]!) return lsn as Lsn;
  throw new Error("every commit shares its time with the next");
}

async function openAt(lsn: number, store: MemoryObjectStore = objects) {
  const own = store.clone();
  const newer = Array.from({ length: LENGTH - lsn }, (_, i) =>
    commitKey(builder.volume, (lsn + 1 + i) as Lsn),
  );
  await own.delete(newer);
  const watched = new WatchedStore(own);
  const pages = await openStore(watched.store, { runtime: watched.runtime });
  return { watched, volume: await pages.volume(builder.volume) };
}

describe("the newest commit at a time", () => {
  it("is the one that a look at all of them finds, for logs of any length", async () => {
    for (const length of [1, 2, 3, 7, 8, 63, 64, 65, 100, 255, 256, LENGTH]) {
      const { volume } = await openAt(length);
      const asked = new Set(
        Array.from({ length: 25 }, () => times[Math.floor(random() * length)]!).flatMap((t) => [t, t + 1]),
      );
      for (const time of [...asked, times[length - 1]! + 1e9]) {
        const snapshot = await volume.at(new Date(time));
        expect(snapshot.lsn, `of ${length} at ${time}`).toBe(Math.min(length, newestAt(time)));
        snapshot.close();
      }
    }
  });

  it("costs O(log n) requests", async () => {
    for (let i = 0; i < 12; i++) {
      const { volume, watched } = await openAt(LENGTH);
      const time = times[Math.floor(random() * LENGTH)]!;
      const search = await watched.cost(() => volume.at(new Date(time)));
      // 2·log2(300) for the search, and as many again for the state; the way to the newest is known already.
      expect(search.requests.length).toBeLessThanOrEqual(4 * Math.ceil(Math.log2(LENGTH)));
      const again = await watched.cost(() => volume.at(new Date(time)));
      expect(again.requests, "all of it is known now").toEqual([]);
    }
  });

  it("shows the content of then, without local commits", async () => {
    const store = await openStore(new MemoryObjectStore(), { runtime: builder.runtime });
    const volume = await store.createVolume({ pageSize: 512 });
    await volume.write(0, textBytes(3000, 1));
    await volume.push();
    const then = builder.runtime.now();
    builder.runtime.advance(60_000);
    await volume.write(700, textBytes(900, 2));
    await volume.push();
    await volume.write(0, textBytes(10, 3));
    const snapshot = await volume.at(new Date(then + 59_999));
    expectSame(await snapshot.read(0, 1e9), textBytes(3000, 1), "invariant 1");
    expect(snapshot.localCommits).toBe(0);
  });

  it("before the first commit there is none, and the error names its time", async () => {
    const { volume } = await openAt(100);
    const error = await failure(volume.at(new Date(first - 1)), "not_found");
    expect(error.message).toContain(new Date(first).toISOString());
    expect(error.details).toMatchObject({ volume: builder.volume, oldest: first });
  });

  it("an empty volume has none, an invalid Date is the caller's mistake", async () => {
    const store = await openStore(new MemoryObjectStore());
    const volume = await store.createVolume();
    expect((await failure(volume.at(new Date()), "not_found")).message).toContain("no commit yet");
    await failure(volume.at(new Date("soon")), "invalid");
  });

  it("invariant 7: a commit that the log does not name is not believed", async () => {
    const mixed = objects.clone();
    const swapped = visited();
    const other = await LogBuilder.create({ seed: 7, store: new MemoryObjectStore() });
    await other.grow(swapped);
    const stored = (await other.store.get(commitKey(other.volume, swapped)))!;
    await mixed.delete([commitKey(builder.volume, swapped)]);
    await mixed.put(commitKey(builder.volume, swapped), stored);
    const { volume } = await openAt(LENGTH, mixed);
    const error = await failure(volume.at(new Date(times[swapped - 1]!)), "corrupt");
    expect(error.details).toMatchObject({ lsn: swapped });
  });

  it("invariant 7: nor one of this very volume at another's place", async () => {
    const mixed = objects.clone();
    // Another history of the same volume: the same ids, other hashes.
    const twin = await LogBuilder.create({ store: new MemoryObjectStore() });
    expect(twin.volume).toBe(builder.volume);
    const lsn = visited();
    await twin.grow(lsn, 50);
    const stored = (await twin.store.get(commitKey(twin.volume, lsn)))!;
    await mixed.delete([commitKey(builder.volume, lsn)]);
    await mixed.put(commitKey(builder.volume, lsn), stored);
    const { volume } = await openAt(LENGTH, mixed);
    const error = await failure(volume.at(new Date(times[lsn - 1]!)), "corrupt");
    expect(error.details).toMatchObject({ lsn });
  });
});
