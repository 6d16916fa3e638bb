/** Databases for the tests of adapters: SQL in a real worker, the object store in memory. */
import { afterEach, beforeAll } from "vitest";
import { MemoryObjectStore } from "../../src/remote/memory-store.ts";
import { Database, type DatabaseOptions } from "../../vfs/index.ts";
import { bundleWorker } from "../vfs/bundle.ts";

export interface TestDatabases {
  /** The database "app" of a store, made where there is none; closed when the test ends. */
  open(store?: MemoryObjectStore, options?: DatabaseOptions): Promise<Database>;
  /** Has something closed when the test ends, before the databases. */
  defer(close: () => Promise<unknown>): void;
}

/** To be called once in a test file. */
export function testDatabases(): TestDatabases {
  let workerUrl: URL;
  const closers: (() => Promise<unknown>)[] = [];
  beforeAll(async () => {
    workerUrl = await bundleWorker("vfs/worker/node-worker.ts");
  });
  afterEach(async () => {
    for (const close of closers.splice(0).reverse()) await close();
  });
  return {
    open: async (store = new MemoryObjectStore(), options = {}) => {
      const database = await Database.open(store, "app", { workerUrl, create: true, ...options });
      closers.push(() => database.close());
      return database;
    },
    defer: (close) => closers.push(close),
  };
}

/** What settles when it is told to. */
export function gate(): { readonly opened: Promise<void>; readonly open: () => void } {
  let open!: () => void;
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open };
}
