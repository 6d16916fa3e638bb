/**
 * Readers of a store that cannot list follow the log by asking for the next commit; where that was collected, or another was created in its place by a
 * writer who slept, only the floor tells where the log is (invariants 4 and 8).
 */
import { expect, it } from "vitest";
import type { Lsn } from "../../src/base/brand.ts";
import { loadCodecs } from "../../src/format/codecs.ts";
import { commitKey, headKey } from "../../src/format/keys.ts";
import type { ObjectStore } from "../../src/remote/object-store.ts";
import { PageStore } from "../../src/store/page-store.ts";
import { testSeed } from "../local/xxh64.ts";
import { expectBytes } from "./engine-model.ts";
import { GRACE, HistoryWorld } from "./history-model.ts";

const codecs = await loadCodecs();

/** What a static host shows of the world's objects. */
function withoutList(world: HistoryWorld): ObjectStore {
  const { objects } = world;
  return {
    url: "memory:static",
    capabilities: { write: false, list: false, conditionalCreate: "no" },
    get: (key, options) => objects.get(key, options),
    put: () => Promise.reject(new Error("nothing is written here")),
    delete: () => Promise.reject(new Error("nothing is deleted here")),
    list: () => Promise.reject(new Error("nothing is listed here")),
    close: async () => {},
  };
}

/** A volume of eight commits, of which the first seven are collected, and a reader who stands on the second. */
async function collected() {
  const world = await HistoryWorld.create({ seed: testSeed, lagMs: 0, replicas: 1 }, codecs);
  const writer = world.replica(0);
  await writer.volume.setRetention({ all: 0 });
  await world.commit(writer, [0, 1, 2]);
  await world.commit(writer, [1]);
  const sleeper = await world.addReplica(writer.of);
  const release = world.holdPut(commitKey(writer.of.id, 3 as Lsn));
  await world.change(sleeper.volume, writer.of.states[2]!, [0, 1, 2]);
  const late = sleeper.volume.push();
  late.catch(() => {});
  await world.settle();
  const store = await PageStore.open({ remote: withoutList(world), codecs, runtime: world.runtime });
  const reader = await store.volume(writer.of.id);
  expect(reader.status().lsn).toBe(2);
  for (let n = 0; n < 6; n++) await world.commit(writer, [n % 3]);
  await writer.volume.collect({ lease: false });
  world.runtime.advance(2 * GRACE);
  await writer.volume.collect({ lease: false });
  expect(await world.objects.get(commitKey(writer.of.id, 7 as Lsn))).toBeUndefined();
  return { world, writer, reader, release, late };
}

it("invariant 8: finds the newest commit where those after its own are gone, and the hint too", async () => {
  const { world, writer, reader } = await collected();
  await world.objects.delete([headKey(writer.of.id)]);
  expect((await reader.pull()).to).toBe(8);
  expectBytes(await reader.read(0, 1e9), writer.of.states[8]!, "the newest state");
});

it("invariant 8: opens anew without the hint", async () => {
  const { world, writer } = await collected();
  await world.objects.delete([headKey(writer.of.id)]);
  const store = await PageStore.open({ remote: withoutList(world), codecs, runtime: world.runtime });
  const volume = await store.volume(writer.of.id);
  expect(volume.status().lsn).toBe(8);
  expectBytes(await volume.read(0, 1e9), writer.of.states[8]!, "the newest state");
});

it("invariant 4: does not follow a commit that was created where one had been collected", async () => {
  const { world, writer, reader, release, late } = await collected();
  await world.objects.delete([headKey(writer.of.id)]);
  release();
  await expect(late).rejects.toMatchObject({ code: "diverged" });
  expect(await world.objects.get(commitKey(writer.of.id, 3 as Lsn)), "the late commit").toBeDefined();
  await reader.pull();
  expect(reader.status().lsn).toBe(8);
  expectBytes(await reader.read(0, 1e9), writer.of.states[8]!, "the newest state");
});
