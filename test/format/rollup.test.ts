import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Lsn, PageCount } from "../../src/base/brand.ts";
import { corruptError } from "../../src/format/bytes.ts";
import { bandInterval, trailingPowers } from "../../src/format/jumps.ts";
import type { CommitHeader, Rollup } from "../../src/format/model.ts";
import { PageSet } from "../../src/format/page-set.ts";
import {
  decodeRollup,
  encodeRollup,
  mergeRollups,
  rollupOfCommit,
  rollupPages,
} from "../../src/format/rollup-codec.ts";
import {
  codecs,
  expectEveryDamageNoticed,
  expectTotal,
  property,
  sampleCommit,
  sampleRollup,
  smallPageSet,
  someHash,
} from "./support.ts";

interface Change {
  readonly pages: PageSet;
  readonly pageCount: number;
  readonly lowest: number;
}

const base = (await sampleCommit()).header;

/** Commit headers of a made-up history: each drops to `lowest` pages, grows to `pageCount` and writes `pages`. */
function history(changes: readonly Change[]): { header: CommitHeader; rollup: Rollup }[] {
  return changes.map(({ pages, pageCount, lowest }, i) => {
    const written = pages.clampTo(pageCount);
    const half = written.slice(0, Math.floor(written.size / 2));
    const header: CommitHeader = {
      ...base,
      lsn: (i + 1) as Lsn,
      pageCount: pageCount as PageCount,
      lowestPageCount: Math.min(lowest, pageCount) as PageCount,
      changed: half,
      zeroed: written.subtract(half),
    };
    return { header, rollup: rollupOfCommit(header, someHash(i + 1)) };
  });
}

/** page -> last writer in (from, to], by replaying every commit; and the lowest page count on the way. */
function replay(commits: readonly { header: CommitHeader }[], from: number, to: number) {
  const writers = new Map<number, number>();
  let lowest = Number.POSITIVE_INFINITY;
  for (const { header } of commits.slice(from, to)) {
    lowest = Math.min(lowest, header.lowestPageCount);
    for (const page of writers.keys()) if (page > header.lowestPageCount) writers.delete(page);
    for (const page of [...header.changed, ...header.zeroed]) writers.set(page, header.lsn);
  }
  return { writers, lowest };
}

function expectSame(rollup: Rollup, commits: readonly { header: CommitHeader }[]): void {
  const { writers, lowest } = replay(commits, rollup.from, rollup.to);
  const found = new Map<number, number>();
  for (const writer of rollup.writers) {
    expect(writer.hash).toBe(someHash(writer.lsn));
    expect(writer.pages.isEmpty).toBe(false);
    for (const page of writer.pages) found.set(page, writer.lsn);
  }
  expect([...found].sort(([a], [b]) => a - b)).toEqual([...writers].sort(([a], [b]) => a - b));
  expect(rollup.lowestPageCount).toBe(lowest);
  expect([...rollupPages(rollup)]).toEqual([...writers.keys()].sort((a, b) => a - b));
  const lsns = rollup.writers.map((writer) => writer.lsn);
  expect(lsns).toEqual([...lsns].sort((a, b) => b - a));
}

const changes = fc.array(
  fc.record({
    pages: smallPageSet(120),
    pageCount: fc.integer({ min: 0, max: 130 }),
    lowest: fc.integer({ min: 0, max: 130 }),
  }),
  { minLength: 1, maxLength: 20 },
);

describe("rollups", () => {
  it("merging, in any grouping, equals replaying commit by commit (invariant 12: shrink then grow)", () => {
    property(
      fc.tuple(changes, fc.array(fc.nat(100), { minLength: 20, maxLength: 20 })),
      ([list, picks]) => {
        const commits = history(list);
        const rollups = commits.map(({ rollup }) => rollup);
        for (let k = 0; rollups.length > 1; k++) {
          const at = picks[k]! % (rollups.length - 1);
          rollups.splice(at, 2, mergeRollups(rollups[at]!, rollups[at + 1]!));
          expectSame(rollups[at]!, commits);
        }
        const whole = rollups[0]!;
        expect(whole).toMatchObject({ from: 0, to: list.length });
        expectSame(decodeRollup(encodeRollup(whole), whole), commits);
      },
      150,
    );
  });

  it("bands newest first: a prefix of them serves every power of two, built from the chain's own rollups", () => {
    property(
      changes,
      (list) => {
        const commits = history(list);
        const own = (lsn: number): Rollup => commits[lsn - 1]!.rollup;
        // full(m): the rollup of (m - 2^k, m], k as large as divides m: what a writer keeps.
        const full = (lsn: number, powers = trailingPowers(lsn)): Rollup => {
          let rollup = own(lsn);
          for (let j = 1; j <= powers; j++) {
            const { from, to } = bandInterval(lsn as Lsn, j);
            const band = full(to, j - 1);
            expect([band.from, band.to]).toEqual([from, to]);
            rollup = mergeRollups(band, rollup);
          }
          return rollup;
        };
        for (let lsn = 1; lsn <= list.length; lsn++) {
          for (let k = 0; k <= trailingPowers(lsn); k++) expectSame(full(lsn, k), commits);
        }
      },
      60,
    );
  });

  it("round-trips; every damage is noticed, by decoding or by its hash", () => {
    const rollup = sampleRollup(8, 12);
    const valid = encodeRollup(rollup);
    expect(decodeRollup(valid, rollup)).toEqual(rollup);
    const proof = codecs.hash.blake3(valid);
    expectEveryDamageNoticed(valid, (bytes) => {
      decodeRollup(bytes, rollup);
      if (codecs.hash.blake3(bytes) !== proof) throw corruptError("a rollup", "hash");
    });
    expectTotal(
      (bytes) => {
        const back = decodeRollup(bytes, rollup);
        expect(encodeRollup(back)).toEqual(bytes);
        expect(PageSet.areDisjoint(back.writers.map((writer) => writer.pages))).toBe(true);
      },
      [valid],
    );
    const empty: Rollup = { from: 3 as Lsn, to: 4 as Lsn, lowestPageCount: 0 as PageCount, writers: [] };
    expect(decodeRollup(encodeRollup(empty), empty)).toEqual(empty);
  });

  it("refuses writers from before the first commit, shared pages, false claims", () => {
    const rollup = sampleRollup(8, 12);
    const bytes = encodeRollup(rollup);
    const at = (from: number, to: number) => () => decodeRollup(bytes, { from: from as Lsn, to: to as Lsn });
    expect(at(0, 3)).toThrow(/more than 3/);
    const oldest = encodeRollup({ ...rollup, writers: rollup.writers.slice(-1) });
    // Its writer is told as 3 below the end of the run.
    expect(decodeRollup(oldest, { from: 3 as Lsn, to: 4 as Lsn }).writers[0]!.lsn).toBe(1);
    expect(() => decodeRollup(oldest, { from: 2 as Lsn, to: 3 as Lsn })).toThrow(/before the first commit/);
    const [a, b] = rollup.writers;
    const shared = encodeRollup({
      ...rollup,
      writers: [a!, { ...b!, pages: PageSet.of([2, a!.pages.first!]) }],
    });
    expect(() => decodeRollup(shared, rollup)).toThrow(/two last writers/);
    expect(() => decodeRollup(Uint8Array.of(0xb1, 3, 4), rollup)).toThrow(
      /more writers than there are bytes/,
    );
    expect(() => decodeRollup(Uint8Array.of(0xb1, 3, 13), rollup)).toThrow(/more than 12/);
    expect(() => mergeRollups(rollup, rollup)).toThrow(/not adjacent/);
  });

  it("merges large rollups without going quadratic", () => {
    const random = (lsn: number) =>
      PageSet.of(Array.from({ length: 20 }, (_, i) => 1 + ((lsn * 7919 + i * 104_729) % 1_000_003)));
    let rollups = Array.from({ length: 8192 }, (_, i) => {
      const header = {
        ...base,
        lsn: (i + 1) as Lsn,
        lowestPageCount: 2_000_000 as PageCount,
        changed: random(i),
        zeroed: PageSet.empty,
      };
      return rollupOfCommit(header, someHash(i));
    });
    const start = performance.now();
    while (rollups.length > 1) {
      const next: Rollup[] = [];
      for (let i = 0; i < rollups.length; i += 2) next.push(mergeRollups(rollups[i]!, rollups[i + 1]!));
      rollups = next;
    }
    const whole = rollups[0]!;
    decodeRollup(encodeRollup(whole), whole);
    // About 1 s here; quadratic work would take minutes.
    expect(performance.now() - start).toBeLessThan(20_000);
    expect(rollupPages(whole).size).toBeGreaterThan(100_000);
  });
});
