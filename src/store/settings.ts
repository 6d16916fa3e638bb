/** What a PageStore can be told, as data. Memory is bounded by these, never by the size of a volume. */
import { defaultFetcherSettings, type FetcherSettings } from "../replicate/fetcher.ts";
import { defaultReadAheadSettings, type ReadAheadSettings } from "../replicate/read-ahead.ts";

export interface StoreSettings {
  /** Page bytes kept in memory, per page size in use; default 64 MiB. */
  readonly memoryBytes: number;
  /** Page bytes kept in local files, per page size in use; default 64 GiB with a local directory, else none. */
  readonly diskBytes: number;
  /** Staged bytes of one write transaction before it spills into the local log; default 32 MiB. */
  readonly transactionBytes: number;
  /** Uncompressed bytes per frame of what is written; default 64 KiB. */
  readonly frameBytes: number;
  /** "full": a local commit is durable when it returns; "relaxed": soon after, and in order. Default "full". */
  readonly durability: "full" | "relaxed";
  /** Delay of the flush of relaxed commits, milliseconds; default 50. */
  readonly relaxedFlushMs: number;
  /** The local log is compacted when it is larger than this and than twice what is live in it; default 64 MiB. */
  readonly compactAboveBytes: number;
  /** A checkpoint is written in the background after every push whose LSN this divides; 0: never. Default 1024. */
  readonly checkpointEvery: number;
  readonly fetcher: FetcherSettings;
  /** undefined: no read-ahead. */
  readonly readAhead: ReadAheadSettings | undefined;
}

export const defaultSettings: StoreSettings = {
  memoryBytes: 64 * 2 ** 20,
  diskBytes: 0,
  transactionBytes: 32 * 2 ** 20,
  frameBytes: 65_536,
  durability: "full",
  relaxedFlushMs: 50,
  compactAboveBytes: 64 * 2 ** 20,
  checkpointEvery: 1024,
  fetcher: defaultFetcherSettings,
  readAhead: defaultReadAheadSettings,
};
