/**
 * `volumes/<volume>/deleted/<~n>`: what became of the volume (FORMAT.md, "Deleted volume"). Of all values the newest holds. Each keeps what it takes to
 * put the volume back, so that whoever finishes what another began needs nothing else.
 *
 *     0  4  "PFDL"      6  2  flags       16  …  varint length, the manifest's bytes
 *     4  2  version     8  8  time, ms        …  varint n, then n names of tags: varint length, ASCII; rising
 *                                             …  BLAKE3-128 of all bytes before, 16
 *
 * Flags: 0 = deleted; bit 0 = taken back; bit 1 = being carried out, after which nothing can be taken back.
 */
import { assert } from "../base/assert.ts";
import type { TimeMs } from "../base/brand.ts";
import type { ErrorDetails } from "../base/errors.ts";
import { ByteReader, ByteWriter, concatBytes, fromHex } from "./bytes.ts";
import { checkLimit, readMagic, writeMagic } from "./features.ts";
import { DIGEST_BYTES, type Hasher } from "./hash.ts";
import { parseTagKey, tagKey } from "./keys.ts";
import { LIMITS } from "./limits.ts";

const MAGIC = "PFDL";
const ACTS = ["deleted", "undeleted", "purging"] as const;

/** Names of tags that a deletion remembers; a volume has a few. */
export const DELETED_TAGS_MOST = 10_000;
const TAG_NAME_BYTES = 128;
/** The largest value there can be: what a reader, or a server that is sent one, takes at most. */
export const DELETED_BYTES_MOST = LIMITS.manifestBytes + DELETED_TAGS_MOST * (TAG_NAME_BYTES + 2) + 64;

export interface DeletedValue {
  readonly act: (typeof ACTS)[number];
  readonly time: TimeMs;
  /** As it was stored. */
  readonly manifest: Uint8Array;
  /** Those that named the volume when it was deleted, in order. */
  readonly tags: readonly string[];
}

/** Throws `invalid` past the limits of the format. */
export function encodeDeleted(value: DeletedValue, hasher: Hasher): Uint8Array {
  const { act, time, manifest, tags } = value;
  assert(
    tags.every((tag, i) => isTagName(tag) && (i === 0 || tags[i - 1]! < tag)),
    "names of tags in order",
  );
  assert(manifest.length > 0, "a manifest to put back");
  checkLimit(manifest.length, LIMITS.manifestBytes, "the manifest");
  checkLimit(tags.length, DELETED_TAGS_MOST, "the list of the volume's tags");
  const writer = new ByteWriter(256 + manifest.length);
  writeMagic(writer, MAGIC);
  writer.u16(ACTS.indexOf(act)).u64(time).varint(manifest.length).bytes(manifest).varint(tags.length);
  const ascii = new TextEncoder();
  for (const tag of tags) writer.varint(tag.length).bytes(ascii.encode(tag));
  const body = writer.finish();
  return concatBytes([body, fromHex(hasher.frameHash(body))]);
}

/** Throws `corrupt` or `unsupported_version`; `details` (volume and key) go into the error. */
export function decodeDeleted(bytes: Uint8Array, hasher: Hasher, details: ErrorDetails = {}): DeletedValue {
  const what = "a deletion";
  const reader: ByteReader = new ByteReader(bytes, what, details);
  reader.check(bytes.length <= DELETED_BYTES_MOST, "it is too large");
  readMagic(reader, MAGIC, what, details);
  const act = ACTS[reader.u16("flags")];
  const time = reader.u64("the time") as TimeMs;
  const manifest = reader.bytes(reader.varint("the manifest's length", LIMITS.manifestBytes), "the manifest");
  const count = reader.varint("the number of tags", DELETED_TAGS_MOST);
  const tags: string[] = [];
  for (let i = 0; i < count; i++) {
    const name = reader.bytes(reader.varint("the length of a tag's name", TAG_NAME_BYTES), "a tag's name");
    const tag = String.fromCharCode(...name);
    reader.check(
      isTagName(tag) && (i === 0 || tags[i - 1]! < tag),
      "names that are no tags, or out of order",
    );
    tags.push(tag);
  }
  const end = bytes.length - reader.remaining;
  const found = reader.hex(DIGEST_BYTES, "the hash");
  reader.end();
  reader.check(found === hasher.frameHash(bytes.subarray(0, end)), "its hash does not match its bytes");
  if (act === undefined) return reader.fail("unknown flags");
  reader.check(manifest.length > 0, "no manifest to put back");
  return { act, time, manifest: manifest.slice(), tags };
}

function isTagName(name: string): boolean {
  return parseTagKey(tagKey(name, 1)) !== undefined;
}
