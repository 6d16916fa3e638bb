/** The memory tier of the page cache: slots cut from slabs of 1 MiB, allocated as pages arrive and never beyond the setting. */
import { NONE, SlotTable } from "./slot-table.ts";

const SLAB_BYTES = 1024 * 1024;

export class MemoryTier {
  readonly table: SlotTable;
  readonly #pageSize: number;
  readonly #pagesPerSlab: number;
  readonly #slabs: Uint8Array[] = [];
  /** One view per slot, made when the slot is first used: a hit allocates nothing. */
  readonly #views: Uint8Array[] = [];

  constructor(pageSize: number, bytes: number) {
    this.#pageSize = pageSize;
    this.#pagesPerSlab = Math.max(1, Math.floor(SLAB_BYTES / pageSize));
    this.table = new SlotTable(Math.floor(bytes / pageSize));
  }

  /** A slot for a page that has none, or NONE where everything is pinned or the tier has no slots. Its bytes are the caller's to fill. */
  insert(volume: number, page: number, lsn: number, prefetched: boolean): number {
    const slot = this.table.insert(volume, page, lsn, prefetched);
    if (slot !== NONE) while (this.#views.length <= slot) this.#addView(this.#views.length);
    return slot;
  }

  /** The bytes of a slot, to read or to fill. */
  view(slot: number): Uint8Array {
    return this.#views[slot] as Uint8Array;
  }

  #addView(slot: number): void {
    const slabIndex = Math.floor(slot / this.#pagesPerSlab);
    let slab = this.#slabs[slabIndex];
    if (slab === undefined) {
      // The last slab is cut short, so that the setting is met exactly.
      const pages = Math.min(this.#pagesPerSlab, this.table.capacityMax - slabIndex * this.#pagesPerSlab);
      slab = new Uint8Array(pages * this.#pageSize);
      this.#slabs.push(slab);
    }
    const at = (slot - slabIndex * this.#pagesPerSlab) * this.#pageSize;
    this.#views.push(slab.subarray(at, at + this.#pageSize));
  }
}
