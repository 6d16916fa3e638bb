/**
 * Keys of the remote layout (design: "Remote layout"; FORMAT.md, "Keys"). LSNs and counters are written as the complement ~n: 16
 * hexadecimal digits of 2^64 - 1 - n, so that a listing answers the newest first.
 */
import { assert } from "../base/assert.ts";
import type { Hash, Lsn, SegmentId, VolumeId } from "../base/brand.ts";
import { PagefoldError } from "../base/errors.ts";
import { parseId, parseVolumeId } from "./ids.ts";

const HALF = 0x1_0000_0000;

/** ~n: 16 lower-case hexadecimal digits of 2^64 - 1 - n; 0 <= n <= 2^53 - 1. */
export function complement(n: number): string {
  assert(Number.isSafeInteger(n) && n >= 0, `a counter of ${n}`);
  const high = HALF - 1 - Math.floor(n / HALF);
  const low = HALF - 1 - (n % HALF);
  return high.toString(16).padStart(8, "0") + low.toString(16).padStart(8, "0");
}

/** The n of ~n, or undefined where the text is none. */
export function parseComplement(text: string): number | undefined {
  if (!/^[0-9a-f]{16}$/.test(text)) return undefined;
  const high = HALF - 1 - Number.parseInt(text.slice(0, 8), 16);
  const low = HALF - 1 - Number.parseInt(text.slice(8), 16);
  const n = high * HALF + low;
  return Number.isSafeInteger(n) ? n : undefined;
}

export const volumesPrefix = (): string => "volumes/";
/** Everything of a volume is below this. */
export const volumePrefix = (volume: VolumeId): string => `volumes/${volume}/`;
export const manifestKey = (volume: VolumeId): string => `volumes/${volume}/manifest`;
export const commitsPrefix = (volume: VolumeId): string => `volumes/${volume}/commits/`;
export const commitKey = (volume: VolumeId, lsn: Lsn): string => commitsPrefix(volume) + complement(lsn);
export const segmentsPrefix = (volume: VolumeId): string => `volumes/${volume}/segments/`;
export const segmentKey = (volume: VolumeId, lsn: Lsn, id: SegmentId): string =>
  `${segmentsPrefix(volume)}${complement(lsn)}-${id}`;
export const rollupsPrefix = (volume: VolumeId): string => `volumes/${volume}/rollups/`;
export const rollupKey = (volume: VolumeId, lsn: Lsn): string => rollupsPrefix(volume) + complement(lsn);
export const checkpointsPrefix = (volume: VolumeId): string => `volumes/${volume}/checkpoints/`;
/** The key carries the hash of the checkpoint's bytes, so that none ever replaces another of its LSN. */
export const checkpointKey = (volume: VolumeId, lsn: Lsn, hash: Hash): string =>
  `${checkpointsPrefix(volume)}${complement(lsn)}-${hash.slice(0, 32)}`;
export const compactedPrefix = (volume: VolumeId): string => `volumes/${volume}/compacted/`;
/** Segments that a compaction writes: `n` is the number of the floor that it began under. */
export const compactedKey = (volume: VolumeId, n: number, id: SegmentId): string =>
  `${compactedPrefix(volume)}${complement(n)}-${id}`;
export const restoresPrefix = (volume: VolumeId): string => `volumes/${volume}/restores/`;
/** Commit `lsn`, which is about to be made, takes pages back to what they were at LSN `from`. */
export const restorePinKey = (volume: VolumeId, lsn: Lsn, from: Lsn): string =>
  `${restoresPrefix(volume)}${complement(lsn)}@${complement(from)}`;
export const floorPrefix = (volume: VolumeId): string => `volumes/${volume}/floor/`;
export const floorKey = (volume: VolumeId, n: number): string => floorPrefix(volume) + complement(n);
export const configPrefix = (volume: VolumeId): string => `volumes/${volume}/config/`;
export const configKey = (volume: VolumeId, n: number): string => configPrefix(volume) + complement(n);
export const deletedPrefix = (volume: VolumeId): string => `volumes/${volume}/deleted/`;
/** The n-th time that the volume was deleted, or that a deletion was taken back or carried out. */
export const deletedKey = (volume: VolumeId, n: number): string => deletedPrefix(volume) + complement(n);
export const leasesPrefix = (volume: VolumeId): string => `volumes/${volume}/leases/`;
export const leaseKey = (volume: VolumeId, n: number): string => leasesPrefix(volume) + complement(n);
export const forksPrefix = (volume: VolumeId): string => `volumes/${volume}/forks/`;
/** In the parent's prefix: what `fork` still needs of it. */
export const forkKey = (volume: VolumeId, fork: VolumeId, lsn: Lsn): string =>
  `${forksPrefix(volume)}${fork}@${complement(lsn)}`;
export const headKey = (volume: VolumeId): string => `volumes/${volume}/head`;

/** The LSN of a commit's key, or undefined where the key is none. */
export function lsnOfCommitKey(key: string): Lsn | undefined {
  const match = /^volumes\/([0-9a-z]{26})\/commits\/([0-9a-f]{16})$/.exec(key);
  if (match === null || parseId<VolumeId>(match[1]!) === undefined) return undefined;
  const lsn = parseComplement(match[2]!);
  return lsn === undefined || lsn === 0 ? undefined : (lsn as Lsn);
}

/** The parts of a segment's key, or undefined where the key is none. */
export function parseSegmentKey(
  key: string,
): { readonly volume: VolumeId; readonly lsn: Lsn; readonly id: SegmentId } | undefined {
  const match = /^volumes\/([0-9a-z]{26})\/segments\/([0-9a-f]{16})-([0-9a-z]{26})$/.exec(key);
  if (match === null) return undefined;
  const volume = parseId<VolumeId>(match[1]!);
  const lsn = parseComplement(match[2]!);
  const id = parseId<SegmentId>(match[3]!);
  if (volume === undefined || lsn === undefined || lsn === 0 || id === undefined) return undefined;
  return { volume, lsn: lsn as Lsn, id };
}

/** The parts of a checkpoint's key (`hash`: the first 32 digits), or undefined where the key is none. */
export function parseCheckpointKey(
  key: string,
): { readonly volume: VolumeId; readonly lsn: Lsn; readonly hash: string } | undefined {
  const match = /^volumes\/([0-9a-z]{26})\/checkpoints\/([0-9a-f]{16})-([0-9a-f]{32})$/.exec(key);
  if (match === null) return undefined;
  const volume = parseId<VolumeId>(match[1]!);
  const lsn = parseComplement(match[2]!);
  return volume === undefined || !lsn ? undefined : { volume, lsn: lsn as Lsn, hash: match[3]! };
}

/** The parts of the key of a compacted segment, or undefined where the key is none. */
export function parseCompactedKey(
  key: string,
): { readonly volume: VolumeId; readonly n: number; readonly id: SegmentId } | undefined {
  const match = /^volumes\/([0-9a-z]{26})\/compacted\/([0-9a-f]{16})-([0-9a-z]{26})$/.exec(key);
  if (match === null) return undefined;
  const volume = parseId<VolumeId>(match[1]!);
  const n = parseComplement(match[2]!);
  const id = parseId<SegmentId>(match[3]!);
  return volume === undefined || n === undefined || id === undefined ? undefined : { volume, n, id };
}

/** The parts of a fork's pin, or undefined where the key is none. */
export function parseForkKey(
  key: string,
): { readonly volume: VolumeId; readonly fork: VolumeId; readonly lsn: Lsn } | undefined {
  const match = /^volumes\/([0-9a-z]{26})\/forks\/([0-9a-z]{26})@([0-9a-f]{16})$/.exec(key);
  if (match === null) return undefined;
  const volume = parseId<VolumeId>(match[1]!);
  const fork = parseId<VolumeId>(match[2]!);
  const lsn = parseComplement(match[3]!);
  return volume === undefined || fork === undefined || !lsn ? undefined : { volume, fork, lsn: lsn as Lsn };
}

/** The parts of a restore's pin, or undefined where the key is none. */
export function parseRestorePinKey(
  key: string,
): { readonly volume: VolumeId; readonly lsn: Lsn; readonly from: Lsn } | undefined {
  const match = /^volumes\/([0-9a-z]{26})\/restores\/([0-9a-f]{16})@([0-9a-f]{16})$/.exec(key);
  if (match === null) return undefined;
  const volume = parseId<VolumeId>(match[1]!);
  const lsn = parseComplement(match[2]!);
  const from = parseComplement(match[3]!);
  if (volume === undefined || !lsn || from === undefined) return undefined;
  return { volume, lsn: lsn as Lsn, from: from as Lsn };
}

/** The number n in the key of a volume's series (`floor`, `config` …), or undefined where the key is none. */
export function parseSeriesKey(prefix: string, key: string): number | undefined {
  return key.startsWith(prefix) ? parseComplement(key.slice(prefix.length)) || undefined : undefined;
}

export const tagsPrefix = (): string => "tags/";
export const tagPrefix = (name: string): string => `tags/${name}/`;
/** The n-th value of a tag, n >= 1: the newest wins. */
export const tagKey = (name: string, n: number): string => tagPrefix(name) + complement(n);

/** The name and number of a tag's key, or undefined where the key is none. */
export function parseTagKey(key: string): { readonly name: string; readonly n: number } | undefined {
  const match = /^tags\/([^/]+)\/([0-9a-f]{16})$/.exec(key);
  if (match === null || tagNameProblem(match[1]!) !== undefined) return undefined;
  const n = parseComplement(match[2]!);
  return n === undefined || n === 0 ? undefined : { name: match[1]!, n };
}

/** Answers the name, or throws `invalid` saying what a tag may be called. */
export function checkTagName(name: string): string {
  const problem = tagNameProblem(name);
  if (problem === undefined) return name;
  throw new PagefoldError(
    "invalid",
    `"${name.slice(0, 160)}" cannot be a tag: ${problem}; use 1 to 128 of A-Z a-z 0-9 . _ - and do not start with a dot`,
    { details: { tag: name.slice(0, 160) } },
  );
}

function tagNameProblem(name: string): string | undefined {
  if (name.length === 0) return "it is empty";
  if (name.length > 128) return "it is longer than 128 characters";
  if (name.startsWith(".")) return "it starts with a dot";
  if (!/^[A-Za-z0-9._-]+$/.test(name)) return "it has other characters";
  if (parseVolumeId(name) !== undefined) return "it looks like a volume id";
  return undefined;
}
