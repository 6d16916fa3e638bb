/** What it costs to open a volume and to catch up with it: requests and round trips for logs of 1, 100 and 10,000 commits. */
import { describe, expect, it } from "vitest";
import type { Lsn } from "../../src/base/brand.ts";
import { encodeHeadHint } from "../../src/format/head-codec.ts";
import { commitKey, commitsPrefix, headKey, rollupKey } from "../../src/format/keys.ts";
import { MemoryObjectStore } from "../../src/remote/memory-store.ts";
import type { ObjectStore } from "../../src/remote/object-store.ts";
import { expectSame, openStore, WatchedStore } from "../store/support.ts";
import { LogBuilder } from "./log-builder.ts";

/** Logs that stopped at some length, cheap copies of one that grows. */
const stopped = new Map<number, { objects: MemoryObjectStore; content: Uint8Array; checksum: bigint }>();
const objects = new MemoryObjectStore();
const builder = await LogBuilder.create({ store: objects });
for (const length of [1, 2, 100, 101, 1000, 9900, 9999, 10_000]) {
  await builder.grow(length - builder.state.lsn);
  stopped.set(length, {
    objects: objects.clone(),
    content: builder.content(),
    checksum: builder.stateChecksum,
  });
}

function at(length: number) {
  const log = stopped.get(length)!;
  return { ...log, objects: log.objects.clone() };
}

async function openWatched(store: ObjectStore) {
  const watched = new WatchedStore(store);
  const pages = await openStore(watched.store, { runtime: watched.runtime });
  return { watched, pages };
}

describe("opening cold, from a volume id", () => {
  for (const [length, most] of [
    [1, 6],
    [100, 6],
    [1000, 10],
    [9999, 20],
    [10_000, 14],
  ] as const) {
    it(`${length} commits: at most ${most} requests in at most 3 round trips`, async () => {
      const log = at(length);
      const { watched, pages } = await openWatched(log.objects);
      const { requests, roundTrips, value } = await watched.cost(() => pages.volume(builder.volume));
      expect(requests.length).toBeLessThanOrEqual(most);
      expect(roundTrips).toBeLessThanOrEqual(3);
      expect(value.status()).toMatchObject({ lsn: length, state: "clean" });
      expect(value.stateChecksum).toBe(log.checksum);
      expectSame(await value.read(0, 1e9), log.content, "invariant 6: the content");
    });
  }
});

describe("catching up", () => {
  for (const [from, to, most] of [
    [1, 2, 3],
    [9999, 10_000, 3],
    [1, 101, 12],
    [9900, 10_000, 12],
    [1, 10_000, 21],
    [2, 9999, 26],
  ] as const) {
    it(`from ${from} to ${to}: at most ${most} requests in at most 2 round trips`, async () => {
      const { objects: store } = at(from);
      const { watched, pages } = await openWatched(store);
      const volume = await pages.volume(builder.volume);
      const held = volume.snapshot();
      await copyCommits(at(to).objects, store);
      const { requests, roundTrips, value } = await watched.cost(() => volume.pull());
      expect(value).toMatchObject({ from, to });
      expect(requests.length).toBeLessThanOrEqual(most);
      expect(roundTrips).toBeLessThanOrEqual(2);
      expectSame(await volume.read(0, 1e9), at(to).content, "the new state");
      expectSame(await held.read(0, 1e9), at(from).content, "invariant 1: the old snapshot");
    });
  }

  it("costs one request when nothing is new and the base was confirmed", async () => {
    const { watched, pages } = await openWatched(at(100).objects);
    const volume = await pages.volume(builder.volume);
    const { requests } = await watched.cost(() => volume.fetch());
    expect(requests.map(({ operation }) => operation)).toEqual(["list"]);
  });
});

describe("invariant 8: what can be rebuilt is a cache", () => {
  /** A store that cannot list: the head is found from the hint and by probing. */
  function withoutList(store: MemoryObjectStore): ObjectStore {
    return {
      url: store.url,
      capabilities: { ...store.capabilities, list: false },
      get: (key, options) => store.get(key, options),
      put: (key, body, options) => store.put(key, body, options),
      list: () => Promise.reject(new Error("listed all the same")),
      delete: (keys) => store.delete(keys),
      close: () => store.close(),
    };
  }

  const hints: readonly [string, Uint8Array | undefined][] = [
    ["no hint", undefined],
    ["a true hint", encodeHeadHint(1000 as Lsn)],
    ["a stale hint", encodeHeadHint(3 as Lsn)],
    ["a lying hint", encodeHeadHint(5_000_000 as Lsn)],
    ["a damaged hint", new Uint8Array([1, 2, 3])],
  ];
  for (const [name, hint] of hints) {
    it(`the head of a store without a listing: ${name}`, async () => {
      const log = at(1000);
      await log.objects.delete([headKey(builder.volume)]);
      if (hint !== undefined) await log.objects.put(headKey(builder.volume), hint);
      const { watched, pages } = await openWatched(withoutList(log.objects));
      const { value, requests } = await watched.cost(() => pages.volume(builder.volume));
      expect(value.status().lsn).toBe(1000);
      expect(requests.length).toBeLessThan(50);
      const again = await watched.cost(() => value.fetch());
      expect(again.value.lsn).toBe(1000);
    });
  }

  it("a stray object among the commits does not hide the log", async () => {
    const log = at(100);
    for (const name of ["0", "000000000000000g", "ffff", "zzz"]) {
      await log.objects.put(commitsPrefix(builder.volume) + name, new Uint8Array([1]));
    }
    const { pages } = await openWatched(log.objects);
    const volume = await pages.volume(builder.volume);
    expect(volume.status().lsn).toBe(100);
    expect((await volume.fetch()).lsn).toBe(100);
  });

  it("a missing commit on the way is an error that names it, and nothing is taken over", async () => {
    const log = at(100);
    const path = commitKey(builder.volume, 96 as Lsn);
    const object = (await log.objects.get(path))!;
    await log.objects.delete([path]);
    const { pages } = await openWatched(log.objects);
    await expect(pages.volume(builder.volume)).rejects.toMatchObject({
      code: "not_found",
      details: { lsn: 96 },
    });
    await log.objects.put(path, object);
    // Invariant 11: the clone that was cut off is finished by the next call, not shown as an empty volume.
    const volume = await pages.volume(builder.volume);
    expect(volume.status().lsn).toBe(100);
    expectSame(await volume.read(0, 1e9), log.content);
  });
});

async function copyCommits(from: MemoryObjectStore, to: MemoryObjectStore): Promise<void> {
  for (const prefix of [commitsPrefix(builder.volume), rollupKey(builder.volume, 1 as Lsn).slice(0, -16)]) {
    for (let startAfter = ""; ; ) {
      const page = await from.list(prefix, { startAfter });
      for (const { key } of page) await to.put(key, (await from.get(key))!);
      if (page.length < 1000) break;
      startAfter = page.at(-1)!.key;
    }
  }
}
