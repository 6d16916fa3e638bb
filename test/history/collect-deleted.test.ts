/** Deleted volumes: collected after the grace period, whole or up to what forks share, and not to be undeleted after that. */
import { describe, expect, it } from "vitest";
import type { Lsn } from "../../src/base/brand.ts";
import { commitKey, deletedPrefix, floorPrefix, forkKey, volumePrefix } from "../../src/format/keys.ts";
import { expectSame, failure, openStore } from "../store/support.ts";
import { HOUR, MINUTE, World } from "./collect-world.ts";

async function deletedWorld(): Promise<World> {
  const made = await World.create();
  await made.commit(10, 20 * MINUTE);
  return made;
}

/** Keys of the volume's objects but for what says that it was deleted. */
async function left(world: World): Promise<string[]> {
  const { id } = world.volume;
  const keys = (await world.objects.list(volumePrefix(id))).map(({ key }) => key);
  return keys.filter((key) => !key.startsWith(deletedPrefix(id)) && !key.startsWith(floorPrefix(id)));
}

describe("a deleted volume", () => {
  it("stays whole for the grace period, then goes, and is gone", async () => {
    const made = await deletedWorld();
    const { id } = made.volume;
    await failure(made.store.collectDeleted(id), "invalid");
    await made.store.deleteVolume(id, { confirm: id });
    const before = await left(made);
    const early = await made.store.collectDeleted(id);
    expect(early).toMatchObject({ bytesFreed: 0, moreAt: made.runtime.now() + HOUR });
    expect(await left(made)).toEqual(before);
    await made.store.undelete(id);
    await made.expectReadable([1, 10], "undeleted");
    await made.store.deleteVolume(id, { confirm: id });
    made.runtime.advance(2 * HOUR);
    const dry = await made.store.collectDeleted(id, { dryRun: true });
    expect(dry).toMatchObject({ dryRun: true, deleted: { commits: 10, segments: 2 } });
    expect(await left(made)).toEqual(before);
    const gone = await made.store.collectDeleted(id);
    expect(gone).toMatchObject({ deleted: dry.deleted, bytesFreed: dry.bytesFreed });
    expect(await left(made)).toEqual([]);
    await failure(made.store.undelete(id), "not_found");
    await failure(made.store.collectDeleted(id), "not_found");
  });

  it("invariant 9: keeps what its forks share, and no more, until they have gone", async () => {
    const made = await deletedWorld();
    const { id } = made.volume;
    const other = await openStore(made.objects, { runtime: made.runtime });
    const [low, high] = [await made.store.fork(id, { lsn: 3 }), await made.store.fork(id, { lsn: 7 })];
    await made.store.deleteVolume(id, { confirm: id });
    made.runtime.advance(2 * HOUR);
    const first = await other.collectDeleted(id);
    expect(first.floor).toEqual({ before: 0, after: 7 });
    expect(first.kept.map(({ lsn }) => lsn)).toEqual([3, 7]);
    await failure(other.undelete(id), "not_found");
    made.runtime.advance(2 * HOUR);
    await other.collectDeleted(id);
    expect(await made.keys("commits"), "all but the floor's own").toEqual([commitKey(id, 7 as Lsn)]);
    for (const [fork, lsn] of [
      [low, 3],
      [high, 7],
    ] as const) {
      const fresh = await (await openStore(made.objects, { runtime: made.runtime })).volume(fork.id);
      expectSame(await fresh.read(0, 1e9), made.states[lsn]!, `the fork of LSN ${lsn}`);
    }
    await other.deleteVolume(high.id, { confirm: high.id, purge: true });
    expect(await made.objects.get(forkKey(id, high.id, 7 as Lsn))).toBeUndefined();
    made.runtime.advance(2 * HOUR);
    await other.collectDeleted(id);
    const fresh = await (await openStore(made.objects, { runtime: made.runtime })).volume(low.id);
    expectSame(await fresh.read(0, 1e9), made.states[3]!, "the fork that is left");
    await other.deleteVolume(low.id, { confirm: low.id, purge: true });
    await other.collectDeleted(id);
    expect(await left(made)).toEqual([]);
  });
});
