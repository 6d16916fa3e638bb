/**
 * The main database file of a connection: a view of a volume, read-only. Shows SQLite three things otherwise than they are stored:
 * a WAL header (bytes 18 and 19), the end of the file as a short read, and the change counter when the view was replaced.
 */
import type { FetchPlan, PageView } from "../../src/volume/fetch-plan.ts";
import { IOERR_SHORT_READ, LOCK_NONE, OK, READONLY } from "./codes.ts";
import { MISS, type VfsFile } from "./vfs-file.ts";
import type { ViewSource } from "./view-source.ts";

/** File format versions for writing and reading; 2 means WAL, which an io-version-1 VFS cannot open. */
const WRITE_VERSION = 18;
const READ_VERSION = 19;
const WAL = 2;
const ROLLBACK_JOURNAL = 1;
/** Change counter and the 12 bytes after it: what SQLite reads at each lock to learn whether its cache is still good. */
const VERSION_OFFSET = 24;
const VERSION_BYTES = 16;
const MIN_PAGE_SIZE = 512;

export class DatabaseFile implements VfsFile {
  readonly #source: ViewSource;
  /** Set while locked, and between the first read without a lock and the next lock. */
  #view: PageView | undefined;
  #level = LOCK_NONE;
  /** The view whose page 1 SQLite read last, and its version bytes: what SQLite believes of its page cache. */
  #seen: PageView | undefined;
  readonly #seenVersion = new Uint8Array(VERSION_BYTES);

  constructor(source: ViewSource) {
    this.#source = source;
  }

  /** The view that reads go to now. */
  get view(): PageView {
    if (this.#view === undefined) this.#view = this.#source.acquire();
    return this.#view;
  }

  /** Whether the next transaction will see another view than the one whose schema SQLite read last. */
  get replaced(): boolean {
    return this.#level === LOCK_NONE && this.#seen !== undefined && this.#seen !== this.#source.current;
  }

  read(into: Uint8Array, offset: number): number {
    const view = this.view;
    if (offset === VERSION_OFFSET && into.length === VERSION_BYTES && view === this.#seen) {
      // Asked at the start of every transaction; the view is the same, so its bytes are.
      into.set(this.#seenVersion);
      return OK;
    }
    if (!view.tryRead(offset, into)) return MISS;
    if (offset < VERSION_OFFSET + VERSION_BYTES) this.#showFirstPage(into, offset, view);
    return offset + into.length <= view.byteLength ? OK : IOERR_SHORT_READ;
  }

  /** What must be fetched so that a read which missed succeeds. */
  fault(offset: number, length: number): FetchPlan<void> {
    return this.view.fault(offset, length);
  }

  write(): number {
    return READONLY;
  }

  truncate(): number {
    return READONLY;
  }

  size(): number {
    return this.view.byteLength;
  }

  lock(level: number): number {
    if (this.#level === LOCK_NONE && level > LOCK_NONE) {
      this.#releaseView();
      this.#view = this.#source.acquire();
    }
    if (level > this.#level) this.#level = level;
    return OK;
  }

  unlock(level: number): number {
    if (level < this.#level) this.#level = level;
    if (level === LOCK_NONE) this.#releaseView();
    return OK;
  }

  close(): void {
    this.#releaseView();
  }

  #releaseView(): void {
    const view = this.#view;
    if (view === undefined) return;
    this.#view = undefined;
    this.#source.release(view);
  }

  #showFirstPage(into: Uint8Array, offset: number, view: PageView): void {
    if (offset === VERSION_OFFSET && into.length === VERSION_BYTES) {
      this.#alterVersion(into);
      return;
    }
    for (const at of [WRITE_VERSION, READ_VERSION]) {
      if (at >= offset && at < offset + into.length && into[at - offset] === WAL)
        into[at - offset] = ROLLBACK_JOURNAL;
    }
    if (offset === 0 && into.length >= MIN_PAGE_SIZE) {
      this.#seen = view;
      this.#seenVersion.set(into.subarray(VERSION_OFFSET, VERSION_OFFSET + VERSION_BYTES));
    }
  }

  /**
   * SQLite compares these bytes with those of the page 1 that it read last, and keeps its cache when they are equal. Two histories can
   * carry equal counters, so another view must never look equal.
   */
  #alterVersion(into: Uint8Array): void {
    if (this.#seen === undefined) return;
    if (into.every((byte, i) => byte === this.#seenVersion[i])) into[0] = (into[0] ?? 0) ^ 0xff;
  }
}
