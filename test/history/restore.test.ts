/** Restores: an old state is the newest again, nothing is copied, nothing is fetched again, and the log keeps what was between. */
import { describe, expect, it } from "vitest";
import type { Lsn, PageCount, TimeMs } from "../../src/base/brand.ts";
import { PagefoldError } from "../../src/base/errors.ts";
import { decodeCommit } from "../../src/format/commit-codec.ts";
import { encodeFloor } from "../../src/format/floor-codec.ts";
import { commitKey, commitsPrefix, floorKey, forkKey, restorePinKey } from "../../src/format/keys.ts";
import { RESTORED } from "../../src/format/limits.ts";
import { MemoryBlockFileSystem } from "../../src/local/memory-block-file.ts";
import { MemoryObjectStore } from "../../src/remote/memory-store.ts";
import type { ObjectStore } from "../../src/remote/object-store.ts";
import type { Volume } from "../../src/store/volume.ts";
import { seededRandom } from "../local/xxh64.ts";
import { content, expectPast, fresh, grow, keysOf, PAGE, setUp } from "../store/fork-support.ts";
import {
  codecs,
  expectSame,
  failure,
  openStore,
  testSeed,
  textBytes,
  WatchedStore,
} from "../store/support.ts";

async function headerAt(objects: ObjectStore, volume: Volume, lsn: number) {
  const bytes = await objects.get(commitKey(volume.id, lsn as Lsn));
  return decodeCommit(bytes!, codecs.hash).header;
}

/** A store whose puts of some keys do something else first. */
function actingFirst(
  objects: ObjectStore,
  isIt: (key: string) => boolean,
  act: () => Promise<void>,
): ObjectStore {
  return {
    url: objects.url,
    capabilities: objects.capabilities,
    get: (key, options) => objects.get(key, options),
    put: async (key, body, options) => {
      if (isIt(key)) await act();
      return objects.put(key, body, options);
    },
    list: (prefix, options) => objects.list(prefix, options),
    delete: (keys, options) => objects.delete(keys, options),
    close: () => objects.close(),
  };
}

/** One random change, pushed: bytes, zeros, a shrink, growth. */
async function change(volume: Volume, random: () => number, seed: number): Promise<void> {
  const { byteLength } = volume.snapshot();
  const what = random();
  if (what < 0.2 && byteLength > 0) await volume.truncate(Math.floor(random() * byteLength));
  else if (what < 0.4) await volume.write(Math.floor(random() * 3000), new Uint8Array(1600));
  else if (what < 0.5) await volume.truncate(byteLength + Math.floor(random() * 2000));
  else await volume.write(Math.floor(random() * 4000), textBytes(1 + Math.floor(random() * 2500), seed));
  if (volume.status().ahead > 0) await volume.push();
}

describe("a restore", () => {
  it("is one commit that says which older commits wrote the pages, and holds none itself", async () => {
    const { objects, parent: volume, states } = await setUp();
    const keys = await keysOf(objects);
    const events: unknown[] = [];
    volume.on("commit", (event) => events.push(event));
    const progress: number[][] = [];
    const { epoch } = volume;
    const result = await volume.restore({ at: 2, onProgress: (...told) => progress.push(told) });
    expect(result).toMatchObject({ lsn: 6, from: 2, restored: true });
    expect(result.changedPages).toBeGreaterThan(0);
    expect(volume.epoch).toBeGreaterThan(epoch);
    expect(events).toEqual([
      expect.objectContaining({ lsn: 6, where: "remote", changedPages: result.changedPages }),
    ]);
    expect(progress.at(-1)![0]).toBe(progress.at(-1)![1]);
    const added = (await keysOf(objects)).filter((key) => !keys.includes(key));
    expect(added.sort()).toEqual(
      [commitKey(volume.id, 6 as Lsn), restorePinKey(volume.id, 6 as Lsn, 2 as Lsn)].sort(),
    );
    const header = await headerAt(objects, volume, 6);
    const old = await headerAt(objects, volume, 2);
    expect(header).toMatchObject({
      features: { incompatible: RESTORED },
      restoredFrom: 2,
      segments: [],
      stateChecksum: old.stateChecksum,
      byteLength: old.byteLength,
    });
    expect(header.restored.every(({ lsn, hash }) => lsn <= 2 && hash !== undefined)).toBe(true);
    const entry = (await volume.log().next()).value!;
    expect(entry).toMatchObject({ lsn: 6, restoredFrom: 2, pages: result.changedPages });
    expect(entry.restored.size).toBe(result.changedPages - header.zeroed.size);
    await expectPast(volume, [...states, states[2]!]);
    await expectPast(await fresh(objects, "parent"), [...states, states[2]!]);
  });

  it("to the state that is there already makes no commit", async () => {
    const { objects, parent: volume, states } = await setUp();
    const keys = await keysOf(objects);
    const none = { changedPages: 0, restored: false };
    expect(await volume.restore({ at: 5 })).toEqual({ lsn: 5, from: 5, ...none });
    expect(await keysOf(objects)).toEqual(keys);
    await volume.restore({ at: 3 });
    // Pages that LSN 3 never had are zeros now, whoever made them so.
    expect(await volume.restore({ at: 3 })).toEqual({ lsn: 6, from: 3, ...none });
    expect(await volume.restore({ at: 6 })).toEqual({ lsn: 6, from: 6, ...none });
    await expectPast(volume, [...states, states[3]!]);
  });

  it("of any LSN, also of a restore, of shorter and longer and empty ones, however the volume changes between", async () => {
    const objects = new MemoryObjectStore();
    const volume = await (await openStore(objects)).createVolume({ pageSize: PAGE, tag: "v" });
    const follower = await fresh(objects, "v");
    const states = [await content(volume)];
    const checksums = [volume.stateChecksum];
    const random = seededRandom(testSeed);
    let restores = 0;
    while (states.length < 45) {
      const { lsn } = volume.status();
      if (random() < 0.4) {
        const at = Math.floor(random() * states.length);
        const { restored } = await volume.restore({ at });
        expectSame(await content(volume), states[at]!, `LSN ${at} restored at ${lsn + 1}`);
        expect(volume.stateChecksum, `LSN ${at} restored at ${lsn + 1}`).toBe(checksums[at]);
        if (restored) restores++;
      } else {
        await change(volume, random, lsn);
      }
      if (volume.status().lsn === lsn) continue;
      states.push(await content(volume));
      checksums.push(volume.stateChecksum);
      if (random() < 0.3) {
        await follower.pull();
        expectSame(await content(follower), states.at(-1)!, "the follower");
      }
    }
    expect(restores).toBeGreaterThan(8);
    await follower.pull();
    for (const each of [volume, follower, await fresh(objects, "v")]) await expectPast(each, states);
  });

  it("fetches no page again, here or where it is pulled", async () => {
    const { objects, states } = await setUp({ commits: 9 });
    const here = new WatchedStore(objects);
    const there = new WatchedStore(objects);
    const [a, b] = await Promise.all(
      [here, there].map(async ({ store, runtime }) => {
        const volume = await (await openStore(store, { runtime })).volume("parent");
        for (const lsn of states.keys()) {
          using snapshot = await volume.at(lsn);
          await snapshot.read(0, 1e9);
        }
        return volume;
      }),
    );
    for (const at of [4, 7, 9, 1]) {
      const done = await here.cost(() => a!.restore({ at }));
      expect(done.requests.filter(({ key }) => key.includes("/segments/"))).toEqual([]);
      await b!.pull();
      for (const [volume, watched] of [
        [a!, here],
        [b!, there],
      ] as const) {
        const { value, requests } = await watched.cost(() => content(volume));
        expectSame(value, states[at]!, `LSN ${at}`);
        expect(requests, "0 faults").toEqual([]);
      }
    }
  });

  it("of a time is that of the newest commit which is not later", async () => {
    const runtime = new WatchedStore().runtime;
    const objects = new MemoryObjectStore();
    const volume = await (await openStore(objects, { runtime })).createVolume({ pageSize: PAGE });
    const states: Uint8Array[] = [await content(volume)];
    const times: number[] = [0];
    for (let i = 0; i < 4; i++) {
      runtime.advance(60_000);
      states.push((await grow(volume, 1, i))[1]!);
      times.push((await volume.log().next()).value!.time);
    }
    expect(await volume.restore({ at: new Date(times[3]! - 1) })).toMatchObject({ from: 2, lsn: 5 });
    expectSame(await content(volume), states[2]!);
    expect((await failure(volume.restore({ at: new Date(times[1]! - 1) }))).code).toBe("not_found");
    expect((await failure(volume.restore({ at: 99 }))).code).toBe("not_found");
    expect((await failure(volume.restore({ at: -1 }))).code).toBe("invalid");
  });

  it("outlives its process: a store that is opened again, and one whose log was compacted, has it", async () => {
    const objects = new MemoryObjectStore();
    const local = new MemoryBlockFileSystem();
    const open = (settings = {}) => openStore(objects, { local: { files: local }, settings });
    const first = await open();
    const volume = await first.createVolume({ pageSize: PAGE, tag: "v" });
    const states = await grow(volume, 6);
    await volume.restore({ at: 2 });
    states.push(states[2]!);
    await first.close();
    const second = await open({ compactAboveBytes: 1 });
    const again = await second.volume("v");
    await expectPast(again, states);
    await again.write(100, textBytes(300, 99));
    await again.push();
    await again.restore({ at: 7 });
    states.push(states[7]!, states[7]!);
    expectSame(await content(again), states[7]!);
    await second.close();
    const third = await open();
    expectSame(await content(await third.volume("v")), states[7]!);
    await third.close();
  });
});

describe("a restore and other writers", () => {
  it("refuses local commits, and says what to do with them", async () => {
    const { objects, parent: volume } = await setUp();
    await volume.write(0, textBytes(10, 1));
    const keys = await keysOf(objects);
    const error = await failure(volume.restore({ at: 1 }), "conflict");
    expect(error.message).toMatch(/push.*reset.*fork/s);
    expect([await keysOf(objects), volume.status().ahead]).toEqual([keys, 1]);
    await volume.push();
    expect(await volume.restore({ at: 1 })).toMatchObject({ lsn: 7, from: 1 });
  });

  it("moves to the newest commit first", async () => {
    const { objects, parent, states } = await setUp();
    const behind = await fresh(objects, "parent");
    const more = await grow(parent, 3, 5);
    expect(await behind.restore({ at: 2 })).toMatchObject({ lsn: 9, from: 2, restored: true });
    await expectPast(behind, [...states, ...more.slice(1), states[2]!]);
  });

  it("that was overtaken changes nothing, and is finished by running it again", async () => {
    const { objects, parent, states } = await setUp();
    let overtakers = 1;
    const slow = actingFirst(
      objects,
      (key) => key.startsWith(commitsPrefix(parent.id)),
      async () => {
        if (overtakers-- > 0) states.push((await grow(parent, 1, 7))[1]!);
      },
    );
    const volume = await (await openStore(slow)).volume("parent");
    const error = await failure(volume.restore({ at: 2 }), "diverged");
    expect(error.message).toMatch(/run it again/);
    expect(volume.status()).toMatchObject({ lsn: 5, ahead: 0, pendingPush: false });
    expect(await volume.restore({ at: 2 })).toMatchObject({ lsn: 7, from: 2, restored: true });
    await expectPast(volume, [...states, states[2]!]);
    await parent.pull();
    await expectPast(parent, [...states, states[2]!]);
  });

  it("of which nobody knows whether it arrived is found out by the next pull", async () => {
    for (const arrives of [true, false]) {
      const { objects, parent, states } = await setUp();
      let failing = true;
      const store: ObjectStore = {
        ...actingFirst(
          objects,
          () => false,
          async () => {},
        ),
        get: async (key, options) => {
          if (failing && key === commitKey(parent.id, 6 as Lsn))
            throw new PagefoldError("unavailable", "away");
          return objects.get(key, options);
        },
        put: async (key, body, options) => {
          if (!failing || !key.startsWith(commitsPrefix(parent.id))) return objects.put(key, body, options);
          if (arrives) await objects.put(key, body, options);
          throw new PagefoldError("unavailable", "away");
        },
      };
      const local = { files: new MemoryBlockFileSystem() };
      const pages = await openStore(store, { local });
      const volume = await pages.volume("parent");
      await failure(volume.restore({ at: 3 }), "unavailable");
      expect(volume.status().pendingPush).toBe(true);
      failing = false;
      // By another process, which knows of the restore only what was written down.
      await pages.close();
      const again = await (await openStore(store, { local })).volume("parent");
      expect(again.status().pendingPush).toBe(true);
      await again.pull();
      await expectPast(again, [...states, states[3]!]);
      expect(await again.restore({ at: 3 })).toMatchObject({ lsn: 6, restored: false });
      expect(await again.restore({ at: 5 })).toMatchObject({ lsn: 7, restored: true });
      await expectPast(await fresh(objects, "parent"), [...states, states[3]!, states[5]!]);
    }
  });

  it("of a state that a collection took away meanwhile is refused, and leaves no pin", async () => {
    const { objects, parent, states } = await setUp();
    const floor = (lsn: number, kept: readonly number[]) =>
      encodeFloor(
        {
          volume: parent.id,
          n: 1,
          lsn: lsn as Lsn,
          time: 1 as TimeMs,
          checkpoints: kept.map((each) => ({
            lsn: each as Lsn,
            time: 1 as TimeMs,
            hash: codecs.hash.blake3(Uint8Array.of(each)),
          })),
        },
        codecs.hash,
      );
    for (const [kept, ok] of [
      [[4], false],
      [[2, 4], true],
    ] as const) {
      const own = objects.clone();
      const store = actingFirst(
        own,
        (key) => key.includes("/restores/"),
        async () => {
          await own.put(floorKey(parent.id, 1), floor(4, kept));
        },
      );
      const volume = await (await openStore(store)).volume("parent");
      if (ok) {
        expect(await volume.restore({ at: 2 })).toMatchObject({ restored: true });
        expectSame(await content(volume), states[2]!);
        continue;
      }
      const error = await failure(volume.restore({ at: 2 }), "not_found");
      expect(error.message).toMatch(/retention/);
      expect((await keysOf(own)).filter((key) => key.includes("/restores/"))).toEqual([]);
      expect(volume.status().lsn).toBe(5);
    }
  });
});

describe("a restore in a fork", () => {
  it("to what the ancestor has collected meanwhile is refused and leaves no pins, unless the fork itself keeps it", async () => {
    for (const keeper of ["parent", "fork", "nobody"] as const) {
      const { objects, store, parent, states } = await setUp();
      const fork = await store.fork("parent", { tag: "fork" });
      states.push(...(await grow(fork, 1, 4)).slice(1));
      const floor = (volume: Volume, lsn: number, kept: readonly number[]) =>
        encodeFloor(
          {
            ...{ volume: volume.id, n: 1, lsn: lsn as Lsn, time: 1 as TimeMs },
            checkpoints: kept.map((each) => ({
              ...{ lsn: each as Lsn, time: 1 as TimeMs, hash: codecs.hash.blake3(Uint8Array.of(each)) },
            })),
          },
          codecs.hash,
        );
      const slow = actingFirst(
        objects,
        (key) => key.includes("/restores/"),
        async () => {
          await objects.put(floorKey(parent.id, 1), floor(parent, 5, keeper === "parent" ? [2, 5] : [5]));
          await objects.put(floorKey(fork.id, 1), floor(fork, 6, keeper === "fork" ? [2, 6] : [6]));
        },
      );
      const volume = await (await openStore(slow)).volume("fork");
      const pins = [restorePinKey(fork.id, 7 as Lsn, 2 as Lsn), forkKey(parent.id, fork.id, 2 as Lsn)];
      if (keeper === "nobody") {
        await failure(volume.restore({ at: 2 }), "not_found");
        expect((await keysOf(objects)).filter((key) => pins.includes(key))).toEqual([]);
        expect(await keysOf(objects)).toContain(forkKey(parent.id, fork.id, 5 as Lsn));
      } else {
        expect(await volume.restore({ at: 2 })).toMatchObject({ lsn: 7, restored: true });
        expectSame(await content(volume), states[2]!);
        expect(await keysOf(objects)).toEqual(expect.arrayContaining(pins));
      }
    }
  });

  it("goes back across the fork point, pins it there, and back again", async () => {
    const { objects, store, states } = await setUp();
    const fork = await store.fork("parent", { tag: "fork" });
    const own = [...states, ...(await grow(fork, 3, 4)).slice(1)];
    expect(await fork.restore({ at: 2 })).toMatchObject({ lsn: 9, from: 2, restored: true });
    own.push(own[2]!);
    const parent = await store.volume("parent");
    const keys = await keysOf(objects);
    expect(keys).toContain(forkKey(parent.id, fork.id, 2 as Lsn));
    expect(keys).toContain(restorePinKey(fork.id, 9 as Lsn, 2 as Lsn));
    expect(await fork.restore({ at: 7 })).toMatchObject({ lsn: 10, from: 7, restored: true });
    own.push(own[7]!);
    expect(await keysOf(objects)).toContain(restorePinKey(fork.id, 10 as Lsn, 7 as Lsn));
    await expectPast(fork, own);
    await expectPast(await fresh(objects, "fork"), own);
    await expectPast(await fresh(objects, "parent"), states);
    const grandchild = await store.fork("fork", { tag: "grandchild" });
    expect(await grandchild.restore({ at: 1 })).toMatchObject({ lsn: 11, restored: true });
    expect(await keysOf(objects)).toContain(forkKey(parent.id, grandchild.id, 1 as Lsn));
    await expectPast(await fresh(objects, "grandchild"), [...own, own[1]!]);
  });

  it("as the fork's first commit", async () => {
    const { objects, store, states } = await setUp();
    const fork = await store.fork("parent", { tag: "fork" });
    expect(await fork.restore({ at: 0 })).toMatchObject({ lsn: 6, from: 0, restored: true });
    const header = await headerAt(objects, fork, 6);
    expect(header).toMatchObject({ pageCount: 0 as PageCount, restored: [], restoredFrom: 0 });
    expect((await keysOf(objects)).filter((key) => key.includes("/restores/"))).toEqual([]);
    await expectPast(await fresh(objects, "fork"), [...states, new Uint8Array(0)]);
  });
});
