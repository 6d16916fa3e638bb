/** The keys of FORMAT.md as the object plane tells them apart: what kind of object, of which volume or tag. Anything else is none of ours. */
import type { Lsn, SegmentId, VolumeId } from "../../src/base/brand.ts";
import { parseId } from "../../src/format/ids.ts";
import { parseComplement, parseTagKey } from "../../src/format/keys.ts";

type Named<Kind extends string, More> = Kind extends string
  ? { readonly kind: Kind; readonly key: string } & More
  : never;
type OfVolume = { readonly volume: VolumeId };
type OfCommit = OfVolume & { readonly lsn: Lsn };

export type ObjectName =
  | Named<"manifest" | "head" | "floor" | "config" | "deleted" | "lease", OfVolume>
  | Named<"commit" | "rollup" | "checkpoint", OfCommit>
  | Named<"segment", OfCommit & { readonly id: SegmentId }>
  | Named<"pin", OfCommit & { readonly fork: VolumeId }>
  | Named<"tag", { readonly tag: string; readonly n: number }>;

/** Kinds that are told by their folder and a number alone. */
const NUMBERED = {
  commits: "commit",
  rollups: "rollup",
  checkpoints: "checkpoint",
  floor: "floor",
  config: "config",
  deleted: "deleted",
  leases: "lease",
} as const;

/** Of those, the ones numbered by LSN. */
const OF_COMMITS: ReadonlySet<string> = new Set(["commit", "rollup", "checkpoint"]);

/** The name that a key stands for, undefined where it is no key of the format. */
export function parseObjectKey(key: string): ObjectName | undefined {
  if (key.startsWith("tags/")) {
    const tag = parseTagKey(key);
    return tag === undefined ? undefined : { kind: "tag", key, tag: tag.name, n: tag.n };
  }
  const parts = key.split("/");
  if (parts[0] !== "volumes" || parts.length < 3 || parts.length > 4) return undefined;
  const volume = parseId<VolumeId>(parts[1]!);
  if (volume === undefined) return undefined;
  const [, , folder = "", name] = parts;
  if (name === undefined) {
    return folder === "manifest" || folder === "head" ? { kind: folder, key, volume } : undefined;
  }
  if (folder === "segments") return parseSegment(key, volume, name);
  if (folder === "forks") return parsePin(key, volume, name);
  const kind = Object.hasOwn(NUMBERED, folder) ? NUMBERED[folder as keyof typeof NUMBERED] : undefined;
  const n = parseComplement(name);
  if (kind === undefined || n === undefined || n === 0) return undefined;
  const named = OF_COMMITS.has(kind) ? { kind, key, volume, lsn: n as Lsn } : { kind, key, volume };
  return named as ObjectName;
}

function parseSegment(key: string, volume: VolumeId, name: string): ObjectName | undefined {
  const lsn = parseComplement(name.slice(0, 16));
  const id = name[16] === "-" ? parseId<SegmentId>(name.slice(17)) : undefined;
  if (lsn === undefined || lsn === 0 || id === undefined) return undefined;
  return { kind: "segment", key, volume, lsn: lsn as Lsn, id };
}

function parsePin(key: string, volume: VolumeId, name: string): ObjectName | undefined {
  const fork = parseId<VolumeId>(name.slice(0, 26));
  const lsn = name[26] === "@" ? parseComplement(name.slice(27)) : undefined;
  if (fork === undefined || lsn === undefined || lsn === 0) return undefined;
  return { kind: "pin", key, volume, fork, lsn: lsn as Lsn };
}
