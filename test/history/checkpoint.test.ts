/** Checkpoints that pushers write: when, at whose cost, and who may rely on them. */
import { describe, expect, it } from "vitest";
import type { Hash, Lsn, TimeMs, VolumeId } from "../../src/base/brand.ts";
import { PagefoldError } from "../../src/base/errors.ts";
import { MemoryRecorder } from "../../src/base/recorder.ts";
import { decodeCheckpoint } from "../../src/format/checkpoint-codec.ts";
import { decodeCommit } from "../../src/format/commit-codec.ts";
import { encodeFloor } from "../../src/format/floor-codec.ts";
import {
  checkpointKey,
  checkpointsPrefix,
  commitKey,
  floorKey,
  parseCheckpointKey,
} from "../../src/format/keys.ts";
import { PageSet } from "../../src/format/page-set.ts";
import { MemoryObjectStore } from "../../src/remote/memory-store.ts";
import type { ObjectStore } from "../../src/remote/object-store.ts";
import type { Volume } from "../../src/store/volume.ts";
import { codecs, expectSame, openStore, randomBytes, testSeed } from "../store/support.ts";

const PAGE = 512;

async function pushes(volume: Volume, count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    const { lsn } = volume.status();
    await volume.write((lsn % 13) * PAGE, randomBytes(PAGE, testSeed + lsn));
    await volume.push();
  }
}

/** LSNs of the checkpoints that are stored, rising. */
async function stored(objects: ObjectStore, id: VolumeId): Promise<{ lsn: number; key: string }[]> {
  const entries = await objects.list(checkpointsPrefix(id));
  return entries.map(({ key }) => ({ key, lsn: parseCheckpointKey(key)!.lsn })).reverse();
}

async function headerAt(objects: ObjectStore, id: VolumeId, lsn: number) {
  const bytes = (await objects.get(commitKey(id, lsn as Lsn)))!;
  return decodeCommit(bytes, codecs.hash).header;
}

/** Waits for what has no end that can be awaited. */
async function until(done: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await done())) await new Promise((resolve) => setTimeout(resolve, 1));
}

/** A store whose puts of checkpoints wait until they are let go, or fail. */
function slowCheckpoints(objects: ObjectStore) {
  const gate: { waiting: (() => void)[]; open: boolean; fail: boolean } = {
    waiting: [],
    open: false,
    fail: false,
  };
  const remote: ObjectStore = {
    url: objects.url,
    capabilities: objects.capabilities,
    get: (key, options) => objects.get(key, options),
    list: (prefix, options) => objects.list(prefix, options),
    delete: (keys, options) => objects.delete(keys, options),
    close: () => objects.close(),
    put: async (key, body, options) => {
      if (key.includes("/checkpoints/")) {
        if (gate.fail) throw new PagefoldError("forbidden", "no checkpoints here");
        if (!gate.open) {
          await new Promise<void>((resolve, reject) => {
            gate.waiting.push(resolve);
            options?.signal?.addEventListener("abort", () => reject(options.signal!.reason));
          });
        }
      }
      return objects.put(key, body, options);
    },
  };
  return { gate, remote };
}

describe("checkpoints of pushers", () => {
  it("come at every multiple, hold the whole table, and are named by the next commit", async () => {
    const objects = new MemoryObjectStore();
    const recorder = new MemoryRecorder();
    const store = await openStore(objects, { recorder, settings: { checkpointEvery: 4 } });
    const volume = await store.createVolume({ pageSize: PAGE });
    await volume.write(0, randomBytes(64 * PAGE, testSeed));
    for (let i = 0; i < 3; i++) {
      await pushes(volume, 4);
      await until(() => recorder.get("push.checkpoints") === i + 1);
    }
    await pushes(volume, 2);
    const found = await stored(objects, volume.id);
    expect(found.map(({ lsn }) => lsn)).toEqual([4, 8, 12]);
    const named = [];
    for (let lsn = 1; lsn <= 14; lsn++) named.push((await headerAt(objects, volume.id, lsn)).checkpoint?.lsn);
    expect(named).toEqual([undefined, undefined, undefined, undefined, 4, 4, 4, 4, 8, 8, 8, 8, 12, 12]);
    const { hash } = (await headerAt(objects, volume.id, 9)).checkpoint!;
    const bytes = (await objects.get(checkpointKey(volume.id, 8 as Lsn, hash)))!;
    const checkpoint = decodeCheckpoint(bytes, codecs.hash, { volume: volume.id, lsn: 8 as Lsn, hash });
    expect(PageSet.unionAll(checkpoint.writers.map(({ pages }) => pages)).size).toBe(64);
    expect(checkpoint.writers.every((writer) => writer.hash !== undefined)).toBe(true);
    expect(checkpoint.commit.hash).toBe((await headerAt(objects, volume.id, 9)).jumpHashes[0]);
    expect([recorder.get("push.checkpoint_failed"), recorder.get("checkpoint.overtaken")]).toEqual([0, 0]);
    const bytesNow = await volume.read(0, 1e9);
    await store.close();
    const fresh = await (await openStore(objects)).volume(volume.id);
    expectSame(await fresh.read(0, 1e9), bytesNow);
    await fresh.verify();
  });

  it("never at all where they are turned off", async () => {
    const objects = new MemoryObjectStore();
    const store = await openStore(objects, { settings: { checkpointEvery: 0 } });
    const volume = await store.createVolume({ pageSize: PAGE });
    await pushes(volume, 9);
    await store.close();
    expect(await stored(objects, volume.id)).toEqual([]);
  });

  it("are waited for by nobody: pushes are acknowledged, and closing aborts one that hangs", async () => {
    const objects = new MemoryObjectStore();
    const { gate, remote } = slowCheckpoints(objects);
    const recorder = new MemoryRecorder();
    const store = await openStore(remote, { recorder, settings: { checkpointEvery: 2 } });
    const volume = await store.createVolume({ pageSize: PAGE });
    // One at a time: the next multiples pass while the first waits.
    await pushes(volume, 7);
    await until(() => gate.waiting.length > 0);
    expect(gate.waiting).toHaveLength(1);
    await store.close();
    expect(await stored(objects, volume.id)).toEqual([]);
    expect(recorder.get("push.checkpoint_failed")).toBe(0);
    const reader = await (await openStore(objects)).volume(volume.id);
    expect(reader.status().lsn).toBe(7);
  });

  it("fail in silence, but for a counter, and the next multiple tries again", async () => {
    const objects = new MemoryObjectStore();
    const { gate, remote } = slowCheckpoints(objects);
    gate.open = gate.fail = true;
    const recorder = new MemoryRecorder();
    const store = await openStore(remote, { recorder, settings: { checkpointEvery: 2 } });
    const volume = await store.createVolume({ pageSize: PAGE });
    await pushes(volume, 2);
    await until(() => recorder.get("push.checkpoint_failed") === 1);
    gate.fail = false;
    await pushes(volume, 2);
    await until(() => recorder.get("push.checkpoints") === 1);
    expect((await stored(objects, volume.id)).map(({ lsn }) => lsn)).toEqual([4]);
    await store.close();
  });

  it("are left out where they would be larger than what was pushed since", async () => {
    const objects = new MemoryObjectStore();
    const recorder = new MemoryRecorder();
    const store = await openStore(objects, { recorder, settings: { checkpointEvery: 1 } });
    const volume = await store.createVolume({ pageSize: PAGE });
    await volume.write(0, randomBytes(2000 * PAGE, testSeed));
    await volume.push();
    await until(() => recorder.get("push.checkpoints") === 1);
    // A table that nobody could say in few bytes, made by one large commit; then small ones.
    for (let page = 0; page < 2000; page += 2) await volume.write(page * PAGE, randomBytes(8, page));
    await volume.push();
    await until(() => recorder.get("push.checkpoints") === 2);
    for (let i = 0; i < 12; i++) {
      await volume.write(i * PAGE, new Uint8Array([i + 1]));
      await volume.push();
      const seen = () => recorder.get("push.checkpoints") + recorder.get("checkpoint.too_large");
      await until(() => seen() === 3 + i);
    }
    const written = recorder.get("push.checkpoints") - 2;
    expect(recorder.get("checkpoint.too_large")).toBeGreaterThan(0);
    expect(written).toBeGreaterThan(0);
    await store.close();
  });

  it("no commit names an older one than its parent, whoever made it", async () => {
    const objects = new MemoryObjectStore();
    const recorder = new MemoryRecorder();
    const a = await (await openStore(objects, { recorder, settings: { checkpointEvery: 4 } })).createVolume({
      pageSize: PAGE,
    });
    await pushes(a, 4);
    await until(() => recorder.get("push.checkpoints") === 1);
    const b = await (await openStore(objects, { recorder, settings: { checkpointEvery: 3 } })).volume(a.id);
    await pushes(b, 2);
    await until(() => recorder.get("push.checkpoints") === 2);
    await pushes(b, 1);
    await a.pull();
    // It wrote the one of LSN 4 itself; the newest that the log names is that of LSN 6.
    await pushes(a, 1);
    const named = [];
    for (let lsn = 4; lsn <= 8; lsn++) named.push((await headerAt(objects, a.id, lsn)).checkpoint?.lsn);
    expect(named).toEqual([undefined, undefined, undefined, 6, 6]);
  });

  it("are not relied on where the floor passed them while they were written", async () => {
    const objects = new MemoryObjectStore();
    const { gate, remote } = slowCheckpoints(objects);
    const recorder = new MemoryRecorder();
    const slow = await openStore(remote, { recorder, settings: { checkpointEvery: 2 } });
    const volume = await slow.createVolume({ pageSize: PAGE });
    await pushes(volume, 2);
    await until(() => gate.waiting.length === 1);
    const other = await (await openStore(objects)).volume(volume.id);
    await pushes(other, 3);
    const { checkpoint } = await other.compact();
    const kept = { ...(checkpoint as { lsn: Lsn; hash: Hash }), time: 1 as TimeMs };
    const floor = { volume: volume.id, n: 2, lsn: kept.lsn, time: 1 as TimeMs, checkpoints: [kept] };
    await objects.put(floorKey(volume.id, 2), encodeFloor(floor, codecs.hash), { ifAbsent: true });
    gate.open = true;
    for (const go of gate.waiting) go();
    await until(() => recorder.get("checkpoint.overtaken") === 1);
    await volume.pull();
    await pushes(volume, 1);
    expect((await headerAt(objects, volume.id, 6)).checkpoint?.lsn).not.toBe(2);
    expect(recorder.get("push.checkpoint_failed")).toBe(0);
    await slow.close();
  });
});
