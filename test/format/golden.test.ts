import { readdirSync, readFileSync } from "node:fs";
import { inflateRawSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { decodeCheckpoint } from "../../src/format/checkpoint-codec.ts";
import { loadCodecs } from "../../src/format/codecs.ts";
import { decodeCommit } from "../../src/format/commit-codec.ts";
import { decodeConfig } from "../../src/format/config-codec.ts";
import { decodeFloor } from "../../src/format/floor-codec.ts";
import { decodeFrame, frameRawLength } from "../../src/format/frame.ts";
import { decodeHeadHint } from "../../src/format/head-codec.ts";
import { bandInterval } from "../../src/format/jumps.ts";
import { decodeManifest } from "../../src/format/manifest-codec.ts";
import { decodePageSet } from "../../src/format/page-set-codec.ts";
import { decodeRollup } from "../../src/format/rollup-codec.ts";
import {
  checkDigestArea,
  decodeSegmentFooter,
  openReadIndex,
  SEGMENT_FOOTER_BYTES,
} from "../../src/format/segment-codec.ts";
import { decodeTag } from "../../src/format/tag-codec.ts";
import {
  goldenDirectory,
  goldenFiles,
  goldenHead,
  goldenPage,
  goldenPageSets,
  goldenRollup,
  goldenRollupRestored,
  goldenSegment,
  goldenTag,
  makeGoldenCommit,
  makeGoldenRestore,
  makeGoldenShort,
  sampleCheckpoint,
  sampleConfig,
  sampleFloor,
} from "./golden.ts";
import { codecs, pageBytes, sampleForkManifest, sampleManifest, sampleRollup } from "./support.ts";

const { hash } = codecs;
const read = (name: string): Uint8Array => new Uint8Array(readFileSync(new URL(name, goldenDirectory)));

describe("golden files of version 1", () => {
  it("are encoded to the same bytes", async () => {
    const files = await goldenFiles();
    for (const [name, bytes] of files) expect(Buffer.compare(bytes, read(name)), name).toBe(0);
    const frames = ["v1-frame-deflate-raw.bin", "v1-frame-zstd.bin"];
    expect(
      readdirSync(goldenDirectory)
        .filter((name) => name.startsWith("v1-"))
        .sort(),
    ).toEqual([...files.keys(), ...frames].sort());
  });

  it("have the hashes that they always had", () => {
    expect(hash.blake3(read("v1-manifest.bin"))).toBe(
      "88f1150e4dc4a8c8d0dd92652e663be18b61d6e4ba2ddf164eef22394764500b",
    );
    expect(hash.blake3(read("v1-segment.bin"))).toBe(
      "e40f1ea778c93a78d42cab7524854b03644a682395f760b97e7044fdd09e355d",
    );
    expect(decodeCommit(read("v1-commit.bin"), hash).hash).toBe(
      "f2c53c1e618e33d032c180e162561c9aa721d1c509afee6397dced42fcf8cef3",
    );
    expect(hash.blake3(read("v1-rollup.bin"))).toBe(
      "2da9f881c979f73af2b93ae700568d74cf32267cb7d3a5da2e0acbaf5bc63ddd",
    );
    expect(hash.blake3(read("v1-frame-zstd.bin"))).toBe(
      "e6f35d489bb71f7f300edd0dd818d677c0cdcb4806bb79da0e0e3068e883fce0",
    );
  });

  it("manifest, tags, head hint, page sets, rollup", () => {
    expect(decodeManifest(read("v1-manifest.bin"))).toEqual(sampleManifest);
    expect(decodeManifest(read("v1-manifest-fork.bin"), { hasher: hash })).toEqual(sampleForkManifest);
    expect(decodeTag(read("v1-tag.bin"), hash)).toEqual(goldenTag);
    expect(decodeTag(read("v1-tag-removed.bin"), hash)).toEqual({ ...goldenTag, volume: undefined });
    expect(decodeHeadHint(read("v1-head.bin"))).toBe(goldenHead);
    for (const [i, set] of goldenPageSets.entries()) {
      expect(decodePageSet(read(`v1-page-set-${i}.bin`)).equals(set)).toBe(true);
    }
    expect(decodeRollup(read("v1-rollup.bin"), goldenRollup)).toEqual(goldenRollup);
  });

  it("checkpoint, floor, config", async () => {
    const { volume } = sampleManifest;
    const checkpoint = read("v1-checkpoint.bin");
    const proof = "0362c4cd440c97d192437c9fad415ded60048db93176a79fe4201cf5b87b5310";
    expect(hash.blake3(checkpoint)).toBe(proof);
    const decoded = decodeCheckpoint(checkpoint, hash, { volume, lsn: goldenSegment.lsn });
    expect(decoded).toMatchObject(await sampleCheckpoint());
    expect(decoded.commit.header).toEqual((await makeGoldenCommit()).header);
    expect(hash.blake3(read("v1-floor.bin"))).toBe(
      "8aa2ba6454d7e2899d19dfb86325d191ede156077e223fb5e461d3c2b0fc159f",
    );
    expect(decodeFloor(read("v1-floor.bin"), hash, { volume, n: sampleFloor.n })).toEqual(sampleFloor);
    expect(hash.blake3(read("v1-config.bin"))).toBe(
      "8155112c0bf458cba5877c014ca17e1532cf4c22a5f3419934ef2dfa5836b428",
    );
    expect(decodeConfig(read("v1-config.bin"), hash, { volume, n: sampleConfig.n })).toEqual(sampleConfig);
  });

  it("commit, its bands, and the segment that it names", async () => {
    const bytes = read("v1-commit.bin");
    const commit = decodeCommit(bytes, hash);
    expect(commit.header).toEqual((await makeGoldenCommit()).header);
    expect(commit.header.changed.equals(goldenSegment.pages)).toBe(true);
    const apart = read("v1-rollup-apart.bin");
    const bands = [
      ...commit.bandExtents.map((place) => bytes.subarray(place.offset, place.offset + place.length)),
      ...commit.apartBandExtents.map((place) => apart.subarray(place.offset, place.offset + place.length)),
    ];
    bands.forEach((band, i) => {
      expect(hash.blake3(band)).toBe(commit.header.bands[i]!.hash);
      const interval = bandInterval(commit.header.lsn, i + 1);
      expect(decodeRollup(band, interval)).toEqual(sampleRollup(interval.from, interval.to));
    });

    const segment = read("v1-segment.bin");
    const ref = commit.header.segments[0]!;
    const part = ({ offset, length }: { offset: number; length: number }) =>
      segment.subarray(offset, offset + length);
    const index = openReadIndex(hash, part(ref.index), ref);
    checkDigestArea(hash, part(ref.digests), ref);
    const pages = [...index.pages];
    for (let i = 0; i < index.frameCount; i++) {
      const raw = decodeFrame(codecs, index.frame(i), part(index.frame(i)), frameRawLength(index, i), {});
      for (let at = 0; at < raw.length; at += 512)
        expect(raw.slice(at, at + 512)).toEqual(goldenPage(pages.shift()!));
    }
    expect(pages).toEqual([]);
    const { volume, lsn, id } = goldenSegment;
    const footer = decodeSegmentFooter(segment.subarray(-SEGMENT_FOOTER_BYTES), segment.length);
    expect(footer).toMatchObject({ volume, lsn, id });
  });

  it("commits that restore, and with fewer bands", async () => {
    expect(decodeRollup(read("v1-rollup-restored.bin"), goldenRollupRestored)).toEqual(goldenRollupRestored);
    const restore = decodeCommit(read("v1-commit-restored.bin"), hash);
    expect(restore.header).toEqual((await makeGoldenRestore()).header);
    expect(restore.hash).toBe("19cedc28eea550e523a0ee302833f8d64df7ccfd2ca899f131d64b91037d9967");
    const short = decodeCommit(read("v1-commit-short.bin"), hash);
    expect(short.header).toEqual((await makeGoldenShort()).header);
    expect([short.header.bands.length, short.bandExtents.length, short.header.jumpHashes.length]).toEqual([
      2, 2, 3,
    ]);
    expect(short.hash).toBe("28bf612b036437ff8a891f79d97a15e735ce2e615a827bae83802c070d8e3457");
  });

  it("frames of every codec", async () => {
    const raw = pageBytes(16_384, 11);
    expect(codecs.decompress("zstd", read("v1-frame-zstd.bin"), raw.length)).toEqual(raw);
    const inflating = await loadCodecs({
      inflateRaw: (bytes, most) => inflateRawSync(bytes, { maxOutputLength: most }),
    });
    expect([...inflating.decompress("deflate-raw", read("v1-frame-deflate-raw.bin"), raw.length)]).toEqual([
      ...raw,
    ]);
  });
});
