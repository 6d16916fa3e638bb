/**
 * The main database file of a connection: a view of a volume, and the transaction on top of it while SQLite holds the RESERVED lock. Shows
 * SQLite three things otherwise than they are stored: a WAL header (bytes 18 and 19), the end of the file as a short read, and the change
 * counter when the view was replaced.
 */
import { assert } from "../../src/base/assert.ts";
import { isPagefoldError, PagefoldError } from "../../src/base/errors.ts";
import type { FetchPlan, PageView } from "../../src/volume/fetch-plan.ts";
import type { CommitResult, Transaction } from "../../src/volume/transaction.ts";
import { BUSY, BUSY_SNAPSHOT, IOERR_SHORT_READ, LOCK_NONE, LOCK_RESERVED, OK, READONLY } from "./codes.ts";
import type { CommitGroup, StagedFile } from "./commit-group.ts";
import { openTransaction } from "./errors.ts";
import { MISS, type VfsFile } from "./vfs-file.ts";
import type { Durability, ViewSource, ViewWriter } from "./view-source.ts";

/** File format versions for writing and reading; 2 means WAL, which an io-version-1 VFS cannot open. */
const WRITE_VERSION = 18;
const READ_VERSION = 19;
const WAL = 2;
const ROLLBACK_JOURNAL = 1;
/** Change counter and the 12 bytes after it: what SQLite reads at each lock to learn whether its cache is still good. */
const VERSION_OFFSET = 24;
const VERSION_BYTES = 16;
const HEADER_BYTES = 100;
const MIN_PAGE_SIZE = 512;

export interface DatabaseFileOptions {
  readonly source: ViewSource;
  readonly group: CommitGroup;
  /** Opened for reading only, whatever the source allows. */
  readonly readOnly: boolean;
  /** Whether SQLite can be suspended now: then a lock that is taken is waited for, rather than answered with BUSY. */
  readonly suspendable: () => boolean;
}

export class DatabaseFile implements VfsFile, StagedFile {
  readonly #options: DatabaseFileOptions;
  #source: ViewSource;
  /** Set while locked, and between the first read without a lock and the next lock. */
  #view: PageView | undefined;
  #level = LOCK_NONE;
  #transaction: Transaction | undefined;
  /** Where a transaction has ended in the middle of SQLite's own: nothing of it may be written any more. */
  #broken = false;
  /** The view whose page 1 SQLite read or wrote last, and its version bytes: what SQLite believes of its page cache. */
  #seen: PageView | undefined;
  #seenLineage: number | undefined;
  readonly #seenVersion = new Uint8Array(VERSION_BYTES);
  /** Of page 1 as it is about to be committed; not where it has to be fetched: then SQLite did not write it. */
  readonly #header = new Uint8Array(HEADER_BYTES);
  #headerRead = false;
  /** What `PRAGMA synchronous` and `PRAGMA journal_mode` of this connection were set to; undefined: never. */
  durability: Durability | undefined;
  journalMode = "delete";
  /** How long a lock waits for its turn where it can, milliseconds: `PRAGMA busy_timeout`. */
  busyTimeoutMs = 0;

  constructor(options: DatabaseFileOptions) {
    this.#options = options;
    this.#source = options.source;
  }

  get source(): ViewSource {
    return this.#source;
  }

  get readOnly(): boolean {
    return this.#options.readOnly || this.#source.writer === undefined;
  }

  /** Whether a transaction, or a statement that is not done, holds its snapshot. */
  get locked(): boolean {
    return this.#level !== LOCK_NONE;
  }

  /** Whether this connection has the writer's turn. */
  get writing(): boolean {
    return this.#transaction !== undefined;
  }

  /** From the next transaction on the file shows another volume, or another state. @throws `busy` within a transaction */
  switchTo(source: ViewSource): void {
    if (this.locked) throw openTransaction();
    this.#releaseView();
    this.#source = source;
    // No lineage equals this one.
    this.#seenLineage = Number.NaN;
  }

  /** The view that reads go to now. */
  get view(): PageView {
    if (this.#view === undefined) this.#view = this.#source.acquire();
    return this.#view;
  }

  /** Whether the next transaction will see content that did not come from what SQLite read last by a commit of SQLite. */
  get replaced(): boolean {
    if (this.locked || this.#seen === undefined) return false;
    const { lineage } = this.#source;
    return lineage === undefined ? this.#seen !== this.#source.current : lineage !== this.#seenLineage;
  }

  read(into: Uint8Array, offset: number): number {
    const transaction = this.#transaction;
    if (transaction !== undefined) {
      if (!transaction.tryRead(offset, into)) return MISS;
      if (offset < VERSION_OFFSET) hideWal(into, offset);
      return offset + into.length <= transaction.byteLength ? OK : IOERR_SHORT_READ;
    }
    const view = this.view;
    if (offset === VERSION_OFFSET && into.length === VERSION_BYTES) return this.#readVersion(into, view);
    if (!view.tryRead(offset, into)) return MISS;
    if (offset < VERSION_OFFSET) {
      hideWal(into, offset);
      if (offset === 0 && into.length >= MIN_PAGE_SIZE) this.#see(view, into.subarray(VERSION_OFFSET));
    }
    return offset + into.length <= view.byteLength ? OK : IOERR_SHORT_READ;
  }

  /** What must be fetched so that a call which missed succeeds. */
  fault(offset: number, length: number): FetchPlan<void> {
    return (this.#transaction?.snapshot ?? this.view).fault(offset, length);
  }

  write(bytes: Uint8Array, offset: number): number {
    const transaction = this.#writing();
    if (transaction === undefined) return READONLY;
    return transaction.tryWrite(offset, bytes) ? OK : MISS;
  }

  truncate(size: number): number {
    const transaction = this.#writing();
    if (transaction === undefined) return READONLY;
    return transaction.tryTruncate(size) ? OK : MISS;
  }

  size(): number {
    return this.#transaction?.byteLength ?? this.view.byteLength;
  }

  lock(level: number): number {
    if (this.#level === LOCK_NONE && level > LOCK_NONE) {
      this.#releaseView();
      this.#view = this.#source.acquire();
    }
    if (level >= LOCK_RESERVED && this.#level < LOCK_RESERVED) {
      const code = this.#reserve((writer, view) => writer.tryBegin(view, this.durability));
      if (code !== OK) {
        const waits = code === BUSY && this.busyTimeoutMs > 0 && this.#options.suspendable();
        return waits ? MISS : code;
      }
    }
    if (level > this.#level) this.#level = level;
    return OK;
  }

  /** After `lock` has missed: the same, waiting among the others who want to write. */
  async lockSoon(level: number, timeoutMs: number): Promise<number> {
    const writer = this.#source.writer;
    if (writer === undefined) return READONLY;
    let transaction: Transaction | undefined;
    const code = await attempt(async () => {
      transaction = await writer.begin(this.view, this.durability, timeoutMs);
      return transaction === undefined ? BUSY : OK;
    });
    if (code !== OK) return code;
    this.#transaction = transaction;
    this.#level = level;
    return OK;
  }

  unlock(level: number): number {
    if (level < LOCK_RESERVED) this.#forgetTransaction();
    if (level < this.#level) this.#level = level;
    if (level === LOCK_NONE) this.#releaseView();
    return OK;
  }

  close(): void {
    this.#forgetTransaction();
    this.#releaseView();
  }

  /** SQLite has written everything that belongs to its transaction. */
  sync(): void {
    if (this.#transaction !== undefined || this.#broken) this.#options.group.add(this);
  }

  prepare(): Transaction | undefined {
    if (this.#broken) {
      throw new PagefoldError(
        "conflict",
        "this transaction was ended by a failure before; roll it back, and run it again",
      );
    }
    const transaction = this.#transaction;
    if (transaction !== undefined) {
      const isHere = transaction.byteLength > 0 && transaction.tryRead(0, this.#header);
      this.#headerRead = isHere;
      if (isHere) checkHeader(transaction, this.#header);
    }
    return transaction;
  }

  committed(result: CommitResult): void {
    const transaction = this.#transaction;
    assert(transaction !== undefined, "committed without a transaction");
    this.#transaction = undefined;
    this.#source.writer?.committed(result);
    // SQLite may keep its SHARED lock for other statements: they go on from what was just written.
    this.#releaseView();
    const view = this.#source.acquire();
    this.#view = view;
    if (this.#headerRead) this.#see(view, this.#header.subarray(VERSION_OFFSET));
    else this.#seen = undefined;
  }

  dropped(): void {
    this.#transaction = undefined;
    this.#broken = true;
  }

  #writing(): Transaction | undefined {
    if (this.#broken) throw new PagefoldError("conflict", "this transaction has failed; roll it back");
    return this.#transaction;
  }

  #reserve(begin: (writer: ViewWriter, view: PageView) => Transaction | undefined): number {
    const { writer } = this.#source;
    if (writer === undefined || this.#options.readOnly) return READONLY;
    try {
      this.#transaction = begin(writer, this.view);
      return this.#transaction === undefined ? BUSY : OK;
    } catch (error) {
      if (isPagefoldError(error, "conflict")) return BUSY_SNAPSHOT;
      throw error;
    }
  }

  #forgetTransaction(): void {
    this.#broken = false;
    const transaction = this.#transaction;
    if (transaction === undefined) return;
    this.#options.group.remove(this);
    this.#transaction = undefined;
    transaction.rollback();
  }

  #releaseView(): void {
    const view = this.#view;
    if (view === undefined) return;
    this.#view = undefined;
    this.#source.release(view);
  }

  #see(view: PageView, version: Uint8Array): void {
    this.#seen = view;
    this.#seenLineage = this.#source.lineage;
    this.#seenVersion.set(version.subarray(0, VERSION_BYTES));
  }

  /**
   * Asked at the start of every transaction. SQLite compares these bytes with those of the page 1 that it read or wrote last, and keeps its
   * cache when they are equal. Two histories can carry equal counters, so another content must never look equal.
   */
  #readVersion(into: Uint8Array, view: PageView): number {
    const seen = this.#seen;
    const known = seen !== undefined && (view === seen || this.#source.same?.(view, seen) === true);
    if (known && this.#seenLineage === this.#source.lineage) {
      into.set(this.#seenVersion);
      return OK;
    }
    if (!view.tryRead(VERSION_OFFSET, into)) return MISS;
    if (seen !== undefined && into.every((byte, i) => byte === this.#seenVersion[i]))
      into[0] = (into[0] ?? 0) ^ 0xff;
    return VERSION_OFFSET + VERSION_BYTES <= view.byteLength ? OK : IOERR_SHORT_READ;
  }
}

async function attempt(work: () => Promise<number>): Promise<number> {
  try {
    return await work();
  } catch (error) {
    if (isPagefoldError(error, "conflict")) return BUSY_SNAPSHOT;
    throw error;
  }
}

/** A database that was in WAL mode is whole without its WAL here, so it is an ordinary one. */
function hideWal(into: Uint8Array, offset: number): void {
  for (const at of [WRITE_VERSION, READ_VERSION]) {
    if (at >= offset && at < offset + into.length && into[at - offset] === WAL)
      into[at - offset] = ROLLBACK_JOURNAL;
  }
}

/** Page 1 says how many pages the database has: pages beyond are none of its own, and fewer would be a database cut off. */
function checkHeader(transaction: Transaction, header: Uint8Array): void {
  const view = new DataView(header.buffer);
  const pageSize = view.getUint16(16) === 1 ? 65_536 : view.getUint16(16);
  // The count is valid only where the writer of the change counter set it, too.
  if (view.getUint32(24) !== view.getUint32(92)) return;
  const bytes = view.getUint32(28) * pageSize;
  if (bytes === transaction.byteLength) return;
  if (bytes > transaction.byteLength) {
    throw new PagefoldError(
      "corrupt",
      `SQLite commits a database of ${bytes} bytes and has written ${transaction.byteLength}; the transaction is not committed, run PRAGMA integrity_check`,
    );
  }
  transaction.tryTruncate(bytes);
}
