/** The heat-map's figures: every page is in exactly one state, whatever was read, fetched ahead, written or cut off. */
import { afterEach, describe, expect, it } from "vitest";
import { pageStates, pagesPerCellOf, type Residency, residencyOf } from "../../src/inspect/residency.ts";
import { MemoryBlockFileSystem } from "../../src/local/memory-block-file.ts";
import { MemoryObjectStore } from "../../src/remote/memory-store.ts";
import type { PageStore } from "../../src/store/page-store.ts";
import type { Volume } from "../../src/store/volume.ts";
import { openStore, randomBytes } from "../store/support.ts";

const PAGE = 4096;
const stores: PageStore[] = [];

afterEach(async () => {
  await Promise.all(stores.splice(0).map((store) => store.close()));
});

async function open(remote: MemoryObjectStore, options: Parameters<typeof openStore>[1] = {}) {
  const store = await openStore(remote, options);
  stores.push(store);
  return store;
}

/** A remote volume of random pages, under the tag "v". */
async function remoteVolume(pages: number): Promise<{ remote: MemoryObjectStore; writer: Volume }> {
  const remote = new MemoryObjectStore();
  const store = await open(remote);
  const writer = await store.createVolume({ tag: "v" });
  await writer.write(0, randomBytes(pages * PAGE, 1));
  await writer.push();
  return { remote, writer };
}

function mapOf(volume: Volume, cells?: number): Residency {
  const snapshot = volume.snapshot();
  try {
    const map = residencyOf(snapshot, cells === undefined ? {} : { cells });
    checkSums(map);
    return map;
  } finally {
    snapshot.close();
  }
}

/** Every page is counted once, in its cell. */
function checkSums(map: Residency): void {
  expect(map.cells).toBe(Math.ceil(map.pageCount / map.pagesPerCell));
  for (let cell = 0; cell < map.cells; cell++) {
    const pages = Math.min(map.pagesPerCell, map.pageCount - cell * map.pagesPerCell);
    expect(
      pageStates.reduce((sum, state) => sum + map[state][cell]!, 0),
      `cell ${cell}`,
    ).toBe(pages);
  }
  for (const state of pageStates) {
    expect(map[state].length).toBe(map.cells);
    expect(map[state].every((pages) => pages >= 0)).toBe(true);
    expect(map.totals[state]).toBe(map[state].reduce((sum, pages) => sum + pages, 0));
  }
}

const noReadAhead = { settings: { readAhead: undefined } };

describe("residencyOf", () => {
  it("shows a clone as absent, and what a read brought as read or fetched along", async () => {
    const { remote } = await remoteVolume(100);
    const volume = await (await open(remote, noReadAhead)).volume("v");
    expect(mapOf(volume).totals).toEqual({
      ...{ absent: 100, prefetched: 0, resident: 0, hot: 0, dirty: 0, unwritten: 0 },
    });
    await volume.read(0, 10);
    const map = mapOf(volume);
    // A frame of 16 pages came for one of them.
    expect(map.totals).toMatchObject({ absent: 84, prefetched: 15, resident: 1 });
    expect(map.resident[0]).toBe(1);
    expect(map.pagesPerCell).toBe(1);
  });

  it("a page that is read again is hot, and only that", async () => {
    const { remote } = await remoteVolume(40);
    const volume = await (await open(remote, noReadAhead)).volume("v");
    for (let i = 0; i < 3; i++) await volume.read(5 * PAGE, 1);
    await volume.read(6 * PAGE, 1);
    const map = mapOf(volume);
    expect(map.hot.flatMap((pages, cell) => (pages > 0 ? [cell] : []))).toEqual([5]);
    expect(map.resident.flatMap((pages, cell) => (pages > 0 ? [cell] : []))).toEqual([6]);
  });

  it("says the same with a disk tier below, and after a restart nothing is unread", async () => {
    const { remote } = await remoteVolume(64);
    const files = new MemoryBlockFileSystem();
    const settings = { readAhead: undefined, memoryBytes: 4 * PAGE, diskBytes: 64 * PAGE * 2 };
    const store = await openStore(remote, { local: { files }, settings });
    const volume = await store.volume("v");
    for (let i = 0; i < 3; i++) await volume.read(20 * PAGE, 1);
    const before = mapOf(volume);
    expect(before.totals).toMatchObject({ absent: 48, prefetched: 15, hot: 1, resident: 0 });
    await store.close();
    const again = await (await open(remote, { local: { files }, settings })).volume("v");
    expect(mapOf(again).totals).toMatchObject({ absent: 48, prefetched: 0, hot: 0, resident: 16 });
  });

  it("shows local commits as dirty until they are pushed, and holes as unwritten", async () => {
    const { writer } = await remoteVolume(20);
    await writer.write(30 * PAGE, randomBytes(2 * PAGE, 2));
    await writer.write(3 * PAGE, randomBytes(PAGE, 3));
    const map = mapOf(writer);
    expect(map.pageCount).toBe(32);
    expect(map.dirty.flatMap((pages, cell) => (pages > 0 ? [cell] : []))).toEqual([3, 30, 31]);
    expect(map.totals).toMatchObject({ dirty: 3, unwritten: 10 });
    await writer.push();
    expect(mapOf(writer).totals).toMatchObject({ dirty: 0, unwritten: 10 });
  });

  it("counts only the versions of pages that the snapshot shows", async () => {
    const { remote, writer } = await remoteVolume(32);
    const volume = await (await open(remote, noReadAhead)).volume("v");
    await volume.read(0, 32 * PAGE);
    expect(mapOf(volume).totals.absent).toBe(0);
    const old = volume.snapshot();
    await writer.write(0, randomBytes(3 * PAGE, 4));
    await writer.push();
    await volume.pull();
    expect(mapOf(volume).totals.absent).toBe(3);
    expect(residencyOf(old).totals.absent).toBe(0);
    expect(residencyOf(old).lsn).toBe(1);
    old.close();
  });

  it("shows a fork the pages that its parent has here", async () => {
    const { remote } = await remoteVolume(32);
    const store = await open(remote, noReadAhead);
    const volume = await store.volume("v");
    await volume.read(0, PAGE);
    const fork = await store.fork("v", { tag: "fork" });
    expect(mapOf(fork).totals).toMatchObject({ absent: 16, resident: 1, prefetched: 15 });
  });

  it("has a bounded number of cells, of a power of two of pages each", async () => {
    const { remote } = await remoteVolume(100);
    const volume = await (await open(remote)).volume("v");
    expect(mapOf(volume, 10)).toMatchObject({ pagesPerCell: 16, cells: 7 });
    expect(mapOf(volume, 1)).toMatchObject({ pagesPerCell: 128, cells: 1 });
    expect(pagesPerCellOf(4096, 4096)).toBe(1);
    expect(pagesPerCellOf(4097, 4096)).toBe(2);
    expect(pagesPerCellOf(4_294_967_294, 4096)).toBe(2 ** 20);
    for (const cells of [0, -1, 1.5, 65_537, Number.NaN]) {
      expect(() => mapOf(volume, cells)).toThrow("cells");
    }
  });

  it("an empty volume has no cells", async () => {
    const store = await open(new MemoryObjectStore());
    const volume = await store.createVolume({ tag: "empty" });
    expect(mapOf(volume)).toMatchObject({ cells: 0, pageCount: 0, absent: [], pagesPerCell: 1 });
  });
});
