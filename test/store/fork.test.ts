/** Forks through the façade: what they share, what is theirs, and what proves it. */
import { describe, expect, it } from "vitest";
import type { Lsn, VolumeId } from "../../src/base/brand.ts";
import { decodeCommit } from "../../src/format/commit-codec.ts";
import {
  commitKey,
  commitsPrefix,
  forkKey,
  forksPrefix,
  manifestKey,
  rollupsPrefix,
} from "../../src/format/keys.ts";
import { decodeManifest, encodeManifest } from "../../src/format/manifest-codec.ts";
import { ancestorsAt } from "../../src/history/fork/fork.ts";
import { MemoryBlockFileSystem } from "../../src/local/memory-block-file.ts";
import type { ObjectStore } from "../../src/remote/object-store.ts";
import type { Volume } from "../../src/store/volume.ts";
import { LogBuilder } from "../replicate/log-builder.ts";
import { SimRuntime } from "../sim/runtime.ts";
import { content, expectPast, fresh, grow, keysOf, PAGE, setUp } from "./fork-support.ts";
import { codecs, expectSame, failure, openStore, testSeed, textBytes, WatchedStore } from "./support.ts";

describe("a fork", () => {
  it("copies nothing: a pin, a manifest and a tag are all that is stored, in a few requests", async () => {
    const watched = new WatchedStore();
    const store = await openStore(watched.store, { runtime: watched.runtime });
    const parent = await store.createVolume({ pageSize: PAGE, tag: "parent" });
    await grow(parent, 5);
    const before = new Set(await keysOf(watched.store));
    const { value: fork, requests } = await watched.cost(() => store.fork("parent", { tag: "fork" }));
    const added = (await keysOf(watched.store)).filter((key) => !before.has(key));
    expect(added).toHaveLength(3);
    expect(added).toContain(forkKey(parent.id, fork.id, 5 as Lsn));
    expect(added).toContain(manifestKey(fork.id));
    expect(requests.length).toBeLessThanOrEqual(9);
    const order = requests.filter(({ operation }) => operation === "put").map(({ key }) => key);
    expect(order.slice(0, 2), "pin, then manifest").toEqual([
      forkKey(parent.id, fork.id, 5 as Lsn),
      manifestKey(fork.id),
    ]);
    const manifest = decodeManifest((await watched.store.get(manifestKey(fork.id)))!, {
      hasher: codecs.hash,
    });
    const commit = decodeCommit((await watched.store.get(commitKey(parent.id, 5 as Lsn)))!, codecs.hash);
    expect(manifest).toMatchObject({
      ancestors: [{ volume: parent.id, lsn: 5 }],
      pageSize: PAGE,
      forkHash: commit.hash,
    });
  });

  it("has its parent's state and past, then its own; so does a clone of it, and the parent goes its own way", async () => {
    const { objects, store, parent, states } = await setUp();
    const fork = await store.fork("parent", { tag: "fork" });
    await expectPast(fork, states);
    await expectPast(await fresh(objects, "fork"), states);
    const own = [...states, ...(await grow(fork, 4, 1)).slice(1)];
    const parents = [...states, ...(await grow(parent, 3, 2)).slice(1)];
    for (const [name, expected, volume] of [
      ["fork", own, fork],
      ["parent", parents, parent],
    ] as const) {
      await expectPast(volume, expected);
      const clone = await fresh(objects, name);
      await expectPast(clone, expected);
      expect(clone.stateChecksum).toBe(volume.stateChecksum);
    }
    const first = decodeCommit((await objects.get(commitKey(fork.id, 6 as Lsn)))!, codecs.hash).header;
    const last = decodeCommit((await objects.get(commitKey(parent.id, 5 as Lsn)))!, codecs.hash);
    expect(first, "invariant 4").toMatchObject({ volume: fork.id, lsn: 6 });
    expect(first.jumpHashes[0], "invariant 4").toBe(last.hash);
    expect(await keysOf(objects, commitsPrefix(fork.id))).toHaveLength(4);
  });

  it("a clone follows: it pulls the fork's commits, writes and pushes on", async () => {
    const { objects, store, states } = await setUp();
    const fork = await store.fork("parent", { tag: "fork" });
    const clone = await fresh(objects, "fork");
    const own = [...states, ...(await grow(fork, 3, 1)).slice(1)];
    expect(await clone.pull()).toMatchObject({ from: 5, to: 8 });
    own.push(...(await grow(clone, 2, 4)).slice(1));
    await fork.pull();
    await expectPast(fork, own);
    await fork.write(0, textBytes(9, 9));
    await clone.write(0, textBytes(9, 8));
    await fork.push();
    await failure(clone.push(), "diverged");
  });

  it("of every LSN, with commits of its own up to and over powers of two", async () => {
    const { objects, store, states } = await setUp({ commits: 17 });
    for (const lsn of [1, 2, 3, 4, 7, 8, 9, 15, 16, 17]) {
      const fork = await store.fork("parent", { lsn, tag: `at-${lsn}` });
      expect(fork.status().lsn).toBe(lsn);
      const own = [...states.slice(0, lsn + 1), ...(await grow(fork, 9, lsn)).slice(1)];
      await expectPast(fork, own);
      const clone = await fresh(objects, fork.id);
      await expectPast(clone, own);
      // One that never saw a band builds the next ones from what it fetches.
      own.push(...(await grow(clone, 8, lsn + 1)).slice(1));
      await expectPast(await fresh(objects, fork.id), own);
    }
  }, 30_000);

  it("at LSN 0 it is an empty volume of the family", async () => {
    const { objects, store, parent } = await setUp();
    const fork = await store.fork("parent", { lsn: 0 });
    const manifests = await Promise.all(
      [parent, fork].map(async ({ id }) => decodeManifest((await objects.get(manifestKey(id)))!)),
    );
    expect(manifests[1]!.ancestors).toEqual([]);
    expect(manifests[1]!.digestSeed).toEqual(manifests[0]!.digestSeed);
    expect(await keysOf(objects, forksPrefix(parent.id))).toEqual([]);
    const own = await grow(fork, 3);
    await expectPast(await fresh(objects, fork.id), own);
  });

  it("by time, on either side of the fork point", async () => {
    const runtime = new SimRuntime(testSeed);
    const { objects, store, states } = await setUp({ commits: 0, store: { runtime } });
    const parent = await store.volume("parent");
    const times: number[] = [];
    const later = async (volume: Volume, seed: number) => {
      runtime.advance(60_000);
      times.push(runtime.now());
      states.push((await grow(volume, 1, seed))[1]!);
    };
    for (let i = 0; i < 3; i++) await later(parent, i);
    const fork = await store.fork("parent", { tag: "fork" });
    for (let i = 3; i < 8; i++) await later(fork, i);
    const clone = await fresh(objects, "fork");
    for (const [i, time] of times.entries()) {
      using snapshot = await clone.at(new Date(time + 30_000));
      expect(snapshot.lsn).toBe(i + 1);
      expectSame(await snapshot.read(0, 1e9), states[i + 1]!);
    }
    await failure(clone.at(new Date(times[0]! - 1)), "not_found");
  });

  it("where commits cannot be listed", async () => {
    const { objects, store, states } = await setUp();
    const fork = await store.fork("parent", { tag: "fork" });
    const blind: ObjectStore = Object.create(objects, {
      capabilities: { value: { ...objects.capabilities, list: false } },
      get: { value: objects.get.bind(objects) },
      put: { value: objects.put.bind(objects) },
      close: { value: async () => {} },
    });
    await expectPast(await fresh(blind, fork.id), states);
    const own = [...states, ...(await grow(fork, 3, 1)).slice(1)];
    await expectPast(await fresh(blind, fork.id), own);
    await objects.delete([`volumes/${fork.id}/head`]);
    await expectPast(await fresh(blind, fork.id), own);
  });

  it("invariant 8: bands stored apart may be lost below the fork point", async () => {
    const builder = await LogBuilder.create({ rideAlongBytes: 100 });
    await builder.grow(20);
    const { store: objects, volume: id } = builder;
    const store = await openStore(objects);
    const parent = await store.volume(id);
    for (const lsn of [13, 16, 20]) {
      const states: Uint8Array[] = [];
      for (let at = 0; at <= lsn; at++) {
        using snapshot = await parent.at(at);
        states.push(await snapshot.read(0, 1e9));
      }
      const fork = await store.fork(id, { lsn });
      states.push(...(await grow(fork, 13, 1)).slice(1));
      const apart = await keysOf(objects, rollupsPrefix(id));
      if (lsn === 20) await objects.delete(apart);
      else expect(apart.length).toBeGreaterThan(4);
      await expectPast(await fresh(objects, fork.id), states);
    }
  });
});

describe("forks of forks", () => {
  it("share what each of their ancestors holds", async () => {
    const { objects, store, states } = await setUp();
    let name = "parent";
    let past = states;
    for (let depth = 1; depth <= 4; depth++) {
      const fork = await store.fork(name, { tag: `depth-${depth}`, lsn: past.length - 2 });
      past = [...past.slice(0, -1), ...(await grow(fork, 3, depth)).slice(1)];
      name = `depth-${depth}`;
      await expectPast(fork, past);
      await expectPast(await fresh(objects, name), past);
    }
  });

  it("below the parent's own fork point they begin at the volume that holds the LSN", async () => {
    const { objects, store, parent, states } = await setUp();
    const child = await store.fork("parent", { tag: "child", lsn: 4 });
    await grow(child, 3, 1);
    for (const lsn of [2, 4]) {
      const fork = await store.fork("child", { lsn });
      const { ancestors } = decodeManifest((await objects.get(manifestKey(fork.id)))!);
      expect(ancestors).toEqual([{ volume: parent.id, lsn }]);
      expect(await objects.get(forkKey(parent.id, fork.id, lsn as Lsn))).toHaveLength(0);
      const own = [...states.slice(0, lsn + 1), ...(await grow(fork, 2, 7)).slice(1)];
      await expectPast(await fresh(objects, fork.id), own);
    }
  });

  it("the ancestors of an LSN", async () => {
    const [a, b, c] = ["a", "b", "c"].map((each) => each.repeat(26) as VolumeId);
    const manifest = (volume: VolumeId, ancestors: [VolumeId, number][]) =>
      ({ volume, ancestors: ancestors.map(([id, lsn]) => ({ volume: id, lsn: lsn as Lsn })) }) as never;
    const family = manifest(c!, [
      [b!, 9],
      [a!, 4],
    ]);
    const at = (lsn: number) => ancestorsAt(family, lsn as Lsn).map(({ volume, lsn: n }) => [volume, n]);
    expect(at(0)).toEqual([]);
    expect(at(1)).toEqual([[a, 1]]);
    expect(at(4)).toEqual([[a, 4]]);
    expect(at(5)).toEqual([
      [b, 5],
      [a, 4],
    ]);
    expect(at(9)).toEqual([
      [b, 9],
      [a, 4],
    ]);
    expect(at(10)).toEqual([
      [c, 10],
      [b, 9],
      [a, 4],
    ]);
  });
});

describe("invariant 7: what a fork's manifest says is proven", () => {
  it("any damage to it is found", async () => {
    const { objects, store } = await setUp({ commits: 3 });
    const fork = await store.fork("parent", { lsn: 2 });
    const key = manifestKey(fork.id);
    const manifest = (await objects.get(key))!;
    for (let at = 0; at < manifest.length; at++) {
      const damaged = manifest.slice();
      damaged[at]! ^= 1 << (at % 8);
      await objects.put(key, damaged);
      await failure(fresh(objects, fork.id), "corrupt", "unsupported_version");
    }
    await objects.put(key, manifest);
    await fresh(objects, fork.id);
  });

  it("a manifest without a proof, and a parent with another history, are refused", async () => {
    const { objects, store, parent } = await setUp({ commits: 3 });
    const fork = await store.fork("parent", { lsn: 2 });
    const key = manifestKey(fork.id);
    const bytes = (await objects.get(key))!;
    const { forkHash, ...manifest } = decodeManifest(bytes);
    expect(forkHash).toBeDefined();
    await objects.put(key, encodeManifest({ ...manifest, features: { compatible: 0, incompatible: 0 } }));
    expect((await failure(fresh(objects, fork.id), "corrupt")).message).toContain("does not name the commit");
    await objects.put(key, bytes);
    const other = objects.clone();
    const lost = [2, 3].map((lsn) => commitKey(parent.id, lsn as Lsn));
    await other.delete(lost);
    const rival = await fresh(other, "parent");
    await rival.write(0, textBytes(30, 77));
    await rival.push();
    const error = await failure(fresh(other, fork.id), "corrupt");
    expect(error.details).toMatchObject({ lsn: 2, volume: parent.id });
  });
});

describe("the page cache", () => {
  it("a fork made here reads its ancestors' resident pages, also after a restart and a compaction", async () => {
    const watched = new WatchedStore();
    const files = new MemoryBlockFileSystem();
    const settings = { diskBytes: 2 ** 20, compactAboveBytes: 8 * PAGE };
    const options = { runtime: watched.runtime, local: { files }, settings };
    const store = await openStore(watched.store, options);
    const parent = await store.createVolume({ pageSize: PAGE, tag: "parent" });
    const states = await grow(parent, 5);
    await parent.hydrate();
    const child = await store.fork("parent", { tag: "child" });
    const own = await grow(child, 2, 1);
    const grandchild = await store.fork("child", { tag: "grandchild" });
    await grow(parent, 2, 5);
    let open = store;
    for (let round = 0; round < 3; round++) {
      for (const [name, expected] of [
        ["child", own[2]!],
        ["grandchild", own[2]!],
      ] as const) {
        const volume = await open.volume(name, { offline: true });
        const { requests } = await watched.cost(async () =>
          expectSame(await content(volume), expected, name),
        );
        expect(requests, name).toEqual([]);
        const { pageCount, residentPages } = volume.status();
        expect(residentPages).toBeGreaterThanOrEqual(pageCount);
        expect((await volume.hydrate()).fetchedPages).toBe(0);
      }
      await open.close();
      open = await openStore(watched.store, options);
      const other = await open.volume("parent", { offline: true });
      await other.write(0, textBytes(20 * PAGE, round));
      await other.reset();
    }
    expect(grandchild.id).not.toBe(child.id);
    expectSame(states[5]!, own[0]!);
  });

  it("a fork whose parent has gone on never reads the parent's newer pages", async () => {
    const { store, parent, states } = await setUp();
    const fork = await store.fork("parent");
    const parents = await grow(parent, 3, 1);
    const forks = await grow(fork, 3, 2);
    expectSame(await content(parent), parents[3]!);
    expectSame(await content(fork), forks[3]!);
    expectSame(forks[0]!, states[5]!);
  });
});
