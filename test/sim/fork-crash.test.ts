/**
 * A fork that takes local commits with it, cut off anywhere: at every operation on the local files, with any legal subset of what was not
 * flushed, torn or not, and with every object that had or had not arrived. The commits are the parent's or the fork's, never nobody's or
 * both's; running it again finishes it, with one fork.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { BlockFileSystem } from "../../src/local/block-file.ts";
import { RecordLog } from "../../src/local/record-log.ts";
import { MemoryObjectStore } from "../../src/remote/memory-store.ts";
import type { Body, ObjectStore } from "../../src/remote/object-store.ts";
import type { PageStore } from "../../src/store/page-store.ts";
import type { Volume } from "../../src/store/volume.ts";
import { expectSame, failure, openStore, testSeed, textBytes } from "../store/support.ts";
import { type CrashState, RecordingBlockFileSystem } from "./block-crash.ts";

// Extents of 1 MiB would be copied for every state.
const { open: openRecordLog } = RecordLog;
beforeAll(() => {
  RecordLog.open = (files, options) =>
    openRecordLog.call(RecordLog, files, { ...options, extentBytes: 8192 });
});
afterAll(() => {
  RecordLog.open = openRecordLog;
});

const PAGE = 512;
const settings = { transactionBytes: 2 * PAGE, compactAboveBytes: 16 * PAGE };
const again = { tag: "fork", localCommits: "move" } as const;

interface Put {
  readonly key: string;
  readonly bytes: Uint8Array;
  /** Operations on local files that had been issued when it was sent. */
  readonly at: number;
}

/** Remembers what is put, and when, on the time line of the local files. */
function recorded(
  objects: MemoryObjectStore,
  files: RecordingBlockFileSystem,
): { store: ObjectStore; puts: Put[] } {
  const puts: Put[] = [];
  const put = async (key: string, body: Body, options?: object) => {
    puts.push({ key, bytes: body as Uint8Array, at: files.position });
    return objects.put(key, body, options);
  };
  const store: ObjectStore = Object.create(objects, {
    put: { value: put },
    get: { value: objects.get.bind(objects) },
    list: { value: objects.list.bind(objects) },
    close: { value: async () => {} },
  });
  return { store, puts };
}

interface Scene {
  /** Before the fork was begun. */
  readonly objects: MemoryObjectStore;
  readonly files: RecordingBlockFileSystem;
  readonly from: number;
  readonly puts: readonly Put[];
  readonly pushed: Uint8Array;
  readonly local: Uint8Array;
}

/** Two pushed commits, three local ones of which one spilled, and the fork. */
async function record(): Promise<Scene> {
  const files = await RecordingBlockFileSystem.over();
  const objects = new MemoryObjectStore();
  const { store: remote, puts } = recorded(objects, files);
  const store = await openStore(remote, { local: { files }, settings });
  const parent = await store.createVolume({ pageSize: PAGE, tag: "parent" });
  for (let i = 0; i < 2; i++) {
    await parent.write(i * 700, textBytes(900, i));
    await parent.push();
  }
  const pushed = await content(parent);
  await parent.write(100, textBytes(50, 5));
  await parent.write(PAGE, textBytes(5 * PAGE, 6));
  await parent.truncate(4 * PAGE - 9);
  const local = await content(parent);
  const from = files.position;
  const before = objects.clone();
  puts.length = 0;
  await store.fork("parent", again);
  return { objects: before, files, from, puts: puts.slice(), pushed, local };
}

async function content(volume: Volume): Promise<Uint8Array> {
  return volume.read(0, 1e9);
}

/** What of the fork's objects may be in the store at a crash: all that were sent before the last operation, maybe the next. */
function* remotesOf(scene: Scene, issued: number): Generator<number> {
  const least = scene.puts.filter(({ at }) => at < issued).length;
  const most = scene.puts.filter(({ at }) => at <= issued).length;
  for (let n = least; n <= most; n++) yield n;
}

async function remoteAfter(scene: Scene, count: number): Promise<MemoryObjectStore> {
  const objects = scene.objects.clone();
  for (const { key, bytes } of scene.puts.slice(0, count)) await objects.put(key, bytes, { ifAbsent: true });
  return objects;
}

/** Checks that the local commits are in one place; answers whether it is the parent. */
async function whereTheyAre(scene: Scene, store: PageStore): Promise<"parent" | "fork"> {
  const parent = await store.volume("parent", { offline: true });
  const others: Volume[] = [];
  for (const id of store.local()) {
    if (id !== parent.id) others.push(await store.volume(id));
  }
  const ahead = others.map((volume) => volume.status().ahead);
  if (parent.status().ahead > 0) {
    expectSame(await content(parent), scene.local, "invariant 3: the parent's");
    expect(
      ahead.filter((each) => each > 0),
      "invariant 2: nothing of them is elsewhere",
    ).toEqual([]);
    return "parent";
  }
  expectSame(await content(parent), scene.pushed, "the parent, as after a reset");
  expect(ahead, "invariants 2 and 3: all of them are in the fork").toEqual([3]);
  expectSame(await content(others[0]!), scene.local, "invariant 3: the fork's");
  return "fork";
}

/** Runs the fork again on what a crash left, and answers the fork. */
async function runAgain(scene: Scene, store: PageStore): Promise<Volume> {
  const where = await whereTheyAre(scene, store);
  if (where === "parent") return store.fork("parent", again);
  await failure(store.fork("parent", again), "conflict");
  return store.volume("fork");
}

async function recover(scene: Scene, files: BlockFileSystem, objects: MemoryObjectStore): Promise<void> {
  const options = { local: { files }, settings };
  const store = await openStore(objects, options);
  const fork = await runAgain(scene, store);
  expect(fork.status()).toMatchObject({ lsn: 2, ahead: 3 });
  expect(await whereTheyAre(scene, store)).toBe("fork");
  const manifests = (await objects.list("volumes/")).filter(({ key }) => key.endsWith("/manifest"));
  expect(manifests, "invariant 11: one parent, one fork").toHaveLength(2);
  // A log that was compacted since says the same.
  const parent = await store.volume("parent");
  await parent.write(0, textBytes(30 * PAGE, 1));
  await parent.reset();
  await store.close();
  const reopened = await openStore(objects, options);
  expect(await whereTheyAre(scene, reopened)).toBe("fork");
  const last = await reopened.volume("fork", { offline: true });
  expect(await last.push()).toMatchObject({ lsn: 3, commits: 3 });
  await reopened.close();
  const clone = await (await openStore(objects)).volume("fork");
  expectSame(await content(clone), scene.local, "a clone");
  expect((await clone.verify()).commits).toBe(3);
}

describe("invariants 2, 3 and 11: a fork that moves local commits, cut off anywhere", () => {
  async function eachCrash(
    scene: Scene,
    limits: { exhaustiveUpTo: number; samples?: number; torn: number },
    work: (disk: CrashState, objects: MemoryObjectStore, what: string) => Promise<void>,
  ): Promise<number> {
    let tried = 0;
    for await (const disk of scene.files.crashStates({ seed: testSeed, from: scene.from, ...limits })) {
      for (const puts of remotesOf(scene, disk.issued)) {
        const files = disk.files.clone();
        const what = `${disk.description}, ${puts} objects`;
        try {
          await work({ ...disk, files }, await remoteAfter(scene, puts), what);
        } catch (error) {
          throw new Error(`${what}: ${error instanceof Error ? error.message : error}`, { cause: error });
        }
        tried++;
      }
    }
    return tried;
  }

  it("once", async () => {
    const scene = await record();
    expect(scene.puts.map(({ key }) => key.split("/").at(-2))).toEqual(["forks", expect.any(String), "fork"]);
    const tried = await eachCrash(scene, { exhaustiveUpTo: 6, torn: 8 }, (disk, objects) =>
      recover(scene, disk.files, objects),
    );
    expect(tried).toBeGreaterThan(10);
  }, 60_000);

  it("and again while it is finished", async () => {
    const scene = await record();
    let second = 0;
    await eachCrash(scene, { exhaustiveUpTo: 1, samples: 2, torn: 1 }, async (disk, objects) => {
      const files = await RecordingBlockFileSystem.over(disk.files as never);
      const { store: remote, puts } = recorded(objects, files);
      const before = objects.clone();
      const store = await openStore(remote, { local: { files }, settings });
      await runAgain(scene, store);
      const rerun: Scene = { ...scene, objects: before, files, from: 0, puts };
      second += await eachCrash(rerun, { exhaustiveUpTo: 1, samples: 2, torn: 1 }, (left, then) =>
        recover(scene, left.files, then),
      );
    });
    expect(second).toBeGreaterThan(100);
  }, 120_000);

  /** All of the fork's objects are in the store, and the fork is not yet followed here. */
  async function almost(scene: Scene): Promise<{ store: PageStore; objects: MemoryObjectStore }> {
    let last: CrashState | undefined;
    for await (const disk of scene.files.crashStates({
      seed: testSeed,
      from: scene.from,
      exhaustiveUpTo: 0,
      torn: 0,
    })) {
      if (disk.issued === scene.puts.at(-1)!.at) last = disk;
    }
    const objects = await remoteAfter(scene, scene.puts.length);
    return { store: await openStore(objects, { local: { files: last!.files }, settings }), objects };
  }

  it("a fork that was opened meanwhile takes them over, if it is as it was", async () => {
    const scene = await record();
    const { store } = await almost(scene);
    const early = await store.volume("fork");
    using snapshot = early.snapshot();
    // Numbers of local commits that came and went are in nobody's way.
    for (let i = 0; i < 5; i++) await early.write(0, textBytes(30, i));
    await early.reset();
    const transaction = await early.begin();
    const fork = await store.fork("parent", again);
    expect(fork).toBe(early);
    await transaction.write(0, textBytes(10, 1));
    expect(() => transaction.commit(), "it began on another state").toThrow(/moved on/);
    expect(await whereTheyAre(scene, store)).toBe("fork");
    expectSame(await snapshot.read(0, 1e9), scene.pushed, "invariant 1");
    await fork.write(0, textBytes(10, 1));
    expect((await fork.push()).commits).toBe(4);
  });

  it("one that has changed since does not, and nothing is lost", async () => {
    const scene = await record();
    const { store } = await almost(scene);
    const early = await store.volume("fork");
    await early.write(0, textBytes(30, 1));
    await early.push();
    await failure(store.fork("parent", again), "conflict");
    expect(await whereTheyAre(scene, store)).toBe("parent");
    const other = await store.fork("parent", { ...again, tag: "other" });
    expect(other.id).not.toBe(early.id);
    expectSame(await content(other), scene.local, "invariant 3");
    expect(early.status()).toMatchObject({ lsn: 3, ahead: 0 });
  });
});
