/**
 * `tags/<name>/<~n>`: what a tag names from its n-th value on (FORMAT.md, "Tag"). 48 bytes:
 *
 *     0  4  "PFTG"      6  2  flags: bit 0 = the tag was removed       16  16  volume (zeros when removed)
 *     4  2  version     8  8  time, ms                                 32  16  BLAKE3-128 of the 32 bytes before
 */
import type { TimeMs, VolumeId } from "../base/brand.ts";
import type { ErrorDetails } from "../base/errors.ts";
import { ByteReader, ByteWriter, concatBytes, fromHex } from "./bytes.ts";
import { readMagic, writeMagic } from "./features.ts";
import type { Hasher } from "./hash.ts";
import { ID_BYTES, idFromBytes, idToBytes } from "./ids.ts";

const MAGIC = "PFTG";
const REMOVED = 1;
export const TAG_BYTES = 48;

export interface TagValue {
  /** undefined: the tag was removed. */
  readonly volume: VolumeId | undefined;
  readonly time: TimeMs;
}

export function encodeTag(tag: TagValue, hasher: Hasher): Uint8Array {
  const writer = new ByteWriter(TAG_BYTES);
  writeMagic(writer, MAGIC);
  writer.u16(tag.volume === undefined ? REMOVED : 0).u64(tag.time);
  writer.bytes(tag.volume === undefined ? new Uint8Array(ID_BYTES) : idToBytes(tag.volume));
  const body = writer.finish();
  return concatBytes([body, fromHex(hasher.frameHash(body))]);
}

/** Throws `corrupt` or `unsupported_version`; `details` (the tag's name and key) go into the error. */
export function decodeTag(bytes: Uint8Array, hasher: Hasher, details: ErrorDetails = {}): TagValue {
  const reader: ByteReader = new ByteReader(bytes, "a tag", details);
  readMagic(reader, MAGIC, "a tag", details);
  reader.check(bytes.length === TAG_BYTES, `it has ${bytes.length} bytes, not ${TAG_BYTES}`);
  const flags = reader.u16("flags");
  reader.check(flags <= REMOVED, "unknown flags");
  const time = reader.u64("the time") as TimeMs;
  const volume = reader.bytes(ID_BYTES, "the volume");
  reader.check(
    reader.hex(16, "the hash") === hasher.frameHash(bytes.subarray(0, TAG_BYTES - 16)),
    "its hash does not match its bytes",
  );
  reader.end();
  if (flags !== REMOVED) return { volume: idFromBytes<VolumeId>(volume), time };
  reader.check(
    volume.every((byte) => byte === 0),
    "a removed tag with a volume",
  );
  return { volume: undefined, time };
}
