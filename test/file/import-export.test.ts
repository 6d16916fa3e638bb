/** Files in, files out: every size, sparse, again, changing under the reader, cut off. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { MemoryObjectStore } from "../../src/remote/memory-store.ts";
import type { Volume } from "../../src/store/volume.ts";
import {
  expectSame,
  failure,
  MemorySink,
  openStore,
  randomBytes,
  sourceOf,
  testSeed,
  textBytes,
  WatchedStore,
} from "../store/support.ts";

const PAGE = 4096;

async function exported(volume: Volume, options: { lsn?: number } = {}): Promise<Uint8Array> {
  const sink = new MemorySink();
  const result = await volume.export(sink, options);
  expect(result.bytes).toBe(sink.bytes.length);
  return sink.bytes;
}

async function streamed(volume: Volume): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of volume.stream()) chunks.push(chunk);
  return new Uint8Array(await new Blob(chunks as BlobPart[]).arrayBuffer());
}

function sparse(length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  bytes.set(textBytes(100, 1), 5 * PAGE);
  bytes.set(textBytes(100, 2), length - 100);
  return bytes;
}

describe("round trips", () => {
  const contents: readonly [string, Uint8Array][] = [
    ["empty", new Uint8Array(0)],
    ["one byte", new Uint8Array([7])],
    ["one zero byte", new Uint8Array(1)],
    ["a page less one", randomBytes(PAGE - 1, 1)],
    ["a page", randomBytes(PAGE, 2)],
    ["a page and one", randomBytes(PAGE + 1, 3)],
    ["several MiB", randomBytes(5 * 2 ** 20 + 123, 4)],
    ["several MiB that compress", textBytes(9 * 2 ** 20 + 1, 5)],
    ["nothing but zeros", new Uint8Array(3 * 2 ** 20 + 5)],
    ["sparse", sparse(6 * 2 ** 20 + 77)],
  ];
  for (const [name, content] of contents) {
    it(`${name}: import, clone, export, stream, read: the same bytes and the exact length`, async () => {
      const objects = new MemoryObjectStore();
      const volume = await (await openStore(objects)).createVolume();
      const result = await volume.import(sourceOf(content));
      expect(result).toMatchObject({
        lsn: 1,
        bytes: content.length,
        pageCount: Math.ceil(content.length / PAGE),
      });
      const clone = await (await openStore(objects)).volume(volume.id);
      expect(clone.status().byteLength).toBe(content.length);
      expectSame(await exported(clone), content, "export");
      expectSame(await streamed(clone), content, "stream");
      expectSame(await clone.read(0, content.length + 1), content, "read");
      expect((await clone.verify()).stateChecksum).toBe(volume.stateChecksum);
    });
  }

  it("local commits are exported with the rest; an LSN without them", async () => {
    const volume = await (await openStore(new MemoryObjectStore())).createVolume();
    const content = textBytes(5 * PAGE, 1);
    await volume.import(sourceOf(content));
    await volume.write(100, new Uint8Array([1, 2, 3]));
    const changed = content.slice();
    changed.set([1, 2, 3], 100);
    expectSame(await exported(volume), changed);
    expectSame(await exported(volume, { lsn: 1 }), content);
    expectSame(await exported(volume, { lsn: 0 }), new Uint8Array(0));
    await failure(exported(volume, { lsn: 2 }), "not_found");
    await failure(exported(volume, { lsn: -1 }), "invalid");
  });
});

describe("importing again", () => {
  it("commits only the pages that changed, and fetches none of the old ones", async () => {
    const objects = new MemoryObjectStore();
    const content = randomBytes(600 * PAGE + 10, 1);
    const first = await (await openStore(objects)).createVolume();
    await first.import(sourceOf(content));
    const watched = new WatchedStore(objects);
    const store = await openStore(watched.store, { runtime: watched.runtime });
    const volume = await store.volume(first.id);
    const next = content.slice();
    next[17 * PAGE + 5]! ^= 1;
    next[400 * PAGE]! ^= 1;
    next.fill(0, 30 * PAGE, 33 * PAGE);
    const { requests, value } = await watched.cost(() => volume.import(sourceOf(next)));
    expect(value).toMatchObject({ lsn: 2, changedPages: 5 });
    expect(value.storedBytes).toBeLessThan(4 * PAGE);
    expect(volume.status().residentPages, "not one page was fetched").toBe(0);
    expect(requests.length).toBeLessThanOrEqual(6);
    const clone = await (await openStore(objects)).volume(first.id);
    expectSame(await exported(clone), next);
    expectSame(await exported(clone, { lsn: 1 }), content);
  });

  it("the same file makes no commit; another length does", async () => {
    const objects = new MemoryObjectStore();
    const volume = await (await openStore(objects)).createVolume();
    const content = textBytes(10 * PAGE, 1);
    await volume.import(sourceOf(content));
    expect(await volume.import(sourceOf(content))).toMatchObject({ lsn: 1, changedPages: 0, storedBytes: 0 });
    const longer = new Uint8Array(10 * PAGE + 1);
    longer.set(content);
    expect(await volume.import(sourceOf(longer))).toMatchObject({ lsn: 2, changedPages: 0 });
    expectSame(await exported(volume), longer);
    expect(await volume.import(sourceOf(content.subarray(0, 5 * PAGE)))).toMatchObject({ lsn: 3 });
    expectSame(await exported(volume), content.subarray(0, 5 * PAGE));
    expect(await volume.import(sourceOf(content))).toMatchObject({ lsn: 4, changedPages: 5 });
    expectSame(await exported(volume), content, "invariant 12");
    expect(await volume.import(sourceOf(new Uint8Array(0)))).toMatchObject({ lsn: 5, pageCount: 0 });
    expectSame(await exported(volume), new Uint8Array(0));
    await volume.verify();
  });

  it("local commits that were not pushed are not imported over", async () => {
    const volume = await (await openStore(new MemoryObjectStore())).createVolume();
    await volume.write(0, textBytes(10, 1));
    await failure(volume.import(sourceOf(textBytes(20, 2))), "invalid");
    expect(volume.status()).toMatchObject({ lsn: 0, ahead: 1 });
  });

  it("another writer was first: conflict, and after a pull it works", async () => {
    const objects = new MemoryObjectStore();
    const a = await (await openStore(objects)).createVolume();
    const b = await (await openStore(objects)).volume(a.id);
    await a.import(sourceOf(textBytes(100, 1)));
    const error = await failure(b.import(sourceOf(textBytes(100, 2))), "conflict");
    expect(error.message).toMatch(/pull/);
    await b.pull();
    expect((await b.import(sourceOf(textBytes(100, 2)))).lsn).toBe(2);
  });
});

describe("a source that is not what it was", () => {
  it("shrinks: conflict, nothing committed", async () => {
    const objects = new MemoryObjectStore();
    const volume = await (await openStore(objects)).createVolume();
    const content = randomBytes(6 * 2 ** 20, 1);
    for (const end of [0, 100, 5 * 2 ** 20]) {
      const source = sourceOf(content.subarray(0, end), { size: content.length });
      const error = await failure(volume.import(source), "conflict");
      expect(error.message).toMatch(/shrank/);
    }
    expect(volume.status()).toMatchObject({ lsn: 0, ahead: 0, pendingPush: false });
    expect((await objects.list(`volumes/${volume.id}/commits/`)).length).toBe(0);
  });

  it("changes, seen at its end: conflict, nothing committed", async () => {
    const objects = new MemoryObjectStore();
    const volume = await (await openStore(objects)).createVolume();
    // Large enough for a segment of its own: it is taken away again.
    const content = randomBytes(3 * 2 ** 20, 1);
    const { PagefoldError } = await import("../../src/base/errors.ts");
    for (const failing of [1, 2]) {
      let checks = 0;
      const check = async () => {
        if (++checks === failing) throw new PagefoldError("conflict", "it changed");
      };
      await failure(volume.import(sourceOf(content, { check })), "conflict");
    }
    expect((await objects.list(`volumes/${volume.id}/commits/`)).length).toBe(0);
    expect(await objects.list(`volumes/${volume.id}/segments/`)).toEqual([]);
    expect(volume.status().pendingPush).toBe(false);
  });

  it("gives fewer bytes at a time than it was asked for", async () => {
    const volume = await (await openStore(new MemoryObjectStore())).createVolume();
    const content = randomBytes(50_001, 1);
    const source = sourceOf(content, {
      read: async (offset, into) => {
        const part = content.subarray(offset, offset + Math.min(into.length, 1234));
        into.set(part);
        return part.length;
      },
    });
    await volume.import(source);
    expectSame(await exported(volume), content);
  });
});

describe("exports that fail", () => {
  it("a sink that fails, or an abort, ends the export with that error", async () => {
    const volume = await (await openStore(new MemoryObjectStore())).createVolume();
    await volume.import(sourceOf(randomBytes(4 * 2 ** 20, 1)));
    const full = { resize: async () => {}, write: () => Promise.reject(new Error("disk full")) };
    await expect(volume.export(full)).rejects.toThrow("disk full");
    const controller = new AbortController();
    let writes = 0;
    const sink = {
      resize: async () => {},
      write: async () => {
        if (++writes === 2) controller.abort();
      },
    };
    await failure(volume.export(sink, { signal: controller.signal }), "aborted");
    await exported(volume);
  });
});

describe("streams", () => {
  it("parts of a volume, and past its end", async () => {
    const volume = await (await openStore(new MemoryObjectStore())).createVolume();
    const content = textBytes(700_000, 1);
    await volume.import(sourceOf(content));
    for (const [offset, length] of [
      [0, 10],
      [5000, 600_000],
      [699_990, 100],
      [700_000, 1],
      [900_000, 5],
    ] as const) {
      const chunks: Uint8Array[] = [];
      for await (const chunk of volume.stream({ offset, length })) chunks.push(chunk);
      const found = new Uint8Array(await new Blob(chunks as BlobPart[]).arrayBuffer());
      expectSame(found, content.subarray(offset, offset + length));
    }
  });

  it("shows the state that it began on, whatever is written meanwhile (invariant 1)", async () => {
    const volume = await (await openStore(new MemoryObjectStore())).createVolume();
    const content = textBytes(900_000, 1);
    await volume.write(0, content);
    const reader = volume.stream().getReader();
    const chunks = [(await reader.read()).value!];
    await volume.write(0, textBytes(900_000, 2));
    await volume.push();
    for (let next = await reader.read(); !next.done; next = await reader.read()) chunks.push(next.value);
    expectSame(new Uint8Array(await new Blob(chunks as BlobPart[]).arrayBuffer()), content);
  });

  it("cancelling stops fetching", async () => {
    const objects = new MemoryObjectStore();
    const first = await (await openStore(objects)).createVolume();
    await first.import(sourceOf(randomBytes(8 * 2 ** 20, 1)));
    const watched = new WatchedStore(objects);
    const volume = await (await openStore(watched.store, { runtime: watched.runtime })).volume(first.id);
    const reader = volume.stream().getReader();
    await reader.read();
    await reader.cancel();
    await watched.runtime.sleep(1000);
    const { length } = watched.requests;
    await watched.runtime.sleep(1000);
    expect(watched.requests.length).toBe(length);
    expect(length).toBeLessThan(12);
  });

  it("a signal ends it with its error", async () => {
    const volume = await (await openStore(new MemoryObjectStore())).createVolume();
    await volume.write(0, textBytes(900_000, 1));
    await volume.push();
    volume.snapshot().context.cache.evictAll();
    const controller = new AbortController();
    const reader = volume.stream({ signal: controller.signal }).getReader();
    controller.abort();
    const outcomes = await Promise.allSettled([
      reader.read(),
      reader.read(),
      reader.read(),
      reader.read(),
      reader.read(),
    ]);
    expect(outcomes.some(({ status }) => status === "rejected")).toBe(true);
  });
});

describe("a volume is a file", () => {
  const op = fc.oneof(
    fc.record({
      kind: fc.constant("write" as const),
      at: fc.nat(30_000),
      length: fc.nat(9000),
      fill: fc.nat(255),
      pieces: fc.nat(3000),
    }),
    fc.record({ kind: fc.constant("truncate" as const), at: fc.nat(40_000) }),
    fc.record({ kind: fc.constant("read" as const), at: fc.nat(45_000), length: fc.nat(20_000) }),
    fc.record({ kind: fc.constant("import" as const), at: fc.nat(30_000), fill: fc.nat(255) }),
    fc.record({ kind: fc.constant("push" as const) }),
    fc.record({ kind: fc.constant("evict" as const) }),
  );

  it("read, write, truncate and import equal those of a plain buffer", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(op, { maxLength: 15 }),
        fc.constantFrom(512, 1024, 4096, 65_536),
        async (ops, pageSize) => {
          const objects = new MemoryObjectStore();
          const volume = await (await openStore(objects)).createVolume({ pageSize });
          let content = new Uint8Array(0);
          for (const each of ops) {
            switch (each.kind) {
              case "write": {
                if (each.length === 0) break;
                const bytes = new Uint8Array(each.length).fill(each.fill);
                const stream = async function* () {
                  for (let i = 0; i < bytes.length; i += each.pieces)
                    yield bytes.subarray(i, i + each.pieces);
                };
                await volume.write(each.at, each.pieces === 0 ? bytes : stream());
                const next = new Uint8Array(Math.max(content.length, each.at + each.length));
                next.set(content);
                next.set(bytes, each.at);
                content = next;
                break;
              }
              case "truncate": {
                await volume.truncate(each.at);
                const next = new Uint8Array(each.at);
                next.set(content.subarray(0, each.at));
                content = next;
                break;
              }
              case "import": {
                await volume.push();
                content = content.slice();
                content.fill(each.fill, each.at, each.at + 700);
                await volume.import(sourceOf(content));
                break;
              }
              case "push":
                await volume.push();
                break;
              case "evict":
                volume.snapshot().context.cache.evictAll();
                break;
              case "read":
                expectSame(
                  await volume.read(each.at, each.length),
                  content.subarray(each.at, each.at + each.length),
                );
            }
            expect(volume.status().byteLength).toBe(content.length);
          }
          expectSame(await exported(volume), content);
          await volume.push();
          const clone = await (await openStore(objects)).volume(volume.id);
          expectSame(await exported(clone), content);
        },
      ),
      { seed: testSeed, numRuns: 60 },
    );
  });

  it("a piece of no bytes, an offset that is none", async () => {
    const volume = await (await openStore(new MemoryObjectStore())).createVolume();
    async function* nothing() {
      yield new Uint8Array(0);
    }
    expect((await volume.write(5000, nothing())).sequence).toBe(undefined);
    for (const bad of [-1, 1.5, Number.NaN, 2 ** 53]) {
      await failure(volume.read(bad, 1), "invalid");
      await failure(volume.write(bad, new Uint8Array(1)), "invalid");
      await failure(volume.truncate(bad), "invalid");
    }
  });
});
