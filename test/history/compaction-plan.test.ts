/** What a compaction moves, as the plan says it: tables of cases, and what a workload of random updates costs in the long run. No I/O. */
import { describe, expect, it } from "vitest";
import type { Lsn } from "../../src/base/brand.ts";
import { PageSet } from "../../src/format/page-set.ts";
import {
  type PlanInput,
  type PlanLimits,
  pagesToMove,
  planStep,
  segmentsToRewrite,
} from "../../src/history/compact/compaction-plan.ts";
import { seededRandom, testSeed } from "../local/xxh64.ts";

const limits: PlanLimits = {
  fullPages: 1000,
  deadFraction: 3 / 8,
  fanout: 8,
  stepPages: 500,
  heldPages: 100,
};
const load = (held: number, live = held) => ({ held, live });

describe("which segments are rewritten", () => {
  const cases: [string, { held: number; live: number }[], number, number[]][] = [
    ["nothing where nothing is fresh and all of it lives", [load(1000), load(700)], 0, []],
    ["one with too much that is dead", [load(1000, 625), load(1000, 624)], 0, [1]],
    ["small ones of a lower tier than what is written anyway", [load(60), load(5), load(1000)], 100, [0, 1]],
    ["not one of the same tier", [load(70), load(70)], 100, []],
    [
      "as many of one tier as make one of the next",
      Array.from({ length: 8 }, () => load(70)),
      0,
      [0, 1, 2, 3, 4, 5, 6, 7],
    ],
    [
      "of which what is written counts as one",
      Array.from({ length: 7 }, () => load(70)),
      100,
      [0, 1, 2, 3, 4, 5, 6],
    ],
    ["not those that are half full", Array.from({ length: 9 }, () => load(500)), 1000, []],
  ];
  for (const [what, loads, fresh, chosen] of cases)
    it(what, () => expect(segmentsToRewrite(loads, fresh, limits)).toEqual(chosen));
});

describe("what a step takes", () => {
  const scattered = (...commits: [number, PageSet][]) =>
    new Map(commits.map(([lsn, pages]) => [lsn as Lsn, pages]));
  const nothing: PlanInput = { scattered: new Map(), sorted: PageSet.empty, segments: [], all: false };

  it("whole commits, oldest first, as many as may be held", () => {
    const input = {
      ...nothing,
      scattered: scattered([9, PageSet.range(1, 60)], [3, PageSet.range(500, 559)]),
    };
    const step = planStep(input, limits)!;
    expect(step.scattered.equals(PageSet.range(500, 559))).toBe(true);
    const large = { ...nothing, scattered: scattered([3, PageSet.range(1, 250)]) };
    expect(planStep(large, limits)!.scattered.equals(PageSet.range(1, 100))).toBe(true);
  });

  it("everything in page order, once what is scattered can be held", () => {
    const segments = [{ held: 900, live: PageSet.range(1, 900) }];
    const input = { ...nothing, segments, all: true, scattered: scattered([5, PageSet.range(901, 990)]) };
    const steps: PageSet[] = [];
    let left = PageSet.range(1, 990);
    for (;;) {
      const live = left.intersect(PageSet.range(1, 900));
      const loose = left.intersect(PageSet.range(901, 990));
      const rest = {
        ...input,
        segments: [{ held: 900, live }],
        scattered: loose.isEmpty ? new Map() : scattered([5, loose]),
      };
      const step = planStep(rest, limits);
      if (step === undefined) break;
      expect(step.settled).toBe(true);
      steps.push(step.scattered.union(step.sorted));
      left = left.subtract(steps.at(-1)!);
    }
    expect(steps.map(String)).toEqual(["1-500", "501-990"]);
    const much = { ...input, scattered: scattered([5, PageSet.range(901, 1200)]) };
    expect(planStep(much, limits)).toMatchObject({ settled: false, sorted: PageSet.empty });
    expect(pagesToMove(much, limits)).toBe(1200);
  });

  it("ends, whatever is there, and moves no page twice in a run", () => {
    const random = seededRandom(testSeed);
    for (let run = 0; run < 40; run++) {
      const world = randomInput(random);
      const pages = pagesToMove(world, limits);
      let moved = 0;
      for (let steps = 0; ; steps++) {
        expect(steps).toBeLessThan(200);
        const step = planStep(world, limits);
        if (step === undefined) break;
        const taken = step.scattered.union(step.sorted);
        expect(taken.isEmpty).toBe(false);
        expect(taken.size).toBeLessThanOrEqual(limits.stepPages);
        expect(step.scattered.size).toBeLessThanOrEqual(limits.heldPages);
        expect(taken.size).toBe(step.scattered.size + step.sorted.size);
        if (step.settled) moved += taken.size;
        takeAway(world, taken, step.settled);
      }
      expect([...world.scattered.values()].every((set) => set.isEmpty) && world.sorted.isEmpty).toBe(true);
      if (world.all) expect(moved).toBe(pages);
    }
  });
});

interface World extends PlanInput {
  scattered: Map<Lsn, PageSet>;
  sorted: PageSet;
  segments: { held: number; live: PageSet }[];
}

function randomInput(random: () => number): World {
  const sets: PageSet[] = [];
  let next = 1;
  const some = (most: number): PageSet => {
    const size = 1 + Math.floor(random() * most);
    const set = PageSet.range(next, next + size - 1);
    next += size + Math.floor(random() * 3);
    sets.push(set);
    return set;
  };
  const scattered = new Map<Lsn, PageSet>();
  for (let i = 1; i < random() * 12; i++) scattered.set(i as Lsn, some(80));
  const segments = Array.from({ length: Math.floor(random() * 30) }, () => {
    const live = some(random() < 0.5 ? 30 : 1000);
    return { held: Math.ceil(live.size * (1 + random())), live };
  });
  return { scattered, sorted: random() < 0.5 ? some(900) : PageSet.empty, segments, all: random() < 0.3 };
}

/** As if the step had been done; what is settled takes no part any more, the rest is in a segment. */
function takeAway(world: World, taken: PageSet, settled: boolean): void {
  for (const [lsn, pages] of world.scattered) {
    const rest = pages.subtract(taken);
    if (rest.isEmpty) world.scattered.delete(lsn);
    else world.scattered.set(lsn, rest);
  }
  world.sorted = world.sorted.subtract(taken);
  world.segments = world.segments
    .map(({ held, live }) => ({ held, live: live.subtract(taken) }))
    .filter(({ live }) => !live.isEmpty);
  if (!settled) world.segments.push({ held: taken.size, live: taken });
}

describe("write amplification of random updates, with everything collected that is dead", () => {
  // [pages updated between two compactions, of 40,000; most written per page pushed; most space per live page]
  for (const [batch, most, space] of [
    [10_000, 3.5, 1.25],
    [4_000, 3.8, 1.25],
    [2_000, 4, 1.25],
  ] as const) {
    it(`${batch / 400} % of the pages at a time: at most ${most} times, in ${space} times the space`, () => {
      const { amplification, stored } = simulate(40_000, batch, (8 * 40_000) / batch);
      expect(amplification).toBeLessThanOrEqual(most);
      expect(stored).toBeLessThanOrEqual(space);
    });
  }
});

/** Pages written in all per page pushed, and pages stored per live page on average, once it goes round. */
function simulate(pages: number, batch: number, rounds: number) {
  const random = seededRandom(testSeed);
  const shape = { ...limits, fullPages: 4096 };
  const where = new Int32Array(pages);
  const segments = new Map<number, { held: number; live: Set<number> }>();
  let next = 0;
  const write = (moved: number[]): void => {
    const count = Math.ceil(moved.length / shape.fullPages);
    const size = Math.ceil(moved.length / count);
    const sorted = Uint32Array.from(moved).sort();
    for (let i = 0; i < sorted.length; i += size) {
      const live = new Set(sorted.subarray(i, i + size));
      segments.set(++next, { held: live.size, live });
      for (const page of live) where[page] = next;
    }
  };
  write(Array.from({ length: pages }, (_, page) => page));
  const seen = { pushed: 0, moved: 0, stored: 0, rounds: 0 };
  for (let round = 0; round < rounds; round++) {
    const fresh = new Set<number>();
    for (let i = 0; i < batch; i++) fresh.add(Math.floor(random() * pages));
    for (const page of fresh) {
      const { live } = segments.get(where[page]!)!;
      live.delete(page);
      if (live.size === 0) segments.delete(where[page]!);
    }
    const ids = [...segments.keys()];
    const loads = ids.map((id) => ({ held: segments.get(id)!.held, live: segments.get(id)!.live.size }));
    const moved = [...fresh];
    for (const i of segmentsToRewrite(loads, fresh.size, shape)) {
      moved.push(...segments.get(ids[i]!)!.live);
      segments.delete(ids[i]!);
    }
    write(moved);
    if (round < rounds / 2) continue;
    const held = [...segments.values()].reduce((sum, segment) => sum + segment.held, 0);
    seen.pushed += batch;
    seen.moved += moved.length;
    seen.stored += held / pages;
    seen.rounds++;
  }
  return { amplification: 1 + seen.moved / seen.pushed, stored: seen.stored / seen.rounds };
}
