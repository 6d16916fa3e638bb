/** A checkpoint made ready for looking pages up: who wrote each last, and which segment holds it. Immutable. */
import type { Lsn } from "../base/brand.ts";
import type { DecodedCheckpoint } from "../format/checkpoint-codec.ts";
import { PLACES_ALL, PLACES_OWN } from "../format/limits.ts";
import type { Checkpoint, PlacedSegment } from "../format/model.ts";
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

  /**
   * Whether what `lsn` wrote to `page` is zeros, and that is why it has no place.
   * @param own the commit is of the checkpoint's own volume, not of an ancestor of it
   */
  isZero(page: number, lsn: Lsn, own: boolean): boolean {
    if (!placesAllOf(this.checkpoint, own) || this.table.lookup(page) !== lsn) return false;
    return this.#segment(page) === undefined;
  }

  /** Whose bytes of `page` a segment holds, where that is known; else 0: an older version that nobody reads there. */
  versionIn(segment: PlacedSegment, page: number): Lsn {
    return (this.#segment(page)?.id === segment.id ? this.table.lookup(page) : 0) as Lsn;
  }

  #segment(page: number): PlacedSegment | undefined {
    return this.checkpoint.segments[this.#places.lookup(page) - 1];
  }
}

/** Whether every page that such a commit wrote, and that is not all zeros, has a place. */
export function placesAllOf({ features }: Checkpoint, own: boolean): boolean {
  return (features.compatible & (own ? PLACES_OWN | PLACES_ALL : PLACES_ALL)) !== 0;
}
