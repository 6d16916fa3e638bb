import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { withCache } from "../../server/http/cache/with-cache.ts";
import { isPagefoldError } from "../../src/base/errors.ts";
import { MemoryBlockFileSystem } from "../../src/local/memory-block-file.ts";
import { MemoryObjectStore } from "../../src/remote/memory-store.ts";
import type { GetOptions, ObjectStore } from "../../src/remote/object-store.ts";
import { objectStoreContract } from "../contracts/object-store.ts";
import { testSeed } from "../local/xxh64.ts";
import { codecs, randomBytes } from "./support.ts";

const VOLUME = "01kdvdna00nkg6zgn5bgndez9s";
const segment = (n: number): string =>
  `volumes/${VOLUME}/segments/fffffffffffffffe-01kdvdna00nkg6zgn5bgnd${String(n).padStart(4, "0")}`;
const hash = (bytes: Uint8Array | undefined): string | undefined =>
  bytes === undefined ? undefined : codecs.hash.blake3(bytes);

/** Counts and, where told so, holds the requests that reach it. */
class Behind extends MemoryObjectStore {
  gets: string[] = [];
  lists = 0;
  hold: Promise<void> | undefined;
  aborted = 0;

  override async get(key: string, options: GetOptions = {}): Promise<Uint8Array | undefined> {
    this.gets.push(`${key} ${options.range?.offset ?? ""}+${options.range?.length ?? ""}`);
    options.signal?.addEventListener("abort", () => this.aborted++);
    await this.hold;
    return super.get(key, options);
  }

  override list(...args: Parameters<MemoryObjectStore["list"]>) {
    this.lists++;
    return super.list(...args);
  }
}

objectStoreContract(
  { describe, it },
  "a store with a cache",
  async () => ({
    store: await withCache(new MemoryObjectStore(), { memoryBytes: 2 ** 20 }),
  }),
  { largeBytes: 2 ** 21 },
);

objectStoreContract(
  { describe, it },
  "a store with a cache that takes every object for immutable",
  async () => ({
    store: await withCache(new MemoryObjectStore(), {
      memoryBytes: 2 ** 20,
      blockBytes: 4096,
      isImmutable: () => true,
      disk: { files: new MemoryBlockFileSystem(), bytes: 2 ** 20, hash: codecs.hash },
    }),
  }),
  { largeBytes: 2 ** 21 },
);

describe("the cache", () => {
  it("any range of any object is what the store says, whatever was asked before", async () => {
    const behind = new MemoryObjectStore();
    const sizes = [0, 1, 4095, 4096, 4097, 20_000, 100_000];
    for (const [n, size] of sizes.entries()) await behind.put(segment(n), randomBytes(size, n));
    const range = fc.record({
      n: fc.nat(sizes.length - 1),
      offset: fc.oneof(fc.nat(9000), fc.nat(120_000)),
      length: fc.oneof(fc.nat(5000), fc.nat(120_000), fc.constant(Number.MAX_SAFE_INTEGER)),
      whole: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(range, { minLength: 1, maxLength: 12 }), async (ranges) => {
        const store = await withCache(behind, {
          memoryBytes: 60_000,
          blockBytes: 4096,
          disk: { files: new MemoryBlockFileSystem(), bytes: 80_000, hash: codecs.hash },
        });
        for (const { n, offset, length, whole } of ranges) {
          const options = whole ? {} : { range: { offset, length } };
          const [found, expected] = await Promise.all([
            store.get(segment(n), options),
            behind.get(segment(n), options),
          ]);
          expect(found?.length).toBe(expected?.length);
          expect(hash(found)).toBe(hash(expected));
          expect(await store.sizeOf(segment(n))).toBe(sizes[n]);
          expect(store.stats().memoryBytes).toBeLessThanOrEqual(60_000);
        }
      }),
      { seed: testSeed, numRuns: 60 },
    );
  });

  it("many callers that want one block make one request; a small object comes whole with it", async () => {
    const behind = new Behind();
    await behind.put(segment(1), randomBytes(3000, 1));
    const store = await withCache(behind);
    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, i) => store.get(segment(1), { range: { offset: i, length: 10 } })),
    );
    expect(behind.gets.length).toBe(1);
    for (const [i, bytes] of answers.entries()) expect(bytes).toEqual(randomBytes(3000, 1).slice(i, i + 10));
    expect(hash(await store.get(segment(1)))).toBe(hash(randomBytes(3000, 1)));
    expect(behind.gets.length).toBe(1);
    expect(await store.sizeOf(segment(1))).toBe(3000);
    expect(behind.lists).toBe(0);
  });

  it("adjacent blocks come in one request, and what is there already is not asked for again", async () => {
    const behind = new Behind();
    await behind.put(segment(1), randomBytes(100_000, 1));
    const store = await withCache(behind, { blockBytes: 10_000 });
    await store.get(segment(1), { range: { offset: 30_000, length: 10_000 } });
    await store.get(segment(1), { range: { offset: 5000, length: 60_000 } });
    expect(behind.gets.map((get) => get.split(" ")[1])).toEqual(["30000+10000", "0+30000", "40000+30000"]);
  });

  it("one caller's leaving does no harm to the others; the last one's ends the request", async () => {
    const behind = new Behind();
    await behind.put(segment(1), randomBytes(3000, 1));
    let release = (): void => {};
    behind.hold = new Promise((resolve) => {
      release = resolve;
    });
    const store = await withCache(behind);
    const controllers = [new AbortController(), new AbortController()];
    const reads = controllers.map(({ signal }) => store.get(segment(1), { signal }));
    const outcome = (read: Promise<unknown>) =>
      read.then(
        () => "came",
        (error: unknown) => (isPagefoldError(error) ? error.code : "other"),
      );
    const outcomes = reads.map(outcome);
    await Promise.resolve();
    controllers[0]!.abort();
    expect(await outcomes[0]).toBe("aborted");
    expect(behind.aborted).toBe(0);
    const third = store.get(segment(1));
    release();
    expect(await outcomes[1]).toBe("came");
    expect((await third)?.length).toBe(3000);
    expect(behind.gets.length).toBe(1);
    // Nobody is left: the store hears of it, and the next caller asks anew.
    await store.delete([segment(1)]);
    await behind.put(segment(1), randomBytes(10, 2));
    behind.hold = new Promise(() => {});
    const lonely = new AbortController();
    const left = outcome(store.get(segment(1), { signal: lonely.signal }));
    await Promise.resolve();
    lonely.abort();
    expect(await left).toBe("aborted");
    behind.hold = undefined;
    expect((await store.get(segment(1)))?.length).toBe(10);
  });

  it("a failure is not kept", async () => {
    const behind = new Behind();
    await behind.put(segment(1), randomBytes(10, 1));
    behind.hold = Promise.reject(new Error("broken"));
    const store = await withCache(behind);
    await expect(store.get(segment(1))).rejects.toThrow("broken");
    behind.hold = undefined;
    expect((await store.get(segment(1)))?.length).toBe(10);
  });

  it("absences, hints, tags and listings are asked for every time", async () => {
    const behind = new Behind();
    const store = await withCache(behind);
    for (const key of [segment(1), `volumes/${VOLUME}/head`, "tags/docs/fffffffffffffffe"]) {
      expect(await store.get(key)).toBeUndefined();
      await behind.put(key, randomBytes(5, 1));
      expect((await store.get(key))?.length).toBe(5);
    }
    await behind.put(`volumes/${VOLUME}/head`, randomBytes(6, 2));
    expect((await store.get(`volumes/${VOLUME}/head`))?.length).toBe(6);
    await store.list("volumes/");
    await store.list("volumes/");
    expect(behind.lists).toBe(2);
  });

  it("what is deleted, or put again, is forgotten; also what was on its way then", async () => {
    const behind = new Behind();
    const files = new MemoryBlockFileSystem();
    const store = await withCache(behind, { disk: { files, bytes: 2 ** 22, hash: codecs.hash } });
    await store.put(segment(1), randomBytes(100, 1));
    await store.get(segment(1));
    await store.delete([segment(1)]);
    expect(await store.get(segment(1))).toBeUndefined();
    await store.put(segment(1), randomBytes(100, 2));
    let release = (): void => {};
    behind.hold = new Promise((resolve) => {
      release = resolve;
    });
    const reading = store.get(segment(1));
    await Promise.resolve();
    await store.delete([segment(1)]);
    await store.put(segment(1), randomBytes(100, 3));
    release();
    await reading;
    expect(hash(await store.get(segment(1)))).toBe(hash(randomBytes(100, 3)));
  });

  it("the memory is bounded, and what was used longest ago goes first", async () => {
    const behind = new Behind();
    for (let n = 0; n < 40; n++) await behind.put(segment(n), randomBytes(10_000, n));
    const store = await withCache(behind, { memoryBytes: 110_000 });
    for (let n = 0; n < 40; n++) {
      await store.get(segment(n));
      // Used again and again: it stays.
      await store.get(segment(0));
      expect(store.stats().memoryBytes).toBeLessThanOrEqual(110_000);
    }
    const before = behind.gets.length;
    await store.get(segment(0));
    await store.get(segment(39));
    expect(behind.gets.length).toBe(before);
    await store.get(segment(1));
    expect(behind.gets.length).toBe(before + 1);
    expect(store.stats().evictions).toBeGreaterThan(20);
  });

  it("the disk keeps segments over a restart, verified; a damaged block is read from the store", async () => {
    const behind = new Behind();
    const files = new MemoryBlockFileSystem();
    const disk = { files, bytes: 4 * 2 ** 20, hash: codecs.hash };
    await behind.put(segment(1), randomBytes(600_000, 1));
    await behind.put(segment(2), randomBytes(3000, 2));
    const first = await withCache(behind, { disk });
    for (const n of [1, 2]) await first.get(segment(n));
    expect(first.stats().diskBlocks).toBe(4);
    await first.close();
    behind.gets = [];
    const second = await withCache(behind, { disk });
    expect(hash(await second.get(segment(1)))).toBe(hash(randomBytes(600_000, 1)));
    expect(hash(await second.get(segment(2), { range: { offset: 10, length: 20 } }))).toBe(
      hash(randomBytes(3000, 2).slice(10, 30)),
    );
    expect(behind.gets).toEqual([]);
    await second.close();
    const again = await withCache(behind, { disk });
    // The first block tells the size of the whole: no listing either.
    expect(await again.sizeOf(segment(1))).toBe(600_000);
    expect(behind.lists).toBe(0);
    await again.close();
    for (const name of await files.list()) {
      if (name.endsWith(".index")) continue;
      const file = await files.open(name);
      file.writeAt(100, new Uint8Array(50).fill(7));
      await file.close();
    }
    const third = await withCache(behind, { disk });
    expect(hash(await third.get(segment(1)))).toBe(hash(randomBytes(600_000, 1)));
    expect(behind.gets.length).toBe(1);
  });

  it("commits and manifests are not on the disk: a store that was restored may have others", async () => {
    const behind = new Behind();
    const files = new MemoryBlockFileSystem();
    const store = await withCache(behind, { disk: { files, bytes: 2 ** 22, hash: codecs.hash } });
    const key = `volumes/${VOLUME}/commits/fffffffffffffffe`;
    await behind.put(key, randomBytes(500, 1));
    await store.get(key);
    await store.get(key);
    expect(behind.gets.length).toBe(1);
    expect(store.stats().diskBlocks).toBe(0);
  });

  it("a store that answers more than was asked for is told", async () => {
    const lying: ObjectStore = Object.assign(new MemoryObjectStore(), {
      get: async () => new Uint8Array(2 ** 20),
    });
    const store = await withCache(lying, { blockBytes: 4096 });
    await expect(store.get(segment(1), { range: { offset: 0, length: 10 } })).rejects.toThrow(
      "1048576 bytes",
    );
  });

  it("bytes of `get` are the caller's own", async () => {
    const behind = new Behind();
    await behind.put(segment(1), randomBytes(100, 1));
    const store = await withCache(behind);
    (await store.get(segment(1)))?.fill(0);
    expect(hash(await store.get(segment(1)))).toBe(hash(randomBytes(100, 1)));
  });
});
