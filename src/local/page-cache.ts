/**
 * The bounded page cache: a memory tier over fixed slots on disk. A page is identified by (volume, page, LSN of its last
 * writer), so its bytes never change and nothing is ever invalidated; whatever is here can be fetched again, so losing it is never
 * an error. Pages that exist nowhere else (not yet pushed) live in the record log, never only here.
 *
 * A volume is named by a small integer that the caller keeps stable over restarts and never gives to another volume: it is stored in
 * the disk tier's index.
 */
import { assert } from "../base/assert.ts";
import { isPageSize } from "../base/brand.ts";
import { PagefoldError } from "../base/errors.ts";
import { loadPart } from "../base/load-part.ts";
import { noopRecorder, type Recorder } from "../base/recorder.ts";
import type { BlockFileSystem } from "./block-file.ts";
import type { DiskTier } from "./disk-tier.ts";
import { MemoryTier } from "./memory-tier.ts";
import { NONE, type SlotTable } from "./slot-table.ts";
import type { Xxh64 } from "./xxh64.ts";

export interface PageCacheOptions {
  /** Bytes per page, the same for all volumes of this cache. */
  readonly pageSize: number;
  /** Upper bound of page bytes in memory. The tables come on top: about 40 bytes per slot in use, on either tier. */
  readonly memoryBytes: number;
  /** Upper bound of both files on disk; 0 for memory only. */
  readonly diskBytes: number;
  /** Needed when `diskBytes` is not 0. The files are `pages-<pageSize>` and `pages-<pageSize>.index`. */
  readonly files?: BlockFileSystem;
  readonly xxh64: Xxh64;
  readonly recorder?: Recorder;
}

export interface PageCacheStats {
  readonly memoryPages: number;
  readonly diskPages: number;
  readonly memoryHits: number;
  readonly diskHits: number;
  readonly misses: number;
  /** Pages given up for others, by either tier. */
  readonly evictions: number;
  /** Pages put with `prefetched` that nobody has read so far, whether or not they are still here. */
  readonly prefetchedUnused: number;
  /** Slots on disk whose bytes were not what had been stored. */
  readonly corruptSlots: number;
  readonly pinnedPages: number;
}

/** How a resident page was used: fetched ahead and not read since, read, or read more than once of late. */
export type PageUse = "prefetched" | "read" | "hot";

export class PageCache {
  readonly pageSize: number;
  readonly #memoryBytes: number;
  #memory: MemoryTier;
  readonly #disk: DiskTier | undefined;
  /** Holds the bytes of a disk hit where the memory tier has no slot for them. */
  readonly #scratch: Uint8Array;
  #memoryHits = 0;
  #diskHits = 0;
  #misses = 0;
  #prefetchedUnused = 0;
  #evictionsBefore = 0;
  #closed = false;

  /** Opens the cache with the pages that an earlier run left on disk. */
  static async open(options: PageCacheOptions): Promise<PageCache> {
    const { pageSize, memoryBytes, diskBytes, files, xxh64 } = options;
    if (!isPageSize(pageSize)) {
      throw new PagefoldError(
        "invalid",
        `${pageSize} is no page size; use a power of two from 512 to 1048576`,
      );
    }
    for (const [name, bytes] of Object.entries({ memoryBytes, diskBytes })) {
      if (Number.isSafeInteger(bytes) && bytes >= 0) continue;
      throw new PagefoldError("invalid", `${name} is ${bytes}; give a number of bytes, 0 or more`);
    }
    if (diskBytes > 0 && files === undefined) {
      throw new PagefoldError("invalid", "a page cache with diskBytes needs files to keep them in");
    }
    // The disk tier asks about pages in memory, and the cache that knows is built from it.
    let above: PageCache | undefined;
    const disk =
      diskBytes > 0 && files !== undefined
        ? await (await loadPart(() => import("./disk-tier.ts"))).DiskTier.open({
            files,
            pageSize,
            bytes: diskBytes,
            xxh64,
            recorder: options.recorder ?? noopRecorder,
            inUse: (volume, page, lsn) => (above === undefined ? false : above.#inMemory(volume, page, lsn)),
          })
        : undefined;
    const cache = new PageCache(pageSize, memoryBytes, disk);
    above = cache;
    return cache;
  }

  private constructor(pageSize: number, memoryBytes: number, disk: DiskTier | undefined) {
    this.pageSize = pageSize;
    this.#memoryBytes = memoryBytes;
    this.#memory = new MemoryTier(pageSize, memoryBytes);
    this.#disk = disk;
    this.#scratch = new Uint8Array(pageSize);
  }

  /** How many pages fit, by the larger of the two tiers. */
  get capacityPages(): number {
    return Math.max(this.#memory.table.capacityMax, this.#disk?.table.capacityMax ?? 0);
  }

  /** Whether the page is here. Its bytes on disk are verified only when they are read. */
  has(volume: number, page: number, lsn: number): boolean {
    if (this.#memory.table.find(volume, page, lsn) !== NONE) return true;
    return this.#disk !== undefined && this.#disk.table.find(volume, page, lsn) !== NONE;
  }

  /** The bytes, or undefined. Read-only, and valid until the next call of any method of the cache. */
  get(volume: number, page: number, lsn: number): Uint8Array | undefined {
    const memory = this.#memory;
    const slot = memory.table.find(volume, page, lsn);
    if (slot === NONE) return this.#getFromDisk(volume, page, lsn);
    this.#memoryHits++;
    const unread = memory.table.isUnreadPrefetch(slot);
    if (memory.table.touch(slot)) this.#touchBelow(volume, page, lsn, unread);
    return memory.view(slot);
  }

  /** Copies a page into the cache. Does nothing where it is here already: the bytes of an identity never change. */
  put(
    volume: number,
    page: number,
    lsn: number,
    bytes: Uint8Array,
    options?: { readonly prefetched?: boolean },
  ): void {
    assert(bytes.length === this.pageSize, "a page of another size was put into the cache");
    this.#checkOpen();
    const prefetched = options?.prefetched === true;
    const inMemory = this.#memory.table.find(volume, page, lsn) !== NONE;
    const onDisk = this.#disk !== undefined && this.#disk.table.find(volume, page, lsn) !== NONE;
    // Set on one tier only where the other already had it: then it was counted, or read.
    const fresh = prefetched && !inMemory && !onDisk;
    let kept = false;
    if (!inMemory) {
      const slot = this.#memory.insert(volume, page, lsn, fresh);
      if (slot !== NONE) this.#memory.view(slot).set(bytes);
      kept = slot !== NONE;
    }
    if (!onDisk && this.#disk !== undefined) {
      this.#disk.put(volume, page, lsn, bytes, fresh);
      kept = true;
    }
    if (fresh && kept) this.#prefetchedUnused++;
  }

  /**
   * A page that lies elsewhere on this side (a local commit's, in the record log) and was kept in memory to be read again; undefined where it was
   * not, or has made room for others. `key` is negative: it names what no remote commit wrote. As `get`, it is valid until the next call.
   */
  getLocal(volume: number, page: number, key: number): Uint8Array | undefined {
    const memory = this.#memory;
    const slot = memory.table.find(volume, page, key);
    if (slot === NONE) return undefined;
    memory.table.touch(slot);
    return memory.view(slot);
  }

  /** Keeps such a page in the memory tier, as long as there is room. */
  putLocal(volume: number, page: number, key: number, bytes: Uint8Array): void {
    const slot = this.#memory.insert(volume, page, key, false);
    if (slot !== NONE) this.#memory.view(slot).set(bytes);
  }

  /**
   * Keeps a resident page from being evicted until it is unpinned or the cache closes. False where the page is not here, or where pinned
   * pages fill half of the tier already. Pinning twice is pinning once.
   */
  pin(volume: number, page: number, lsn: number): boolean {
    this.#promote(volume, page, lsn);
    const inMemory = pinIn(this.#memory.table, volume, page, lsn);
    const onDisk = this.#disk !== undefined && pinIn(this.#disk.table, volume, page, lsn);
    return inMemory || onDisk;
  }

  unpin(volume: number, page: number, lsn: number): void {
    for (const table of this.#tables()) {
      const slot = table.find(volume, page, lsn);
      if (slot !== NONE) table.setPinned(slot, false);
    }
  }

  stats(): PageCacheStats {
    const memory = this.#memory.table;
    const disk = this.#disk?.table;
    return {
      memoryPages: memory.count,
      diskPages: disk?.count ?? 0,
      memoryHits: this.#memoryHits,
      diskHits: this.#diskHits,
      misses: this.#misses,
      evictions: this.#evictionsBefore + memory.evictions + (disk?.evictions ?? 0),
      prefetchedUnused: this.#prefetchedUnused,
      corruptSlots: this.#disk?.corruptSlots ?? 0,
      pinnedPages: Math.max(memory.pinnedCount, disk?.pinnedCount ?? 0),
    };
  }

  /** How many versions of pages of a volume are here. O(slots). */
  residentPages(volume: number): number {
    let count = 0;
    this.forEachResident(volume, () => count++);
    return count;
  }

  /** Every (page, LSN) of a volume that is here, once, in no order. `visit` must not call the cache. */
  forEachResident(volume: number, visit: (page: number, lsn: number) => void): void {
    const disk = this.#disk?.table;
    if (disk !== undefined) forEachSlot(disk, volume, (slot) => visit(disk.pageOf(slot), disk.lsnOf(slot)));
    const memory = this.#memory.table;
    forEachSlot(memory, volume, (slot) => {
      const page = memory.pageOf(slot);
      const lsn = memory.lsnOf(slot);
      // What lies in the record log is here anyway.
      if (lsn < 0) return;
      if (disk === undefined || disk.find(volume, page, lsn) === NONE) visit(page, lsn);
    });
  }

  /** `forEachResident`, and how each page was used. O(slots), with a lookup for each page of the volume: for pictures, not for reading. */
  forEachUse(volume: number, visit: (page: number, lsn: number, use: PageUse) => void): void {
    const disk = this.#disk?.table;
    const memory = this.#memory.table;
    this.forEachResident(volume, (page, lsn) => {
      const above = memory.find(volume, page, lsn);
      const below = disk === undefined ? NONE : disk.find(volume, page, lsn);
      const readsAbove = above === NONE ? 0 : memory.readsOf(above);
      const readsBelow = disk === undefined || below === NONE ? 0 : disk.readsOf(below);
      // The disk tier hears of the first reads in memory; what it never heard of has not been read.
      const unread =
        disk !== undefined && below !== NONE
          ? disk.isUnreadPrefetch(below)
          : above !== NONE && memory.isUnreadPrefetch(above);
      if (unread) visit(page, lsn, "prefetched");
      else visit(page, lsn, Math.max(readsAbove, readsBelow) > 1 ? "hot" : "read");
    });
  }

  /** Forgets every page, pinned ones too. */
  evictAll(): void {
    this.#checkOpen();
    this.#evictionsBefore = this.stats().evictions;
    this.#memory = new MemoryTier(this.pageSize, this.#memoryBytes);
    this.#disk?.clear();
  }

  /** Forgets every page of a volume, pinned ones too. O(slots). */
  drop(volume: number): void {
    this.#checkOpen();
    forEachSlot(this.#memory.table, volume, (slot) => this.#memory.table.remove(slot));
    const disk = this.#disk;
    if (disk !== undefined) forEachSlot(disk.table, volume, (slot) => disk.remove(slot));
  }

  /** Gives up pages on disk so that others can use about `bytes` of its room. Returns how many bytes came free: 0 when there are none to give up. */
  giveWay(bytes: number): number {
    this.#checkOpen();
    return this.#disk?.giveWay(bytes) ?? 0;
  }

  /** Writes what waits to be written with its neighbours. Never needed for correctness. */
  flush(): void {
    this.#checkOpen();
    this.#disk?.flush();
  }

  /** Writes the pages that wait to be written together with others: they are found again also where nobody comes to close this. */
  writeWaiting(): void {
    this.#checkOpen();
    this.#disk?.writeRun();
  }

  /** Idempotent. Pages on disk are found by the next `open`. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#memory = new MemoryTier(this.pageSize, 0);
    await this.#disk?.close();
  }

  #getFromDisk(volume: number, page: number, lsn: number): Uint8Array | undefined {
    this.#checkOpen();
    const disk = this.#disk;
    const slot = disk === undefined ? NONE : disk.table.find(volume, page, lsn);
    if (disk === undefined || slot === NONE) {
      this.#misses++;
      return undefined;
    }
    const unread = disk.table.isUnreadPrefetch(slot);
    const memorySlot = this.#memory.insert(volume, page, lsn, false);
    const into = memorySlot === NONE ? this.#scratch : this.#memory.view(memorySlot);
    if (!disk.read(slot, into)) {
      if (memorySlot !== NONE) this.#memory.table.remove(memorySlot);
      this.#misses++;
      return undefined;
    }
    this.#diskHits++;
    disk.table.touch(slot);
    if (unread) this.#prefetchedUnused--;
    return into;
  }

  /** Passes the first reads of a page on to the disk tier, so that what is hot in memory does not look cold there. */
  #touchBelow(volume: number, page: number, lsn: number, unread: boolean): void {
    if (unread) this.#prefetchedUnused--;
    const table = this.#disk?.table;
    const slot = table === undefined ? NONE : table.find(volume, page, lsn);
    if (slot !== NONE) table?.touch(slot);
  }

  /** Brings a page that is only on disk into memory, without counting a read. */
  #promote(volume: number, page: number, lsn: number): void {
    const disk = this.#disk;
    if (disk === undefined || this.#inMemory(volume, page, lsn)) return;
    const slot = disk.table.find(volume, page, lsn);
    if (slot === NONE) return;
    const memorySlot = this.#memory.insert(volume, page, lsn, disk.table.isUnreadPrefetch(slot));
    if (memorySlot !== NONE && !disk.read(slot, this.#memory.view(memorySlot))) {
      this.#memory.table.remove(memorySlot);
    }
  }

  #inMemory(volume: number, page: number, lsn: number): boolean {
    return this.#memory.table.find(volume, page, lsn) !== NONE;
  }

  #tables(): SlotTable[] {
    return this.#disk === undefined ? [this.#memory.table] : [this.#memory.table, this.#disk.table];
  }

  #checkOpen(): void {
    if (this.#closed) throw new PagefoldError("closed", "the page cache was closed; open it again");
  }
}

function pinIn(table: SlotTable, volume: number, page: number, lsn: number): boolean {
  const slot = table.find(volume, page, lsn);
  if (slot === NONE) return false;
  if (table.isPinned(slot)) return true;
  if (table.pinnedCount >= Math.floor(table.capacityMax / 2)) return false;
  table.setPinned(slot, true);
  return true;
}

/** `visit` may free the slot it is given. */
function forEachSlot(table: SlotTable, volume: number, visit: (slot: number) => void): void {
  for (let slot = 0; slot < table.frontier; slot++) {
    if (table.isUsed(slot) && table.volumeOf(slot) === volume) visit(slot);
  }
}
