/** A volume of any size for what reads no page of it: a manifest and one commit that changes every page, whose segments were never stored. */
import type {
  Hash,
  Lsn,
  PageCount,
  PageIdx,
  PushId,
  SegmentId,
  StateChecksum,
  TimeMs,
  VolumeId,
} from "../../src/base/brand.ts";
import type { Codecs } from "../../src/format/codecs.ts";
import { encodeCommit } from "../../src/format/commit-codec.ts";
import { newId } from "../../src/format/ids.ts";
import { commitKey, manifestKey } from "../../src/format/keys.ts";
import { LIMITS } from "../../src/format/limits.ts";
import { DIGEST_ALGORITHM_BLAKE3, encodeManifest } from "../../src/format/manifest-codec.ts";
import type { SegmentRef } from "../../src/format/model.ts";
import { PageSet } from "../../src/format/page-set.ts";
import { segmentLayout } from "../../src/format/segment-layout.ts";
import type { ObjectStore } from "../../src/remote/object-store.ts";
import { seededRuntime } from "../local/xxh64.ts";

export async function unreadVolume(
  store: ObjectStore,
  codecs: Codecs,
  { pageCount, pageSize }: { readonly pageCount: number; readonly pageSize: number },
): Promise<VolumeId> {
  const runtime = seededRuntime(20);
  const volume = newId<VolumeId>(runtime);
  const features = { compatible: 0, incompatible: 0 };
  const manifest = encodeManifest({
    ...{ volume, features, pageSize },
    createdAt: 0 as TimeMs,
    digestSeed: new Uint8Array(16),
    digestAlgorithm: DIGEST_ALGORITHM_BLAKE3,
    ancestors: [],
    encryption: new Uint8Array(0),
  });
  const segmentPages = LIMITS.segmentRawBytes / pageSize;
  const segments: SegmentRef[] = [];
  for (let first = 1; first <= pageCount; first += segmentPages) {
    const pages = Math.min(segmentPages, pageCount - first + 1);
    segments.push(absentSegment(newId<SegmentId>(runtime), first, pages, pageSize));
  }
  const { bytes } = encodeCommit(
    {
      header: {
        ...{ volume, features, pageSize, segments },
        lsn: 1 as Lsn,
        jumpHashes: [codecs.hash.blake3(manifest)],
        pageCount: pageCount as PageCount,
        lowestPageCount: 0 as PageCount,
        byteLength: pageCount * pageSize,
        changed: PageSet.range(1, pageCount),
        zeroed: PageSet.empty,
        restoredFrom: undefined,
        restored: [],
        time: 0 as TimeMs,
        pushId: newId<PushId>(runtime),
        stateChecksum: 1n as StateChecksum,
        checkpoint: undefined,
        bands: [],
      },
      bands: [],
      frames: new Uint8Array(0),
    },
    codecs.hash,
  );
  await store.put(manifestKey(volume), manifest, { ifAbsent: true });
  await store.put(commitKey(volume, 1 as Lsn), bytes, { ifAbsent: true });
  return volume;
}

/** As large as one of pages that compress to half, in frames of sixteen. */
function absentSegment(id: SegmentId, first: number, pages: number, pageSize: number): SegmentRef {
  const indexLength = 16 + 20 * Math.ceil(pages / 16);
  const length = (pages * pageSize) / 2 + indexLength + 16 * pages + 64;
  const layout = segmentLayout(false, length, indexLength, pages)!;
  return {
    ...{ id, length },
    firstPage: first as PageIdx,
    lastPage: (first + pages - 1) as PageIdx,
    index: layout.index,
    indexHash: "1".repeat(64) as Hash,
    digests: layout.digests,
    digestsHash: "2".repeat(64) as Hash,
  };
}
