/** A checkpoint made ready for looking pages up: who wrote each last, and which segment holds it. Immutable. */
import type { Lsn } from "../base/brand.ts";
import type { DecodedCheckpoint } from "../format/checkpoint-codec.ts";
import type { PlacedSegment } from "../format/model.ts";
import { PageTable } from "./page-table.ts";

export class LoadedCheckpoint {
  readonly checkpoint: DecodedCheckpoint;
  /** Values are LSNs. */
  readonly table: PageTable;
  /** Values are ordinals of segments, from 1 on. */
  readonly #places: PageTable;

  constructor(checkpoint: DecodedCheckpoint) {
    this.checkpoint = checkpoint;
    const table = PageTable.empty.edit();
    for (const { lsn, pages } of checkpoint.writers) table.assign(pages, lsn);
    this.table = table.truncate(checkpoint.commit.header.pageCount).finish();
    const places = PageTable.empty.edit();
    checkpoint.segments.forEach(({ pages }, i) => {
      places.assign(pages, i + 1);
    });
    this.#places = places.finish();
  }

  get lsn(): Lsn {
    return this.checkpoint.commit.header.lsn;
  }

  /** The segment that holds what `lsn` wrote to `page`, where the checkpoint says so. O(1) */
  placeOf(page: number, lsn: Lsn): PlacedSegment | undefined {
    return this.table.lookup(page) === lsn ? this.#segment(page) : undefined;
  }

  /** Whose bytes of `page` a segment holds, where that is known; else 0: an older version that nobody reads there. */
  versionIn(segment: PlacedSegment, page: number): Lsn {
    return (this.#segment(page) === segment ? this.table.lookup(page) : 0) as Lsn;
  }

  #segment(page: number): PlacedSegment | undefined {
    return this.checkpoint.segments[this.#places.lookup(page) - 1];
  }
}
