/** The list of local commits against plain arrays, what several of them amount to, and what one of very many costs. */
import fc from "fast-check";
import { afterEach, describe, expect, it, vi } from "vitest";
import type { PageCount, TimeMs } from "../../src/base/brand.ts";
import { PageSet } from "../../src/format/page-set.ts";
import { MemoryObjectStore } from "../../src/remote/memory-store.ts";
import { LocalCommits, mergeCommits } from "../../src/volume/local-commits.ts";
import { PageTable } from "../../src/volume/page-table.ts";
import { type LocalCommit, overlay } from "../../src/volume/replica.ts";
import { seededRandom } from "../local/xxh64.ts";
import { expectSame, openStore, testSeed, textBytes } from "../store/support.ts";

afterEach(() => {
  vi.restoreAllMocks();
});

function commitOf(sequence: number, parts: Partial<LocalCommit> = {}): LocalCommit {
  return {
    sequence,
    key: sequence,
    pageCount: 100 as PageCount,
    lowestPageCount: 100 as PageCount,
    byteLength: 100 * 512,
    time: 0 as TimeMs,
    zeroed: PageSet.empty,
    batches: [],
    changed: PageSet.empty,
    ...parts,
  };
}

describe("the list of local commits", () => {
  const step = fc.oneof(
    { weight: 4, arbitrary: fc.record({ add: fc.nat(20) }) },
    fc.record({ after: fc.nat(20), sequence: fc.nat(30) }),
    fc.record({ through: fc.nat(20), sequence: fc.nat(30) }),
  );
  type Step = { add: number } | { after: number; sequence: number } | { through: number; sequence: number };

  it("invariant 1: whatever is made of a list, it stays as it was", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const lists: { list: LocalCommits; model: LocalCommit[] }[] = [
          { list: LocalCommits.none, model: [] },
        ];
        const pick = (n: number) => lists[lists.length - 1 - (n % lists.length)]!;
        for (const each of steps as Step[]) {
          if ("add" in each) {
            const { list, model } = pick(each.add);
            // After an empty list any number may come next.
            const commit = commitOf((model.at(-1)?.sequence ?? each.add) + 1);
            lists.push({ list: list.with(commit), model: [...model, commit] });
          } else if ("after" in each) {
            const { list, model } = pick(each.after);
            const rest = model.filter(({ sequence }) => sequence > each.sequence);
            lists.push({ list: list.after(each.sequence), model: rest });
          } else {
            const { list, model } = pick(each.through);
            const rest = model.filter(({ sequence }) => sequence <= each.sequence);
            lists.push({ list: list.through(each.sequence), model: rest });
          }
        }
        for (const { list, model } of lists) {
          expect([...list]).toEqual(model);
          expect(list.length).toBe(model.length);
          expect(list.last).toBe(model.at(-1));
          for (let n = -1; n < 60; n++) {
            expect(list.bySequence(n)).toBe(model.find(({ sequence }) => sequence === n));
          }
        }
      }),
      { seed: testSeed, numRuns: 300 },
    );
  });
});

describe("what several local commits amount to", () => {
  const page = fc.oneof(fc.integer({ min: 1, max: 30 }), fc.integer({ min: 1020, max: 1030 }));
  const pages = fc.oneof(
    fc.array(page, { maxLength: 8 }).map((list) => PageSet.of(list)),
    fc.tuple(page, fc.nat(12)).map(([first, more]) => PageSet.range(first, first + more)),
  );
  const commit = fc.record({ changed: pages, zeroed: pages, pageCount: fc.nat(1040), lowest: fc.nat(1040) });

  it("invariant 12: is what applying one after the other gives", () => {
    fc.assert(
      fc.property(fc.array(commit, { minLength: 1, maxLength: 8 }), fc.nat(40), (drafts, before) => {
        const commits: LocalCommit[] = [];
        const naive = new Map<number, "changed" | "zeroed">();
        let pageCount = 1040;
        for (const draft of drafts) {
          const lowestPageCount = Math.min(draft.lowest, draft.pageCount, pageCount) as PageCount;
          pageCount = draft.pageCount;
          const zeroed = draft.zeroed.clampTo(pageCount);
          const changed = draft.changed.clampTo(pageCount).subtract(zeroed);
          const shape = { pageCount: pageCount as PageCount, lowestPageCount };
          commits.push(commitOf(before + commits.length + 1, { changed, zeroed, ...shape }));
          for (const each of naive.keys()) if (each > lowestPageCount) naive.delete(each);
          for (const each of changed) naive.set(each, "changed");
          for (const each of zeroed) naive.set(each, "zeroed");
        }
        for (const each of naive.keys()) if (each > pageCount) naive.delete(each);
        const base = PageTable.empty.edit().assign(PageSet.range(1, 1040), 7).finish();
        const list = commits.reduce((sum, each) => sum.with(each), LocalCommits.none);
        const merged = mergeCommits(list, overlay(base, list))!;
        const named = (kind: string) => [...naive].filter(([, k]) => k === kind).map(([p]) => p);
        expect([...merged.changed]).toEqual(named("changed").sort((a, b) => a - b));
        expect([...merged.zeroed]).toEqual(named("zeroed").sort((a, b) => a - b));
        expect(merged.last).toBe(commits.at(-1));
        expect(merged.lowestPageCount).toBe(Math.min(...commits.map((each) => each.lowestPageCount)));
      }),
      { seed: testSeed, numRuns: 300 },
    );
  });
});

/** Counts the array elements that are copied while some work is done. */
function countCopies(): { take(): number } {
  let copied = 0;
  for (const prototype of [Array.prototype, Int32Array.prototype, Float64Array.prototype]) {
    const slice: (this: unknown, ...args: unknown[]) => { length: number } = prototype.slice as never;
    vi.spyOn(prototype, "slice" as never).mockImplementation(function (this: unknown, ...args: unknown[]) {
      const result = slice.apply(this, args);
      copied += result.length;
      return result;
    } as never);
  }
  return {
    take: () => {
      const count = copied;
      copied = 0;
      return count;
    },
  };
}

describe("very many local commits", () => {
  const PAGE = 512;
  const COMMITS = 20_000;
  const PAGES = 3000;

  it("each costs the same, and one push sends what they amount to", async () => {
    const objects = new MemoryObjectStore();
    const store = await openStore(objects, { settings: { durability: "relaxed" } });
    const volume = await store.createVolume({ pageSize: PAGE });
    const random = seededRandom(testSeed);
    const expected = new Uint8Array(PAGES * PAGE);
    await volume.truncate(expected.length);
    const copies = countCopies();
    const walks = vi.spyOn(LocalCommits.prototype, Symbol.iterator);
    const costs: number[] = [];
    let held: { snapshot: ReturnType<typeof volume.snapshot>; bytes: Uint8Array } | undefined;
    for (let i = 1; i <= COMMITS; i++) {
      const page = Math.floor(random() * PAGES);
      const bytes = textBytes(PAGE, i);
      bytes[0] = i % 251;
      const transaction = await volume.begin();
      transaction.writePage(page + 1, bytes);
      transaction.commit();
      expected.set(bytes, page * PAGE);
      if (i === COMMITS / 2) held = { snapshot: volume.snapshot(), bytes: expected.slice() };
      if (i % 4000 === 0) costs.push(copies.take());
    }
    expect(walks, "no commit looks at all those before it").not.toHaveBeenCalled();
    vi.restoreAllMocks();
    expect(Math.max(...costs) / Math.min(...costs), `copied: ${costs}`).toBeLessThan(1.1);
    expect(volume.status().ahead).toBe(COMMITS + 1);
    expectSame(await volume.read(0, 1e9), expected, "local commits");
    const { commits, changedPages } = await volume.push();
    expect(commits).toBe(COMMITS + 1);
    expect(changedPages).toBeLessThanOrEqual(PAGES);
    expect(volume.status()).toMatchObject({ state: "clean", lsn: 1 });
    expectSame(await held!.snapshot.read(0, 1e9), held!.bytes, "invariant 1: a snapshot of half of them");
    held!.snapshot.close();
    const clone = await (await openStore(objects)).volume(volume.id);
    expectSame(await clone.read(0, 1e9), expected, "a clone");
  }, 60_000);
});
