/**
 * One writer's changes to a volume, on top of a snapshot, until they become one local commit. Every operation comes twice: at once, with
 * an explicit miss, for SQLite, which cannot wait; and as a promise that fetches what is missing.
 */
import { assert } from "../base/assert.ts";
import { type Lsn, MAX_PAGE_COUNT, type PageCount } from "../base/brand.ts";
import { PagefoldError } from "../base/errors.ts";
import { isZeroPage } from "../format/checksum.ts";
import { PageSet } from "../format/page-set.ts";
import type { FetchPlan } from "./fetch-plan.ts";
import type { LocalCommit, StoredBatch } from "./replica.ts";
import { checkRange, type Snapshot } from "./snapshot.ts";
import { StagedPages } from "./staged-pages.ts";

/** What the volume does for a transaction. */
export interface TransactionHost {
  /** Bytes of staged pages kept in memory before they spill. */
  readonly budgetBytes: number;
  readonly transaction: number;
  /** Of a page's bytes, as the local log keeps it. */
  sum(bytes: Uint8Array): bigint;
  spill(pages: PageSet, bytes: readonly Uint8Array[]): StoredBatch;
  /** Nothing of a spilled batch will be read or committed any more. */
  forget(batch: StoredBatch): void;
  /** Makes the drafts of this and other transactions of the same store one local commit each: all of them or none. */
  commitAll(drafts: readonly HostedDraft[]): LocalCommit[];
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
  /** `sum` of each of `bytes`. */
  readonly sums: BigUint64Array;
  readonly spilled: readonly StoredBatch[];
}

export interface HostedDraft {
  readonly host: TransactionHost;
  readonly base: Snapshot;
  readonly draft: CommitDraft;
}

/** What a local commit amounts to: durable here (where a flush can say so, else with `PageStore.durable`), not yet in the remote log. */
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
  readonly #staged: StagedPages;
  #byteLength: number;
  #lowestPageCount: number;
  #done = false;

  constructor(snapshot: Snapshot, host: TransactionHost) {
    this.snapshot = snapshot;
    this.#host = host;
    this.#pageSize = snapshot.pageSize;
    this.#byteLength = snapshot.byteLength;
    this.#lowestPageCount = snapshot.pageCount;
    const { log, replica } = snapshot.context;
    this.#staged = new StagedPages(
      {
        budgetBytes: host.budgetBytes,
        spill: (pages, bytes) => host.spill(pages, bytes),
        readSpilled: (batch, page, into) => log.readBatch(replica, batch, page, into),
        forget: (batch) => host.forget(batch),
      },
      this.#pageSize,
    );
  }

  /** Exact length in bytes, changes included. */
  get byteLength(): number {
    return this.#byteLength;
  }

  get pageCount(): PageCount {
    return Math.ceil(this.#byteLength / this.#pageSize) as PageCount;
  }

  /**
   * Fills `into` with the bytes at `offset` as this transaction sees them and answers true; false, with `into` in any state, where a page must be
   * fetched first (`fault`). Bytes past the end are zeros.
   */
  tryRead(offset: number, into: Uint8Array): boolean {
    this.#check();
    const first = Math.floor(offset / this.#pageSize);
    const start = offset - first * this.#pageSize;
    if (start + into.length <= this.#pageSize) return this.#tryPart(first + 1, start, into);
    for (let done = 0; done < into.length; ) {
      const page = Math.floor((offset + done) / this.#pageSize);
      const from = offset + done - page * this.#pageSize;
      const length = Math.min(this.#pageSize - from, into.length - done);
      if (!this.#tryPart(page + 1, from, into.subarray(done, done + length))) return false;
      done += length;
    }
    return true;
  }

  /** A plan after which `tryRead`, `tryWrite` or `tryTruncate` of this range succeeds. */
  fault(offset: number, length: number): FetchPlan<void> {
    return this.snapshot.fault(offset, length);
  }

  /**
   * Writes bytes at an offset; the volume grows as needed and a gap reads as zeros. Answers false, with nothing changed, where a page that is
   * written in part must be fetched first. `bytes` is copied.
   */
  tryWrite(offset: number, bytes: Uint8Array): boolean {
    this.#check();
    const size = this.#pageSize;
    const first = Math.floor(offset / size);
    if (bytes.length === size && offset === first * size) {
      this.#checkEnd(offset + size);
      this.#staged.write(first + 1, bytes);
      this.#byteLength = Math.max(this.#byteLength, offset + size);
      return true;
    }
    this.#checkEnd(offset + bytes.length);
    // The pages that are written in part are the first and the last: before anything changes, both must be here.
    const pages = new Map<number, Uint8Array>();
    for (const at of [offset, offset + bytes.length]) {
      const page = Math.floor(at / size);
      if (at === page * size || bytes.length === 0 || pages.has(page)) continue;
      const whole = new Uint8Array(size);
      if (!this.#tryPart(page + 1, 0, whole)) return false;
      pages.set(page, whole);
    }
    for (let done = 0; done < bytes.length; ) {
      const page = Math.floor((offset + done) / size);
      const start = offset + done - page * size;
      const part = Math.min(size - start, bytes.length - done);
      const source = bytes.subarray(done, done + part);
      const whole = part === size ? source : pages.get(page)!;
      if (part < size) whole.set(source, start);
      this.#staged.write(page + 1, whole);
      done += part;
      // With each page: where a later one fails, no staged byte lies past the end.
      this.#byteLength = Math.max(this.#byteLength, offset + done);
    }
    return true;
  }

  /**
   * Makes the volume exactly so many bytes long; what lies above is gone for good, growing again reads zeros. Answers false, with nothing
   * changed, where the last page must be fetched first.
   */
  tryTruncate(byteLength: number): boolean {
    this.#check();
    this.#checkEnd(byteLength);
    if (byteLength < this.#byteLength) {
      const pageCount = Math.ceil(byteLength / this.#pageSize);
      const tail = byteLength % this.#pageSize;
      if (tail !== 0) {
        // The rest of the last page must read as zeros if the volume grows again.
        const page = new Uint8Array(this.#pageSize);
        if (!this.#tryPart(pageCount, 0, page)) return false;
        page.fill(0, tail);
        this.#staged.write(pageCount, page);
      }
      this.#lowestPageCount = Math.min(this.#lowestPageCount, pageCount);
      this.#staged.truncate(pageCount);
    }
    this.#byteLength = byteLength;
    return true;
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
      const part = Math.min(this.#pageSize - ((offset + done) % this.#pageSize), bytes.length - done);
      const into = bytes.subarray(done, done + part);
      if (!this.tryRead(offset + done, into)) await this.snapshot.readInto(offset + done, into, options);
      done += part;
    }
    return bytes;
  }

  /** `tryWrite`, which fetches the pages that are written in part. */
  async write(
    offset: number,
    bytes: Uint8Array,
    options: { readonly signal?: AbortSignal } = {},
  ): Promise<void> {
    checkRange(offset, bytes.length);
    // A page at a time, so that a cache of a few pages suffices.
    for (let done = 0; done < bytes.length; ) {
      const part = Math.min(this.#pageSize - ((offset + done) % this.#pageSize), bytes.length - done);
      const source = bytes.subarray(done, done + part);
      await this.#fetching(offset + done, options, () => this.tryWrite(offset + done, source));
      done += part;
    }
    if (bytes.length === 0) this.#check();
  }

  /** Writes one whole page without reading anything. `bytes` is copied. */
  writePage(page: number, bytes: Uint8Array): void {
    assert(bytes.length === this.#pageSize, `a page of ${bytes.length} bytes`);
    this.tryWrite((page - 1) * this.#pageSize, bytes);
  }

  /** `tryTruncate`, which fetches the last page where it is cut. */
  async truncate(byteLength: number, options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    checkRange(byteLength, 0);
    await this.#fetching(byteLength, options, () => this.tryTruncate(byteLength));
  }

  /**
   * Makes one local commit of all changes; pages that equal the snapshot's resident ones are left out, and where nothing is left
   * no commit is made. @throws `conflict` when another commit came first, `quota` when the local store is full.
   */
  commit(): CommitResult {
    return commitTogether([this])[0]!;
  }

  /** Forgets all changes. Idempotent. */
  rollback(): void {
    if (!this.#done) this.#end();
  }

  /** `using`: what was not committed is rolled back, and the next writer has its turn. */
  [Symbol.dispose](): void {
    this.rollback();
  }

  /** @internal What `commitTogether` commits; no draft where nothing has changed. Ends nothing. */
  prepare(): { readonly host: TransactionHost; readonly draft: CommitDraft; readonly changed: boolean } {
    this.#check();
    const draft = this.#draft();
    const changed =
      !draft.pages.isEmpty ||
      !draft.zeroed.isEmpty ||
      draft.spilled.length > 0 ||
      draft.byteLength !== this.snapshot.byteLength ||
      draft.lowestPageCount !== this.snapshot.pageCount;
    return { host: this.#host, draft, changed };
  }

  #draft(): CommitDraft {
    const { pageCount } = this;
    const zeroed: number[] = [];
    const changed: number[] = [];
    const pages: Uint8Array[] = [];
    const sums: bigint[] = [];
    const { inMemory, spilled, dropped } = this.#staged;
    for (const page of [...inMemory.keys()].sort((a, b) => a - b)) {
      const bytes = inMemory.get(page)!;
      const isNew = page > this.#lowestPageCount;
      const isSpilled = spilled.length > 0 && this.#staged.hasSpilled(page);
      if (isZeroPage(bytes)) {
        if (isSpilled || (!isNew && this.snapshot.table.lookup(page) !== 0)) zeroed.push(page);
        continue;
      }
      const sum = this.#host.sum(bytes);
      if (!isSpilled && !isNew && this.snapshot.holds(page, bytes, sum, this.#staged.scratch())) continue;
      changed.push(page);
      pages.push(bytes);
      sums.push(sum);
    }
    for (const page of dropped) if (page <= pageCount && !inMemory.has(page)) zeroed.push(page);
    return {
      transaction: this.#host.transaction,
      pageCount,
      lowestPageCount: Math.min(this.#lowestPageCount, pageCount) as PageCount,
      byteLength: this.#byteLength,
      zeroed: PageSet.of(zeroed),
      pages: PageSet.of(changed),
      bytes: pages,
      sums: BigUint64Array.from(sums),
      spilled,
    };
  }

  #tryPart(page: number, start: number, into: Uint8Array): boolean {
    if (this.#staged.read(page, start, into)) return true;
    if (page > this.#lowestPageCount) {
      into.fill(0);
      return true;
    }
    return this.snapshot.tryRead((page - 1) * this.#pageSize + start, into);
  }

  /** Runs `attempt` until the page at `offset`, which may be evicted again meanwhile, is here for it. */
  async #fetching(
    offset: number,
    options: { readonly signal?: AbortSignal },
    attempt: () => boolean,
  ): Promise<void> {
    const page = new Uint8Array(this.#pageSize);
    while (!attempt()) {
      await this.snapshot.readInto(offset - (offset % this.#pageSize), page, options);
    }
  }

  #checkEnd(end: number): void {
    if (end <= MAX_PAGE_COUNT * this.#pageSize) return;
    throw new PagefoldError(
      "invalid",
      `a volume of ${this.#pageSize}-byte pages cannot have ${end} bytes; the largest has ${MAX_PAGE_COUNT} pages`,
    );
  }

  #check(): void {
    if (this.#done) throw new PagefoldError("closed", "this transaction has ended; begin a new one");
  }

  #end(): void {
    this.#done = true;
    this.#staged.clear();
    this.snapshot.close();
    this.#host.ended(this.#staged.spilled);
  }
}

/**
 * Ends transactions on several volumes of one store with one local commit each, written down together: after a crash all of them are
 * there or none is. What had not changed gets no commit.
 * @throws as `Transaction.commit`; then nothing was committed, and all of them have ended
 */
export function commitTogether(transactions: readonly Transaction[]): CommitResult[] {
  try {
    const prepared = transactions.map((transaction) => ({ transaction, ...transaction.prepare() }));
    const drafts = prepared
      .filter(({ changed }) => changed)
      .map(({ transaction, host, draft }) => ({ host, draft, base: transaction.snapshot }));
    const commits = drafts.length === 0 ? [] : drafts[0]!.host.commitAll(drafts);
    let next = 0;
    return prepared.map(({ transaction, draft, changed }) => {
      const commit = changed ? commits[next++] : undefined;
      return {
        lsn: transaction.snapshot.lsn,
        sequence: commit?.sequence,
        changedPages: commit === undefined ? 0 : commit.changed.size + commit.zeroed.size,
        pageCount: draft.pageCount,
        byteLength: draft.byteLength,
      };
    });
  } finally {
    for (const transaction of transactions) transaction.rollback();
  }
}
