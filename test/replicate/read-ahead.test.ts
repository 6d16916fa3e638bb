/** Read-ahead: windows that double for whoever moves forward, nothing for whoever jumps. */
import { describe, expect, it } from "vitest";
import { MemoryObjectStore } from "../../src/remote/memory-store.ts";
import { ReadAhead } from "../../src/replicate/read-ahead.ts";
import { expectSame, openStore, randomBytes, sourceOf, WatchedStore } from "../store/support.ts";

const settings = { heads: 2, slackPages: 4, minPages: 8, maxPages: 32 };

describe("windows", () => {
  it("double with every confirmation, up to the largest", () => {
    const policy = new ReadAhead(settings);
    const windows: number[] = [];
    for (let page = 1, i = 0; i < 6; i++) {
      const until = policy.extend(page, page);
      windows.push(until - page);
      page = until + 1;
    }
    expect(windows).toEqual([0, 8, 16, 32, 32, 32]);
  });

  it("a random reader gets nothing more than it asked for", () => {
    const policy = new ReadAhead(settings);
    for (const page of [500, 20, 900, 1, 300, 77]) expect(policy.extend(page, page)).toBe(page);
  });

  it("readers are told apart, as many as there are heads; the one used longest ago is forgotten", () => {
    const policy = new ReadAhead(settings);
    expect(policy.extend(1, 1)).toBe(1);
    expect(policy.extend(1000, 1000)).toBe(1000);
    expect(policy.extend(2, 2)).toBe(10);
    expect(policy.extend(1001, 1001)).toBe(1009);
    expect(policy.extend(5000, 5000)).toBe(5000); // pushes the first one out
    expect(policy.extend(11, 11)).toBe(11);
  });

  it("going back is no continuation", () => {
    const policy = new ReadAhead(settings);
    for (const page of [100, 99, 98, 97]) expect(policy.extend(page, page)).toBe(page);
  });
});

describe("in the engine", () => {
  it("a scan page by page costs few requests, fetches each byte about once, and random reads one each", async () => {
    const objects = new MemoryObjectStore();
    const content = randomBytes(2000 * 4096, 3);
    const writer = await (await openStore(objects)).createVolume({ pageSize: 4096 });
    await writer.import(sourceOf(content));
    const watched = new WatchedStore(objects);
    const store = await openStore(watched.store, { runtime: watched.runtime });
    const volume = await store.volume(writer.id);
    await volume.read(0, 1);
    const scan = await watched.cost(async () => {
      for (let page = 0; page < 2000; page++) {
        expectSame(await volume.read(page * 4096, 4096), content.subarray(page * 4096, (page + 1) * 4096));
      }
    });
    expect(scan.requests.length).toBeLessThan(20);

    const random = await (await openStore(watched.store, { runtime: watched.runtime })).volume(writer.id);
    await random.read(0, 1);
    const jumps = await watched.cost(async () => {
      for (let i = 1; i <= 30; i++) await random.read(((i * 811) % 2000) * 4096, 10);
    });
    expect(jumps.requests.length).toBeLessThanOrEqual(30);
  });
});
