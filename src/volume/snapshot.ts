/**
 * An immutable view of a volume: the same bytes for ever, whatever is pushed, pulled or evicted meanwhile. Reads are synchronous
 * where the pages are resident; a miss is planned here and carried out by whoever can wait for the network.
 */
import { assert } from "../base/assert.ts";
import type { Lsn, PageCount } from "../base/brand.ts";
import { PagefoldError, throwIfAborted } from "../base/errors.ts";
import { PageSet } from "../format/page-set.ts";
import type { PageCache } from "../local/page-cache.ts";
import { cacheHandle } from "./cached-pages.ts";
import type { FetchPlan, PageView } from "./fetch-plan.ts";
import type { LocalCommits } from "./local-commits.ts";
import type { PageTable } from "./page-table.ts";
import type { LocalCommit, Replica } from "./replica.ts";
import type { ReplicaLog } from "./replica-log.ts";

/** How missing pages become resident; `src/replicate` implements it. */
export interface PageSupply {
  /** A plan for the caller's own thread, read-ahead included. */
  plan(snapshot: Snapshot, firstPage: number, lastPage: number): FetchPlan<void>;
  /** The same through shared flights, asynchronously. */
  load(snapshot: Snapshot, pages: PageSet, signal?: AbortSignal): Promise<void>;
}

/** What every snapshot of one volume shares. */
export interface SnapshotContext {
  readonly replica: Replica;
  readonly log: ReplicaLog;
  readonly cache: PageCache;
  readonly supply: PageSupply;
}

/** What a snapshot shows. */
export interface SnapshotState {
  readonly lsn: Lsn;
  readonly pageCount: PageCount;
  readonly byteLength: number;
  readonly table: PageTable;
  /** Local commits on top of `lsn`. */
  readonly commits: LocalCommits;
  /** The replica's epoch, where this is its newest state. */
  readonly epoch?: number;
}

/** How often pages may be evicted between their arrival and their use before the cache is declared too small. */
const MAX_ATTEMPTS = 8;

export class Snapshot implements PageView {
  readonly context: SnapshotContext;
  readonly pageSize: number;
  readonly pageCount: PageCount;
  /** Exact length in bytes. */
  readonly byteLength: number;
  /** The remote commit that this snapshot stands on. */
  readonly lsn: Lsn;
  readonly table: PageTable;
  /** Compared with the replica's to find out whether it moved on; undefined for a past state. */
  readonly epoch: number | undefined;
  /** Shared with the replica: nothing here costs time per commit. */
  readonly #commits: LocalCommits;
  readonly #release: () => void;
  #closed = false;

  constructor(context: SnapshotContext, state: SnapshotState) {
    this.context = context;
    this.pageSize = context.replica.manifest.pageSize;
    this.pageCount = state.pageCount;
    this.byteLength = state.byteLength;
    this.lsn = state.lsn;
    this.table = state.table;
    this.epoch = state.epoch;
    this.#commits = state.commits;
    this.#release = context.log.hold(state.commits);
  }

  /** How many local commits, not pushed when the snapshot was taken, it shows on top of `lsn`. */
  get localCommits(): number {
    return this.#commits.length;
  }

  tryRead(offset: number, into: Uint8Array): boolean {
    const { pageSize } = this;
    // Not `%`: the remainder of doubles is a slow division of its own, the page size a power of two.
    const index = Math.floor(offset / pageSize);
    const inPage = offset - index * pageSize;
    // SQLite's way: one whole page, or a part of one.
    if (inPage + into.length <= pageSize) return this.#tryPart(index + 1, inPage, into);
    let done = 0;
    while (done < into.length) {
      const start = (offset + done) % pageSize;
      const length = Math.min(pageSize - start, into.length - done);
      if (
        !this.#tryPart(Math.floor((offset + done) / pageSize) + 1, start, into.subarray(done, done + length))
      )
        return false;
      done += length;
    }
    return true;
  }

  fault(offset: number, length: number): FetchPlan<void> {
    const first = Math.floor(offset / this.pageSize) + 1;
    const last = Math.max(first, Math.ceil((offset + length) / this.pageSize));
    return this.context.supply.plan(this, first, last);
  }

  /**
   * Whether the page is known, without fetching, to have these very bytes, which are not all zeros.
   * @param sum of `bytes`, as the local log keeps it
   * @param scratch room for a page
   */
  holds(page: number, bytes: Uint8Array, sum: bigint, scratch: Uint8Array): boolean {
    const value = this.table.lookup(page);
    if (value === 0 || page > this.pageCount) return false;
    // Pages of local commits lie in the log: their sums are in memory and mostly tell without a read.
    if (value < 0 && this.context.log.sumOf(this.#localCommit(-value), page) !== sum) return false;
    return this.#tryPart(page, 0, scratch) && equalWords(bytes, scratch);
  }

  /** Whether reading the page needs no fetch. */
  isResident(page: number): boolean {
    if (page > this.pageCount) return true;
    const value = this.table.lookup(page);
    const { cache, replica } = this.context;
    return value <= 0 || cache.has(cacheHandle(replica, value), page, value);
  }

  /** The pages of a range that must be fetched first. */
  missing(firstPage: number, lastPage: number): PageSet {
    const { cache, replica } = this.context;
    const pages: number[] = [];
    for (const run of this.table.runs(firstPage, Math.min(lastPage, this.pageCount))) {
      if (run.value <= 0) continue;
      const handle = cacheHandle(replica, run.value);
      for (let page = run.first; page <= run.last; page++) {
        if (!cache.has(handle, page, run.value)) pages.push(page);
      }
    }
    return PageSet.of(pages);
  }

  /**
   * Reads bytes, fetching what is missing. Bytes past the end are not returned.
   * @param offset in bytes, >= 0
   * @param length in bytes; the result is shorter where the volume ends
   */
  async read(
    offset: number,
    length: number,
    options: { readonly signal?: AbortSignal } = {},
  ): Promise<Uint8Array> {
    checkRange(offset, length);
    // What is resident needs no signal; the caller's "no" counts all the same.
    throwIfAborted(options.signal, "reading the volume");
    const bytes = new Uint8Array(Math.max(0, Math.min(length, this.byteLength - offset)));
    await this.readInto(offset, bytes, options);
    return bytes;
  }

  /** Fills `into` from `offset`, fetching what is missing; past the end it is zeros. */
  async readInto(
    offset: number,
    into: Uint8Array,
    options: { readonly signal?: AbortSignal } = {},
  ): Promise<void> {
    // Windows small enough that one does not evict itself.
    const window = Math.max(1, Math.floor(this.context.cache.capacityPages / 16)) * this.pageSize;
    for (let done = 0; done < into.length; ) {
      const length = Math.min(into.length - done, window - ((offset + done) % this.pageSize));
      await this.#readWindow(offset + done, into.subarray(done, done + length), options.signal);
      done += length;
    }
  }

  /** Lets go of local commits that only this snapshot still reads. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#release();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** Page by page: in a small cache one that was here may be gone when another has come, and what was read is read. */
  async #readWindow(offset: number, into: Uint8Array, signal: AbortSignal | undefined): Promise<void> {
    if (this.tryRead(offset, into)) return;
    const { pageSize } = this;
    const first = Math.floor(offset / pageSize) + 1;
    const last = Math.ceil((offset + into.length) / pageSize);
    let unread = Array.from({ length: last - first + 1 }, (_, i) => first + i);
    for (let failures = 0; failures < MAX_ATTEMPTS; ) {
      const before = unread.length;
      unread = unread.filter((page) => {
        const from = Math.max((page - 1) * pageSize, offset);
        const to = Math.min(page * pageSize, offset + into.length);
        const part = into.subarray(from - offset, to - offset);
        return !this.#tryPart(page, from - (page - 1) * pageSize, part);
      });
      if (unread.length === 0) return;
      if (unread.length === before) failures++;
      throwIfAborted(signal, "reading");
      await this.context.supply.load(this, this.missing(first, last).intersect(PageSet.of(unread)), signal);
    }
    throw cacheTooSmall(this.context.cache.capacityPages);
  }

  #tryPart(page: number, start: number, into: Uint8Array): boolean {
    if (this.#closed) throw new PagefoldError("closed", "this snapshot was closed; take a new one");
    if (page > this.pageCount) {
      into.fill(0);
      return true;
    }
    const { context } = this;
    const value = this.table.lookup(page);
    if (value > 0) {
      const bytes = context.cache.get(cacheHandle(context.replica, value), page, value);
      if (bytes === undefined) return false;
      into.set(into.length === this.pageSize ? bytes : bytes.subarray(start, start + into.length));
    } else if (value === 0) {
      into.fill(0);
    } else {
      this.#readLocal(page, -value, start, into);
    }
    return true;
  }

  #localCommit(sequence: number): LocalCommit {
    const commit = this.#commits.bySequence(sequence);
    assert(commit?.sequence === sequence, `a snapshot without its local commit ${sequence}`);
    return commit;
  }

  #readLocal(page: number, sequence: number, start: number, into: Uint8Array): void {
    const { log, replica, cache } = this.context;
    const commit = this.#localCommit(sequence);
    const cached = cache.getLocal(replica.handle, page, -commit.key);
    if (cached !== undefined) {
      into.set(into.length === this.pageSize ? cached : cached.subarray(start, start + into.length));
      return;
    }
    const whole = into.length === this.pageSize ? into : new Uint8Array(this.pageSize);
    log.readPage(replica, commit, page, whole);
    cache.putLocal(replica.handle, page, -commit.key, whole);
    if (whole !== into) into.set(whole.subarray(start, start + into.length));
  }
}

/** Both start at a multiple of four bytes and are as long. */
function equalWords(a: Uint8Array, b: Uint8Array): boolean {
  const words = a.length >>> 2;
  const x = new Int32Array(a.buffer, a.byteOffset, words);
  const y = new Int32Array(b.buffer, b.byteOffset, words);
  for (let i = 0; i < words; i++) if (x[i] !== y[i]) return false;
  return true;
}

export function checkRange(offset: number, length: number): void {
  if (!Number.isSafeInteger(offset) || offset < 0 || !Number.isSafeInteger(length) || length < 0) {
    throw new PagefoldError(
      "invalid",
      `a range needs whole, non-negative numbers of bytes, not offset ${offset} and length ${length}`,
    );
  }
}

export function cacheTooSmall(capacityPages: number): PagefoldError {
  return new PagefoldError(
    "quota",
    `pages are evicted before they can be read: the page cache holds only ${capacityPages} pages; give it more memory or disk`,
  );
}
