/** Shared work with counted waiters, and the fair queue. */
import { describe, expect, it } from "vitest";
import { Flight } from "../../src/base/flight.ts";
import { Lru } from "../../src/base/lru.ts";
import { Semaphore } from "../../src/base/semaphore.ts";
import { failure } from "../store/support.ts";

function deferred<T>() {
  let resolve!: (value: T) => void;
  let reject!: (error: unknown) => void;
  const promise = new Promise<T>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}

describe("Flight", () => {
  it("all waiters get the value; one that leaves gets aborted and harms nobody", async () => {
    const work = deferred<number>();
    let signal: AbortSignal | undefined;
    const flight = new Flight("the work", (s) => {
      signal = s;
      return work.promise;
    });
    const controller = new AbortController();
    const leaver = failure(flight.join(controller.signal), "aborted");
    const stayers = [flight.join(), flight.join(new AbortController().signal)];
    controller.abort();
    await leaver;
    expect(signal?.aborted).toBe(false);
    work.resolve(7);
    expect(await Promise.all(stayers)).toEqual([7, 7]);
    expect(flight.abandoned).toBe(false);
  });

  it("is aborted when the last one has left, and only then", async () => {
    let signal: AbortSignal | undefined;
    const flight = new Flight("the work", (s) => {
      signal = s;
      return new Promise<never>((_, reject) => s.addEventListener("abort", () => reject(s.reason)));
    });
    const controllers = [new AbortController(), new AbortController()];
    const leavers = controllers.map(({ signal: own }) => failure(flight.join(own), "aborted"));
    controllers[0]!.abort();
    await leavers[0];
    expect(signal?.aborted).toBe(false);
    controllers[1]!.abort();
    await leavers[1];
    expect([signal?.aborted, flight.abandoned]).toEqual([true, true]);
  });

  it("a failure reaches every waiter, and none where nobody waits", async () => {
    const flight = new Flight("the work", async () => {
      throw new Error("broken");
    });
    await Promise.resolve();
    await expect(flight.join()).rejects.toThrow("broken");
    await expect(flight.join()).rejects.toThrow("broken");
    new Flight("nobody's", async () => {
      throw new Error("unheard");
    });
    await new Promise((resolve) => setImmediate(resolve));
  });
});

describe("Semaphore", () => {
  it("serves in order, bounds, and forgets whoever gives up", async () => {
    const semaphore = new Semaphore(2, "a permit");
    const releases = [await semaphore.acquire(), await semaphore.acquire()];
    const order: string[] = [];
    const controller = new AbortController();
    const waiting = ["a", "b", "c"].map(async (name) => {
      const release = await semaphore.acquire(name === "b" ? controller.signal : undefined);
      order.push(name);
      return release;
    });
    const gone = failure(waiting[1]!, "aborted");
    controller.abort();
    await gone;
    expect(order).toEqual([]);
    releases[0]!();
    releases[0]!(); // twice is once
    await waiting[0];
    await Promise.resolve();
    expect(order).toEqual(["a"]);
    releases[1]!();
    await waiting[2];
    expect(order).toEqual(["a", "c"]);
  });

  it("gives the permit back when the work fails", async () => {
    const semaphore = new Semaphore(1, "a permit");
    await expect(semaphore.run(() => Promise.reject(new Error("no")))).rejects.toThrow("no");
    expect(await semaphore.run(async () => 1)).toBe(1);
    await failure(semaphore.acquire(AbortSignal.abort()), "aborted");
  });
});

describe("Lru", () => {
  it("keeps the sum of costs within the limit, the entry used longest ago goes", () => {
    const lru = new Lru<string, number>(10);
    lru.set("a", 1, 4);
    lru.set("b", 2, 4);
    expect(lru.get("a")).toBe(1);
    lru.set("c", 3, 4);
    expect([lru.get("a"), lru.get("b"), lru.get("c")]).toEqual([1, undefined, 3]);
    lru.set("huge", 9, 100);
    expect([lru.get("a"), lru.get("c"), lru.get("huge")]).toEqual([undefined, undefined, 9]);
    lru.set("huge", 8, 1);
    lru.set("d", 4, 9);
    expect([lru.get("huge"), lru.get("d")]).toEqual([8, 4]);
    lru.clear();
    expect(lru.get("d")).toBe(undefined);
  });
});
