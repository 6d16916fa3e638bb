/**
 * The way from the memory of block files to their database: changes are queued at once and stored later, in the order of the queue, one transaction
 * at a time. What was flushed is promised, and tried again until it is stored; what was only written goes when nothing promised waits, and may be
 * taken back when there is no room.
 */
import { isPagefoldError, type PagefoldError } from "../base/errors.ts";
import type { Changes } from "./idb-database.ts";

export interface WriteBehindTarget {
  apply(changes: Changes, durability: "strict" | "relaxed"): Promise<void>;
}

type Queue = Map<string, unknown>;

/** What was only written is stored in parts of so many values, so that a promise waits for no more than one of them. */
const PART_VALUES = 16;

export class WriteBehind {
  readonly #target: WriteBehindTarget;
  #flushed: Queue = new Map();
  #written: Queue = new Map();
  #running: Running | undefined;
  /** How often something was flushed, and up to which of these everything is stored. */
  #flushes = 0;
  #stored = 0;
  #full: PagefoldError | undefined;
  #lost: PagefoldError | undefined;

  constructor(target: WriteBehindTarget) {
    this.#target = target;
  }

  /** Why nothing should grow now: the last transaction did not fit. */
  get full(): PagefoldError | undefined {
    return this.#full;
  }

  /** Why nothing will be stored any more. */
  get lost(): PagefoldError | undefined {
    return this.#lost;
  }

  /** @param isTheirs whether a key is one of the file's that was flushed: with it goes what it had only written before */
  flushed(changes: Changes, isTheirs: (key: string) => boolean): void {
    for (const [key, value] of this.#written) {
      if (!isTheirs(key)) continue;
      this.#written.delete(key);
      this.#flushed.set(key, value);
    }
    for (const [key, value] of changes) this.#flushed.set(key, value);
    if (this.#running !== undefined) this.#running.promised = true;
    this.#flushes++;
    this.#start();
  }

  written(changes: Changes): void {
    for (const [key, value] of changes) this.#written.set(key, value);
    this.#start();
  }

  /** Resolves when everything flushed so far is stored. @throws why it is not; asking again tries again */
  async durable(): Promise<void> {
    const target = this.#flushes;
    while (this.#stored < target && this.#lost === undefined) {
      const running = this.#running;
      // What was only written, and did not fit, is nothing that was promised.
      if (running !== undefined && !running.flushed) await running.done.catch(() => {});
      else await (running ?? this.#start())?.done;
    }
    if (this.#lost !== undefined) throw this.#lost;
  }

  /** Resolves when nothing waits any more. */
  async drained(): Promise<void> {
    while (this.#running !== undefined || this.#flushed.size + this.#written.size > 0) {
      if (this.#lost !== undefined) throw this.#lost;
      await (this.#running ?? this.#start())?.done;
    }
  }

  /** Takes back what was written and not flushed, of these keys. */
  forget(isTheirs: (key: string) => boolean): void {
    for (const key of this.#written.keys()) if (isTheirs(key)) this.#written.delete(key);
  }

  #start(): Running | undefined {
    if (this.#running !== undefined || this.#lost !== undefined) return this.#running;
    const flushed = this.#stored < this.#flushes;
    const batch = flushed ? this.#flushed : firstOf(this.#written, PART_VALUES);
    if (flushed) this.#flushed = new Map();
    else if (batch.size === 0) return undefined;
    const running: Running = { flushed, promised: flushed, done: Promise.resolve() };
    this.#running = running;
    running.done = this.#store(batch, running);
    // Whoever waits is told; where nobody does, the next one who asks is.
    running.done.catch(() => {});
    return running;
  }

  async #store(batch: Queue, running: Running): Promise<void> {
    const flushes = this.#flushes;
    try {
      if (batch.size > 0) await this.#target.apply(batch, running.flushed ? "strict" : "relaxed");
    } catch (e) {
      this.#running = undefined;
      this.#putBack(batch, running);
      if (isPagefoldError(e, "quota")) this.#full = e;
      else if (isPagefoldError(e) && !e.retryable) this.#lost = e;
      throw e;
    }
    this.#running = undefined;
    this.#full = undefined;
    if (running.flushed) this.#stored = flushes;
    this.#start();
  }

  /** Below what was queued since; a flush that came meanwhile has promised this, too. */
  #putBack(batch: Queue, { promised }: Running): void {
    for (const [key, value] of batch) {
      if (this.#flushed.has(key)) continue;
      if (promised) this.#flushed.set(key, value);
      else if (!this.#written.has(key)) this.#written.set(key, value);
    }
  }
}

interface Running {
  /** Whether what is being stored was flushed, or only written. */
  readonly flushed: boolean;
  /** A flush has begun since, which counts on it. */
  promised: boolean;
  done: Promise<void>;
}

/** Takes up to `count` entries out. */
function firstOf(queue: Queue, count: number): Queue {
  const first: Queue = new Map();
  for (const [key, value] of queue) {
    if (first.size === count) break;
    first.set(key, value);
    queue.delete(key);
  }
  return first;
}
