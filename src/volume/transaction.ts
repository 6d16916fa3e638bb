/**
 * One writer's changes to a volume, on top of a snapshot, until they become one local commit. Pages are staged in memory up to a
 * budget and spill into the local log above it, where they are forgotten unless the commit names them.
 */
import { assert } from "../base/assert.ts";
import { type Lsn, MAX_PAGE_COUNT, type PageCount } from "../base/brand.ts";
import { PagefoldError } from "../base/errors.ts";
import { isZeroPage } from "../format/checksum.ts";
import { PageSet } from "../format/page-set.ts";
import type { LocalCommit, StoredBatch } from "./replica.ts";
import { checkRange, type Snapshot } from "./snapshot.ts";

/** What the volume does with a finished transaction. */
export interface TransactionHost {
  /** Bytes of staged pages kept in memory before they spill. */
  readonly budgetBytes: number;
  readonly transaction: number;
  spill(pages: PageSet, bytes: readonly Uint8Array[]): StoredBatch;
  commit(draft: CommitDraft): LocalCommit;
  /** Called once, however the transaction ends, with what it had spilled. */
  ended(spilled: readonly StoredBatch[]): void;
}

export interface CommitDraft {
  readonly transaction: number;
  readonly pageCount: PageCount;
  readonly lowestPageCount: PageCount;
  readonly byteLength: number;
  readonly zeroed: PageSet;
  readonly pages: PageSet;
  readonly bytes: readonly Uint8Array[];
  readonly spilled: readonly StoredBatch[];
}

/** What a local commit amounts to: durable here, not yet in the remote log. */
export interface CommitResult {
  /** The remote commit it builds on. */
  readonly lsn: Lsn;
  /** Its number among this replica's local commits; undefined when nothing had changed and no commit was made. */
  readonly sequence: number | undefined;
  readonly changedPages: number;
  readonly pageCount: PageCount;
  readonly byteLength: number;
}

export class Transaction {
  /** What the transaction started from; it never sees later commits. */
  readonly snapshot: Snapshot;
  readonly #host: TransactionHost;
  readonly #pageSize: number;
  #staged = new Map<number, Uint8Array>();
  readonly #spilled: StoredBatch[] = [];
  /** Spilled pages that count no more, because a shrink or a zeroing came after. */
  readonly #dropped = new Set<number>();
  #byteLength: number;
  #lowestPageCount: number;
  #done = false;

  constructor(snapshot: Snapshot, host: TransactionHost) {
    this.snapshot = snapshot;
    this.#host = host;
    this.#pageSize = snapshot.pageSize;
    this.#byteLength = snapshot.byteLength;
    this.#lowestPageCount = snapshot.pageCount;
  }

  /** Exact length in bytes, changes included. */
  get byteLength(): number {
    return this.#byteLength;
  }

  get pageCount(): PageCount {
    return Math.ceil(this.#byteLength / this.#pageSize) as PageCount;
  }

  /** Reads bytes as this transaction sees them; shorter where the volume ends. */
  async read(
    offset: number,
    length: number,
    options: { readonly signal?: AbortSignal } = {},
  ): Promise<Uint8Array> {
    this.#check();
    checkRange(offset, length);
    const bytes = new Uint8Array(Math.max(0, Math.min(length, this.#byteLength - offset)));
    for (let done = 0; done < bytes.length; ) {
      const start = (offset + done) % this.#pageSize;
      const part = Math.min(this.#pageSize - start, bytes.length - done);
      const page = await this.#page(Math.floor((offset + done) / this.#pageSize) + 1, options.signal);
      bytes.set(page.subarray(start, start + part), done);
      done += part;
    }
    return bytes;
  }

  /**
   * Writes bytes at an offset; the volume grows as needed and a gap reads as zeros. Only pages written in part are read (and
   * fetched, if they are not resident) first.
   */
  async write(
    offset: number,
    bytes: Uint8Array,
    options: { readonly signal?: AbortSignal } = {},
  ): Promise<void> {
    this.#check();
    checkRange(offset, bytes.length);
    if (bytes.length === 0) return;
    const end = offset + bytes.length;
    if (end > MAX_PAGE_COUNT * this.#pageSize) {
      throw new PagefoldError(
        "invalid",
        `a write that ends at byte ${end} is past the largest volume of ${this.#pageSize}-byte pages`,
      );
    }
    for (let done = 0; done < bytes.length; ) {
      const start = (offset + done) % this.#pageSize;
      const part = Math.min(this.#pageSize - start, bytes.length - done);
      const page = Math.floor((offset + done) / this.#pageSize) + 1;
      const whole =
        part === this.#pageSize ? new Uint8Array(this.#pageSize) : await this.#page(page, options.signal);
      whole.set(bytes.subarray(done, done + part), start);
      done += part;
      // With each page: where a later one fails, no staged byte lies past the end.
      this.#byteLength = Math.max(this.#byteLength, offset + done);
      this.#stage(page, whole);
    }
  }

  /** Writes one whole page without reading anything: for callers that have it whole (SQLite). `bytes` is copied. */
  writePage(page: number, bytes: Uint8Array): void {
    this.#check();
    assert(bytes.length === this.#pageSize, `a page of ${bytes.length} bytes`);
    this.#stage(page, bytes.slice());
    this.#byteLength = Math.max(this.#byteLength, page * this.#pageSize);
  }

  /** Makes the volume exactly so many bytes long. What lies above is gone for good: growing again reads zeros. */
  async truncate(byteLength: number, options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    this.#check();
    checkRange(byteLength, 0);
    if (byteLength > MAX_PAGE_COUNT * this.#pageSize) {
      throw new PagefoldError(
        "invalid",
        `${byteLength} bytes are more than the largest volume of ${this.#pageSize}-byte pages`,
      );
    }
    if (byteLength < this.#byteLength) {
      const pageCount = Math.ceil(byteLength / this.#pageSize);
      const tail = byteLength % this.#pageSize;
      if (tail !== 0) {
        // The rest of the last page must read as zeros if the volume grows again.
        const page = await this.#page(pageCount, options.signal);
        page.fill(0, tail);
        this.#stage(pageCount, page);
      }
      this.#lowestPageCount = Math.min(this.#lowestPageCount, pageCount);
      for (const page of this.#staged.keys()) if (page > pageCount) this.#staged.delete(page);
      for (const batch of this.#spilled) {
        for (const page of batch.pages) if (page > pageCount) this.#dropped.add(page);
      }
    }
    this.#byteLength = byteLength;
  }

  /**
   * Makes one local commit of all changes; pages that equal the snapshot's resident ones are left out, and where nothing is left
   * no commit is made. @throws `conflict` when another commit came first, `quota` when the local store is full.
   */
  commit(): CommitResult {
    this.#check();
    try {
      const draft = this.#draft();
      const changedPages =
        draft.pages.size + draft.zeroed.size + draft.spilled.reduce((sum, { pages }) => sum + pages.size, 0);
      const same =
        changedPages === 0 &&
        draft.byteLength === this.snapshot.byteLength &&
        draft.lowestPageCount === this.snapshot.pageCount;
      const commit = same ? undefined : this.#host.commit(draft);
      return {
        lsn: this.snapshot.lsn,
        sequence: commit?.sequence,
        changedPages: commit === undefined ? 0 : commit.changed.size + commit.zeroed.size,
        pageCount: draft.pageCount,
        byteLength: draft.byteLength,
      };
    } finally {
      this.#end();
    }
  }

  /** Forgets all changes. Idempotent. */
  rollback(): void {
    if (!this.#done) this.#end();
  }

  /** `using`: what was not committed is rolled back, and the next writer has its turn. */
  [Symbol.dispose](): void {
    this.rollback();
  }

  #draft(): CommitDraft {
    const { pageCount } = this;
    const zeroed: number[] = [];
    const changed: number[] = [];
    const scratch = new Uint8Array(this.#pageSize);
    for (const [page, bytes] of this.#staged) {
      const value = page <= this.#lowestPageCount ? this.snapshot.table.lookup(page) : 0;
      const spilled = this.#spilled.some((batch) => batch.pages.has(page));
      if (isZeroPage(bytes)) {
        if (value !== 0 || spilled) zeroed.push(page);
        continue;
      }
      if (
        !spilled &&
        value !== 0 &&
        this.snapshot.tryRead((page - 1) * this.#pageSize, scratch) &&
        equal(bytes, scratch)
      )
        continue;
      changed.push(page);
    }
    for (const page of this.#dropped) if (page <= pageCount && !this.#staged.has(page)) zeroed.push(page);
    const pages = PageSet.of(changed);
    return {
      transaction: this.#host.transaction,
      pageCount,
      lowestPageCount: Math.min(this.#lowestPageCount, pageCount) as PageCount,
      byteLength: this.#byteLength,
      zeroed: PageSet.of(zeroed),
      pages,
      bytes: [...pages].map((page) => this.#staged.get(page)!),
      spilled: this.#spilled,
    };
  }

  #stage(page: number, bytes: Uint8Array): void {
    this.#staged.set(page, bytes);
    this.#dropped.delete(page);
    if (this.#staged.size * this.#pageSize <= this.#host.budgetBytes) return;
    const pages = PageSet.of(this.#staged.keys());
    this.#spilled.push(
      this.#host.spill(
        pages,
        [...pages].map((each) => this.#staged.get(each)!),
      ),
    );
    this.#staged = new Map();
  }

  /** A copy of a page as this transaction sees it. */
  async #page(page: number, signal: AbortSignal | undefined): Promise<Uint8Array> {
    const staged = this.#staged.get(page);
    if (staged !== undefined) return staged.slice();
    const bytes = new Uint8Array(this.#pageSize);
    if (this.#dropped.has(page)) return bytes;
    for (let i = this.#spilled.length - 1; i >= 0; i--) {
      const batch = this.#spilled[i]!;
      if (!batch.pages.has(page)) continue;
      this.#readSpilled(batch, page, bytes);
      return bytes;
    }
    if (page <= this.#lowestPageCount) {
      await this.snapshot.readInto(
        (page - 1) * this.#pageSize,
        bytes,
        signal === undefined ? {} : { signal },
      );
    }
    return bytes;
  }

  #readSpilled(batch: StoredBatch, page: number, into: Uint8Array): void {
    const { log, replica } = this.snapshot.context;
    log.readBatch(replica, batch, page, into);
  }

  #end(): void {
    this.#done = true;
    this.#staged.clear();
    this.snapshot.close();
    this.#host.ended(this.#spilled);
  }

  #check(): void {
    if (this.#done) throw new PagefoldError("closed", "this transaction has ended; begin a new one");
  }
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
