/** A resident page through a snapshot, from either tier of the cache, against `fs.readSync` of the same 4 KiB of the file. */
import { closeSync, openSync, readSync, statSync } from "node:fs";
import { join } from "node:path";
import { databaseOfSize } from "../data/generate.mjs";
import { inBlocks } from "../lib/measure.mjs";
import { load, remove, scratch, seededBelow } from "../lib/setup.mjs";

const operations = 20_000;
const pageSize = 4096;

export async function residentRows() {
  const { openStore, importFile } = await load("node");
  const file = await databaseOfSize(100);
  const pageCount = statSync(file).size / pageSize;
  const space = scratch();
  const storeDirectory = join(space, "store");
  const first = await openStore(storeDirectory, { create: true });
  await importFile(first, file, { tag: "bench" });
  await first.close();

  const tiers = [
    { tier: "memory", settings: { memoryBytes: 256 * 2 ** 20, diskBytes: 0 } },
    // Memory for a hundredth of the pages, so that nearly every read goes to the disk tier.
    { tier: "disk", local: join(space, "local"), settings: { memoryBytes: 2 ** 20 } },
  ];
  const rows = [];
  const fd = openSync(file, "r");
  for (const { tier, local, settings } of tiers) {
    const store = await openStore(storeDirectory, { ...(local === undefined ? {} : { local }), settings });
    const volume = await store.volume("bench");
    await volume.hydrate();
    const snapshot = volume.snapshot();
    const below = seededBelow(7);
    const offsets = Float64Array.from({ length: operations }, () => below(pageCount) * pageSize);
    const into = new Uint8Array(pageSize);
    const measured = await inBlocks({
      pairs: 25,
      operations,
      ours: () => {
        for (const offset of offsets) if (!snapshot.tryRead(offset, into)) throw new Error("not resident");
      },
      reference: () => {
        for (const offset of offsets) readSync(fd, into, 0, pageSize, offset);
      },
    });
    snapshot.close();
    await store.close();
    rows.push({
      row: `resident page, ${tier} tier`,
      against: "fs.readSync of 4 KiB",
      unit: "µs",
      limit: 2,
      ...measured,
    });
  }
  closeSync(fd);
  remove(space);
  return rows;
}
