/** What a server can be told, as data. Memory is bounded by these, never by what is asked of it. */

export interface ServerSettings {
  /** Object bytes kept in memory; default 256 MiB. */
  readonly cacheMemoryBytes: number;
  /** Object bytes kept on disk, where files are given; default 16 GiB. */
  readonly cacheDiskBytes: number;
  /** How long a tag map is believed when rights are looked up, milliseconds; default 1000. */
  readonly tagLifeMs: number;
  /** How often volumes with subscribers are looked at for commits of others, milliseconds; 0 (default): never. */
  readonly pollMs: number;
  /** Pause between the comment lines that keep a stream of events alive, milliseconds; default 15,000. */
  readonly heartbeatMs: number;
  /** Events that wait for one slow reader before it is cut off, bytes; default 1 MiB. */
  readonly eventQueueBytes: number;
  /** Volumes that one stream of events may follow; default 100. */
  readonly eventVolumes: number;
  /** How long the next bytes of a body may be waited for, milliseconds; default 30,000. */
  readonly bodyIdleMs: number;
  /** What must come of a body in a second at least, on average of what is waited beyond `bodyIdleMs`; default 8 KiB. */
  readonly bodyBytesPerSecond: number;
  /** Largest body that is no object: JSON; default 1 MiB. */
  readonly jsonBytes: number;
  /** Largest commit object that is accepted; default 64 MiB. */
  readonly commitBytes: number;
  /** Objects that are received and checked at a time, together; default 256 MiB. Whoever comes then waits. */
  readonly uploadBytes: number;
  /** Size of an opening bundle; default 4 MiB. */
  readonly openBytes: number;
  /** Opening bundles kept; default 32 MiB. */
  readonly openCacheBytes: number;
  /** Ranges of pages that one request may name; default 100,000. */
  readonly pageRanges: number;
  /** Path under which the server answers, "" or "/base"; default "". */
  readonly basePath: string;
}

export const defaultServerSettings: ServerSettings = {
  cacheMemoryBytes: 256 * 2 ** 20,
  cacheDiskBytes: 16 * 2 ** 30,
  tagLifeMs: 1000,
  pollMs: 0,
  heartbeatMs: 15_000,
  eventQueueBytes: 2 ** 20,
  eventVolumes: 100,
  bodyIdleMs: 30_000,
  bodyBytesPerSecond: 8192,
  jsonBytes: 2 ** 20,
  commitBytes: 64 * 2 ** 20,
  uploadBytes: 256 * 2 ** 20,
  openBytes: 4 * 2 ** 20,
  openCacheBytes: 32 * 2 ** 20,
  pageRanges: 100_000,
  basePath: "",
};
