/**
 * The ground floor of everything durable on this side: one file of bytes with synchronous reads and writes, because SQLite's
 * read path is synchronous. Node fs, OPFS handles and memory implement it; `test/contracts/block-file.ts` checks it.
 *
 * Obligations:
 * - A short read happens only at the end of the file (the count is returned); a short write never goes unnoticed: it is an
 *   error (`quota` when space ran out, else `unavailable`).
 * - Writes are visible to later reads at once. They are on stable storage only after `flush` (and, where
 *   `durability` is "deferred", after `durable()`). Between flushes they may reach it in any order, or torn.
 * - A failed `flush` poisons the file: every later write or flush fails until it is reopened, because what the kernel dropped is
 *   unknown.
 */
export interface BlockFile {
  /** For messages: a path or a name. */
  readonly name: string;
  /** "flush": `flush()` is a durability point. "deferred": only `durable()` can promise. */
  readonly durability: "flush" | "deferred";
  size(): number;
  /** Fills `into` from `offset`; returns how many bytes there were before the end of the file. */
  readAt(offset: number, into: Uint8Array): number;
  /** Writes all of `bytes`; the file grows as needed, a gap reads as zeros. */
  writeAt(offset: number, bytes: Uint8Array): void;
  truncate(size: number): void;
  /**
   * Gives the room that `truncate` made to other files at once, where the platform keeps it for this one until its handle is closed, as Chromium does in
   * OPFS. Resolves when the file can be used again; until then reads find nothing, and writes are `quota`. Absent where truncating is enough.
   */
  giveBack?(): Promise<void>;
  flush(): void;
  /** Resolves when everything flushed so far is on stable storage. */
  durable(): Promise<void>;
  close(): Promise<void>;
}

export interface OpenFileOptions {
  /**
   * What it holds can be had again: it is the first to go where space runs out, and need not survive a crash, whatever was flushed. Default
   * false.
   */
  readonly expendable?: boolean;
}

/** A set of BlockFiles by name: a directory, an OPFS directory, or memory. */
export interface BlockFileSystem {
  readonly name: string;
  /** Opens, creating it empty where it is absent. A file is open at most once at a time. */
  open(name: string, options?: OpenFileOptions): Promise<BlockFile>;
  exists(name: string): Promise<boolean>;
  remove(name: string): Promise<void>;
  list(): Promise<string[]>;
}
