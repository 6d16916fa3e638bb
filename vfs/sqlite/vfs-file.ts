/** What the VFS needs of an open file, whatever it is: a database in a volume, or something temporary in memory. */

/** Answer of a call that cannot be finished at once: bytes must be fetched first, or a turn waited for. No SQLite code is negative. */
export const MISS = -1;

export interface VfsFile {
  /** Fills `into` from `offset`: OK, IOERR_SHORT_READ with zeros past the end, or MISS with `into` in any state. */
  read(into: Uint8Array, offset: number): number;
  /** All of `bytes`, or MISS and none; the file grows as needed. `bytes` are not kept. */
  write(bytes: Uint8Array, offset: number): number;
  /** OK, or MISS and nothing was changed. */
  truncate(size: number): number;
  /** Bytes. */
  size(): number;
  lock(level: number): number;
  unlock(level: number): number;
  close(): void;
}
