import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  type Hash,
  LSN_ZERO,
  type Lsn,
  type SegmentId,
  type TimeMs,
  type VolumeId,
} from "../../src/base/brand.ts";
import { PagefoldError } from "../../src/base/errors.ts";
import { idFromBytes, idTime, idToBytes, newId, parseId, parseVolumeId } from "../../src/format/ids.ts";
import {
  checkpointKey,
  checkTagName,
  commitKey,
  commitsPrefix,
  complement,
  configKey,
  floorKey,
  forkKey,
  headKey,
  lsnOfCommitKey,
  manifestKey,
  parseComplement,
  parseSegmentKey,
  parseTagKey,
  rollupKey,
  segmentKey,
  segmentsPrefix,
  tagKey,
  tagPrefix,
  tagsPrefix,
} from "../../src/format/keys.ts";
import { property, someBytes, someId } from "./support.ts";

describe("ids", () => {
  it("round-trip, sort like their bytes, and only one text stands for one id", () => {
    const bytes = fc.uint8Array({ minLength: 16, maxLength: 16 });
    property(fc.tuple(bytes, bytes), ([a, b]) => {
      const [x, y] = [idFromBytes(a), idFromBytes(b)];
      expect(x).toMatch(/^[0-7][0-9a-hjkmnp-tv-z]{25}$/);
      expect(idToBytes(x)).toEqual(a);
      expect(Math.sign(Buffer.compare(a, b))).toBe(x < y ? -1 : x > y ? 1 : 0);
      expect(parseVolumeId(x.toUpperCase())).toBe(x);
      expect(parseId(x)).toBe(x);
    });
    expect(idFromBytes(new Uint8Array(16))).toBe("0".repeat(26));
    expect(idFromBytes(new Uint8Array(16).fill(255))).toBe(`7${"z".repeat(25)}`);
  });

  it("carry their time, and random bits", () => {
    let draw = 0;
    const runtime = (now: number) => ({
      now: () => now as TimeMs,
      randomBytes: (bytes: Uint8Array) => {
        bytes.set(someBytes(bytes.length, ++draw));
        return bytes;
      },
    });
    property(
      fc.nat(2 ** 31).map((n) => n * 130_000),
      (time) => expect(idTime(newId(runtime(time)))).toBe(time),
    );
    const first = newId(runtime(1_000));
    expect(newId(runtime(1_000))).not.toBe(first);
    expect(newId<SegmentId>(runtime(1_001)) > (first as string)).toBe(true);
  });

  it("refuse what is none", () => {
    const good = someId<VolumeId>(1);
    for (const bad of [
      "",
      good.slice(1),
      `${good}0`,
      `8${good.slice(1)}`,
      `${good.slice(1)}u`,
      `${good.slice(1)}!`,
      "my-database",
    ]) {
      expect(parseVolumeId(bad)).toBeUndefined();
    }
    expect(parseId(good.toUpperCase())).toBe(/[a-z]/.test(good) ? undefined : good);
  });
});

describe("keys", () => {
  const volume = someId<VolumeId>(2);
  const segment = someId<SegmentId>(3);
  const lsn = fc.maxSafeNat().map((n) => Math.max(1, n) as Lsn);

  it("list the newest first, and parse back", () => {
    property(fc.tuple(lsn, lsn), ([a, b]) => {
      expect(complement(a)).toMatch(/^[0-9a-f]{16}$/);
      expect(BigInt(`0x${complement(a)}`)).toBe(2n ** 64n - 1n - BigInt(a));
      expect(parseComplement(complement(a))).toBe(a);
      expect(commitKey(volume, a) < commitKey(volume, b)).toBe(a > b);
      expect(lsnOfCommitKey(commitKey(volume, a))).toBe(a);
      expect(parseSegmentKey(segmentKey(volume, a, segment))).toEqual({ volume, lsn: a, id: segment });
      expect(parseTagKey(tagKey("my.tag", a))).toEqual({ name: "my.tag", n: a });
    });
    expect(complement(LSN_ZERO)).toBe("ffffffffffffffff");
  });

  it("are laid out as the design says", () => {
    const v = `volumes/${volume}`;
    const one = "fffffffffffffffe" as const;
    const n = 1 as Lsn;
    expect(manifestKey(volume)).toBe(`${v}/manifest`);
    expect(commitKey(volume, n)).toBe(`${v}/commits/${one}`);
    expect(segmentKey(volume, n, segment)).toBe(`${v}/segments/${one}-${segment}`);
    expect(rollupKey(volume, n)).toBe(`${v}/rollups/${one}`);
    const hash = "0123456789abcdef".repeat(4) as Hash;
    expect(checkpointKey(volume, n, hash)).toBe(`${v}/checkpoints/${one}-${hash.slice(0, 32)}`);
    expect(floorKey(volume, n)).toBe(`${v}/floor/${one}`);
    expect(configKey(volume, n)).toBe(`${v}/config/${one}`);
    expect(forkKey(volume, someId<VolumeId>(4), n)).toBe(`${v}/forks/${someId<VolumeId>(4)}@${one}`);
    expect(headKey(volume)).toBe(`${v}/head`);
    expect(tagKey("a", 1)).toBe(`tags/a/${one}`);
    expect(commitKey(volume, n).startsWith(commitsPrefix(volume))).toBe(true);
    expect(segmentKey(volume, n, segment).startsWith(segmentsPrefix(volume))).toBe(true);
    expect(tagKey("a", 1).startsWith(tagPrefix("a")) && tagPrefix("a").startsWith(tagsPrefix())).toBe(true);
  });

  it("foreign keys are none of ours", () => {
    const good = commitKey(volume, 7 as Lsn);
    for (const bad of [
      `${good}0`,
      good.slice(0, -1),
      good.toUpperCase(),
      `x${good}`,
      `${commitsPrefix(volume)}ffffffffffffffff`,
    ]) {
      expect(lsnOfCommitKey(bad)).toBeUndefined();
    }
    expect(lsnOfCommitKey(`${commitsPrefix(volume)}0000000000000000`)).toBeUndefined();
    expect(lsnOfCommitKey(`volumes/${"u".repeat(26)}/commits/fffffffffffffffe`)).toBeUndefined();
    expect(parseSegmentKey(good)).toBeUndefined();
    expect(parseTagKey("tags/a/b/fffffffffffffffe")).toBeUndefined();
    expect(parseTagKey("tags/.a/fffffffffffffffe")).toBeUndefined();
    expect(parseTagKey("tags/a/.DS_Store")).toBeUndefined();
  });

  it("tag names", () => {
    for (const good of ["a", "main", "My_db-2.1", "0", "x".repeat(128)])
      expect(checkTagName(good)).toBe(good);
    for (const bad of [
      "",
      "x".repeat(129),
      ".hidden",
      "..",
      "a/b",
      "a b",
      "é",
      "a\n",
      volume,
      volume.toUpperCase(),
    ]) {
      let error: unknown;
      try {
        checkTagName(bad);
      } catch (e) {
        error = e;
      }
      expect(error).toBeInstanceOf(PagefoldError);
      expect((error as PagefoldError).code).toBe("invalid");
      expect((error as PagefoldError).message).toMatch(/use 1 to 128 of/);
    }
  });
});
