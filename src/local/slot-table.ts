/**
 * Which page lies in which slot of one cache tier, and which slot is to be given up next. Everything is a typed array, so that a lookup
 * allocates nothing and touches a handful of words: an open-addressing index over slots keyed by (volume, page, LSN), and the
 * two queues of S3-FIFO (Yang et al., "FIFO queues are all you need for cache eviction", SOSP 2023): new pages pass
 * through a small queue, and only those that are read again there reach the main one, so that a scan displaces
 * nothing but other scanned pages.
 */
import { assert } from "../base/assert.ts";

/** No slot; also the end of a queue. */
export const NONE = -1;

/** Lowest bits of a slot's state: how often it was read since the queue hand passed, 0–3. */
const FREQUENCY = 0b11;
const IN_MAIN = 0b100;
const USED = 0b1000;
const PINNED = 0b1_0000;
/** Inserted ahead of any read, and not read since. */
const PREFETCHED = 0b10_0000;

/** The share of slots that the small queue may hold once the tier is full. */
const SMALL_SHARE = 0.1;
const FIRST_CAPACITY = 256;
/** How many victims one insertion may spare: bounds its cost where a lower tier is no larger than the one above. */
const SPARES_MAX = 8;

export class SlotTable {
  readonly capacityMax: number;
  /** Pages given up for others. */
  evictions = 0;
  readonly #spare: ((slot: number) => boolean) | undefined;
  #limit: number;
  #capacity = 0;
  /** Slots ever handed out: those at and above are untouched. */
  #frontier = 0;
  #free = NONE;
  #count = 0;
  #pinned = 0;
  #volume = new Uint32Array(0);
  #page = new Uint32Array(0);
  #lsn = new Float64Array(0);
  #state = new Uint8Array(0);
  /** Neighbours in the slot's queue; `#older` also chains free slots. */
  #newer = new Int32Array(0);
  #older = new Int32Array(0);
  /** Slot + 1, or 0 for empty; linear probing, deletion by shifting back. */
  #index = new Uint32Array(16);
  #mask = 15;
  /** Fingerprints of pages that left the small queue unread; direct-mapped, so newer ones overwrite older ones. */
  #ghosts = new Uint32Array(16);
  readonly #small = new Queue();
  readonly #main = new Queue();

  /** `spare` may ask to keep a victim for another round, where a tier above knows that it is in use. */
  constructor(capacityMax: number, spare?: (slot: number) => boolean) {
    assert(
      Number.isInteger(capacityMax) && capacityMax >= 0 && capacityMax < 2 ** 30,
      "slot capacity out of range",
    );
    this.capacityMax = capacityMax;
    this.#limit = capacityMax;
    this.#spare = spare;
  }

  /** Slots in use. */
  get count(): number {
    return this.#count;
  }

  /** One more than the highest slot ever used. */
  get frontier(): number {
    return this.#frontier;
  }

  get pinnedCount(): number {
    return this.#pinned;
  }

  /** The slot of a page, or NONE. Counts as no read. */
  find(volume: number, page: number, lsn: number): number {
    const mask = this.#mask;
    for (let i = hashKey(volume, page, lsn) & mask; ; i = (i + 1) & mask) {
      const entry = this.#index[i] as number;
      if (entry === 0) return NONE;
      const slot = entry - 1;
      if (this.#page[slot] === page && this.#lsn[slot] === lsn && this.#volume[slot] === volume) return slot;
    }
  }

  /** Notes a read of `slot`; false where that changed nothing, which is the rule for a hot page. */
  touch(slot: number): boolean {
    const state = this.#state[slot] as number;
    if ((state & FREQUENCY) === FREQUENCY && (state & PREFETCHED) === 0) return false;
    this.#state[slot] = (state & ~PREFETCHED) + ((state & FREQUENCY) === FREQUENCY ? 0 : 1);
    return true;
  }

  /** Whether the page was inserted ahead of any read and not touched since. */
  isUnreadPrefetch(slot: number): boolean {
    return ((this.#state[slot] as number) & PREFETCHED) !== 0;
  }

  /** How often the page was read since the eviction hand passed it: 0 to 3, where 3 is "at least". */
  readsOf(slot: number): number {
    return (this.#state[slot] as number) & FREQUENCY;
  }

  /**
   * Takes a slot for a page that has none: a free one, a new one, or that of a page which is evicted for it. NONE where the tier
   * has no room at all.
   */
  insert(volume: number, page: number, lsn: number, prefetched: boolean): number {
    let slot = this.#takeFree();
    if (slot === NONE) {
      const victim = this.#victim();
      if (victim === NONE) return NONE;
      this.evictions++;
      this.remove(victim);
      slot = this.#takeFree();
    }
    const hash = hashKey(volume, page, lsn);
    const ghost = hash & (this.#ghosts.length - 1);
    const known = this.#ghosts[ghost] === hash >>> 0;
    if (known) this.#ghosts[ghost] = 0;
    this.#volume[slot] = volume;
    this.#page[slot] = page;
    this.#lsn[slot] = lsn;
    this.#state[slot] = USED | (known ? IN_MAIN : 0) | (prefetched ? PREFETCHED : 0);
    this.#link(known ? this.#main : this.#small, slot);
    this.#indexAdd(slot, hash);
    this.#count++;
    return slot;
  }

  /** Puts a page into the slot where an earlier run left it; false where the slot or the page is taken already. */
  restore(slot: number, volume: number, page: number, lsn: number): boolean {
    if (slot >= this.capacityMax || this.find(volume, page, lsn) !== NONE) return false;
    assert(slot >= this.#frontier, "slots are restored in rising order");
    // What lies between was empty.
    while (this.#frontier < slot) this.#release(this.#takeNew());
    const taken = this.#takeNew();
    this.#volume[taken] = volume;
    this.#page[taken] = page;
    this.#lsn[taken] = lsn;
    // What survived until now was worth keeping: new pages are to prove themselves first.
    this.#state[taken] = USED | IN_MAIN;
    this.#link(this.#main, taken);
    this.#indexAdd(taken, hashKey(volume, page, lsn));
    this.#count++;
    return true;
  }

  /** Frees a slot. */
  remove(slot: number): void {
    this.#detach(slot);
    this.#release(slot);
  }

  /** Frees a slot that cannot hold anything any more (its place could not be written), and ends the growth of the table. */
  retire(slot: number): void {
    this.#detach(slot);
    this.#state[slot] = 0;
    this.stopGrowing();
  }

  /** From now on only slots that exist are used. */
  stopGrowing(): void {
    this.#limit = this.#frontier;
  }

  /** Gives up the slots from `limit` on, the pages in them and whatever was to come: from now on only those below are used. */
  shrinkTo(limit: number): void {
    for (let slot = limit; slot < this.#frontier; slot++) {
      if (!this.isUsed(slot)) continue;
      this.remove(slot);
      this.evictions++;
    }
    let kept = NONE;
    for (let slot = this.#free; slot !== NONE; ) {
      const next = this.#older[slot] as number;
      if (slot < limit) {
        this.#older[slot] = kept;
        kept = slot;
      }
      slot = next;
    }
    this.#free = kept;
    this.#frontier = Math.min(this.#frontier, limit);
    this.stopGrowing();
  }

  #detach(slot: number): void {
    assert(this.isUsed(slot), "a free slot was freed");
    const state = this.#state[slot] as number;
    this.#unlink((state & IN_MAIN) === 0 ? this.#small : this.#main, slot);
    this.#indexRemove(slot);
    if ((state & PINNED) !== 0) this.#pinned--;
    this.#count--;
  }

  /** Pinned slots are never victims. */
  setPinned(slot: number, pinned: boolean): void {
    const state = this.#state[slot] as number;
    if (((state & PINNED) !== 0) === pinned) return;
    this.#state[slot] = state ^ PINNED;
    this.#pinned += pinned ? 1 : -1;
  }

  isPinned(slot: number): boolean {
    return ((this.#state[slot] as number) & PINNED) !== 0;
  }

  isUsed(slot: number): boolean {
    return slot < this.#frontier && ((this.#state[slot] as number) & USED) !== 0;
  }

  volumeOf(slot: number): number {
    return this.#volume[slot] as number;
  }

  pageOf(slot: number): number {
    return this.#page[slot] as number;
  }

  lsnOf(slot: number): number {
    return this.#lsn[slot] as number;
  }

  /** The next page to give up, by S3-FIFO, still in its slot; NONE where all are pinned. */
  #victim(): number {
    const smallMax = Math.max(1, Math.floor(this.#frontier * SMALL_SHARE));
    let spares = SPARES_MAX;
    const spared = (slot: number): boolean => spares > 0 && this.#spare?.(slot) === true && spares-- > 0;
    // Each step lowers a frequency, moves a page from small to main, passes a pinned or spared page, or ends.
    for (let steps = 8 * (this.#count + 1); steps > 0; steps--) {
      if (this.#small.length > 0 && (this.#small.length > smallMax || this.#main.length === 0)) {
        const slot = this.#small.oldest;
        const state = this.#state[slot] as number;
        // The read that a page was fetched for is the first; only a second one says that it is wanted again.
        if ((state & FREQUENCY) > 1 || (state & PINNED) !== 0 || spared(slot)) {
          this.#unlink(this.#small, slot);
          this.#state[slot] = (state & ~FREQUENCY) | IN_MAIN;
          this.#link(this.#main, slot);
          continue;
        }
        this.#remember(slot);
        return slot;
      }
      if (this.#main.length === 0) return NONE;
      const slot = this.#main.oldest;
      const state = this.#state[slot] as number;
      if ((state & (FREQUENCY | PINNED)) === 0 && !spared(slot)) return slot;
      if ((state & FREQUENCY) !== 0) this.#state[slot] = state - 1;
      this.#unlink(this.#main, slot);
      this.#link(this.#main, slot);
    }
    return this.#anyUnpinned();
  }

  /** With most pages pinned the queues can turn in circles: take the oldest page of the small queue that is not pinned. */
  #anyUnpinned(): number {
    for (const queue of [this.#small, this.#main]) {
      for (let slot = queue.oldest; slot !== NONE; slot = this.#newer[slot] as number) {
        if (!this.isPinned(slot)) return slot;
      }
    }
    return NONE;
  }

  #remember(slot: number): void {
    const hash = hashKey(this.volumeOf(slot), this.pageOf(slot), this.lsnOf(slot));
    this.#ghosts[hash & (this.#ghosts.length - 1)] = hash >>> 0;
  }

  #takeFree(): number {
    const slot = this.#free;
    if (slot !== NONE) {
      this.#free = this.#older[slot] as number;
      return slot;
    }
    return this.#frontier < this.#limit ? this.#takeNew() : NONE;
  }

  #takeNew(): number {
    if (this.#frontier === this.#capacity) this.#grow();
    return this.#frontier++;
  }

  #release(slot: number): void {
    this.#state[slot] = 0;
    this.#older[slot] = this.#free;
    this.#free = slot;
  }

  #link(queue: Queue, slot: number): void {
    this.#older[slot] = queue.newest;
    this.#newer[slot] = NONE;
    if (queue.newest === NONE) queue.oldest = slot;
    else this.#newer[queue.newest] = slot;
    queue.newest = slot;
    queue.length++;
  }

  #unlink(queue: Queue, slot: number): void {
    const newer = this.#newer[slot] as number;
    const older = this.#older[slot] as number;
    if (newer === NONE) queue.newest = older;
    else this.#older[newer] = older;
    if (older === NONE) queue.oldest = newer;
    else this.#newer[older] = newer;
    queue.length--;
  }

  #indexAdd(slot: number, hash: number): void {
    let i = hash & this.#mask;
    while (this.#index[i] !== 0) i = (i + 1) & this.#mask;
    this.#index[i] = slot + 1;
  }

  #indexRemove(slot: number): void {
    const mask = this.#mask;
    let hole = hashKey(this.volumeOf(slot), this.pageOf(slot), this.lsnOf(slot)) & mask;
    while (this.#index[hole] !== slot + 1) hole = (hole + 1) & mask;
    for (let i = (hole + 1) & mask; this.#index[i] !== 0; i = (i + 1) & mask) {
      const other = (this.#index[i] as number) - 1;
      const home = hashKey(this.volumeOf(other), this.pageOf(other), this.lsnOf(other)) & mask;
      // It may move into the hole unless its home lies between the hole and itself.
      if (((i - home) & mask) < ((i - hole) & mask)) continue;
      this.#index[hole] = other + 1;
      hole = i;
    }
    this.#index[hole] = 0;
  }

  #grow(): void {
    const capacity = Math.min(this.capacityMax, Math.max(FIRST_CAPACITY, this.#capacity * 2));
    assert(capacity > this.#capacity, "the table is full");
    this.#capacity = capacity;
    this.#volume = grown(this.#volume, new Uint32Array(capacity));
    this.#page = grown(this.#page, new Uint32Array(capacity));
    this.#lsn = grown(this.#lsn, new Float64Array(capacity));
    this.#state = grown(this.#state, new Uint8Array(capacity));
    this.#newer = grown(this.#newer, new Int32Array(capacity));
    this.#older = grown(this.#older, new Int32Array(capacity));
    this.#ghosts = new Uint32Array(2 ** Math.floor(Math.log2(capacity)));
    const size = 2 ** Math.ceil(Math.log2(capacity * 1.4));
    this.#index = new Uint32Array(size);
    this.#mask = size - 1;
    for (let slot = 0; slot < this.#frontier; slot++) {
      if (!this.isUsed(slot)) continue;
      this.#indexAdd(slot, hashKey(this.volumeOf(slot), this.pageOf(slot), this.lsnOf(slot)));
    }
  }
}

class Queue {
  newest = NONE;
  oldest = NONE;
  length = 0;
}

/** 32 well-mixed bits of a page's identity. LSNs that differ by a multiple of 2^32 only collide, no more. */
function hashKey(volume: number, page: number, lsn: number): number {
  let h = Math.imul(page, 0x9e37_79b1) ^ Math.imul(volume, 0x85eb_ca6b) ^ Math.imul(lsn, 0xc2b2_ae35);
  h = Math.imul(h ^ (h >>> 15), 0x2c1b_3c6d);
  return h ^ (h >>> 13);
}

function grown<T extends Uint8Array | Uint32Array | Int32Array | Float64Array>(old: T, next: T): T {
  next.set(old);
  return next;
}
