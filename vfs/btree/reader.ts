/** Reads the pages of a SQLite database out of one state of a volume, whatever that one's page size is. */
import type { Snapshot } from "../../src/volume/snapshot.ts";
import {
  BtreePage,
  DATABASE_HEADER_BYTES,
  type DatabaseHeader,
  damaged,
  databaseHeader,
  type OverflowChain,
  viewOf,
} from "./page.ts";

type Options = { readonly signal?: AbortSignal };

/** What is read of a state: a snapshot is one. */
export type DatabaseBytes = Pick<Snapshot, "byteLength" | "lsn" | "read">;

export class DatabaseReader {
  readonly header: DatabaseHeader;
  readonly pageCount: number;
  readonly #bytes: DatabaseBytes;
  readonly #options: Options;

  private constructor(bytes: DatabaseBytes, header: DatabaseHeader, options: Options) {
    this.#bytes = bytes;
    this.#options = options;
    this.header = header;
    this.pageCount = Math.floor(bytes.byteLength / header.pageSize);
  }

  /** Undefined where there is no database in the state. */
  static async open(bytes: DatabaseBytes, options: Options = {}): Promise<DatabaseReader | undefined> {
    const header = databaseHeader(await bytes.read(0, DATABASE_HEADER_BYTES, options));
    return header === undefined ? undefined : new DatabaseReader(bytes, header, options);
  }

  /** @throws `corrupt` beyond the end */
  async page(page: number): Promise<Uint8Array> {
    if (page < 1 || page > this.pageCount)
      throw damaged(page, `other pages refer to it, and the last one is ${this.pageCount}`);
    const { pageSize } = this.header;
    return this.#bytes.read((page - 1) * pageSize, pageSize, this.#options);
  }

  async btree(page: number): Promise<BtreePage> {
    return new BtreePage(await this.page(page), page, this.header.usable);
  }

  /** The pages of an overflow chain, in order, with their content. */
  async *overflow(
    chain: OverflowChain,
  ): AsyncGenerator<{ page: number; content: Uint8Array }, void, undefined> {
    let next = chain.first;
    for (let i = 0; i < chain.pages && next !== 0; i++) {
      if (i === this.pageCount) throw damaged(next, "a chain of pages comes back to it");
      const bytes = await this.page(next);
      yield { page: next, content: bytes.subarray(4, this.header.usable) };
      next = viewOf(bytes).getUint32(0);
    }
  }

  /** The pages of the list of free pages. */
  async *freePages(): AsyncGenerator<number, void, undefined> {
    const seen = new Set<number>();
    for (let trunk = this.header.freeTrunk; trunk !== 0; ) {
      if (seen.has(trunk)) throw damaged(trunk, "the list of free pages comes back to it");
      seen.add(trunk);
      const view = viewOf(await this.page(trunk));
      yield trunk;
      const leaves = Math.min(view.getUint32(4), this.header.usable / 4 - 2);
      for (let i = 0; i < leaves; i++) yield view.getUint32(8 + 4 * i);
      trunk = view.getUint32(0);
    }
  }
}
