/**
 * Block files with write-behind over a database that is slow, full or gone, in Node: whatever is stored when everything ends is what the files were at
 * some moment, and nothing that was said to be durable is missing.
 */
import { describe, expect, it } from "vitest";
import { isPagefoldError, PagefoldError } from "../../src/base/errors.ts";
import { type BlockDatabase, IdbBlockFileSystem } from "../../src/browser/idb-block-file.ts";
import type { BlockFile } from "../../src/local/block-file.ts";
import { MemoryObjectStore } from "../../src/remote/memory-store.ts";
import { blockFileContract } from "../contracts/block-file.ts";
import { seededRandom, testSeed } from "../local/xxh64.ts";
import { openStore, textBytes } from "../store/support.ts";

/** Values by key, changed by whole transactions, each of which takes a few turns of the event loop. */
class SlowDatabase implements BlockDatabase {
  readonly path = "slow";
  readonly values = new Map<string, unknown>();
  /** Bytes that all values may have. */
  capacity = Number.POSITIVE_INFINITY;
  fail: (() => PagefoldError | undefined) | undefined;
  applied = 0;
  #turns: () => number;

  constructor(turns: () => number = () => 1) {
    this.#turns = turns;
  }

  get usedBytes(): number {
    let bytes = 0;
    for (const value of this.values.values()) bytes += value instanceof Uint8Array ? value.length : 8;
    return bytes;
  }

  async load(prefix: string): Promise<[string, unknown][]> {
    return [...this.values].filter(([key]) => key.startsWith(prefix)).sort(([a], [b]) => (a < b ? -1 : 1));
  }

  async keys(prefix: string): Promise<string[]> {
    return (await this.load(prefix)).map(([key]) => key);
  }

  async apply(changes: ReadonlyMap<string, unknown>): Promise<void> {
    for (let turn = this.#turns(); turn > 0; turn--) await new Promise((resolve) => setImmediate(resolve));
    const failure = this.fail?.();
    if (failure !== undefined) throw failure;
    // As browsers do it: what is put is asked for, whatever is deleted beside it.
    let put = 0;
    for (const value of changes.values()) if (value instanceof Uint8Array) put += value.length;
    if (put > 0 && this.usedBytes + put > this.capacity)
      throw new PagefoldError("quota", "the database is full");
    for (const [key, value] of changes) {
      if (value === undefined) this.values.delete(key);
      else this.values.set(key, value instanceof Uint8Array ? value.slice() : value);
    }
    this.applied++;
  }

  async close(): Promise<void> {}

  clone(): SlowDatabase {
    const copy = new SlowDatabase();
    for (const [key, value] of this.values) copy.values.set(key, value);
    return copy;
  }
}

blockFileContract({ describe, it }, "write-behind over a slow database", async () => {
  const database = new SlowDatabase(() => 3);
  return {
    files: new IdbBlockFileSystem(database),
    reopen: () => new IdbBlockFileSystem(database),
  };
});

const CHUNK = 256 * 1024;

function contentOf(file: BlockFile): Buffer {
  const bytes = Buffer.alloc(file.size());
  file.readAt(0, bytes);
  return bytes;
}

async function stored(database: SlowDatabase, name: string): Promise<Buffer> {
  const file = await new IdbBlockFileSystem(database.clone()).open(name);
  return contentOf(file);
}

const PAGE = 4096;
const PAGES = 40;
const options = { settings: { compactAboveBytes: 300_000, diskBytes: 2 ** 20, memoryBytes: 2 ** 20 } };

/** What a session that ends now leaves to the next one, or why that could not open it. */
async function afterCrash(remote: MemoryObjectStore, database: SlowDatabase): Promise<Buffer> {
  const files = new IdbBlockFileSystem(database.clone());
  const store = await openStore(remote, { ...options, local: { files } });
  try {
    const volume = await store.volume("v", { offline: true });
    return Buffer.from(await volume.read(0, PAGES * PAGE));
  } finally {
    await store.close();
  }
}

describe("the engine over it", () => {
  it(`invariants 2 and 3: whenever it ends, every commit that was acknowledged is there, and no part of another (seed ${testSeed})`, async () => {
    const random = seededRandom(testSeed);
    const below = (n: number) => Math.floor(random() * n);
    const remote = new MemoryObjectStore();
    const database = new SlowDatabase(() => below(5));
    const store = await openStore(remote, { ...options, local: { files: new IdbBlockFileSystem(database) } });
    const volume = await store.createVolume({ tag: "v", pageSize: PAGE });
    await volume.write(0, textBytes(PAGES * PAGE, 1));
    await volume.push();
    let before = Buffer.from(textBytes(PAGES * PAGE, 1));
    let ends = 0;
    for (let step = 2; step < 60; step++) {
      const at = below(PAGES - 10) * PAGE + below(2) * 100;
      const bytes = textBytes(1 + below(9 * PAGE), step);
      const after = Buffer.from(before);
      after.set(bytes, at);
      let acknowledged = false;
      const writing = volume.write(at, bytes).then(() => {
        acknowledged = true;
      });
      for (let turn = 0; !acknowledged; turn++) {
        const found = await afterCrash(remote, database);
        ends++;
        const which = found.equals(before) ? "before" : found.equals(after) ? "after" : "neither";
        expect(which, `step ${step}, turn ${turn}`).not.toBe("neither");
        await new Promise((resolve) => setImmediate(resolve));
      }
      await writing;
      expect((await afterCrash(remote, database)).equals(after), `step ${step}, acknowledged`).toBe(true);
      if (random() < 0.3) await volume.push();
      before = after;
    }
    await store.close();
    expect(ends).toBeGreaterThan(60);
    expect((await afterCrash(remote, database)).equals(before), "closed").toBe(true);
  });
});

describe("write-behind", () => {
  it(`invariants 2 and 3: what is stored at any moment is a state of a flush, and no older than what was durable (seed ${testSeed})`, async () => {
    for (let run = 0; run < 30; run++) {
      const random = seededRandom(testSeed + run);
      const below = (n: number) => Math.floor(random() * n);
      const database = new SlowDatabase(() => below(4));
      database.fail = () => (random() < 0.2 ? new PagefoldError("unavailable", "for once") : undefined);
      const files = new IdbBlockFileSystem(database);
      const names = ["a", "b"] as const;
      const open = { a: await files.open("a"), b: await files.open("b") };
      /** What both files were at each flush of one of them. */
      const states: string[] = [];
      const stateOf = (a: Buffer, b: Buffer) => `${a.toString("base64")}|${b.toString("base64")}`;
      states.push(stateOf(Buffer.alloc(0), Buffer.alloc(0)));
      let durable = 0;
      for (let step = 0; step < 60; step++) {
        const file = open[names[below(2)] ?? "a"];
        const dice = random();
        if (dice < 0.5)
          file.writeAt(below(3) * CHUNK + below(500), new Uint8Array(1 + below(300)).fill(step + 1));
        else if (dice < 0.6) file.truncate(below(2 * CHUNK));
        else if (dice < 0.8) {
          file.flush();
          states.push(stateOf(contentOf(open.a), contentOf(open.b)));
        } else if (dice < 0.9) {
          const target = states.length - 1;
          try {
            await file.durable();
            durable = target;
          } catch (error) {
            expect(isPagefoldError(error, "unavailable")).toBe(true);
          }
        } else await new Promise((resolve) => setImmediate(resolve));
        // Everything ends here.
        if (random() < 0.2) {
          const found = stateOf(await stored(database, "a"), await stored(database, "b"));
          expect(states.lastIndexOf(found), `run ${run}, step ${step}`).toBeGreaterThanOrEqual(durable);
        }
      }
    }
  });

  it("flushes that come while one is stored are stored together", async () => {
    const database = new SlowDatabase(() => 5);
    const file = await new IdbBlockFileSystem(database).open("log");
    for (let i = 0; i < 100; i++) {
      file.writeAt(i * 100, new Uint8Array(100).fill(i));
      file.flush();
    }
    await file.durable();
    expect(database.applied).toBe(2);
    expect(contentOf(file).equals(await stored(database, "log"))).toBe(true);
  });

  it("what is expendable is stored by itself, soon, and only where there is room; the file goes on either way", async () => {
    const database = new SlowDatabase();
    const files = new IdbBlockFileSystem(database);
    const cache = await files.open("pages", { expendable: true });
    cache.writeAt(0, new Uint8Array(2 * CHUNK).fill(1));
    await expect.poll(() => database.values.has("chunk/pages/1")).toBe(true);
    database.capacity = database.usedBytes + CHUNK;
    cache.writeAt(2 * CHUNK, new Uint8Array(4 * CHUNK).fill(2));
    cache.flush();
    await expect
      .poll(() => {
        try {
          cache.writeAt(6 * CHUNK, new Uint8Array(CHUNK));
          return "taken";
        } catch (error) {
          return isPagefoldError(error) ? error.code : String(error);
        }
      })
      .toBe("quota");
    expect(
      contentOf(cache)
        .subarray(2 * CHUNK, 6 * CHUNK)
        .every((byte) => byte === 2),
    ).toBe(true);
    cache.writeAt(0, new Uint8Array(10).fill(3));
    await cache.close();
  });

  it("a promise that does not fit is quota, and is kept when something expendable gives way", async () => {
    const database = new SlowDatabase();
    const files = new IdbBlockFileSystem(database);
    const cache = await files.open("pages", { expendable: true });
    const log = await files.open("log");
    cache.writeAt(0, new Uint8Array(4 * CHUNK).fill(1));
    cache.flush();
    log.writeAt(0, new Uint8Array(CHUNK).fill(2));
    log.flush();
    await log.durable();
    await expect.poll(() => database.values.has("chunk/pages/3")).toBe(true);
    database.capacity = database.usedBytes;
    log.writeAt(0, new Uint8Array(2 * CHUNK).fill(3));
    log.flush();
    await expect(log.durable()).rejects.toMatchObject({ code: "quota" });
    await expect(log.durable(), "asking again does not help by itself").rejects.toMatchObject({
      code: "quota",
    });
    expect(() => log.writeAt(2 * CHUNK, new Uint8Array(1)), "no more is taken").toThrow(/full/);
    expect(
      (await stored(database, "log")).every((byte) => byte === 2),
      "the state before",
    ).toBe(true);
    cache.truncate(CHUNK);
    await log.durable();
    expect((await stored(database, "log")).every((byte) => byte === 3)).toBe(true);
    expect(await database.keys("chunk/pages/")).toEqual(["chunk/pages/0"]);
    log.writeAt(2 * CHUNK, new Uint8Array(1));
    await cache.close();
  });

  it("a database that fails now and then loses nothing that was promised, and closing what is expendable ends", async () => {
    const database = new SlowDatabase();
    const files = new IdbBlockFileSystem(database);
    const [cache, log] = [await files.open("pages", { expendable: true }), await files.open("log")];
    database.fail = () => new PagefoldError("unavailable", "not now");
    cache.writeAt(0, new Uint8Array(CHUNK).fill(1));
    log.writeAt(0, new Uint8Array(CHUNK).fill(2));
    cache.flush();
    log.flush();
    await expect(log.durable()).rejects.toMatchObject({ code: "unavailable", retryable: true });
    await cache.close();
    database.fail = undefined;
    log.writeAt(0, new Uint8Array(1).fill(3));
    await log.close();
    const bytes = await stored(database, "log");
    expect([bytes[0], bytes[1], bytes.length]).toEqual([3, 2, CHUNK]);
  });

  it("a database that is gone fails what comes after, for good, and closing says nothing more", async () => {
    const database = new SlowDatabase();
    const files = new IdbBlockFileSystem(database);
    const log = await files.open("log");
    log.writeAt(0, new Uint8Array(100).fill(1));
    log.flush();
    await log.durable();
    const gone = new PagefoldError("unavailable", "it was removed", { retryable: false });
    database.fail = () => gone;
    log.writeAt(0, new Uint8Array(100).fill(2));
    log.flush();
    await expect(log.durable()).rejects.toBe(gone);
    database.fail = undefined;
    await expect(log.durable()).rejects.toBe(gone);
    expect(() => log.writeAt(0, new Uint8Array(1))).toThrow(gone);
    expect(() => log.flush()).toThrow(gone);
    const bytes = new Uint8Array(100);
    expect(log.readAt(0, bytes), "what is in memory is still there").toBe(100);
    expect(bytes.every((byte) => byte === 2)).toBe(true);
    await log.close();
  });
});
