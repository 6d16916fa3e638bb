/** Leases keep work from being done twice, and nothing else. */
import { describe, expect, it } from "vitest";
import type { VolumeId } from "../../src/base/brand.ts";
import { newId } from "../../src/format/ids.ts";
import { leaseKey, leasesPrefix } from "../../src/format/keys.ts";
import { takeLease } from "../../src/history/keep/lease.ts";
import { MemoryObjectStore } from "../../src/remote/memory-store.ts";
import { SimRuntime } from "../sim/runtime.ts";
import { codecs, failure } from "../store/support.ts";

function setUp() {
  const store = new MemoryObjectStore();
  const runtime = new SimRuntime(5);
  const volume = newId<VolumeId>(runtime);
  const take = (what = "gc", ttlMs = 60_000, by = runtime) =>
    takeLease(store, codecs, by, volume, { what, ttlMs });
  return { store, runtime, volume, take };
}

describe("a lease", () => {
  it("is held by one at a time, until it is given back", async () => {
    const { runtime, take } = setUp();
    const lease = await take("compact");
    expect(lease.until).toBe(runtime.now() + 60_000);
    const error = await failure(take(), "busy");
    expect(error.message).toContain("compact");
    expect(error.details.until).toBe(lease.until);
    await lease.release();
    await lease.release();
    await failure(lease.renew(), "closed");
    await using second = await take();
    await failure(take(), "busy");
    expect(second.until).toBeGreaterThan(0);
  });

  it("is another's after its time; who held it learns that when renewing it, and gives nothing back", async () => {
    const { runtime, take } = setUp();
    const sleeper = await take("gc");
    await runtime.sleep(59_000);
    await sleeper.renew();
    await runtime.sleep(59_000);
    await failure(take(), "busy");
    await runtime.sleep(2000);
    const next = await take("compact");
    const error = await failure(sleeper.renew(), "busy");
    expect(error.message).toContain("compact");
    await sleeper.release();
    await failure(take(), "busy");
    await next.renew();
  });

  it("goes to one of those who take it at once", async () => {
    const { take } = setUp();
    const taken = await Promise.allSettled(
      Array.from({ length: 5 }, (_, i) => take("gc", 1000, new SimRuntime(i))),
    );
    expect(taken.filter(({ status }) => status === "fulfilled").length).toBe(1);
    for (const each of taken) if (each.status === "rejected") expect(each.reason.code).toBe("busy");
  });

  it("a clock that is ahead by years keeps nobody out", async () => {
    const { runtime, take } = setUp();
    const ahead = new SimRuntime(9);
    await ahead.sleep(2 * 365 * 86_400_000);
    await take("gc", 1000, ahead);
    const lease = await take("gc", 1e12);
    expect(lease.until).toBe(runtime.now() + 86_400_000);
  });

  it("is a hint: a damaged one is none", async () => {
    const { store, volume, take } = setUp();
    await take();
    const key = leaseKey(volume, 1);
    const bytes = (await store.get(key))!;
    bytes[20]! ^= 1;
    await store.put(key, bytes);
    await take();
    expect((await store.list(leasesPrefix(volume))).length).toBe(2);
  });
});
