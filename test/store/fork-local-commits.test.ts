/** Forks and local commits: what is left, what is moved, what is refused, and what running one again does. */
import { describe, expect, it } from "vitest";
import { PagefoldError } from "../../src/base/errors.ts";
import { forksPrefix } from "../../src/format/keys.ts";
import { MemoryBlockFileSystem } from "../../src/local/memory-block-file.ts";
import { MemoryObjectStore } from "../../src/remote/memory-store.ts";
import type { ObjectStore } from "../../src/remote/object-store.ts";
import { withFaults } from "../../src/remote/with-faults.ts";
import type { PageStore } from "../../src/store/page-store.ts";
import { SimRuntime } from "../sim/runtime.ts";
import { content, expectPast, fresh, grow, keysOf, PAGE, setUp } from "./fork-support.ts";
import { expectSame, failure, openStore, textBytes } from "./support.ts";

describe("local commits", () => {
  it("are left where they are, unless asked for", async () => {
    const { store, parent, states } = await setUp();
    await parent.write(0, textBytes(100, 50));
    const local = await content(parent);
    const fork = await store.fork("parent");
    expectSame(await content(fork), states[5]!);
    expect(parent.status()).toMatchObject({ ahead: 1 });
    expectSame(await content(parent), local, "the parent's");
  });

  it("move: the fork has them, and the parent is as after a reset", async () => {
    const { objects, store, parent, states } = await setUp({
      store: { settings: { transactionBytes: 2 * PAGE } },
    });
    await parent.write(0, textBytes(100, 50));
    using held = parent.snapshot();
    const half = await content(parent);
    await parent.write(900, textBytes(9 * PAGE, 51)); // spills
    await parent.truncate(3 * PAGE + 7);
    const local = await content(parent);
    const fork = await store.fork("parent", { localCommits: "move", tag: "fork" });
    expect(fork.status()).toMatchObject({ lsn: 5, ahead: 3, state: "ahead" });
    expectSame(await content(fork), local, "the fork's");
    expect(parent.status()).toMatchObject({ lsn: 5, ahead: 0, state: "clean" });
    expectSame(await content(parent), states[5]!, "the parent's");
    expectSame(await held.read(0, 1e9), half, "invariant 1: a snapshot of the parent from before");
    await fork.write(50, textBytes(20, 52));
    await parent.write(50, textBytes(20, 53));
    const after = await content(fork);
    await fork.push();
    await expectPast(await fresh(objects, "fork"), [...states, after]);
    expect(await parent.push()).toMatchObject({ lsn: 6, commits: 1 });
  });

  it("invariant 3: after a restart, and after the log was compacted, they are the fork's", async () => {
    const files = new MemoryBlockFileSystem();
    const settings = { transactionBytes: 2 * PAGE, compactAboveBytes: 8 * PAGE };
    const { objects, store, parent, states } = await setUp({ store: { settings, local: { files } } });
    await parent.write(0, textBytes(5 * PAGE, 50));
    await parent.write(99, textBytes(99, 51));
    const local = await content(parent);
    const fork = await store.fork("parent", { localCommits: "move", tag: "fork" });
    let open: PageStore = store;
    for (let round = 0; round < 4; round++) {
      await open.close();
      open = await openStore(objects, { settings, local: { files } });
      const again = await open.volume("fork", { offline: true });
      expect(again.status()).toMatchObject({ volume: fork.id, lsn: 5, ahead: 2 });
      expectSame(await content(again), local, `round ${round}`);
      const other = await open.volume("parent", { offline: true });
      expectSame(await content(other), states[5]!, `round ${round}: the parent's`);
      // What is written and dropped makes the log worth compacting.
      await other.write(0, textBytes(20 * PAGE, round));
      await other.reset();
    }
    const again = await open.volume("fork", { offline: true });
    await again.push();
    await expectPast(await fresh(objects, "fork"), [...states, local]);
  });

  it("a volume without a commit can be forked, with its local commits", async () => {
    const { objects, store, parent } = await setUp({ commits: 0 });
    await parent.write(0, textBytes(700, 1));
    const fork = await store.fork("parent", { localCommits: "move" });
    expect(parent.status()).toMatchObject({ ahead: 0, byteLength: 0 });
    await fork.push();
    await expectPast(await fresh(objects, fork.id), [new Uint8Array(0), textBytes(700, 1)]);
  });

  it("of a diverged volume: the fork goes on from where they were made, the parent can pull", async () => {
    const { objects, store, parent, states } = await setUp();
    const rival = await fresh(objects, "parent");
    const theirs = await grow(rival, 2, 3);
    await parent.write(0, textBytes(100, 50));
    const local = await content(parent);
    await failure(parent.push(), "diverged");
    const fork = await store.fork("parent", { localCommits: "move", tag: "mine" });
    expect(fork.status()).toMatchObject({ lsn: 5, ahead: 1, state: "ahead" });
    await fork.push();
    expect(await parent.pull()).toMatchObject({ from: 5, to: 7 });
    expectSame(await content(parent), theirs[2]!, "invariant 5: the rival's");
    await expectPast(await fresh(objects, "mine"), [...states, local]);
  });

  it("a push that was cut off is finished first", async () => {
    const objects = new MemoryObjectStore();
    let lose = false;
    const flaky: ObjectStore = Object.create(objects, {
      put: {
        value: async (key: string, ...rest: [Uint8Array]) => {
          const answer = await objects.put(key, ...rest);
          if (lose && key.includes("/commits/")) throw new Error("the answer was lost");
          return answer;
        },
      },
      get: {
        value: async (key: string, ...rest: []) => {
          if (lose && key.includes("/commits/")) throw new Error("no answer");
          return objects.get(key, ...rest);
        },
      },
      list: { value: objects.list.bind(objects) },
      close: { value: async () => {} },
    });
    const store = await openStore(flaky);
    const parent = await store.createVolume({ pageSize: PAGE, tag: "parent" });
    const states = await grow(parent, 2);
    await parent.write(0, textBytes(100, 50));
    const pushed = await content(parent);
    lose = true;
    await expect(parent.push()).rejects.toThrow();
    expect(parent.status().pendingPush).toBe(true);
    lose = false;
    const fork = await store.fork("parent", { localCommits: "move" });
    expect(parent.status()).toMatchObject({ lsn: 3, ahead: 0, pendingPush: false });
    await expectPast(fork, [...states, pushed]);
  });
});

describe("invariant 11: running it again finishes it", () => {
  it("whichever request got no answer, carried out or not", async () => {
    for (const kind of ["fail-before", "fail-after"] as const) {
      for (let failing = 1, failed = true; failed; failing++) {
        const objects = new MemoryObjectStore();
        let countdown = Number.POSITIVE_INFINITY;
        const runtime = new SimRuntime(failing);
        // From one request on none is answered, until somebody mends it.
        const remote = withFaults(objects, () => (countdown-- <= 0 ? { kind } : undefined), { runtime });
        const store = await openStore(remote, { runtime });
        const parent = await store.createVolume({ pageSize: PAGE, tag: "parent" });
        const states = await grow(parent, 3);
        await parent.write(0, textBytes(100, 50));
        const local = await content(parent);
        const again = { tag: "fork", localCommits: "move" } as const;
        countdown = failing - 1;
        const error = await store.fork("parent", again).then(
          () => undefined,
          (reason: unknown) => reason,
        );
        failed = error !== undefined;
        if (failed) expect(error).toMatchObject({ code: "unavailable" });
        countdown = Number.POSITIVE_INFINITY;
        if (failed) {
          expectSame(await content(parent), local, "invariant 3: they are still the parent's");
          await store.fork("parent", again);
        } else {
          expect(failing, "there were requests to fail").toBeGreaterThan(5);
        }
        const fork = await store.volume("fork");
        expectSame(await content(fork), local);
        expectSame(await content(parent), states[3]!);
        expect(await keysOf(objects, forksPrefix(parent.id)), "one fork").toHaveLength(1);
        await fork.push();
        await expectPast(await fresh(objects, "fork"), [...states, local]);
      }
    }
  });

  it("with other options it is another fork", async () => {
    const { store, parent, objects } = await setUp();
    const refusing: ObjectStore = Object.create(objects, {
      put: {
        value: async (key: string, ...rest: [Uint8Array]) => {
          if (key.startsWith("tags/")) throw new PagefoldError("forbidden", "no tags today");
          return objects.put(key, ...rest);
        },
      },
      get: { value: objects.get.bind(objects) },
      list: { value: objects.list.bind(objects) },
      close: { value: async () => {} },
    });
    await store.close();
    const files = new MemoryBlockFileSystem();
    const first = await openStore(refusing, { local: { files } });
    await failure(first.fork(parent.id, { tag: "one" }), "forbidden");
    await first.close();
    const second = await openStore(objects, { local: { files } });
    const forks = [
      await second.fork(parent.id, { tag: "two" }),
      await second.fork(parent.id, { tag: "one", lsn: 2 }),
      await second.fork(parent.id, { tag: "three" }),
    ];
    expect(new Set(forks.map(({ id }) => id)).size).toBe(3);
    expect(forks.map((fork) => fork.status().lsn)).toEqual([5, 2, 5]);
    expect(await second.resolve("one")).toBe(forks[1]!.id);
  });
});

describe("what a fork is refused for", () => {
  it("a tag that names something: before anything is stored", async () => {
    const { objects, store, parent } = await setUp();
    await store.createVolume({ tag: "taken" });
    await parent.write(0, textBytes(10, 1));
    const before = await keysOf(objects);
    const error = await failure(store.fork("parent", { tag: "taken", localCommits: "move" }), "conflict");
    expect(error.message).toContain("taken");
    expect(await keysOf(objects)).toEqual(before);
    expect(parent.status().ahead, "invariant 3").toBe(1);
    await failure(store.fork("parent", { tag: "no name" }), "invalid");
  });

  it("running it twice: the tag is the first one's", async () => {
    const { objects, store, parent } = await setUp();
    await store.fork("parent", { tag: "fork", localCommits: "move" });
    await failure(store.fork("parent", { tag: "fork", localCommits: "move" }), "conflict");
    const ids = await Promise.all([store.fork("parent"), store.fork("parent")]);
    expect(new Set(ids.map(({ id }) => id)).size, "without a name they are two").toBe(2);
    expect(await keysOf(objects, forksPrefix(parent.id))).toHaveLength(3);
  });

  it("two at once with one tag: one has it, the other hears of it and loses nothing", async () => {
    const { objects } = await setUp();
    const stores = await Promise.all([openStore(objects), openStore(objects)]);
    const volumes = await Promise.all(stores.map((store) => store.volume("parent")));
    for (const [i, volume] of volumes.entries()) await volume.write(0, textBytes(10, i));
    const results = await Promise.allSettled(
      stores.map((store) => store.fork("parent", { tag: "one", localCommits: "move" })),
    );
    expect(results.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
    const loser = results.findIndex(({ status }) => status === "rejected");
    expect(volumes[loser]!.status(), "invariant 3").toMatchObject({ ahead: 1 });
    const other = await stores[loser]!.fork("parent", { tag: "other", localCommits: "move" });
    expectSame(await other.read(0, 10), textBytes(10, loser));
  });

  it("an LSN that is not there, or that the local commits do not build on", async () => {
    const { store, parent } = await setUp();
    await failure(store.fork("parent", { lsn: 6 }), "not_found");
    await failure(store.fork("parent", { lsn: 1.5 }), "invalid");
    await failure(store.fork("nobody"), "not_found");
    await parent.write(0, textBytes(10, 1));
    await failure(store.fork("parent", { lsn: 3, localCommits: "move" }), "invalid");
    expect(parent.status().ahead).toBe(1);
  });

  it("a history that the store lost: nothing could be shared", async () => {
    const { objects, store, parent } = await setUp();
    const backup = objects.clone();
    await grow(parent, 2, 1);
    await parent.write(0, textBytes(10, 1));
    const local = await content(parent);
    for (const key of await keysOf(objects)) {
      if ((await backup.get(key)) === undefined) await objects.delete([key]);
    }
    await failure(parent.pull(), "diverged");
    const error = await failure(store.fork("parent", { localCommits: "move" }), "diverged");
    expect(error.message).toContain("export");
    expectSame(await content(parent), local, "invariant 3");
  });
});
