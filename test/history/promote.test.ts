/** Forks that go back into their parents, and forks that move on with them. */
import { describe, expect, it } from "vitest";
import type { VolumeId } from "../../src/base/brand.ts";
import { isPagefoldError, PagefoldError } from "../../src/base/errors.ts";
import { MemoryObjectStore } from "../../src/remote/memory-store.ts";
import type { ObjectStore } from "../../src/remote/object-store.ts";
import type { PageStore } from "../../src/store/page-store.ts";
import type { Volume } from "../../src/store/volume.ts";
import { expectSame, failure, openStore, randomBytes, textBytes } from "../store/support.ts";

const PAGE = 512;
const PAGES = 40;

async function put(volume: Volume, page: number, bytes: Uint8Array): Promise<void> {
  await volume.write((page - 1) * PAGE, bytes);
  await volume.push();
}

async function setUp(objects: ObjectStore = new MemoryObjectStore()) {
  const store = await openStore(objects);
  const parent = await store.createVolume({ pageSize: PAGE, tag: "main" });
  await put(parent, 1, textBytes(PAGES * PAGE, 1));
  await put(parent, 5, textBytes(3 * PAGE, 2));
  const fork = await store.fork("main", { tag: "topic" });
  return { objects, store, parent, fork };
}

const content = (volume: Volume) => volume.read(0, 1e9);

/** The content that a fresh reader sees, which verifies. */
async function freshly(objects: ObjectStore, name: string): Promise<Uint8Array> {
  const volume = await (await openStore(objects)).volume(name);
  await volume.verify({ deep: true });
  return content(volume);
}

/** A page's worth of the one laid over the other. */
function laid(bytes: Uint8Array, page: number, over: Uint8Array): Uint8Array {
  const result = new Uint8Array(Math.max(bytes.length, (page - 1) * PAGE + over.length));
  result.set(bytes);
  result.set(over, (page - 1) * PAGE);
  return result;
}

describe("promoting a fork", () => {
  it("puts its changes on top of its parent's as one commit; again, there is nothing left", async () => {
    const { objects, store, parent, fork } = await setUp();
    await put(fork, 10, textBytes(2 * PAGE, 3));
    await put(fork, 11, textBytes(PAGE, 4));
    await put(fork, 20, new Uint8Array(PAGE));
    await put(parent, 30, textBytes(PAGE, 5));
    const expected = [
      [10, textBytes(2 * PAGE, 3)],
      [11, textBytes(PAGE, 4)],
      [20, new Uint8Array(PAGE)],
    ].reduce((bytes, [page, over]) => laid(bytes, page as number, over as Uint8Array), await content(parent));
    const before = parent.status().lsn;
    const result = await store.promote("topic");
    expect(result).toEqual({ volume: parent.id, lsn: before + 1, changedPages: 3, promoted: true });
    expectSame(await content(parent), expected);
    expectSame(await freshly(objects, "main"), expected);
    expect(await store.promote("topic")).toEqual({ ...result, changedPages: 0, promoted: false });
    // What comes later is promoted later.
    await put(fork, 12, textBytes(PAGE, 6));
    expect(await store.promote(fork.id)).toMatchObject({ lsn: before + 2, changedPages: 1, promoted: true });
    expectSame(await freshly(objects, "main"), laid(expected, 12, textBytes(PAGE, 6)));
  });

  it("takes a fork over whole where the parent has stood still: shrunk, grown, with more than fits a commit", async () => {
    for (const change of ["shrink", "grow", "much", "hole"]) {
      const { objects, store, fork } = await setUp();
      if (change === "shrink") await fork.truncate(7 * PAGE + 100);
      if (change === "grow") await fork.write(50 * PAGE, textBytes(900, 3));
      if (change === "much") await fork.write(PAGE, randomBytes(3_000_000, 3));
      if (change === "hole") {
        await fork.truncate(3 * PAGE);
        await fork.push();
        await fork.truncate(60 * PAGE);
      }
      await fork.push();
      const seen: number[] = [];
      const { promoted } = await store.promote("topic", { onProgress: (done) => seen.push(done) });
      expect(promoted).toBe(true);
      expectSame(await freshly(objects, "main"), await content(fork), change);
      expect(seen.at(-1) ?? 0).toBeGreaterThanOrEqual(change === "hole" || change === "shrink" ? 0 : 1);
      expect((await store.promote("topic")).promoted).toBe(false);
    }
  });

  it("refuses where both changed a page differently, or the length, and changes nothing", async () => {
    const clashes: readonly [string, (fork: Volume, parent: Volume) => Promise<void>, string][] = [
      [
        "a page",
        async (fork, parent) => {
          await put(fork, 9, textBytes(3 * PAGE, 3));
          await put(parent, 11, textBytes(2 * PAGE, 4));
        },
        "11",
      ],
      [
        "a page that one of them cut off",
        async (fork, parent) => {
          await fork.truncate(20 * PAGE);
          await fork.push();
          await put(parent, 33, textBytes(PAGE, 4));
        },
        "33",
      ],
      [
        "a page behind the parent's new end",
        async (fork, parent) => {
          await put(fork, 35, textBytes(PAGE, 4));
          await parent.truncate(20 * PAGE);
          await parent.push();
        },
        "35",
      ],
      [
        "the length",
        async (fork, parent) => {
          await put(fork, 50, textBytes(PAGE, 4));
          await put(parent, 60, textBytes(PAGE, 4));
        },
        "long",
      ],
    ];
    for (const [what, change, told] of clashes) {
      const { objects, store, fork, parent } = await setUp();
      await change(fork, parent);
      const before = (await objects.list("", { limit: 1000 })).length;
      for (const work of [store.promote("topic"), store.rebase("topic")]) {
        const error = await failure(work, "conflict");
        expect(error.message, what).toContain(told);
      }
      expect((await objects.list("", { limit: 1000 })).length, what).toBe(before);
    }
  });

  it("does not mind pages that both made the same", async () => {
    const { objects, store, fork, parent } = await setUp();
    await put(fork, 9, textBytes(3 * PAGE, 3));
    await put(parent, 10, textBytes(3 * PAGE, 3).slice(PAGE, 2 * PAGE));
    await put(parent, 30, textBytes(PAGE, 5));
    expect((await store.promote("topic")).changedPages).toBe(2);
    expectSame(await freshly(objects, "main"), laid(await content(fork), 30, textBytes(PAGE, 5)));
  });

  it("needs a fork, and nothing local that would be left behind", async () => {
    const { store, fork, parent } = await setUp();
    await failure(store.promote("main"), "invalid");
    await failure(store.rebase("main"), "invalid");
    await failure(store.promote("none"), "not_found");
    await fork.write(0, textBytes(9, 9));
    await failure(store.promote("topic"), "conflict");
    await fork.push();
    await parent.write(20 * PAGE, textBytes(9, 9));
    await failure(store.promote("topic"), "conflict");
    await failure(store.rebase("topic"), "conflict");
    await parent.reset();
    await store.promote("topic");
  });

  it("over SQLite's way to write, a page 1 that both wrote is a conflict like any other", async () => {
    const { store, fork, parent } = await setUp();
    await put(fork, 1, textBytes(PAGE, 7));
    await put(parent, 1, textBytes(PAGE, 8));
    expect((await failure(store.promote("topic"), "conflict")).details.pages).toBe("1");
  });
});

describe("rebasing a fork", () => {
  it("makes a new fork of the parent's newest state with its changes, and its tags name that", async () => {
    const { objects, store, parent, fork } = await setUp();
    await store.tag("also", fork.id);
    await put(fork, 10, textBytes(2 * PAGE, 3));
    await put(fork, 60, textBytes(PAGE, 4));
    await put(parent, 30, textBytes(PAGE, 5));
    const onto = parent.status().lsn;
    const mine = await content(fork);
    const result = await store.rebase("topic");
    expect(result).toMatchObject({
      lsn: onto + 1,
      onto,
      changedPages: 3,
      tags: ["also", "topic"],
      old: fork.id,
    });
    expect(result.volume).not.toBe(fork.id);
    expectSame(await freshly(objects, "topic"), laid(mine, 30, textBytes(PAGE, 5)));
    expect((await store.volume("topic")).id).toBe(result.volume);
    expectSame(await freshly(objects, fork.id), mine);
    expect((await store.tags()).map(({ tag }) => tag)).toEqual(["also", "main", "topic"]);
    expect(await store.rebase("topic"), "invariant 11").toMatchObject({
      volume: result.volume,
      old: undefined,
    });
    await store.deleteVolume(fork.id, { confirm: fork.id, purge: true });
    await freshly(objects, "topic");
    // From there it can be promoted, too.
    expect((await store.promote("topic")).lsn).toBe(onto + 1);
    expectSame(await freshly(objects, "main"), await freshly(objects, "topic"));
  });

  it("to an LSN between, of a fork without changes, and not backwards", async () => {
    const { objects, store, parent, fork } = await setUp();
    for (let i = 0; i < 3; i++) await put(parent, 30 + i, textBytes(PAGE, i));
    const point = 2;
    const { onto, lsn, changedPages } = await store.rebase("topic", { onto: point + 2 });
    expect({ onto, lsn, changedPages }).toEqual({ onto: 4, lsn: 4, changedPages: 0 });
    using past = await parent.at(4);
    expectSame(await freshly(objects, "topic"), await past.read(0, 1e9));
    await failure(store.rebase("topic", { onto: 3 }), "invalid");
    await failure(store.rebase("topic", { onto: 99 }), "not_found");
    expect((await store.rebase(fork.id, { onto: point })).old).toBeUndefined();
  });

  it("invariant 11: both, cut off before any change of the store, are finished by running them again", async () => {
    const { objects, store, parent, fork } = await setUp();
    await store.tag("zz", fork.id);
    await put(fork, 10, textBytes(2 * PAGE, 3));
    await put(parent, 30, textBytes(PAGE, 5));
    await store.close();
    const expected = laid(await freshly(objects, "topic"), 30, textBytes(PAGE, 5));
    for (const verb of ["promote", "rebase"] as const) {
      for (let changes = 0, finished = false; !finished; changes++) {
        const remote = (objects as MemoryObjectStore).clone();
        let left = changes;
        const cut = cutOff(remote, () => left-- > 0);
        const engine = await openStore(cut);
        try {
          await run(engine, verb, "topic");
          finished = true;
        } catch (error) {
          if (!isPagefoldError(error, "unavailable")) throw error;
          // The parent is whole, whatever is there of the new fork.
          await freshly(remote, "main");
        }
        left = Number.POSITIVE_INFINITY;
        const again = await openStore(remote);
        await run(again, verb, "topic");
        expectSame(
          await freshly(remote, verb === "promote" ? "main" : "topic"),
          expected,
          `${verb} after ${changes}`,
        );
        const tags = await again.tags();
        expect(tags.map(({ tag }) => tag)).toEqual(["main", "topic", "zz"]);
        expect(tags[2]!.volume).toBe(tags[1]!.volume);
        expect(changes).toBeLessThan(40);
      }
    }
  });

  it("a parent that others write to meanwhile is refused, and goes well the next time", async () => {
    const { objects, store, fork } = await setUp();
    await put(fork, 10, textBytes(2 * PAGE, 3));
    const other = await (await openStore(objects)).volume("main");
    const memory = objects as MemoryObjectStore;
    const write = memory.put.bind(memory);
    let raced = false;
    Object.assign(memory, {
      put: async (...args: Parameters<typeof write>) => {
        if (!raced && args[0].includes(`${other.id}/commits/`)) {
          raced = true;
          await put(other, 33, textBytes(PAGE, 5));
        }
        return write(...args);
      },
    });
    await failure(store.promote("topic"), "diverged");
    const { lsn } = await store.promote("topic");
    expect(lsn).toBe(4);
    expectSame(await freshly(objects, "main"), laid(await content(fork), 33, textBytes(PAGE, 5)));
  });
});

function run(
  store: PageStore,
  verb: "promote" | "rebase",
  name: string,
): Promise<{ readonly volume: VolumeId }> {
  return verb === "promote" ? store.promote(name) : store.rebase(name);
}

/** A store whose changes are refused once `goesOn` says no. */
function cutOff(inner: MemoryObjectStore, goesOn: () => boolean): ObjectStore {
  const check = () => {
    if (!goesOn()) throw new PagefoldError("unavailable", "cut off", { retryable: false });
  };
  return {
    url: inner.url,
    capabilities: inner.capabilities,
    get: (key, options) => inner.get(key, options),
    list: (prefix, options) => inner.list(prefix, options),
    put: async (key, body, options) => {
      check();
      return inner.put(key, body, options);
    },
    delete: async (keys, options) => {
      check();
      return inner.delete(keys, options);
    },
    close: async () => {},
  };
}
