/**
 * A local disk without room: the page cache gives way before a local commit is refused, what is refused changes nothing, what was committed stays and
 * can be pushed, and there is room again once it was (invariants 2, 3, 6 and 10).
 */
import { describe, expect, it } from "vitest";
import { isPagefoldError } from "../../src/base/errors.ts";
import { MemoryRecorder } from "../../src/base/recorder.ts";
import { MemoryBlockFileSystem } from "../../src/local/memory-block-file.ts";
import { MemoryObjectStore } from "../../src/remote/memory-store.ts";
import type { PageStore } from "../../src/store/page-store.ts";
import type { Volume } from "../../src/store/volume.ts";
import { expectSame, openStore, textBytes } from "./support.ts";

const PAGE = 4096;
const MIB = 2 ** 20;
/** Of the volume that was pushed before: more than the disk has room for. */
const PAGES = 4000;

async function remoteWithPages(): Promise<MemoryObjectStore> {
  const remote = new MemoryObjectStore();
  const store = await openStore(remote);
  const volume = await store.createVolume({ tag: "v", pageSize: PAGE });
  await volume.write(0, textBytes(PAGES * PAGE, 1));
  await volume.push();
  await store.close();
  return remote;
}

async function open(remote: MemoryObjectStore, files: MemoryBlockFileSystem) {
  const recorder = new MemoryRecorder();
  const settings = { memoryBytes: 2 * MIB, diskBytes: 64 * MIB, transactionBytes: MIB };
  const store = await openStore(remote, { local: { files }, settings, recorder });
  return { store, recorder, volume: await store.volume("v") };
}

/** Commits until the disk is full; what the volume holds then. */
async function fill(volume: Volume, expected: Uint8Array, bytes: number): Promise<Uint8Array> {
  for (let n = 0; n < 1000; n++) {
    const at = ((n * 131) % (PAGES - 300)) * PAGE;
    const part = textBytes(bytes, 100 + n);
    try {
      await volume.write(at, part);
    } catch (error) {
      if (!isPagefoldError(error, "quota")) throw error;
      return expected;
    }
    expected.set(part, at);
  }
  throw new Error("the disk never filled up");
}

async function reopened(remote: MemoryObjectStore, store: PageStore, files: MemoryBlockFileSystem) {
  await store.close();
  return open(remote, files.clone());
}

describe("a disk without room", () => {
  for (const [name, bytes] of [
    ["small commits", 10 * PAGE],
    ["commits that spill", 600 * PAGE],
  ] as const) {
    it(`${name}: the cache goes first, then it is quota, and a push makes room again`, async () => {
      const remote = await remoteWithPages();
      const files = new MemoryBlockFileSystem({ capacity: 12 * MIB });
      const { store, recorder, volume } = await open(remote, files);
      const expected = await volume.read(0, PAGES * PAGE);
      expectSame(expected, textBytes(PAGES * PAGE, 1), "read through a full cache");
      expect(recorder.get("local.cache.disk_full.count"), "the cache took what there was").toBeGreaterThan(0);
      await fill(volume, expected, bytes);
      expect(recorder.get("local.cache.gave_way.count")).toBeGreaterThan(1);
      const { ahead } = volume.status();
      expect(ahead, "commits made room for themselves").toBeGreaterThan(bytes > 100 * PAGE ? 1 : 50);
      expectSame(await volume.read(0, PAGES * PAGE), expected, "unpushed commits stay readable");

      const after = await reopened(remote, store, files);
      expect(after.volume.status().ahead).toBe(ahead);
      expectSame(await after.volume.read(0, PAGES * PAGE), expected, "invariant 3: after a restart");
      expect((await after.volume.push()).lsn).toBe(2);
      await after.volume.write(0, textBytes(bytes, 7));
      expected.set(textBytes(bytes, 7));
      expect((await after.volume.push()).lsn).toBe(3);
      await after.store.close();

      const elsewhere = await openStore(remote);
      expectSame(await (await elsewhere.volume("v")).read(0, PAGES * PAGE), expected, "what was pushed");
      await elsewhere.close();
    });
  }

  it("a push works where a commit does not", async () => {
    const remote = await remoteWithPages();
    const files = new MemoryBlockFileSystem({ capacity: 6 * MIB });
    const { store, volume } = await open(remote, files);
    const expected = await fill(volume, await volume.read(0, PAGES * PAGE), 5 * PAGE);
    // To the last byte.
    const rest = await files.open("rest");
    for (let step = MIB; step >= 1; step = Math.floor(step / 2)) {
      try {
        for (;;) rest.writeAt(rest.size(), new Uint8Array(step).fill(1));
      } catch (error) {
        if (!isPagefoldError(error, "quota")) throw error;
      }
    }
    expect(files.usedBytes).toBe(6 * MIB);
    await expect(volume.write(0, textBytes(PAGE, 5))).rejects.toMatchObject({ code: "quota" });
    expect((await volume.push()).lsn).toBe(2);
    expectSame(await volume.read(0, PAGES * PAGE), expected);
    await store.close();
  });
});
