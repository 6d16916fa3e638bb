/** Compaction of a volume's data: what is read after it equals what was read before, whoever else is at work, wherever it is cut off. */
import { describe, expect, it } from "vitest";
import { PagefoldError } from "../../src/base/errors.ts";
import { decodeCheckpoint } from "../../src/format/checkpoint-codec.ts";
import { decodeFloor } from "../../src/format/floor-codec.ts";
import { checkpointKey, floorKey, floorPrefix, parseSeriesKey } from "../../src/format/keys.ts";
import { COMPACTION_POINTS, type CompactionPoint } from "../../src/history/compact/compaction-options.ts";
import { MemoryObjectStore } from "../../src/remote/memory-store.ts";
import type { ObjectStore } from "../../src/remote/object-store.ts";
import { withFaults } from "../../src/remote/with-faults.ts";
import { placedKey } from "../../src/replicate/commit-lookup.ts";
import type { Volume } from "../../src/store/volume.ts";
import { seededRandom } from "../local/xxh64.ts";
import { SimRuntime } from "../sim/runtime.ts";
import {
  codecs,
  expectSame,
  failure,
  openStore,
  randomBytes,
  testSeed,
  WatchedStore,
} from "../store/support.ts";

const PAGE = 512;

/** A volume of some commits at random places, and its bytes at every LSN. */
async function grown(objects: ObjectStore, commits: number, pages = 200) {
  const store = await openStore(objects);
  const volume = await store.createVolume({ pageSize: PAGE });
  const states: Uint8Array[] = [new Uint8Array(0)];
  await volume.write(0, randomBytes(pages * PAGE, testSeed));
  await volume.push();
  states.push(await volume.read(0, 1e9));
  await scatter(volume, states, commits - 1);
  return { store, volume, states };
}

async function scatter(volume: Volume, states: Uint8Array[], commits: number): Promise<void> {
  const random = seededRandom(testSeed + states.length);
  for (let i = 0; i < commits; i++) {
    const pages = Math.floor(states.at(-1)!.length / PAGE);
    for (let k = 0; k < 3; k++) {
      const page = Math.floor(random() * pages);
      await volume.write(page * PAGE, randomBytes(PAGE * (1 + Math.floor(random() * 2)), i * 7 + k));
    }
    if (random() < 0.1) await volume.truncate(Math.max(1, Math.floor(pages * 0.8)) * PAGE);
    if (random() < 0.2) await volume.write(pages * PAGE, new Uint8Array(3 * PAGE));
    await volume.push();
    states.push(await volume.read(0, 1e9));
  }
}

async function expectStates(objects: ObjectStore, id: string, states: readonly Uint8Array[]): Promise<void> {
  const volume = await (await openStore(objects)).volume(id);
  for (let lsn = states.length - 1; lsn >= 1; lsn -= Math.max(1, Math.floor(states.length / 12))) {
    const snapshot = await volume.at(lsn);
    expectSame(await snapshot.read(0, 1e9), states[lsn]!, `LSN ${lsn}`);
    snapshot.close();
  }
  await volume.verify();
}

async function keysOf(objects: ObjectStore, volume: Volume, folder: string): Promise<string[]> {
  return (await objects.list(`volumes/${volume.id}/${folder}/`)).map(({ key }) => key);
}

describe("compaction", () => {
  it("makes many small commits one segment, and every state reads as before", async () => {
    const objects = new MemoryObjectStore();
    const { volume, states } = await grown(objects, 40);
    const result = await volume.compact();
    expect(result).toMatchObject({
      lsn: 40,
      steps: 1,
      segmentsBefore: 0,
      segmentsAfter: 1,
      deadBytesAfter: 0,
    });
    expect(result.checkpoint?.lsn).toBe(40);
    expect(await keysOf(objects, volume, "compacted")).toHaveLength(1);
    expect(await keysOf(objects, volume, "floor")).toHaveLength(1);
    await expectStates(objects, volume.id, states);
    // Nothing is left to do.
    expect(await volume.compact()).toMatchObject({ steps: 0, checkpoint: { lsn: 40 }, segmentsAfter: 1 });
  });
});

/** What of a store a reader uses when it reads everything. */
async function fetchedBy(objects: ObjectStore, id: string): Promise<string[]> {
  const watched = new WatchedStore(objects);
  const volume = await (await openStore(watched.store, { runtime: watched.runtime })).volume(id);
  const { requests } = await watched.cost(() => volume.read(0, 1e9));
  return requests.map(({ key }) => key.split("/")[2]!);
}

describe("what a compaction moves", () => {
  it("keeps full segments whose pages live, rewrites those with much that is dead, and all on demand", async () => {
    const objects = new MemoryObjectStore();
    const store = await openStore(objects);
    const volume = await store.createVolume({ pageSize: PAGE });
    const bytes = randomBytes(6000 * PAGE, testSeed);
    await volume.write(0, bytes);
    await volume.push();
    // The commit's own segment is placed as it is.
    const first = await volume.compact();
    expect(first).toMatchObject({ steps: 1, pagesMoved: 0, segmentsAfter: 1 });
    expect(await keysOf(objects, volume, "compacted")).toEqual([]);
    // A few pages: that segment stays.
    const change = randomBytes(300 * PAGE, testSeed + 1);
    await volume.write(0, change);
    await volume.push();
    expect(await volume.compact()).toMatchObject({
      pagesMoved: 300,
      segmentsAfter: 2,
      deadBytesBefore: expect.any(Number),
    });
    // Many: it goes, and the small one with it.
    for (let i = 0; i < 9; i++) {
      await volume.write((500 + i * 400) * PAGE, change);
      await volume.push();
    }
    const third = await volume.compact();
    expect(third).toMatchObject({ pagesMoved: 6000, segmentsAfter: 1, deadBytesAfter: 0 });
    expect(await volume.compact({ all: true })).toMatchObject({ pagesMoved: 6000, segmentsAfter: 1 });
    bytes.set(change);
    for (let i = 0; i < 9; i++) bytes.set(change, (500 + i * 400) * PAGE);
    expectSame(await (await (await openStore(objects)).volume(volume.id)).read(0, 1e9), bytes);
  });

  it("puts pages of one class together, in steps of bounded size", async () => {
    const objects = new MemoryObjectStore();
    const { volume, states } = await grown(objects, 10, 1000);
    const classify = (page: number) => (page % 10 === 0 ? 0 : 1);
    const seen: number[] = [];
    const result = await volume.compact({
      ...{ all: true, classify, stepBytes: 400 * PAGE },
      onProgress: (done, total) => void seen.push(done / total),
    });
    const pages = Math.floor(states.at(-1)!.length / PAGE);
    // What lay scattered was put in order first: more than one step holds.
    expect(result.pagesMoved).toBeGreaterThan(pages);
    expect(result.pagesMoved).toBeLessThanOrEqual(2 * pages);
    const steps = Math.ceil(pages / 400);
    // The last of them may hold pages of one class only.
    expect(result.segmentsAfter).toBeGreaterThan(steps);
    expect(result.segmentsAfter).toBeLessThanOrEqual(2 * steps);
    expect(
      (await volume.compact({ all: true, classify, stepBytes: 400 * PAGE })).pagesMoved,
    ).toBeLessThanOrEqual(pages);
    expect(seen).toEqual([...seen].sort((a, b) => a - b));
    expect(seen.at(-1)).toBe(1);
    await expectStates(objects, volume.id, states);
  });

  it("is no faster than it is told to be", async () => {
    const objects = new MemoryObjectStore();
    const { volume, store } = await grown(objects, 3, 100);
    void store;
    const runtime = new SimRuntime(testSeed);
    const slow = await (await openStore(objects, { runtime })).volume(volume.id);
    const start = runtime.monotonic();
    const { bytesRead, bytesWritten } = await slow.compact({ bytesPerSecond: 10_000 });
    const seconds = (runtime.monotonic() - start) / 1000;
    await failure(slow.compact({ bytesPerSecond: 0 }), "invalid");
    await failure(slow.compact({ stepBytes: Number.NaN }), "invalid");
    // The checkpoint, read index and digests are not paced.
    expect(seconds).toBeGreaterThan((0.8 * (bytesRead + bytesWritten)) / 10_000 - 1);
    expect(seconds).toBeGreaterThan(5);
  });
});

describe("several at work", () => {
  it("two compactors at once: both end, one after the other counts", async () => {
    const objects = new MemoryObjectStore();
    const { volume, states } = await grown(objects, 12);
    const other = await (await openStore(objects)).volume(volume.id);
    const results = await Promise.all([volume.compact(), other.compact(), other.compact({ all: true })]);
    expect(results.map(({ lsn }) => lsn)).toEqual([12, 12, 12]);
    expect(results.reduce((sum, { steps }) => sum + steps, 0)).toBeGreaterThanOrEqual(1);
    await expectNoGarbage(objects, volume);
    await expectStates(objects, volume.id, states);
  });

  it("pushes go on meanwhile, and the next compaction takes what they brought", async () => {
    const objects = new MemoryObjectStore();
    const { volume, states } = await grown(objects, 12);
    const writer = await (await openStore(objects)).volume(volume.id);
    const pushedAt: CompactionPoint[] = [];
    await volume.compact({
      stepBytes: 64 * PAGE,
      onStep: async (point) => {
        if (pushedAt.includes(point)) return;
        pushedAt.push(point);
        await scatter(writer, states, 1);
      },
    });
    expect(pushedAt).toEqual([...COMPACTION_POINTS]);
    // Its own volume pushes as well, and names what was registered.
    await volume.pull();
    await scatter(volume, states, 2);
    await volume.compact();
    await expectStates(objects, volume.id, states);
    await expectNoGarbage(objects, volume);
  });

  it("a reader that holds a snapshot reads on; a resident volume stays so", async () => {
    const objects = new MemoryObjectStore();
    const { volume, states } = await grown(objects, 12);
    const watched = new WatchedStore(objects);
    const reader = await (await openStore(watched.store, { runtime: watched.runtime })).volume(volume.id);
    const cold = await (await openStore(objects)).volume(volume.id);
    const snapshot = cold.snapshot();
    await reader.hydrate();
    await volume.compact({ all: true });
    await scatter(volume, states, 1);
    expectSame(await snapshot.read(0, 1e9), states[12]!);
    snapshot.close();
    const { requests } = await watched.cost(() => reader.read(0, 1e9));
    expect(requests).toEqual([]);
    await reader.pull();
    const after = await watched.cost(() => reader.read(0, 1e9));
    // Only what the last commit changed.
    expect(after.requests.every(({ key }) => key.includes("/commits/"))).toBe(true);
    expectSame(after.value, states[13]!);
    const folders = await fetchedBy(objects, volume.id);
    expect(folders.filter((folder) => folder === "commits").length).toBeLessThanOrEqual(2);
    expect(folders).toContain("compacted");
  });
});

/** Every compacted segment, and every checkpoint, is or was named by a floor: nobody left anything behind that never counted. */
async function expectNoGarbage(objects: ObjectStore, volume: Volume): Promise<void> {
  const named = new Set<string>();
  for (const floor of await objects.list(floorPrefix(volume.id))) {
    const n = parseSeriesKey(floorPrefix(volume.id), floor.key)!;
    for (const key of await namedBy(objects, volume, n)) named.add(key);
  }
  for (const folder of ["compacted", "checkpoints"])
    for (const key of await keysOf(objects, volume, folder)) expect([...named]).toContain(key);
}

/** What a floor names, all of which must be there: nobody has collected anything. */
async function namedBy(objects: ObjectStore, { id }: Volume, n: number): Promise<string[]> {
  const named: string[] = [];
  const stored = (await objects.get(floorKey(id, n)))!;
  for (const { lsn, hash } of decodeFloor(stored, codecs.hash, { volume: id, n }).checkpoints) {
    const key = checkpointKey(id, lsn, hash);
    const bytes = (await objects.get(key))!;
    const { segments } = decodeCheckpoint(bytes, codecs.hash, { volume: id, lsn, hash });
    named.push(key, ...segments.map(placedKey));
  }
  for (const key of named)
    expect(await objects.get(key, { range: { offset: 0, length: 1 } }), key).toBeDefined();
  return named;
}

describe("a compaction that is cut off", () => {
  for (const point of COMPACTION_POINTS) {
    it(`at "${point}" leaves garbage at most, and is finished by the next`, async () => {
      const objects = new MemoryObjectStore();
      const { volume, states } = await grown(objects, 8);
      await volume.compact({ to: 4 });
      const dead = { now: false };
      const remote = withFaults(
        objects,
        () =>
          dead.now
            ? { kind: "fail-before", error: new PagefoldError("forbidden", "the process is dead") }
            : undefined,
        { runtime: new SimRuntime(testSeed) },
      );
      const dying = await (await openStore(remote)).volume(volume.id);
      let left = 2;
      const options = {
        ...{ all: true, stepBytes: 80 * PAGE },
        onStep: (at: CompactionPoint) => {
          if (at !== point || --left > 0) return;
          dead.now = true;
          throw new Error("killed");
        },
      };
      await expect(dying.compact(options)).rejects.toThrow("killed");
      expect(left).toBe(0);
      await expectStates(objects, volume.id, states);
      const next = await (await openStore(objects)).volume(volume.id);
      expect(await next.compact({ all: true })).toMatchObject({
        lsn: 8,
        segmentsAfter: 1,
        deadBytesAfter: 0,
      });
      await expectStates(objects, volume.id, states);
    });
  }

  it("with no answer to its floor: nothing that may count is deleted, and the next goes on from it", async () => {
    for (const kind of ["fail-after", "fail-before"] as const) {
      const objects = new MemoryObjectStore();
      const { volume, states } = await grown(objects, 8);
      const error = new PagefoldError("forbidden", "not any more");
      const remote = withFaults(
        objects,
        ({ operation, key }) =>
          operation === "put" && key.includes("/floor/") ? { kind, error } : undefined,
        { runtime: new SimRuntime(testSeed) },
      );
      const unlucky = await (await openStore(remote)).volume(volume.id);
      await failure(unlucky.compact(), "forbidden");
      expect(await keysOf(objects, volume, "floor")).toHaveLength(kind === "fail-after" ? 1 : 0);
      await expectStates(objects, volume.id, states);
      const again = await (await openStore(objects)).volume(volume.id);
      expect(await again.compact()).toMatchObject({ steps: kind === "fail-after" ? 0 : 1, segmentsAfter: 1 });
      await expectStates(objects, volume.id, states);
    }
  });

  it("by its caller cleans up after itself and keeps the steps that are done", async () => {
    const objects = new MemoryObjectStore();
    const { volume, states } = await grown(objects, 8);
    const controller = new AbortController();
    let registered = 0;
    const onStep = (point: CompactionPoint) => {
      if (point === "registered") registered++;
      if (point === "segment-written" && registered === 2) controller.abort();
    };
    const error = await failure(
      volume.compact({ all: true, stepBytes: 50 * PAGE, signal: controller.signal, onStep }),
    );
    expect(error.code).toBe("aborted");
    expect(registered).toBe(2);
    await expectNoGarbage(objects, volume);
    await expectStates(objects, volume.id, states);
  });
});
