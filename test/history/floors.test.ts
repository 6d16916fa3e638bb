/** The floor as collections and readers ask for it: from what is known on, never believing a listing, and knowing what they made themselves. */
import { describe, expect, it } from "vitest";
import type { Lsn, TimeMs, VolumeId } from "../../src/base/brand.ts";
import { floorKey } from "../../src/format/keys.ts";
import type { Manifest } from "../../src/format/model.ts";
import { currentFloor, type NextFloor, raiseFloor } from "../../src/history/keep/floors.ts";
import { MemoryObjectStore } from "../../src/remote/memory-store.ts";
import type { ObjectStore } from "../../src/remote/object-store.ts";
import type { ReplicaContext } from "../../src/replicate/context.ts";
import { findFloor, newestFloor } from "../../src/replicate/floor.ts";
import { CommitDirectory } from "../../src/volume/commit-directory.ts";
import { someHash, someId } from "../format/support.ts";
import { SimRuntime } from "../sim/runtime.ts";
import { codecs } from "../store/support.ts";
import { CountedStore } from "./counted-store.ts";

const volume = someId<VolumeId>(1);

/** All that asking for floors takes of a handle that has asked for nothing yet. */
function handle(remote: ObjectStore): ReplicaContext {
  const manifest = { volume, ancestors: [] as Manifest["ancestors"] } as Manifest;
  const directory = new CommitDirectory(manifest);
  const frames = { directory, codecs, storeUrl: remote.url };
  const parts: unknown = {
    replica: { manifest, directory },
    remote,
    codecs,
    frames,
    runtime: new SimRuntime(1),
  };
  return parts as ReplicaContext;
}

function nextFloor(lsn: Lsn): NextFloor {
  return { lsn, checkpoints: [{ lsn, time: 1 as TimeMs, hash: someHash(lsn) }] };
}

/** Makes so many floors, and knows them all. */
async function raise(context: ReplicaContext, times: number): Promise<void> {
  for (let i = 0; i < times; i++) {
    const before = await currentFloor(context, {});
    const lsn = ((before?.lsn ?? 0) + 1) as Lsn;
    const made = await raiseFloor(context, before, nextFloor(lsn), {});
    expect(made).toMatchObject({ n: (before?.n ?? 0) + 1, lsn });
  }
}

/** Finds the floor as the read path does; answers the numbers that it asked for. */
async function follow(context: ReplicaContext): Promise<number> {
  const plan = findFloor(context.frames, volume);
  let requests = 0;
  for (let step = plan.next(); ; ) {
    if (step.done) return requests;
    requests += step.value.length;
    step = plan.next(
      await Promise.all(
        step.value.map(({ key, offset, length }) => context.remote.get(key, { range: { offset, length } })),
      ),
    );
  }
}

describe("the floor that holds", () => {
  it("is one or two requests away for whoever knows the one before, and not listed again", async () => {
    const counted = new CountedStore(new MemoryObjectStore());
    const [ours, theirs] = [handle(counted.store), handle(counted.store)];
    const first = await counted.cost(() => currentFloor(ours, {}));
    expect(first).toMatchObject({ value: undefined, requests: 2, list: 1 });
    expect(await counted.cost(() => currentFloor(ours, {}))).toMatchObject({
      value: undefined,
      requests: 1,
      get: 1,
    });
    await raise(ours, 2);
    expect(await counted.cost(() => currentFloor(ours, {}))).toMatchObject({
      value: { n: 2 },
      requests: 2,
      get: 2,
    });
    // Another's collection made two.
    await raise(theirs, 2);
    expect(await counted.cost(() => currentFloor(ours, {}))).toMatchObject({
      value: { n: 4, lsn: 4 },
      requests: 4,
      get: 4,
    });
  });

  it("is never the one that a listing shows", async () => {
    const objects = new MemoryObjectStore();
    const behind = { ...new CountedStore(objects).store, list: async () => [] };
    const [ours, theirs] = [handle(behind), handle(objects)];
    await raise(theirs, 5);
    expect(await currentFloor(ours, {})).toMatchObject({ n: 5 });
    await raise(theirs, 3);
    expect(await currentFloor(ours, {})).toMatchObject({ n: 8 });
    expect(await currentFloor(handle(behind), {})).toMatchObject({ n: 8 });
  });

  it("is not made over one that somebody else made first", async () => {
    const objects = new MemoryObjectStore();
    const [ours, theirs] = [handle(objects), handle(objects)];
    await raise(ours, 1);
    const before = await currentFloor(ours, {});
    await raise(theirs, 1);
    expect(await raiseFloor(ours, before, nextFloor(9 as Lsn), {})).toBeUndefined();
    expect(await currentFloor(ours, {})).toMatchObject({ n: 2, lsn: 2 });
  });

  it("is not taken from memory where the store went back to what it was before", async () => {
    const objects = new MemoryObjectStore();
    const ours = handle(objects);
    await raise(ours, 2);
    await objects.delete([floorKey(volume, 2)]);
    await expect(currentFloor(ours, {})).rejects.toMatchObject({ code: "diverged" });
    expect(await currentFloor(handle(objects), {})).toMatchObject({ n: 1 });
  });

  it("is the same for readers, by requests and as a plan", async () => {
    const counted = new CountedStore(new MemoryObjectStore());
    const [collector, verb, plan] = [0, 1, 2].map(() => handle(counted.store));
    for (const times of [0, 1, 2, 3, 9, 20]) {
      await raise(collector!, times);
      const n = collector!.replica.directory.floorNumber(volume) ?? 0;
      expect((await newestFloor(verb!))?.n ?? 0).toBe(n);
      await follow(plan!);
      expect(plan!.replica.directory.floorNumber(volume)).toBe(n);
      // Nothing new: each tells by asking for the next.
      expect(await counted.cost(() => newestFloor(verb!))).toMatchObject({ requests: 1 });
      expect(await follow(plan!)).toBe(1);
    }
  });
});
