/**
 * Pages of a SQLite database as its file format has them (sqlite.org/fileformat2.html, 1.3 and 1.6): the header, the b-tree pages with their children and
 * the overflow chains that begin in them. Pure, and total: a damaged page has whatever it says, within its bounds, or is `corrupt`.
 */
import { PagefoldError } from "../../src/base/errors.ts";

const MAGIC = "SQLite format 3\0";
export const DATABASE_HEADER_BYTES = 100;
/** Where the bytes lie that lock a database; the page with them holds nothing. */
const LOCK_BYTE = 2 ** 30;

export interface DatabaseHeader {
  readonly pageSize: number;
  /** What of a page holds content: extensions may reserve some bytes at its end. */
  readonly usable: number;
  readonly encoding: "utf-8" | "utf-16le" | "utf-16be";
  /** First page of the list of free pages; 0 for none. */
  readonly freeTrunk: number;
  /** Whether pointer maps lie between the pages (auto_vacuum). */
  readonly hasPointerMaps: boolean;
}

/** The header of a database; undefined where the bytes are no database's. */
export function databaseHeader(bytes: Uint8Array): DatabaseHeader | undefined {
  if (bytes.length < DATABASE_HEADER_BYTES) return undefined;
  if (String.fromCharCode(...bytes.subarray(0, MAGIC.length)) !== MAGIC) return undefined;
  const view = viewOf(bytes);
  const size = view.getUint16(16);
  const pageSize = size === 1 ? 65_536 : size;
  const usable = pageSize - view.getUint8(20);
  if (pageSize < 512 || (pageSize & (pageSize - 1)) !== 0 || usable < 480) return undefined;
  const encoding = ({ 2: "utf-16le", 3: "utf-16be" } as const)[view.getUint32(56)] ?? "utf-8";
  return {
    ...{ pageSize, usable, encoding },
    freeTrunk: view.getUint32(32),
    hasPointerMaps: view.getUint32(52) !== 0,
  };
}

/** Whether a page belongs to no table whatever the database holds: a pointer map, or the page of the lock bytes. */
export function isBookkeeping({ pageSize, usable, hasPointerMaps }: DatabaseHeader, page: number): boolean {
  const lockPage = LOCK_BYTE / pageSize + 1;
  if (page === lockPage) return true;
  if (!hasPointerMaps || page < 2) return false;
  // A map where the lock bytes are moves to the page behind them.
  const every = Math.floor(usable / 5) + 1;
  const isMap = (at: number): boolean => (at - 2) % every === 0;
  return isMap(page) || (page === lockPage + 1 && isMap(lockPage));
}

const INTERIOR_INDEX = 0x02;
const INTERIOR_TABLE = 0x05;
const LEAF_INDEX = 0x0a;
const LEAF_TABLE = 0x0d;

/** Content that does not fit its page: where its chain begins, and how many pages that has. */
export interface OverflowChain {
  readonly first: number;
  readonly pages: number;
}

export interface Cell {
  /** What of the content is in the page. */
  readonly local: Uint8Array;
  readonly payloadBytes: number;
  readonly overflow: OverflowChain | undefined;
}

/** A page of a b-tree. */
export class BtreePage {
  readonly isLeaf: boolean;
  readonly cellCount: number;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #type: number;
  readonly #start: number;
  readonly #usable: number;
  readonly #page: number;

  /** @throws `corrupt` where it is none */
  constructor(bytes: Uint8Array, page: number, usable: number) {
    this.#bytes = bytes;
    this.#view = viewOf(bytes);
    this.#page = page;
    this.#usable = Math.min(usable, bytes.length);
    this.#start = page === 1 ? DATABASE_HEADER_BYTES : 0;
    this.#type = bytes[this.#start] ?? 0;
    if (![INTERIOR_INDEX, INTERIOR_TABLE, LEAF_INDEX, LEAF_TABLE].includes(this.#type))
      throw damaged(page, `it has type ${this.#type}, which no page of a b-tree has`);
    this.isLeaf = this.#type === LEAF_INDEX || this.#type === LEAF_TABLE;
    this.cellCount = this.#view.getUint16(this.#start + 3);
    if (this.#cellAt(this.cellCount) > this.#usable) throw damaged(page, "it has more cells than room");
  }

  /** The pages below it, in key order; none of a leaf. */
  *children(): IterableIterator<number> {
    if (this.isLeaf) return;
    for (let i = 0; i < this.cellCount; i++) yield this.#u32(this.#view.getUint16(this.#cellAt(i)));
    yield this.#u32(this.#start + 8);
  }

  /** Its content; none where only keys are in it, as within the trees of tables. */
  *cells(): IterableIterator<Cell> {
    if (this.#type === INTERIOR_TABLE) return;
    for (let i = 0; i < this.cellCount; i++) yield this.#cell(this.#view.getUint16(this.#cellAt(i)));
  }

  #cell(start: number): Cell {
    const payload = this.#varint(this.#type === INTERIOR_INDEX ? start + 4 : start);
    // Of a table the key follows; of an index the content is the key.
    const at = this.#type === LEAF_TABLE ? this.#varint(payload.end).end : payload.end;
    const localBytes = this.#localBytes(payload.value);
    const end = at + localBytes;
    if (end > this.#usable) throw damaged(this.#page, "a cell reaches beyond it");
    const rest = payload.value - localBytes;
    return {
      local: this.#bytes.subarray(at, end),
      payloadBytes: payload.value,
      overflow:
        rest === 0 ? undefined : { first: this.#u32(end), pages: Math.ceil(rest / (this.#usable - 4)) },
    };
  }

  /** How much of the content the page itself keeps. */
  #localBytes(payloadBytes: number): number {
    const usable = this.#usable;
    const most = this.#type === LEAF_TABLE ? usable - 35 : Math.floor(((usable - 12) * 64) / 255) - 23;
    if (payloadBytes <= most) return payloadBytes;
    const least = Math.floor(((usable - 12) * 32) / 255) - 23;
    const wanted = least + ((payloadBytes - least) % (usable - 4));
    return wanted <= most ? wanted : least;
  }

  #cellAt(i: number): number {
    return this.#start + (this.isLeaf ? 8 : 12) + 2 * i;
  }

  #u32(at: number): number {
    if (at + 4 > this.#usable) throw damaged(this.#page, "a cell reaches beyond it");
    return this.#view.getUint32(at);
  }

  #varint(at: number): { readonly value: number; readonly end: number } {
    const found = varint(this.#bytes, at);
    if (found === undefined) throw damaged(this.#page, "a cell reaches beyond it");
    return found;
  }
}

/** A number of 1 to 9 bytes; exact up to 2^53, which lengths, types and page numbers stay below. Undefined past the end. */
export function varint(
  bytes: Uint8Array,
  at: number,
): { readonly value: number; readonly end: number } | undefined {
  let value = 0;
  for (let i = 0; i < 9; i++) {
    const byte = bytes[at + i];
    if (byte === undefined) return undefined;
    if (i === 8) return { value: value * 256 + byte, end: at + 9 };
    value = value * 128 + (byte & 0x7f);
    if (byte < 0x80) return { value, end: at + i + 1 };
  }
  return undefined;
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

export function damaged(page: number, what: string): PagefoldError {
  return new PagefoldError(
    "corrupt",
    `page ${page} of the database is damaged: ${what}; PRAGMA integrity_check tells more, and an earlier commit may have it whole`,
    { details: { page } },
  );
}
