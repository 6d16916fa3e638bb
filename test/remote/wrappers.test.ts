import { describe, expect, it } from "vitest";
import type { TimeMs } from "../../src/base/brand.ts";
import { PagefoldError } from "../../src/base/errors.ts";
import { MemoryRecorder } from "../../src/base/recorder.ts";
import type { Runtime } from "../../src/base/runtime.ts";
import { scriptedFaults, seededFaults } from "../../src/remote/fault-plans.ts";
import { MemoryObjectStore } from "../../src/remote/memory-store.ts";
import type { ObjectStore } from "../../src/remote/object-store.ts";
import { withFaults } from "../../src/remote/with-faults.ts";
import { withHedging } from "../../src/remote/with-hedging.ts";
import { withMetrics } from "../../src/remote/with-metrics.ts";
import { retryDelayMs, withRetry } from "../../src/remote/with-retry.ts";
import { assertWritable, probeConditionalCreate } from "../../src/remote/writable.ts";
import { objectStoreContract } from "../contracts/object-store.ts";

const bytes = (s: string) => new TextEncoder().encode(s);

/** A clock that jumps to the next sleeper as soon as nothing else is to be done. */
class VirtualRuntime implements Runtime {
  time = 0;
  readonly slept: number[] = [];
  #sleepers: { at: number; wake: () => void }[] = [];
  now = () => this.time as TimeMs;
  monotonic = () => this.time;
  random = () => 0.5;
  randomBytes = (into: Uint8Array) => into.fill(7);
  sleep = (ms: number, signal?: AbortSignal) =>
    new Promise<void>((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      this.slept.push(ms);
      const sleeper = { at: this.time + ms, wake: resolve };
      this.#sleepers.push(sleeper);
      signal?.addEventListener("abort", () => {
        this.#sleepers = this.#sleepers.filter((s) => s !== sleeper);
        reject(signal.reason);
      });
      setTimeout(() => this.#wakeNext(), 0);
    });

  #wakeNext(): void {
    const next = this.#sleepers.sort((a, b) => a.at - b.at).shift();
    if (next === undefined) return;
    this.time = next.at;
    next.wake();
  }
}

objectStoreContract({ describe, it }, "memory behind every wrapper", async () => {
  const runtime = new VirtualRuntime();
  const faulty = withFaults(new MemoryObjectStore(), () => undefined, { runtime });
  const measured = withMetrics(faulty, new MemoryRecorder());
  return { store: withHedging(withRetry(measured, { runtime }), { runtime, delayMs: 1000 }) };
});

describe("retry", () => {
  const down = (operation: "get" | "put" | "list" | "delete", times: number) =>
    scriptedFaults([{ operation, times, fault: { kind: "fail-before" } }]);

  it("waits as long as a busy store asks for (Retry-After), where that is longer than its own pause", async () => {
    const runtime = new VirtualRuntime();
    const memory = new MemoryObjectStore();
    const asked = [4000, 1];
    const busy: ObjectStore = Object.assign(Object.create(memory) as ObjectStore, {
      get: async () => {
        const retryAfterMs = asked.shift();
        if (retryAfterMs === undefined) return undefined;
        throw new PagefoldError("unavailable", "busy", { details: { retryAfterMs } });
      },
    });
    await withRetry(busy, { runtime, baseDelayMs: 100 }).get("k");
    expect(runtime.slept[0]).toBe(4000);
    expect(runtime.slept[1]).toBeGreaterThan(1);
    expect(runtime.slept[1]).toBeLessThan(4000);
  });

  it("repeats what may pass, with growing pauses, and no more often than told", async () => {
    for (const operation of ["get", "put", "list", "delete"] as const) {
      const runtime = new VirtualRuntime();
      const recorder = new MemoryRecorder();
      const options = { runtime, recorder, attempts: 4, baseDelayMs: 100, maxDelayMs: 300 };
      const call = (store: ObjectStore): Promise<unknown> =>
        operation === "get"
          ? store.get("k")
          : operation === "put"
            ? store.put("k", bytes("v"))
            : operation === "list"
              ? store.list("k")
              : store.delete(["k"]);
      await call(withRetry(withFaults(new MemoryObjectStore(), down(operation, 3), { runtime }), options));
      expect(runtime.slept).toEqual([62.5, 125, 187.5]);
      const lost = withRetry(withFaults(new MemoryObjectStore(), down(operation, 4), { runtime }), options);
      await expect(call(lost)).rejects.toMatchObject({ code: "unavailable" });
      expect(recorder.get("remote.retry.count")).toBe(6);
      expect(recorder.get("remote.retry.exhausted")).toBe(1);
    }
  });

  it("does not repeat what will not pass", async () => {
    const runtime = new VirtualRuntime();
    for (const error of [
      new PagefoldError("forbidden", "no"),
      new PagefoldError("unavailable", "no", { retryable: false }),
    ]) {
      const plan = scriptedFaults([{ fault: { kind: "fail-before", error } }]);
      const store = withRetry(withFaults(new MemoryObjectStore(), plan, { runtime }), { runtime });
      await expect(store.get("k")).rejects.toBe(error);
    }
    expect(runtime.slept).toEqual([]);
  });

  it("invariant 5: a create that came through unseen stays exists", async () => {
    const runtime = new VirtualRuntime();
    const plan = scriptedFaults([{ operation: "put", fault: { kind: "fail-after" } }]);
    const store = withRetry(withFaults(new MemoryObjectStore(), plan, { runtime }), { runtime });
    expect(await store.put("k", bytes("ours"), { ifAbsent: true })).toBe("exists");
    expect(await store.get("k")).toEqual(bytes("ours"));
  });

  it("invariant 3: a refusal after an unanswered attempt says that the first may still arrive", async () => {
    const runtime = new VirtualRuntime();
    const refusal = new PagefoldError("forbidden", "no");
    const plan = scriptedFaults([
      { operation: "put", fault: { kind: "late", ms: 60_000 } },
      { operation: "put", nth: 2, fault: { kind: "fail-before", error: refusal } },
    ]);
    const store = withRetry(withFaults(new MemoryObjectStore(), plan, { runtime }), { runtime });
    await expect(store.put("k", bytes("ours"), { ifAbsent: true })).rejects.toMatchObject({
      code: "forbidden",
      details: { repeated: true },
    });
  });

  it("sends a stream once", async () => {
    const runtime = new VirtualRuntime();
    const store = withRetry(withFaults(new MemoryObjectStore(), down("put", 1), { runtime }), { runtime });
    async function* stream() {
      yield bytes("x");
    }
    await expect(store.put("k", stream())).rejects.toMatchObject({ code: "unavailable" });
  });

  it("stops pausing when aborted", async () => {
    const runtime = new VirtualRuntime();
    runtime.sleep = (_, signal) =>
      new Promise((_resolve, reject) => signal?.addEventListener("abort", () => reject(signal.reason)));
    const store = withRetry(withFaults(new MemoryObjectStore(), down("get", 9), { runtime }), { runtime });
    const controller = new AbortController();
    const getting = store.get("k", { signal: controller.signal });
    setTimeout(() => controller.abort(), 5);
    await expect(getting).rejects.toMatchObject({ code: "aborted" });
  });

  it("spreads and bounds its pauses", () => {
    expect(retryDelayMs(1, 50, 5000, 0)).toBe(12.5);
    expect(retryDelayMs(1, 50, 5000, 1)).toBe(50);
    expect(retryDelayMs(60, 50, 5000, 1)).toBe(5000);
  });
});

describe("hedging", () => {
  async function setUp(options: { slow: number[]; fail?: number[] }) {
    const runtime = new VirtualRuntime();
    const recorder = new MemoryRecorder();
    const inner = new MemoryObjectStore();
    await inner.put("k", bytes("v"));
    const aborted: number[] = [];
    let n = 0;
    const store: ObjectStore = {
      ...withMetrics(inner, recorder),
      async get(key, opts) {
        const me = ++n;
        opts?.signal?.addEventListener("abort", () => aborted.push(me));
        if (options.slow.includes(me)) await runtime.sleep(1000, opts?.signal);
        if (options.fail?.includes(me)) throw new PagefoldError("unavailable", `request ${me}`);
        return inner.get(key, opts);
      },
    };
    return {
      store: withHedging(store, { runtime, delayMs: 50, recorder }),
      runtime,
      recorder,
      aborted,
      sent: () => n,
    };
  }

  it("sends one request where it is quick", async () => {
    const t = await setUp({ slow: [] });
    expect(await t.store.get("k")).toEqual(bytes("v"));
    expect(t.sent()).toBe(1);
  });

  it("takes the second answer where the first is slow, and gives up the first", async () => {
    const t = await setUp({ slow: [1] });
    expect(await t.store.get("k")).toEqual(bytes("v"));
    expect(t.runtime.time).toBe(50);
    expect(t.recorder.get("remote.hedge.count")).toBe(1);
    expect(t.recorder.get("remote.hedge.won")).toBe(1);
    expect(t.aborted).toContain(1);
  });

  it("fails with the first error at once, and waits for the other when two are under way", async () => {
    const alone = await setUp({ slow: [], fail: [1] });
    await expect(alone.store.get("k")).rejects.toMatchObject({ message: "request 1" });
    const second = await setUp({ slow: [1], fail: [2] });
    expect(await second.store.get("k")).toEqual(bytes("v"));
    const both = await setUp({ slow: [1], fail: [1, 2] });
    await expect(both.store.get("k")).rejects.toMatchObject({ code: "unavailable" });
  });

  it("stops doubling when everything is slow", async () => {
    const t = await setUp({ slow: Array.from({ length: 1000 }, (_, i) => i + 1) });
    for (let i = 0; i < 100; i++) await t.store.get("k");
    expect(t.recorder.get("remote.hedge.count")).toBeLessThanOrEqual(21);
    expect(t.recorder.get("remote.hedge.count")).toBeGreaterThanOrEqual(15);
  });

  it("gives up both when the caller does", async () => {
    const t = await setUp({ slow: [1, 2] });
    const controller = new AbortController();
    const getting = t.store.get("k", { signal: controller.signal });
    controller.abort();
    await expect(getting).rejects.toMatchObject({ code: "aborted" });
    expect(t.aborted).toEqual([1]);
  });
});

describe("metrics", () => {
  it("counts calls, bytes, failures and durations", async () => {
    const runtime = new VirtualRuntime();
    const recorder = new MemoryRecorder(() => 0);
    const plan = scriptedFaults([{ operation: "get", nth: 3, fault: { kind: "fail-before" } }]);
    const store = withMetrics(withFaults(new MemoryObjectStore(), plan, { runtime }), recorder);
    async function* stream() {
      yield bytes("abc");
      yield bytes("de");
    }
    await store.put("a", bytes("1234"));
    await store.put("b", stream());
    await store.put("a", bytes("1234567"), { ifAbsent: true });
    await store.get("a");
    await store.get("absent");
    await expect(store.get("b")).rejects.toMatchObject({ code: "unavailable" });
    await store.list("");
    await store.delete(["a", "b"]);
    expect(Object.fromEntries(recorder.counters)).toEqual({
      "remote.put.count": 3,
      "remote.put.bytes": 9,
      "remote.put.exists": 1,
      "remote.get.count": 3,
      "remote.get.bytes": 4,
      "remote.get.failed": 1,
      "remote.list.count": 1,
      "remote.delete.count": 1,
      "remote.delete.keys": 2,
    });
    expect(recorder.distributions.get("remote.get.duration_ms")?.count).toBe(3);
  });
});

describe("faults", () => {
  it("does each kind", async () => {
    const runtime = new VirtualRuntime();
    const inner = new MemoryObjectStore();
    await inner.put("k", bytes("value"));
    const plan = scriptedFaults([
      { key: "k", operation: "get", nth: 1, fault: { kind: "truncate", keep: 2 } },
      { key: "k", operation: "get", nth: 2, fault: { kind: "flip", bit: 8 } },
      { key: "k", operation: "get", nth: 3, fault: { kind: "delay", ms: 40 } },
      { key: /^late/, fault: { kind: "late", ms: 30 } },
      { key: "after", fault: { kind: "fail-after" } },
      { key: "stream", fault: { kind: "interrupt", afterBytes: 3 } },
    ]);
    const store = withFaults(inner, plan, { runtime });
    expect(await store.get("k")).toEqual(bytes("va"));
    expect(await store.get("k")).toEqual(bytes("v`lue"));
    expect(await inner.get("k"), "the stored bytes stay as they are").toEqual(bytes("value"));
    expect(await store.get("k")).toEqual(bytes("value"));
    expect(runtime.time).toBe(40);
    await expect(store.put("late", bytes("x"), { ifAbsent: true })).rejects.toMatchObject({
      code: "unavailable",
    });
    expect(await inner.get("late")).toBeUndefined();
    await runtime.sleep(31);
    expect(await inner.get("late")).toEqual(bytes("x"));
    await expect(store.put("after", bytes("y"))).rejects.toMatchObject({ details: { injected: true } });
    expect(await inner.get("after")).toEqual(bytes("y"));
    let sent = 0;
    async function* stream() {
      for (; sent < 10; sent++) yield bytes("zz");
    }
    await expect(store.put("stream", stream())).rejects.toMatchObject({ details: { injected: true } });
    expect(await inner.get("stream")).toBeUndefined();
    expect(sent).toBeLessThan(3);
  });

  it("is deterministic for a seed, and keeps to its rates", async () => {
    const rates = { "fail-before": 0.1, "fail-after": 0.1, flip: 0.05, delay: 0.2, interrupt: 0.02 };
    const run = (seed: number) => {
      const plan = seededFaults({ seed, rates });
      const operations = ["get", "put", "list", "delete"] as const;
      return Array.from({ length: 4000 }, (_, i) =>
        plan({ operation: operations[i % 4] ?? "get", key: "k", number: i + 1 }),
      );
    };
    expect(run(42)).toEqual(run(42));
    expect(run(42)).not.toEqual(run(43));
    const kinds = run(42).map((fault) => fault?.kind);
    const before = kinds.filter((kind) => kind === "fail-before").length;
    expect(before).toBeGreaterThan(300);
    expect(before).toBeLessThan(500);
    expect(
      kinds.some((kind, i) => kind === "fail-after" && i % 4 === 0),
      "a get has no effect to keep",
    ).toBe(false);
  });
});

describe("writability", () => {
  const unknown = (store: ObjectStore): ObjectStore => ({
    ...withMetrics(store, new MemoryRecorder()),
    capabilities: { write: true, list: true, conditionalCreate: "unknown" },
  });

  it("probes once per store, also when asked at the same time", async () => {
    const runtime = new VirtualRuntime();
    const recorder = new MemoryRecorder();
    const inner = new MemoryObjectStore();
    const store = unknown(withMetrics(inner, recorder));
    expect(await Promise.all([1, 2, 3].map(() => probeConditionalCreate(store, runtime)))).toEqual([
      true,
      true,
      true,
    ]);
    await assertWritable(store, runtime);
    expect(recorder.get("remote.put.count")).toBe(2);
    expect(inner.size).toBe(0);
  });

  it("refuses a store that ignores the condition, one that lies, and one that is read-only", async () => {
    const runtime = new VirtualRuntime();
    const inner = new MemoryObjectStore();
    const ignoring = {
      ...unknown(inner),
      put: (key: string, body: Uint8Array) => inner.put(key, body),
    } as ObjectStore;
    const lying: ObjectStore = {
      ...unknown(inner),
      put: async (key, body) => {
        const had = (await inner.get(key)) !== undefined;
        await inner.put(key, body);
        return had ? "exists" : "created";
      },
    };
    const readOnly: ObjectStore = {
      ...unknown(inner),
      capabilities: { write: false, list: true, conditionalCreate: "no" },
    };
    for (const store of [ignoring, lying, readOnly]) {
      await expect(assertWritable(store, runtime)).rejects.toMatchObject({
        code: "forbidden",
        message: expect.stringContaining("reading works"),
      });
    }
    expect(inner.size).toBe(0);
  });

  it("does not remember a probe that failed, and survives one whose answer was lost", async () => {
    const runtime = new VirtualRuntime();
    const plan = scriptedFaults([{ operation: "put", fault: { kind: "fail-after" } }]);
    const once = unknown(withFaults(new MemoryObjectStore(), plan, { runtime }));
    await expect(probeConditionalCreate(once, runtime)).rejects.toMatchObject({ code: "unavailable" });
    expect(await probeConditionalCreate(once, runtime)).toBe(true);
    const again = scriptedFaults([{ operation: "put", fault: { kind: "fail-after" } }]);
    const retried = withRetry(unknown(withFaults(new MemoryObjectStore(), again, { runtime })), { runtime });
    expect(await probeConditionalCreate(retried, runtime)).toBe(true);
  });
});
