/**
 * Restores of states whose commits were collected: the pages are where checkpoints place them, before the restore and after it, while the floor passes the
 * restore itself, and through a server that checks everything. Commits right behind the floor have fewer bands.
 */
import { describe, expect, it } from "vitest";
import type { Lsn } from "../../src/base/brand.ts";
import { isPagefoldError } from "../../src/base/errors.ts";
import { decodeCommit } from "../../src/format/commit-codec.ts";
import { commitKey } from "../../src/format/keys.ts";
import { SHORT_BANDS } from "../../src/format/limits.ts";
import type { Volume } from "../../src/store/volume.ts";
import { seededRandom } from "../local/xxh64.ts";
import { Site } from "../server/support.ts";
import { codecs, expectSame, failure, openStore, testSeed } from "../store/support.ts";
import { HOUR, MINUTE, World } from "./collect-world.ts";

/** Twenty commits, of which the first ones were collected: 3 and 7 are kept below the floor. */
async function collected(): Promise<World> {
  const world = await World.create();
  await world.commit(20, 20 * MINUTE);
  await world.volume.setRetention({ all: "1h", keep: [3, 7] });
  await world.volume.collect();
  world.runtime.advance(2 * HOUR);
  await world.volume.collect();
  expect(await world.keys("commits")).not.toContain(commitKey(world.volume.id, 7 as Lsn));
  return world;
}

async function restore(world: World, volume: Volume, at: number): Promise<void> {
  const { lsn, restored } = await volume.restore({ at });
  if (!restored) return;
  world.states.push(world.states[at]!);
  expect(lsn).toBe(world.newest);
  expectSame(await volume.read(0, 1e9), world.states[at]!, `LSN ${at} restored at ${lsn}`);
}

describe("a restore of what was collected but kept", () => {
  it("is read by anybody, also after the floor has passed it", async () => {
    const world = await collected();
    await restore(world, await world.visitor(), 3);
    await world.expectReadable([3, 7, world.newest]);
    await world.volume.pull();
    await world.commit(3);
    await restore(world, world.volume, 7);
    await world.expectReadable([world.newest - 4, world.newest - 1, world.newest]);
    await world.commit(1);
    for (let i = 0; i < 3; i++) {
      world.runtime.advance(5 * HOUR);
      await world.volume.collect();
    }
    expect(await world.keys("restores")).toEqual([]);
    await world.expectReadable([3, 7, world.newest]);
    await (await world.visitor()).verify();
    await restore(world, await world.visitor(), 3);
    await world.expectReadable([3, world.newest]);
  });

  it("of one that is not kept is refused, and says so", async () => {
    const world = await collected();
    for (const volume of [world.volume, await world.visitor()]) {
      expect((await failure(volume.restore({ at: 5 }), "not_found")).message).toMatch(/retention/);
    }
    expect(await world.keys("restores")).toEqual([]);
  });

  it("goes through a server that takes nothing unproven, and pushes with fewer bands do, too", async () => {
    const world = await collected();
    const site = new Site(world.objects);
    const client = await (await openStore(site.client(), { runtime: world.runtime })).volume(world.volume.id);
    await restore(world, client, 7);
    let short = 0;
    for (let i = 0; i < 14; i++) {
      // A client that knows nothing of what was collected from before.
      const fresh = await (await openStore(site.client(), { runtime: world.runtime })).volume(
        world.volume.id,
      );
      world.states.push(await world.change(fresh, world.states.at(-1)!));
      await fresh.push();
      const key = commitKey(world.volume.id, world.newest as Lsn);
      const { header } = decodeCommit((await world.objects.get(key))!, codecs.hash);
      if ((header.features.incompatible & SHORT_BANDS) !== 0) short++;
    }
    expect(short).toBeGreaterThan(0);
    await client.pull();
    expectSame(await client.read(0, 1e9), world.states.at(-1)!);
    await restore(world, client, 3);
    await world.expectReadable([7, world.newest - 5, world.newest]);
  });

  it("among random pushes, collections and other restores stays what it was", async () => {
    const world = await World.create();
    const random = seededRandom(testSeed);
    const upTo = (n: number) => Math.floor(random() * n);
    await world.volume.setRetention({ all: "2h", hourly: "6h", keep: [2, 5] });
    let restores = 0;
    for (let i = 0; i < 40; i++) {
      const dice = random();
      if (dice < 0.5 || world.newest < 5) await world.commit(1 + upTo(3), 20 * MINUTE);
      else if (dice < 0.75) {
        await world.volume.collect();
        if (random() < 0.5) world.runtime.advance(2 * HOUR);
      } else {
        const volume = random() < 0.5 ? world.volume : await world.visitor();
        const isKept = random() < 0.6;
        const at = isKept ? [2, 5][upTo(2)]! : world.newest - upTo(3);
        const before = world.newest;
        await restore(world, volume, at).catch((error: unknown) => {
          // The floor may have passed it.
          if (isKept || at === before || !isPagefoldError(error, "not_found")) throw error;
        });
        if (world.newest > before) restores++;
        await world.volume.pull();
      }
      if (i % 5 === 0) await world.expectReadable([2, 5, world.newest].filter((lsn) => lsn <= world.newest));
    }
    expect(restores).toBeGreaterThan(0);
    await (await world.visitor()).verify();
  });
});
