/** Checkpoint, floor, config: what the history of a volume is kept in. And the check with which objects find damage to themselves. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Lsn, PageIdx, SegmentId, TimeMs } from "../../src/base/brand.ts";
import { PagefoldError } from "../../src/base/errors.ts";
import { ByteWriter } from "../../src/format/bytes.ts";
import {
  CHECKPOINT_START_BYTES,
  checkpointMadeUnder,
  decodeCheckpoint,
  encodeCheckpoint,
  segmentPages,
} from "../../src/format/checkpoint-codec.ts";
import { decodeCommit } from "../../src/format/commit-codec.ts";
import { decodeConfig, encodeConfig, parseSettings } from "../../src/format/config-codec.ts";
import { decodeFloor, encodeFloor } from "../../src/format/floor-codec.ts";
import { LIMITS } from "../../src/format/limits.ts";
import type { Checkpoint, Floor, PlacedSegment } from "../../src/format/model.ts";
import { PageSet } from "../../src/format/page-set.ts";
import { segmentLayout } from "../../src/format/segment-layout.ts";
import { readSelfChecked, withSelfCheck } from "../../src/format/self-check.ts";
import { sampleCheckpoint, sampleConfig, sampleFloor } from "./golden.ts";
import {
  codecs,
  expectEveryDamageNoticed,
  expectTotal,
  property,
  sampleManifest,
  someHash,
  someId,
} from "./support.ts";

const { hash } = codecs;
const { volume } = sampleManifest;
const checkpoint = await sampleCheckpoint();
const header = decodeCommit(checkpoint.header, hash);
const at = { volume, lsn: header.header.lsn };

/** The code and the message of a refusal. */
function refused(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    if (error instanceof PagefoldError) return `${error.code}: ${error.message}`;
    throw error;
  }
  return "accepted";
}

describe("checkpoint", () => {
  /** Writers and places of a state: pages 1 … 12 at most, as the sample's commit has that many. */
  const states = fc
    .record({
      writers: fc.array(fc.tuple(fc.integer({ min: 1, max: 4 }), fc.boolean()), {
        minLength: 12,
        maxLength: 12,
      }),
      places: fc.array(fc.integer({ min: -1, max: 3 }), { minLength: 12, maxLength: 12 }),
      known: fc.boolean(),
      madeUnder: fc.maxSafeNat(),
    })
    .map(({ writers, places, known, madeUnder }): Checkpoint => {
      const pagesOf = (chosen: (i: number) => boolean) =>
        PageSet.of(writers.map((_, i) => i + 1).filter((page) => chosen(page - 1)));
      const written = pagesOf((i) => writers[i]![1]);
      const byLsn = [4, 3, 2, 1].map((lsn) => ({
        lsn: lsn as Lsn,
        hash: known || lsn % 2 === 0 ? someHash(lsn) : undefined,
        pages: pagesOf((i) => writers[i]![1] && writers[i]![0] === lsn),
      }));
      const segments = [0, 1, 2, 3]
        .map((no) => placed(no, pagesOf((i) => places[i] === no).intersect(written)))
        .filter(({ pages }) => !pages.isEmpty);
      return { ...checkpoint, madeUnder, writers: byLsn.filter(({ pages }) => !pages.isEmpty), segments };
    });

  it("round-trips", () => {
    property(states, (state) => {
      const { bytes, hash: proof } = encodeCheckpoint(state, hash);
      const decoded = decodeCheckpoint(bytes, hash, { ...at, hash: proof });
      expect(decoded).toMatchObject({ volume, hash: proof, length: bytes.length });
      expect(decoded.commit.header).toEqual(header.header);
      expect(decoded.writers).toEqual(state.writers);
      expect(decoded.madeUnder).toBe(state.madeUnder);
      expect(checkpointMadeUnder(bytes.subarray(0, CHECKPOINT_START_BYTES), at)).toBe(state.madeUnder);
      expect(decoded.segments).toEqual(state.segments);
      for (const segment of decoded.segments) expect(segmentPages(segment)).toBe(12);
      expect(encodeCheckpoint(decoded, hash)).toEqual({ bytes, hash: proof });
    });
  });

  it("every damage is noticed by its hash, and decoding is total without it", () => {
    const { bytes, hash: proof } = encodeCheckpoint(checkpoint, hash);
    expectEveryDamageNoticed(bytes, (broken) => decodeCheckpoint(broken, hash, { ...at, hash: proof }));
    expectTotal((broken) => decodeCheckpoint(broken, hash, at), [bytes]);
    expectTotal((broken) => checkpointMadeUnder(broken, at), [bytes.subarray(0, CHECKPOINT_START_BYTES)]);
  });

  it("refuses what no state can be", () => {
    const encoded = encodeCheckpoint(checkpoint, hash).bytes;
    expect(refused(() => decodeCheckpoint(encoded, hash, { ...at, lsn: 5 as Lsn }))).toContain("corrupt");
    expect(refused(() => decodeCheckpoint(encoded, hash, { ...at, volume: someId(9) }))).toContain(
      "belongs to",
    );
    const both = { ...checkpoint.writers[0]!, lsn: 1 as Lsn };
    expect(() => encodeCheckpoint({ ...checkpoint, writers: [...checkpoint.writers, both] }, hash)).toThrow(
      "two last writers",
    );
    const nobody = placed(1, PageSet.of([11]));
    const writers = [{ lsn: 4 as Lsn, hash: undefined, pages: PageSet.of([1]) }];
    expect(() => encodeCheckpoint({ ...checkpoint, writers, segments: [nobody] }, hash)).toThrow(
      "nobody wrote",
    );
    const above = [{ lsn: 4 as Lsn, hash: undefined, pages: PageSet.of([13]) }];
    expect(() => encodeCheckpoint({ ...checkpoint, writers: above, segments: [] }, hash)).toThrow(
      "page count",
    );
  });
});

describe("floor", () => {
  const floors = fc
    .record({
      n: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
      gaps: fc.array(fc.tuple(fc.integer({ min: 1, max: 2 ** 40 }), fc.maxSafeNat()), { maxLength: 8 }),
      chosen: fc.nat(),
      time: fc.maxSafeNat(),
      state: fc.constantFrom({}, { raising: true }, { closed: true }),
    })
    .map(({ n, gaps, chosen, time, state }): Floor => {
      let lsn = 0;
      const checkpoints = gaps.map(([gap, when], i) => {
        lsn += gap;
        return { lsn: lsn as Lsn, time: when as TimeMs, hash: someHash(i) };
      });
      const floorLsn = [0 as Lsn, ...checkpoints.map((each) => each.lsn)][chosen % (gaps.length + 1)]!;
      const floor = { volume, n, lsn: floorLsn, time: time as TimeMs, checkpoints, ...state };
      // A closed one keeps nothing.
      return "closed" in state ? { ...floor, lsn: 0 as Lsn, checkpoints: [] } : floor;
    });

  it("round-trips", () => {
    property(floors, (floor) => {
      const bytes = encodeFloor(floor, hash);
      expect(decodeFloor(bytes, hash, floor)).toEqual(floor);
      expect(encodeFloor(decodeFloor(bytes, hash, floor), hash)).toEqual(bytes);
    });
  });

  it("finds every damage to itself, and decoding is total", () => {
    const bytes = encodeFloor(sampleFloor, hash);
    const expected = { volume, n: sampleFloor.n };
    expectEveryDamageNoticed(bytes, (broken) => decodeFloor(broken, hash, expected));
    expectTotal((broken) => decodeFloor(broken, hash, expected), [bytes]);
    // Behind a check that holds, too.
    expectTotal(
      (body) => decodeFloor(withSelfCheck("PFFL", body, hash), hash, expected),
      [bytes.subarray(24)],
    );
  });

  it("is of one volume and number, names a checkpoint at its LSN, and has them in order", () => {
    const bytes = encodeFloor(sampleFloor, hash);
    expect(refused(() => decodeFloor(bytes, hash, { volume, n: sampleFloor.n + 1 }))).toContain("corrupt");
    expect(refused(() => decodeFloor(bytes, hash, { volume: someId(9), n: sampleFloor.n }))).toContain(
      "corrupt",
    );
    expect(() => encodeFloor({ ...sampleFloor, lsn: 3 as Lsn }, hash)).toThrow("no checkpoint at its LSN 3");
    const checkpoints = [...sampleFloor.checkpoints].reverse();
    expect(() => encodeFloor({ ...sampleFloor, checkpoints }, hash)).toThrow("out of order");
  });
});

describe("config", () => {
  it("round-trips, whatever is in it", () => {
    const configs = fc.record({
      n: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
      time: fc.maxSafeNat().map((time) => time as TimeMs),
      text: fc.dictionary(fc.string(), fc.jsonValue()).map((settings) => JSON.stringify(settings)),
    });
    property(configs, (config) => {
      const bytes = encodeConfig({ volume, ...config }, hash);
      expect(decodeConfig(bytes, hash, { volume, n: config.n })).toEqual({ volume, ...config });
    });
  });

  it("finds every damage to itself, and decoding is total", () => {
    const bytes = encodeConfig(sampleConfig, hash);
    const expected = { volume, n: sampleConfig.n };
    expectEveryDamageNoticed(bytes, (broken) => decodeConfig(broken, hash, expected));
    expectTotal((broken) => decodeConfig(broken, hash, expected), [bytes]);
    expectTotal(
      (body) => decodeConfig(withSelfCheck("PFCF", body, hash), hash, expected),
      [bytes.subarray(24)],
    );
  });

  it("holds one JSON object in UTF-8 of bounded length", () => {
    for (const text of ["", "1", "null", "[]", '{"a":', '\ufeff{"a":1}'])
      expect(parseSettings(text)).toBeUndefined();
    const raw = (json: Uint8Array) => {
      const writer = new ByteWriter()
        .bytes(encodeConfig(sampleConfig, hash).subarray(24, 24 + 16))
        .u32(0)
        .u32(0);
      writer.varint(1).varint(0).varint(json.length).bytes(json).varint(0);
      return withSelfCheck("PFCF", writer.finish(), hash);
    };
    const decode = (json: Uint8Array) => refused(() => decodeConfig(raw(json), hash, { volume, n: 1 }));
    expect(decode(new TextEncoder().encode("{}"))).toBe("accepted");
    expect(decode(Uint8Array.of(0x7b, 0xff, 0x7d))).toContain("corrupt");
    expect(decode(Uint8Array.of(0xef, 0xbb, 0xbf, 0x7b, 0x7d))).toContain("corrupt");
    const large = JSON.stringify({ note: "x".repeat(LIMITS.configBytes) });
    expect(refused(() => encodeConfig({ ...sampleConfig, text: large }, hash))).toContain("invalid");
    expect(decode(new TextEncoder().encode(large))).toContain("corrupt");
  });
});

describe("self check", () => {
  it("tells damage, another magic, and later versions apart", () => {
    const body = Uint8Array.of(1, 2, 3);
    const whole = withSelfCheck("PFXX", body, hash, 5);
    const read = (bytes: Uint8Array) => readSelfChecked("PFXX", bytes, hash, "a thing", {});
    expect(read(whole).flags).toBe(5);
    expect([...read(whole).reader.bytes(3, "body")]).toEqual([1, 2, 3]);
    const changed = (offset: number, value: number) => {
      const bytes = whole.slice();
      bytes[offset] = value;
      return refused(() => read(bytes));
    };
    expect(changed(0, 0)).toContain("corrupt");
    expect(changed(4, 2)).toContain("unsupported_version");
    expect(changed(8, whole[8]! ^ 1)).toContain("its own check");
    expect(changed(6, 4), "flags, too").toContain("its own check");
    expect(changed(26, 9)).toContain("its own check");
    for (let length = 0; length < 24; length++)
      expect(refused(() => read(whole.subarray(0, length)))).toContain("corrupt");
  });
});

/** A segment that holds pages 1 … 12, of which these are read from it. */
function placed(no: number, pages: PageSet): PlacedSegment {
  const layout = segmentLayout(false, 4000, 300, 12)!;
  return {
    volume,
    kind: no % 2 === 0 ? "commit" : "compacted",
    number: no % 2 === 0 ? no + 1 : no,
    id: someId<SegmentId>(50 + no),
    ref: {
      id: someId<SegmentId>(50 + no),
      firstPage: 1 as PageIdx,
      lastPage: 12 as PageIdx,
      length: 4000,
      index: layout.index,
      indexHash: someHash(60 + no),
      digests: layout.digests,
      digestsHash: someHash(70 + no),
    },
    pages,
  };
}
