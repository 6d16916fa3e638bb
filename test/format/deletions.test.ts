/** Values of the series `deleted/` and `leases/`: small objects that stand alone. */
import { describe, expect, it } from "vitest";
import type { TimeMs } from "../../src/base/brand.ts";
import { isPagefoldError } from "../../src/base/errors.ts";
import { type DeletedValue, decodeDeleted, encodeDeleted } from "../../src/format/deleted-codec.ts";
import { decodeLease, encodeLease, LEASE_BYTES_MOST, type LeaseValue } from "../../src/format/lease-codec.ts";
import { encodeManifest } from "../../src/format/manifest-codec.ts";
import { codecs, expectEveryDamageNoticed, expectTotal, sampleManifest, someId } from "./support.ts";

const { hash } = codecs;
const manifest = encodeManifest(sampleManifest, hash);
const time = 1_760_000_000_000 as TimeMs;

describe("deleted volume", () => {
  const values: readonly DeletedValue[] = [
    { act: "deleted", time, manifest, tags: [] },
    { act: "undeleted", time, manifest, tags: ["docs"] },
    { act: "purging", time, manifest, tags: ["A.b-c_d", "docs", "docs2", "x".repeat(128)] },
  ];

  it("round-trips, and notices every damage", () => {
    for (const value of values) {
      const bytes = encodeDeleted(value, hash);
      expect(decodeDeleted(bytes, hash)).toEqual(value);
      expectEveryDamageNoticed(bytes, (damaged) => decodeDeleted(damaged, hash));
    }
    expectTotal(
      (bytes) => decodeDeleted(bytes, hash),
      values.map((value) => encodeDeleted(value, hash)),
    );
  });

  it("refuses tags that are none, out of order or too many", () => {
    for (const tags of [["b", "a"], ["a", "a"], [".a"], ["a/b"], [""], [sampleManifest.volume]]) {
      expect(() => encodeDeleted({ act: "deleted", time, manifest, tags }, hash)).toThrow();
    }
    const many = Array.from({ length: 10_001 }, (_, i) => `t${String(i).padStart(6, "0")}`);
    const error = (() => {
      try {
        return encodeDeleted({ act: "deleted", time, manifest, tags: many }, hash);
      } catch (thrown) {
        return thrown;
      }
    })();
    expect(isPagefoldError(error, "invalid")).toBe(true);
  });
});

describe("lease", () => {
  const holder: string = someId(4);
  const values: readonly LeaseValue[] = [
    { holder, until: time, released: false, what: "g" },
    { holder, until: time, released: true, what: "compact ~ 1".padEnd(64, ".") },
  ];

  it("round-trips, and notices every damage", () => {
    for (const value of values) {
      const bytes = encodeLease(value, hash);
      expect(bytes.length).toBeLessThanOrEqual(LEASE_BYTES_MOST);
      expect(decodeLease(bytes, hash)).toEqual(value);
      expectEveryDamageNoticed(bytes, (damaged) => decodeLease(damaged, hash));
    }
    expectTotal(
      (bytes) => decodeLease(bytes, hash),
      values.map((value) => encodeLease(value, hash)),
    );
  });

  it("needs a name for the work", () => {
    for (const what of ["", "ä", "x".repeat(65)]) {
      expect(() => encodeLease({ holder, until: time, released: false, what }, hash)).toThrow();
    }
  });
});
