/**
 * What is known of a volume's remote log as of one LSN: the verified hash of that commit and, for every page, which commit
 * wrote it last. States are immutable; `advance` makes the next one from verified steps, without I/O.
 */
import { assert } from "../base/assert.ts";
import type { Hash, Lsn, PageCount, StateChecksum, TimeMs } from "../base/brand.ts";
import type { DecodedCommit } from "../format/commit-codec.ts";
import type { CommitHeader, Rollup } from "../format/model.ts";
import { PageTable } from "./page-table.ts";

export interface RemoteState {
  readonly lsn: Lsn;
  /** Of the commit at `lsn`; of the manifest at LSN 0, where a fork has none: its own is in nobody's log. */
  readonly hash: Hash | undefined;
  readonly pageCount: PageCount;
  /** Exact length in bytes. */
  readonly byteLength: number;
  readonly stateChecksum: StateChecksum;
  /** The commit's time; the manifest's at LSN 0. */
  readonly time: TimeMs;
  /** Values are LSNs. */
  readonly table: PageTable;
}

/** One verified step along the log: the rollups, newest first, cover (from, its LSN] without a gap. */
export interface ChainStep {
  readonly commit: DecodedCommit;
  /** Prefix and header of the commit, as stored. */
  readonly stored: Uint8Array;
  readonly from: Lsn;
  readonly rollups: readonly Rollup[];
}

/** The hash of a state that others can build on: any but a fork's at LSN 0, where it has no history yet. */
export function hashOf({ lsn, hash }: RemoteState): Hash {
  assert(hash !== undefined, `no hash at LSN ${lsn}`);
  return hash;
}

/** The state at LSN 0. @param originHash of the volume's manifest; undefined for a fork */
export function emptyState(originHash: Hash | undefined, createdAt: TimeMs): RemoteState {
  return {
    lsn: 0 as Lsn,
    hash: originHash,
    pageCount: 0 as PageCount,
    byteLength: 0,
    stateChecksum: 0n as StateChecksum,
    time: createdAt,
    table: PageTable.empty,
  };
}

/** The state after `steps` (oldest first), each of which starts where the one before ended. O(pages changed). */
export function advance(state: RemoteState, steps: readonly ChainStep[]): RemoteState {
  if (steps.length === 0) return state;
  const editor = state.table.edit();
  let lsn = state.lsn;
  for (const step of steps) {
    assert(step.from === lsn, `chain step starts at LSN ${step.from}, state is at ${lsn}`);
    for (let i = step.rollups.length - 1; i >= 0; i--) {
      const rollup = step.rollups[i]!;
      editor.truncate(rollup.lowestPageCount);
      for (let w = rollup.writers.length - 1; w >= 0; w--) {
        const writer = rollup.writers[w]!;
        editor.assign(writer.pages, writer.lsn);
      }
    }
    lsn = step.commit.header.lsn;
  }
  const { header, hash } = steps[steps.length - 1]!.commit;
  return stateAt(header, hash, editor.truncate(header.pageCount).finish());
}

/** The state that a commit's header describes, given its page table. */
export function stateAt(header: CommitHeader, hash: Hash, table: PageTable): RemoteState {
  return {
    lsn: header.lsn,
    hash,
    pageCount: header.pageCount,
    byteLength: header.byteLength,
    stateChecksum: header.stateChecksum,
    time: header.time,
    table,
  };
}
