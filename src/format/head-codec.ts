/**
 * `volumes/<volume>/head`: where the newest commit was, some time ago. A hint may be lost, stale or damaged without harm, so decoding it
 * never fails: whatever is not a whole hint is no hint. 24 bytes (FORMAT.md, "Head hint"):
 *
 *     0  4  "PFHD"      4  2  version      6  2  zero      8  8  LSN      16  8  its complement, 2^64 - 1 - LSN
 */
import type { Lsn } from "../base/brand.ts";
import { isPagefoldError } from "../base/errors.ts";
import { ByteReader, ByteWriter } from "./bytes.ts";
import { readMagic, writeMagic } from "./features.ts";

const MAGIC = "PFHD";
const WORD = 0xffff_ffff;
export const HEAD_HINT_BYTES = 24;

export function encodeHeadHint(lsn: Lsn): Uint8Array {
  const writer = new ByteWriter(HEAD_HINT_BYTES);
  writeMagic(writer, MAGIC);
  const low = lsn % 0x1_0000_0000;
  const high = Math.floor(lsn / 0x1_0000_0000);
  return writer
    .u16(0)
    .u64(lsn)
    .u32(WORD - low)
    .u32(WORD - high)
    .finish();
}

/** The hinted LSN, or undefined where the bytes are no hint that this version understands. */
export function decodeHeadHint(bytes: Uint8Array): Lsn | undefined {
  try {
    const reader: ByteReader = new ByteReader(bytes, "a head hint");
    readMagic(reader, MAGIC, "a head hint", {});
    reader.check(reader.u16("reserved bytes") === 0, "reserved bytes are not zero");
    const lsn = reader.u64("the LSN");
    const low = WORD - reader.u32("the complement");
    const high = WORD - reader.u32("the complement");
    reader.check(lsn >= 1 && lsn === high * 0x1_0000_0000 + low, "the LSN and its complement differ");
    reader.end();
    return lsn as Lsn;
  } catch (error) {
    if (isPagefoldError(error)) return undefined;
    throw error;
  }
}
