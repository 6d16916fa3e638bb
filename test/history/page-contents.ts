/** What the commits of generated logs write into their pages. */
import { seededRandom } from "../local/xxh64.ts";

/** Never a page of zeros. */
export interface PageContents {
  /** The bytes of a page as the commit `lsn` writes them: not to be changed, and good until the next call. */
  bytes(page: number, lsn: number): Uint8Array;
  /** Where all pages of a commit are alike: commits with one answer write the same bytes, so that a frame of them is encoded once. */
  variant?(lsn: number): number;
}

/** Pages that all say the same within a commit: frames of some twenty bytes, encoded once per variant. For figures that do not depend on the bytes. */
export function alikePages(pageSize: number, variants = 61): PageContents {
  const pages = Array.from({ length: variants }, (_, i) => new Uint8Array(pageSize).fill(i + 1));
  return { bytes: (_, lsn) => pages[lsn % variants]!, variant: (lsn) => lsn % variants };
}

/** Pages that are all different and compress to about half, like those of a database, or to another share of their size. */
export function mixedPages(pageSize: number, share = 0.5): PageContents {
  const pool = fillRandom(seededRandom(7), new Uint8Array(2 ** 20));
  const bytes = new Uint8Array(pageSize);
  const view = new DataView(bytes.buffer);
  const random = Math.ceil(share * pageSize);
  return {
    bytes(page, lsn) {
      const start = (Math.imul(page, 2_654_435_761) ^ Math.imul(lsn, 2_246_822_519)) >>> 0;
      const from = start % (pool.length - pageSize);
      bytes.set(pool.subarray(from, from + random));
      bytes.fill(32 + (start % 64), random);
      view.setUint32(0, page, true);
      view.setUint32(4, lsn, true);
      return bytes;
    },
  };
}

export function fillRandom(random: () => number, bytes: Uint8Array): Uint8Array {
  for (let i = 0; i < bytes.length; i++) bytes[i] = Math.floor(random() * 256);
  return bytes;
}
