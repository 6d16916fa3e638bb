/** Catching up from far behind goes over the newest checkpoint: a few requests in two round trips, and the same state; else along the rollups, as ever. */
import { beforeAll, describe, expect, it } from "vitest";
import { checkpointsPrefix, manifestKey } from "../../src/format/keys.ts";
import { MemoryObjectStore } from "../../src/remote/memory-store.ts";
import { CountedStore } from "../history/counted-store.ts";
import { LogPrefix } from "../history/log-prefix.ts";
import { LongLog } from "../history/long-log.ts";
import { SimRuntime } from "../sim/runtime.ts";
import { codecs, expectSame, failure, openStore } from "../store/support.ts";

const PAGE_SIZE = 512;
const START = 100;
const HEAD = 5119;
const objects = new MemoryObjectStore();
let log: LongLog;
let before: Uint8Array;

function content(): Uint8Array {
  const bytes = new Uint8Array(log.manifest.pageSize * 200);
  for (let page = 1; page <= 200; page++) bytes.set(log.page(page), (page - 1) * PAGE_SIZE);
  return bytes;
}

beforeAll(async () => {
  const checkpointAt = (lsn: number) => lsn % 1024 === 0;
  log = await LongLog.create({ store: objects, codecs, pageCount: 200, pageSize: PAGE_SIZE, checkpointAt });
  await log.grow(START);
  before = content();
  await log.grow(HEAD - START);
});

/** A replica at LSN 100, some hours before it looks again. */
async function away(store = objects.clone(), hours = 2) {
  const prefix = new LogPrefix(store, log.volume, START);
  const counted = new CountedStore(prefix.store);
  counted.keys = [];
  const runtime = new SimRuntime(1);
  const pages = await openStore(counted.store, { runtime });
  const volume = await pages.volume(log.volume);
  prefix.head = HEAD;
  runtime.advance(hours * 3_600_000);
  counted.keys = [];
  return { store, counted, pages, volume };
}

const everything = async (store: MemoryObjectStore) => (await store.list("")).map(({ key }) => key);
const overCheckpoint = (keys: readonly string[]) =>
  keys.some((key) => key.startsWith("get ") && key.includes("/checkpoints/"));

describe("a replica that was away", () => {
  it("goes over the newest checkpoint, and old snapshots stay what they were", async () => {
    const { counted, pages, volume } = await away();
    const held = volume.snapshot();
    const { requests, roundTrips, value } = await counted.cost(() => volume.pull());
    expect(value).toMatchObject({ from: START, to: HEAD, changedPages: 200 });
    expect(roundTrips).toBe(2);
    // Two listings, the base, the checkpoint at 4096, and ten steps from 5119 down to it.
    expect(requests).toBeLessThanOrEqual(14);
    expect(overCheckpoint(counted.keys!)).toBe(true);
    expect(volume.stateChecksum).toBe(log.stateChecksum);
    expectSame(await volume.read(0, 1e6), content(), "the new state");
    expectSame(await held.read(0, 1e6), before, "invariant 1: the old snapshot");
    held.close();
    await pages.close();
  });

  it("goes along the rollups where it looked a short time ago", async () => {
    const { counted, pages, volume } = await away(undefined, 0.5);
    const { roundTrips } = await counted.cost(() => volume.pull());
    expect(roundTrips).toBe(2);
    expect(counted.keys!.some((key) => key.includes("/checkpoints/"))).toBe(false);
    expectSame(await volume.read(0, 1e6), content());
    await pages.close();
  });

  it("invariant 8: damaged checkpoints, and lost ones, change no result", async () => {
    for (const harm of ["damaged", "lost"]) {
      const { store, pages, volume, counted } = await away();
      for (const { key } of await store.list(checkpointsPrefix(log.volume))) {
        const bytes = (await store.get(key))!;
        await store.delete([key]);
        if (harm === "damaged") await store.put(key, bytes.fill(7, bytes.length >> 1));
      }
      await volume.pull();
      expect(overCheckpoint(counted.keys!), harm).toBe(harm === "damaged");
      expect(volume.stateChecksum).toBe(log.stateChecksum);
      expectSame(await volume.read(0, 1e6), content(), harm);
      await pages.close();
    }
  });

  it("notices that the store has another history", async () => {
    const { store, pages, volume } = await away();
    const manifest = (await store.get(manifestKey(log.volume)))!;
    for (let left = await everything(store); left.length > 0; left = await everything(store))
      await store.delete(left);
    // Restored from a backup, it went on another way, as far as the one that it lost.
    await store.put(manifestKey(log.volume), manifest);
    const checkpointAt = (lsn: number) => lsn % 1024 === 0;
    const other = await LongLog.create({ store, codecs, pageCount: 200, manifest, checkpointAt, seed: 99 });
    await other.grow(HEAD);
    const error = await failure(volume.pull(), "diverged");
    expect(error.details).toMatchObject({ lsn: START });
    expect(volume.status().lsn).toBe(START);
    await pages.close();
  });
});
