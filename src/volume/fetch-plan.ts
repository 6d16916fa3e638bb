/**
 * What must be fetched, apart from how. A plan is a generator: it yields batches of byte ranges, is handed their bytes, verifies
 * them, and ends with a result. So one fault path serves every caller: an asynchronous driver fetches a batch in parallel, and a
 * worker that must not return to its event loop (inside SQLite) fetches the same batch through a blocking bridge.
 */

/** A range of one remote object; `length` is exact, except that an object may end before it. */
export interface RangeRequest {
  readonly key: string;
  readonly offset: number;
  readonly length: number;
}

/** The answers to a batch, in its order; undefined where the object is absent. A plan does not keep or change them. */
export type RangeAnswers = readonly (Uint8Array | undefined)[];

export type FetchPlan<T> = Generator<readonly RangeRequest[], T, RangeAnswers>;

/**
 * A snapshot as SQLite's read path needs it: synchronous, with an explicit miss. `Snapshot` implements it.
 */
export interface PageView {
  readonly pageSize: number;
  readonly pageCount: number;
  /** Exact length in bytes of the volume as a file. */
  readonly byteLength: number;
  readonly lsn: number;
  /**
   * Fills `into` with the bytes at `offset` if every page they lie in is resident (or never written: zeros) and answers true; answers false, with
   * `into` in any state, when one must be fetched. Bytes past `byteLength` read as zeros.
   */
  tryRead(offset: number, into: Uint8Array): boolean;
  /** A plan after which `tryRead` of the same range succeeds; it may make more pages resident (read-ahead). */
  fault(offset: number, length: number): FetchPlan<void>;
}
