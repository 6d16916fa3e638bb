/**
 * The disk tier of the page cache: fixed slots in `pages-<page size>`, described by entries in `pages-<page size>.index`. Nothing here needs
 * a flush to be safe: a checksum over identity and bytes is verified on every read, so a stale, torn or rotten slot is a
 * miss. No failure of this tier fails a reader: where it cannot write, it stops growing or writing.
 *
 * The index, little-endian:
 *
 *   0  8  magic 50 47 46 43 41 43 48 31 ("PGFCACH1")
 *   8  4  page size
 *  12 20  zeros
 *  32 32  entry of slot 0, and so on; an entry never straddles a sector:
 *         0  4  flags: 1 = in use
 *         4  4  volume handle
 *         8  4  page index
 *        12  4  zeros
 *        16  8  LSN of the page's last writer, a float64
 *        24  8  xxh64 of the bytes, mixed with volume, page and LSN
 */
import { isPagefoldError } from "../base/errors.ts";
import type { Recorder } from "../base/recorder.ts";
import type { BlockFile, BlockFileSystem } from "./block-file.ts";
import { NONE, SlotTable } from "./slot-table.ts";
import type { Xxh64 } from "./xxh64.ts";

const INDEX_MAGIC = 0x3148_4341_4346_4750n; // "PGFCACH1"
const ENTRY_BYTES = 32;
const IN_USE = 1;
/** Adjacent slots are written together, up to so many bytes. */
const RUN_BYTES = 256 * 1024;
const READ_ENTRIES = 8192;
/** The tier shrinks by such a part at least, so that a disk that stays full is not asked page by page. */
const SHRINK_PARTS = 8;

export interface DiskTierOptions {
  readonly files: BlockFileSystem;
  readonly pageSize: number;
  readonly bytes: number;
  readonly xxh64: Xxh64;
  readonly recorder: Recorder;
  /** Whether a page is in use above, so that it should stay here as well. */
  readonly inUse: (volume: number, page: number, lsn: number) => boolean;
}

export class DiskTier {
  readonly #options: DiskTierOptions;
  readonly #data: BlockFile;
  readonly #index: BlockFile;
  readonly #pageSize: number;
  readonly #hash: Xxh64;
  #table: SlotTable;
  /** Checksums of the slots, two words each. */
  #sums = new Uint32Array(0);
  readonly #sum64 = new BigUint64Array(1);
  readonly #sum = new Uint32Array(this.#sum64.buffer);
  #writable = true;
  /** Until both files can be used again after they gave room back. */
  #away: Promise<void> | undefined;
  corruptSlots = 0;

  /** Pages of adjacent slots that wait to be written together, and their entries. */
  readonly #run: Uint8Array;
  readonly #runEntries: Uint8Array;
  readonly #runView: DataView;
  readonly #runMax: number;
  #runStart = 0;
  #runLength = 0;

  static async open(options: DiskTierOptions): Promise<DiskTier> {
    const name = `pages-${options.pageSize}`;
    const expendable = { expendable: true };
    const data = await options.files.open(name, expendable);
    try {
      return new DiskTier(options, data, await options.files.open(`${name}.index`, expendable));
    } catch (e) {
      await data.close();
      throw e;
    }
  }

  private constructor(options: DiskTierOptions, data: BlockFile, index: BlockFile) {
    this.#options = options;
    this.#data = data;
    this.#index = index;
    this.#pageSize = options.pageSize;
    this.#hash = options.xxh64;
    this.#runMax = Math.max(1, Math.floor(RUN_BYTES / options.pageSize));
    this.#run = new Uint8Array(this.#runMax * options.pageSize);
    this.#runEntries = new Uint8Array(this.#runMax * ENTRY_BYTES);
    this.#runView = new DataView(this.#runEntries.buffer);
    this.#table = this.#emptyTable();
    this.#guard(() => this.#load());
  }

  get table(): SlotTable {
    return this.#table;
  }

  /** Whether new pages are still taken. */
  get writable(): boolean {
    return this.#writable;
  }

  /** Takes a copy of a page that is not here. */
  put(volume: number, page: number, lsn: number, bytes: Uint8Array, prefetched: boolean): void {
    if (!this.#writable || this.#away !== undefined) return;
    const slot = this.#table.insert(volume, page, lsn, prefetched);
    if (slot === NONE) return;
    if (slot !== this.#runStart + this.#runLength || this.#runLength === this.#runMax) {
      this.writeRun();
      // A page of the run that could not be written took this tier's last space.
      if (!this.#writable || !this.#table.isUsed(slot)) return;
      this.#runStart = slot;
    }
    this.#run.set(bytes, this.#runLength * this.#pageSize);
    this.#checksum(volume, page, lsn, bytes);
    this.#setSum(slot, this.#sum[0] as number, this.#sum[1] as number);
    const at = this.#runLength * ENTRY_BYTES;
    this.#runView.setUint32(at, IN_USE, true);
    this.#runView.setUint32(at + 4, volume, true);
    this.#runView.setUint32(at + 8, page, true);
    this.#runView.setFloat64(at + 16, lsn, true);
    this.#runView.setUint32(at + 24, this.#sum[0] as number, true);
    this.#runView.setUint32(at + 28, this.#sum[1] as number, true);
    this.#runLength++;
  }

  /** Fills `into` with the verified bytes of a slot; false, and the slot is freed, where they are not what was stored. */
  read(slot: number, into: Uint8Array): boolean {
    const staged = slot - this.#runStart;
    if (staged >= 0 && staged < this.#runLength) {
      into.set(this.#run.subarray(staged * this.#pageSize, (staged + 1) * this.#pageSize));
      return true;
    }
    const { table } = this;
    if (this.#away !== undefined) {
      // Nobody can wait here: what is asked for meanwhile is fetched again.
      table.remove(slot);
      return false;
    }
    try {
      if (this.#data.readAt(slot * this.#pageSize, into) === this.#pageSize) {
        this.#checksum(table.volumeOf(slot), table.pageOf(slot), table.lsnOf(slot), into);
        const sums = this.#sums;
        if (sums[2 * slot] === this.#sum[0] && sums[2 * slot + 1] === this.#sum[1]) return true;
      }
    } catch (e) {
      if (isPagefoldError(e, "closed")) throw e;
      this.#options.recorder.count("local.cache.read_failed.count");
    }
    this.corruptSlots++;
    this.#options.recorder.count("local.cache.corrupt_slot.count");
    this.remove(slot);
    return false;
  }

  /** Frees a slot, on disk too. */
  remove(slot: number): void {
    this.writeRun();
    if (!this.#table.isUsed(slot)) return;
    this.#table.remove(slot);
    if (this.#away !== undefined) return;
    this.#guard(() => this.#index.writeAt((slot + 1) * ENTRY_BYTES, new Uint8Array(ENTRY_BYTES)));
  }

  clear(): void {
    this.#runLength = 0;
    this.#table = this.#emptyTable();
    this.#writable = true;
    if (this.#away === undefined) this.#guard(() => this.#reset());
    // What lies in slots of the old table is never taken for a page of the new one: its entries are written over, or fail their checksums.
  }

  /** Writes the pages that wait. */
  writeRun(): void {
    const length = this.#runLength;
    if (length === 0) return;
    const start = this.#runStart;
    this.#runLength = 0;
    const written = this.#guard(() => {
      this.#data.writeAt(start * this.#pageSize, this.#run.subarray(0, length * this.#pageSize));
      this.#index.writeAt((start + 1) * ENTRY_BYTES, this.#runEntries.subarray(0, length * ENTRY_BYTES));
    });
    if (written) return;
    for (let slot = start; slot < start + length; slot++) {
      if (this.#table.isUsed(slot)) this.#table.retire(slot);
    }
  }

  /** Writes what waits and asks the disk to keep it: only to make a later start warmer after a power cut. */
  flush(): void {
    this.writeRun();
    this.#guard(() => {
      this.#data.flush();
      this.#index.flush();
    });
  }

  /**
   * Gives room on the disk back, with the pages that were there: `bytes`, but an eighth of the tier at least, or all that it has. It does not grow again
   * before it is cleared. Returns how many bytes that are: 0 where it has none left.
   */
  giveWay(bytes: number): number {
    if (this.#away !== undefined) return 0;
    // The run may be among what goes.
    this.writeRun();
    const before = this.#data.size() + this.#index.size();
    let freed = 0;
    // The highest slots may never have been written.
    while (freed === 0 && this.#table.frontier > 0) {
      const slots = this.#table.frontier;
      const fewer = Math.max(Math.ceil(bytes / this.#pageSize), Math.ceil(slots / SHRINK_PARTS));
      const keep = Math.max(0, slots - fewer);
      this.#table.shrinkTo(keep);
      this.#guard(() => {
        this.#shrinkTo(this.#data, keep * this.#pageSize);
        this.#shrinkTo(this.#index, (keep + 1) * ENTRY_BYTES);
      });
      freed = before - this.#data.size() - this.#index.size();
    }
    if (freed === 0) return 0;
    this.#options.recorder.count("local.cache.gave_way.count");
    this.#giveBack();
    return freed;
  }

  #giveBack(): void {
    if (this.#data.giveBack === undefined) return;
    this.#away = this.#reopened().then(
      () => {
        this.#away = undefined;
      },
      // The files are gone: it stays away, and the cache is in memory alone.
      () => this.#options.recorder.count("local.cache.write_failed.count"),
    );
  }

  /** Both files are given back before this returns. */
  async #reopened(): Promise<void> {
    await Promise.all([this.#data.giveBack?.(), this.#index.giveBack?.()]);
  }

  async close(): Promise<void> {
    await this.#away;
    this.writeRun();
    await this.#data.close();
    await this.#index.close();
  }

  #emptyTable(): SlotTable {
    const { bytes, pageSize, inUse } = this.#options;
    // Files and index together stay within the setting.
    const slots = Math.max(0, Math.floor((bytes - ENTRY_BYTES) / (pageSize + ENTRY_BYTES)));
    const table: SlotTable = new SlotTable(slots, (slot) =>
      inUse(table.volumeOf(slot), table.pageOf(slot), table.lsnOf(slot)),
    );
    return table;
  }

  /** Reads the index that an earlier run left; slots are verified when they are read. */
  #load(): void {
    const head = new Uint8Array(ENTRY_BYTES);
    const n = this.#index.readAt(0, head);
    const view = new DataView(head.buffer);
    if (
      n < ENTRY_BYTES ||
      view.getBigUint64(0, true) !== INDEX_MAGIC ||
      view.getUint32(8, true) !== this.#pageSize
    ) {
      this.#reset();
      return;
    }
    const { capacityMax } = this.#table;
    this.#shrinkTo(this.#data, capacityMax * this.#pageSize);
    this.#shrinkTo(this.#index, (capacityMax + 1) * ENTRY_BYTES);
    const slots = Math.floor(this.#data.size() / this.#pageSize);
    const entries = new Uint8Array(READ_ENTRIES * ENTRY_BYTES);
    const entriesView = new DataView(entries.buffer);
    for (let first = 0; first < slots; first += READ_ENTRIES) {
      const count = Math.floor(this.#index.readAt((first + 1) * ENTRY_BYTES, entries) / ENTRY_BYTES);
      for (let i = 0; i < count && first + i < slots; i++)
        this.#restore(first + i, entriesView, i * ENTRY_BYTES);
      if (count < READ_ENTRIES) return;
    }
  }

  #restore(slot: number, view: DataView, at: number): void {
    const lsn = view.getFloat64(at + 16, true);
    if (view.getUint32(at, true) !== IN_USE || !Number.isSafeInteger(lsn) || lsn < 0) return;
    const restored = this.#table.restore(
      slot,
      view.getUint32(at + 4, true),
      view.getUint32(at + 8, true),
      lsn,
    );
    if (restored) this.#setSum(slot, view.getUint32(at + 24, true), view.getUint32(at + 28, true));
  }

  #reset(): void {
    this.#data.truncate(0);
    this.#index.truncate(0);
    const head = new Uint8Array(ENTRY_BYTES);
    const view = new DataView(head.buffer);
    view.setBigUint64(0, INDEX_MAGIC, true);
    view.setUint32(8, this.#pageSize, true);
    this.#index.writeAt(0, head);
  }

  #shrinkTo(file: BlockFile, size: number): void {
    if (file.size() > size) file.truncate(size);
  }

  #setSum(slot: number, low: number, high: number): void {
    if (2 * slot + 1 >= this.#sums.length) {
      const larger = new Uint32Array(Math.min(2 * this.#table.capacityMax, Math.max(512, 4 * (slot + 1))));
      larger.set(this.#sums);
      this.#sums = larger;
    }
    this.#sums[2 * slot] = low;
    this.#sums[2 * slot + 1] = high;
  }

  /** Leaves the checksum of a page in `#sum`: no allocation but the hash's own. */
  #checksum(volume: number, page: number, lsn: number, bytes: Uint8Array): void {
    this.#sum64[0] = this.#hash.xxh64(bytes);
    const lsnHigh = Math.floor(lsn / 0x1_0000_0000);
    const low = Math.imul(page, 0x9e37_79b1) ^ Math.imul(lsn, 0x85eb_ca6b) ^ Math.imul(volume, 0x27d4_eb2f);
    const high =
      Math.imul(volume, 0xc2b2_ae35) ^
      Math.imul(page, 0x1656_67b1) ^
      Math.imul(lsn + 1, 0x2c1b_3c6d) ^
      lsnHigh;
    this.#sum[0] = (this.#sum[0] as number) ^ low;
    this.#sum[1] = (this.#sum[1] as number) ^ high;
  }

  /** Runs a write. On a full disk the tier stops growing; on any other failure it takes no new pages. Returns success. */
  #guard(write: () => void): boolean {
    try {
      write();
      return true;
    } catch (e) {
      if (isPagefoldError(e, "closed")) throw e;
      if (isPagefoldError(e, "quota")) {
        this.#table.stopGrowing();
        this.#options.recorder.count("local.cache.disk_full.count");
      } else {
        this.#writable = false;
        this.#options.recorder.count("local.cache.write_failed.count");
      }
      return false;
    }
  }
}
