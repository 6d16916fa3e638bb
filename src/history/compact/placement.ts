/**
 * Where the pages of one state lie, as far as checkpoints of its own volume tell: what a new checkpoint of it can say, and what a compaction works on. Places
 * are inherited page by page: for exactly the version, (page, last writer), that a checkpoint places. No I/O.
 */
import { assert } from "../../base/assert.ts";
import type { Lsn, SegmentId, VolumeId } from "../../base/brand.ts";
import { segmentPages } from "../../format/checkpoint-codec.ts";
import { NO_FEATURES } from "../../format/features.ts";
import { PLACES_ALL, PLACES_OWN } from "../../format/limits.ts";
import { type Checkpoint, forkPoint, type PlacedSegment } from "../../format/model.ts";
import { PageSet } from "../../format/page-set.ts";
import type { CommitDirectory } from "../../volume/commit-directory.ts";
import { placesAllOf } from "../../volume/loaded-checkpoint.ts";
import type { RemoteState } from "../../volume/remote-state.ts";

type Writers = Map<Lsn, PageSet>;

/** What segments take and what of that a state does not show any more, as stored bytes. */
export interface SpaceFigures {
  readonly segments: number;
  readonly bytes: number;
  readonly deadBytes: number;
}

export class Placement {
  readonly state: RemoteState;
  readonly volume: VolumeId;
  readonly #forkPoint: Lsn;
  readonly #writers: Writers;
  #unplaced: Writers;
  #segments = new Map<SegmentId, PlacedSegment>();

  /** @param sources whose places hold as long as the floor that they were chosen by; the first that places a page counts */
  constructor(directory: CommitDirectory, state: RemoteState, sources: readonly Checkpoint[]) {
    this.state = state;
    this.volume = directory.manifest.volume;
    this.#forkPoint = forkPoint(directory.manifest);
    this.#writers = state.table.byValue(state.pageCount) as Writers;
    this.#unplaced = new Map(this.#writers);
    for (const source of sources) this.#inherit(source);
  }

  /** Pages without a place, by writer. Those that ancestors wrote are read from there, unless they are to be this volume's own. */
  unplaced(withShared: boolean): ReadonlyMap<Lsn, PageSet> {
    if (withShared || this.#forkPoint === 0) return this.#unplaced;
    return new Map([...this.#unplaced].filter(([lsn]) => lsn > this.#forkPoint));
  }

  segments(): PlacedSegment[] {
    return [...this.#segments.values()];
  }

  /** What the segments, and the commits of pages without a place, hold of `pages`, one after the other. */
  *parts(pages: PageSet): IterableIterator<PageSet> {
    for (const part of [...this.#unplaced.values(), ...[...this.#segments.values()].map((s) => s.pages)]) {
      const some = part.intersect(pages);
      if (!some.isEmpty) yield some;
    }
  }

  /** Pages are read from other segments now; without any, they lie in these for the first time. */
  move(segments: readonly PlacedSegment[]): void {
    const pages = PageSet.unionAll(segments.map((segment) => segment.pages));
    this.#unplaced = without(this.#unplaced, pages);
    for (const [id, segment] of this.#segments) {
      const rest = segment.pages.subtract(pages);
      if (rest.isEmpty) this.#segments.delete(id);
      else if (rest.size < segment.pages.size) this.#segments.set(id, { ...segment, pages: rest });
    }
    for (const segment of segments) this.#add(segment);
  }

  /** Pages that their last writers made zeros: they need no place. */
  knowZeroed(pages: PageSet): void {
    this.#unplaced = without(this.#unplaced, pages);
  }

  /** The checkpoint of the state. @param header of its commit, as stored @param madeUnder number of the floor that holds */
  checkpoint(directory: CommitDirectory, header: Uint8Array, madeUnder: number): Checkpoint {
    const writers = [...this.#writers]
      .sort(([a], [b]) => b - a)
      .map(([lsn, pages]) => ({ lsn, hash: directory.hash(lsn), pages }));
    const left = [...this.#unplaced.keys()];
    let compatible = 0;
    if (left.every((lsn) => lsn <= this.#forkPoint)) compatible |= PLACES_OWN;
    if (left.length === 0) compatible |= PLACES_ALL;
    return {
      volume: this.volume,
      features: { ...NO_FEATURES, compatible },
      madeUnder,
      header,
      writers,
      segments: this.segments(),
    };
  }

  figures(): SpaceFigures {
    let bytes = 0;
    let deadBytes = 0;
    for (const segment of this.#segments.values()) {
      const held = segmentPages(segment);
      bytes += segment.ref.length;
      deadBytes += Math.round((segment.ref.length * (held - segment.pages.size)) / held);
    }
    return { segments: this.#segments.size, bytes, deadBytes };
  }

  #inherit(checkpoint: Checkpoint): void {
    assert(checkpoint.volume === this.volume, `a checkpoint of volume ${checkpoint.volume}`);
    if (this.#unplaced.size === 0) return;
    const agreed: PageSet[] = [];
    const mayBeZero: PageSet[] = [];
    for (const { lsn, pages } of checkpoint.writers) {
      const same = this.#unplaced.get(lsn)?.intersect(pages);
      if (same === undefined || same.isEmpty) continue;
      agreed.push(same);
      if (placesAllOf(checkpoint, lsn > this.#forkPoint)) mayBeZero.push(same);
    }
    const same = PageSet.unionAll(agreed);
    const placed: PageSet[] = [];
    for (const segment of checkpoint.segments) {
      const pages = segment.pages.intersect(same);
      if (pages.isEmpty) continue;
      placed.push(pages);
      this.#add({ ...segment, pages });
    }
    const here = PageSet.unionAll(placed);
    this.knowZeroed(PageSet.unionAll(mayBeZero).subtract(here));
    this.#unplaced = without(this.#unplaced, here);
  }

  /** A segment may be named by several checkpoints, for other pages each. */
  #add(segment: PlacedSegment): void {
    const known = this.#segments.get(segment.id);
    assert(known === undefined || known.number === segment.number, `segment ${segment.id} named twice`);
    const pages = known === undefined ? segment.pages : known.pages.union(segment.pages);
    this.#segments.set(segment.id, { ...segment, pages });
  }
}

function without(writers: ReadonlyMap<Lsn, PageSet>, pages: PageSet): Writers {
  if (pages.isEmpty) return writers as Writers;
  const left: Writers = new Map();
  for (const [lsn, written] of writers) {
    const rest = written.subtract(pages);
    if (!rest.isEmpty) left.set(lsn, rest);
  }
  return left;
}
