/** Collections: what a retention keeps stays readable byte for byte, what nobody needs goes, and dry runs tell beforehand. */
import { describe, expect, it } from "vitest";
import type { Lsn, SegmentId } from "../../src/base/brand.ts";
import { commitKey, complement, floorKey, leaseKey, segmentKey } from "../../src/format/keys.ts";
import type { CollectResult } from "../../src/history/collect/collect.ts";
import { someId } from "../format/support.ts";
import { expectSame, failure } from "../store/support.ts";
import { HOUR, MINUTE, World } from "./collect-world.ts";

const DAY = 24 * HOUR;
const POLICY = { all: "2h", hourly: "5h", keep: [3] };

/** Forty commits in 13 hours. */
async function longWorld(): Promise<World> {
  const world = await World.create();
  await world.commit(40, 20 * MINUTE);
  return world;
}

/** Everything that a collection says stays readable. */
function stays({ kept, floor }: CollectResult, newest: number): number[] {
  return [...kept.map(({ lsn }) => lsn as number), ...range(Math.max(1, floor.after), newest)];
}

function range(from: number, to: number): number[] {
  return Array.from({ length: Math.max(0, to - from + 1) }, (_, i) => from + i);
}

const lsnsOf = async (world: World): Promise<Set<string>> => new Set(await world.keys("commits"));

describe("a collection", () => {
  it("invariants 1 and 9: keeps what the policy says, and frees the rest once the grace period has passed", async () => {
    const world = await longWorld();
    await world.volume.setRetention(POLICY);
    const first = await world.volume.collect();
    expect(first.floor).toEqual({ before: 0, after: 34 });
    expect(first.kept.map(({ lsn, why }) => `${lsn}: ${why}`)).toEqual([
      "3: keep",
      "26: hourly",
      "29: hourly",
      "32: hourly",
      "34: all",
    ]);
    expect(first, "what was readable a moment ago still is").toMatchObject({
      bytesFreed: 0,
      moreAt: world.runtime.now() + HOUR,
    });
    await world.expectReadable([0, 1, 7, 25, 31, 40]);
    const before = await world.bytes();

    world.runtime.advance(HOUR);
    const second = await world.volume.collect();
    expect(second.deleted.commits, "all below the floor of an hour ago").toBe(33);
    expect(second.bytesFreed).toBeGreaterThan(before - (await world.bytes()));
    await world.expectReadable(stays(second, 40));
    for (const lsn of [1, 10, 25, 31]) await world.expectGone(lsn);

    world.runtime.advance(10 * HOUR);
    await world.volume.collect();
    world.runtime.advance(HOUR);
    const last = await world.volume.collect();
    expect(last.kept.map(({ lsn }) => lsn)).toEqual([3, 40]);
    expect(last.moreAt).toBeUndefined();
    await world.expectReadable([3, 40]);
    expect([...(await lsnsOf(world))]).toEqual([commitKey(world.volume.id, 40 as Lsn)]);
    const left = [...(await world.keys("compacted")), ...(await world.keys("segments"))];
    expect(left, "segments that no checkpoint reads from are gone").toEqual((await world.placed()).sort());
    await world.commit(5);
    await world.expectReadable([3, ...range(40, 45)]);
  });

  it("of a volume whose policy keeps everything takes only what was never needed, and makes no floor", async () => {
    const world = await longWorld();
    const volume = world.volume.id;
    const put = (key: string) => world.objects.put(key, new Uint8Array(100));
    const lost = [
      segmentKey(volume, 7 as Lsn, someId<SegmentId>(1)),
      segmentKey(volume, 40 as Lsn, someId<SegmentId>(2)),
    ];
    const about = segmentKey(volume, 41 as Lsn, someId<SegmentId>(3));
    const foreign = [`volumes/${volume}/segments/readme`, `volumes/${volume}/commits/${complement(1)}x`];
    for (const key of [...lost, about, ...foreign]) await put(key);
    const before = await world.keys("segments");
    const result = await world.volume.collect();
    expect(result).toMatchObject({
      floor: { before: 0, after: 0 },
      kept: [],
      bytesFreed: 200,
      moreAt: undefined,
    });
    expect(result.deleted).toMatchObject({ segments: 2, commits: 0, checkpoints: 0, compacted: 0 });
    expect(
      await world.keys("segments"),
      "what a push may be about to name stays, and what is not ours",
    ).toEqual(before.filter((key) => !lost.includes(key)));
    expect(await world.keys("floor")).toEqual([]);
    await world.expectReadable(range(0, 40));
  });

  it("a dry run tells what will go, and changes nothing", async () => {
    const world = await longWorld();
    await world.volume.setRetention(POLICY);
    const before = world.objects.clone();
    const told: string[] = [];
    const dry = await world.volume.collect({ dryRun: true, onObject: ({ key }) => told.push(key) });
    for (const folder of ["commits", "segments", "floor", "leases", "checkpoints", "compacted"]) {
      expect(await world.keys(folder), folder).toEqual(await world.keys(folder, before));
    }
    expect(dry).toMatchObject({
      dryRun: true,
      floor: { before: 0, after: 34 },
      moreAt: world.runtime.now() + HOUR,
    });
    const gone: string[] = [];
    const onObject = ({ key }: { readonly key: string }) => void gone.push(key);
    const real = await world.volume.collect({ graceMs: 0, onObject });
    expect(real.kept.map(({ lsn }) => lsn)).toEqual(dry.kept.map(({ lsn }) => lsn));
    const own = (keys: readonly string[]) => keys.filter((key) => !key.includes("/leases/")).sort();
    expect(own(told)).toEqual(own(gone));
    expect(dry).toMatchObject({ deleted: real.deleted, bytesFreed: real.bytesFreed });
  });

  it("running it twice equals running it once", async () => {
    const world = await longWorld();
    await world.volume.setRetention(POLICY);
    await world.volume.collect({ graceMs: 0 });
    const folders = ["commits", "segments", "floor", "checkpoints", "compacted"];
    const before = world.objects.clone();
    expect(await world.volume.collect({ graceMs: 0 })).toMatchObject({ bytesFreed: 0, dropped: [] });
    for (const folder of folders) expect(await world.keys(folder)).toEqual(await world.keys(folder, before));
  });

  it("is done by one at a time, and its leases do not pile up", async () => {
    const world = await longWorld();
    await world.volume.setRetention({ all: 0 });
    const other = await world.visitor();
    const busy: string[] = [];
    await world.volume.collect({
      graceMs: 0,
      onStep: async (step) => {
        if (step === "protect") busy.push((await failure(other.collect(), "busy")).message);
      },
    });
    expect(busy.join()).toContain("collection");
    for (let i = 0; i < 14; i++) {
      await world.commit(1);
      await world.volume.collect({ graceMs: 0 });
    }
    expect((await world.keys("leases")).length).toBeLessThanOrEqual(13);
    // Two for each time that it rose: one that announced it.
    const floors = await world.keys("floor");
    expect(floors.length, "whoever slept for months finds the way").toBe(30);
    world.runtime.advance(500 * DAY);
    await world.commit(1);
    await world.volume.collect({ graceMs: 0 });
    expect(await world.keys("floor")).toEqual(
      range(1, 32)
        .reverse()
        .map((n) => floorKey(world.volume.id, n)),
    );
    expect(await world.keys("leases")).not.toContain(leaseKey(world.volume.id, 1));
    await world.expectReadable([world.newest]);
  });

  it("invariant 8: what only saves requests may be lost: checkpoints above the floor, the head hint, rollups", async () => {
    const world = await longWorld();
    await world.volume.setRetention({ all: "6h" });
    await world.volume.collect({ graceMs: 0 });
    await world.commit(8, 10 * MINUTE);
    await world.volume.compact();
    const checkpoints = await world.keys("checkpoints");
    const [above] = checkpoints;
    expect(above).toContain(complement(48));
    expect(checkpoints.length).toBe(2);
    await world.objects.delete([above!, `volumes/${world.volume.id}/head`, ...(await world.keys("rollups"))]);
    const result = await (await world.visitor()).collect({ graceMs: 0 });
    await world.expectReadable(stays(result, 48));
    expect(await (await world.visitor()).collect({ dryRun: true, graceMs: 0 })).toMatchObject({
      skipped: [],
    });
  });

  it("deletes nothing where a checkpoint is missing that says what must stay", async () => {
    const world = await longWorld();
    await world.volume.setRetention(POLICY);
    await world.volume.collect();
    await world.objects.delete((await world.keys("checkpoints")).slice(0, 1));
    world.runtime.advance(2 * HOUR);
    const before = await world.keys("commits");
    const broken = await world.visitor();
    expect((await failure(broken.collect(), "corrupt", "not_found")).message).toBeTruthy();
    expect(await world.keys("commits")).toEqual(before);
  });
});

describe("readers while a volume is collected", () => {
  it("invariant 1: a snapshot is right for the grace period; after it, right or not_found, never wrong", async () => {
    const world = await longWorld();
    await world.volume.setRetention({ all: "1h" });
    const reader = await world.visitor();
    const [early, late] = [await reader.at(12), await reader.at(12)];
    await world.volume.collect();
    world.runtime.advance(30 * MINUTE);
    await world.volume.collect();
    expectSame(await early.read(0, 1e9), world.states[12]!, "within the grace period");
    world.runtime.advance(HOUR);
    await world.volume.collect();
    expect(await lsnsOf(world)).not.toContain(commitKey(world.volume.id, 12 as Lsn));
    expectSame(await early.read(0, 1e9), world.states[12]!, "what is resident");
    const stranger = await world.visitor();
    expect(
      (
        await failure(
          stranger.at(12).then((snapshot) => snapshot.read(0, 1e9)),
          "not_found",
        )
      ).message,
    ).toMatch(/retention/);
    await late.read(0, 1e9).then(
      (bytes) => expectSame(bytes, world.states[12]!, "late"),
      (error: { code: string }) => expect(error.code).toBe("not_found"),
    );
    // One that stands at the newest reads on, wherever its pages lie by now.
    expectSame(await (await world.visitor()).read(0, 1e9), world.states[40]!, "the newest");
  });

  it("a replica that was away finds the newest state", async () => {
    const world = await longWorld();
    const away = await world.visitor();
    await world.volume.setRetention({ all: 0 });
    await world.commit(20, HOUR);
    await world.volume.collect({ graceMs: 0 });
    await world.commit(3, HOUR);
    await away.pull();
    expectSame(await away.read(0, 1e9), world.states[63]!, "after the pull");
  });
});
