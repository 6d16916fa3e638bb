/** Tags: moved atomically, with their history, whatever a listing shows. */
import { describe, expect, it } from "vitest";
import type { VolumeId } from "../../src/base/brand.ts";
import { MemoryObjectStore } from "../../src/remote/memory-store.ts";
import type { ObjectStore } from "../../src/remote/object-store.ts";
import { SimRuntime } from "../sim/runtime.ts";
import { failure, openStore, WatchedStore } from "../store/support.ts";

async function withVolumes(objects: ObjectStore, count: number): Promise<VolumeId[]> {
  const store = await openStore(objects);
  const ids: VolumeId[] = [];
  for (let i = 0; i < count; i++) ids.push((await store.createVolume()).id);
  await store.close();
  return ids;
}

/** Listings show what was there when they were last allowed to look. */
function withOldListings(objects: MemoryObjectStore): { store: ObjectStore; look(): void } {
  let shown = objects.clone();
  return {
    store: {
      url: objects.url,
      capabilities: objects.capabilities,
      get: (key, options) => objects.get(key, options),
      put: (key, body, options) => objects.put(key, body, options),
      list: (prefix, options) => shown.list(prefix, options),
      delete: (keys, options) => objects.delete(keys, options),
      close: () => objects.close(),
    },
    look: () => {
      shown = objects.clone();
    },
  };
}

describe("a tag", () => {
  it("names another volume only where that is asked for, and where it names what is expected", async () => {
    const objects = new MemoryObjectStore();
    const [a, b, c] = (await withVolumes(objects, 3)) as [VolumeId, VolumeId, VolumeId];
    const store = await openStore(objects);
    await store.tag("main", a);
    expect((await failure(store.tag("main", b), "conflict")).details).toMatchObject({
      tag: "main",
      volume: a,
    });
    await failure(store.tag("main", b, { move: c }), "conflict");
    await failure(store.tag("fresh", b, { move: c }), "conflict");
    expect(await store.resolve("fresh")).toBeUndefined();
    await store.tag("main", b, { move: a });
    expect(await store.resolve("main")).toBe(b);
    await store.tag("main", c, { move: true });
    await store.tag("main", c, { move: a });
    expect(await store.resolve("main"), "it names that already").toBe(c);
    await failure(store.untag("main", { expected: a }), "conflict");
    await store.untag("main", { expected: c });
    await failure(store.untag("main"), "not_found");
    await store.tag("main", a);
    expect(await store.resolve("main")).toBe(a);
  });

  it("is opened by what it names now, also on a side that knew it as another's", async () => {
    const objects = new MemoryObjectStore();
    const store = await openStore(objects);
    const [a, b] = [await store.createVolume({ tag: "main" }), await store.createVolume({ tag: "next" })];
    await store.tag("main", b.id, { move: a.id });
    expect((await store.volume("main")).id).toBe(b.id);
    expect((await store.volume(a.id)).id).toBe(a.id);
  });

  it("keeps its history, newest first, with the times", async () => {
    const runtime = new SimRuntime(3);
    const objects = new MemoryObjectStore();
    const [a, b] = (await withVolumes(objects, 2)) as [VolumeId, VolumeId];
    const store = await openStore(objects, { runtime });
    expect(await store.tagHistory("main")).toEqual([]);
    const times: number[] = [];
    for (const step of [
      () => store.tag("main", a),
      () => store.tag("main", b, { move: true }),
      () => store.untag("main"),
      () => store.tag("main", a),
    ]) {
      runtime.advance(60_000);
      times.push(runtime.now());
      await step();
    }
    expect(await store.tagHistory("main")).toEqual([
      { n: 4, volume: a, time: times[3] },
      { n: 3, volume: undefined, time: times[2] },
      { n: 2, volume: b, time: times[1] },
      { n: 1, volume: a, time: times[0] },
    ]);
    await failure(store.tagHistory("no/no"), "invalid");
  });

  it("invariant 4: of several who move it at once one wins, and the others are told", async () => {
    for (let i = 0; i < 5; i++) {
      const objects = new MemoryObjectStore();
      const ids = await withVolumes(objects, 4);
      await (await openStore(objects)).tag("main", ids[0]!);
      const moves = await Promise.all(
        ids.slice(1).map(async (id, k) => {
          const watched = new WatchedStore(objects, new SimRuntime(10 * i + k));
          const store = await openStore(watched.store, { runtime: watched.runtime });
          return store.tag("main", id, { move: ids[0]! }).then(
            () => id,
            (error: { code: string }) => error.code,
          );
        }),
      );
      const winners = moves.filter((move) => move !== "conflict");
      expect(winners).toEqual([await (await openStore(objects)).resolve("main")]);
    }
  });

  it("is told by asking for the next value, not by a listing, which may lag", async () => {
    const objects = new MemoryObjectStore();
    const [a, b] = (await withVolumes(objects, 2)) as [VolumeId, VolumeId];
    const old = withOldListings(objects);
    const [writer, reader] = [await openStore(old.store), await openStore(old.store)];
    await writer.tag("main", a);
    expect(await reader.resolve("main")).toBe(a);
    old.look();
    for (let i = 0; i < 6; i++) await writer.tag("main", i % 2 === 0 ? b : a, { move: true });
    await writer.tag("main", b, { move: a });
    expect(await reader.resolve("main")).toBe(b);
    expect((await reader.tagHistory("main")).map(({ n }) => n)).toEqual([8, 7, 6, 5, 4, 3, 2, 1]);
  });

  it("costs a listing and one round trip more to resolve", async () => {
    const objects = new MemoryObjectStore();
    const [a] = (await withVolumes(objects, 1)) as [VolumeId];
    await (await openStore(objects)).tag("main", a);
    const watched = new WatchedStore(objects);
    const store = await openStore(watched.store, { runtime: watched.runtime });
    const { requests, roundTrips } = await watched.cost(() => store.resolve("main"));
    expect(requests.map(({ operation }) => operation)).toEqual(["list", "get", "get"]);
    expect(roundTrips).toBe(2);
  });
});
