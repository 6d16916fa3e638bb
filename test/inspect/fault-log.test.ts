/** The waterfall's figures: one query at a time, bounded, on one clock. */
import { describe, expect, it } from "vitest";
import { FaultLog } from "../../src/inspect/fault-log.ts";
import { type RequestEvent, withRequestLog } from "../../src/inspect/request-log.ts";
import { MemoryObjectStore } from "../../src/remote/memory-store.ts";

const fault = {
  firstPage: 5,
  lastPage: 6,
  pages: 2,
  readAheadPages: 14,
  startedAt: 1_700_000_000_110,
  durationMs: 10,
  failed: false,
};
const request: Omit<RequestEvent, "start"> = {
  ...{ operation: "get", durationMs: 8, bytes: 1000, offset: 64, failed: false },
  key: "volumes/0000000000000000000000000a/segments/ffff-1",
};

function clock() {
  const time = { ms: 100 };
  const log = (capacity?: number) =>
    new FaultLog({
      monotonic: () => time.ms,
      now: () => 1_700_000_000_000 + time.ms,
      ...(capacity === undefined ? {} : { capacity }),
    });
  return { time, log };
}

describe("FaultLog", () => {
  it("keeps the faults and requests of a query by when they began", () => {
    const { time, log: make } = clock();
    const log = make();
    expect(log.figures()).toBeUndefined();
    log.begin("SELECT 1");
    time.ms = 120;
    log.request({ ...request, start: 112 });
    log.request({ ...request, start: 105, key: "tags/shop/ffff", operation: "list", offset: null, bytes: 0 });
    log.fault(fault);
    expect(log.figures()?.durationMs).toBeNull();
    time.ms = 130;
    log.end();
    expect(log.figures()).toEqual({
      ...{ label: "SELECT 1", startedAt: 1_700_000_000_100, durationMs: 30 },
      faults: [
        {
          ...{ startMs: 10, durationMs: 10, firstPage: 5, lastPage: 6, pages: 2, prefetchedPages: 14 },
          failed: false,
        },
      ],
      requests: [
        expect.objectContaining({ startMs: 5, kind: "tags", operation: "list", offset: null }),
        expect.objectContaining({ startMs: 12, kind: "segments", bytes: 1000, offset: 64 }),
      ],
      totals: { faults: 1, faultMs: 10, pages: 2, prefetchedPages: 14, requests: 2, bytes: 1000 },
    });
  });

  it("the next query forgets the last; what is between two of them, or of an earlier one, belongs to none", () => {
    const { time, log: make } = clock();
    const log = make();
    log.fault(fault);
    log.request({ ...request, start: 90 });
    log.begin("one");
    log.fault(fault);
    log.end();
    log.fault(fault);
    expect(log.figures()?.totals.faults).toBe(1);
    time.ms = 200;
    log.begin("two");
    log.request({ ...request, start: 150 });
    expect(log.figures()).toMatchObject({ label: "two", faults: [], requests: [], totals: { requests: 0 } });
    time.ms = 210;
    log.end();
    time.ms = 300;
    log.end();
    expect(log.figures()?.durationMs).toBe(10);
  });

  it("a fault that is told late began when it says, on a clock that may be coarse", () => {
    const { time, log: make } = clock();
    const log = make();
    log.begin("late");
    time.ms = 150;
    log.fault({ ...fault, startedAt: 1_700_000_000_105 });
    // Its clock is ahead by more than can be.
    log.fault({ ...fault, startedAt: 1_700_000_000_145 });
    log.fault({ ...fault, startedAt: 1_700_000_000_099 });
    expect(log.figures()?.faults.map(({ startMs }) => startMs)).toEqual([5, 40, 0]);
  });

  it("is bounded: beyond its capacity only totals grow", () => {
    const { log: make } = clock();
    const log = make(3);
    log.begin("many");
    for (let i = 0; i < 10; i++) {
      log.fault(fault);
      log.request({ ...request, start: 100 });
    }
    const { faults, requests, totals } = log.figures()!;
    expect([faults.length, requests.length]).toEqual([3, 3]);
    expect(totals).toEqual({
      ...{ faults: 10, faultMs: 100, pages: 20, prefetchedPages: 140, requests: 10, bytes: 10_000 },
    });
  });
});

describe("withRequestLog", () => {
  it("tells of every request when it is over, failures too, and passes everything on", async () => {
    const events: RequestEvent[] = [];
    let now = 0;
    const inner = new MemoryObjectStore();
    const failing = {
      url: inner.url,
      capabilities: inner.capabilities,
      put: inner.put.bind(inner),
      list: inner.list.bind(inner),
      delete: inner.delete.bind(inner),
      close: inner.close.bind(inner),
      get: async (key: string, options?: Parameters<typeof inner.get>[1]) => {
        now += 5;
        if (key === "bad") throw new Error("no");
        return inner.get(key, options);
      },
    };
    const store = withRequestLog(
      failing,
      () => now,
      (event) => events.push(event),
    );
    expect(await store.put("a", new Uint8Array(10), { ifAbsent: true })).toBe("created");
    expect(await store.get("a", { range: { offset: 2, length: 3 } })).toHaveLength(3);
    expect(await store.get("none")).toBeUndefined();
    await expect(store.get("bad")).rejects.toThrow("no");
    expect(await store.list("")).toEqual([{ key: "a", size: 10 }]);
    await store.delete(["a"]);
    expect(events).toEqual([
      { operation: "put", key: "a", offset: null, start: 0, durationMs: 0, bytes: 10, failed: false },
      { operation: "get", key: "a", offset: 2, start: 0, durationMs: 5, bytes: 3, failed: false },
      { operation: "get", key: "none", offset: null, start: 5, durationMs: 5, bytes: 0, failed: false },
      { operation: "get", key: "bad", offset: null, start: 10, durationMs: 5, bytes: 0, failed: true },
      { operation: "list", key: "", offset: null, start: 15, durationMs: 0, bytes: 0, failed: false },
      { operation: "delete", key: "a", offset: null, start: 15, durationMs: 0, bytes: 0, failed: false },
    ]);
    expect(store.bundle).toBeUndefined();
    expect(store.watch).toBeUndefined();
    expect(store.url).toBe(inner.url);
    expect(store.capabilities).toEqual(inner.capabilities);
  });

  it("a bundle is one request; news are passed on", async () => {
    const events: RequestEvent[] = [];
    const bytes = new Uint8Array(7);
    const inner = Object.assign(new MemoryObjectStore(), {
      bundle: async () => ({
        objects: [
          { key: "a", offset: 0, total: 7, bytes },
          { key: "b", offset: 0, total: 9, bytes },
        ],
        absent: [],
        listings: [],
      }),
      watch: (volume: string, after: number) => () => `${volume}@${after}`,
    });
    const store = withRequestLog(
      inner,
      () => 0,
      (event) => events.push(event),
    );
    expect((await store.bundle?.("shop"))?.objects).toHaveLength(2);
    expect(events).toMatchObject([{ operation: "bundle", key: "shop", bytes: 14, failed: false }]);
    const listener = { onNews: () => {}, onEnd: () => {} };
    expect(store.watch?.("v", 3, listener)()).toBe("v@3");
  });
});
