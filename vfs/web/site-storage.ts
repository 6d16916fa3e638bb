/** `src/browser/site-storage.ts`, loaded when it is first used: a page that asks for nothing of it needs none of it. */
import { loadPart } from "../../src/base/load-part.ts";
import type { BrowserStorageEntry, StorageEstimate } from "../../src/browser/site-storage.ts";

const load = () => loadPart(() => import("../../src/browser/site-storage.ts"));

/** The storages of this site, by name. Those in memory are nobody's but their worker's. */
export async function listBrowserStorage(): Promise<BrowserStorageEntry[]> {
  return (await load()).listBrowserStorage();
}

/**
 * Removes a storage, commits that were not pushed with it; does nothing where there is none.
 * @throws `busy` while it is open
 */
export async function deleteBrowserStorage(name: string): Promise<void> {
  return (await load()).deleteBrowserStorage(name);
}

/** Asks the browser not to evict this site's storage by itself; answers whether it is persistent now. */
export async function persistStorage(): Promise<boolean> {
  return (await load()).persistStorage();
}

/** Undefined where the browser does not tell. */
export async function storageEstimate(): Promise<StorageEstimate | undefined> {
  return (await load()).storageEstimate();
}
