/**
 * Objects in this process's memory: for tests, simulations and throw-away stores. It keeps the whole contract but survival of
 * a crash, and takes a million small objects. `close` ends nothing: the objects live as long as the store.
 */
import { throwIfAborted } from "../base/errors.ts";
import { checkConditionalBody, collectBody } from "./body.ts";
import { checkKey, checkLimit, checkPrefix, checkRange, compareKeys } from "./keys.ts";
import type {
  Body,
  GetOptions,
  ListEntry,
  ListOptions,
  ObjectStore,
  PutOptions,
  StoreCapabilities,
} from "./object-store.ts";
import { SortedKeys } from "./sorted-keys.ts";

export class MemoryObjectStore implements ObjectStore {
  readonly url = "memory:";
  readonly capabilities: StoreCapabilities = { write: true, list: true, conditionalCreate: "yes" };
  readonly #objects = new Map<string, Uint8Array>();
  readonly #keys = new SortedKeys();

  /** Number of objects. */
  get size(): number {
    return this.#objects.size;
  }

  async get(key: string, options: GetOptions = {}): Promise<Uint8Array | undefined> {
    checkKey(key);
    throwIfAborted(options.signal, `reading ${key}`);
    const { range } = options;
    if (range !== undefined) checkRange(range);
    const bytes = this.#objects.get(key);
    return range === undefined ? bytes?.slice() : bytes?.slice(range.offset, range.offset + range.length);
  }

  async put(key: string, body: Body, options: PutOptions = {}): Promise<"created" | "exists"> {
    checkKey(key);
    checkConditionalBody(key, body, options);
    throwIfAborted(options.signal, `writing ${key}`);
    if (options.ifAbsent === true && this.#objects.has(key)) return "exists";
    if (body instanceof Uint8Array) {
      this.#set(key, body.slice());
    } else {
      const bytes = await collectBody(body, options.signal, `writing ${key}`);
      throwIfAborted(options.signal, `writing ${key}`);
      this.#set(key, bytes);
    }
    return "created";
  }

  async list(prefix: string, options: ListOptions = {}): Promise<ListEntry[]> {
    checkPrefix(prefix);
    const { startAfter = "", limit = 1000 } = options;
    checkLimit(limit);
    throwIfAborted(options.signal, `listing ${prefix}`);
    const found: ListEntry[] = [];
    // Keys with the prefix lie together, from the prefix itself on.
    for (const key of this.#keys.from(compareKeys(startAfter, prefix) > 0 ? startAfter : prefix)) {
      if (found.length >= limit || !key.startsWith(prefix)) break;
      if (key !== startAfter) found.push({ key, size: this.#objects.get(key)?.length ?? 0 });
    }
    return found;
  }

  async delete(keys: readonly string[], options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    for (const key of keys) checkKey(key);
    throwIfAborted(options.signal, "deleting objects");
    for (const key of keys) {
      if (this.#objects.delete(key)) this.#keys.remove(key);
    }
  }

  async close(): Promise<void> {}

  async [Symbol.asyncDispose](): Promise<void> {}

  /** An independent store with the same objects: cheap, since bytes never change once stored. */
  clone(): MemoryObjectStore {
    const copy = new MemoryObjectStore();
    for (const [key, bytes] of this.#objects) copy.#set(key, bytes);
    return copy;
  }

  #set(key: string, bytes: Uint8Array): void {
    if (!this.#objects.has(key)) this.#keys.add(key);
    this.#objects.set(key, bytes);
  }
}
