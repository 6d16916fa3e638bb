/**
 * An ObjectStore over one that can answer much in one request: what came in a bundle, or with news of a commit, answers the calls that
 * would have asked for it singly. A hint, bounded in bytes and, where what it says may change, in time; whatever it lacks is asked for.
 */
import { isPagefoldError } from "../base/errors.ts";
import { Lru } from "../base/lru.ts";
import type { Runtime } from "../base/runtime.ts";
import type {
  Body,
  Bundle,
  ByteRange,
  GetOptions,
  HttpAddress,
  ListEntry,
  ListOptions,
  ObjectStore,
  PutOptions,
  StoreCapabilities,
  StoredBytes,
} from "./object-store.ts";

type Signal = { readonly signal?: AbortSignal };

export interface BundledStoreOptions {
  readonly runtime: Runtime;
  /** Most bytes that are kept; default 16 MiB. */
  readonly bytes?: number;
}

const DEFAULT_BYTES = 16 * 2 ** 20;
/** How long an absence or a listing may stand for what is there now. It is used once. */
const FRESH_MS = 5000;
/** What an entry costs beside its bytes. */
const ENTRY_BYTES = 200;

interface Listing {
  readonly entries: readonly ListEntry[];
  readonly complete: boolean;
  readonly since: number;
}

export class BundledStore implements ObjectStore {
  readonly url: string;
  readonly capabilities: StoreCapabilities;
  readonly http?: HttpAddress;
  readonly watch?: NonNullable<ObjectStore["watch"]>;
  readonly #store: ObjectStore;
  readonly #runtime: Runtime;
  /** Ranges of each object, by key. */
  readonly #objects: Lru<string, readonly StoredBytes[]>;
  /** Whether anything was put into `#objects` since they were dropped. */
  #some = false;
  readonly #absent = new Map<string, number>();
  readonly #listings = new Map<string, Listing>();

  constructor(store: ObjectStore, options: BundledStoreOptions) {
    this.#store = store;
    this.#runtime = options.runtime;
    this.#objects = new Lru(options.bytes ?? DEFAULT_BYTES);
    this.url = store.url;
    this.capabilities = store.capabilities;
    if (store.http !== undefined) this.http = store.http;
    if (store.watch !== undefined) this.watch = store.watch.bind(store);
  }

  /**
   * Learns what opening the volume `name`, or moving there from a commit, will ask for. Best effort: where it fails, the calls that follow ask
   * for themselves, and tell what is wrong.
   */
  async prime(name: string, from: number, options: Signal = {}): Promise<void> {
    if (this.#store.bundle === undefined) return;
    try {
      const bundle = await this.#store.bundle(name, { from, ...options });
      if (bundle !== undefined) this.learn(bundle);
    } catch (error) {
      if (!isPagefoldError(error) || error.code === "aborted") throw error;
    }
  }

  learn(bundle: Bundle): void {
    const since = this.#runtime.monotonic();
    for (const part of bundle.objects) this.#keep(part);
    for (const key of bundle.absent) if (!mustBeFresh(key)) this.#absent.set(key, since);
    for (const { prefix, entries, complete } of bundle.listings)
      this.#listings.set(prefix, { entries, complete, since });
  }

  /**
   * Does some work, and where it meets bytes that do not verify does it once more without what came in bundles: what was damaged on its way here must
   * not stay between a reader and the store. The work must be such that it can be done twice.
   */
  async orSingly<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (!isPagefoldError(error, "corrupt") || !this.forget()) throw error;
      return work();
    }
  }

  /** Drops everything that came in bundles; answers whether there was anything. */
  forget(): boolean {
    const any = this.#some || this.#absent.size > 0 || this.#listings.size > 0;
    this.#some = false;
    this.#objects.clear();
    this.#absent.clear();
    this.#listings.clear();
    return any;
  }

  async get(key: string, options: GetOptions = {}): Promise<Uint8Array | undefined> {
    const part = this.#objects.get(key)?.find((each) => covers(each, options.range));
    if (part !== undefined) return cut(part, options.range);
    if (this.#takeFresh(this.#absent, key, (since) => since) !== undefined) return undefined;
    return this.#store.get(key, options);
  }

  async list(prefix: string, options: ListOptions = {}): Promise<ListEntry[]> {
    const { startAfter, limit = 1000 } = options;
    if (startAfter === undefined) {
      const known = this.#takeFresh(this.#listings, prefix, ({ since }) => since);
      if (known !== undefined && (known.complete || known.entries.length >= limit))
        return known.entries.slice(0, limit);
    }
    return this.#store.list(prefix, options);
  }

  put(key: string, body: Body, options?: PutOptions): Promise<"created" | "exists"> {
    this.#absent.delete(key);
    this.#listings.clear();
    return this.#store.put(key, body, options);
  }

  async delete(keys: readonly string[], options?: Signal): Promise<void> {
    for (const key of keys) this.#objects.delete(key);
    this.#listings.clear();
    await this.#store.delete(keys, options);
  }

  close(): Promise<void> {
    return this.#store.close();
  }

  #keep(part: StoredBytes): void {
    const others = this.#objects.get(part.key)?.filter((each) => !contains(part, each)) ?? [];
    if (others.some((each) => contains(each, part))) return;
    const parts = [...others, part];
    this.#some = true;
    this.#objects.set(
      part.key,
      parts,
      parts.reduce((sum, { bytes }) => sum + bytes.length + ENTRY_BYTES, 0),
    );
  }

  /** An answer about the present, which is used once and not for long. */
  #takeFresh<T>(map: Map<string, T>, key: string, sinceOf: (value: T) => number): T | undefined {
    const value = map.get(key);
    if (value === undefined) return undefined;
    map.delete(key);
    return this.#runtime.monotonic() - sinceOf(value) <= FRESH_MS ? value : undefined;
  }
}

/**
 * Whether that a key is absent must be true now, however fresh a bundle is: pushes are acknowledged, and pins counted on, when the next floor is found
 * absent after them.
 */
export function mustBeFresh(key: string): boolean {
  return /^volumes\/[^/]+\/(?:floor|config|deleted|leases)\//.test(key);
}

function contains(outer: StoredBytes, inner: StoredBytes): boolean {
  return (
    outer.total === inner.total &&
    outer.offset <= inner.offset &&
    outer.offset + outer.bytes.length >= inner.offset + inner.bytes.length
  );
}

function covers({ offset, total, bytes }: StoredBytes, range: ByteRange | undefined): boolean {
  const from = range === undefined ? 0 : Math.min(range.offset, total);
  const to = range === undefined ? total : Math.min(range.offset + range.length, total);
  return offset <= from && offset + bytes.length >= to;
}

/** A copy: the caller owns what it gets. */
function cut({ offset, total, bytes }: StoredBytes, range: ByteRange | undefined): Uint8Array {
  if (range === undefined) return bytes.slice();
  const from = Math.min(range.offset, total);
  const to = Math.min(range.offset + range.length, total);
  return bytes.slice(from - offset, to - offset);
}
