/**
 * What a replica writes into its record log, as bytes: which volumes it follows, where it stands in their remote logs, local
 * commits with their pages, push intents and their outcomes. Values and codecs only; `src/volume/replica-log.ts` replays them.
 *
 * Record types (the payloads are this file's, the framing is record-log.ts's):
 *
 *   1 volume   handle, manifest as stored                          a volume that this store follows
 *   2 tag      handle, name                                        a name under which it was opened
 *   3 sync     handle, newest header as stored, rollups            the replica moved along the remote log
 *   4 spill    handle, transaction, page set, sums, pages          part of a transaction, not committed yet
 *   5 commit   handle, sequence …, page set, sums, pages           a local commit; may name spills
 *   6 intent   handle, LSN, sequence, commit object as it is sent  a push was begun
 *   7 outcome  handle, LSN, result                                 and how it ended
 *   8 reset    handle, sequence                                    local commits up to it were dropped
 *   9 forget   handle                                              the volume is not followed any more
 *  10 part     as commit                                           a commit that counts only with the record after its group
 *  11 together count                                               so many parts right before this are commits, all at once
 *  12 plan     handle, tag, manifest of a fork                     a fork of the volume was begun, or given up
 *  13 fork     handles of parent and fork, sequence, manifest      a fork was made, which takes local commits over
 *  14 shares   handle, LSNs and handles                            whose cached pages a fork reads
 *  15 base     handle, newest header, who wrote every page         where the replica stands, as a whole
 *
 * The payloads of 12 to 14 are in fork-records.ts, that of 15 in base-record.ts.
 */
import type { Hash, Lsn, PageCount, TimeMs } from "../base/brand.ts";
import { PagefoldError } from "../base/errors.ts";
import { ByteReader, ByteWriter, fromHex, toHex } from "../format/bytes.ts";
import type { PageSet } from "../format/page-set.ts";
import { readPageSet, writePageSet } from "../format/page-set-codec.ts";

export const RecordType = {
  volume: 1,
  tag: 2,
  sync: 3,
  spill: 4,
  commit: 5,
  intent: 6,
  outcome: 7,
  reset: 8,
  forget: 9,
  part: 10,
  together: 11,
  plan: 12,
  fork: 13,
  shares: 14,
  base: 15,
} as const;

export interface VolumeRecord {
  readonly handle: number;
  readonly manifest: Uint8Array;
}

export interface TagRecord {
  readonly handle: number;
  readonly tag: string;
}

export interface SyncRecord {
  readonly handle: number;
  /** True: the rollup starts at LSN 0 and replaces what was known (written by compaction). */
  readonly whole: boolean;
  /** Prefix and header of the newest commit, as stored. */
  readonly header: Uint8Array;
  /** What the stretch changed, oldest first: [from, to] and the encoded rollup of each part. */
  readonly rollups: readonly { readonly from: Lsn; readonly to: Lsn; readonly bytes: Uint8Array }[];
}

/** Pages of a local transaction, back to back in set order from `dataOffset` of their record's payload. */
export interface PageBatch {
  readonly pages: PageSet;
  /** xxh64 of each page. */
  readonly sums: BigUint64Array;
  readonly dataOffset: number;
}

export interface SpillRecord {
  readonly handle: number;
  readonly transaction: number;
  readonly batch: PageBatch;
}

export interface CommitRecord {
  readonly handle: number;
  /** 1, 2, 3 … within the volume and local store; never used again. */
  readonly sequence: number;
  /** The transaction whose spills belong to this commit, or 0. */
  readonly transaction: number;
  readonly pageCount: PageCount;
  readonly lowestPageCount: PageCount;
  readonly byteLength: number;
  readonly time: TimeMs;
  readonly zeroed: PageSet;
  readonly batch: PageBatch;
}

export interface IntentRecord {
  readonly handle: number;
  readonly lsn: Lsn;
  /** Local commits up to this sequence number are in it; 0 for a commit that had no local ones (an import). */
  readonly throughSequence: number;
  readonly hash: Hash;
  /** The commit object, exactly as it is sent. */
  readonly object: Uint8Array;
}

export interface OutcomeRecord {
  readonly handle: number;
  readonly lsn: Lsn;
  readonly result: "won" | "lost" | "refused";
}

export interface ResetRecord {
  readonly handle: number;
  readonly throughSequence: number;
}

const results = ["won", "lost", "refused"] as const;

export function encodeVolumeRecord(record: VolumeRecord): Uint8Array {
  return new ByteWriter().u32(record.handle).bytes(record.manifest).finish();
}

export function decodeVolumeRecord(payload: Uint8Array): VolumeRecord {
  const reader = new ByteReader(payload, "volume record");
  return { handle: reader.u32("handle"), manifest: reader.bytes(reader.remaining, "rest").slice() };
}

export function encodeTagRecord(record: TagRecord): Uint8Array {
  return new ByteWriter().u32(record.handle).bytes(new TextEncoder().encode(record.tag)).finish();
}

export function decodeTagRecord(payload: Uint8Array): TagRecord {
  const reader = new ByteReader(payload, "tag record");
  return {
    handle: reader.u32("handle"),
    tag: new TextDecoder().decode(reader.bytes(reader.remaining, "rest")),
  };
}

export function encodeSyncRecord(record: SyncRecord): Uint8Array {
  const writer = new ByteWriter().u32(record.handle).u8(record.whole ? 1 : 0);
  writer.varint(record.header.length).bytes(record.header).varint(record.rollups.length);
  for (const { from, to, bytes } of record.rollups)
    writer.varint(from).varint(to).varint(bytes.length).bytes(bytes);
  return writer.finish();
}

export function decodeSyncRecord(payload: Uint8Array): SyncRecord {
  const reader = new ByteReader(payload, "sync record");
  const handle = reader.u32("handle");
  const whole = reader.u8("whole") === 1;
  const header = reader.bytes(reader.varint("header length"), "header").slice();
  const count = reader.varint("count");
  const rollups: SyncRecord["rollups"][number][] = [];
  for (let i = 0; i < count; i++) {
    const from = reader.varint("from") as Lsn;
    const to = reader.varint("to") as Lsn;
    rollups.push({ from, to, bytes: reader.bytes(reader.varint("rollup length"), "rollup").slice() });
  }
  return { handle, whole, header, rollups };
}

/** The parts of a spill record: what precedes the pages, then the pages themselves (not copied). */
export function encodeSpillRecord(
  record: Omit<SpillRecord, "batch">,
  pages: PageSet,
  sums: BigUint64Array,
): Uint8Array {
  const writer = new ByteWriter().u32(record.handle).u64(record.transaction);
  return writeBatch(writer, pages, sums).finish();
}

export function decodeSpillRecord(payload: Uint8Array): SpillRecord {
  const reader = new ByteReader(payload, "spill record");
  return {
    handle: reader.u32("handle"),
    transaction: reader.u64("transaction"),
    batch: readBatch(reader, payload),
  };
}

export function encodeCommitRecord(
  record: Omit<CommitRecord, "batch">,
  pages: PageSet,
  sums: BigUint64Array,
): Uint8Array {
  const writer = new ByteWriter().u32(record.handle).u64(record.sequence).u64(record.transaction);
  writer.varint(record.pageCount).varint(record.lowestPageCount).varint(record.byteLength).u64(record.time);
  writePageSet(writer, record.zeroed);
  return writeBatch(writer, pages, sums).finish();
}

export function decodeCommitRecord(payload: Uint8Array): CommitRecord {
  const reader = new ByteReader(payload, "commit record");
  return {
    handle: reader.u32("handle"),
    sequence: reader.u64("sequence"),
    transaction: reader.u64("transaction"),
    pageCount: reader.varint("pageCount") as PageCount,
    lowestPageCount: reader.varint("lowestPageCount") as PageCount,
    byteLength: reader.varint("byteLength"),
    time: reader.u64("time") as TimeMs,
    zeroed: readPageSet(reader),
    batch: readBatch(reader, payload),
  };
}

/** Makes the payload of a spill or commit record that of another volume, in place. */
export function setRecordHandle(payload: Uint8Array, handle: number): Uint8Array {
  new DataView(payload.buffer, payload.byteOffset).setUint32(0, handle, true);
  return payload;
}

export function encodeIntentRecord(record: IntentRecord): Uint8Array {
  const writer = new ByteWriter().u32(record.handle).u64(record.lsn).u64(record.throughSequence);
  return writer.bytes(fromHex(record.hash)).bytes(record.object).finish();
}

export function decodeIntentRecord(payload: Uint8Array): IntentRecord {
  const reader = new ByteReader(payload, "intent record");
  return {
    handle: reader.u32("handle"),
    lsn: reader.u64("lsn") as Lsn,
    throughSequence: reader.u64("throughSequence"),
    hash: toHex(reader.bytes(32, "hash")) as Hash,
    object: reader.bytes(reader.remaining, "rest").slice(),
  };
}

export function encodeOutcomeRecord(record: OutcomeRecord): Uint8Array {
  return new ByteWriter().u32(record.handle).u64(record.lsn).u8(results.indexOf(record.result)).finish();
}

export function decodeOutcomeRecord(payload: Uint8Array): OutcomeRecord {
  const reader = new ByteReader(payload, "outcome record");
  const handle = reader.u32("handle");
  const lsn = reader.u64("lsn") as Lsn;
  const result = results[reader.u8("result")];
  if (result === undefined) throw new PagefoldError("corrupt", "outcome record with an unknown result");
  return { handle, lsn, result };
}

export function encodeResetRecord(record: ResetRecord): Uint8Array {
  return new ByteWriter().u32(record.handle).u64(record.throughSequence).finish();
}

export function decodeResetRecord(payload: Uint8Array): ResetRecord {
  const reader = new ByteReader(payload, "reset record");
  return { handle: reader.u32("handle"), throughSequence: reader.u64("throughSequence") };
}

export function encodeForgetRecord(handle: number): Uint8Array {
  return new ByteWriter().u32(handle).finish();
}

export function decodeForgetRecord(payload: Uint8Array): number {
  return new ByteReader(payload, "forget record").u32("handle");
}

export function encodeTogetherRecord(count: number): Uint8Array {
  return new ByteWriter().u32(count).finish();
}

export function decodeTogetherRecord(payload: Uint8Array): number {
  return new ByteReader(payload, "together record").u32("count");
}

function writeBatch(writer: ByteWriter, pages: PageSet, sums: BigUint64Array): ByteWriter {
  writePageSet(writer, pages);
  return writer.bytes(new Uint8Array(sums.buffer, sums.byteOffset, sums.byteLength));
}

function readBatch(reader: ByteReader, payload: Uint8Array): PageBatch {
  const pages = readPageSet(reader);
  const sums = new BigUint64Array(reader.bytes(8 * pages.size, "sums").slice().buffer);
  return { pages, sums, dataOffset: payload.length - reader.remaining };
}
