/** What tests of forks share: volumes that grow, and everything that a volume says of its past against what it must be. */
import { expect } from "vitest";
import { MemoryObjectStore } from "../../src/remote/memory-store.ts";
import type { ObjectStore } from "../../src/remote/object-store.ts";
import type { Volume } from "../../src/store/volume.ts";
import { expectSame, openStore, textBytes } from "./support.ts";

export const PAGE = 512;

export async function content(volume: Volume): Promise<Uint8Array> {
  return volume.read(0, 1e9);
}

/** `count` pushed commits; answers the content at every LSN from where the volume stands. */
export async function grow(volume: Volume, count: number, seed = 0): Promise<Uint8Array[]> {
  const states = [await content(volume)];
  for (let i = 1; i <= count; i++) {
    await volume.write(((i * 5 + seed) % 11) * 300, textBytes(700 + i, i + 37 * seed));
    await volume.push();
    states.push(await content(volume));
  }
  return states;
}

/** Everything that a volume says of its past, against what it must be; `states[lsn]`. */
export async function expectPast(volume: Volume, states: readonly Uint8Array[]): Promise<void> {
  const newest = states.length - 1;
  expect(volume.status()).toMatchObject({ lsn: newest, state: "clean" });
  expectSame(await content(volume), states[newest]!, "the newest state");
  for (const [lsn, state] of states.entries()) {
    using snapshot = await volume.at(lsn);
    expectSame(await snapshot.read(0, 1e9), state, `at LSN ${lsn}`);
  }
  const log: number[] = [];
  let time = Number.POSITIVE_INFINITY;
  for await (const entry of volume.log()) {
    log.push(entry.lsn);
    expect(entry.time).toBeLessThanOrEqual(time);
    time = entry.time;
  }
  expect(log, "invariant 4: no gaps").toEqual(Array.from({ length: newest }, (_, i) => newest - i));
  expect((await volume.verify()).commits).toBe(newest);
}

/** The volume as somebody sees it who never saw it before. */
export async function fresh(objects: ObjectStore, name: string): Promise<Volume> {
  return (await openStore(objects)).volume(name);
}

export async function keysOf(objects: ObjectStore, prefix = ""): Promise<string[]> {
  return (await objects.list(prefix, { limit: 10_000 })).map(({ key }) => key);
}

export async function setUp(
  options: { commits?: number; store?: Partial<Parameters<typeof openStore>[1]> } = {},
) {
  const objects = new MemoryObjectStore();
  const store = await openStore(objects, options.store);
  const parent = await store.createVolume({ pageSize: PAGE, tag: "parent" });
  const states = await grow(parent, options.commits ?? 5);
  return { objects, store, parent, states };
}
