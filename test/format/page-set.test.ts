import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { MAX_PAGE_COUNT } from "../../src/base/brand.ts";
import { PageSet, PageSetBuilder } from "../../src/format/page-set.ts";
import { decodePageSet, encodePageSet } from "../../src/format/page-set-codec.ts";
import { expectTotal, property, smallPageSet } from "./support.ts";

const sorted = (pages: Iterable<number>): number[] => [...pages].sort((a, b) => a - b);

describe("page sets against a plain Set", () => {
  it("union, subtract, intersect, clampTo, disjointness", () => {
    property(
      fc.tuple(smallPageSet(), smallPageSet(), fc.nat(320)),
      ([a, b, limit]) => {
        const left = new Set<number>(a);
        const right = new Set<number>(b);
        expect([...a.union(b)]).toEqual(sorted(new Set([...left, ...right])));
        expect([...a.subtract(b)]).toEqual(sorted([...left].filter((p) => !right.has(p))));
        expect([...a.intersect(b)]).toEqual(sorted([...left].filter((p) => right.has(p))));
        expect([...a.clampTo(limit)]).toEqual(sorted([...left].filter((p) => p <= limit)));
        expect(PageSet.areDisjoint([a, b])).toBe(a.intersect(b).isEmpty);
        expect(a.equals(b)).toBe(sorted(left).join() === sorted(right).join());
      },
      1000,
    );
  });

  it("small sets against large ones (galloping)", () => {
    const large = PageSet.of(Array.from({ length: 20_000 }, (_, i) => 3 * i + 1));
    property(
      smallPageSet(60_000),
      (small) => {
        const pages = [...small];
        expect([...small.subtract(large)]).toEqual(pages.filter((p) => p % 3 !== 1));
        expect([...small.intersect(large)]).toEqual(pages.filter((p) => p % 3 === 1));
        expect([...large.intersect(small)]).toEqual(pages.filter((p) => p % 3 === 1));
        expect(large.subtract(small).size).toBe(20_000 - small.intersect(large).size);
      },
      100,
    );
  });

  it("unionAll of many sets, which may overlap", () => {
    property(fc.array(smallPageSet(), { maxLength: 8 }), (sets) => {
      expect([...PageSet.unionAll(sets)]).toEqual(sorted(new Set(sets.flatMap((set) => [...set]))));
      const total = sets.reduce((sum, set) => sum + set.size, 0);
      expect(PageSet.areDisjoint(sets)).toBe(total === PageSet.unionAll(sets).size);
    });
  });

  it("unionAll and disjointness, whether the runs lie close or far apart", () => {
    const runs = fc.array(fc.tuple(fc.nat(3000), fc.nat(80)), { maxLength: 40 });
    const far = fc.constantFrom(0, 10_000_000, MAX_PAGE_COUNT - 3100);
    property(
      fc.tuple(fc.array(runs, { maxLength: 5 }), far),
      ([drawn, offset]) => {
        const sets = drawn.map((each, i) => {
          const builder = new PageSetBuilder();
          // Every other set far away from the rest.
          const base = i % 2 === 0 ? 1 : 1 + offset;
          let last = 0;
          for (const [at, length] of [...each].sort(([a], [b]) => a - b)) {
            if (base + at <= last) continue;
            last = base + at + length;
            builder.addRun(base + at, last);
          }
          return builder.build();
        });
        const plain = new Set(sets.flatMap((set) => [...set]));
        const union = PageSet.unionAll(sets);
        expect([...union]).toEqual(sorted(plain));
        expect(union.equals(PageSet.of(plain))).toBe(true);
        const total = sets.reduce((sum, set) => sum + set.size, 0);
        expect(PageSet.areDisjoint(sets)).toBe(total === plain.size);
      },
      300,
    );
  });

  it("has, rankOf, at, slice, runs", () => {
    property(fc.tuple(smallPageSet(), fc.nat(70), fc.nat(70)), ([set, x, y]) => {
      const pages = [...set];
      expect(set.size).toBe(pages.length);
      expect(set.first).toBe(pages[0]);
      expect(set.last).toBe(pages.at(-1));
      for (let p = 0; p <= 302; p++) {
        expect(set.rankOf(p)).toBe(pages.indexOf(p as never));
        expect(set.has(p)).toBe(pages.includes(p as never));
      }
      for (const [rank, p] of pages.entries()) expect(set.at(rank)).toBe(p);
      const [from, to] = [Math.min(x, y), Math.max(x, y)];
      expect([...set.slice(from, to)]).toEqual(pages.slice(from, to));
      expect([...set.runs()].flatMap(({ first, last }) => [...PageSet.range(first, last)])).toEqual(pages);
      for (let i = 0; i < set.runCount; i++) {
        expect(set.run(i)).toEqual({ first: set.runFirst(i), last: set.runLast(i) });
      }
    });
  });

  it("the builder melts neighbours and refuses disorder", () => {
    const set = new PageSetBuilder().add(3).add(4).mergeRun(4, 9).addRun(11, 12).build();
    expect(set.toString()).toBe("3-9, 11-12");
    expect(() => new PageSetBuilder().addRun(5, 6).addRun(6, 7)).toThrow(/out of order/);
    expect(() => new PageSetBuilder().add(0)).toThrow(/bad page run/);
    expect(() => new PageSetBuilder().add(MAX_PAGE_COUNT + 1)).toThrow(/bad page run/);
    expect(PageSet.range(MAX_PAGE_COUNT, MAX_PAGE_COUNT).size).toBe(1);
  });
});

describe("page set codec", () => {
  it("round-trips, and equal sets have equal bytes", () => {
    property(
      fc.oneof(smallPageSet(), smallPageSet(MAX_PAGE_COUNT), smallPageSet(5000)),
      (set) => {
        const bytes = encodePageSet(set);
        const back = decodePageSet(bytes);
        expect(back.equals(set)).toBe(true);
        expect(encodePageSet(PageSet.of([...set].reverse()))).toEqual(bytes);
      },
      1000,
    );
  });

  it("canonical: whatever decodes encodes to the same bytes", () => {
    const seeds = [
      PageSet.of([1, 5, 9, 10, 11, 40]),
      PageSet.of([2, 4, 5, 7, 9, 11, 13, 14, 16, 18, 20, 23]),
    ];
    expectTotal(
      (bytes) => expect(encodePageSet(decodePageSet(bytes))).toEqual(bytes),
      seeds.map(encodePageSet),
    );
  });

  it("is as small as promised", () => {
    expect(encodePageSet(PageSet.empty).length).toBe(1);
    expect(encodePageSet(PageSet.range(1, 16_000)).length).toBeLessThanOrEqual(4);
    expect(encodePageSet(PageSet.range(1, 5_200_000)).length).toBeLessThanOrEqual(6);
    const random = PageSet.of(Array.from({ length: 5000 }, (_, i) => 1 + i * 1000 + ((i * 7919) % 900)));
    expect(encodePageSet(random).length).toBeLessThanOrEqual(2 * 5000 + 8);
    const everyOther = PageSet.of(Array.from({ length: 8000 }, (_, i) => 2 * i + 1));
    expect(encodePageSet(everyOther).length).toBeLessThanOrEqual(2000 + 8);
  });

  it("rejects pages past the limit, the longer form, false claims", () => {
    const refuse = (...bytes: number[]) =>
      expect(() => decodePageSet(Uint8Array.from(bytes))).toThrow(/damaged/);
    expect(() => decodePageSet(encodePageSet(PageSet.of([9])), { maxPage: 8 })).toThrow(/past 8/);
    expect(() => decodePageSet(encodePageSet(PageSet.of([1, 3, 4, 6, 8, 9])), { maxPage: 8 })).toThrow(
      /past 8/,
    );
    refuse(3, 0, 1); // one page as a bitmap
    refuse(1); // a bitmap of no bytes
    refuse(255, 255, 255, 255, 15, 0, 1); // a bitmap larger than its bytes
    refuse(254, 255, 255, 255, 15, 0); // more runs than bytes
    refuse(2, 254, 255, 255, 255, 31); // page 2^32 and above
    refuse(10, 0, 0, 0, 0, 0); // five lonely pages that a bitmap of two bytes says shorter: 1 3 5 7 9
    expect([...decodePageSet(Uint8Array.of(5, 0, 0b0101_0101, 1))]).toEqual([1, 3, 5, 7, 9]);
  });
});
