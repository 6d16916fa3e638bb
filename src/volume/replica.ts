/**
 * What this side holds of one volume: where it stands in the remote log, local commits that were not pushed, an unfinished push.
 * States are immutable values; `ReplicaLog` makes the next one and writes it down first.
 */
import type { Hash, PageCount, TimeMs } from "../base/brand.ts";
import type { Manifest } from "../format/model.ts";
import type { PageSet } from "../format/page-set.ts";
import type { ForkPlan, SharedPages } from "../local/fork-records.ts";
import type { RecordRef } from "../local/record-log.ts";
import type { IntentRecord } from "../local/replica-records.ts";
import type { CommitDirectory } from "./commit-directory.ts";
import type { LocalCommits } from "./local-commits.ts";
import type { PageTable } from "./page-table.ts";
import type { RemoteState } from "./remote-state.ts";

/** Some pages in one record of the local log. */
export interface StoredBatch {
  readonly pages: PageSet;
  /** xxh64 of each page, in set order. */
  readonly sums: BigUint64Array;
  /** Where the record is, and the pages within its payload. Changed in place when the log is compacted: snapshots share the batch. */
  ref: RecordRef;
  dataOffset: number;
}

/** One local commit. Its value in a page table is minus its sequence number. */
export interface LocalCommit {
  readonly sequence: number;
  /** Names it in the memory tier of the page cache: unlike its sequence number it is never given twice while the store is open. */
  readonly key: number;
  readonly pageCount: PageCount;
  readonly lowestPageCount: PageCount;
  readonly byteLength: number;
  readonly time: TimeMs;
  readonly zeroed: PageSet;
  /** A page in several batches has the bytes of the last. */
  readonly batches: readonly StoredBatch[];
  /** All pages of the batches. */
  readonly changed: PageSet;
}

export interface ReplicaState {
  /** Where the replica stands in the remote log; local commits build on it. */
  readonly base: RemoteState;
  /** Prefix and header of the commit at `base.lsn`, as stored; undefined at LSN 0. */
  readonly baseHeader: Uint8Array | undefined;
  /** Not pushed, oldest first. */
  readonly commits: LocalCommits;
  /** `base.table` with the local commits laid over it. */
  readonly table: PageTable;
  /** A push whose outcome is not known yet. */
  readonly intent: IntentRecord | undefined;
  /** A fork of this volume that was begun and is not known to be made. */
  readonly forkPlan: ForkPlan | undefined;
  readonly nextSequence: number;
  /** Grows whenever the content that a reader sees changes; a push changes where pages are, not what they say. */
  readonly epoch: number;
}

/** A volume as this store follows it; `state` is replaced, never changed. */
export interface Replica {
  /** Names the volume in the local log and the page cache: random, so that a lost log never meets an old cache. */
  readonly handle: number;
  readonly manifest: Manifest;
  /** What stands for "commit 0" in its log: the manifest's hash. Of a fork it is not known; its manifest proves the fork point instead. */
  readonly originHash: Hash | undefined;
  readonly manifestBytes: Uint8Array;
  readonly directory: CommitDirectory;
  readonly tags: Set<string>;
  /** Of a fork made here: whose cached pages it reads, parent first, LSNs not rising. Empty for others. */
  shared: readonly SharedPages[];
  state: ReplicaState;
}

/** Page count and byte length as a reader of the local state sees them. */
export function shapeOf(state: ReplicaState): { pageCount: PageCount; byteLength: number } {
  return state.commits.last ?? state.base;
}

/** The table of `base` with local commits laid over it, in their order. O(their pages) */
export function overlay(base: PageTable, commits: Iterable<LocalCommit>): PageTable {
  const editor = base.edit();
  for (const commit of commits) {
    editor.truncate(commit.lowestPageCount);
    editor.assign(commit.changed, -commit.sequence).assign(commit.zeroed, -commit.sequence);
    editor.truncate(commit.pageCount);
  }
  return editor.finish();
}
