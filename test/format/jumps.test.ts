import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Lsn } from "../../src/base/brand.ts";
import { bandInterval, pathDown, trailingPowers } from "../../src/format/jumps.ts";
import { property, randomSource, SEED } from "./support.ts";

const path = (from: number, to: number, maxStep?: (lsn: number) => number) =>
  pathDown(from as Lsn, to as Lsn, maxStep);

describe("jumps", () => {
  it("trailingPowers is exact up to 2^53", () => {
    for (let k = 0; k < 53; k++) {
      expect(trailingPowers(2 ** k)).toBe(k);
      if (k < 51) expect(trailingPowers(3 * 2 ** k)).toBe(k);
    }
    expect(trailingPowers(Number.MAX_SAFE_INTEGER)).toBe(0);
    expect(() => trailingPowers(0)).toThrow(/LSN of 0/);
  });

  it("each step divides its LSN, steps follow one another, and they end exactly at the goal", () => {
    property(
      fc.tuple(fc.nat(2 ** 40), fc.nat(2 ** 40), fc.nat(3)),
      ([x, y, most]) => {
        const [to, from] = [Math.min(x, y), Math.max(x, y)];
        // Only commits whose bands are missing are stepped over slowly: a short way here.
        const limit = most === 3 ? undefined : (lsn: number) => (lsn > to + 200 ? 64 : most);
        let at = from;
        for (const { lsn, step } of path(from, to, limit)) {
          expect(lsn).toBe(at);
          expect(lsn % 2 ** step).toBe(0);
          expect(step).toBeLessThanOrEqual(trailingPowers(lsn));
          if (limit !== undefined) expect(step).toBeLessThanOrEqual(limit(lsn));
          at -= 2 ** step;
        }
        expect(at).toBe(to);
      },
      500,
    );
    expect(path(5, 5)).toEqual([]);
    expect(path(12, 3)).toEqual([
      { lsn: 12, step: 2 },
      { lsn: 8, step: 2 },
      { lsn: 4, step: 0 },
    ]);
  });

  it("bands of a commit and the commit itself tile the interval of each of its steps", () => {
    for (const lsn of [2, 8, 12, 96, 1024]) {
      let top = lsn - 1;
      for (let j = 1; j <= trailingPowers(lsn); j++) {
        const { from, to } = bandInterval(lsn as Lsn, j);
        expect(to).toBe(top);
        expect(from).toBe(lsn - 2 ** j);
        top = from;
      }
    }
    expect(() => bandInterval(6 as Lsn, 2)).toThrow(/band 2 of LSN 6/);
  });

  it("worst ways: catching up to the newest of n commits, and between any two", () => {
    // The length of a greedy way from b down to a depends on the bits alone: at most 2 * log2.
    const newest: number[] = [];
    const between: number[] = [];
    for (const n of [100, 10_000, 100_000, 1_000_000]) {
      let worst = 0;
      const stride = n > 10_000 ? 7 : 1;
      for (let a = 0; a < n; a += stride) worst = Math.max(worst, path(n, a).length);
      newest.push(worst);
      const next = randomSource(SEED);
      let worstPair = 0;
      for (let i = 0; i < 100_000; i++) {
        const b = 1 + Math.floor(next() * n);
        worstPair = Math.max(worstPair, path(b, Math.floor(next() * b)).length);
      }
      // The worst pairs: many ones to clear on the way down, then as many powers of two to the goal.
      for (let k = 1; 2 ** k - 1 <= n; k++) {
        worstPair = Math.max(worstPair, path(2 ** k - 1, 1).length);
        if (1.5 * 2 ** k - 1 <= n) worstPair = Math.max(worstPair, path(1.5 * 2 ** k - 1, 1).length);
      }
      between.push(worstPair);
      expect(worstPair).toBeLessThanOrEqual(2 * Math.log2(n));
    }
    for (const [i, most] of [9, 18, 22, 26].entries()) expect(newest[i]).toBeLessThanOrEqual(most);
    expect(between).toEqual([11, 24, 31, 37]);
  });
});
