/**
 * A few words of shared memory between the thread that runs SQLite and the one that moves bytes: whatever the waiting side must
 * wake up for rings it. Web standards only.
 *
 *   word 0  rings: counts up; the waiting side sleeps on it
 *   word 1  number of the query that is to be interrupted; 0 for none
 *   word 2  1 once the other side is gone
 */

const RINGS = 0;
const INTERRUPTED = 1;
const CLOSED = 2;
const WORDS = 3;

export class Bell {
  readonly buffer: SharedArrayBuffer;
  readonly #words: Int32Array;

  /** A new one, or the one that the other side made. */
  constructor(buffer = new SharedArrayBuffer(WORDS * Int32Array.BYTES_PER_ELEMENT)) {
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
    Atomics.store(this.#words, INTERRUPTED, query);
    this.ring();
  }

  get interrupted(): number {
    return Atomics.load(this.#words, INTERRUPTED);
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
