/** Pushes on the real engine in the corners that the explorer's toy store abstracts from: large headers, imports, lost histories. */
import { describe, expect, it } from "vitest";
import { isPagefoldError, PagefoldError } from "../../src/base/errors.ts";
import { commitHeaderLength } from "../../src/format/commit-codec.ts";
import { MemoryBlockFileSystem } from "../../src/local/memory-block-file.ts";
import { MemoryObjectStore } from "../../src/remote/memory-store.ts";
import type { ObjectStore } from "../../src/remote/object-store.ts";
import type { PageStore } from "../../src/store/page-store.ts";
import { testSeed } from "../local/xxh64.ts";
import { contentOf, openEngine, PAGE, sourceOf, TAG } from "./crash-workload.ts";

/** What happens to conditional creates of commits: "lost": carried out without an answer; "down": no answer, and not carried out. */
type Mood = "fine" | "lost" | "down";

class MoodyStore implements ObjectStore {
  readonly url = "memory:moody";
  readonly inner = new MemoryObjectStore();
  readonly capabilities = this.inner.capabilities;
  mood: Mood = "fine";
  readonly get: ObjectStore["get"] = (key, options) => {
    if (this.mood !== "fine" && key.includes("/commits/")) return Promise.reject(noAnswer());
    return this.inner.get(key, options);
  };
  readonly list: ObjectStore["list"] = (prefix, options) => this.inner.list(prefix, options);
  readonly delete: ObjectStore["delete"] = (keys, options) => this.inner.delete(keys, options);
  readonly put: ObjectStore["put"] = async (key, body, options) => {
    if (this.mood === "fine" || !key.includes("/commits/")) return this.inner.put(key, body, options);
    if (this.mood === "lost") await this.inner.put(key, body, options);
    throw noAnswer();
  };
  async close(): Promise<void> {}

  async commits(): Promise<string[]> {
    const entries = await this.inner.list("volumes/", { limit: 1000 });
    return entries.map(({ key }) => key).filter((key) => key.includes("/commits/"));
  }
}

const noAnswer = () => new PagefoldError("unavailable", "no answer; try again");
const bytes = (length: number, value: number) => new Uint8Array(length).fill(value);

async function expectCode(promise: Promise<unknown>, code: PagefoldError["code"]): Promise<void> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(isPagefoldError(error, code), `expected ${code}, not ${error}`).toBe(true);
}

function open(remote: ObjectStore, files = new MemoryBlockFileSystem(), seed = testSeed): Promise<PageStore> {
  return openEngine(remote, files, {}, seed);
}

describe("a push", () => {
  it("invariant 5: learns that it lost to a commit with a header of 100 kB", async () => {
    const remote = new MoodyStore();
    const one = await (await open(remote)).createVolume({ pageSize: PAGE, tag: TAG });
    const two = await (await open(remote, undefined, testSeed + 1)).volume(TAG);
    await two.write(0, bytes(10, 2));
    const transaction = await one.begin();
    // Gaps of many sizes: no way to write the page set down shortly.
    for (let i = 0, page = 1; i < 60_000; i++, page += 2 + ((i * 7919) % 257)) {
      transaction.writePage(page, bytes(PAGE, 1 + (i % 250)));
    }
    transaction.commit();
    await one.push();
    const [key] = await remote.commits();
    const object = await remote.inner.get(key!);
    expect(commitHeaderLength(object!)).toBeGreaterThan(65_536);
    await expectCode(two.push(), "diverged");
    expect(two.status()).toMatchObject({ pendingPush: false, state: "diverged", ahead: 1 });
    await two.reset();
    await two.pull();
    expect(two.status()).toMatchObject({ lsn: 1, state: "clean" });
  }, 60_000);

  it("is not sent again to a store that lost the history it builds on: no gap in the log", async () => {
    const remote = new MoodyStore();
    const files = new MemoryBlockFileSystem();
    const store = await open(remote, files);
    const volume = await store.createVolume({ pageSize: PAGE, tag: TAG });
    for (let n = 1; n <= 2; n++) {
      await volume.write(0, bytes(10, n));
      await volume.push();
    }
    await volume.write(0, bytes(10, 3));
    remote.mood = "down";
    await expectCode(volume.push(), "unavailable");
    remote.mood = "fine";
    await store.close();
    const [newest] = await remote.commits();
    await remote.inner.delete([newest!]);
    const again = await (await open(remote, files)).volume(TAG);
    await expectCode(again.pull(), "diverged");
    await expectCode(again.push(), "diverged");
    expect(await remote.commits()).toHaveLength(1);
    expect(await contentOf(again)).toEqual(bytes(10, 3));
    expect(again.status()).toMatchObject({ pendingPush: true, ahead: 1 });
  });
});

describe("an import", () => {
  it("invariant 5: refuses to cover a local commit that is made meanwhile", async () => {
    const remote = new MoodyStore();
    const volume = await (await open(remote)).createVolume({ pageSize: PAGE, tag: TAG });
    const source = sourceOf(bytes(3 * PAGE, 7));
    const busy = {
      ...source,
      check: async () => {
        if (volume.status().ahead === 0) await volume.write(0, bytes(10, 9));
      },
    };
    await expectCode(volume.import(busy), "conflict");
    expect(await contentOf(volume)).toEqual(bytes(10, 9));
    expect(await remote.commits()).toEqual([]);
    expect((await volume.push()).lsn).toBe(1);
  });

  it("is news to a transaction that began before it: conflict", async () => {
    const remote = new MoodyStore();
    const volume = await (await open(remote)).createVolume({ pageSize: PAGE, tag: TAG });
    const before = volume.snapshot();
    await volume.import(sourceOf(bytes(3 * PAGE, 7)));
    await expectCode(volume.begin({ snapshot: before }), "conflict");
    before.close();
  });

  it("invariants 2 and 5: whose answer was lost does not slip under a local commit", async () => {
    const remote = new MoodyStore();
    const files = new MemoryBlockFileSystem();
    const store = await open(remote, files);
    const volume = await store.createVolume({ pageSize: PAGE, tag: TAG });
    remote.mood = "lost";
    await expectCode(volume.import(sourceOf(bytes(3 * PAGE, 7))), "unavailable");
    await volume.write(0, bytes(10, 9));
    remote.mood = "fine";
    await store.close();
    const again = await (await open(remote, files)).volume(TAG);
    await expectCode(again.pull(), "diverged");
    expect(await contentOf(again)).toEqual(bytes(10, 9));
    expect(again.status()).toMatchObject({ state: "diverged", ahead: 1, pendingPush: false });
    expect(await again.reset()).toEqual({ dropped: 1 });
    await again.pull();
    expect(await contentOf(again)).toEqual(bytes(3 * PAGE, 7));
  });
});
