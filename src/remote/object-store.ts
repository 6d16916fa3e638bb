/**
 * The contract of the shared, remote side: a flat map from keys to immutable byte strings. Backends (memory, file system, S3,
 * HTTP) implement it; wrappers (retry, metrics, fault injection) decorate it; `test/contracts/object-store.ts` checks it.
 */

export interface ByteRange {
  readonly offset: number;
  readonly length: number;
}

export interface GetOptions {
  /** Only these bytes; clamped to the object's end. A range that starts at or past the end gives zero bytes. */
  readonly range?: ByteRange;
  readonly signal?: AbortSignal;
}

export interface PutOptions {
  /** Create only: exactly one of any number of racing calls answers "created". Needs a body given whole. */
  readonly ifAbsent?: boolean;
  readonly signal?: AbortSignal;
}

export interface ListOptions {
  /** Only keys strictly after this one, in byte order. */
  readonly startAfter?: string;
  /** At most so many entries; default 1000. Fewer come only where there are no more. */
  readonly limit?: number;
  readonly signal?: AbortSignal;
}

export interface ListEntry {
  readonly key: string;
  /** Stored size in bytes. */
  readonly size: number;
}

/** A whole body, or one that is streamed, in chunks of any size: then it is never whole in memory. */
export type Body = Uint8Array | AsyncIterable<Uint8Array>;

/** What a backend can do, as data. */
export interface StoreCapabilities {
  readonly write: boolean;
  readonly list: boolean;
  /** Whether `ifAbsent` is known to be honoured; "unknown" means: probe before the first write (`probeConditionalCreate`). */
  readonly conditionalCreate: "yes" | "no" | "unknown";
}

/** Where objects answer plain HTTP range requests, each at its key below the base. */
export interface HttpAddress {
  readonly baseUrl: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Bytes of an object: the range of it that begins at `offset`; the object has `total`. */
export interface StoredBytes {
  readonly key: string;
  readonly offset: number;
  readonly total: number;
  readonly bytes: Uint8Array;
}

/** What a listing of `prefix` answered, from its beginning. */
export interface StoredListing {
  readonly prefix: string;
  readonly entries: readonly ListEntry[];
  /** There are no more than these. */
  readonly complete: boolean;
}

/** Much of a store in one answer. A hint as everything in a store is: whoever uses it verifies it. */
export interface Bundle {
  readonly objects: readonly StoredBytes[];
  /** Keys that had no object. */
  readonly absent: readonly string[];
  readonly listings: readonly StoredListing[];
}

/** A volume has a new commit. */
export interface CommitNews {
  readonly volume: string;
  readonly lsn: number;
  /** The commit object, where it is small. */
  readonly object?: Uint8Array;
}

export interface WatchListener {
  /** May tell of commits that are known, and leave out all but the newest. */
  onNews(news: CommitNews): void;
  /** The way to the news is open, or broken (with the reason) and will be tried again; news may be late meanwhile. */
  onState?(state: "live" | "waiting", reason?: unknown): void;
  /** There will be no more news: the volume is gone, or may not be read any longer. */
  onEnd(reason: unknown): void;
}

/**
 * Obligations:
 * - An object is visible whole or not at all; after `put` resolves, every later `get` and `list` of any client sees it, and it
 *   survives a crash of the process and of the machine.
 * - An absent key is `undefined` from `get`, and is ignored by `delete`. Losing a conditional create is a value, "exists".
 * - `get` returns bytes that the caller owns. `put` does not keep the body after it settles, and never changes it; it is done
 *   with a chunk of a streamed body when it asks for the next one. A stream that throws leaves the key as it was.
 * - `put` with `ifAbsent` may answer "exists" because an attempt of the very same call came through unseen; callers that need
 *   to know whose object it is read it back.
 * - Keys are non-empty, `/`-separated, at most 900 bytes of UTF-8, without empty, `.` or `..` parts, control characters or
 *   backslash: anything else is `invalid`. No key is also the directory of another (`a` and `a/b`): a backend may refuse the
 *   second with `invalid`.
 * - Failures are PagefoldErrors: `unavailable` (retryable or not), `unauthorized`, `forbidden`, `quota`, `not_found` (the store
 *   itself: its bucket or directory is missing), `aborted`, `invalid`. After a failed `put` the object may or may not exist.
 */
export interface ObjectStore {
  /** Where this store is, for messages: "s3://bucket/prefix", "file:///data/store", "memory:". Carries no secret. */
  readonly url: string;
  readonly capabilities: StoreCapabilities;
  /** For readers that cannot wait for `get`, where the store has such an address. */
  readonly http?: HttpAddress;
  /**
   * What a reader needs to open the volume that a tag or an id names, or to move there from the commit `from`: many answers for one request.
   * Absent where the store can only answer singly; undefined where this volume's must be asked for singly.
   */
  bundle?(
    name: string,
    options?: { readonly from?: number; readonly signal?: AbortSignal },
  ): Promise<Bundle | undefined>;
  /** Tells of commits behind `after`, until the answered function is called. Absent where the store has no way to tell. */
  watch?(volume: string, after: number, listener: WatchListener): () => void;
  get(key: string, options?: GetOptions): Promise<Uint8Array | undefined>;
  put(key: string, body: Body, options?: PutOptions): Promise<"created" | "exists">;
  /** Entries in ascending byte order of their keys. */
  list(prefix: string, options?: ListOptions): Promise<ListEntry[]>;
  delete(keys: readonly string[], options?: { readonly signal?: AbortSignal }): Promise<void>;
  close(): Promise<void>;
}
