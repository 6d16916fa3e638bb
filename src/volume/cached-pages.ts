/**
 * Under which names a replica's pages are in the page cache. A fork that was made on this side reads what its ancestors have there: the same
 * commit wrote the same bytes.
 */
import type { PageCache, PageUse } from "../local/page-cache.ts";
import type { Replica } from "./replica.ts";

/** The handle under which pages that the commit of an LSN wrote are cached. */
export function cacheHandle({ handle, shared }: Replica, lsn: number): number {
  let owner = handle;
  for (let i = 0; i < shared.length && lsn <= shared[i]!.through; i++) owner = shared[i]!.handle;
  return owner;
}

/** How many versions of pages of the volume are resident. O(slots) */
export function residentPages(cache: PageCache, replica: Replica): number {
  let count = cache.residentPages(replica.handle);
  for (const handle of new Set(replica.shared.map((each) => each.handle))) {
    cache.forEachResident(handle, (_page, lsn) => {
      if (cacheHandle(replica, lsn) === handle) count++;
    });
  }
  return count;
}

/** Every resident version of a page of the volume, once, and how it was used. O(slots); `visit` must not call the cache. */
export function forEachCached(
  cache: PageCache,
  replica: Replica,
  visit: (page: number, lsn: number, use: PageUse) => void,
): void {
  for (const handle of new Set([replica.handle, ...replica.shared.map((each) => each.handle)])) {
    cache.forEachUse(handle, (page, lsn, use) => {
      if (cacheHandle(replica, lsn) === handle) visit(page, lsn, use);
    });
  }
}
