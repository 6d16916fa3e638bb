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
import type { ByteRange, ObjectStore } from "../../src/remote/object-store.ts";
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

/** How often each commit was asked for, in the order of the requests. */
function commitsIn(keys: readonly string[]): Map<number, number> {
  const times = new Map<number, number>();
  for (const each of keys) {
    const lsn = each.startsWith("get ") ? lsnOfCommitKey(each.slice(4)) : undefined;
    if (lsn !== undefined) times.set(lsn, (times.get(lsn) ?? 0) + 1);
  }
  return times;
}

describe("what opening a generated log costs", () => {
  it("is each commit on the way once, the newest too", async () => {
    const store = new MemoryObjectStore();
    const checkpointAt = (lsn: number) => lsn % 512 === 0;
    const log = await LongLog.create({ store, codecs, pageCount: 300, pageSize: PAGE_SIZE, checkpointAt });
    const commits = new Map([
      // Short logs are read whole.
      [1000, [1000, 992, 960, 896, 768, 512]],
      [1536, [1536]],
      [1537, [1537]],
      [2003, [2003, 2002, 2000, 1984, 1920, 1792]],
    ]);
    for (const [lsn, way] of commits) {
      await log.grow(lsn - log.lsn);
      const counted = new CountedStore(store);
      counted.keys = [];
      const pages = await openStore(counted.store);
      const opened = await counted.cost(() => pages.volume(log.volume));
      expect(commitsIn(counted.keys)).toEqual(new Map(way.map((each) => [each, 1])));
      // Manifest, newest commit, newest floor; the newest commit's header, where it names the checkpoint.
      const [requests, roundTrips] = lsn < 1024 ? [3 + way.length, 2] : [4 + way.length, 3];
      expect(opened).toMatchObject({ requests, roundTrips });
      await expectState(opened.value, log);
      await pages.close();
    }
  });

  it("is no commit twice where it was read for something else, as one long ago is to be proven", async () => {
    const store = new MemoryObjectStore();
    const log = await LongLog.create({ store, codecs, pageCount: 300, pageSize: PAGE_SIZE });
    await log.grow(1000);
    const counted = new CountedStore(store);
    const pages = await openStore(counted.store);
    const volume = await pages.volume(log.volume);
    counted.keys = [];
    const past = await volume.at(700);
    expect(commitsIn(counted.keys).get(700)).toBe(1);
    past.close();
    await pages.close();
  });

  it("is another request where what is remembered came damaged", async () => {
    const store = new MemoryObjectStore();
    const log = await LongLog.create({ store, codecs, pageCount: 3000, pageSize: PAGE_SIZE });
    await log.grow(1000);
    const lsn = 704 as Lsn;
    const { bandExtents } = decodeCommit((await store.get(commitKey(log.volume, lsn)))!, codecs.hash);
    const counted = new CountedStore(store);
    let damaged = 0;
    const get: ObjectStore["get"] = async (key, options) => {
      const bytes = await counted.store.get(key, options);
      if (bytes !== undefined && lsnOfCommitKey(key) === lsn && damaged++ === 0)
        bytes[bandExtents[0]!.offset]! ^= 1;
      return bytes;
    };
    const pages = await openStore({ ...counted.store, get });
    const volume = await pages.volume(log.volume);
    await expect(volume.at(lsn)).rejects.toMatchObject({ code: "corrupt", details: { lsn, band: 1 } });
    const past = await volume.at(lsn);
    expect(damaged).toBe(2);
    past.close();
    await pages.close();
  });

  it("is one request more where bands take more than was asked for, and what came is not asked for again", async () => {
    const store = new MemoryObjectStore();
    const checkpointAt = (lsn: number) => lsn === 1024;
    const options = { pageCount: 20_000, pageSize: PAGE_SIZE, pagesPerCommit: 40, checkpointAt };
    const log = await LongLog.create({ store, codecs, ...options });
    await log.grow(1280);
    const { bandExtents } = decodeCommit((await store.get(commitKey(log.volume, log.lsn)))!, codecs.hash);
    const bands = bandExtents.at(-1)!;
    const counted = new CountedStore(store);
    const ranges: (ByteRange | undefined)[] = [];
    const get: ObjectStore["get"] = (key, given) => {
      if (lsnOfCommitKey(key) === log.lsn) ranges.push(given?.range);
      return counted.store.get(key, given);
    };
    const pages = await openStore({ ...counted.store, get });
    const opened = await counted.cost(() => pages.volume(log.volume));
    expect(opened).toMatchObject({ requests: 6, roundTrips: 3 });
    const [first, rest] = ranges as ByteRange[];
    expect(first).toMatchObject({ offset: 0 });
    expect(rest).toEqual({ offset: first!.length, length: bands.offset + bands.length - first!.length });
    expect(ranges.length).toBe(2);
    expect(opened.value.stateChecksum).toBe(log.stateChecksum);
    await pages.close();
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
