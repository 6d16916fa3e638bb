/**
 * Where a replica stands, as one record (type 15 of `replica-records.ts`): the whole page table, for a state that no steps lead to from an earlier
 * record, and when the log is compacted. Values and codecs only.
 */
import type { Hash, Lsn, VolumeId } from "../base/brand.ts";
import { ByteReader, ByteWriter, fromHex, toHex } from "../format/bytes.ts";
import { readPageWriters, writePageWriters } from "../format/checkpoint-codec.ts";
import { HASH_BYTES } from "../format/hash.ts";
import { ID_BYTES, idFromBytes, idToBytes } from "../format/ids.ts";
import type { PageWriter } from "../format/model.ts";

export interface BaseRecord {
  readonly handle: number;
  readonly lsn: Lsn;
  /** Prefix and header of the commit, as stored. */
  readonly header: Uint8Array;
  readonly writers: readonly PageWriter[];
  /** Checkpoints that are known by their hashes: where pages may be found. */
  readonly checkpoints: readonly { readonly volume: VolumeId; readonly lsn: Lsn; readonly hash: Hash }[];
}

export function encodeBaseRecord(record: BaseRecord): Uint8Array {
  const { handle, lsn, header, writers, checkpoints } = record;
  const writer = new ByteWriter(1024 + header.length + 48 * writers.length).u32(handle).varint(lsn);
  writer.varint(header.length).bytes(header);
  writePageWriters(writer, lsn, writers);
  writer.varint(checkpoints.length);
  for (const each of checkpoints) {
    writer.bytes(idToBytes(each.volume)).varint(each.lsn).bytes(fromHex(each.hash));
  }
  return writer.finish();
}

export function decodeBaseRecord(payload: Uint8Array): BaseRecord {
  const reader = new ByteReader(payload, "base record");
  const handle = reader.u32("handle");
  const lsn = reader.varint("lsn") as Lsn;
  const header = reader.bytes(reader.varint("header length"), "header").slice();
  const writers = readPageWriters(reader, lsn);
  const count = reader.varint("checkpoints");
  const checkpoints: BaseRecord["checkpoints"][number][] = [];
  for (let i = 0; i < count; i++) {
    const volume = idFromBytes<VolumeId>(reader.bytes(ID_BYTES, "volume"));
    const at = reader.varint("checkpoint's lsn") as Lsn;
    checkpoints.push({ volume, lsn: at, hash: toHex(reader.bytes(HASH_BYTES, "hash")) as Hash });
  }
  return { handle, lsn, header, writers, checkpoints };
}
