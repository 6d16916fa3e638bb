/**
 * What the golden files of format version 1 hold. The files were written once, by `make-golden.ts`; tests read them for ever, and encode these
 * values to the same bytes. A change here that changes a file is a change of the format: see FORMAT.md, "Versions".
 */
import type { Lsn, PageCount, PageIdx, SegmentId, TimeMs, VolumeId } from "../../src/base/brand.ts";
import { concatBytes } from "../../src/format/bytes.ts";
import { encodeCheckpoint } from "../../src/format/checkpoint-codec.ts";
import type { Codecs } from "../../src/format/codecs.ts";
import { decodeCommit } from "../../src/format/commit-codec.ts";
import { type Config, encodeConfig } from "../../src/format/config-codec.ts";
import { encodeFloor } from "../../src/format/floor-codec.ts";
import { encodeHeadHint } from "../../src/format/head-codec.ts";
import { RESTORED, SHORT_BANDS } from "../../src/format/limits.ts";
import { encodeManifest } from "../../src/format/manifest-codec.ts";
import type { Checkpoint, Floor, Rollup } from "../../src/format/model.ts";
import { PageSet } from "../../src/format/page-set.ts";
import { encodePageSet } from "../../src/format/page-set-codec.ts";
import { encodeRollup } from "../../src/format/rollup-codec.ts";
import { inlineFrameEncoder, SegmentWriter } from "../../src/format/segment-writer.ts";
import { encodeTag } from "../../src/format/tag-codec.ts";
import {
  codecs,
  pageBytes,
  sampleCommit,
  sampleForkManifest,
  sampleManifest,
  someBytes,
  someHash,
  someId,
} from "./support.ts";

export const goldenDirectory = new URL("../fixtures/golden/", import.meta.url);

export const goldenPageSets: readonly PageSet[] = [
  PageSet.empty,
  PageSet.range(1, 5_200_000),
  PageSet.of([1, 5, 6, 7, 1000, 4_294_967_294]),
  PageSet.of([2, 4, 5, 7, 9, 11, 13, 14, 16, 18, 20, 23]),
];

export const goldenRollup: Rollup = {
  from: 96 as Lsn,
  to: 128 as Lsn,
  lowestPageCount: 40 as PageCount,
  writers: [
    { lsn: 128 as Lsn, hash: someHash(1), pages: PageSet.of([1, 2, 9]) },
    { lsn: 127 as Lsn, hash: someHash(2), pages: PageSet.range(10, 30) },
    { lsn: 97 as Lsn, hash: someHash(3), pages: PageSet.of([40]) },
  ],
};

/** A run in which LSNs 3 and 90 were restored from, the second by someone who did not know its hash. */
export const goldenRollupRestored: Rollup = {
  ...goldenRollup,
  writers: [
    ...goldenRollup.writers,
    { lsn: 90 as Lsn, hash: undefined, pages: PageSet.of([3, 5]) },
    { lsn: 3 as Lsn, hash: someHash(4), pages: PageSet.range(31, 39) },
  ],
};

export const goldenTag = { volume: sampleManifest.volume, time: 1_760_000_000_000 as TimeMs };
export const goldenHead = 1_234_567 as Lsn;
export const goldenSegment = {
  volume: sampleManifest.volume,
  lsn: 4 as Lsn,
  id: someId<SegmentId>(8),
  pageSize: 512,
  framePages: 4,
  seed: someBytes(16, 2),
  pages: PageSet.of([1, 2, 3, 4, 5, 9]),
};

/** Frames must not depend on which zstd compressed them, so the golden segment stores them raw. */
const uncompressed: Codecs = { ...codecs, compress: (bytes) => ({ codec: "raw", bytes }) };

/** The bytes of page `i` of the golden segment. */
export const goldenPage = (i: number): Uint8Array => pageBytes(goldenSegment.pageSize, i);

export async function makeGoldenSegment() {
  const { pages, pageSize, framePages, seed, ...names } = goldenSegment;
  const writer = new SegmentWriter({ hasher: codecs.hash, pageSize, framePages, ...names });
  const chunks: Uint8Array[] = [];
  const stored = (async () => {
    for await (const chunk of writer.body) chunks.push(chunk);
  })();
  const list = Uint32Array.from(pages);
  const bytes = concatBytes([...list].map(goldenPage));
  await writer.add(
    list,
    await inlineFrameEncoder(uncompressed).encode({ pages: list, bytes, pageSize, framePages, seed }),
  );
  const { ref } = await writer.finish();
  await stored;
  return { ref, bytes: concatBytes(chunks) };
}

/** A commit without inline pages, whose one segment is the golden one, with bands, the last of them apart. */
export async function makeGoldenCommit() {
  const { ref } = await makeGoldenSegment();
  return sampleCommit({
    lsn: 4,
    pages: PageSet.empty,
    apartFrom: 2,
    change: (header) => ({
      ...header,
      pageCount: 12 as PageCount,
      byteLength: 12 * 512 - 7,
      changed: goldenSegment.pages,
      zeroed: PageSet.of([10, 11]),
      segments: [ref],
    }),
  });
}

/** A commit that takes pages back to what LSNs 90 and 3 wrote, and cuts the volume (incompatible bit 2). */
export function makeGoldenRestore() {
  return sampleCommit({
    lsn: 101,
    pages: PageSet.empty,
    change: (header) => ({
      ...header,
      features: { compatible: 0, incompatible: RESTORED },
      pageCount: 60 as PageCount,
      lowestPageCount: 20 as PageCount,
      byteLength: 60 * 512,
      zeroed: PageSet.of([1, 2]),
      restoredFrom: 95 as Lsn,
      restored: [
        { lsn: 90 as Lsn, hash: undefined, pages: PageSet.of([3, 5]) },
        { lsn: 3 as Lsn, hash: someHash(4), pages: PageSet.range(31, 60) },
      ],
    }),
  });
}

/** A commit near the floor, with two of its five bands (incompatible bit 3). */
export function makeGoldenShort() {
  return sampleCommit({
    lsn: 96,
    pages: PageSet.empty,
    change: (header) => ({
      ...header,
      features: { compatible: 0, incompatible: SHORT_BANDS },
      jumpHashes: header.jumpHashes.slice(0, 3),
      bands: header.bands.slice(0, 2),
    }),
  });
}

/** The state at the golden commit: some pages in its segment, some in one that a compaction wrote, some with their writers alone. */
export async function sampleCheckpoint(): Promise<Checkpoint> {
  const { ref } = await makeGoldenSegment();
  const { bytes } = await makeGoldenCommit();
  const compacted = { ...ref, id: someId<SegmentId>(21), lastPage: 9 as PageIdx };
  return {
    volume: sampleManifest.volume,
    features: { compatible: 0, incompatible: 0 },
    madeUnder: 200,
    header: bytes.slice(0, decodeCommit(bytes, codecs.hash).headerLength),
    writers: [
      { lsn: 4 as Lsn, hash: someHash(24), pages: PageSet.of([1, 2, 3, 9]) },
      { lsn: 2 as Lsn, hash: undefined, pages: PageSet.of([4, 5]) },
      { lsn: 1 as Lsn, hash: someHash(25), pages: PageSet.of([6, 12]) },
    ],
    segments: [
      {
        ...{ volume: sampleManifest.volume, kind: "commit", number: 4, id: goldenSegment.id },
        ...{ ref, pages: PageSet.of([1, 2, 3, 9]) },
      },
      {
        ...{ volume: someId<VolumeId>(22), kind: "compacted", number: 1, id: someId<SegmentId>(21) },
        ...{ ref: compacted, pages: PageSet.of([4, 5]) },
      },
    ],
  };
}

export const sampleFloor: Floor = {
  volume: sampleManifest.volume,
  n: 7,
  lsn: 900 as Lsn,
  time: goldenTag.time,
  checkpoints: [
    { lsn: 12 as Lsn, time: 1_759_000_000_000 as TimeMs, hash: someHash(31) },
    { lsn: 900 as Lsn, time: 1_759_900_000_000 as TimeMs, hash: someHash(32) },
    { lsn: 1024 as Lsn, time: 1_759_990_000_000 as TimeMs, hash: someHash(33) },
  ],
};

export const sampleConfig: Config = {
  volume: sampleManifest.volume,
  n: 3,
  time: goldenTag.time,
  text: '{"retention":{"all":"24h","hourly":"7d","daily":"30d","keep":[12]},"later":"é"}',
};

/** Every golden file of version 1 by name. */
export async function goldenFiles(): Promise<ReadonlyMap<string, Uint8Array>> {
  const commit = await makeGoldenCommit();
  const removed = { volume: undefined as VolumeId | undefined, time: goldenTag.time };
  return new Map([
    ["v1-manifest.bin", encodeManifest(sampleManifest)],
    ["v1-manifest-fork.bin", encodeManifest(sampleForkManifest, codecs.hash)],
    ["v1-commit.bin", commit.bytes],
    ["v1-rollup-apart.bin", concatBytes(commit.apart)],
    ["v1-segment.bin", (await makeGoldenSegment()).bytes],
    ["v1-rollup.bin", encodeRollup(goldenRollup)],
    ["v1-rollup-restored.bin", encodeRollup(goldenRollupRestored)],
    ["v1-commit-restored.bin", (await makeGoldenRestore()).bytes],
    ["v1-commit-short.bin", (await makeGoldenShort()).bytes],
    ["v1-head.bin", encodeHeadHint(goldenHead)],
    ["v1-tag.bin", encodeTag(goldenTag, codecs.hash)],
    ["v1-tag-removed.bin", encodeTag(removed, codecs.hash)],
    ["v1-checkpoint.bin", encodeCheckpoint(await sampleCheckpoint(), codecs.hash).bytes],
    ["v1-floor.bin", encodeFloor(sampleFloor, codecs.hash)],
    ["v1-config.bin", encodeConfig(sampleConfig, codecs.hash)],
    ...goldenPageSets.map((set, i): [string, Uint8Array] => [`v1-page-set-${i}.bin`, encodePageSet(set)]),
  ]);
}
