/**
 * `volumes/<volume>/floor/<~n>`: what is kept of a volume's history (FORMAT.md, "Floor").
 *
 *     "PFFL" with self check (24 bytes; flags: bit 0 closed, bit 1 about to be raised, not both) · volume 16 · compatible u32 · incompatible u32 · varint n · varint LSN · varint time ·
 *     varint checkpoints, rising, each: varint LSN − LSN before − 1 (the first: LSN − 1) · varint time · hash 32 · extension area
 */
import { assert } from "../base/assert.ts";
import type { Hash, Lsn, TimeMs, VolumeId } from "../base/brand.ts";
import { type ByteReader, ByteWriter, fromHex } from "./bytes.ts";
import {
  checkLimit,
  NO_FEATURES,
  readExtension,
  readFeatures,
  writeExtension,
  writeFeatures,
} from "./features.ts";
import { HASH_BYTES, type Hasher } from "./hash.ts";
import { ID_BYTES, idFromBytes, idToBytes } from "./ids.ts";
import { LIMITS } from "./limits.ts";
import type { Floor, FloorCheckpoint } from "./model.ts";
import { readSelfChecked, withSelfCheck } from "./self-check.ts";

const MAGIC = "PFFL";
const CLOSED = 1;
const RAISING = 2;
const CHECKPOINT_BYTES_LEAST = 2 + HASH_BYTES;

export function encodeFloor(floor: Floor, hasher: Hasher): Uint8Array {
  const problem = floorProblem(floor);
  assert(problem === undefined, `a floor to be written: ${problem}`);
  checkLimit(floor.checkpoints.length, LIMITS.floorCheckpoints, "the list of kept checkpoints");
  const writer = new ByteWriter(64 + 48 * floor.checkpoints.length).bytes(idToBytes(floor.volume));
  writeFeatures(writer, NO_FEATURES);
  writer.varint(floor.n).varint(floor.lsn).varint(floor.time).varint(floor.checkpoints.length);
  let before = 0;
  for (const { lsn, time, hash } of floor.checkpoints) {
    writer
      .varint(lsn - before - 1)
      .varint(time)
      .bytes(fromHex(hash));
    before = lsn;
  }
  writeExtension(writer);
  const flags = floor.closed ? CLOSED : floor.raising ? RAISING : 0;
  return withSelfCheck(MAGIC, writer.finish(), hasher, flags);
}

/** Throws `corrupt` or `unsupported_version`. */
export function decodeFloor(
  bytes: Uint8Array,
  hasher: Hasher,
  expect: { readonly volume: VolumeId; readonly n: number },
): Floor {
  const details = { volume: expect.volume, floor: expect.n };
  const checked = readSelfChecked(MAGIC, bytes, hasher, "a floor", details);
  const reader: ByteReader = checked.reader;
  reader.check(checked.flags <= RAISING, "unknown flags");
  const volume = idFromBytes<VolumeId>(reader.bytes(ID_BYTES, "the volume"));
  reader.check(volume === expect.volume, `it belongs to volume ${volume}`);
  const features = readFeatures(reader, "a floor", details);
  const n = reader.varint("its number");
  reader.check(n === expect.n, `it is number ${n}`);
  const lsn = reader.varint("the LSN") as Lsn;
  const time = reader.varint("the time") as TimeMs;
  const count = reader.varint("the number of checkpoints", LIMITS.floorCheckpoints);
  reader.check(
    count * CHECKPOINT_BYTES_LEAST <= reader.remaining,
    "it claims more checkpoints than there are bytes",
  );
  const checkpoints: FloorCheckpoint[] = [];
  let before = 0;
  for (let i = 0; i < count; i++) {
    const at = before + 1 + reader.varint("a checkpoint's LSN");
    reader.check(Number.isSafeInteger(at), "an LSN past 2^53");
    const when = reader.varint("a checkpoint's time") as TimeMs;
    checkpoints.push({
      lsn: at as Lsn,
      time: when,
      hash: reader.hex(HASH_BYTES, "a checkpoint's hash") as Hash,
    });
    before = at;
  }
  readExtension(reader, features);
  reader.end();
  const state = {
    ...(checked.flags === CLOSED && { closed: true }),
    ...(checked.flags === RAISING && { raising: true }),
  };
  const floor = { volume, n, ...state, lsn, time, checkpoints };
  const problem = floorProblem(floor);
  reader.check(problem === undefined, problem ?? "");
  return floor;
}

function floorProblem({ n, closed, raising, lsn, checkpoints }: Floor): string | undefined {
  if (n < 1) return "it has no number";
  if (closed && raising) return "closed, and about to be raised";
  if (closed) return checkpoints.length === 0 ? undefined : "it keeps checkpoints of a volume that is gone";
  if (lsn > 0 && !checkpoints.some((each) => each.lsn === lsn)) return `no checkpoint at its LSN ${lsn}`;
  const unsorted = checkpoints.some((each, i) => i > 0 && each.lsn <= checkpoints[i - 1]!.lsn);
  return unsorted ? "checkpoints out of order" : undefined;
}
