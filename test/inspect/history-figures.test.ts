/** What is told of a log's floor, its checkpoints and segments is what the store holds. */
import { expect, it } from "vitest";
import { inspectVolume } from "../../src/inspect/inspection.ts";
import { HOUR, MINUTE, World } from "../history/collect-world.ts";

it("tells what is kept, before and after a compaction and a collection", async () => {
  const world = await World.create();
  await world.commit(12, 20 * MINUTE);
  const figures = async () => (await inspectVolume(await world.visitor(), { history: true })).history;
  expect((await inspectVolume(world.volume)).history).toBeNull();
  expect(await figures()).toEqual({
    ...{
      floorLsn: 0,
      floorTime: null,
      keptBelowCount: 0,
      keptBelow: [],
      checkpointCount: 0,
      checkpoints: [],
    },
    segments: { count: 0, storedBytes: 0, pages: 0, livePages: 0 },
  });
  await world.volume.compact({ all: true, complete: true });
  await world.volume.setRetention({ all: "1h", keep: [3] });
  await world.volume.collect();
  world.runtime.advance(HOUR);
  const { floor } = await world.volume.collect();
  const told = await figures();
  expect(told).toMatchObject({ floorLsn: floor.after, keptBelowCount: 1, keptBelow: [{ lsn: 3 }] });
  expect(told!.checkpoints.map(({ lsn }) => lsn)).toContain(floor.after);
  expect(told!.checkpointCount).toBe(told!.checkpoints.length);
  const { count, storedBytes, pages, livePages } = told!.segments;
  expect(count).toBeGreaterThan(0);
  expect(storedBytes).toBeLessThanOrEqual(await world.bytes());
  expect(livePages).toBeLessThanOrEqual(pages);
  expect(JSON.parse(JSON.stringify(told))).toEqual(told);
});
