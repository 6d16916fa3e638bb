/** Caches that hold a fraction of what is read: slow, and right. */
import { describe, expect, it } from "vitest";
import { loadCodecs } from "../../src/format/codecs.ts";
import { MemoryObjectStore } from "../../src/remote/memory-store.ts";
import { PageStore } from "../../src/store/page-store.ts";

const codecs = await loadCodecs();

describe("a cache smaller than the volume", () => {
  for (const pageSize of [512, 1024, 4096])
    for (const pages of [16, 64, 250, 1024])
      it(`of ${pages} pages of ${pageSize} bytes: reads in pieces of every size come to an end (invariant 10)`, async () => {
        const remote = new MemoryObjectStore();
        const settings = { memoryBytes: pages * pageSize };
        const store = await PageStore.open({ remote, codecs, settings });
        const volume = await store.createVolume({ tag: "v", pageSize });
        const bytes = new Uint8Array(3 * pages * pageSize);
        for (let i = 0; i < bytes.length; i++) bytes[i] = (i * 7) ^ (i >> 9);
        await volume.write(0, bytes);
        await volume.push();
        for (let round = 0; round < 3; round++)
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
});
