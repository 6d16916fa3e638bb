/** The page table against a naive replay of the same commits and shrinks. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { PageSet } from "../../src/format/page-set.ts";
import { PageTable } from "../../src/volume/page-table.ts";
import { testSeed } from "../local/xxh64.ts";

/** Around the edges of chunks of 1024 pages, where mistakes live. */
const page = fc.oneof(
  fc.integer({ min: 1, max: 40 }),
  fc.integer({ min: 1015, max: 1035 }),
  fc.integer({ min: 2040, max: 2060 }),
  fc.integer({ min: 1, max: 4200 }),
);
const run = fc
  .tuple(page, fc.oneof(fc.nat(5), fc.nat(2500)))
  .map(([first, more]) => PageSet.range(first, first + more));
const pages = fc.oneof(
  run,
  fc.array(page, { maxLength: 30 }).map((list) => PageSet.of(list)),
);
const value = fc.oneof(
  fc.integer({ min: 1, max: 50 }),
  fc.integer({ min: -50, max: -1 }),
  fc.constant(2 ** 40),
  fc.constant(-(2 ** 35)),
);
const change = fc.oneof(
  fc.record({ pages, value }),
  fc.record({ truncate: fc.oneof(page, fc.constantFrom(0, 1024, 1025, 2048)) }),
);
type Change = { pages: PageSet; value: number } | { truncate: number };

const PAGES_MOST = 7000;

function naive(history: readonly Change[]): number[] {
  const table = new Array<number>(PAGES_MOST + 1).fill(0);
  for (const step of history) {
    if ("truncate" in step) table.fill(0, step.truncate + 1);
    else for (const each of step.pages) table[each] = step.value;
  }
  return table;
}

function apply(table: PageTable, steps: readonly Change[]): PageTable {
  const editor = table.edit();
  for (const step of steps) {
    if ("truncate" in step) editor.truncate(step.truncate);
    else editor.assign(step.pages, step.value);
  }
  return editor.finish();
}

describe("the page table equals a naive replay", () => {
  it("lookups, runs, byValue and written; and tables made before stay as they were (invariants 1 and 12)", () => {
    fc.assert(
      fc.property(
        fc.array(fc.array(change, { maxLength: 4 }), { maxLength: 8 }),
        page,
        page,
        (edits, a, b) => {
          let table = PageTable.empty;
          const history: Change[] = [];
          const kept: { table: PageTable; expected: number[] }[] = [];
          for (const steps of edits as Change[][]) {
            table = apply(table, steps);
            history.push(...steps);
            kept.push({ table, expected: naive(history) });
          }
          for (const { table: old, expected } of kept) {
            for (let p = 1; p <= PAGES_MOST; p++) {
              if (old.lookup(p) !== expected[p])
                expect.fail(`page ${p}: ${old.lookup(p)}, not ${expected[p]}`);
            }
            const [first, last] = a <= b ? [a, b] : [b, a];
            const runs = [...old.runs(first, last)];
            let next = first;
            for (const [i, each] of runs.entries()) {
              expect(each.first).toBe(next);
              expect(each.last).toBeGreaterThanOrEqual(each.first);
              if (i > 0) expect(each.value, "runs are maximal").not.toBe(runs[i - 1]!.value);
              for (let p = each.first; p <= each.last; p++) {
                if (expected[p] !== each.value)
                  expect.fail(`run of ${each.value} at page ${p}: ${expected[p]}`);
              }
              next = each.last + 1;
            }
            expect(next).toBe(last + 1);
            const written = expected.flatMap((each, p) => (each !== 0 && p <= last ? [p] : []));
            expect(old.written(last).equals(PageSet.of(written))).toBe(true);
            const byValue = old.byValue(last);
            expect([...byValue.values()].reduce((sum, set) => sum + set.size, 0)).toBe(written.length);
            for (const [each, set] of byValue)
              for (const p of set) if (expected[p] !== each) expect.fail(`byValue ${p}`);
          }
        },
      ),
      { seed: testSeed, numRuns: 150 },
    );
  });

  it("an editor goes on being used after finish without changing what it gave", () => {
    const editor = PageTable.empty.edit().assign(PageSet.of([1, 5]), 1);
    const first = editor.finish();
    editor.assign(PageSet.of([5, 1500]), 2);
    const second = editor.finish();
    expect([first.lookup(5), first.lookup(1500), second.lookup(5), second.lookup(1500)]).toEqual([
      1, 0, 2, 2,
    ]);
  });

  it("an empty range has no runs", () => {
    expect([...PageTable.empty.runs(1, 0)]).toEqual([]);
    expect([...PageTable.empty.runs(1, 3)]).toEqual([{ first: 1, last: 3, value: 0 }]);
  });

  it("a volume of five million pages written at once takes next to nothing", () => {
    const table = PageTable.empty.edit().assign(PageSet.range(1, 5_200_000), 7).finish();
    expect([...table.runs(1, 5_200_000)]).toEqual([{ first: 1, last: 5_200_000, value: 7 }]);
    expect(table.lookup(5_200_000)).toBe(7);
    expect(table.lookup(5_200_001)).toBe(0);
  });
});
