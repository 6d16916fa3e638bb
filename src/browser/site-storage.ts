/** What a site has of storage as a whole: which names hold something, how much room there is, and whether the browser may take it away. */
import { deleteIdb, listIdb } from "./idb-database.ts";
import { checkStorageName } from "./names.ts";
import { deleteOpfs, listOpfs } from "./opfs-directory.ts";
import { lockStorage } from "./storage-lock.ts";

export interface BrowserStorageEntry {
  readonly name: string;
  readonly kind: "opfs" | "indexeddb";
}

export interface StorageEstimate {
  /** Of the whole site, whatever it is used for; bytes, and by the browser's own estimate. */
  readonly usageBytes: number;
  readonly quotaBytes: number;
  /** Whether only the user may take it away. */
  readonly persisted: boolean;
}

/** The storages of this site, by name. Those in memory are nobody's but their worker's. */
export async function listBrowserStorage(): Promise<BrowserStorageEntry[]> {
  const inOpfs = (await listOpfs()).map((name) => ({ name, kind: "opfs" as const }));
  const inIdb = (await listIdb()).map((name) => ({ name, kind: "indexeddb" as const }));
  return [...inOpfs, ...inIdb].sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
}

/**
 * Removes a storage, commits that were not pushed with it; does nothing where there is none.
 * @throws `busy` while it is open
 */
export async function deleteBrowserStorage(name: string): Promise<void> {
  checkStorageName(name);
  const lock = await lockStorage(name, 0);
  try {
    await deleteOpfs(name);
    if ((await listIdb()).includes(name)) await deleteIdb(name);
  } finally {
    await lock.release();
  }
}

/**
 * Asks the browser not to evict this site's storage by itself. Browsers decide by their own rules, or ask the user; a worker cannot ask, and is told
 * how things stand. Answers whether storage is persistent now.
 */
export async function persistStorage(): Promise<boolean> {
  const storage = storageManager();
  if (storage?.persisted === undefined) return false;
  if (await storage.persisted()) return true;
  return storage.persist === undefined ? false : storage.persist();
}

/** Undefined where the browser does not tell. */
export async function storageEstimate(): Promise<StorageEstimate | undefined> {
  const storage = storageManager();
  if (storage?.estimate === undefined) return undefined;
  try {
    const { usage, quota } = await storage.estimate();
    if (usage === undefined || quota === undefined) return undefined;
    const persisted = (await storage.persisted?.()) ?? false;
    return { usageBytes: usage, quotaBytes: quota, persisted };
  } catch {
    // Refused, to a frame without an origin of its own say.
    return undefined;
  }
}

function storageManager(): Partial<StorageManager> | undefined {
  return (globalThis.navigator as Partial<Navigator> | undefined)?.storage;
}
