/**
 * Compaction of a local store's log: which records must be written again, and how. The rest of the log, what was pushed, dropped or never
 * committed, is left behind.
 */
import type { Lsn } from "../base/brand.ts";
import { type BaseRecord, encodeBaseRecord } from "../local/base-record.ts";
import { encodePlanRecord, encodeSharesRecord } from "../local/fork-records.ts";
import type { RecordRef } from "../local/record-log.ts";
import {
  encodeIntentRecord,
  encodeSpillRecord,
  encodeTagRecord,
  encodeVolumeRecord,
  RecordType,
  setRecordHandle,
} from "../local/replica-records.ts";
import type { RemoteState } from "./remote-state.ts";
import type { Replica, StoredBatch } from "./replica.ts";

export type AppendRecord = (type: number, parts: readonly Uint8Array[]) => RecordRef;

/** Where a batch's record is, and its pages in it. */
export interface BatchPlace {
  readonly ref: RecordRef;
  readonly dataOffset: number;
}

export interface LiveRecords {
  readonly replicas: Iterable<Replica>;
  /** Spilled batches of transactions that are open now. */
  readonly uncommitted: Iterable<StoredBatch>;
  /** Batches that only open snapshots still read. */
  readonly held: Iterable<StoredBatch>;
  /** The payload of the record that a batch is in, for the caller to keep and to change. */
  payload(batch: StoredBatch): Uint8Array;
}

/** Writes everything that must survive, in an order that replays to the same replicas; answers where the batches are now. */
export function writeLive(live: LiveRecords, append: AppendRecord): Map<StoredBatch, BatchPlace> {
  const moved = new Map<StoredBatch, BatchPlace>();
  for (const replica of live.replicas) {
    const { handle, state } = replica;
    append(RecordType.volume, [encodeVolumeRecord({ handle, manifest: replica.manifestBytes })]);
    if (replica.shared.length > 0) {
      append(RecordType.shares, [encodeSharesRecord({ handle, shared: replica.shared })]);
    }
    for (const tag of replica.tags) append(RecordType.tag, [encodeTagRecord({ handle, tag })]);
    if (state.baseHeader !== undefined)
      append(RecordType.base, [encodeBaseRecord(baseRecord(replica, state.base, state.baseHeader))]);
    for (const commit of state.commits) {
      // All but the last were spilled; the last is the commit record itself. A fork's may still be its parent's records.
      for (const batch of commit.batches) {
        const type = batch === commit.batches.at(-1) ? RecordType.commit : RecordType.spill;
        const payload = setRecordHandle(live.payload(batch), handle);
        moved.set(batch, { ref: append(type, [payload]), dataOffset: batch.dataOffset });
      }
    }
    if (state.forkPlan !== undefined) {
      append(RecordType.plan, [encodePlanRecord({ handle, plan: state.forkPlan })]);
    }
    if (state.intent !== undefined) append(RecordType.intent, [encodeIntentRecord(state.intent)]);
  }
  // A transaction that is still open may yet commit these: they keep its number.
  for (const batch of live.uncommitted) {
    moved.set(batch, {
      ref: append(RecordType.spill, [live.payload(batch)]),
      dataOffset: batch.dataOffset,
    });
  }
  // Only open snapshots still read these: spills that no commit will ever name (transaction 0).
  for (const batch of live.held) {
    if (moved.has(batch)) continue;
    const head = encodeSpillRecord({ handle: 0, transaction: 0 }, batch.pages, batch.sums);
    const ref = append(RecordType.spill, [head, live.payload(batch).subarray(batch.dataOffset)]);
    moved.set(batch, { ref, dataOffset: head.length });
  }
  return moved;
}

/** Where a replica stands, or is about to, as one record. */
export function baseRecord(
  { handle, directory }: Replica,
  base: RemoteState,
  header: Uint8Array,
): BaseRecord {
  const writers = [...base.table.byValue(base.pageCount)]
    .sort(([a], [b]) => b - a)
    .map(([lsn, pages]) => ({ lsn: lsn as Lsn, hash: directory.hash(lsn as Lsn), pages }));
  return { handle, lsn: base.lsn, header, writers, checkpoints: [...directory.namedCheckpoints()] };
}
