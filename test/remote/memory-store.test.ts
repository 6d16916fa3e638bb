import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { MemoryObjectStore } from "../../src/remote/memory-store.ts";
import { withPrefix } from "../../src/remote/with-prefix.ts";
import { objectStoreContract } from "../contracts/object-store.ts";

const TOO_LONG = "the prefix makes the longest keys too long for the store behind it";

objectStoreContract({ describe, it }, "memory", async () => ({ store: new MemoryObjectStore() }));

objectStoreContract(
  { describe, it },
  "a prefix of a memory store",
  async () => {
    const whole = new MemoryObjectStore();
    return {
      store: withPrefix(whole, "p/q"),
      dispose: async () => {
        for (const { key } of await whole.list("")) expect(key.startsWith("p/q/")).toBe(true);
      },
    };
  },
  { except: { "holds keys whose parts are longer than a file name": TOO_LONG } },
);

describe("memory store", () => {
  it("lists like a sorted array, whatever order puts and deletes come in", async () => {
    const part = fc.constantFrom("a", "b", "ab", "\u00e9", "\ufb01", "\u{1f4c4}", "z-", "~");
    const key = fc.array(part, { minLength: 1, maxLength: 3 }).map((parts) => parts.join("/"));
    const step = fc.oneof(
      fc.record({ put: key }),
      fc.record({ remove: key }),
      fc.record({ list: key, startAfter: fc.option(key), limit: fc.integer({ min: 0, max: 5 }) }),
    );
    const bytes = (s: string) => Buffer.from(s, "utf8");
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
        const store = new MemoryObjectStore();
        const model = new Set<string>();
        for (const s of steps) {
          if ("put" in s) {
            model.add(s.put);
            await store.put(s.put, new Uint8Array(1));
          } else if ("remove" in s) {
            model.delete(s.remove);
            await store.delete([s.remove]);
          } else {
            const { startAfter } = s;
            const found = await store.list(s.list, {
              limit: s.limit,
              ...(startAfter === null ? {} : { startAfter }),
            });
            const expected = [...model]
              .filter(
                (k) =>
                  k.startsWith(s.list) &&
                  (startAfter === null || Buffer.compare(bytes(k), bytes(startAfter)) > 0),
              )
              .sort((a, b) => Buffer.compare(bytes(a), bytes(b)))
              .slice(0, s.limit);
            expect(found.map((e) => e.key)).toEqual(expected);
          }
        }
        expect(store.size).toBe(model.size);
      }),
      { seed: 42, numRuns: 300 },
    );
  });

  it("stays quick with 60,000 objects and listings in between", async () => {
    const store = new MemoryObjectStore();
    const body = new Uint8Array(16);
    const start = performance.now();
    for (let i = 0; i < 60_000; i++) {
      await store.put(`volumes/x/${String((i * 7919) % 60_000).padStart(8, "0")}`, body);
      if (i % 4 === 0) await store.list("volumes/x/", { limit: 1 });
    }
    expect(store.size).toBe(60_000);
    expect((await store.list("volumes/x/", { startAfter: "volumes/x/00045000", limit: 1 }))[0]?.key).toBe(
      "volumes/x/00045001",
    );
    // Quadratic behaviour would take minutes; this takes less than a second.
    expect(performance.now() - start).toBeLessThan(20_000);
  }, 30_000);

  it("clones without sharing changes", async () => {
    const store = new MemoryObjectStore();
    await store.put("a", new Uint8Array([1]));
    const copy = store.clone();
    await store.put("a", new Uint8Array([2]));
    await copy.put("b", new Uint8Array([3]));
    expect(await copy.get("a")).toEqual(new Uint8Array([1]));
    expect(await store.get("b")).toBeUndefined();
  });
});
