/** What transactions that do not fit into memory cost on disk: what they are worth, not what they have written (invariant 10). */
import { expect, it } from "vitest";
import { MemoryRecorder } from "../../src/base/recorder.ts";
import { MemoryBlockFileSystem } from "../../src/local/memory-block-file.ts";
import { MemoryObjectStore } from "../../src/remote/memory-store.ts";
import { seededRandom, testSeed } from "../local/xxh64.ts";
import { expectSame, openStore, textBytes } from "../store/support.ts";

const PAGE = 512;
const PAGES = 400;
const settings = { transactionBytes: 16 * PAGE, compactAboveBytes: 64 * PAGE, readAhead: undefined };
/** The log is preallocated in extents of this size and more. */
const EXTENT_BYTES = 8 * 2 ** 20;

async function open(files: MemoryBlockFileSystem) {
  const recorder = new MemoryRecorder();
  const store = await openStore(new MemoryObjectStore(), { local: { files }, settings, recorder });
  return { store, recorder };
}

async function bytesOf(files: MemoryBlockFileSystem): Promise<number> {
  let bytes = 0;
  for (const name of await files.list()) bytes += (await sizeOf(files.clone(), name)) ?? 0;
  return bytes;
}

async function sizeOf(files: MemoryBlockFileSystem, name: string): Promise<number> {
  const file = await files.open(name);
  const size = file.size();
  await file.close();
  return size;
}

it(`pages that a transaction writes again and again do not fill the disk (seed ${testSeed})`, async () => {
  const files = new MemoryBlockFileSystem();
  const { store, recorder } = await open(files);
  const volume = await store.createVolume({ pageSize: PAGE, tag: "v" });
  await volume.write(0, textBytes(PAGES * PAGE, 0));
  const random = seededRandom(testSeed);
  const expected = textBytes(PAGES * PAGE, 0);
  const tx = await volume.begin();
  for (let n = 0; n < 60_000; n++) {
    const page = Math.floor(random() * PAGES);
    const bytes = textBytes(PAGE, n);
    tx.writePage(page + 1, bytes);
    expected.set(bytes, page * PAGE);
    if (n % 5000 === 0) expectSame(await tx.read(0, 1e9), expected, `after ${n} pages`);
  }
  expect(recorder.get("local.log.rewrite.count")).toBeGreaterThan(3);
  expect(await bytesOf(files), "60000 pages are 30 MB").toBeLessThan(EXTENT_BYTES + 20 * PAGES * PAGE);
  tx.commit();
  expectSame(await volume.read(0, 1e9), expected, "committed");
  await store.close();
  const again = await (await open(files)).store.volume("v", { offline: true });
  expectSame(await again.read(0, 1e9), expected, "invariant 3: after a restart");
});

it("transactions that are rolled back do not fill the disk", async () => {
  const files = new MemoryBlockFileSystem();
  const { store } = await open(files);
  const volume = await store.createVolume({ pageSize: PAGE });
  await volume.write(0, textBytes(PAGES * PAGE, 0));
  for (let n = 0; n < 150; n++) {
    const tx = await volume.begin();
    await tx.write(0, textBytes(PAGES * PAGE, n));
    tx.rollback();
  }
  expect(await bytesOf(files), "150 times 200 kB are 30 MB").toBeLessThan(EXTENT_BYTES + 20 * PAGES * PAGE);
  expectSame(await volume.read(0, 1e9), textBytes(PAGES * PAGE, 0), "nothing has changed");
});
