/** Readers and writers who were away while a log was collected: they find everything that is kept, and hear why of what is not. */
import { describe, expect, it } from "vitest";
import { parseCheckpointKey } from "../../src/format/keys.ts";
import { MemoryBlockFileSystem } from "../../src/local/memory-block-file.ts";
import type { Volume } from "../../src/store/volume.ts";
import { expectSame, failure, openStore, WatchedStore } from "../store/support.ts";
import { HOUR, MINUTE, World } from "./collect-world.ts";

/** 40 commits, of which all from LSN 35 on and LSNs 3 and 20 are kept. */
async function collected(): Promise<World & { readonly floor: number }> {
  const world = await World.create();
  await world.commit(40, 10 * MINUTE);
  return Object.assign(world, { floor: await collect(world) });
}

/** Answers the LSN of the floor. */
async function collect(world: World): Promise<number> {
  await world.volume.setRetention({ all: "50m", keep: [3, 20] });
  await world.volume.collect();
  world.runtime.advance(2 * HOUR);
  await world.volume.setRetention({ all: world.newest === 40 ? "170m" : "1m", keep: [3, 20] });
  return (await world.volume.collect()).floor.after;
}

const whole = async (volume: Volume): Promise<Uint8Array> => volume.read(0, 1e9);

describe("a log that was collected", () => {
  it("opens from the floor's checkpoint in three round trips", async () => {
    const world = await collected();
    const watched = new WatchedStore(world.objects);
    const store = await openStore(watched.store, { runtime: watched.runtime });
    const { value, requests, roundTrips } = await watched.cost(() => store.volume(world.volume.id));
    expect(roundTrips).toBeLessThanOrEqual(3);
    expect(requests.length).toBeLessThanOrEqual(12);
    expectSame(await whole(value), world.states.at(-1)!);
    await value.verify();
  });

  it("is caught up with by a replica whose commit is gone, which keeps its pages and stands there after a restart", async () => {
    const world = await World.create();
    await world.commit(10, 10 * MINUTE);
    const files = new MemoryBlockFileSystem();
    const watched = new WatchedStore(world.objects);
    const options = { runtime: watched.runtime, local: { files }, settings: { diskBytes: 2 ** 26 } };
    let store = await openStore(watched.store, options);
    let replica = await store.volume(world.volume.id);
    await replica.hydrate();
    await world.commit(30, 10 * MINUTE);
    await collect(world);
    const pulled = await replica.pull();
    expect(pulled).toMatchObject({ from: 10, to: 40 });
    const { requests } = await watched.cost(async () =>
      expectSame(await whole(replica), world.states.at(-1)!),
    );
    expect(requests.length, "only what changed").toBeGreaterThan(0);
    await replica.hydrate();
    await store.close();
    store = await openStore(watched.store, options);
    replica = await store.volume(world.volume.id, { offline: true });
    const again = await watched.cost(async () => expectSame(await whole(replica), world.states.at(-1)!));
    expect(again.requests).toEqual([]);
    await world.commit(1);
    await replica.pull();
    expectSame(await whole(replica), world.states.at(-1)!);
  });

  it("a replica with local commits on a commit that is gone hears that it has diverged, and loses nothing", async () => {
    const world = await World.create();
    await world.commit(10, 10 * MINUTE);
    const replica = await world.visitor();
    await replica.hydrate();
    const local = await world.change(replica, world.states.at(-1)!);
    await world.commit(30, 10 * MINUTE);
    await collect(world);
    await failure(replica.push(), "diverged");
    await failure(replica.pull(), "diverged");
    expectSame(await whole(replica), local);
    expect(replica.status().state).toBe("diverged");
    await replica.reset({ pull: true });
    expectSame(await whole(replica), world.states.at(-1)!);
  });

  it("a snapshot that outlived its lease reads right bytes or hears of the retention", async () => {
    const world = await World.create();
    await world.commit(30, 10 * MINUTE);
    const reader = await world.visitor();
    const snapshot = reader.snapshot();
    await snapshot.read(0, 512);
    await world.commit(10, 10 * MINUTE);
    await collect(world);
    let right = 0;
    let gone = 0;
    for (let offset = 0; offset < snapshot.byteLength; offset += 512) {
      try {
        expectSame(await snapshot.read(offset, 512), world.states[30]!.subarray(offset, offset + 512));
        right++;
      } catch (error) {
        const { message } = await failure(Promise.reject(error), "not_found");
        expect(message).toMatch(/retention keeps everything from LSN \d+ on, and below that LSN 3, 20/);
        gone++;
      }
    }
    expect(right, "what still stands in what is kept").toBeGreaterThan(0);
    expect(gone).toBeGreaterThan(0);
    // What is here is here.
    expectSame(await snapshot.read(0, 512), world.states[30]!.subarray(0, 512));
  });

  it("goes back to what is kept, by LSN and by time, and says what is not", async () => {
    const world = await collected();
    const visitor = await world.visitor();
    const log = [];
    for await (const { lsn, time } of visitor.log()) log.push({ lsn: Number(lsn), time });
    const lsns = log.map(({ lsn }) => lsn);
    expect(lsns.slice(-2)).toEqual([20, 3]);
    expect(lsns.slice(0, -2)).toEqual(Array.from({ length: lsns.length - 2 }, (_, i) => 40 - i));
    expect(lsns.length).toBeLessThan(20);
    for (const { lsn, time } of log) {
      for (const point of [lsn, new Date(time)]) {
        const snapshot = await visitor.at(point);
        expect(snapshot.lsn).toBe(lsn);
        expectSame(await snapshot.read(0, 1e9), world.states[lsn]!, `the state at ${point}`);
        snapshot.close();
      }
    }
    // Between what is kept, the newest before.
    const between = await visitor.at(new Date(log.at(-2)!.time + 60_000));
    expect(between.lsn).toBe(20);
    await failure(visitor.at(new Date(log.at(-1)!.time - 60_000)), "not_found");
    for (const lsn of [1, 19, 21]) {
      expect((await failure(visitor.at(lsn), "not_found")).message).toMatch(/retention keeps/);
    }
    await failure(visitor.at(41), "not_found");
  });

  it("forks at what is kept, and of the fork, at nothing else", async () => {
    const world = await collected();
    const store = await openStore(world.objects, { runtime: world.runtime });
    await store.volume(world.volume.id);
    for (const lsn of [3, 20, 40]) {
      const fork = await store.fork(world.volume.id, { lsn });
      expectSame(await whole(fork), world.states[lsn]!);
      const changed = await world.change(fork, world.states[lsn]!);
      await fork.push();
      const elsewhere = await (await openStore(world.objects, { runtime: world.runtime })).volume(fork.id);
      expectSame(await whole(elsewhere), changed);
      await elsewhere.verify();
    }
    const pins = await world.keys("forks");
    await failure(store.fork(world.volume.id, { lsn: 12 }), "not_found");
    expect(await world.keys("forks"), "no pin is left of what was not made").toEqual(pins);
  });

  it("invariant 8: is read without the checkpoints that only save requests", async () => {
    const world = await collected();
    await world.commit(3);
    const lost = world.objects.clone();
    const spare = (await world.keys("checkpoints")).filter(
      (key) => parseCheckpointKey(key)!.lsn !== world.floor,
    );
    expect(spare.length).toBeGreaterThan(1);
    await lost.delete(spare);
    expectSame(await whole(await world.visitor(lost)), world.states.at(-1)!);
    const visitor = await world.visitor(lost);
    for (let lsn = world.floor; lsn <= world.newest; lsn++) {
      expectSame(await (await visitor.at(lsn)).read(0, 1e9), world.states[lsn]!, `the state at LSN ${lsn}`);
    }
  });
});
