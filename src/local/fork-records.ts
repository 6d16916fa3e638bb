/**
 * What a replica writes into its record log about forks, as bytes (record types 12 to 14 of `replica-records.ts`): that one was begun,
 * that it was made, and whose cached pages it reads. Values and codecs only.
 */
import type { Lsn } from "../base/brand.ts";
import { ByteReader, ByteWriter } from "../format/bytes.ts";

/** A fork that was begun: what it will be called and what its manifest is. */
export interface ForkPlan {
  readonly tag: string | undefined;
  readonly manifest: Uint8Array;
}

export interface PlanRecord {
  /** The parent. */
  readonly handle: number;
  /** undefined: it was given up. */
  readonly plan: ForkPlan | undefined;
}

/** Ends the plan for this fork. */
export interface ForkRecord {
  readonly parent: number;
  /** The fork's; where the store follows it already, that one's. */
  readonly handle: number;
  /** The parent's local commits up to this sequence number are the fork's from now on; 0 for none. */
  readonly throughSequence: number;
  readonly manifest: Uint8Array;
}

/** Pages that commits up to an LSN wrote are in the page cache under another volume's handle. */
export interface SharedPages {
  readonly through: Lsn;
  readonly handle: number;
}

export interface SharesRecord {
  readonly handle: number;
  readonly shared: readonly SharedPages[];
}

export function encodePlanRecord({ handle, plan }: PlanRecord): Uint8Array {
  const tag = new TextEncoder().encode(plan?.tag ?? "");
  const writer = new ByteWriter().u32(handle).varint(tag.length).bytes(tag);
  return writer.bytes(plan?.manifest ?? new Uint8Array(0)).finish();
}

export function decodePlanRecord(payload: Uint8Array): PlanRecord {
  const reader = new ByteReader(payload, "plan record");
  const handle = reader.u32("handle");
  const tag = new TextDecoder().decode(reader.bytes(reader.varint("tag length"), "tag"));
  const manifest = reader.bytes(reader.remaining, "rest").slice();
  if (manifest.length === 0) return { handle, plan: undefined };
  return { handle, plan: { tag: tag === "" ? undefined : tag, manifest } };
}

export function encodeForkRecord(record: ForkRecord): Uint8Array {
  const writer = new ByteWriter().u32(record.parent).u32(record.handle).u64(record.throughSequence);
  return writer.bytes(record.manifest).finish();
}

export function decodeForkRecord(payload: Uint8Array): ForkRecord {
  const reader = new ByteReader(payload, "fork record");
  return {
    parent: reader.u32("parent"),
    handle: reader.u32("handle"),
    throughSequence: reader.u64("throughSequence"),
    manifest: reader.bytes(reader.remaining, "rest").slice(),
  };
}

export function encodeSharesRecord({ handle, shared }: SharesRecord): Uint8Array {
  const writer = new ByteWriter().u32(handle).varint(shared.length);
  for (const each of shared) writer.varint(each.through).u32(each.handle);
  return writer.finish();
}

export function decodeSharesRecord(payload: Uint8Array): SharesRecord {
  const reader = new ByteReader(payload, "shares record");
  const handle = reader.u32("handle");
  const count = reader.varint("count");
  const shared: SharedPages[] = [];
  for (let i = 0; i < count; i++) {
    shared.push({ through: reader.varint("through") as Lsn, handle: reader.u32("shared handle") });
  }
  return { handle, shared };
}
