/** What a compaction can be told, and what it tells. */
import type { Lsn } from "../../base/brand.ts";
import type { CheckpointName } from "./checkpoint.ts";
import type { PageClassifier } from "./move-pages.ts";

/** Points of a compaction at which it may be cut off, in the order of a step. */
export const COMPACTION_POINTS = [
  /** It is decided what moves; nothing is stored. */
  "planned",
  /** A segment is stored that nothing names. */
  "segment-written",
  /** The checkpoint is stored that places pages in the new segments; no floor names it. */
  "checkpoint-written",
  /** The floor names it: the step is done. */
  "registered",
] as const;

export type CompactionPoint = (typeof COMPACTION_POINTS)[number];

export interface MoveSettings {
  /** Pages of one class go to segments of their own: a small whole number per page. Default: all are alike. */
  readonly classify?: PageClassifier | undefined;
  /** Read and written, together; default: as fast as it goes. */
  readonly bytesPerSecond?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Told of pages that were copied, some at a time. */
  readonly onPages?: ((pages: number) => void) | undefined;
  /** Awaited at each of `COMPACTION_POINTS`; what it throws ends the compaction there. */
  readonly onStep?: ((point: CompactionPoint) => void | Promise<void>) | undefined;
}

export interface CompactOptions extends MoveSettings {
  /** The LSN whose state is put in order; default: where the replica stands. */
  readonly to?: number | undefined;
  /** Rewrites everything, so that all of it lies in page order. */
  readonly all?: boolean | undefined;
  /** Of a fork: copies what it shares with its ancestors, too, so that it needs nothing of theirs. */
  readonly own?: boolean | undefined;
  /** A checkpoint of exactly that LSN is registered, though there may be nothing to move. */
  readonly complete?: boolean | undefined;
  /** Pages (uncompressed) that one step moves at most: what a crash costs; default 1 GiB. */
  readonly stepBytes?: number | undefined;
  readonly onProgress?: ((pagesDone: number, pagesTotal: number) => void) | undefined;
}

export interface CompactionResult {
  readonly lsn: Lsn;
  /** Steps that were registered; 0 where nothing was worth moving. */
  readonly steps: number;
  /** The newest that is registered for the state; undefined where there is none, and none was needed. */
  readonly checkpoint: CheckpointName | undefined;
  readonly pagesMoved: number;
  /** Frames read, and of those what came from commits: pages that had no place before. */
  readonly bytesRead: number;
  readonly freshBytes: number;
  /** Segments and checkpoints written. */
  readonly bytesWritten: number;
  /** Segments that the state is read from, apart from commits. */
  readonly segmentsBefore: number;
  readonly segmentsAfter: number;
  /** Stored bytes of those segments that the state does not show any more. */
  readonly deadBytesBefore: number;
  readonly deadBytesAfter: number;
  /** (fresh + written) / fresh: how often what was pushed is written in all; undefined where nothing was fresh. */
  readonly writeAmplification: number | undefined;
}
