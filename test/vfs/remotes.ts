/** Object stores whose gets a test can watch, delay and fail: in memory, or in files for the bridge of synchronous requests. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { abortedError, PagefoldError } from "../../src/base/errors.ts";
import type { ByteSource } from "../../src/file/import.ts";
import { openStore } from "../../src/node/index.ts";
import { openObjectStore } from "../../src/node/store-url.ts";
import { MemoryObjectStore } from "../../src/remote/memory-store.ts";
import type { GetOptions, HttpAddress, ObjectStore, PutOptions } from "../../src/remote/object-store.ts";
import type { PageStore } from "../../src/store/page-store.ts";
import type { Volume } from "../../src/store/volume.ts";
import { closeLater } from "./closers.ts";

/** The header that tells the worker's XMLHttpRequest which file marks the store as unreachable. */
export const DOWN_HEADER = "x-down-marker";

export class TestRemote {
  readonly store: ObjectStore;
  gets = 0;
  /** How often somebody closed what is not theirs. */
  closes = 0;
  /** Called before each get, and each put, of the asynchronous store; may wait or throw. */
  onGet: (key: string, options: GetOptions) => Promise<void> | void = () => {};
  onPut: (key: string, options: PutOptions) => Promise<void> | void = () => {};
  /** Called when a put has taken effect: what it throws is the answer. */
  afterPut: (key: string) => Promise<void> | void = () => {};
  readonly #marker: string | undefined;
  #down = false;

  constructor(inner: ObjectStore, http?: HttpAddress, marker?: string) {
    this.#marker = marker;
    const answer = async <T>(work: () => Promise<T>): Promise<T> => {
      if (this.#down) throw new PagefoldError("unavailable", "the cable was cut", { retryable: false });
      return work();
    };
    this.store = {
      url: inner.url,
      capabilities: inner.capabilities,
      ...(http === undefined ? {} : { http }),
      get: async (key, options = {}) => {
        this.gets++;
        return answer(async () => {
          await this.onGet(key, options);
          return inner.get(key, options);
        });
      },
      put: (key, body, options = {}) =>
        answer(async () => {
          await this.onPut(key, options);
          const outcome = await inner.put(key, body, options);
          await this.afterPut(key);
          return outcome;
        }),
      list: (...args) => answer(() => inner.list(...args)),
      delete: (...args) => answer(() => inner.delete(...args)),
      // It outlives the page stores that a test opens on it.
      close: async () => {
        this.closes++;
      },
    };
    closeLater(() => inner.close());
  }

  /** From now on it answers neither gets nor puts before they are aborted; the answer makes it answer again. */
  stall(reached: () => void = () => {}): () => void {
    const never = (_key: string, { signal }: GetOptions): Promise<void> =>
      new Promise((_resolve, reject) => {
        signal?.addEventListener("abort", () => reject(abortedError("the request", signal.reason)));
        reached();
      });
    this.onGet = never;
    this.onPut = never;
    return () => {
      this.onGet = () => {};
      this.onPut = () => {};
    };
  }

  /** While it is down, it answers nothing. */
  set down(down: boolean) {
    this.#down = down;
    if (this.#marker === undefined) return;
    if (down) writeFileSync(this.#marker, "");
    else rmSync(this.#marker, { force: true });
  }
}

/** Until the test ends. */
export function memoryRemote(): TestRemote {
  return new TestRemote(new MemoryObjectStore());
}

/** Until the test ends. */
export async function fileRemote(): Promise<TestRemote> {
  const path = temporaryDirectory();
  const marker = `${path}.down`;
  closeLater(() => rmSync(marker, { force: true }));
  const http = { baseUrl: pathToFileURL(path).href, headers: { [DOWN_HEADER]: marker } };
  return new TestRemote(await openObjectStore(path, { create: true }), http, marker);
}

/** Until the test ends. */
export function temporaryDirectory(): string {
  const path = mkdtempSync(join(tmpdir(), "pagefold-sql-"));
  closeLater(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

export function sourceOf(content: Uint8Array): ByteSource {
  return {
    name: "memory",
    size: content.length,
    check: async () => {},
    read: async (offset, into) => {
      const part = content.subarray(offset, offset + into.length);
      into.set(part);
      return part.length;
    },
  };
}

/** Another side of the store: a page store of its own, closed when `work` is done. */
export async function elsewhere<T>(
  { store }: TestRemote,
  work: (volume: Volume, pages: PageStore) => Promise<T>,
  tag = "db",
): Promise<T> {
  const pages = await openStore(store, { workers: 0 });
  try {
    const known = await pages.resolve(tag);
    const volume = known === undefined ? await pages.createVolume({ tag }) : await pages.volume(known);
    return await work(volume, pages);
  } finally {
    await pages.close();
  }
}

/** Makes the volume, which is created where there is none, equal to these bytes. */
export async function importInto(remote: TestRemote, content: Uint8Array, tag = "db"): Promise<void> {
  await elsewhere(remote, (volume) => volume.import(sourceOf(content)), tag);
}
