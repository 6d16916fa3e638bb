/**
 * `volumes/<volume>/leases/<~n>`: who does some work on a volume, until when (FORMAT.md, "Lease"). 48 bytes or more:
 *
 *     0  4  "PFLS"      6  2  flags: bit 0 = given back        16  16  holder, random      33  …  what, ASCII: "gc", say
 *     4  2  version     8  8  until, ms                        32   1  length of what       …  BLAKE3-128 of all bytes before, 16
 */
import { assert } from "../base/assert.ts";
import type { TimeMs } from "../base/brand.ts";
import type { ErrorDetails } from "../base/errors.ts";
import { ByteReader, ByteWriter, concatBytes, fromHex } from "./bytes.ts";
import { readMagic, writeMagic } from "./features.ts";
import { DIGEST_BYTES, type Hasher } from "./hash.ts";
import { ID_BYTES, idFromBytes, idToBytes } from "./ids.ts";

const MAGIC = "PFLS";
const RELEASED = 1;
const WHAT = /^[ -~]{1,64}$/;

/** The largest value there can be. */
export const LEASE_BYTES_MOST = 33 + 64 + DIGEST_BYTES;

export interface LeaseValue {
  /** A random id, in the text form of ids. */
  readonly holder: string;
  /** By the holder's clock. */
  readonly until: TimeMs;
  readonly released: boolean;
  /** The work, in words for whoever finds it taken: 1 to 64 printable ASCII characters. */
  readonly what: string;
}

export function encodeLease(lease: LeaseValue, hasher: Hasher): Uint8Array {
  assert(WHAT.test(lease.what), `a lease for "${lease.what}"`);
  const writer = new ByteWriter(LEASE_BYTES_MOST);
  writeMagic(writer, MAGIC);
  writer.u16(lease.released ? RELEASED : 0).u64(lease.until);
  writer.bytes(idToBytes(lease.holder as never)).u8(lease.what.length);
  writer.bytes(new TextEncoder().encode(lease.what));
  const body = writer.finish();
  return concatBytes([body, fromHex(hasher.frameHash(body))]);
}

/** Throws `corrupt` or `unsupported_version`; `details` (volume and key) go into the error. */
export function decodeLease(bytes: Uint8Array, hasher: Hasher, details: ErrorDetails = {}): LeaseValue {
  const reader: ByteReader = new ByteReader(bytes, "a lease", details);
  readMagic(reader, MAGIC, "a lease", details);
  const flags = reader.u16("flags");
  reader.check(flags <= RELEASED, "unknown flags");
  const until = reader.u64("the time") as TimeMs;
  const holder: string = idFromBytes(reader.bytes(ID_BYTES, "the holder"));
  const what = String.fromCharCode(...reader.bytes(reader.u8("the length of what"), "what"));
  reader.check(WHAT.test(what), "work without a name");
  const end = bytes.length - reader.remaining;
  const found = reader.hex(DIGEST_BYTES, "the hash");
  reader.end();
  reader.check(found === hasher.frameHash(bytes.subarray(0, end)), "its hash does not match its bytes");
  return { holder, until, released: flags === RELEASED, what };
}
