/** Collections that are cut off, run beside each other, sleep, or see a listing of yesterday; and what others begin meanwhile. */
import { describe, expect, it } from "vitest";
import type { Lsn } from "../../src/base/brand.ts";
import { commitKey, forkKey } from "../../src/format/keys.ts";
import { COLLECT_STEPS, type CollectResult, type CollectStep } from "../../src/history/collect/collect.ts";
import type { ListEntry, ObjectStore } from "../../src/remote/object-store.ts";
import type { Volume } from "../../src/store/volume.ts";
import { expectSame, failure, openStore } from "../store/support.ts";
import { HOUR, MINUTE, World } from "./collect-world.ts";

const MONTH = 30 * 24 * HOUR;
const POLICY = { all: "2h", hourly: "4h", keep: [3] };
/** The floor is at 12 then, and 3, 9 and 11 are kept below it. */
const COMMITS = 16;
const now = { graceMs: 0, lease: false };
const FOLDERS = ["commits", "segments", "compacted", "checkpoints", "rollups"];

async function world(commits = COMMITS): Promise<World> {
  const made = await World.create();
  await made.commit(commits, 30 * MINUTE);
  await made.volume.setRetention(POLICY);
  return made;
}

function stays({ kept, floor }: CollectResult, newest: number): number[] {
  return [
    ...kept.map(({ lsn }) => lsn as number),
    ...Array.from({ length: newest - floor.after }, (_, i) => newest - i),
  ];
}

/** Runs a collection that stops at a step until it is told to go on. */
async function pausedAt(volume: Volume, step: CollectStep, graceMs: number) {
  const reached = later();
  const goOn = later();
  let waits = true;
  const run = volume.collect({
    ...{ graceMs, lease: false },
    onStep: async (at) => {
      if (at !== step || !waits) return;
      waits = false;
      reached.resolve();
      await goOn.promise;
    },
  });
  await Promise.race([reached.promise, run]);
  return {
    run,
    goOn: () => {
      goOn.resolve();
      return run;
    },
  };
}

describe("cut off", () => {
  it("invariant 11: at any step, running it again finishes it, and nothing that is kept is lost on the way", async () => {
    const whole = await world();
    await whole.volume.collect(now);
    const expected = await Promise.all(FOLDERS.map(async (folder) => (await whole.keys(folder)).length));
    const made = await world();
    for (const step of COLLECT_STEPS) {
      const cut = new World(made.objects.clone(), made);
      const volume = await cut.visitor();
      let was = false;
      const crash = volume.collect({
        ...now,
        onStep: (at) => {
          if (at !== step) return;
          was = true;
          throw new Error(`crash at ${step}`);
        },
      });
      await expect(crash, step).rejects.toThrow(`crash at ${step}`);
      expect(was).toBe(true);
      await cut.expectReadable([3, 16], `after a crash at "${step}"`);
      const again = await (await cut.visitor()).collect(now);
      await cut.expectReadable(
        [...again.kept.map(({ lsn }) => lsn), COMMITS],
        `after another run, "${step}"`,
      );
      const left = await Promise.all(FOLDERS.map(async (folder) => (await cut.keys(folder)).length));
      // A checkpoint that was made before the crash is made again, and its segments are garbage of the next floor.
      if (!["complete", "rewrite", "announce", "raise floor"].includes(step))
        expect(left, step).toEqual(expected);
    }
  });

  it("with a store that fails while it deletes, too", async () => {
    const made = await world();
    let left = 1;
    const failing = withDelete(made.objects, (keys) => {
      if (!keys.some((key) => key.includes("/commits/")) || left-- <= 0) return undefined;
      return Promise.reject(new Error("the connection was lost"));
    });
    const volume = await made.visitor(failing);
    await expect(volume.collect(now)).rejects.toThrow("the connection was lost");
    const again = await volume.collect(now);
    await made.expectReadable(stays(again, COMMITS));
    expect((await made.keys("commits")).length).toBe(COMMITS - again.floor.after + 1);
  });
});

describe("beside others", () => {
  it("two at once do what one does", async () => {
    const made = await world();
    const [one, other] = [await made.visitor(), await made.visitor()];
    const results = await Promise.allSettled([one.collect(now), other.collect(now)]);
    for (const result of results) {
      if (result.status === "rejected") await failure(Promise.reject(result.reason), "conflict");
    }
    const last = await one.collect(now);
    await made.expectReadable(stays(last, COMMITS));
    expect((await made.keys("commits")).length).toBe(COMMITS - last.floor.after + 1);
  });

  it("invariant 9: one that slept for a month, wherever it stopped, does no harm", async () => {
    for (const step of [
      "raise floor",
      "protect",
      "sweep checkpoints",
      "sweep segments",
      "sweep compacted",
    ] as const) {
      const made = await world();
      const asleep = await pausedAt(await made.visitor(), step, HOUR);
      for (let i = 0; i < 3; i++) {
        await made.commit(4);
        await made.volume.collect({ lease: false });
      }
      made.runtime.advance(MONTH);
      await made.commit(3);
      await made.volume.collect({ lease: false });
      await asleep.goOn();
      const last = await made.volume.collect({ lease: false });
      await made.expectReadable(stays(last, made.newest), `a collector that slept at "${step}"`);
    }
  });

  it("a compaction goes on, and what it made is not taken", async () => {
    const made = await world();
    const compactor = await made.visitor();
    const result = await compactor.compact({
      onStep: async (point) => {
        if (point === "checkpoint-written") await made.volume.collect(now);
      },
    });
    expect(result.checkpoint).toBeDefined();
    const last = await made.volume.collect(now);
    await made.expectReadable(stays(last, COMMITS));
  });

  it("invariants 3 and 9: a push that slept is not acknowledged below the floor, and its LSN is lost to nobody else", async () => {
    const made = await world(8);
    const slow = await made.visitor();
    await made.change(slow, made.states[8]!, true);
    await made.commit(12);
    await made.volume.setRetention({ all: 0 });
    await made.volume.collect(now);
    expect(await made.keys("commits")).not.toContain(commitKey(made.volume.id, 9 as Lsn));
    await failure(slow.push(), "diverged");
    await made.volume.collect(now);
    await made.expectReadable([made.newest]);
    await slow.reset({ pull: true });
    expectSame(await slow.read(0, 1e9), made.states[made.newest]!, "after the reset");
  });

  it("a push under way at the head is not disturbed", async () => {
    const made = await world();
    await made.volume.setRetention({ all: 0 });
    const reached = later();
    const goOn = later();
    const slow: ObjectStore = {
      ...plain(made.objects),
      put: async (key, body, options) => {
        if (key === commitKey(made.volume.id, 17 as Lsn)) {
          reached.resolve();
          await goOn.promise;
        }
        return made.objects.put(key, body, options);
      },
    };
    const pusher = await made.visitor(slow);
    const content = await made.change(pusher, made.states[COMMITS]!, true);
    const push = pusher.push();
    await reached.promise;
    await made.volume.collect(now);
    goOn.resolve();
    expect((await push).lsn).toBe(17);
    made.states.push(content);
    await made.volume.pull();
    await made.volume.collect(now);
    await made.expectReadable([17]);
  });
});

describe("a listing that lags behind", () => {
  it("by less than the grace period hides nothing that matters", async () => {
    const made = await world(12);
    const lagging = withLaggingLists(made, 50 * MINUTE);
    const volume = await made.visitor(lagging);
    for (let round = 0; round < 6; round++) {
      await made.commit(3, 20 * MINUTE);
      await volume.pull();
      // Its own listing lags, too: it forks what it sees.
      const store = await openStore(lagging, { runtime: made.runtime });
      const { lsn } = (await store.volume(made.volume.id)).status();
      const fork = await store.fork(made.volume.id, { lsn });
      await volume.collect({ lease: false });
      expectSame(await fork.read(0, 1e9), made.states[lsn]!, "a fork that a listing does not show yet");
      made.runtime.advance(70 * MINUTE);
      const result = await volume.collect({ lease: false });
      const fresh = await (await openStore(made.objects, { runtime: made.runtime })).volume(fork.id);
      expectSame(await fresh.read(0, 1e9), made.states[lsn]!, "a fork");
      await made.expectReadable(stays(result, made.newest));
    }
  });
});

describe("what relies on an old state", () => {
  it("invariant 9: a fork keeps its fork point, whenever it was made", async () => {
    for (const step of ["plan", "raise floor", "raised", "protect"] as const) {
      const made = await world();
      let forked: Volume | undefined;
      const store = await openStore(made.objects, { runtime: made.runtime });
      await store.volume(made.volume.id);
      await made.volume.collect({
        graceMs: HOUR,
        onStep: async (at) => {
          if (at !== step || forked !== undefined) return;
          forked = await store.fork(made.volume.id, { lsn: 7 }).catch((error: { code: string }) => {
            expect(error.code).toBe("not_found");
            return undefined;
          });
        },
      });
      if (step === "plan" || step === "raise floor") expect(forked, step).toBeDefined();
      made.runtime.advance(2 * HOUR);
      await made.volume.collect();
      made.runtime.advance(2 * HOUR);
      await made.volume.collect();
      if (forked === undefined) continue;
      const fresh = await (await openStore(made.objects, { runtime: made.runtime })).volume(forked.id);
      expectSame(await fresh.read(0, 1e9), made.states[7]!, `forked at "${step}"`);
    }
  });

  it("a restore keeps what it goes back to until the floor has passed it", async () => {
    for (const step of ["plan", "raise floor"] as const) {
      const made = await world();
      const other = await made.visitor();
      let done = false;
      await made.volume.collect({
        graceMs: HOUR,
        onStep: async (at) => {
          if (at !== step || done) return;
          done = true;
          await other.restore({ at: 6 });
        },
      });
      await made.volume.pull();
      made.states.push(made.states[6]!);
      made.runtime.advance(70 * MINUTE);
      const kept = await made.volume.collect();
      expect(
        kept.kept.map(({ lsn }) => lsn),
        step,
      ).toContain(6);
      await made.expectReadable([17], `restored at "${step}"`);
      await made.commit(3, 3 * HOUR);
      await made.volume.collect();
      made.runtime.advance(2 * HOUR);
      await made.volume.collect();
      made.runtime.advance(2 * HOUR);
      const last = await made.volume.collect();
      expect(
        last.kept.map(({ lsn }) => lsn),
        "nobody needs it any more",
      ).not.toContain(6);
      expect(await made.keys("restores")).toEqual([]);
      await made.expectReadable([made.newest]);
    }
  });

  it("a fork that is collected shares on, while its parent is collected, too", async () => {
    const made = await world();
    const store = await openStore(made.objects, { runtime: made.runtime });
    await store.volume(made.volume.id);
    const fork = await store.fork(made.volume.id, { lsn: 10 });
    const contents = [made.states[10]!];
    for (let i = 0; i < 8; i++) {
      made.runtime.advance(HOUR);
      contents.push(await made.change(fork, contents.at(-1)!, i === 3));
      await fork.push();
    }
    // The newest shows pages of the parent again, as they were before the fork.
    await fork.restore({ at: 6 });
    contents.push(made.states[6]!);
    await fork.setRetention({ all: "1h", hourly: "3h", keep: [4] });
    await made.commit(8);
    for (let i = 0; i < 4; i++) {
      await made.volume.collect({ lease: false });
      const result = await fork.collect({ lease: false });
      expect(result.missing).toEqual(i === 0 ? [{ lsn: 4, why: "keep" }] : result.missing);
      made.runtime.advance(2 * HOUR);
      const fresh = await (await openStore(made.objects, { runtime: made.runtime })).volume(fork.id);
      for (const lsn of new Set([...result.kept.map((each) => each.lsn as number), result.floor.after, 19])) {
        if (lsn === 0) continue;
        const snapshot = await fresh.at(lsn);
        expectSame(await snapshot.read(0, 1e9), contents[lsn - 10]!, `the fork at LSN ${lsn}, round ${i}`);
        snapshot.close();
      }
    }
    expect(
      await made.objects.get(forkKey(made.volume.id, fork.id, 10 as Lsn)),
      "it still shares",
    ).toBeDefined();
    expect(await made.keys("commits")).not.toContain(commitKey(made.volume.id, 9 as Lsn));
  });

  it("a detached fork needs nothing of its parent, whose pin goes after the grace period", async () => {
    const made = await world();
    const store = await openStore(made.objects, { runtime: made.runtime });
    await store.volume(made.volume.id);
    const fork = await store.fork(made.volume.id, { lsn: 15 });
    expect((await failure(fork.detach(), "invalid")).message).toContain("no commit of its own");
    const contents = [made.states[15]!];
    for (let i = 0; i < 3; i++) {
      contents.push(await made.change(fork, contents.at(-1)!, i === 1));
      await fork.push();
    }
    const pin = forkKey(made.volume.id, fork.id, 15 as Lsn);
    expect(await fork.detach()).toMatchObject({ floor: 16, detached: true });
    await fork.collect();
    expect(await made.objects.get(pin), "readers may still look there").toBeDefined();
    made.runtime.advance(2 * HOUR);
    await fork.collect();
    expect(await made.objects.get(pin)).toBeUndefined();
    expect(await fork.detach(), "again").toMatchObject({ floor: 16, bytesWritten: 0 });
    for (const folder of ["commits", "segments", "checkpoints", "floor"])
      await made.objects.delete(await made.keys(folder));
    await made.objects.delete([`volumes/${made.volume.id}/manifest`]);
    const fresh = await (await openStore(made.objects, { runtime: made.runtime })).volume(fork.id);
    for (let lsn = 16; lsn <= 18; lsn++) {
      const snapshot = await fresh.at(lsn);
      expectSame(await snapshot.read(0, 1e9), contents[lsn - 15]!, `the fork at LSN ${lsn}, its parent gone`);
    }
    await failure(
      fresh.at(14).then((snapshot) => snapshot.read(0, 1e9)),
      "not_found",
    );
  });
});

/** A promise, and what resolves it. */
function later(): { readonly promise: Promise<void>; readonly resolve: () => void } {
  let resolve = () => {};
  const promise = new Promise<void>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}

function plain(store: ObjectStore): ObjectStore {
  return {
    url: store.url,
    capabilities: store.capabilities,
    get: (key, options) => store.get(key, options),
    put: (key, body, options) => store.put(key, body, options),
    list: (prefix, options) => store.list(prefix, options),
    delete: (keys, options) => store.delete(keys, options),
    close: () => store.close(),
  };
}

function withDelete(
  store: ObjectStore,
  first: (keys: readonly string[]) => Promise<void> | undefined,
): ObjectStore {
  return { ...plain(store), delete: (keys, options) => first(keys) ?? store.delete(keys, options) };
}

/** Listings show what there was some time ago: neither what was put since, nor that something was deleted. */
function withLaggingLists({ objects, runtime }: World, lagMs: number): ObjectStore {
  const past: { readonly time: number; readonly objects: typeof objects }[] = [];
  const snap = () => past.push({ time: runtime.now(), objects: objects.clone() });
  snap();
  const list = async (prefix: string, options?: Parameters<ObjectStore["list"]>[1]): Promise<ListEntry[]> => {
    snap();
    const old = past.findLast(({ time }) => time <= runtime.now() - lagMs) ?? past[0]!;
    return old.objects.list(prefix, options);
  };
  return { ...plain(objects), list };
}
