/** A database of more than 4 GiB without its bytes: the leaves of a small one, moved far out, and zeros between. */
import type { FetchPlan, PageView } from "../../src/volume/fetch-plan.ts";

const PAGE_COUNT_AT = 28;
const INTERIOR_TABLE_PAGE = 5;

export class SparseView implements PageView {
  readonly pageSize: number;
  readonly pageCount: number;
  readonly byteLength: number;
  readonly lsn = 1;
  highestOffset = 0;
  readonly #small: Uint8Array;
  readonly #moved: number;

  /** @param small a database whose page 2 is the root of its only table, one level above the leaves */
  constructor(small: Uint8Array, movedBytes: number, pageSize = 65_536) {
    this.pageSize = pageSize;
    this.#small = small.slice();
    this.#moved = movedBytes / pageSize;
    this.pageCount = this.#moved + small.length / pageSize;
    this.byteLength = this.pageCount * pageSize;
    const view = new DataView(this.#small.buffer);
    view.setUint32(PAGE_COUNT_AT, this.pageCount);
    if (view.getUint8(pageSize) !== INTERIOR_TABLE_PAGE) throw new Error("page 2 is no interior page");
    const move = (at: number): void => view.setUint32(at, view.getUint32(at) + this.#moved);
    move(pageSize + 8);
    for (let i = 0; i < view.getUint16(pageSize + 3); i++)
      move(pageSize + view.getUint16(pageSize + 12 + 2 * i));
  }

  tryRead(offset: number, into: Uint8Array): boolean {
    this.highestOffset = Math.max(this.highestOffset, offset);
    const far = offset - this.#moved * this.pageSize;
    const at = far >= 0 ? far : offset;
    into.fill(0);
    into.set(this.#small.subarray(at, at + into.length));
    return true;
  }

  // biome-ignore lint/correctness/useYield: nothing is ever missing
  *fault(): FetchPlan<void> {
    throw new Error("every page is here");
  }
}
