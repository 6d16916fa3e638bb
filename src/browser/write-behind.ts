/**
 * The way from the memory of block files to their database: changes are queued at once and stored later, one transaction at a time. What was flushed
 * is promised: it goes first, whole, and is tried again until it is stored. What is expendable goes when nothing promised waits, in parts, and gives its
 * room back before a promise fails. A key belongs to the one or the other for ever.
 */
import { isPagefoldError, type PagefoldError } from "../base/errors.ts";
import type { Changes } from "./idb-database.ts";

export interface WriteBehindTarget {
  apply(changes: Changes, durability: "strict" | "relaxed"): Promise<void>;
}

type Queue = Map<string, unknown>;

interface Running {
  readonly promised: boolean;
  done: Promise<void>;
}

/** Expendable values of one transaction, so that a promise waits for no more than these. */
const PART_VALUES = 16;

export class WriteBehind {
  readonly #target: WriteBehindTarget;
  #flushed: Queue = new Map();
  readonly #expendable: Queue = new Map();
  #running: Running | undefined;
  /** How often something was flushed, and up to which of these everything is stored. */
  #flushes = 0;
  #stored = 0;
  #full: PagefoldError | undefined;
  #tight: PagefoldError | undefined;
  #lost: PagefoldError | undefined;

  constructor(target: WriteBehindTarget) {
    this.#target = target;
  }

  /** Why nothing should grow now: what was promised did not fit. */
  get full(): PagefoldError | undefined {
    return this.#full;
  }

  /** Why nothing expendable should grow any more. */
  get tight(): PagefoldError | undefined {
    return this.#full ?? this.#tight;
  }

  /** Why nothing will be stored any more. */
  get lost(): PagefoldError | undefined {
    return this.#lost;
  }

  flushed(changes: Changes): void {
    if (changes.size === 0) return;
    for (const [key, value] of changes) this.#flushed.set(key, value);
    this.#flushes++;
    this.#start();
  }

  expendable(changes: Changes): void {
    for (const [key, value] of changes) this.#expendable.set(key, value);
    this.#start();
  }

  /** Resolves when everything flushed so far is stored. @throws why it is not; asking again tries again */
  async durable(): Promise<void> {
    const target = this.#flushes;
    while (this.#stored < target && this.#lost === undefined) {
      const running = this.#running ?? this.#start();
      if (running?.promised === false) await running.done.catch(() => {});
      else await running?.done;
    }
    if (this.#lost !== undefined) throw this.#lost;
  }

  /** Resolves when nothing expendable waits any more, or no more of it can be stored now. */
  async settled(): Promise<void> {
    try {
      while (this.#expendable.size > 0 && this.tight === undefined && this.#lost === undefined) {
        await (this.#running ?? this.#start())?.done;
      }
    } catch {
      // Nobody was promised that it would be.
    }
  }

  /** Takes back what waits of an expendable file. */
  forget(isTheirs: (key: string) => boolean): void {
    for (const key of this.#expendable.keys()) if (isTheirs(key)) this.#expendable.delete(key);
  }

  #start(): Running | undefined {
    if (this.#running !== undefined || this.#lost !== undefined) return this.#running;
    const next = this.#next();
    if (next === undefined) return undefined;
    const running: Running = { promised: next.promised, done: this.#store(next.batch, next.promised) };
    this.#running = running;
    // Whoever waits is told; where nobody does, the next one who asks is.
    running.done.catch(() => {});
    return running;
  }

  #next(): { readonly batch: Queue; readonly promised: boolean } | undefined {
    if (this.tight !== undefined) {
      // Browsers ask whether there is room for what is put, whatever the same transaction deletes.
      const batch = take(this.#expendable, Number.POSITIVE_INFINITY, (value) => value === undefined);
      if (batch.size > 0) return { batch, promised: false };
    }
    if (this.#stored < this.#flushes) {
      const batch = this.#flushed;
      this.#flushed = new Map();
      return { batch, promised: true };
    }
    if (this.#tight !== undefined || this.#expendable.size === 0) return undefined;
    return { batch: take(this.#expendable, PART_VALUES, () => true), promised: false };
  }

  async #store(batch: Queue, promised: boolean): Promise<void> {
    const flushes = this.#flushes;
    try {
      await this.#target.apply(batch, promised ? "strict" : "relaxed");
    } catch (e) {
      this.#running = undefined;
      this.#putBack(batch, promised ? this.#flushed : this.#expendable);
      if (isPagefoldError(e, "quota")) {
        if (promised) this.#full = e;
        else this.#tight = e;
      } else if (isPagefoldError(e) && !e.retryable) this.#lost = e;
      throw e;
    }
    this.#running = undefined;
    if (promised) this.#stored = flushes;
    this.#full = undefined;
    if (!promised) this.#tight = undefined;
    this.#start();
  }

  /** What was queued since is newer. */
  #putBack(batch: Queue, queue: Queue): void {
    for (const [key, value] of batch) if (!queue.has(key)) queue.set(key, value);
  }
}

/** Takes up to `count` entries out. */
function take(queue: Queue, count: number, wanted: (value: unknown) => boolean): Queue {
  const taken: Queue = new Map();
  for (const [key, value] of queue) {
    if (taken.size >= count) break;
    if (!wanted(value)) continue;
    taken.set(key, value);
    queue.delete(key);
  }
  return taken;
}
