/** What the children write, as functions of a number, so that parent and child agree without talking. */

export const PAGE_BYTES = 4096;
export const TAG = "main";

/** Who made the newest commit; of no account in the content that follows from the number. */
export const OWNER_PAGE = 60;
/** Every so many commits one is too large to ride in its commit object. */
const LARGE_EVERY = 16;
const LARGE_FIRST = 100;
const LARGE_PAGES = 300;

/** The pages of commit n, by page index: the same whoever makes it. Page 1 begins with n itself. */
export function pagesOf(n: number): Map<number, Uint8Array> {
  const pages = new Map<number, Uint8Array>();
  const head = pattern(n, 1);
  new DataView(head.buffer).setFloat64(0, n, true);
  pages.set(1, head);
  pages.set(2 + (n % 50), pattern(n, 2));
  if (n % LARGE_EVERY === 0) {
    for (let page = LARGE_FIRST; page < LARGE_FIRST + LARGE_PAGES; page++) pages.set(page, pattern(n, page));
  }
  return pages;
}

function pattern(n: number, page: number): Uint8Array<ArrayBuffer> {
  const words = new Uint32Array(PAGE_BYTES / 4);
  let x = (Math.imul(n, 0x9e37_79b1) ^ Math.imul(page, 0x85eb_ca6b)) >>> 0;
  for (let i = 0; i < words.length; i++) {
    // Half of it compresses.
    if (i % 2 === 0) x = (Math.imul(x ^ (x >>> 15), 0x2c1b_3c6d) + i) >>> 0;
    words[i] = x;
  }
  return new Uint8Array(words.buffer);
}

/** The number of the newest commit, from page 1; 0 for an empty volume. */
export function numberIn(firstPage: Uint8Array): number {
  return firstPage.length < 8 ? 0 : new DataView(firstPage.buffer, firstPage.byteOffset).getFloat64(0, true);
}

/** The content after commit n, made by going on from that after an earlier one. */
export class Content {
  n = 0;
  #bytes = new Uint8Array(0);

  /** The bytes after commit n, with zeros for the owner's page; going back starts over. */
  at(n: number): Uint8Array {
    if (n < this.n) {
      this.n = 0;
      this.#bytes = new Uint8Array(0);
    }
    while (this.n < n) {
      this.n++;
      if (this.n === 1) this.#bytes = new Uint8Array(OWNER_PAGE * PAGE_BYTES);
      for (const [page, bytes] of pagesOf(this.n)) {
        const end = page * PAGE_BYTES;
        if (end > this.#bytes.length) {
          const longer = new Uint8Array(end);
          longer.set(this.#bytes);
          this.#bytes = longer;
        }
        this.#bytes.set(bytes, end - PAGE_BYTES);
      }
    }
    return this.#bytes;
  }
}

/** Versions of a file to import: version k differs from the one before in a few places and in length. */
export class FileVersions {
  k = 0;
  bytes: Uint8Array;

  constructor(bytes: number) {
    this.bytes = new Uint8Array(bytes);
    for (let page = 0; page * PAGE_BYTES < bytes; page++) {
      this.bytes.set(pattern(1, page).subarray(0, bytes - page * PAGE_BYTES), page * PAGE_BYTES);
    }
    this.#number();
  }

  /** Goes on to version k. */
  to(k: number): Uint8Array {
    while (this.k < k) {
      this.k++;
      const { k: version } = this;
      const length = this.bytes.length + ((version * 7919) % 20_001) - 10_000;
      const next = new Uint8Array(length);
      next.set(this.bytes.subarray(0, length));
      for (let i = 0; i < 24; i++) {
        const offset = (version * 104_729 + i * 1_299_709) % (length - PAGE_BYTES);
        next.set(pattern(version, i), offset);
      }
      this.bytes = next;
      this.#number();
    }
    return this.bytes;
  }

  #number(): void {
    new DataView(this.bytes.buffer).setFloat64(0, this.k, true);
  }
}
