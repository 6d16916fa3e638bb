/** A store that writes down what was read of it, so that the same answers can be given to somebody else at once. Reading only. */
import { PagefoldError } from "../../../src/base/errors.ts";
import { mustBeFresh } from "../../../src/remote/bundled-store.ts";
import type { BundleEntry } from "../../../src/remote/http/bundle-codec.ts";
import type { GetOptions, ListEntry, ListOptions, ObjectStore } from "../../../src/remote/object-store.ts";
import type { CachedStore } from "../cache/with-cache.ts";

interface Part {
  readonly offset: number;
  readonly bytes: Uint8Array;
}

export class RecordingStore implements ObjectStore {
  readonly url: string;
  readonly capabilities = { write: false, list: true, conditionalCreate: "no" } as const;
  readonly #store: CachedStore;
  /** Empty until an answer is there: entries are in the order of the questions, whichever was answered first. */
  readonly #parts = new Map<string, Part[]>();
  /** Bytes of whole objects, where what was read of them tells. */
  readonly #totals = new Map<string, number>();
  readonly #absent = new Set<string>();
  readonly #listings = new Map<
    string,
    { readonly entries: readonly ListEntry[]; readonly complete: boolean } | undefined
  >();

  constructor(store: CachedStore) {
    this.url = store.url;
    this.#store = store;
  }

  async get(key: string, options: GetOptions = {}): Promise<Uint8Array | undefined> {
    if (!this.#parts.has(key)) this.#parts.set(key, []);
    const bytes = await this.#store.read(key, options.range, options.signal);
    if (bytes === undefined) this.#absent.add(key);
    else {
      const { offset = 0, length = Number.POSITIVE_INFINITY } = options.range ?? {};
      if (bytes.length < length && (offset === 0 || bytes.length > 0))
        this.#totals.set(key, offset + bytes.length);
      this.#keep(key, { offset, bytes });
    }
    // What is kept is shared with the cache; this caller may do as it likes.
    return bytes?.slice();
  }

  async list(prefix: string, options: ListOptions = {}): Promise<ListEntry[]> {
    const { startAfter, limit = 1000 } = options;
    if (startAfter === undefined && !this.#listings.has(prefix)) this.#listings.set(prefix, undefined);
    const entries = await this.#store.list(prefix, options);
    if (startAfter === undefined) this.#listings.set(prefix, { entries, complete: entries.length < limit });
    return entries;
  }

  put(): Promise<never> {
    return Promise.reject(readOnly());
  }

  delete(): Promise<never> {
    return Promise.reject(readOnly());
  }

  async close(): Promise<void> {}

  /**
   * Everything that was read, listings first, in the order in which it was asked for. But that a floor, or another value on which safety depends, is not
   * there: whoever relies on that must ask for it himself.
   */
  async entries(): Promise<BundleEntry[]> {
    const entries: BundleEntry[] = [];
    for (const [prefix, listing] of this.#listings)
      if (listing !== undefined) entries.push({ kind: "listing", prefix, ...listing });
    for (const [key, parts] of this.#parts) {
      if (parts.length === 0 && this.#absent.has(key) && !mustBeFresh(key))
        entries.push({ kind: "absent", key });
    }
    for (const [key, unsorted] of this.#parts) {
      if (unsorted.length === 0) continue;
      const parts = [...unsorted].sort((a, b) => a.offset - b.offset);
      const total = this.#totals.get(key) ?? (await this.#store.sizeOf(key));
      if (total === undefined) continue;
      for (const { offset, bytes } of parts) entries.push({ kind: "bytes", key, offset, total, bytes });
    }
    return entries;
  }

  #keep(key: string, part: Part): void {
    const parts = this.#parts.get(key) ?? [];
    if (parts.some((other) => holds(other, part))) return;
    this.#parts.set(key, [...parts.filter((other) => !holds(part, other)), part]);
  }
}

function holds(outer: Part, inner: Part): boolean {
  return (
    outer.offset <= inner.offset && outer.offset + outer.bytes.length >= inner.offset + inner.bytes.length
  );
}

function readOnly(): PagefoldError {
  return new PagefoldError("forbidden", "a store that is read for a bundle takes no writes");
}
