/** What the generator of long logs writes is what pushes write, byte for byte; and the engine opens it, catches up with it and verifies it. */
import { describe, expect, it } from "vitest";
import type { Lsn, VolumeId } from "../../src/base/brand.ts";
import { decodeCommit } from "../../src/format/commit-codec.ts";
import {
  checkpointsPrefix,
  commitKey,
  lsnOfCommitKey,
  manifestKey,
  rollupsPrefix,
  volumePrefix,
} from "../../src/format/keys.ts";
import { MemoryObjectStore } from "../../src/remote/memory-store.ts";
import type { ObjectStore } from "../../src/remote/object-store.ts";
import type { Volume } from "../../src/store/volume.ts";
import { LogBuilder } from "../replicate/log-builder.ts";
import { codecs, expectSame, openStore } from "../store/support.ts";
import { CountedStore } from "./counted-store.ts";
import { LogPrefix } from "./log-prefix.ts";
import { LongLog, mixedPages } from "./long-log.ts";
import { unreadVolume } from "./unread-volume.ts";

const PAGE_SIZE = 512;

async function objectsOf(store: ObjectStore, volume: VolumeId): Promise<Map<string, Uint8Array>> {
  const objects = new Map<string, Uint8Array>();
  for (let startAfter = ""; ; ) {
    const page = await store.list(volumePrefix(volume), { startAfter });
    for (const { key } of page) objects.set(key, (await store.get(key))!);
    if (page.length < 1000) return objects;
    startAfter = page.at(-1)!.key;
  }
}

/** The commits of `from` again, from what their headers say of pages, times and push ids. */
async function generateAgain(
  from: ObjectStore,
  volume: VolumeId,
  head: number,
  options: { pageCount: number; frameBytes: number; rideAlongBytes?: number },
): Promise<MemoryObjectStore> {
  const store = new MemoryObjectStore();
  const manifest = (await from.get(manifestKey(volume)))!;
  await store.put(manifestKey(volume), manifest);
  const contents = mixedPages(PAGE_SIZE);
  const log = await LongLog.create({ store, codecs, manifest, contents, ...options });
  for (let lsn = 1; lsn <= head; lsn++) {
    const { header } = decodeCommit((await from.get(commitKey(volume, lsn as Lsn)))!, codecs.hash);
    await log.append({ pages: [...header.changed], time: header.time, pushId: header.pushId });
  }
  return store;
}

async function expectSameObjects(found: ObjectStore, expected: ObjectStore, volume: VolumeId): Promise<void> {
  const [ours, theirs] = [await objectsOf(found, volume), await objectsOf(expected, volume)];
  expect([...ours.keys()]).toEqual([...theirs.keys()]);
  for (const [key, bytes] of theirs) expectSame(ours.get(key)!, bytes, key);
}

async function expectState(volume: Volume, log: LongLog): Promise<void> {
  expect(volume.status()).toMatchObject({ lsn: log.lsn, state: "clean" });
  expect(volume.stateChecksum).toBe(log.stateChecksum);
  const content = await volume.read(0, volume.status().byteLength);
  for (let page = 1; page <= volume.status().pageCount; page++)
    expectSame(content.subarray((page - 1) * PAGE_SIZE, page * PAGE_SIZE), log.page(page), `page ${page}`);
}

describe("a generated log", () => {
  it("is what pushes of a page store write", async () => {
    const store = new MemoryObjectStore();
    const frameBytes = 4 * PAGE_SIZE;
    const pages = await openStore(store, { settings: { frameBytes } });
    const volume = await pages.createVolume({ pageSize: PAGE_SIZE });
    const contents = mixedPages(PAGE_SIZE);
    const pageCount = 60;
    for (let lsn = 1; lsn <= 70; lsn++) {
      const transaction = await volume.begin();
      if (lsn === 1) await transaction.truncate(pageCount * PAGE_SIZE);
      const changed = new Set([1 + ((lsn * 7919) % pageCount), 1 + ((lsn * 31) % pageCount), 1 + (lsn % 7)]);
      for (let page = 20; lsn % 16 === 3 && page < 31; page++) changed.add(page);
      for (const page of changed) transaction.writePage(page, contents.bytes(page, lsn));
      transaction.commit();
      await volume.push();
    }
    await pages.close();
    const again = await generateAgain(store, volume.id, 70, { pageCount, frameBytes });
    await expectSameObjects(again, store, volume.id);
  });

  it("stores the same bands apart", async () => {
    const rideAlongBytes = 200;
    const store = new MemoryObjectStore();
    const builder = await LogBuilder.create({ store, rideAlongBytes });
    const contents = mixedPages(PAGE_SIZE);
    const pageCount = 60;
    for (let lsn = 1; lsn <= 70; lsn++) {
      // The last page first: a generated volume has all its pages from the beginning.
      const changed = lsn === 1 ? [pageCount] : [1 + ((lsn * 7919) % pageCount), 1 + (lsn % 5)];
      await builder.commit(changed, (page, bytes) => bytes.set(contents.bytes(page, lsn)));
    }
    expect((await store.list(rollupsPrefix(builder.volume))).length).toBeGreaterThanOrEqual(8);
    const again = await generateAgain(store, builder.volume, 70, {
      ...{ pageCount, rideAlongBytes },
      frameBytes: 2 * PAGE_SIZE,
    });
    await again.delete(
      [...(await objectsOf(again, builder.volume)).keys()].filter((key) => key.endsWith("/head")),
    );
    await expectSameObjects(again, store, builder.volume);
  });

  it("opens, catches up and verifies", async () => {
    const store = new MemoryObjectStore();
    const log = await LongLog.create({ store, codecs, pageCount: 300, pageSize: PAGE_SIZE });
    await log.grow(1000);
    const pages = await openStore(store);
    const volume = await pages.volume(log.volume);
    await expectState(volume, log);
    expect(await volume.verify()).toMatchObject({
      lsn: 1000,
      commits: 1000,
      stateChecksum: log.stateChecksum,
    });
    await log.grow(19_000);
    expect(await volume.pull()).toMatchObject({ from: 1000, to: 20_000 });
    await expectState(volume, log);
    const fresh = await openStore(store);
    await expectState(await fresh.volume(log.volume), log);
    await Promise.all([pages.close(), fresh.close()]);
  });

  it("can be seen as it was at an earlier length", async () => {
    const store = new MemoryObjectStore();
    const log = await LongLog.create({ store, codecs, pageCount: 100, pageSize: PAGE_SIZE });
    await log.grow(77);
    const short = { lsn: log.lsn, checksum: log.stateChecksum };
    await log.grow(1500);
    const prefix = new LogPrefix(store, log.volume, short.lsn);
    const pages = await openStore(prefix.store);
    const volume = await pages.volume(log.volume);
    expect(volume.status()).toMatchObject({ lsn: 77, state: "clean" });
    expect(volume.stateChecksum).toBe(short.checksum);
    prefix.head = log.lsn;
    expect(await volume.pull()).toMatchObject({ from: 77, to: 1577 });
    await expectState(volume, log);
    await pages.close();
    expect(
      lsnOfCommitKey((await prefix.store.list(`volumes/${log.volume}/commits/`, { limit: 1 }))[0]!.key),
    ).toBe(1577);
  });
});

describe("a generated log with checkpoints", () => {
  it("opens from the newest of them, and from none where they are gone", async () => {
    const store = new MemoryObjectStore();
    const checkpointAt = (lsn: number) => lsn % 128 === 0;
    const log = await LongLog.create({ store, codecs, pageCount: 300, pageSize: PAGE_SIZE, checkpointAt });
    await log.grow(1500);
    expect(log.stored.checkpoints).toBe(11);
    const counted = new CountedStore(store);
    counted.keys = [];
    const pages = await openStore(counted.store);
    const opened = await counted.cost(() => pages.volume(log.volume));
    await expectState(opened.value, log);
    expect(await opened.value.verify()).toMatchObject({ lsn: 1500, stateChecksum: log.stateChecksum });
    const read = counted.keys.slice(0, opened.requests).filter((key) => key.includes("/checkpoints/"));
    expect(read).toEqual([`get ${(await store.list(checkpointsPrefix(log.volume), { limit: 1 }))[0]!.key}`]);
    const all = await store.list(checkpointsPrefix(log.volume));
    await store.delete(all.map(({ key }) => key));
    const without = await openStore(store);
    await expectState(await without.volume(log.volume), log);
    await Promise.all([pages.close(), without.close()]);
  });
});

describe("a volume whose pages nobody reads", () => {
  it("opens with all of them, and is forked without one", async () => {
    const counted = new CountedStore(new MemoryObjectStore());
    const pageCount = 100_000;
    const id = await unreadVolume(counted.store, codecs, { pageCount, pageSize: 4096 });
    const pages = await openStore(counted.store);
    const volume = await pages.volume(id);
    expect(volume.status()).toMatchObject({ lsn: 1, pageCount, state: "clean" });
    counted.keys = [];
    const fork = await pages.fork(id);
    expect(fork.status()).toMatchObject({ lsn: 1, pageCount });
    expect(counted.keys.filter((key) => key.includes("/segments/"))).toEqual([]);
    // That they are claimed and not there is found out by whoever reads one.
    await expect(volume.read(0, 1)).rejects.toMatchObject({ code: "corrupt" });
    await pages.close();
  });
});
