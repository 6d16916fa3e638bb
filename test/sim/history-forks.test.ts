/** A fork of a fork, whose first ancestor keeps what they share only as a checkpoint. */
import { expect, it } from "vitest";
import type { Lsn } from "../../src/base/brand.ts";
import { loadCodecs } from "../../src/format/codecs.ts";
import { commitKey } from "../../src/format/keys.ts";
import { testSeed } from "../local/xxh64.ts";
import { expectBytes } from "./engine-model.ts";
import { GRACE, HistoryWorld } from "./history-model.ts";

const codecs = await loadCodecs();

it("invariant 9: is opened and read where all commits that it shares with it were collected", async () => {
  const world = await HistoryWorld.create({ seed: testSeed, lagMs: 0, replicas: 1 }, codecs);
  const parent = world.replica(0);
  await parent.volume.setRetention({ all: 0, keep: [2] });
  for (let n = 0; n < 5; n++) await world.commit(parent, [n, n + 3, 13 - n]);
  await parent.volume.collect({ lease: false });
  const volume = await parent.store.fork(parent.of.id, { lsn: 2 });
  const line = { id: volume.id, states: parent.of.states.slice(0, 3), parent: { line: parent.of, lsn: 2 } };
  await world.commit({ store: parent.store, volume, of: line }, [0]);
  world.runtime.advance(2.5 * GRACE);
  await parent.volume.collect({ lease: false });
  expect(
    await world.objects.get(commitKey(parent.of.id, 2 as Lsn)),
    "the commit of the fork point",
  ).toBeUndefined();
  const second = await parent.store.fork(volume.id, { lsn: 3 });
  expectBytes(await second.read(0, 1e9), line.states[3]!, "the fork of the fork");
  await world.checkState({ id: second.id, states: line.states }, 3, "opened anew");
});
