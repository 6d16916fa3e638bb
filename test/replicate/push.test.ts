/** Pushing as the engine does it: what it costs, what it does with answers that are lost, refused or late, who may write at all. */
import { describe, expect, it } from "vitest";
import { PagefoldError } from "../../src/base/errors.ts";
import { MemoryObjectStore } from "../../src/remote/memory-store.ts";
import type { ObjectStore } from "../../src/remote/object-store.ts";
import { type FaultPlan, withFaults } from "../../src/remote/with-faults.ts";
import type { Volume } from "../../src/store/volume.ts";
import { SimRuntime } from "../sim/runtime.ts";
import {
  expectSame,
  failure,
  openStore,
  randomBytes,
  sourceOf,
  textBytes,
  WatchedStore,
} from "../store/support.ts";

const PAGE = 512;

async function commitsOf(objects: ObjectStore, volume: Volume): Promise<number> {
  return (await objects.list(`volumes/${volume.id}/commits/`)).length;
}

async function withPlan(plan: { now: FaultPlan | undefined }) {
  const objects = new MemoryObjectStore();
  const runtime = new SimRuntime(1);
  const remote = withFaults(objects, (call) => plan.now?.(call), { runtime });
  const store = await openStore(remote, { runtime });
  const volume = await store.createVolume({ pageSize: PAGE });
  await volume.write(0, textBytes(5 * PAGE, 1));
  return { objects, store, volume, runtime };
}

const onCommit =
  (kind: "fail-before" | "fail-after", error: PagefoldError): FaultPlan =>
  ({ operation, key }) =>
    operation === "put" && key.includes("/commits/") ? { kind, error } : undefined;

describe("what a push costs", () => {
  it("one PUT for a small commit and one look for the floor, for a writer that stays on its chain", async () => {
    const watched = new WatchedStore();
    const store = await openStore(watched.store, { runtime: watched.runtime });
    const volume = await store.createVolume({ pageSize: PAGE });
    await volume.write(0, textBytes(PAGE, 0));
    await volume.push();
    let puts = 0;
    let others = 0;
    for (let i = 1; i < 130; i++) {
      await volume.write((i % 9) * PAGE, textBytes(2 * PAGE, i));
      const { requests } = await watched.cost(() => volume.push());
      const counted = requests.filter(({ key }) => !key.endsWith("/head"));
      puts += counted.filter(({ operation }) => operation === "put").length;
      others += counted.filter(({ operation }) => operation !== "put").length;
    }
    expect([puts, others]).toEqual([129, 129]);
  });

  it("a writer that was reopened fetches no page, and its rollups in one round trip", async () => {
    const objects = new MemoryObjectStore();
    const first = await (await openStore(objects)).createVolume({ pageSize: PAGE });
    for (let i = 0; i < 63; i++) {
      await first.write((i % 9) * PAGE, textBytes(2 * PAGE, i));
      await first.push();
    }
    const watched = new WatchedStore(objects);
    const store = await openStore(watched.store, { runtime: watched.runtime });
    const volume = await store.volume(first.id);
    await volume.write(0, textBytes(3 * PAGE, 100));
    const { requests, roundTrips } = await watched.cost(() => volume.push());
    expect(requests.filter(({ key }) => key.includes("/segments/"))).toEqual([]);
    expect(requests.length).toBeLessThan(30);
    expect(roundTrips).toBeLessThanOrEqual(6);
    await volume.verify();
  });
});

describe("regression (Graft): push after fetch", () => {
  it("pushes, or says diverged, and loses nothing", async () => {
    const objects = new MemoryObjectStore();
    const a = await (await openStore(objects)).createVolume({ pageSize: PAGE });
    await a.write(0, textBytes(PAGE, 1));
    await a.fetch();
    expect((await a.push()).lsn).toBe(1);
    const b = await (await openStore(objects)).volume(a.id);
    await b.write(0, textBytes(10, 2));
    await b.push();
    await a.write(0, textBytes(20, 3));
    const content = await a.read(0, 1e9);
    expect(await a.fetch()).toEqual({ lsn: 2, behind: 1 });
    expect(a.status().state).toBe("diverged");
    for (const verb of [() => a.push(), () => a.pull(), () => a.push()]) await failure(verb(), "diverged");
    expectSame(await a.read(0, 1e9), content, "invariant 5");
    expect(await a.reset()).toEqual({ dropped: 1 });
    await a.pull();
    expectSame(await a.read(0, 1e9), await b.read(0, 1e9));
  });
});

describe("answers that are lost", () => {
  it("the commit came through: the same push finds out", async () => {
    const plan: { now: FaultPlan | undefined } = { now: undefined };
    const { objects, volume } = await withPlan(plan);
    let once = true;
    plan.now = ({ operation, key }) => {
      if (!once || operation !== "put" || !key.includes("/commits/")) return undefined;
      once = false;
      return { kind: "fail-after" };
    };
    expect(await volume.push()).toMatchObject({ lsn: 1, commits: 1 });
    expect(await commitsOf(objects, volume), "invariant 3: once").toBe(1);
  });

  it("the store is away: unavailable, kept, finished by whatever verb comes next", async () => {
    for (const verb of ["push", "pull", "fetch", "reset"] as const) {
      for (const kind of ["fail-before", "fail-after"] as const) {
        const plan: { now: FaultPlan | undefined } = { now: undefined };
        const { objects, volume } = await withPlan(plan);
        const content = await volume.read(0, 1e9);
        let cut = false;
        plan.now = ({ operation, key }) => {
          if (cut) return { kind: "fail-before" };
          if (operation !== "put" || !key.includes("/commits/")) return undefined;
          cut = true;
          return { kind };
        };
        const error = await failure(volume.push(), "unavailable");
        expect(error.message).toMatch(/next push/);
        expect(volume.status()).toMatchObject({ ahead: 1, pendingPush: true });
        expectSame(await volume.read(0, 1e9), content, "meanwhile");
        await volume.write(2 * PAGE, textBytes(9, 9));
        plan.now = undefined;
        await volume[verb]();
        expect(await commitsOf(objects, volume), "invariant 11").toBe(verb === "push" ? 2 : 1);
        expect(volume.status()).toMatchObject({
          pendingPush: false,
          lsn: verb === "push" ? 2 : 1,
          ahead: verb === "pull" || verb === "fetch" ? 1 : 0,
        });
      }
    }
  });

  it("a refusal is the caller's to hear, and leaves nothing open", async () => {
    for (const code of ["forbidden", "unauthorized", "quota"] as const) {
      const plan: { now: FaultPlan | undefined } = { now: undefined };
      const { objects, volume } = await withPlan(plan);
      plan.now = onCommit("fail-before", new PagefoldError(code, `the store says ${code}`));
      await failure(volume.push(), code);
      expect(volume.status()).toMatchObject({ ahead: 1, pendingPush: false });
      plan.now = undefined;
      expect((await volume.push()).lsn).toBe(1);
      expect(await commitsOf(objects, volume)).toBe(1);
    }
  });

  it("an aborted push is finished later, once", async () => {
    const plan: { now: FaultPlan | undefined } = { now: undefined };
    const { objects, volume } = await withPlan(plan);
    const controller = new AbortController();
    plan.now = ({ operation, key }) => {
      if (operation !== "put" || !key.includes("/commits/")) return undefined;
      controller.abort();
      return { kind: "fail-after" };
    };
    await failure(volume.push({ signal: controller.signal }), "aborted");
    plan.now = undefined;
    expect(await volume.push()).toMatchObject({ lsn: 1 });
    expect(volume.status()).toMatchObject({ ahead: 0, pendingPush: false });
    expect(await commitsOf(objects, volume)).toBe(1);
  });
});

describe("writing while a push is under way", () => {
  it("a commit made meanwhile stays local, on top of what was pushed", async () => {
    const watched = new WatchedStore();
    const store = await openStore(watched.store, { runtime: watched.runtime });
    const volume = await store.createVolume({ pageSize: PAGE });
    await volume.write(0, textBytes(4 * PAGE, 1));
    const snapshot = volume.snapshot();
    const before = await volume.read(0, 1e9);
    const pushing = volume.push();
    await watched.runtime.sleep(5);
    const tx = await volume.begin({ snapshot });
    await tx.write(PAGE, textBytes(50, 2));
    tx.commit();
    const after = await volume.read(0, 1e9);
    expect(await pushing).toMatchObject({ lsn: 1, commits: 1 });
    expect(volume.status()).toMatchObject({ lsn: 1, ahead: 1 });
    expectSame(await volume.read(0, 1e9), after);
    expectSame(await (await volume.at(1)).read(0, 1e9), before, "what was pushed");
    expectSame(await snapshot.read(0, 1e9), before, "invariant 1");
    expect(await volume.push()).toMatchObject({ lsn: 2, commits: 1 });
  });

  it("local commits made while an import is prepared are never laid over it", async () => {
    const objects = new MemoryObjectStore();
    const volume = await (await openStore(objects)).createVolume({ pageSize: PAGE });
    await volume.import(sourceOf(textBytes(9 * PAGE, 1)));
    const source = sourceOf(textBytes(9 * PAGE, 2));
    const slow = {
      ...source,
      check: async () => void (await volume.write(3, textBytes(40, 3)).catch(() => {})),
    };
    await failure(volume.import(slow), "conflict");
    const expected = textBytes(9 * PAGE, 1);
    expected.set(textBytes(40, 3), 3);
    expectSame(await volume.read(0, 1e9), expected, "invariant 5");
    expect(await commitsOf(objects, volume)).toBe(1);
  });

  it("a transaction begun before an import conflicts with it", async () => {
    const volume = await (await openStore(new MemoryObjectStore())).createVolume({ pageSize: PAGE });
    await volume.import(sourceOf(textBytes(9 * PAGE, 1)));
    const stale = volume.snapshot();
    await volume.import(sourceOf(textBytes(9 * PAGE, 2)));
    await failure(volume.begin({ snapshot: stale }), "conflict");
    expectSame(await stale.read(0, 1e9), textBytes(9 * PAGE, 1), "invariant 1");
  });
});

describe("a store that may not be written", () => {
  /** Overwrites whatever it is told. */
  function careless(objects: MemoryObjectStore, conditionalCreate: "unknown" | "no"): ObjectStore {
    return {
      url: "memory:careless",
      capabilities: { write: true, list: true, conditionalCreate },
      get: (key, options) => objects.get(key, options),
      put: async (key, body) => {
        await objects.put(key, body);
        return "created";
      },
      list: (prefix, options) => objects.list(prefix, options),
      delete: (keys) => objects.delete(keys),
      close: async () => {},
    };
  }

  it("is found out before anything is written, and can still be read", async () => {
    const objects = new MemoryObjectStore();
    const good = await (await openStore(objects)).createVolume({ pageSize: PAGE, tag: "t" });
    await good.write(0, textBytes(3 * PAGE, 1));
    await good.push();
    const before = await objects.list("");
    for (const known of ["unknown", "no"] as const) {
      const store = await openStore(careless(objects, known));
      const error = await failure(store.createVolume(), "forbidden");
      expect(error.message).toMatch(/conditional/);
      const volume = await store.volume("t");
      expectSame(await volume.read(0, 1e9), textBytes(3 * PAGE, 1));
      await volume.write(0, textBytes(5, 2));
      await failure(volume.push(), "forbidden");
      await volume.reset();
      await failure(volume.import(sourceOf(randomBytes(10, 1))), "forbidden");
      await failure(store.tag("u", volume.id), "forbidden");
    }
    expect(await objects.list("")).toEqual(before);
  });
});
