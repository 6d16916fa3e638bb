/**
 * What objects that nothing else names by hash begin with: magic, version, and a check that finds damage. It proves nothing about who wrote them.
 *
 *     0  4  magic      4  2  version      6  2  flags      8  16  BLAKE3-128 of the flags and all bytes behind the check
 */
import { assert } from "../base/assert.ts";
import type { ErrorDetails } from "../base/errors.ts";
import { ByteReader, ByteWriter, concatBytes, fromHex } from "./bytes.ts";
import { readMagic, writeMagic } from "./features.ts";
import type { Hasher } from "./hash.ts";

const HEAD_BYTES = 24;
const FLAGS_OFFSET = 6;
const FLAGS_BYTES = 2;
const CHECK_BYTES = 16;

/** The whole object, given what comes behind the check. */
export function withSelfCheck(magic: string, body: Uint8Array, hasher: Hasher, flags = 0): Uint8Array {
  const writer = new ByteWriter(HEAD_BYTES);
  writeMagic(writer, magic);
  const checked = concatBytes([new ByteWriter(FLAGS_BYTES).u16(flags).finish(), body]);
  writer.u16(flags).bytes(fromHex(hasher.frameHash(checked)));
  assert(writer.length === HEAD_BYTES, "a head of 24 bytes");
  return concatBytes([writer.finish(), body]);
}

/** A reader of what comes behind the check, which was checked. Throws `corrupt` or `unsupported_version`. */
export function readSelfChecked(
  magic: string,
  bytes: Uint8Array,
  hasher: Hasher,
  what: string,
  details: ErrorDetails,
): { readonly reader: ByteReader; readonly flags: number } {
  const reader: ByteReader = new ByteReader(bytes, what, details);
  readMagic(reader, magic, what, details);
  const flags = reader.u16("flags");
  const check = reader.hex(CHECK_BYTES, "the check");
  const checked = concatBytes([
    bytes.subarray(FLAGS_OFFSET, FLAGS_OFFSET + FLAGS_BYTES),
    bytes.subarray(HEAD_BYTES),
  ]);
  reader.check(check === hasher.frameHash(checked), "it does not match its own check");
  return { reader, flags };
}
