/** Round trips are counted as generations: what waits for an answer comes after it, what runs beside it does not. */
import { describe, expect, it } from "vitest";
import { MemoryObjectStore } from "../../src/remote/memory-store.ts";
import { CountedStore } from "./counted-store.ts";

describe("a counted store", () => {
  it("counts requests by kind, and bytes", async () => {
    const counted = new CountedStore(new MemoryObjectStore());
    const { store } = counted;
    const cost = await counted.cost(async () => {
      await store.put("a", new Uint8Array(10));
      await store.put(
        "b",
        (async function* () {
          yield new Uint8Array(3);
          yield new Uint8Array(4);
        })(),
      );
      await store.get("a", { range: { offset: 8, length: 5 } });
      await store.get("none");
      await store.list("");
      await store.delete(["a", "b"]);
    });
    expect(cost).toMatchObject({
      get: 2,
      put: 2,
      list: 1,
      delete: 1,
      requests: 6,
      bytesPut: 17,
      bytesGot: 2,
    });
    expect(cost.roundTrips).toBe(6);
  });

  it("requests in parallel are one round trip, also where some begin a little later", async () => {
    const counted = new CountedStore(new MemoryObjectStore());
    const { store } = counted;
    const later = async (turns: number) => {
      for (let i = 0; i < turns; i++) await new Promise((resolve) => setImmediate(resolve));
      await store.get("x");
    };
    const { roundTrips } = await counted.cost(() => Promise.all([later(0), later(1), later(3)]));
    expect(roundTrips).toBe(1);
  });

  it("the longest chain decides, and chains beside it are free", async () => {
    const counted = new CountedStore(new MemoryObjectStore());
    const { store } = counted;
    const chain = async (length: number) => {
      for (let i = 0; i < length; i++) await store.get("x");
    };
    const { roundTrips, requests } = await counted.cost(() => Promise.all([chain(5), chain(2), chain(3)]));
    expect(requests).toBe(10);
    expect(roundTrips).toBe(5);
  });
});
