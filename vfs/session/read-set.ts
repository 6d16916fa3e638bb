/**
 * Which pages a query read, and whether a later state still has the same ones. The result of a query is a function of the pages it read, so where none
 * of them changed it need not be run again. That holds for whatever SQLite keeps in pages: tables, indexes, virtual tables.
 */
import type { FetchPlan, PageView } from "../../src/volume/fetch-plan.ts";
import type { Snapshot } from "../../src/volume/snapshot.ts";
import type { ViewSource } from "../sqlite/view-source.ts";

/** Header of page 1: change counter, page count, freelist and version change with every commit, whatever it changed. */
const HEADER_BYTES = 100;
const VOLATILE: readonly (readonly [from: number, to: number])[] = [
  [24, 40],
  [92, 100],
];

export class ReadSet {
  readonly #snapshot: Snapshot;
  readonly #pages: Set<number>;
  readonly #first: Uint8Array;

  constructor(snapshot: Snapshot, pages: Set<number>) {
    this.#snapshot = snapshot;
    this.#pages = pages;
    this.#first = firstPage(snapshot) ?? new Uint8Array(0);
  }

  /** Whether a page that was read is another one, or may be, in `snapshot`. O(pages read) */
  changedIn(snapshot: Snapshot): boolean {
    if (snapshot.epoch === this.#snapshot.epoch) return false;
    const { table, pageCount } = this.#snapshot;
    for (const page of this.#pages) {
      if (page === 1) continue;
      const before = page <= pageCount ? table.lookup(page) : 0;
      const after = page <= snapshot.pageCount ? snapshot.table.lookup(page) : 0;
      if (before !== after) return true;
    }
    // Page 1 is the root of the schema's table, and changes with every commit: only what is not volatile counts.
    const first = firstPage(snapshot);
    return first === undefined || first.some((byte, i) => byte !== this.#first[i]);
  }
}

/** Page 1 without what every commit changes; undefined where it must be fetched. */
function firstPage(snapshot: Snapshot): Uint8Array | undefined {
  const page = new Uint8Array(Math.max(HEADER_BYTES, snapshot.pageSize));
  if (!snapshot.tryRead(0, page)) return undefined;
  for (const [from, to] of VOLATILE) page.fill(0, from, to);
  return page;
}

/** A source of snapshots that notes which pages are read. For one connection. */
export class RecordingSource implements ViewSource {
  readonly #source: ViewSource;
  /** Since `begin`: the pages that were read, the view of them, and what is known of a view that was given back. */
  #pages = new Set<number>();
  #view: RecordingView | undefined;
  #read: ReadSet | undefined;

  /** @param source whose views are snapshots */
  constructor(source: ViewSource) {
    this.#source = source;
  }

  get current(): PageView {
    return this.#source.current;
  }

  get lineage(): number {
    // A state that stays has none, and is never replaced.
    return this.#source.lineage ?? 0;
  }

  /** Never: SQLite's own cache would hide what a query reads. */
  same(): boolean {
    return false;
  }

  acquire(): PageView {
    const snapshot = this.#source.acquire() as Snapshot;
    this.#view = new RecordingView(snapshot, this.#pages);
    return this.#view;
  }

  release(view: PageView): void {
    const { snapshot, pages } = view as RecordingView;
    // Taken while the snapshot is open: the next commit, which may come before `end`, closes it. Of several statements the first one's view
    // counts, so that a commit between them is a change.
    if (pages === this.#pages) this.#read ??= new ReadSet(snapshot, pages);
    this.#source.release(snapshot);
  }

  /** From now on another query's pages are noted. */
  begin(): void {
    this.#pages = new Set();
    this.#view = undefined;
    this.#read = undefined;
  }

  /** What was read since `begin`. */
  end(): ReadSet {
    return this.#read ?? new ReadSet(this.#view?.snapshot ?? (this.#source.current as Snapshot), this.#pages);
  }
}

class RecordingView implements PageView {
  readonly snapshot: Snapshot;
  readonly pages: Set<number>;

  constructor(snapshot: Snapshot, pages: Set<number>) {
    this.snapshot = snapshot;
    this.pages = pages;
  }

  get pageSize(): number {
    return this.snapshot.pageSize;
  }

  get pageCount(): number {
    return this.snapshot.pageCount;
  }

  get byteLength(): number {
    return this.snapshot.byteLength;
  }

  get lsn(): number {
    return this.snapshot.lsn;
  }

  tryRead(offset: number, into: Uint8Array): boolean {
    const { pageSize } = this.snapshot;
    const last = Math.floor((offset + into.length - 1) / pageSize) + 1;
    for (let page = Math.floor(offset / pageSize) + 1; page <= last; page++) this.pages.add(page);
    return this.snapshot.tryRead(offset, into);
  }

  fault(offset: number, length: number): FetchPlan<void> {
    return this.snapshot.fault(offset, length);
  }
}
