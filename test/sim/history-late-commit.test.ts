/**
 * A writer who slept creates a commit at an LSN that was collected. He is told that he has diverged; what he created stays until a collection finds it,
 * and must not stand in anybody's way (invariants 4 and 9).
 */
import { beforeEach, describe, expect, it } from "vitest";
import type { Lsn } from "../../src/base/brand.ts";
import { loadCodecs } from "../../src/format/codecs.ts";
import { commitKey } from "../../src/format/keys.ts";
import { testSeed } from "../local/xxh64.ts";
import { expectBytes } from "./engine-model.ts";
import { GRACE, HistoryWorld, type ReplicaOfHistory } from "./history-model.ts";

const codecs = await loadCodecs();

let world: HistoryWorld;
let writer: ReplicaOfHistory;
/** Stands on the LSN before, where the others have gone on to 5. */
let stale: ReplicaOfHistory;
/** Stands on LSN 5 and has read nothing of it. */
let reader: ReplicaOfHistory;

const PAGES_BY_LSN = [[], [0, 1, 2, 3, 4, 5], [0], [3], [4], [2]];

/** Commits 3 and 4 wrote pages that nobody wrote since; everything below LSN 5 is collected, and a commit of the sleeper is at `lsn`. */
async function begin(lsn: number): Promise<void> {
  world = await HistoryWorld.create({ seed: testSeed, lagMs: 0, replicas: 1 }, codecs);
  writer = world.replica(0);
  await writer.volume.setRetention({ all: 0 });
  for (let n = 1; n < lsn; n++) await world.commit(writer, PAGES_BY_LSN[n]!);
  stale = await world.addReplica(writer.of);
  const sleeper = await world.addReplica(writer.of);
  const key = commitKey(writer.of.id, lsn as Lsn);
  const release = world.holdPut(key);
  await world.change(sleeper.volume, writer.of.states[lsn - 1]!, [0, 1, 2, 3, 4]);
  const late = sleeper.volume.push();
  late.catch(() => {});
  await world.settle();
  for (let n = lsn; n <= 5; n++) await world.commit(writer, PAGES_BY_LSN[n]!);
  reader = await world.addReplica(writer.of);
  await writer.volume.collect({ lease: false });
  world.runtime.advance(2 * GRACE);
  await writer.volume.collect({ lease: false });
  release();
  await expect(late).rejects.toMatchObject({ code: "diverged" });
  expect(await world.objects.get(key), "the late commit").toBeDefined();
  await sleeper.volume.reset();
  expect((await sleeper.volume.pull()).to).toBe(5);
  expectBytes(await sleeper.volume.read(0, 1e9), writer.of.states[5]!, "whoever created it");
}

describe.each([{ lsn: 3 }, { lsn: 4 }])("a late commit at LSN $lsn of 5", ({ lsn }) => {
  beforeEach(() => begin(lsn));

  it("a replica on an older commit moves past it", async () => {
    expect((await stale.volume.pull()).to).toBe(5);
    expectBytes(await stale.volume.read(0, 1e9), writer.of.states[5]!, "after the pull");
  });

  it("a reader who wants what the commit of that LSN wrote finds it where it is kept", async () => {
    expectBytes(
      await reader.volume.read(0, 1e9),
      writer.of.states[5]!,
      "a snapshot from before the collection",
    );
  });

  it("the log goes on, can be restored and forked, and is verified", async () => {
    await world.commit(writer, [0]);
    const fork = await writer.store.fork(writer.of.id, { lsn: 5 });
    expectBytes(await fork.read(0, 1e9), writer.of.states[5]!, "a fork");
    await writer.volume.restore({ at: 5 });
    const fresh = await world.addReplica(writer.of);
    expectBytes(await fresh.volume.read(0, 1e9), writer.of.states[5]!, "the newest state");
    await fresh.volume.verify();
    await fresh.volume.compact({ all: true });
  });

  it("a collection takes it away", async () => {
    await writer.volume.collect({ lease: false });
    expect(await world.objects.get(commitKey(writer.of.id, lsn as Lsn))).toBeUndefined();
    await world.checkAll();
  });
});
