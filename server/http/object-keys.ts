/** The keys of FORMAT.md as the object plane tells them apart: what kind of object, of which volume or tag. Anything else is none of ours. */
import type { Lsn, SegmentId, VolumeId } from "../../src/base/brand.ts";
import { parseId } from "../../src/format/ids.ts";
import {
  parseCheckpointKey,
  parseCompactedKey,
  parseComplement,
  parseForkKey,
  parseRestorePinKey,
  parseSegmentKey,
  parseTagKey,
} from "../../src/format/keys.ts";

type Named<Kind extends string, More> = Kind extends string
  ? { readonly kind: Kind; readonly key: string } & More
  : never;
type OfVolume = { readonly volume: VolumeId };
type OfCommit = OfVolume & { readonly lsn: Lsn };

/** Series of a volume: values are numbered from 1 on, and the newest holds. */
export type SeriesKind = "floor" | "config" | "deleted" | "lease";

export type ObjectName =
  | Named<"manifest" | "head", OfVolume>
  | Named<SeriesKind, OfVolume & { readonly n: number }>
  | Named<"commit" | "rollup", OfCommit>
  /** `digits`: the first 32 of its hash. */
  | Named<"checkpoint", OfCommit & { readonly digits: string }>
  | Named<"segment", OfCommit & { readonly id: SegmentId }>
  | Named<"compacted", OfVolume & { readonly n: number; readonly id: SegmentId }>
  /** What `fork` shares, up to `lsn`. */
  | Named<"pin", OfCommit & { readonly fork: VolumeId }>
  /** Commit `lsn` takes pages back to LSN `from`. */
  | Named<"restore", OfCommit & { readonly from: Lsn }>
  | Named<"tag", { readonly tag: string; readonly n: number }>;

export type NameOf<Kind extends ObjectName["kind"]> = Extract<ObjectName, { readonly kind: Kind }>;

/** Kinds that are told by their folder and a number alone. */
const OF_COMMITS = { commits: "commit", rollups: "rollup" } as const;
const SERIES = { floor: "floor", config: "config", deleted: "deleted", leases: "lease" } as const;

/** The others, by folder. */
const PARSERS: Readonly<Record<string, (key: string) => ObjectName | undefined>> = {
  segments: (key) => withKind("segment", key, parseSegmentKey(key)),
  compacted: (key) => withKind("compacted", key, parseCompactedKey(key)),
  forks: (key) => withKind("pin", key, parseForkKey(key)),
  restores: (key) => withKind("restore", key, parseRestorePinKey(key)),
  checkpoints: (key) => {
    const parsed = parseCheckpointKey(key);
    if (parsed === undefined) return undefined;
    const { volume, lsn, hash } = parsed;
    return { kind: "checkpoint", key, volume, lsn, digits: hash };
  },
};

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
  if (Object.hasOwn(PARSERS, folder)) return PARSERS[folder]!(key);
  const n = parseComplement(name);
  if (n === undefined || n === 0) return undefined;
  if (Object.hasOwn(SERIES, folder)) {
    return { kind: SERIES[folder as keyof typeof SERIES], key, volume, n };
  }
  if (!Object.hasOwn(OF_COMMITS, folder)) return undefined;
  return { kind: OF_COMMITS[folder as keyof typeof OF_COMMITS], key, volume, lsn: n as Lsn };
}

function withKind<Kind extends ObjectName["kind"]>(
  kind: Kind,
  key: string,
  parsed: Omit<NameOf<Kind>, "kind" | "key"> | undefined,
): NameOf<Kind> | undefined {
  return parsed === undefined ? undefined : ({ kind, key, ...parsed } as unknown as NameOf<Kind>);
}
