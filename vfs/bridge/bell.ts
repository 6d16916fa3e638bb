/**
 * A few words of shared memory between the thread that runs SQLite and the one that moves bytes: whatever the waiting side must
 * wake up for rings it. Web standards only.
 *
 *   word 0  rings: counts up; the waiting side sleeps on it
 *   word 1  1 once every query is to be interrupted
 *   word 2  1 once the other side is gone
 *   …       numbers of queries that are to be interrupted, each at its number modulo the count of these words
 */

const RINGS = 0;
const ALL_INTERRUPTED = 1;
const CLOSED = 2;
const FIRST_SLOT = 3;
/** So many that wait at the same time can be interrupted one by one; beyond that a later one may take the place of an earlier one. */
const SLOTS = 1021;

export class Bell {
  readonly buffer: SharedArrayBuffer;
  readonly #words: Int32Array;

  /** A new one, or the one that the other side made. */
  constructor(buffer = new SharedArrayBuffer((FIRST_SLOT + SLOTS) * Int32Array.BYTES_PER_ELEMENT)) {
    this.buffer = buffer;
    this.#words = new Int32Array(buffer);
  }

  get rings(): number {
    return Atomics.load(this.#words, RINGS);
  }

  /** Wakes the waiting side. Whatever it shall see must have been stored before. */
  ring(): void {
    Atomics.add(this.#words, RINGS, 1);
    Atomics.notify(this.#words, RINGS);
  }

  /** Sleeps until the bell has rung more often than `seen`, or `ms` have passed. Blocks the thread. */
  wait(seen: number, ms: number): void {
    Atomics.wait(this.#words, RINGS, seen, ms);
  }

  /** Asks query number `query` (from 1 up) to end; others go on. */
  interrupt(query: number): void {
    Atomics.store(this.#words, slotOf(query), query);
    this.ring();
  }

  /** Asks every query to end, those to come as well. */
  interruptAll(): void {
    Atomics.store(this.#words, ALL_INTERRUPTED, 1);
    this.ring();
  }

  isInterrupted(query: number): boolean {
    return (
      Atomics.load(this.#words, ALL_INTERRUPTED) === 1 || Atomics.load(this.#words, slotOf(query)) === query
    );
  }

  /** Tells the waiting side that nobody will answer any more. */
  close(): void {
    Atomics.store(this.#words, CLOSED, 1);
    this.ring();
  }

  get closed(): boolean {
    return Atomics.load(this.#words, CLOSED) === 1;
  }
}

function slotOf(query: number): number {
  return FIRST_SLOT + (query % SLOTS);
}
