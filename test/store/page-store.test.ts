/** The façade: opening, cloning, tags, hydrating, being offline, closing. */
import { describe, expect, it } from "vitest";
import { PagefoldError } from "../../src/base/errors.ts";
import { stateChecksumToText } from "../../src/format/checksum.ts";
import { headKey, manifestKey } from "../../src/format/keys.ts";
import { MemoryBlockFileSystem } from "../../src/local/memory-block-file.ts";
import { MemoryObjectStore } from "../../src/remote/memory-store.ts";
import type { ObjectStore } from "../../src/remote/object-store.ts";
import { withFaults } from "../../src/remote/with-faults.ts";
import { SimRuntime } from "../sim/runtime.ts";
import { expectSame, failure, openStore, randomBytes, sourceOf, textBytes, WatchedStore } from "./support.ts";

const PAGE = 512;

/** A store that can be unplugged. */
function pluggable(objects: MemoryObjectStore): { store: ObjectStore; plugged: boolean } {
  const plug = { plugged: true } as { store: ObjectStore; plugged: boolean };
  plug.store = withFaults(objects, () => (plug.plugged ? undefined : { kind: "fail-before" }), {
    runtime: new SimRuntime(1),
  });
  return plug;
}

async function filled(objects: MemoryObjectStore) {
  const volume = await (await openStore(objects)).createVolume({ pageSize: PAGE, tag: "main" });
  await volume.write(0, textBytes(40 * PAGE, 1));
  await volume.push();
  await volume.write(5 * PAGE, new Uint8Array(4 * PAGE));
  await volume.push();
  return { volume, content: await volume.read(0, 1e9) };
}

describe("cloning", () => {
  it("regression (Turso): one that is cut off anywhere is finished by the next call, never shown as an empty volume", async () => {
    const objects = new MemoryObjectStore();
    const { volume, content } = await filled(objects);
    for (const name of ["main", volume.id]) {
      for (let failing = 1; failing < 8; failing++) {
        for (const restart of [false, true]) {
          const files = new MemoryBlockFileSystem();
          let calls = 0;
          let down = true;
          const error = new PagefoldError("unavailable", "down", { retryable: false });
          const remote = withFaults(
            objects,
            () => (down && ++calls >= failing ? { kind: "fail-before", error } : undefined),
            {
              runtime: new SimRuntime(1),
            },
          );
          let store = await openStore(remote, { local: { files } });
          const first = await store.volume(name).catch((e: unknown) => e);
          if (first instanceof Error) expect(first).toMatchObject({ code: "unavailable" });
          if (restart) {
            await store.close();
            store = await openStore(remote, { local: { files } });
          }
          const offline = await store.volume(name, { offline: true }).catch((e: unknown) => e);
          if (offline instanceof Error) expect(offline).toMatchObject({ code: "not_found" });
          else if (!("status" in (offline as object))) throw new Error("a volume");
          down = false;
          const opened = await store.volume(name);
          expect(opened.status().lsn).toBe(2);
          expectSame(await opened.read(0, 1e9), content, "the whole volume");
        }
      }
    }
  });

  it("by several callers at once is one replica, and one that gives up harms no other", async () => {
    const objects = new MemoryObjectStore();
    const { volume, content } = await filled(objects);
    const watched = new WatchedStore(objects);
    const store = await openStore(watched.store, { runtime: watched.runtime });
    const controller = new AbortController();
    const impatient = failure(store.volume("main", { signal: controller.signal }), "aborted");
    const others = [store.volume("main"), store.volume(volume.id), store.volume("main")];
    await watched.runtime.sleep(15);
    controller.abort();
    await impatient;
    const opened = await Promise.all(others);
    expect(new Set(opened).size).toBe(1);
    expectSame(await opened[0]!.read(0, 1e9), content);
  });

  it("an empty volume is cloned, and opened again without a request when it has a name", async () => {
    const objects = new MemoryObjectStore();
    const files = new MemoryBlockFileSystem();
    const created = await (await openStore(objects)).createVolume({ tag: "empty" });
    const first = await openStore(objects, { local: { files } });
    expect((await first.volume("empty")).status()).toMatchObject({ lsn: 0, byteLength: 0 });
    await first.close();
    const watched = new WatchedStore(objects);
    const store = await openStore(watched.store, { runtime: watched.runtime, local: { files } });
    expect((await store.volume("empty")).id).toBe(created.id);
    expect(watched.requests).toEqual([]);
  });

  it("what is not there: not_found with the tags that are, invalid names", async () => {
    const objects = new MemoryObjectStore();
    const { volume } = await filled(objects);
    const store = await openStore(objects);
    const error = await failure(store.volume("mian"), "not_found");
    expect(error.message).toContain("main");
    await failure(store.volume("a/b"), "invalid");
    await objects.delete([manifestKey(volume.id)]);
    await failure(store.volume(volume.id), "not_found");
    await failure(store.volume("main"), "not_found");
    await failure(store.createVolume({ pageSize: 1000 }), "invalid");
    await failure(store.createVolume({ pageSize: 256 }), "invalid");
    await failure(store.createVolume({ tag: "no/no" }), "invalid");
  });

  it("a tag names one volume: taking it twice is a conflict", async () => {
    const objects = new MemoryObjectStore();
    const { volume } = await filled(objects);
    const store = await openStore(objects);
    const other = await store.createVolume();
    await failure(store.tag("main", other.id), "conflict");
    await store.tag("second", other.id);
    await store.tag("second", other.id);
    expect((await store.tags()).map(({ tag, volume: id }) => [tag, id])).toEqual([
      ["main", volume.id],
      ["second", other.id],
    ]);
    const racing = [1, 2, 3, 4].map(async () => {
      const own = await openStore(objects);
      const mine = await own.createVolume();
      return own.tag("raced", mine.id).then(
        () => 1,
        () => 0,
      );
    });
    expect((await Promise.all(racing)).reduce<number>((a, b) => a + b, 0)).toBe(1);
  });
});

describe("hydrated and offline", () => {
  it("invariant 6: after hydrate everything is read without the store, zeroed pages too, over a restart", async () => {
    const objects = new MemoryObjectStore();
    const { volume, content } = await filled(objects);
    const plug = pluggable(objects);
    const files = new MemoryBlockFileSystem();
    const options = { local: { files }, settings: { diskBytes: 2 ** 20 } };
    const store = await openStore(plug.store, options);
    const clone = await store.volume("main");
    const { pages, stateChecksum } = await clone.hydrate();
    expect(pages).toBe(40);
    expect(stateChecksumToText(stateChecksum)).toBe(stateChecksumToText(volume.stateChecksum));
    expect(clone.status().residentPages).toBe(40);
    const again = await clone.hydrate();
    expect(again.requests).toBe(0);
    await store.close();
    plug.plugged = false;
    const reopened = await openStore(plug.store, options);
    const offline = await reopened.volume("main");
    expectSame(await offline.read(0, 1e9), content, "from here alone");
  });

  it("a fault without the store is unavailable, resident pages are read, and it goes on when the store is back", async () => {
    const objects = new MemoryObjectStore();
    const { content } = await filled(objects);
    const plug = pluggable(objects);
    const settings = { readAhead: undefined, frameBytes: PAGE };
    const clone = await (await openStore(plug.store, { settings })).volume("main");
    // Small commits come with their header: a large one does not.
    const big = randomBytes(3000 * PAGE, 4);
    await clone.import(sourceOf(big));
    expectSame(await clone.read(0, PAGE), big.subarray(0, PAGE));
    plug.plugged = false;
    expectSame(await clone.read(0, PAGE), big.subarray(0, PAGE));
    const error = await failure(clone.read(2900 * PAGE, PAGE), "unavailable");
    expect(error.retryable).toBe(true);
    await failure(clone.fetch(), "unavailable");
    await failure(clone.pull(), "unavailable");
    await clone.write(0, new Uint8Array([1]));
    plug.plugged = true;
    expectSame(await clone.read(2900 * PAGE, PAGE), big.subarray(2900 * PAGE, 2901 * PAGE));
    expect((await clone.push()).lsn).toBe(4);
    expect(content.length).toBe(40 * PAGE);
  });

  it("a cache that is too small says so, and how many pages it needs", async () => {
    const objects = new MemoryObjectStore();
    await filled(objects);
    const clone = await (await openStore(objects, { settings: { memoryBytes: 8 * PAGE } })).volume("main");
    const error = await failure(clone.hydrate(), "quota");
    expect(error.details).toMatchObject({ pages: 40, capacityPages: 8 });
    const none = await (await openStore(objects, { settings: { memoryBytes: 0 } })).volume("main");
    await failure(none.read(0, 10), "quota");
  });

  it("regression (Graft): the state checksum sees swapped pages", async () => {
    const a = await (await openStore(new MemoryObjectStore())).createVolume({ pageSize: PAGE });
    await a.write(0, textBytes(PAGE, 1));
    await a.write(PAGE, textBytes(PAGE, 2));
    await a.push();
    const before = a.stateChecksum;
    await a.write(0, textBytes(PAGE, 2));
    await a.write(PAGE, textBytes(PAGE, 1));
    await a.push();
    expect(a.stateChecksum).not.toBe(before);
    await a.write(0, textBytes(PAGE, 1));
    await a.write(PAGE, textBytes(PAGE, 2));
    await a.push();
    expect(a.stateChecksum).toBe(before);
  });
});

describe("events", () => {
  it("commits, status and faults are told, and a listener that throws disturbs nobody", async () => {
    const objects = new MemoryObjectStore();
    await filled(objects);
    const clone = await (await openStore(objects)).volume("main");
    const seen: string[] = [];
    clone.on("commit", () => {
      throw new Error("a bad listener");
    });
    clone.on("commit", ({ where, lsn }) => seen.push(`${where} ${lsn}`));
    const stop = clone.on("fault", ({ firstPage }) => seen.push(`fault ${firstPage}`));
    await clone.read(0, 1);
    stop();
    clone.snapshot().context.cache.evictAll();
    await clone.read(0, 1);
    const states: string[] = [];
    clone.on("status", ({ state }) => states.push(state));
    await clone.write(0, textBytes(2 * PAGE, 9));
    await clone.push();
    expect(seen).toEqual(["fault 1", "local 2", "remote 3"]);
    expect(states[0]).toBe("ahead");
    expect(states.at(-1)).toBe("clean");
  });
});

describe("closing", () => {
  it("is idempotent, releases what was held even when something fails, and everything says closed afterwards", async () => {
    const objects = new MemoryObjectStore();
    let released = 0;
    const local = { release: async () => void released++ };
    const store = await openStore(objects, { local });
    const volume = await store.createVolume({ pageSize: PAGE });
    await store.close();
    await store.close();
    expect(released).toBe(1);
    for (const use of [
      () => volume.read(0, 1),
      () => volume.write(0, new Uint8Array(1)),
      () => volume.push(),
    ])
      await failure(use(), "closed");
    await failure(store.volume("x"), "closed");
    await failure(store.createVolume(), "closed");
    const broken: ObjectStore = {
      ...pluggable(objects).store,
      close: () => Promise.reject(new PagefoldError("unavailable", "no")),
    };
    const other = await openStore(broken, { local });
    await failure(other.close(), "unavailable");
    expect(released).toBe(2);
  });

  it("waits for what is still written for a push that was acknowledged", async () => {
    const objects = new MemoryObjectStore();
    let proceed = (): void => {};
    const held = new Promise<void>((resolve) => {
      proceed = resolve;
    });
    const slow: ObjectStore = {
      ...pluggable(objects).store,
      put: async (key, body, options) => {
        if (key.endsWith("/head")) await held;
        return objects.put(key, body, options);
      },
    };
    const store = await openStore(slow);
    const volume = await store.createVolume({ pageSize: PAGE });
    await volume.write(0, textBytes(PAGE, 1));
    await volume.push();
    let closed = false;
    const closing = store.close().then(() => {
      closed = true;
    });
    for (let turn = 0; turn < 100; turn++) await Promise.resolve();
    expect(closed).toBe(false);
    proceed();
    await closing;
    expect(await objects.get(headKey(volume.id))).toBeDefined();
  });
});
