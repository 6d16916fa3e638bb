/** Compaction of a volume's data: what is read after it equals what was read before, whoever else is at work, wherever it is cut off. */
import { describe, expect, it } from "vitest";
import { PagefoldError } from "../../src/base/errors.ts";
import { COMPACTION_POINTS, type CompactionPoint } from "../../src/history/compaction-options.ts";
import { MemoryObjectStore } from "../../src/remote/memory-store.ts";
import type { ObjectStore } from "../../src/remote/object-store.ts";
import type { Volume } from "../../src/store/volume.ts";
import { seededRandom } from "../local/xxh64.ts";
import { expectSame, failure, openStore, randomBytes, testSeed } from "../store/support.ts";

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
    expect(result).toMatchObject({ lsn: 40, steps: 1, segmentsBefore: 0, segmentsAfter: 1, deadBytesAfter: 0 });
    expect(result.checkpoint?.lsn).toBe(40);
    expect(await keysOf(objects, volume, "compacted")).toHaveLength(1);
    expect(await keysOf(objects, volume, "floor")).toHaveLength(1);
    await expectStates(objects, volume.id, states);
    // Nothing is left to do.
    expect(await volume.compact()).toMatchObject({ steps: 0, checkpoint: { lsn: 40 }, segmentsAfter: 1 });
  });
});
