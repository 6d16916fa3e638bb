/** What SQLite reads of a database before anything else: page 1, and the other pages of the table that says what is in it. */
import { isPagefoldError } from "../../../src/base/errors.ts";
import { BtreePage, databaseHeader } from "../../../vfs/btree/page.ts";

/** Larger schemas are read as they are needed. */
const PAGES_MAX = 64;

/**
 * Reads the b-tree of `sqlite_schema` (the SQLite file format, 1.6), at most 64 pages of it.
 * @param read answers a page
 * @returns the pages that were read
 */
export async function readSchema(
  pageCount: number,
  read: (page: number) => Promise<Uint8Array>,
): Promise<number[]> {
  if (pageCount === 0) return [];
  const first = await read(1);
  const header = databaseHeader(first);
  if (header === undefined) return [1];
  const done = [1];
  const waiting = children(first, 1, header.usable);
  for (let next = waiting.shift(); next !== undefined && done.length < PAGES_MAX; next = waiting.shift()) {
    if (next < 2 || next > pageCount || done.includes(next)) continue;
    done.push(next);
    waiting.push(...children(await read(next), next, header.usable));
  }
  return done;
}

/** In key order; none of a leaf. A damaged page has none: whoever opens the database is told. */
function children(bytes: Uint8Array, page: number, usable: number): number[] {
  try {
    return [...new BtreePage(bytes, page, usable).children()];
  } catch (error) {
    if (isPagefoldError(error, "corrupt")) return [];
    throw error;
  }
}
