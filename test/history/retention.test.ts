/** Retention: spans of time, policies, the settings that hold them, and the plan of what is kept, whatever the times of commits are. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Lsn, TimeMs } from "../../src/base/brand.ts";
import { bucketOf } from "../../src/history/keep/buckets.ts";
import { parseDuration } from "../../src/history/keep/duration.ts";
import { PERIODS, type RetentionPolicy, retentionRules } from "../../src/history/keep/retention.ts";
import { type CommitTime, planRetention, type RetentionPlan } from "../../src/history/keep/retention-plan.ts";
import { MemoryObjectStore } from "../../src/remote/memory-store.ts";
import { property, SEED } from "../format/support.ts";
import { wantsMore } from "../more.ts";
import { failure, openStore, textBytes } from "../store/support.ts";

const HOUR = 3_600_000;
const DAY = 24 * HOUR;

describe("a span of time", () => {
  it("is a whole number with a unit, or milliseconds", () => {
    const spans: [unknown, number][] = [
      ["90m", 90 * 60_000],
      ["24h", DAY],
      ["7d", 7 * DAY],
      ["4w", 28 * DAY],
      ["1y", 365 * DAY],
      ["30s", 30_000],
      ["250ms", 250],
      ["1500", 1500],
      [1500, 1500],
      [0, 0],
    ];
    for (const [text, ms] of spans) expect(parseDuration(text, "a span")).toBe(ms);
    for (const wrong of [
      "",
      "h",
      "-1h",
      "1.5h",
      "1 fortnight",
      "1e3",
      "9007199254740992y",
      -1,
      1.5,
      Number.NaN,
      null,
    ]) {
      expect(() => parseDuration(wrong, "the span"), String(wrong)).toThrow("the span of");
    }
  });
});

describe("a policy", () => {
  it("without a span keeps everything", () => {
    expect(retentionRules({}).allMs).toBe(Number.POSITIVE_INFINITY);
    expect(retentionRules({ keep: [3] }).allMs).toBe(Number.POSITIVE_INFINITY);
    expect(retentionRules({ all: "forever", daily: "30d" }).allMs).toBe(Number.POSITIVE_INFINITY);
    expect(retentionRules({ daily: "30d" })).toMatchObject({
      allMs: 0,
      periods: [{ period: "daily", ms: 30 * DAY }],
    });
    expect(retentionRules({ all: "0s", keep: [9, 3, 9] })).toEqual({ allMs: 0, periods: [], keep: [3, 9] });
  });

  it("is checked", () => {
    const wrong: unknown[] = [
      { all: "soon" },
      { dayly: "3d" },
      { keep: [0] },
      { keep: [1.5] },
      { keep: 3 },
      [],
      "24h",
      null,
    ];
    for (const policy of wrong) expect(() => retentionRules(policy as RetentionPolicy)).toThrow();
  });
});

describe("hours, days, weeks and months", () => {
  it("are those of UTC, weeks begin on Monday", () => {
    const at = (period: (typeof PERIODS)[number], time: string) => {
      const { start, end } = bucketOf(period, Date.parse(time));
      return [new Date(start).toISOString(), new Date(end).toISOString()];
    };
    expect(at("hourly", "2026-03-01T10:59:59.999Z")).toEqual([
      "2026-03-01T10:00:00.000Z",
      "2026-03-01T11:00:00.000Z",
    ]);
    expect(at("daily", "2026-03-01T10:00:00Z")).toEqual([
      "2026-03-01T00:00:00.000Z",
      "2026-03-02T00:00:00.000Z",
    ]);
    expect(at("weekly", "2026-03-01T10:00:00Z")).toEqual([
      "2026-02-23T00:00:00.000Z",
      "2026-03-02T00:00:00.000Z",
    ]);
    expect(at("weekly", "1970-01-01T00:00:00Z")).toEqual([
      "1969-12-29T00:00:00.000Z",
      "1970-01-05T00:00:00.000Z",
    ]);
    expect(at("monthly", "2024-02-29T23:00:00Z")).toEqual([
      "2024-02-01T00:00:00.000Z",
      "2024-03-01T00:00:00.000Z",
    ]);
    expect(at("monthly", "2025-12-31T23:00:00Z")).toEqual([
      "2025-12-01T00:00:00.000Z",
      "2026-01-01T00:00:00.000Z",
    ]);
  });

  it("hold every time in exactly one, up to the largest there is", () => {
    property(fc.tuple(fc.constantFrom(...PERIODS), fc.maxSafeNat()), ([period, time]) => {
      const { start, end } = bucketOf(period, time);
      expect(start <= time && time < end).toBe(true);
      expect(bucketOf(period, start)).toEqual({ start, end });
    });
  });
});

/** A log as a plan sees it: what is kept of it so far, and the newest of which a time is asked. */
class PlannedLog {
  readonly times: number[] = [];
  floor = 0;
  kept: CommitTime[] = [];

  commit(time: number): void {
    this.times.push(Math.max(time, this.times.at(-1) ?? 0));
  }

  at(lsn: number): CommitTime {
    return { lsn: lsn as Lsn, time: this.times[lsn - 1]! as TimeMs };
  }

  async plan(now: number, policy: RetentionPolicy, pins: readonly number[] = []): Promise<RetentionPlan> {
    const bottom = Math.max(1, this.floor);
    const plan = await planRetention({
      now,
      rules: retentionRules(policy),
      floor: this.floor as Lsn,
      keptBefore: this.kept.map((each) => ({ ...each, hash: "" as never })),
      bottom: bottom as Lsn,
      first: 1 as Lsn,
      pins: pins.map((lsn) => ({ lsn: lsn as Lsn, why: "fork" as const })),
      newest: this.times.length === 0 ? undefined : this.at(this.times.length),
      newestBefore: async (time) => {
        const lsn = this.times.findLastIndex((each) => each < time) + 1;
        return lsn < bottom ? undefined : this.at(lsn);
      },
    });
    // Whatever a plan keeps must be there: nothing comes back.
    for (const { lsn } of plan.kept) expect(this.isThere(lsn), `LSN ${lsn} is kept, and gone`).toBe(true);
    expect(plan.floor).toBeGreaterThanOrEqual(this.floor);
    return plan;
  }

  isThere(lsn: number): boolean {
    return lsn >= this.floor || this.kept.some((each) => each.lsn === lsn);
  }

  apply({ floor, kept }: RetentionPlan): void {
    this.floor = floor;
    this.kept = kept.map(({ lsn }) => this.at(lsn));
  }
}

/** What the policy promises, looked up commit by commit. */
function promised(log: PlannedLog, now: number, policy: RetentionPolicy): Set<number> {
  const { allMs, periods } = retentionRules(policy);
  const lsns = log.times.map((_, i) => i + 1);
  const wanted = new Set<number>([log.times.length]);
  // Every state that there was since then: the commit that was the newest when that time began, too.
  const since = log.times.findLastIndex((time) => time <= now - allMs) + 1;
  for (const lsn of lsns) if (lsn >= since && lsn > 0) wanted.add(lsn);
  for (const { period, ms } of periods) {
    const newest = new Map<number, number>();
    for (const lsn of lsns) newest.set(bucketOf(period, log.times[lsn - 1]!).start, lsn);
    for (const [start, lsn] of newest) if (bucketOf(period, start).end > now - ms) wanted.add(lsn);
  }
  return wanted;
}

describe("a plan", () => {
  const spans = fc.constantFrom(undefined, 0, 30 * 60_000, HOUR, 5 * HOUR, DAY, 3 * DAY, 20 * DAY, 100 * DAY);
  const policies = fc.record({ all: spans, hourly: spans, daily: spans, weekly: spans, monthly: spans });
  const steps = fc.array(
    fc.oneof(
      fc.record({
        commits: fc.array(fc.constantFrom(0, 1, 1000, 20 * 60_000, 3 * HOUR, 2 * DAY), { maxLength: 12 }),
      }),
      fc.record({ wait: fc.constantFrom(0, 60_000, HOUR, DAY, 9 * DAY, 40 * DAY) }),
      fc.constant("collect" as const),
    ),
    { maxLength: 25 },
  );

  it("keeps every promise of the policy, and never needs what an earlier one dropped", async () => {
    await fc.assert(
      fc.asyncProperty(policies, steps, fc.integer({ min: 0, max: 3 * DAY }), async (chosen, run, ahead) => {
        const policy = Object.fromEntries(Object.entries(chosen).filter(([, span]) => span !== undefined));
        const log = new PlannedLog();
        // Clocks of writers may be ahead of the collector's.
        let now = Date.parse("2026-01-30T22:10:00Z");
        for (const step of [...run, "collect" as const]) {
          if (step === "collect") {
            const plan = await log.plan(now, policy);
            const wanted = promised(log, now, policy);
            log.apply(plan);
            for (const lsn of wanted)
              if (lsn > 0) expect(log.isThere(lsn), `LSN ${lsn} is promised`).toBe(true);
            expect(
              await log.plan(now, policy),
              "a second plan at the same time changes nothing",
            ).toMatchObject({
              floor: plan.floor,
              kept: plan.kept.map(({ lsn }) => ({ lsn })),
              dropped: [],
            });
          } else if ("wait" in step) now += step.wait;
          else {
            for (const later of step.commits) {
              now += later;
              log.commit(now + (ahead > DAY ? ahead : 0));
            }
          }
        }
      }),
      { seed: SEED, numRuns: wantsMore ? 3000 : 150 },
    );
  });

  it("says why, and what is dropped and missing", async () => {
    const log = new PlannedLog();
    const start = Date.parse("2026-05-04T00:30:00Z");
    for (let i = 0; i < 48; i++) log.commit(start + i * HOUR);
    const now = start + 47 * HOUR;
    const plan = await log.plan(now, { all: "4h", hourly: "8h", daily: "2d", keep: [5, 99] }, [7]);
    expect(plan.floor).toBe(44);
    expect(plan.kept.map(({ lsn, why }) => `${lsn}: ${why}`)).toEqual([
      "5: keep",
      "7: fork",
      "24: daily",
      "40: hourly",
      "41: hourly",
      "42: hourly",
      "43: hourly",
      "44: all",
    ]);
    log.apply(plan);
    const later = await log.plan(now + 2 * DAY, { all: "4h", daily: "1d", keep: [6] }, [7, 8]);
    expect(later.floor).toBe(48);
    expect(later.kept.map(({ lsn, why }) => `${lsn}: ${why}`)).toEqual(["7: fork", "48: newest"]);
    expect(later.dropped).toEqual([5, 24, 40, 41, 42, 43, 44]);
    expect(later.missing).toEqual([
      { lsn: 6, why: "keep" },
      { lsn: 8, why: "fork" },
    ]);
  });

  it("keeps commits that are dated in the future, and an empty volume as it is", async () => {
    const log = new PlannedLog();
    expect(await log.plan(0, { all: 0 })).toEqual({ floor: 0, kept: [], dropped: [], missing: [] });
    for (const time of [10 * DAY, 11 * DAY, 500 * DAY, 500 * DAY]) log.commit(time);
    const plan = await log.plan(20 * DAY, { all: "1h" });
    expect(plan.floor, "the newest of those that are not in the future").toBe(2);
  });

  it("without spans drops nothing, also of what an earlier policy left", async () => {
    const log = new PlannedLog();
    for (let i = 0; i < 20; i++) log.commit(i * HOUR);
    log.apply(await log.plan(20 * HOUR, { all: "2h", hourly: "10h" }));
    const before = log.kept.map(({ lsn }) => lsn);
    for (const policy of [{}, { all: "forever" as const, hourly: "1h" }]) {
      const plan = await log.plan(900 * HOUR, policy);
      expect(plan).toMatchObject({ floor: log.floor, dropped: [] });
      expect(plan.kept.map(({ lsn }) => lsn)).toEqual(before);
    }
  });
});

describe("a volume's retention", () => {
  async function volumes() {
    const remote = new MemoryObjectStore();
    const [one, other] = [await openStore(remote), await openStore(remote)];
    const volume = await one.createVolume({ pageSize: 512 });
    await volume.write(0, textBytes(600, 1));
    await volume.push();
    return { remote, volume, other: await other.volume(volume.id) };
  }

  it("is everything, until it is set; then it holds for everybody", async () => {
    const { volume, other } = await volumes();
    expect(await volume.retention()).toEqual({ policy: {}, n: 0, time: undefined });
    const set = await volume.setRetention({ all: "24h", hourly: "7d", keep: [1] });
    expect(set).toMatchObject({ policy: { all: "24h", hourly: "7d", keep: [1] }, n: 1 });
    expect(await other.retention()).toEqual(set);
    await other.setRetention({});
    expect(await volume.retention()).toMatchObject({ policy: {}, n: 2 });
    await failure(volume.setRetention({ all: "tomorrow" }), "invalid");
  });

  it("invariant 5: of two who set it at once one wins, and the other learns it", async () => {
    const { volume, other } = await volumes();
    const both = await Promise.allSettled([
      volume.setRetention({ all: "1h" }),
      other.setRetention({ all: "2h" }),
    ]);
    const won = both.filter(({ status }) => status === "fulfilled");
    expect(won).toHaveLength(1);
    const lost = both.find((each): each is PromiseRejectedResult => each.status === "rejected")!;
    await failure(Promise.reject(lost.reason), "conflict");
    expect((await volume.retention()).n).toBe(1);
  });
});
