/** Rates and addresses: buckets that fill with the clock, memory that does not grow with callers, and whose word an address is. */
import type { IncomingMessage } from "node:http";
import { describe, expect, it } from "vitest";
import { addressGroup, clientAddress, isLoopback } from "../../server/http/ops/address.ts";
import { RateLimiter } from "../../server/http/ops/rate-limit.ts";

describe("the rate limiter", () => {
  it("lets a burst through, then as many as the rate says, and tells how long to wait", () => {
    let time = 0;
    const limiter = new RateLimiter({ perSecond: 2, burst: 3, runtime: { monotonic: () => time } });
    expect([1, 2, 3, 4].map(() => limiter.take("a"))).toEqual([0, 0, 0, 500]);
    expect(limiter.take("b")).toBe(0);
    time = 499;
    expect(limiter.take("a")).toBe(1);
    time = 500;
    expect(limiter.take("a")).toBe(0);
    expect(limiter.take("a")).toBe(500);
    // However long one waits, no more than a burst is saved.
    time = 1e9;
    expect([1, 2, 3, 4].map(() => limiter.take("a"))).toEqual([0, 0, 0, 500]);
  });

  it("refuses a caller that never stops asking exactly as often as one that waits", () => {
    let time = 0;
    const limiter = new RateLimiter({ perSecond: 10, burst: 1, runtime: { monotonic: () => time } });
    let passed = 0;
    for (; time < 10_000; time += 10) if (limiter.take("eager") === 0) passed++;
    expect(passed).toBe(100);
  });

  it("remembers so many callers and no more, those heard of last", () => {
    const limiter = new RateLimiter({
      perSecond: 1,
      burst: 1,
      maxCallers: 100,
      runtime: { monotonic: () => 0 },
    });
    expect(limiter.take("first")).toBe(0);
    for (let i = 0; i < 1000; i++) {
      limiter.take(`caller ${i}`);
      expect(limiter.take("first")).toBeGreaterThan(0);
    }
    expect(limiter.size).toBe(100);
    expect(limiter.take("caller 999")).toBeGreaterThan(0);
    expect(limiter.take("caller 0")).toBe(0);
  });

  it("has a burst of two seconds by default, and never less than one request", () => {
    const all = (perSecond: number): number => {
      const limiter = new RateLimiter({ perSecond, runtime: { monotonic: () => 0 } });
      let passed = 0;
      while (limiter.take("a") === 0) passed++;
      return passed;
    };
    expect([all(5), all(0.1)]).toEqual([10, 1]);
  });
});

describe("addresses", () => {
  const incoming = (remoteAddress: string | undefined, forwarded?: string): IncomingMessage =>
    ({
      socket: { remoteAddress },
      headers: forwarded === undefined ? {} : { "x-forwarded-for": forwarded },
    }) as unknown as IncomingMessage;

  it("are those of the socket, unless a trusted proxy says otherwise", () => {
    expect(clientAddress(incoming("10.0.0.1", "1.2.3.4"), 0)).toBe("10.0.0.1");
    expect(clientAddress(incoming("::ffff:10.0.0.1"), 0)).toBe("10.0.0.1");
    expect(clientAddress(incoming(undefined), 0)).toBe("unknown");
    expect(clientAddress(incoming("10.0.0.1", "6.6.6.6, 1.2.3.4"), 1)).toBe("1.2.3.4");
    expect(clientAddress(incoming("10.0.0.1", "6.6.6.6,1.2.3.4 , 10.0.0.2"), 2)).toBe("1.2.3.4");
    expect(clientAddress(incoming("10.0.0.1", "1.2.3.4"), 5)).toBe("1.2.3.4");
    expect(clientAddress(incoming("10.0.0.1", " , "), 1)).toBe("10.0.0.1");
    expect(clientAddress(incoming("10.0.0.1"), 1)).toBe("10.0.0.1");
    expect(clientAddress(incoming("10.0.0.1", "x".repeat(9999)), 1).length).toBe(64);
  });

  it.each([
    ["1.2.3.4", "1.2.3.4"],
    ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"],
    ["2001:db8:1:2::9", "2001:db8:1:2::/64"],
    ["2001:db8::9", "2001:db8:0:0::/64"],
    ["::1", "0:0:0:0::/64"],
    ["unknown", "unknown"],
  ])("%s is counted as %s", (address, group) => expect(addressGroup(address)).toBe(group));

  it.each([
    ["localhost", true],
    ["LOCALHOST", true],
    ["127.0.0.1", true],
    ["127.1.2.3", true],
    ["::1", true],
    ["[::1]", true],
    ["127.0.0.1.evil.example", false],
    ["localhost.evil.example", false],
    ["0.0.0.0", false],
    ["::", false],
    ["", false],
  ])("%s is this machine: %s", (host, own) => expect(isLoopback(host)).toBe(own));
});
