/** Invariant 1 where it is hardest to keep: a snapshot whose floor was replaced, read by somebody who never heard of that floor. */
import { expect, it } from "vitest";
import { loadCodecs } from "../../src/format/codecs.ts";
import { testSeed } from "../local/xxh64.ts";
import { expectBytes } from "./engine-model.ts";
import { GRACE, HistoryWorld } from "./history-model.ts";

const codecs = await loadCodecs();

it("invariant 1: is found through the floors before the newest until its lease has ended", async () => {
  const world = await HistoryWorld.create({ seed: testSeed, lagMs: 0, replicas: 1 }, codecs);
  const writer = world.replica(0);
  await writer.volume.setRetention({ all: 0 });
  await world.commit(writer, [0, 1, 2, 3]);
  await world.commit(writer, [1]);
  const reader = await world.addReplica(writer.of);
  // Floor 2, and commit 1 goes.
  await writer.volume.collect({ lease: false });
  world.runtime.advance(2 * GRACE);
  await writer.volume.collect({ lease: false });
  // It follows the log commit by commit, and has not read page 0.
  await world.commit(writer, [1]);
  await reader.volume.pull();
  const snapshot = reader.volume.snapshot();
  expect(snapshot.lsn).toBe(3);
  // The newest floor says nothing of page 0 as commit 1 wrote it.
  await world.commit(writer, [0]);
  await writer.volume.collect({ lease: false });
  world.runtime.advance(GRACE / 2);
  await writer.volume.collect({ lease: false });
  expectBytes(await snapshot.read(0, 1e9), writer.of.states[3]!, "half a grace period later");
  world.runtime.advance(GRACE);
  await writer.volume.collect({ lease: false });
  // What was read stays; what was not says why it cannot be.
  const late = await world.addReplica(writer.of);
  await expect(late.volume.at(3)).rejects.toMatchObject({ code: "not_found" });
});
