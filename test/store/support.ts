/** What tests of the engine share: stores in memory with a clock of their own, request counts and round trips, bytes, sources. */
import { expect } from "vitest";
import { type ErrorCode, isPagefoldError, type PagefoldError } from "../../src/base/errors.ts";
import type { ByteSink } from "../../src/file/export.ts";
import type { ByteSource } from "../../src/file/import.ts";
import { loadCodecs } from "../../src/format/codecs.ts";
import { MemoryObjectStore } from "../../src/remote/memory-store.ts";
import type { ObjectStore } from "../../src/remote/object-store.ts";
import { PageStore, type PageStoreOptions } from "../../src/store/page-store.ts";
import { seededRandom, testSeed } from "../local/xxh64.ts";
import { SimRuntime } from "../sim/runtime.ts";

export const codecs = await loadCodecs();
export { testSeed };

/** Every store has randomness of its own, or two of them would make the same ids. */
let stores = 0;

export function openStore(
  remote: ObjectStore,
  options: Omit<Partial<PageStoreOptions>, "remote"> = {},
): Promise<PageStore> {
  return PageStore.open({ remote, codecs, runtime: new SimRuntime(testSeed + 7919 * ++stores), ...options });
}

export interface Request {
  readonly operation: "get" | "put" | "list" | "delete";
  readonly key: string;
}

/** A store that takes 10 ms of its runtime's time for every request and remembers each. */
export class WatchedStore {
  readonly requests: Request[] = [];
  readonly runtime: SimRuntime;
  readonly store: ObjectStore;
  /** Requests under way at most so far. */
  mostAtOnce = 0;
  #now = 0;

  constructor(
    inner: ObjectStore = new MemoryObjectStore(),
    runtime = new SimRuntime(testSeed + 7919 * ++stores),
  ) {
    this.runtime = runtime;
    const slow = async <T>(request: Request, work: () => Promise<T>): Promise<T> => {
      this.requests.push(request);
      this.mostAtOnce = Math.max(this.mostAtOnce, ++this.#now);
      try {
        await runtime.sleep(10);
        return await work();
      } finally {
        this.#now--;
      }
    };
    this.store = {
      url: inner.url,
      capabilities: inner.capabilities,
      get: (key, options) => slow({ operation: "get", key }, () => inner.get(key, options)),
      put: (key, body, options) => slow({ operation: "put", key }, () => inner.put(key, body, options)),
      list: (key, options) => slow({ operation: "list", key }, () => inner.list(key, options)),
      delete: (keys, options) =>
        slow({ operation: "delete", key: keys[0] ?? "" }, () => inner.delete(keys, options)),
      close: () => inner.close(),
    };
  }

  /** Requests and round trips (requests that waited for one another) of some work. */
  async cost<T>(work: () => Promise<T>): Promise<{ requests: Request[]; roundTrips: number; value: T }> {
    const from = this.requests.length;
    const start = this.runtime.monotonic();
    const value = await work();
    return {
      requests: this.requests.slice(from),
      roundTrips: (this.runtime.monotonic() - start) / 10,
      value,
    };
  }
}

/** Bytes that no compressor shrinks, the same for the same seed. */
export function randomBytes(length: number, seed: number): Uint8Array {
  const random = seededRandom(seed);
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = Math.floor(random() * 256);
  return bytes;
}

/** Bytes that compress, every page different. */
export function textBytes(length: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = 32 + ((i * 7 + (i >> 9) * 13 + seed * 31) % 90);
  return bytes;
}

export function sourceOf(bytes: Uint8Array, more: Partial<ByteSource> = {}): ByteSource {
  return {
    name: "source",
    size: bytes.length,
    read: async (offset, into) => {
      const part = bytes.subarray(offset, offset + into.length);
      into.set(part);
      return part.length;
    },
    check: async () => {},
    ...more,
  };
}

/** Collects an export. */
export class MemorySink implements ByteSink {
  bytes = new Uint8Array(0);

  async resize(size: number): Promise<void> {
    this.bytes = new Uint8Array(size);
  }

  async write(offset: number, bytes: Uint8Array): Promise<void> {
    this.bytes.set(bytes, offset);
  }
}

/** The error of some work, which must have one of these codes. */
export async function failure(work: Promise<unknown>, ...codes: ErrorCode[]): Promise<PagefoldError> {
  try {
    await work;
  } catch (error) {
    if (!isPagefoldError(error)) throw error;
    if (codes.length > 0) expect(codes, error.message).toContain(error.code);
    return error;
  }
  throw new Error(`expected ${codes.join(" or ")}, but it went well`);
}

/** Compares without printing kilobytes. */
export function expectSame(found: Uint8Array, expected: Uint8Array, what = "bytes"): void {
  expect(found.length, `${what}: length`).toBe(expected.length);
  const at = found.findIndex((byte, i) => byte !== expected[i]);
  if (at !== -1) expect.fail(`${what}: byte ${at} is ${found[at]}, not ${expected[at]}`);
}
