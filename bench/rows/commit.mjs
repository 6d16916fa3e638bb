/** A durable local commit of four pages against `writeSync` and `fdatasync` of as many bytes over preallocated space. */
import { closeSync, fdatasyncSync, fsyncSync, openSync, writeSync } from "node:fs";
import { join } from "node:path";
import { inBlocks } from "../lib/measure.mjs";
import { load, remove, scratch, seededBelow } from "../lib/setup.mjs";

const commitsPerBlock = 20;
const pairs = 25;
/** Blocks that do not count: the first few hundred commits run code that is not compiled yet. */
const warmUp = 15;
const pageSize = 4096;
const pagesPerCommit = 4;

export async function commitRows() {
  const { openStore } = await load("node");
  const { MemoryRecorder } = await load("index");
  const space = scratch();
  const recorder = new MemoryRecorder();
  const store = await openStore("memory:", { local: join(space, "local"), recorder });
  const volume = await store.createVolume();
  const below = seededBelow(11);
  const pages = Array.from({ length: pagesPerCommit }, () => new Uint8Array(pageSize));
  let serial = 0;
  const commit = async () => {
    const transaction = await volume.begin();
    for (const [i, page] of pages.entries()) {
      page.fill(++serial & 255);
      transaction.writePage(1 + i * 1000 + below(1000), page);
    }
    transaction.commit();
  };

  // As many bytes as one commit appends to the log.
  await commit();
  const logBytes = () => recorder.get("local.log.append.bytes");
  const before = logBytes();
  await commit();
  const bytes = new Uint8Array(Math.ceil((logBytes() - before + 64) / 512) * 512).fill(1);
  const commits = (pairs + warmUp) * commitsPerBlock;
  const fd = openSync(join(space, "preallocated"), "w");
  const zeros = new Uint8Array(2 ** 20);
  for (let at = 0; at < commits * bytes.length; at += zeros.length) writeSync(fd, zeros, 0, zeros.length, at);
  fsyncSync(fd);

  let at = 0;
  const measured = await inBlocks({
    pairs,
    warmUp,
    operations: commitsPerBlock,
    ours: async () => {
      for (let i = 0; i < commitsPerBlock; i++) await commit();
    },
    reference: () => {
      for (let i = 0; i < commitsPerBlock; i++) {
        writeSync(fd, bytes, 0, bytes.length, at);
        fdatasyncSync(fd);
        at += bytes.length;
      }
    },
  });
  closeSync(fd);
  await store.close();
  remove(space);
  return [
    {
      row: "durable local commit of 4 pages",
      against: `writeSync + fdatasync of ${bytes.length} bytes, preallocated`,
      unit: "µs",
      limit: 1.5,
      ...measured,
    },
  ];
}
