/** What SQLite reads of a database before anything else: page 1, and the other pages of the table that says what is in it. */

const MAGIC = "SQLite format 3\0";
const DATABASE_HEADER_BYTES = 100;
const INTERIOR_TABLE = 0x05;
const INTERIOR_HEADER_BYTES = 12;
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
  if (String.fromCharCode(...first.subarray(0, MAGIC.length)) !== MAGIC) return [1];
  const done = [1];
  const waiting = children(first, DATABASE_HEADER_BYTES);
  for (let next = waiting.shift(); next !== undefined && done.length < PAGES_MAX; next = waiting.shift()) {
    if (next < 2 || next > pageCount || done.includes(next)) continue;
    done.push(next);
    waiting.push(...children(await read(next), 0));
  }
  return done;
}

/** The children of an interior page, in key order; none of any other. A damaged page has whatever children it says. */
function children(page: Uint8Array, at: number): number[] {
  const view = new DataView(page.buffer, page.byteOffset, page.byteLength);
  if (page.length < at + INTERIOR_HEADER_BYTES || view.getUint8(at) !== INTERIOR_TABLE) return [];
  const cells = Math.min(view.getUint16(at + 3), PAGES_MAX);
  const found: number[] = [];
  for (let i = 0; i < cells; i++) {
    const pointer = at + INTERIOR_HEADER_BYTES + 2 * i;
    if (pointer + 2 > page.length) return found;
    const cell = view.getUint16(pointer);
    if (cell + 4 <= page.length) found.push(view.getUint32(cell));
  }
  found.push(view.getUint32(at + 8));
  return found;
}
