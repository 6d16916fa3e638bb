/** Bands stored apart from their commit are caches (invariant 8): lost or damaged, they cost smaller steps and change no result. */
import { describe, expect, it } from "vitest";
import { rollupsPrefix } from "../../src/format/keys.ts";
import { MemoryObjectStore } from "../../src/remote/memory-store.ts";
import { expectSame, openStore, WatchedStore } from "../store/support.ts";
import { LogBuilder } from "./log-builder.ts";

const COMMITS = 96;
const objects = new MemoryObjectStore();
const builder = await LogBuilder.create({ store: objects, rideAlongBytes: 150 });
await builder.grow(COMMITS, 60);

async function openAll(store: MemoryObjectStore): Promise<number> {
  const watched = new WatchedStore(store);
  const pages = await openStore(watched.store, { runtime: watched.runtime });
  const { value, requests, roundTrips } = await watched.cost(() => pages.volume(builder.volume));
  expect(value.status().lsn).toBe(COMMITS);
  expect(value.stateChecksum).toBe(builder.stateChecksum);
  expectSame(await value.read(0, 1e9), builder.content(), "invariant 8: the content");
  for (const lsn of [1, 17, 64, 95]) (await value.at(lsn)).close();
  expect(roundTrips).toBeLessThanOrEqual(20);
  return requests.length;
}

describe("invariant 8: rollups stored apart", () => {
  it("are there, and are used", async () => {
    expect((await objects.list(rollupsPrefix(builder.volume))).length).toBeGreaterThan(10);
    expect(await openAll(objects.clone())).toBeLessThanOrEqual(8);
  });

  it("all lost: smaller steps, the same result", async () => {
    const store = objects.clone();
    const rollups = await store.list(rollupsPrefix(builder.volume));
    await store.delete(rollups.map(({ key }) => key));
    expect(await openAll(store)).toBeGreaterThan(8);
  });

  it("each lost, truncated or with a flipped bit: the same result", async () => {
    for (const { key, size } of await objects.list(rollupsPrefix(builder.volume))) {
      for (const damage of ["lost", "truncated", "flipped"]) {
        const store = objects.clone();
        const bytes = (await store.get(key))!;
        if (damage === "lost") await store.delete([key]);
        if (damage === "truncated") await store.put(key, bytes.subarray(0, size / 2));
        if (damage === "flipped") {
          bytes[Math.floor(size / 2)]! ^= 4;
          await store.put(key, bytes);
        }
        await openAll(store);
      }
    }
  });
});
