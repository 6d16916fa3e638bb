import { describe, expect, it } from "vitest";
import { PagefoldError } from "../../src/base/errors.ts";
import { MemoryRecorder } from "../../src/base/recorder.ts";
import type { BlockFileSystem } from "../../src/local/block-file.ts";
import { MemoryBlockFileSystem } from "../../src/local/memory-block-file.ts";
import { PageCache, type PageCacheOptions } from "../../src/local/page-cache.ts";
import { RecordingBlockFileSystem } from "../sim/block-crash.ts";
import { FaultyBlockFileSystem } from "./faulty-files.ts";
import { seededRandom, testSeed, xxh64 } from "./xxh64.ts";

const PAGE = 512;
/** Disk bytes for so many slots: each has an entry of 32 bytes, and the index a head. */
const slots = (n: number): number => n * (PAGE + 32) + 32;

function open(options: Partial<PageCacheOptions> = {}): Promise<PageCache> {
  return PageCache.open({ pageSize: PAGE, memoryBytes: 8 * PAGE, diskBytes: 0, xxh64, ...options });
}

/** The bytes that an identity has for ever. */
function pageOf(volume: number, page: number, lsn: number): Uint8Array {
  const bytes = new Uint8Array(PAGE);
  for (let i = 0; i < PAGE; i++) bytes[i] = (volume * 7 + page * 13 + lsn * 29 + i * (page + 1)) & 0xff;
  new DataView(bytes.buffer).setFloat64(0, volume * 1e9 + page * 1e3 + lsn, true);
  return bytes;
}

const put = (cache: PageCache, volume: number, page: number, lsn: number, prefetched = false): void =>
  cache.put(volume, page, lsn, pageOf(volume, page, lsn), { prefetched });

/** Like toEqual, a hundred times faster. */
function expectPage(bytes: Uint8Array | undefined, volume: number, page: number, lsn: number): void {
  if (bytes === undefined) expect.fail(`${volume}/${page}@${lsn} is not here`);
  if (Buffer.compare(bytes, pageOf(volume, page, lsn)) !== 0)
    expect.fail(`wrong bytes for ${volume}/${page}@${lsn}`);
}

function resident(cache: PageCache, volume: number): string[] {
  const all: string[] = [];
  cache.forEachResident(volume, (page, lsn) => all.push(`${page}@${lsn}`));
  return all.sort();
}

async function overwrite(files: BlockFileSystem, name: string, at: number, bytes: Uint8Array): Promise<void> {
  const file = await files.open(name);
  file.writeAt(at, bytes);
  await file.close();
}

describe("PageCache", () => {
  it("returns what was put under the same volume, page and LSN, and only that", async () => {
    for (const diskBytes of [0, slots(100)]) {
      const cache = await open({ diskBytes, files: new MemoryBlockFileSystem() });
      put(cache, 1, 5, 10);
      put(cache, 1, 5, 11);
      put(cache, 2, 5, 10);
      put(cache, 0, 4_294_967_294, 2 ** 40 + 1);
      expectPage(cache.get(1, 5, 10), 1, 5, 10);
      expectPage(cache.get(1, 5, 11), 1, 5, 11);
      expectPage(cache.get(2, 5, 10), 2, 5, 10);
      expectPage(cache.get(0, 4_294_967_294, 2 ** 40 + 1), 0, 4_294_967_294, 2 ** 40 + 1);
      for (const [v, p, l] of [
        [1, 5, 12],
        [3, 5, 10],
        [1, 6, 10],
        [0, 4_294_967_294, 1],
      ] as const) {
        expect(cache.has(v, p, l)).toBe(false);
        expect(cache.get(v, p, l)).toBeUndefined();
      }
      expect(cache.has(1, 5, 11)).toBe(true);
      expect(resident(cache, 1)).toEqual(["5@10", "5@11"]);
      expect(cache.residentPages(1)).toBe(2);
      expect(cache.stats()).toMatchObject({ memoryHits: 4, misses: 4, memoryPages: 4 });
      await cache.close();
    }
  });

  it("copies what it is given", async () => {
    const cache = await open();
    const bytes = pageOf(1, 1, 1);
    cache.put(1, 1, 1, bytes);
    bytes.fill(0);
    expectPage(cache.get(1, 1, 1), 1, 1, 1);
  });

  it("refuses settings that make no sense", async () => {
    await expect(open({ pageSize: 1000 })).rejects.toMatchObject({ code: "invalid" });
    await expect(open({ memoryBytes: -1 })).rejects.toMatchObject({ code: "invalid" });
    await expect(open({ diskBytes: 1.5 })).rejects.toMatchObject({ code: "invalid" });
    await expect(open({ diskBytes: 10_000 })).rejects.toMatchObject({ code: "invalid" });
  });

  it("says so after it was closed", async () => {
    const cache = await open();
    put(cache, 1, 1, 1);
    await cache.close();
    await cache.close();
    expect(() => cache.get(1, 1, 1)).toThrow(expect.objectContaining({ code: "closed" }));
    expect(() => put(cache, 1, 1, 1)).toThrow(expect.objectContaining({ code: "closed" }));
  });

  it.each([
    ["memory only", 16, 0],
    ["disk behind memory", 8, 40],
    ["disk without memory", 0, 40],
    ["less disk than memory", 30, 10],
    ["one slot each", 1, 1],
    ["nothing at all", 0, 0],
  ])("invariants 6, 7 and 10: agrees with a model and stays in its bounds: %s", async (_, memory, disk) => {
    const random = seededRandom(testSeed + memory * 100 + disk);
    let files = new MemoryBlockFileSystem({ capacity: slots(disk) });
    const options = { memoryBytes: memory * PAGE, diskBytes: disk === 0 ? 0 : slots(disk) };
    let cache = await open({ ...options, files });
    let hits = 0;
    for (let step = 0; step < 5000; step++) {
      const [v, p, l] = [
        Math.floor(random() ** 2 * 3),
        Math.floor(random() ** 2 * 60),
        1 + Math.floor(random() * 2),
      ];
      const dice = random();
      if (dice < 0.4) put(cache, v, p, l, random() < 0.3);
      else if (dice < 0.9) {
        const has = cache.has(v, p, l);
        const bytes = cache.get(v, p, l);
        expect(bytes !== undefined).toBe(has);
        if (bytes !== undefined) {
          hits++;
          if (Buffer.compare(bytes, pageOf(v, p, l)) !== 0) expect.fail(`wrong bytes for ${v}/${p}@${l}`);
        }
      } else if (dice < 0.93) cache.pin(v, p, l);
      else if (dice < 0.97) cache.unpin(v, p, l);
      else if (dice < 0.98) cache.flush();
      else if (dice < 0.985) {
        cache.drop(v);
        expect(cache.residentPages(v)).toBe(0);
      } else if (dice < 0.99) {
        // Killed or closed: with the files as they are.
        if (random() < 0.5) await cache.close();
        files = files.clone();
        cache = await open({ ...options, files });
      } else if (dice < 0.991) {
        cache.evictAll();
        expect(cache.stats()).toMatchObject({ memoryPages: 0, diskPages: 0 });
      }
      const stats = cache.stats();
      expect(stats.memoryPages).toBeLessThanOrEqual(memory);
      expect(stats.diskPages).toBeLessThanOrEqual(disk);
      expect(files.usedBytes).toBeLessThanOrEqual(slots(disk));
      expect(stats.corruptSlots).toBe(0);
    }
    if (memory + disk > 0) expect(hits).toBeGreaterThan(memory + disk > 2 ? 150 : 10);
  });

  it("keeps pinned pages through any pressure, and bounds how many there may be", async () => {
    const cache = await open({
      memoryBytes: 10 * PAGE,
      diskBytes: slots(20),
      files: new MemoryBlockFileSystem(),
    });
    expect(cache.pin(1, 1, 1)).toBe(false);
    for (let page = 1; page <= 3; page++) {
      put(cache, 1, page, 1);
      expect(cache.pin(1, page, 1)).toBe(true);
      expect(cache.pin(1, page, 1)).toBe(true);
    }
    for (let page = 100; page < 400; page++) put(cache, 1, page, 1);
    for (let page = 1; page <= 3; page++) expectPage(cache.get(1, page, 1), 1, page, 1);
    expect(cache.stats()).toMatchObject({ memoryHits: 3, pinnedPages: 3 });
    let pinned = 3;
    for (let page = 395; page < 400; page++) if (cache.pin(1, page, 1)) pinned++;
    for (let page = 400; page < 420; page++) {
      put(cache, 1, page, 1);
      if (cache.pin(1, page, 1)) pinned++;
    }
    expect(pinned).toBe(10);
    expect(cache.stats().pinnedPages).toBe(10);
    expect(cache.pin(1, 419, 1)).toBe(false);
    for (let page = 1; page <= 3; page++) cache.unpin(1, page, 1);
    expect(cache.stats().pinnedPages).toBe(7);
    expect(cache.pin(1, 419, 1)).toBe(true);
  });

  it("counts prefetched pages that nobody has read, once each, also when they have gone", async () => {
    const cache = await open({
      memoryBytes: 4 * PAGE,
      diskBytes: slots(20),
      files: new MemoryBlockFileSystem(),
    });
    for (let page = 1; page <= 10; page++) put(cache, 1, page, 1, true);
    expect(cache.stats().prefetchedUnused).toBe(10);
    cache.get(1, 10, 1);
    cache.get(1, 10, 1);
    expect(cache.stats().prefetchedUnused).toBe(9);
    cache.get(1, 1, 1); // from disk
    cache.get(1, 1, 1);
    expect(cache.stats().prefetchedUnused).toBe(8);
    for (let page = 100; page < 300; page++) put(cache, 1, page, 1);
    cache.get(1, 10, 1);
    expect(cache.stats().prefetchedUnused).toBe(8);
  });

  it("keeps a hot set in memory and on disk while a volume many times its size is scanned", async () => {
    const files = new MemoryBlockFileSystem();
    const options = { memoryBytes: 20 * PAGE, diskBytes: slots(100), files };
    const cache = await open(options);
    const hot = [1, 2, 3, 4, 5, 6, 7, 8];
    for (const page of hot) put(cache, 1, page, 1);
    for (let round = 0; round < 3; round++) for (const page of hot) cache.get(1, page, 1);
    for (let page = 1000; page < 4000; page++) {
      put(cache, 1, page, 1, true);
      cache.get(1, page, 1);
      if (page % 20 === 0) for (const h of hot) expect(cache.get(1, h, 1)).toBeDefined();
    }
    expect(cache.stats().diskHits).toBeLessThan(20);
    await cache.close();
    const warm = await open(options);
    for (const page of hot) expectPage(warm.get(1, page, 1), 1, page, 1);
  });
});

describe("PageCache on disk", () => {
  it("keeps on disk what is hot in memory, however cold it looks from there", async () => {
    const files = new MemoryBlockFileSystem();
    const options = { memoryBytes: 12 * PAGE, diskBytes: slots(40), files };
    const cache = await open(options);
    put(cache, 1, 1, 1);
    for (let step = 0; step < 6000; step++) {
      expect(cache.get(1, 1, 1)).toBeDefined();
      const page = 1000 + (step % 90);
      if (!cache.has(1, page, 1)) put(cache, 1, page, 1);
      for (let read = 0; read < 4; read++) cache.get(1, page, 1);
    }
    expect(cache.stats().evictions).toBeGreaterThan(1000);
    await cache.close();
    expect((await open(options)).has(1, 1, 1)).toBe(true);
  });

  it("finds its pages after a restart, and reads each with one verified read", async () => {
    const files = new MemoryBlockFileSystem();
    const first = await open({ memoryBytes: 0, diskBytes: slots(3000), files });
    for (let page = 1; page <= 2500; page++) put(first, 3, page, 7);
    await first.close();
    const second = await open({ diskBytes: slots(3000), files });
    expect(second.residentPages(3)).toBe(2500);
    for (let page = 1; page <= 2500; page += 7) expectPage(second.get(3, page, 7), 3, page, 7);
    expect(second.stats()).toMatchObject({
      misses: 0,
      corruptSlots: 0,
      diskPages: 2500,
      prefetchedUnused: 0,
    });
  });

  it("writes a run of pages with one write of data and one of index", async () => {
    const files = await RecordingBlockFileSystem.over();
    const cache = await open({ diskBytes: slots(1000), files });
    const before = files.position;
    for (let page = 1; page <= 16; page++) put(cache, 1, page, 1);
    cache.flush();
    expect(files.operations.slice(before).map((o) => `${o.kind} ${o.file}`)).toEqual([
      "write pages-512",
      "write pages-512.index",
      "flush pages-512",
      "flush pages-512.index",
    ]);
  });

  it("invariant 7: never returns a damaged slot: it is a miss, counted, freed, and can be filled again", async () => {
    const files = new MemoryBlockFileSystem();
    const options = { memoryBytes: 0, diskBytes: slots(50), files };
    const cache = await open(options);
    for (let page = 1; page <= 10; page++) put(cache, 1, page, 1);
    await cache.close();
    await overwrite(files, "pages-512", 3 * PAGE + 77, Uint8Array.of(0xaa));
    const recorder = new MemoryRecorder();
    const again = await open({ ...options, recorder });
    expect(again.has(1, 4, 1)).toBe(true);
    expect(again.get(1, 4, 1)).toBeUndefined();
    expect(again.has(1, 4, 1)).toBe(false);
    expect(again.stats()).toMatchObject({ corruptSlots: 1, diskPages: 9, misses: 1 });
    expect(recorder.get("local.cache.corrupt_slot.count")).toBe(1);
    for (let page = 1; page <= 10; page++) if (page !== 4) expectPage(again.get(1, page, 1), 1, page, 1);
    put(again, 1, 4, 1);
    expectPage(again.get(1, 4, 1), 1, 4, 1);
    await again.close();
    expect((await open(options)).residentPages(1)).toBe(10);
  });

  it("invariant 7: notices slots that were swapped and entries that name another page", async () => {
    const files = new MemoryBlockFileSystem();
    const options = { memoryBytes: 0, diskBytes: slots(50), files };
    const cache = await open(options);
    for (let page = 1; page <= 8; page++) put(cache, 1, page, 1);
    await cache.close();
    await overwrite(files, "pages-512", 0, pageOf(1, 2, 1));
    await overwrite(files, "pages-512", PAGE, pageOf(1, 1, 1));
    // The entry of page 3 now says volume 2, that of page 4 page 40, that of page 5 another LSN.
    await overwrite(files, "pages-512.index", 32 + 2 * 32 + 4, Uint8Array.of(2));
    await overwrite(files, "pages-512.index", 32 + 3 * 32 + 8, Uint8Array.of(40));
    const lsn = new Uint8Array(new Float64Array([2]).buffer);
    await overwrite(files, "pages-512.index", 32 + 4 * 32 + 16, lsn);
    const again = await open(options);
    for (const [v, p, l] of [
      [1, 1, 1],
      [1, 2, 1],
      [2, 3, 1],
      [1, 40, 1],
      [1, 5, 2],
    ] as const) {
      expect(again.has(v, p, l)).toBe(true);
      expect(again.get(v, p, l)).toBeUndefined();
    }
    expect(again.stats().corruptSlots).toBe(5);
    for (const page of [6, 7, 8]) expectPage(again.get(1, page, 1), 1, page, 1);
  });

  it("invariant 7: returns right bytes or none whatever a random disk says", async () => {
    const random = seededRandom(testSeed);
    for (let round = 0; round < 200; round++) {
      const files = new MemoryBlockFileSystem();
      const options = { memoryBytes: 2 * PAGE, diskBytes: slots(12), files };
      const cache = await open(options);
      for (let page = 1; page <= 12; page++) put(cache, page % 2, page, 1);
      await cache.close();
      for (let hits = 0; hits < 4; hits++) {
        const name = random() < 0.6 ? "pages-512.index" : "pages-512";
        const file = await files.open(name);
        const at = Math.floor(random() * file.size());
        if (random() < 0.1) file.truncate(at);
        else
          file.writeAt(
            at,
            Uint8Array.from({ length: 1 + Math.floor(random() * 40) }, () => random() * 256),
          );
        await file.close();
      }
      const again = await open(options);
      for (let volume = 0; volume < 3; volume++) {
        const found: [number, number][] = [];
        again.forEachResident(volume, (page, lsn) => found.push([page, lsn]));
        for (const [page, lsn] of found) {
          const bytes = again.get(volume, page, lsn);
          if (bytes !== undefined) expectPage(bytes, volume, page, lsn);
        }
      }
      for (let page = 1; page <= 12; page++) {
        put(again, page % 2, page, 1);
        expectPage(again.get(page % 2, page, 1), page % 2, page, 1);
      }
    }
  });

  it("invariants 2 and 7: holds right bytes or none in every crash state, without a single flush", async () => {
    const random = seededRandom(testSeed);
    const files = await RecordingBlockFileSystem.over();
    const options = { memoryBytes: 0, diskBytes: slots(6) };
    const cache = await open({ ...options, files });
    for (let step = 0; step < 40; step++) {
      put(cache, 1, 1 + Math.floor(random() * 12), 1);
      if (random() < 0.3) cache.get(1, 1 + Math.floor(random() * 12), 1);
    }
    await cache.close();
    let found = 0;
    for await (const state of files.crashStates({
      seed: testSeed,
      exhaustiveUpTo: 4,
      samples: 12,
      torn: 6,
    })) {
      const after = await open({ ...options, files: state.files });
      for (let page = 1; page <= 12; page++) {
        const bytes = after.get(1, page, 1);
        if (bytes === undefined) continue;
        found++;
        if (Buffer.compare(bytes, pageOf(1, page, 1)) !== 0)
          expect.fail(`${state.description}: page ${page}`);
      }
      await after.close();
    }
    expect(found).toBeGreaterThan(100);
  });

  it("starts empty over files of another format or page size, and over an index without pages", async () => {
    const files = new MemoryBlockFileSystem();
    const options = { diskBytes: slots(50), files };
    const cache = await open(options);
    put(cache, 1, 1, 1);
    await cache.close();
    await overwrite(files, "pages-512.index", 0, Uint8Array.of(0));
    const again = await open(options);
    expect(again.residentPages(1)).toBe(0);
    put(again, 1, 2, 1);
    await again.close();
    expect(resident(await open(options), 1)).toEqual(["2@1"]);
    const other = await PageCache.open({ ...options, pageSize: 1024, memoryBytes: 0, xxh64 });
    expect(other.residentPages(1)).toBe(0);
    await other.close();
    await files.remove("pages-1024");
    const bare = await PageCache.open({ ...options, pageSize: 1024, memoryBytes: 0, xxh64 });
    expect(bare.get(1, 1, 1)).toBeUndefined();
  });

  it("gives space back when it is opened with less", async () => {
    const files = new MemoryBlockFileSystem();
    const large = await open({ diskBytes: slots(100), files });
    for (let page = 1; page <= 100; page++) put(large, 1, page, 1);
    await large.close();
    const small = await open({ diskBytes: slots(10), files });
    expect(small.stats().diskPages).toBe(10);
    expect(files.usedBytes).toBeLessThanOrEqual(slots(10));
    for (let page = 200; page < 230; page++) put(small, 1, page, 1);
    small.flush();
    expect(small.stats().diskPages).toBe(10);
    expect(files.usedBytes).toBeLessThanOrEqual(slots(10));
  });

  it("stops growing on a full disk, counts it, and never fails a reader", async () => {
    const recorder = new MemoryRecorder();
    const files = new MemoryBlockFileSystem({ capacity: slots(1500) });
    const cache = await open({ memoryBytes: 4 * PAGE, diskBytes: slots(4000), files, recorder });
    for (let page = 1; page <= 4000; page++) {
      put(cache, 1, page, 1);
      const back = cache.get(1, Math.max(1, page - 3), 1);
      if (back !== undefined) expectPage(back, 1, Math.max(1, page - 3), 1);
    }
    expect(recorder.get("local.cache.disk_full.count")).toBeGreaterThan(0);
    const { diskPages, corruptSlots } = cache.stats();
    expect(diskPages).toBeGreaterThan(900);
    expect(diskPages).toBeLessThanOrEqual(1500);
    expect(corruptSlots).toBe(0);
    let right = 0;
    for (let page = 1; page <= 4000; page++) {
      const bytes = cache.get(1, page, 1);
      if (bytes === undefined) continue;
      right++;
      if (Buffer.compare(bytes, pageOf(1, page, 1)) !== 0) expect.fail(`page ${page}`);
    }
    expect(right).toBeGreaterThan(900);
    expect(cache.stats().corruptSlots).toBe(0);
  });

  it("gives way on a full disk: fewer slots, right bytes, and the room is free for others", async () => {
    const recorder = new MemoryRecorder();
    const files = new MemoryBlockFileSystem({ capacity: slots(1000) });
    const cache = await open({ memoryBytes: 4 * PAGE, diskBytes: slots(1000), files, recorder });
    for (let page = 1; page <= 1000; page++) put(cache, 1, page, 1);
    cache.flush();
    const full = files.usedBytes;
    let freed = cache.giveWay(1);
    expect(freed, "an eighth at least").toBeGreaterThanOrEqual(125 * PAGE);
    expect(files.usedBytes).toBe(full - freed);
    freed += cache.giveWay(400 * PAGE);
    expect(freed).toBeGreaterThanOrEqual(525 * PAGE);
    const other = await files.open("other");
    other.writeAt(0, new Uint8Array(freed));
    for (let page = 1; page <= 3000; page++) {
      put(cache, 1, page, 2);
      for (const lsn of [1, 2]) {
        const bytes = cache.get(1, page, lsn);
        if (bytes !== undefined) expectPage(bytes, 1, page, lsn);
      }
    }
    expect(cache.stats().diskPages, "it does not grow again").toBeLessThanOrEqual(475);
    expect(cache.stats().corruptSlots).toBe(0);
    while (cache.giveWay(PAGE) > 0);
    expect(cache.stats().diskPages).toBe(0);
    put(cache, 1, 1, 3);
    const kept = cache.get(1, 1, 3);
    if (kept === undefined) throw new Error("the memory tier kept nothing");
    expectPage(kept, 1, 1, 3);
    await cache.close();
    const again = await open({ memoryBytes: 4 * PAGE, diskBytes: slots(1000), files });
    expect(again.stats().diskPages).toBe(0);
    expect(recorder.get("local.cache.gave_way.count")).toBeGreaterThan(2);
  });

  it("where room comes free only when files are opened again, it is away until then, and a miss", async () => {
    const inner = new MemoryBlockFileSystem();
    const waiting: (() => void)[] = [];
    const files: BlockFileSystem = {
      ...{ name: "slow", exists: (name) => inner.exists(name), remove: (name) => inner.remove(name) },
      list: () => inner.list(),
      open: async (name) => {
        const file = await inner.open(name);
        const usable = () => {
          if (waiting.length > 0) throw new PagefoldError("quota", "it is being opened again");
          return file;
        };
        return {
          ...{ name, durability: "flush", size: () => file.size(), close: () => file.close() },
          readAt: (offset, into) => (waiting.length > 0 ? 0 : file.readAt(offset, into)),
          writeAt: (offset, bytes) => usable().writeAt(offset, bytes),
          truncate: (size) => usable().truncate(size),
          flush: () => usable().flush(),
          durable: () => file.durable(),
          giveBack: () => new Promise((resolve) => waiting.push(resolve)),
        };
      },
    };
    const cache = await open({ memoryBytes: 0, diskBytes: slots(100), files });
    for (let page = 1; page <= 100; page++) put(cache, 1, page, 1);
    expect(cache.giveWay(20 * PAGE)).toBeGreaterThan(0);
    expect(cache.giveWay(20 * PAGE), "there is no more to give now").toBe(0);
    expect(cache.get(1, 1, 1), "away").toBeUndefined();
    expect(cache.has(1, 1, 1), "and to be fetched again").toBe(false);
    put(cache, 1, 200, 1);
    expect(cache.has(1, 200, 1)).toBe(false);
    for (const resolve of waiting.splice(0)) resolve();
    await expect.poll(() => cache.giveWay(1)).toBeGreaterThan(0);
    for (const resolve of waiting.splice(0)) resolve();
    await expect
      .poll(() => {
        put(cache, 1, 300, 1);
        return cache.has(1, 300, 1);
      })
      .toBe(true);
    for (let page = 2; page <= 300; page++) {
      const bytes = cache.get(1, page, 1);
      if (bytes !== undefined) expectPage(bytes, 1, page, 1);
    }
    expect(cache.stats().corruptSlots).toBe(0);
    expect(cache.stats().diskPages).toBeGreaterThan(50);
    await cache.close();
  });

  it.each(["writeAt", "readAt", "flush"] as const)(
    "never fails a reader when %s fails",
    async (operation) => {
      const files = new FaultyBlockFileSystem(new MemoryBlockFileSystem());
      const cache = await open({ memoryBytes: 2 * PAGE, diskBytes: slots(40), files });
      for (let page = 1; page <= 10; page++) put(cache, 1, page, 1);
      cache.flush();
      files.fail({ operation, code: "unavailable", sticky: true });
      for (let page = 1; page <= 60; page++) {
        put(cache, 1, page, 1);
        if (page % 16 === 0) cache.flush();
        const bytes = cache.get(1, page, 1);
        expectPage(bytes, 1, page, 1);
        const old = cache.get(1, 1 + (page % 10), 1);
        if (old !== undefined) expectPage(old, 1, 1 + (page % 10), 1);
      }
      await cache.close();
      files.heal();
      const again = await open({ memoryBytes: 2 * PAGE, diskBytes: slots(40), files });
      for (let page = 1; page <= 60; page++) {
        const bytes = again.get(1, page, 1);
        if (bytes !== undefined) expectPage(bytes, 1, page, 1);
      }
    },
  );

  it("forgets a dropped volume on disk too, and leaves the others", async () => {
    const files = new MemoryBlockFileSystem();
    const options = { diskBytes: slots(100), files };
    const cache = await open(options);
    for (let page = 1; page <= 20; page++) put(cache, page % 2, page, 1);
    cache.drop(1);
    expect(cache.residentPages(1)).toBe(0);
    expect(cache.residentPages(0)).toBe(10);
    await cache.close();
    const again = await open(options);
    expect(again.residentPages(1)).toBe(0);
    expect(again.residentPages(0)).toBe(10);
  });
});
