/** The replicas of a local store and their log: replay gives the same, compaction loses nothing that anybody still needs. */
import { describe, expect, it } from "vitest";
import { MemoryRecorder } from "../../src/base/recorder.ts";
import { MemoryBlockFileSystem } from "../../src/local/memory-block-file.ts";
import { MemoryObjectStore } from "../../src/remote/memory-store.ts";
import type { PageStore } from "../../src/store/page-store.ts";
import type { Volume } from "../../src/store/volume.ts";
import { VolatileBlockFileSystem } from "../sim/volatile-files.ts";
import { expectSame, failure, openStore, textBytes } from "../store/support.ts";

const PAGE = 512;
const settings = { transactionBytes: 3 * PAGE, compactAboveBytes: 4 * PAGE };

async function open(objects: MemoryObjectStore, files = new MemoryBlockFileSystem()) {
  const recorder = new MemoryRecorder();
  const store = await openStore(objects, { local: { files }, settings, recorder });
  return { store, recorder, files };
}

/** The same store after a restart that flushed everything. */
async function again(
  objects: MemoryObjectStore,
  store: PageStore,
  files: MemoryBlockFileSystem,
  id: string,
): Promise<Volume> {
  await store.close();
  const reopened = await open(objects, files);
  return reopened.store.volume(id, { offline: true });
}

describe("compaction of the local log", () => {
  it("happens, and keeps base, local commits, tags and the sequence", async () => {
    const objects = new MemoryObjectStore();
    const { store, recorder, files } = await open(objects);
    const volume = await store.createVolume({ pageSize: PAGE, tag: "kept" });
    for (let i = 0; i < 30; i++) {
      await volume.write((i % 7) * PAGE, textBytes(2 * PAGE, i));
      if (i % 3 === 2) await volume.push();
    }
    await volume.write(3, textBytes(5, 99));
    expect(recorder.get("local.log.rewrite.count")).toBeGreaterThan(2);
    const content = await volume.read(0, 1e9);
    const status = volume.status();
    const opened = await again(objects, store, files, "kept");
    expect(opened.status()).toMatchObject({ lsn: status.lsn, ahead: 1, byteLength: content.length });
    expectSame(await opened.read(0, 1e9), content, "invariant 3");
  });

  it("invariant 1: snapshots of pushed and of dropped local commits are read through it", async () => {
    const objects = new MemoryObjectStore();
    const { store, recorder } = await open(objects);
    const volume = await store.createVolume({ pageSize: PAGE });
    const held: { bytes: Uint8Array; snapshot: ReturnType<Volume["snapshot"]> }[] = [];
    for (let i = 0; i < 60; i++) {
      await volume.write((i % 5) * PAGE, textBytes(3 * PAGE, i));
      if (i % 5 === 2) held.push({ bytes: await volume.read(0, 1e9), snapshot: volume.snapshot() });
      if (i % 4 === 1) await volume.push();
      if (i % 4 === 3) await volume.reset();
    }
    expect(recorder.get("local.log.rewrite.count")).toBeGreaterThan(1);
    for (const { bytes, snapshot } of held) {
      expectSame(await snapshot.read(0, 1e9), bytes, "invariant 1");
      snapshot.close();
    }
  });

  it("a snapshot that is closed lets go of what only it kept", async () => {
    const objects = new MemoryObjectStore();
    const { store, recorder } = await open(objects);
    const volume = await store.createVolume({ pageSize: PAGE });
    await volume.write(0, textBytes(40 * PAGE, 1));
    const snapshot = volume.snapshot();
    await volume.push();
    await volume.write(0, textBytes(PAGE, 2));
    await volume.push();
    expect(recorder.get("local.log.rewrite.count"), "half of the log is still read").toBe(0);
    snapshot.close();
    await volume.write(0, textBytes(PAGE, 4));
    await volume.push();
    expect(recorder.get("local.log.rewrite.count")).toBe(1);
    expectSame((await volume.read(0, PAGE)).subarray(0, 512), textBytes(PAGE, 4));
  });

  it("spilled commits, and spills of a transaction that is open meanwhile, are carried over", async () => {
    const objects = new MemoryObjectStore();
    const { store, recorder, files } = await open(objects);
    const volume = await store.createVolume({ pageSize: PAGE, tag: "t" });
    await volume.write(0, textBytes(30 * PAGE, 1)); // spills, then commits
    await volume.push();
    const tx = await volume.begin();
    await tx.write(0, textBytes(20 * PAGE, 2)); // spills
    const before = recorder.get("local.log.rewrite.count");
    await volume.fetch();
    const other = await store.createVolume({ pageSize: PAGE });
    for (let i = 0; i < 4; i++) {
      await other.write(0, textBytes(60 * PAGE, i));
      await other.push();
    }
    expect(recorder.get("local.log.rewrite.count"), "compacted under the open transaction").toBeGreaterThan(
      before,
    );
    expectSame((await tx.read(0, 1e9)).subarray(0, 20 * PAGE), textBytes(20 * PAGE, 2), "its spills");
    tx.commit();
    const content = await volume.read(0, 1e9);
    expectSame(content.subarray(0, 20 * PAGE), textBytes(20 * PAGE, 2), "committed");
    const opened = await again(objects, store, files, "t");
    expectSame(await opened.read(0, 1e9), content, "invariant 3: after a restart");
  });

  it("without room for a second log it is put off, and the push that led to it is acknowledged", async () => {
    const objects = new MemoryObjectStore();
    // The log preallocates 1 MiB of it.
    const files = new MemoryBlockFileSystem({ capacity: 1_048_576 + 20_000 });
    const { store, recorder } = await open(objects, files);
    const volume = await store.createVolume({ pageSize: PAGE });
    await volume.write(0, textBytes(40 * PAGE, 9));
    const held = volume.snapshot();
    for (let i = 0; i < 6; i++) {
      await volume.write(0, textBytes(40 * PAGE, i));
      expect((await volume.push()).lsn).toBe(i + 1);
    }
    expect(recorder.get("local.log.rewrite_failed")).toBeGreaterThan(0);
    expectSame(await volume.read(0, 1e9), textBytes(40 * PAGE, 5));
    expectSame(await held.read(0, 1e9), textBytes(40 * PAGE, 9), "invariant 1");
    held.close();
    await volume.write(0, textBytes(40 * PAGE, 6));
    await volume.push();
    expect(recorder.get("local.log.rewrite.count"), "done as soon as there is room").toBeGreaterThan(0);
  });
});

describe("replay", () => {
  it("of every kind of record gives the same replica", async () => {
    const objects = new MemoryObjectStore();
    const files = new MemoryBlockFileSystem();
    const plain = { transactionBytes: 3 * PAGE };
    const store = await openStore(objects, { local: { files }, settings: plain });
    const volume = await store.createVolume({ pageSize: PAGE, tag: "a" });
    const stranger = await (await openStore(objects)).volume("a");
    await volume.write(0, textBytes(10 * PAGE, 1));
    await volume.push();
    await stranger.pull();
    await stranger.write(3 * PAGE, new Uint8Array(2 * PAGE));
    await stranger.truncate(8 * PAGE + 5);
    await stranger.push();
    await volume.write(0, textBytes(3, 3));
    await volume.reset();
    await volume.pull();
    const aborted = await volume.begin();
    await aborted.write(0, textBytes(9 * PAGE, 7));
    aborted.rollback();
    await volume.write(PAGE, textBytes(5 * PAGE, 4));
    await volume.truncate(20 * PAGE);
    const content = await volume.read(0, 1e9);
    const checksum = volume.stateChecksum;
    const status = volume.status();
    await store.close();
    const reopened = await openStore(objects, { local: { files }, settings: plain });
    const opened = await reopened.volume("a", { offline: true });
    expect(opened.status()).toMatchObject({
      lsn: status.lsn,
      ahead: 2,
      state: "ahead",
      byteLength: content.length,
    });
    expect(opened.stateChecksum).toBe(checksum);
    expectSame(await opened.read(0, 1e9), content, "invariant 3");
    expect((await opened.push()).lsn).toBe(status.lsn + 1);
  });

  it("relaxed commits that a power cut takes are taken from the end, whole (invariants 2 and 3)", async () => {
    for (let seed = 1; seed < 30; seed++) {
      const objects = new MemoryObjectStore();
      const files = new VolatileBlockFileSystem();
      const store = await openStore(objects, { local: { files }, settings: { relaxedFlushMs: 1e12 } });
      const volume = await store.createVolume({ pageSize: PAGE, tag: "a" });
      const states = [await volume.read(0, 1e9)];
      for (let i = 0; i < 6; i++) {
        await volume.write(i * 300, textBytes(700, seed + i), { durability: i === 2 ? "full" : "relaxed" });
        states.push(await volume.read(0, 1e9));
      }
      let state = seed;
      const random = () => {
        state = (state * 48_271) % 2_147_483_647;
        return state / 2_147_483_647;
      };
      const left = await files.crash(random);
      const opened = await (await openStore(objects, { local: { files: left } })).volume("a", {
        offline: true,
      });
      const { ahead } = opened.status();
      expect(ahead).toBeGreaterThanOrEqual(3);
      expectSame(await opened.read(0, 1e9), states[ahead]!, "a prefix of the commits");
    }
  });

  it("a local page that the disk lost is corrupt, named, and nothing else is", async () => {
    const objects = new MemoryObjectStore();
    const files = new MemoryBlockFileSystem();
    const store = await openStore(objects, { local: { files } });
    const volume = await store.createVolume({ pageSize: PAGE });
    await volume.write(0, textBytes(4 * PAGE, 1));
    const snapshot = volume.snapshot();
    const { replica } = snapshot.context;
    const batch = replica.state.commits.at(0)!.batches[0]!;
    batch.sums[2] = 1n;
    const error = await failure(volume.read(0, 1e9), "corrupt");
    expect(error.details).toMatchObject({ volume: volume.id, page: 3 });
    expectSame(await volume.read(0, 2 * PAGE), textBytes(4 * PAGE, 1).subarray(0, 2 * PAGE));
    await failure(volume.push(), "corrupt");
    expect(volume.status()).toMatchObject({ ahead: 1, pendingPush: false });
  });
});
