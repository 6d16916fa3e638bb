/**
 * Deletes in batches, a few at once, and counts by kind; in a dry run it only counts. Memory holds no more than the batches under way.
 */
import { throwIfAborted } from "../../base/errors.ts";
import { Semaphore } from "../../base/semaphore.ts";
import type { ListEntry, ObjectStore } from "../../remote/object-store.ts";

export const SWEPT_KINDS = ["commits", "rollups", "segments", "checkpoints", "compacted", "others"] as const;
export type SweptKind = (typeof SWEPT_KINDS)[number];

/** Objects by kind; `others`: pins, and superseded values of floors and leases. */
export type SweptCounts = { readonly [kind in SweptKind]: number };

export const noneSwept: SweptCounts = {
  ...{ commits: 0, rollups: 0, segments: 0, checkpoints: 0, compacted: 0, others: 0 },
};

export interface SweepProgress {
  readonly objects: number;
  readonly bytes: number;
}

export interface SweeperOptions {
  readonly dryRun: boolean;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: SweepProgress) => void;
  readonly onObject?: (entry: ListEntry, kind: SweptKind) => void;
  /** Called before the first batch, and before every later one: a lease is renewed here. */
  readonly beforeBatch: () => Promise<void>;
}

const BATCH = 1000;
const AT_ONCE = 4;

export class Sweeper {
  readonly #store: ObjectStore;
  readonly #options: SweeperOptions;
  readonly #slots = new Semaphore(AT_ONCE, "a batch of deletions");
  readonly #counts = { ...noneSwept } as { [kind in SweptKind]: number };
  #bytes = 0;
  #objects = 0;
  #keys: string[] = [];
  readonly #running = new Set<Promise<void>>();
  #failure: { readonly error: unknown } | undefined;

  constructor(store: ObjectStore, options: SweeperOptions) {
    this.#store = store;
    this.#options = options;
  }

  get counts(): SweptCounts {
    return { ...this.#counts };
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Takes an object; it is gone after the next `flush`, or before. */
  async take(entry: ListEntry, kind: SweptKind): Promise<void> {
    this.#counts[kind]++;
    this.#bytes += entry.size;
    this.#options.onObject?.(entry, kind);
    this.#keys.push(entry.key);
    if (this.#keys.length >= BATCH) await this.#send();
  }

  /** Resolves when everything that was taken is gone. */
  async flush(): Promise<void> {
    await this.#send();
    await Promise.all(this.#running);
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  async #send(): Promise<void> {
    const { dryRun, signal, onProgress } = this.#options;
    throwIfAborted(signal, "the collection");
    if (this.#failure !== undefined) throw this.#failure.error;
    const keys = this.#keys;
    if (keys.length === 0) return;
    this.#keys = [];
    const done = () => {
      this.#objects += keys.length;
      onProgress?.({ objects: this.#objects, bytes: this.#bytes });
    };
    if (dryRun) return done();
    await this.#options.beforeBatch();
    const release = await this.#slots.acquire(signal);
    const running = this.#store
      .delete(keys, signal === undefined ? {} : { signal })
      .then(done, (error: unknown) => {
        this.#failure ??= { error };
      })
      .finally(() => {
        release();
        this.#running.delete(running);
      });
    this.#running.add(running);
  }
}
