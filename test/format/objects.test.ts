/** Manifest, head hint, tag: small objects that stand alone. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Lsn, TimeMs, VolumeId } from "../../src/base/brand.ts";
import { isPagefoldError, PagefoldError } from "../../src/base/errors.ts";
import { corruptError, fromHex } from "../../src/format/bytes.ts";
import { decodeHeadHint, encodeHeadHint, HEAD_HINT_BYTES } from "../../src/format/head-codec.ts";
import { decodeManifest, encodeManifest } from "../../src/format/manifest-codec.ts";
import type { Manifest } from "../../src/format/model.ts";
import { decodeTag, encodeTag, TAG_BYTES } from "../../src/format/tag-codec.ts";
import {
  codecs,
  expectEveryDamageNoticed,
  expectTotal,
  property,
  sampleForkManifest,
  sampleManifest,
  someBytes,
  someHash,
  someId,
} from "./support.ts";

const { hash } = codecs;
const refused = (manifest: Uint8Array): string => {
  try {
    decodeManifest(manifest);
  } catch (error) {
    if (error instanceof PagefoldError) return `${error.code}: ${error.message}`;
  }
  return "accepted";
};

describe("manifest", () => {
  it("round-trips", () => {
    const manifests = fc
      .record({
        seed: fc.nat(),
        pageSize: fc.integer({ min: 9, max: 20 }).map((k) => 2 ** k),
        createdAt: fc.maxSafeNat(),
        compatible: fc.nat(0xffff_ffff),
        forks: fc.array(fc.maxSafeNat(), { maxLength: 5 }),
        proves: fc.boolean(),
      })
      .map(
        ({ seed, pageSize, createdAt, compatible, forks, proves }): Manifest => ({
          ...sampleManifest,
          volume: someId<VolumeId>(seed + 100),
          pageSize,
          createdAt: createdAt as TimeMs,
          features: {
            compatible: compatible - (compatible % 2) + (proves && forks.length > 0 ? 1 : 0),
            incompatible: 0,
          },
          ...(proves && forks.length > 0 ? { forkHash: someHash(seed) } : {}),
          digestSeed: someBytes(16, seed),
          ancestors: forks
            .map((lsn) => Math.max(1, lsn) as Lsn)
            .sort((a, b) => b - a)
            .map((lsn, i) => ({ volume: someId<VolumeId>(i + 1), lsn })),
        }),
      );
    property(manifests, (manifest) => {
      const bytes = encodeManifest(manifest, hash);
      const { volume } = manifest;
      // An object with features of later versions has more to say than this one writes.
      expect(decodeManifest(bytes, { volume, hasher: hash })).toEqual(manifest);
      expect(encodeManifest(decodeManifest(bytes), hash)).toEqual(bytes);
    });
  });

  it("every damage is noticed, by decoding or by its hash", () => {
    const valid = encodeManifest(sampleManifest);
    const proof = hash.blake3(valid);
    expectEveryDamageNoticed(valid, (bytes) => {
      decodeManifest(bytes);
      if (hash.blake3(bytes) !== proof) throw corruptError("a manifest", "hash");
    });
    expectTotal((bytes) => decodeManifest(bytes), [valid]);
  });

  it("a fork's finds every damage to itself, as no other object names its hash", () => {
    const valid = encodeManifest(sampleForkManifest, hash);
    expectEveryDamageNoticed(valid, (bytes) => {
      const { forkHash } = decodeManifest(bytes, { hasher: hash });
      // Whoever follows a fork refuses one that proves nothing.
      if (forkHash === undefined) throw corruptError("a manifest", "no proof");
    });
    expectTotal((bytes) => decodeManifest(bytes, { hasher: hash }), [valid]);
    const later = { ...sampleForkManifest, features: { compatible: 5, incompatible: 0 } };
    const longer = encodeManifest(later, hash);
    longer[longer.length - 49] = 51;
    const checked = longer.subarray(0, -16);
    const whole = Uint8Array.from([...checked, ...fromHex(hash.frameHash(checked)), 7, 8, 9]);
    expect(decodeManifest(whole, { hasher: hash })).toMatchObject({
      forkHash: sampleForkManifest.forkHash,
    });
    const orphan = encodeManifest({ ...sampleManifest, ancestors: [] });
    orphan[24] = 1;
    expect(refused(orphan)).toMatch(/without ancestors/);
    const short = encodeManifest(sampleManifest);
    short[24] = 1;
    expect(refused(short)).toMatch(/the proof of a fork in 0 bytes/);
  });

  it("says what is wrong", () => {
    const at = (offset: number, ...values: number[]) => {
      const bytes = encodeManifest(sampleManifest);
      bytes.set(values, offset);
      return refused(bytes);
    };
    expect(at(4, 2)).toMatch(/^unsupported_version: a manifest is of format version 2, newer than 1; update/);
    expect(at(28, 1)).toMatch(/^unsupported_version: .*features .*0x1\b/);
    expect(at(31, 0x80)).toMatch(/^unsupported_version: .*0x80000000/);
    expect(at(40, 3)).toMatch(/^corrupt: .*a page size of 515/);
    expect(at(44, 2)).toMatch(/^corrupt: .*digest algorithm 2/);
    expect(() => decodeManifest(encodeManifest(sampleManifest), { volume: someId<VolumeId>(9) })).toThrow(
      /belongs to volume/,
    );
    const [parent, grandparent] = sampleManifest.ancestors;
    const family = (ancestors: Manifest["ancestors"]) =>
      refused(encodeManifest({ ...sampleManifest, ancestors }));
    expect(family([grandparent!, parent!])).toMatch(/fork points rise/);
    expect(family([parent!, parent!])).toMatch(/its own ancestor/);
    expect(family([{ volume: sampleManifest.volume, lsn: 1 as Lsn }])).toMatch(/its own ancestor/);
    expect(family([{ volume: parent!.volume, lsn: 0 as Lsn }])).toMatch(/fork at LSN 0/);
  });

  it("compatible features of later versions may add bytes that this one skips", () => {
    const bytes = encodeManifest({ ...sampleManifest, features: { compatible: 4, incompatible: 0 } });
    const later = Uint8Array.from([...bytes.subarray(0, -1), 3, 7, 8, 9]);
    expect(decodeManifest(later).features.compatible).toBe(4);
    const unmarked = encodeManifest(sampleManifest);
    expect(refused(Uint8Array.from([...unmarked.subarray(0, -1), 3, 7, 8, 9]))).toMatch(/without a feature/);
  });
});

describe("head hint", () => {
  it("round-trips, and is no hint when damaged (invariant 8: it is a cache)", () => {
    property(fc.maxSafeNat(), (n) => {
      const lsn = Math.max(1, n) as Lsn;
      expect(decodeHeadHint(encodeHeadHint(lsn))).toBe(lsn);
    });
    const valid = encodeHeadHint(77 as Lsn);
    expect(valid.length).toBe(HEAD_HINT_BYTES);
    expectEveryDamageNoticed(valid, (bytes) => {
      if (decodeHeadHint(bytes) === undefined) throw corruptError("a hint", "none");
    });
    property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
      decodeHeadHint(bytes);
    });
  });
});

describe("tag", () => {
  it("round-trips, and every damage is noticed", () => {
    for (const volume of [someId<VolumeId>(5), undefined]) {
      const tag = { volume, time: 1_760_000_000_000 as TimeMs };
      const valid = encodeTag(tag, hash);
      expect(valid.length).toBe(TAG_BYTES);
      expect(decodeTag(valid, hash)).toEqual(tag);
      expectEveryDamageNoticed(valid, (bytes) => decodeTag(bytes, hash));
      expectTotal((bytes) => decodeTag(bytes, hash), [valid]);
    }
    try {
      decodeTag(new Uint8Array(TAG_BYTES), hash, { tag: "main" });
    } catch (error) {
      expect(isPagefoldError(error, "corrupt") && error.details.tag).toBe("main");
    }
  });
});
