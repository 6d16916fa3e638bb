/** Storages that the cases of pages work with: names of their own, released and deleted whatever happens. */
import {
  type BrowserStorage,
  type BrowserStorageOptions,
  deleteBrowserStorage,
  openBrowserStorage,
} from "../../../src/browser/storage.ts";
import type { BlockFileSubject } from "../../contracts/block-file.ts";

export const freshName = (): string => `test-${crypto.randomUUID()}`;

/** Some work on an open storage, which is released whatever happens. */
export async function withStorage<T>(
  options: BrowserStorageOptions,
  work: (storage: BrowserStorage) => Promise<T>,
): Promise<T> {
  const storage = await openBrowserStorage(options);
  try {
    return await work(storage);
  } finally {
    await storage.release();
  }
}

/** For the contract of block files. */
export async function subjectOf(kind: "opfs" | "indexeddb"): Promise<BlockFileSubject> {
  const name = freshName();
  const opened: BrowserStorage[] = [];
  const open = async (): Promise<BrowserStorage["files"]> => {
    const storage = await openBrowserStorage({ name, kind, waitMs: 0 });
    opened.push(storage);
    return kind === "opfs" ? withoutOwner(storage.files) : storage.files;
  };
  return {
    files: await open(),
    reopen: async () => {
      await opened.pop()?.release();
      return open();
    },
    cleanup: async () => {
      for (const storage of opened) await storage.release();
      await deleteBrowserStorage(name);
    },
  };
}

/** The file that proves that handles can be had is not the suite's. */
function withoutOwner(files: BrowserStorage["files"]): BrowserStorage["files"] {
  return {
    name: files.name,
    open: (name) => files.open(name),
    exists: (name) => files.exists(name),
    remove: (name) => files.remove(name),
    list: async () => (await files.list()).filter((name) => name !== "owner"),
  };
}
