/** What came in bundles answers as the store itself would, for as long as it may; where it was wrong, it is dropped and the store is asked. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Lsn, VolumeId } from "../../src/base/brand.ts";
import { PagefoldError } from "../../src/base/errors.ts";
import { commitKey, configKey, deletedKey, floorKey, floorPrefix, leaseKey } from "../../src/format/keys.ts";
import { BundledStore } from "../../src/remote/bundled-store.ts";
import { MemoryObjectStore } from "../../src/remote/memory-store.ts";
import type { Bundle, ObjectStore } from "../../src/remote/object-store.ts";
import { newestInSeries } from "../../src/remote/series.ts";
import { someId } from "../format/support.ts";
import { testSeed } from "../local/xxh64.ts";
import { SimRuntime } from "../sim/runtime.ts";

const KEYS = ["a/1", "a/2", "a/3", "b/1"] as const;
const key = fc.constantFrom(...KEYS);
const span = fc.tuple(fc.nat(40), fc.nat(40));

type Step =
  | { readonly kind: "learn"; readonly key: string; readonly span: readonly [number, number] }
  | { readonly kind: "absent"; readonly key: string }
  | { readonly kind: "listing"; readonly prefix: string; readonly limit: number }
  | { readonly kind: "get"; readonly key: string; readonly span: readonly [number, number] | undefined }
  | { readonly kind: "list"; readonly prefix: string; readonly limit: number; readonly after: boolean }
  | { readonly kind: "put"; readonly key: string }
  | { readonly kind: "delete"; readonly key: string };

const prefix = fc.constantFrom("a/", "b/", "c/");
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ kind: fc.constant("learn" as const), key, span }),
  fc.record({ kind: fc.constant("absent" as const), key }),
  fc.record({ kind: fc.constant("listing" as const), prefix, limit: fc.integer({ min: 1, max: 4 }) }),
  fc.record({ kind: fc.constant("get" as const), key, span: fc.option(span, { nil: undefined }) }),
  fc.record({
    kind: fc.constant("list" as const),
    prefix,
    limit: fc.integer({ min: 1, max: 4 }),
    after: fc.boolean(),
  }),
  fc.record({ kind: fc.constant("put" as const), key }),
  fc.record({ kind: fc.constant("delete" as const), key }),
);

const NOTHING: Bundle = { objects: [], absent: [], listings: [] };

/** Tells the truth, as of now. */
async function learn(bundled: BundledStore, store: ObjectStore, what: Step): Promise<void> {
  if (what.kind === "learn") {
    const whole = await store.get(what.key);
    if (whole === undefined) return;
    const [offset, length] = [Math.min(what.span[0], whole.length), what.span[1]];
    const bytes = whole.slice(offset, offset + length);
    bundled.learn({ ...NOTHING, objects: [{ key: what.key, offset, total: whole.length, bytes }] });
  } else if (what.kind === "absent") {
    if ((await store.get(what.key)) === undefined) bundled.learn({ ...NOTHING, absent: [what.key] });
  } else if (what.kind === "listing") {
    const entries = await store.list(what.prefix, { limit: what.limit });
    const complete = (await store.list(what.prefix)).length === entries.length;
    bundled.learn({ ...NOTHING, listings: [{ prefix: what.prefix, entries, complete }] });
  }
}

describe("a store with bundles in front", () => {
  it("asks for itself whether there is a next floor, whatever a bundle says: pushes are acknowledged by that", async () => {
    const asked: string[] = [];
    const inner = new MemoryObjectStore();
    const store = Object.assign(Object.create(inner) as MemoryObjectStore, {
      get: (each: string) => {
        asked.push(each);
        return inner.get(each);
      },
    });
    const bundled = new BundledStore(store, { runtime: new SimRuntime(1) });
    const volume = someId<VolumeId>(1);
    const keys = [floorKey(volume, 2), configKey(volume, 1), deletedKey(volume, 1), leaseKey(volume, 4)];
    bundled.learn({ ...NOTHING, absent: [...keys, commitKey(volume, 3 as Lsn)] });
    await inner.put(keys[0]!, new Uint8Array([7]));
    for (const each of keys) await bundled.get(each);
    expect(await bundled.get(keys[0]!)).toEqual(new Uint8Array([7]));
    expect(asked).toEqual([...keys, keys[0]]);
    expect(await bundled.get(commitKey(volume, 3 as Lsn))).toBeUndefined();
    expect(asked.length).toBe(keys.length + 1);
  });

  it("a listing of floors that came in a bundle is where asking begins, and no more", async () => {
    const store = new MemoryObjectStore();
    const bundled = new BundledStore(store, { runtime: new SimRuntime(1) });
    const volume = someId<VolumeId>(1);
    const series = { prefix: floorPrefix(volume), key: (n: number) => floorKey(volume, n) };
    const entry = { key: floorKey(volume, 1), size: 1 };
    bundled.learn({ ...NOTHING, listings: [{ prefix: series.prefix, entries: [entry], complete: true }] });
    for (const n of [1, 2, 3]) await store.put(floorKey(volume, n), new Uint8Array([n]));
    expect(await newestInSeries(bundled, series)).toEqual({ n: 3, bytes: new Uint8Array([3]) });
  });

  it("answers as the store does, whatever it was told before", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
        const store = new MemoryObjectStore();
        const bundled = new BundledStore(store, { runtime: new SimRuntime(1) });
        for (const [i, what] of steps.entries()) {
          await learn(bundled, store, what);
          if (what.kind === "put") {
            // Objects never change: what is there stays as it is.
            await bundled.put(
              what.key,
              Uint8Array.from({ length: 10 + i }, (_, at) => at + i),
              {
                ifAbsent: true,
              },
            );
          } else if (what.kind === "delete") await bundled.delete([what.key]);
          else if (what.kind === "get") {
            const options =
              what.span === undefined ? {} : { range: { offset: what.span[0], length: what.span[1] } };
            expect(await bundled.get(what.key, options)).toEqual(await store.get(what.key, options));
          } else if (what.kind === "list") {
            const options = { limit: what.limit, ...(what.after ? { startAfter: `${what.prefix}1` } : {}) };
            expect(await bundled.list(what.prefix, options)).toEqual(await store.list(what.prefix, options));
          }
        }
      }),
      { seed: testSeed },
    );
  });

  it("asks the store for nothing that it was told, once for what may change and not for long", async () => {
    const runtime = new SimRuntime(1);
    let requests = 0;
    const memory = new MemoryObjectStore();
    const counting: ObjectStore = {
      url: memory.url,
      capabilities: memory.capabilities,
      get: (...call) => {
        requests++;
        return memory.get(...call);
      },
      list: (...call) => {
        requests++;
        return memory.list(...call);
      },
      put: (...call) => memory.put(...call),
      delete: (...call) => memory.delete(...call),
      close: () => memory.close(),
    };
    const bundled = new BundledStore(counting, { runtime });
    const told = (): void =>
      bundled.learn({
        objects: [{ key: "a/1", offset: 4, total: 20, bytes: new Uint8Array(10) }],
        absent: ["a/2"],
        listings: [{ prefix: "a/", entries: [{ key: "a/1", size: 20 }], complete: false }],
      });
    told();
    expect((await bundled.get("a/1", { range: { offset: 5, length: 3 } }))?.length).toBe(3);
    expect((await bundled.get("a/1", { range: { offset: 4, length: 10 } }))?.length).toBe(10);
    expect(await bundled.get("a/2")).toBeUndefined();
    expect(await bundled.list("a/", { limit: 1 })).toEqual([{ key: "a/1", size: 20 }]);
    expect(requests).toBe(0);
    await bundled.get("a/1", { range: { offset: 3, length: 3 } });
    await bundled.get("a/2");
    await bundled.list("a/", { limit: 1 });
    expect(requests).toBe(3);
    told();
    runtime.advance(60_000);
    await bundled.get("a/2");
    await bundled.list("a/", { limit: 1 });
    expect(requests).toBe(5);
    expect((await bundled.get("a/1", { range: { offset: 5, length: 3 } }))?.length).toBe(3);
    expect(requests).toBe(5);
  });

  it("is bounded in bytes", async () => {
    const memory = new MemoryObjectStore();
    const bundled = new BundledStore(memory, { runtime: new SimRuntime(1), bytes: 5000 });
    for (let i = 0; i < 20; i++) {
      const name = `k/${i}`;
      bundled.learn({
        ...NOTHING,
        objects: [{ key: name, offset: 0, total: 1000, bytes: new Uint8Array(1000) }],
      });
    }
    const kept = await Promise.all(
      Array.from({ length: 20 }, async (_, i) => (await bundled.get(`k/${i}`)) !== undefined),
    );
    expect(kept.filter(Boolean).length).toBeLessThanOrEqual(5);
    expect(kept.at(-1)).toBe(true);
  });

  it("does work again without what it was told where that does not verify, and only then", async () => {
    const memory = new MemoryObjectStore();
    await memory.put("a/1", Uint8Array.of(1));
    const bundled = new BundledStore(memory, { runtime: new SimRuntime(1) });
    bundled.learn({ ...NOTHING, objects: [{ key: "a/1", offset: 0, total: 1, bytes: Uint8Array.of(9) }] });
    let tries = 0;
    const verified = async (): Promise<number> => {
      tries++;
      const [byte = 0] = (await bundled.get("a/1")) ?? [];
      if (byte !== 1) throw new PagefoldError("corrupt", "another byte");
      return byte;
    };
    expect(await bundled.orSingly(verified)).toBe(1);
    expect(tries).toBe(2);
    await memory.put("a/1", Uint8Array.of(7));
    await expect(bundled.orSingly(verified)).rejects.toMatchObject({ code: "corrupt" });
    expect(tries).toBe(3);
    bundled.learn({ ...NOTHING, absent: ["x"] });
    await expect(
      bundled.orSingly(async () => {
        throw new PagefoldError("unavailable", "away");
      }),
    ).rejects.toMatchObject({ code: "unavailable" });
  });

  it("makes nothing of a bundle that cannot be had", async () => {
    const memory = new MemoryObjectStore();
    const failing: ObjectStore = Object.assign(Object.create(memory) as ObjectStore, {
      bundle: async () => {
        throw new PagefoldError("unavailable", "away");
      },
    });
    const bundled = new BundledStore(failing, { runtime: new SimRuntime(1) });
    await bundled.prime("name", 0);
    await new BundledStore(memory, { runtime: new SimRuntime(1) }).prime("name", 0);
  });
});
