/** Caches that hold a fraction of what is read: slow, and right (invariant 10). */
import { describe, expect, it } from "vitest";
import { loadCodecs } from "../../src/format/codecs.ts";
import { MemoryObjectStore } from "../../src/remote/memory-store.ts";
import { PageStore } from "../../src/store/page-store.ts";
import { drivePlan } from "../../vfs/bridge/bridge.ts";
import { seededRandom, testSeed } from "../local/xxh64.ts";
import { ObjectMap } from "../sql-model/object-map.ts";

const codecs = await loadCodecs();

describe("a cache smaller than the volume", () => {
  for (const pageSize of [512, 1024, 4096])
    for (const pages of [16, 64, 250, 1024])
      it(`of ${pages} pages of ${pageSize} bytes: reads in pieces of every size come to an end`, async () => {
        const remote = new MemoryObjectStore();
        const settings = { memoryBytes: pages * pageSize };
        const store = await PageStore.open({ remote, codecs, settings });
        const volume = await store.createVolume({ tag: "v", pageSize });
        const bytes = patterned(3 * pages * pageSize);
        await volume.write(0, bytes);
        await volume.push();
        for (let round = 0; round < 2; round++)
          for (const length of [bytes.length, 1, pageSize, 7 * pageSize, 40 * pageSize, 100 * pageSize + 1]) {
            for (let at = 0; at < bytes.length; at += 2 * length + 3 * pageSize) {
              const found = await volume.read(at, length);
              expect(Buffer.compare(found, bytes.subarray(at, at + length)), `${length} bytes at ${at}`).toBe(
                0,
              );
            }
          }
        await store.close();
      });

  for (const pages of [64, 512, 1024])
    it(`of ${pages} pages: what a plan was for can be read when it ends`, async () => {
      const pageSize = 1024;
      const remote = new ObjectMap();
      const store = await PageStore.open({ remote, codecs, settings: { memoryBytes: pages * pageSize } });
      const volume = await store.createVolume({ pageSize });
      await volume.write(0, patterned(3 * pages * pageSize));
      await volume.push();
      const snapshot = volume.snapshot();
      const random = seededRandom(testSeed);
      // Pages that are read often fill the cache, and others must find room beside them.
      for (let round = 0; round < 400; round++) {
        const length = Math.min(pages / 4, 2 ** Math.floor(random() * 7)) * pageSize;
        const at = Math.floor(random() ** 3 * 3 * pages) * pageSize;
        const into = new Uint8Array(Math.min(length, snapshot.byteLength - at));
        if (snapshot.tryRead(at, into)) continue;
        drivePlan(snapshot.fault(at, into.length), (batch) => batch.map((range) => remote.read(range)));
        expect(snapshot.tryRead(at, into), `${into.length} bytes at ${at}, seed ${testSeed}`).toBe(true);
      }
      await store.close();
    });
});

function patterned(length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = (i * 7) ^ (i >> 9);
  return bytes;
}
