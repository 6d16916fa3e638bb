/** Commits of every size: inline, one segment, several; bounded memory; cut off anywhere they leave no commit. */
import { describe, expect, it } from "vitest";
import { segmentsPrefix } from "../../src/format/keys.ts";
import { MemoryObjectStore } from "../../src/remote/memory-store.ts";
import { type FaultPlan, withFaults } from "../../src/remote/with-faults.ts";
import { SimRuntime } from "../sim/runtime.ts";
import { expectSame, failure, MemorySink, openStore, randomBytes, sourceOf } from "../store/support.ts";

const MiB = 2 ** 20;

describe("where the frames of a commit go", () => {
  for (const [bytes, segments] of [
    [0, 0],
    [1, 0],
    [MiB, 0],
    [MiB + 1, 1],
    [3 * MiB, 1],
  ] as const) {
    it(`${bytes} bytes: ${segments} segment objects`, async () => {
      const objects = new MemoryObjectStore();
      const volume = await (await openStore(objects)).createVolume();
      const content = randomBytes(bytes, 1);
      const { storedBytes } = await volume.import(sourceOf(content));
      const stored = await objects.list(segmentsPrefix(volume.id));
      expect(stored.length).toBe(segments);
      const all = await objects.list(`volumes/${volume.id}/`);
      const data = all.filter(({ key }) => /segments|commits/.test(key));
      expect(storedBytes).toBe(data.reduce((sum, { size }) => sum + size, 0));
      const clone = await (await openStore(objects)).volume(volume.id);
      expectSame(await clone.read(0, 1e9), content);
      await clone.verify();
    });
  }

  it("more than 64 MiB of pages make several segments, and the source is never whole in memory", async () => {
    const size = 150 * MiB;
    const objects = new MemoryObjectStore();
    const store = await openStore(objects);
    const volume = await store.createVolume({ pageSize: 65_536 });
    // Every page different, all of them small when stored.
    const page = (n: number, into: Uint8Array) => {
      into.fill(0);
      new DataView(into.buffer, into.byteOffset).setUint32(8, n + 1);
    };
    let highest = 0;
    const source = {
      name: "large",
      size,
      check: async () => {},
      read: async (offset: number, into: Uint8Array) => {
        for (let at = 0; at < into.length; at += 65_536)
          page((offset + at) / 65_536, into.subarray(at, at + 65_536));
        highest = Math.max(highest, process.memoryUsage().arrayBuffers);
        return into.length;
      },
    };
    const before = process.memoryUsage().arrayBuffers;
    const { pageCount } = await volume.import(source);
    expect(pageCount).toBe(size / 65_536);
    expect((await objects.list(segmentsPrefix(volume.id))).length).toBe(3);
    expect(highest - before, "invariant 10").toBeLessThan(100 * MiB);
    const expected = new Uint8Array(65_536);
    for (const n of [0, 1023, 1024, 2047, 2048, 2399]) {
      page(n, expected);
      expectSame(await volume.read(n * 65_536, 65_536), expected, `page ${n + 1}`);
    }
    await volume.verify();
  }, 120_000);
});

describe("cut off in the middle", () => {
  async function prepared(plan: { now: FaultPlan | undefined }) {
    const objects = new MemoryObjectStore();
    const runtime = new SimRuntime(1);
    const remote = withFaults(objects, (call) => plan.now?.(call), { runtime });
    const volume = await (await openStore(remote, { runtime })).createVolume();
    await volume.import(sourceOf(randomBytes(100_000, 1)));
    return { objects, volume };
  }

  it("a segment that fails to arrive: no commit, the same state, and it works the next time", async () => {
    const plan: { now: FaultPlan | undefined } = { now: undefined };
    const { objects, volume } = await prepared(plan);
    const content = randomBytes(3 * MiB, 2);
    for (const afterBytes of [0, 1000, MiB, 2 * MiB]) {
      plan.now = ({ key }) => (key.includes("/segments/") ? { kind: "interrupt", afterBytes } : undefined);
      await failure(volume.import(sourceOf(content)), "unavailable");
      await volume.write(0, content);
      await failure(volume.push(), "unavailable");
      expect(volume.status()).toMatchObject({ lsn: 1, ahead: 1, pendingPush: false });
      await volume.reset();
    }
    expect((await objects.list(`volumes/${volume.id}/commits/`)).length).toBe(1);
    plan.now = undefined;
    expect((await volume.import(sourceOf(content))).lsn).toBe(2);
    expectSame(await volume.read(0, 1e9), content);
  });

  it("an abort at any moment of an import: no commit, nothing open (invariants 2 and 11)", async () => {
    const content = randomBytes(9 * MiB, 3);
    for (let reads = 1; reads <= 3; reads++) {
      const { objects, volume } = await prepared({ now: undefined });
      const controller = new AbortController();
      let seen = 0;
      const source = sourceOf(content, {
        read: async (offset, into) => {
          if (++seen === reads) controller.abort();
          into.set(content.subarray(offset, offset + into.length));
          return Math.min(into.length, content.length - offset);
        },
      });
      await failure(volume.import(source, { signal: controller.signal }), "aborted");
      expect(volume.status()).toMatchObject({ lsn: 1, ahead: 0, pendingPush: false });
      expect((await objects.list(`volumes/${volume.id}/commits/`)).length).toBe(1);
      expect((await volume.import(sourceOf(content))).lsn).toBe(2);
      const sink = new MemorySink();
      await volume.export(sink);
      expectSame(sink.bytes, content);
    }
  });
});
