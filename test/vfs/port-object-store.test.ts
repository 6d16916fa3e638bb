/** An object store behind a message port is the same object store: the conformance suite, and what only a port can get wrong. */
import { afterEach, describe, expect, it } from "vitest";
import { PagefoldError } from "../../src/base/errors.ts";
import { MemoryObjectStore } from "../../src/remote/memory-store.ts";
import type { ObjectStore, WatchListener } from "../../src/remote/object-store.ts";
import { PortObjectStore } from "../../vfs/port/port-object-store.ts";
import { describeStore, serveObjectStore } from "../../vfs/port/serve-object-store.ts";
import { objectStoreContract } from "../contracts/object-store.ts";

const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0)) close();
});

function connect(store: ObjectStore): PortObjectStore {
  const { port1, port2 } = new MessageChannel();
  const service = serveObjectStore(port1, store);
  closers.push(() => service.close());
  return new PortObjectStore(port2, describeStore(store));
}

objectStoreContract({ describe, it }, "over a message port", async () => {
  const memory = new MemoryObjectStore();
  return { store: connect(memory), reopen: async () => connect(memory) };
});

const bytes = (...values: number[]): Uint8Array => new Uint8Array(values);
const never = new Promise<never>(() => {});

/** A memory store with some methods replaced. */
function storeWith(methods: Partial<ObjectStore>): ObjectStore {
  const memory = new MemoryObjectStore();
  return {
    url: memory.url,
    capabilities: memory.capabilities,
    get: (...args) => memory.get(...args),
    put: (...args) => memory.put(...args),
    list: (...args) => memory.list(...args),
    delete: (...args) => memory.delete(...args),
    close: () => memory.close(),
    ...methods,
  };
}

describe("errors", () => {
  it("arrive as they were thrown", async () => {
    const failure = new PagefoldError("quota", "no space", {
      details: { key: "a", owner: "b" },
      retryable: true,
      cause: new RangeError("why"),
    });
    const store = connect(
      storeWith({
        get: async () => {
          throw failure;
        },
      }),
    );
    const error: unknown = await store.get("a").catch((e) => e);
    expect(error).toBeInstanceOf(PagefoldError);
    expect(error).toMatchObject({
      code: "quota",
      message: "no space",
      retryable: true,
      details: { key: "a", owner: "b" },
    });
    expect((error as Error).cause).toMatchObject({ name: "RangeError", message: "why" });
  });

  it("a bug of the store is no PagefoldError", async () => {
    const store = connect(
      storeWith({
        list: async () => {
          throw new TypeError("bug");
        },
      }),
    );
    const error: unknown = await store.list("a").catch((e) => e);
    expect(error).not.toBeInstanceOf(PagefoldError);
    expect(error).toMatchObject({ name: "TypeError", message: "bug" });
  });
});

describe("bytes", () => {
  it("the caller keeps its own, whole and streamed", async () => {
    const memory = new MemoryObjectStore();
    const store = connect(memory);
    const slab = bytes(9, 1, 2, 3, 9);
    const body = slab.subarray(1, 4);
    await store.put("whole", body);
    const chunk = bytes(4, 5);
    await store.put(
      "streamed",
      (async function* () {
        yield chunk;
        chunk.fill(6);
        yield chunk;
      })(),
    );
    expect([...slab]).toEqual([9, 1, 2, 3, 9]);
    expect(await store.get("whole")).toEqual(bytes(1, 2, 3));
    expect(await store.get("streamed")).toEqual(bytes(4, 5, 6, 6));
  });

  it("of a larger buffer only those asked for are sent", async () => {
    const slab = new Uint8Array(1_000_000).fill(7);
    const store = connect(storeWith({ get: async () => slab.subarray(10, 20) }));
    const got = await store.get("a");
    expect(got).toEqual(new Uint8Array(10).fill(7));
    expect(got?.buffer.byteLength).toBe(10);
    expect(slab.length).toBe(1_000_000);
  });
});

describe("streamed bodies", () => {
  it("one chunk is under way at a time, asked for by the store", async () => {
    let produced = 0;
    let consumed = 0;
    let ahead = 0;
    const store = connect(
      storeWith({
        put: async (_key, body) => {
          for await (const _chunk of body as AsyncIterable<Uint8Array>) {
            consumed++;
            await new Promise((resolve) => setTimeout(resolve, 1));
          }
          return "created";
        },
      }),
    );
    await store.put(
      "a",
      (async function* () {
        for (let i = 0; i < 20; i++) {
          produced++;
          ahead = Math.max(ahead, produced - consumed);
          yield new Uint8Array(1000);
        }
      })(),
    );
    expect(consumed).toBe(20);
    expect(ahead).toBeLessThanOrEqual(1);
  });

  it("a producer that throws leaves the key as it was, and its own error is the result", async () => {
    const memory = new MemoryObjectStore();
    const store = connect(memory);
    await store.put("a", bytes(1));
    const failure = new RangeError("producer");
    const body = (async function* () {
      yield bytes(2);
      throw failure;
    })();
    await expect(store.put("a", body)).rejects.toBe(failure);
    expect(await memory.get("a")).toEqual(bytes(1));
  });

  it("a store that gives up early ends the producer", async () => {
    let ended = false;
    const store = connect(
      storeWith({
        put: async () => {
          throw new PagefoldError("forbidden", "not here");
        },
      }),
    );
    const body = (async function* () {
      try {
        for (;;) yield bytes(1);
      } finally {
        ended = true;
      }
    })();
    await body.next();
    await expect(store.put("a", body)).rejects.toMatchObject({ code: "forbidden" });
    expect(ended).toBe(true);
  });
});

describe("ends", () => {
  it("an abort reaches the store, and the call ends at once", async () => {
    let seen: AbortSignal | undefined;
    const store = connect(
      storeWith({
        get: (_key, options) => {
          seen = options?.signal;
          return never;
        },
      }),
    );
    const controller = new AbortController();
    const call = store.get("a", { signal: controller.signal });
    setTimeout(() => controller.abort(), 5);
    await expect(call).rejects.toMatchObject({ code: "aborted" });
    await expect.poll(() => seen?.aborted).toBe(true);
  });

  it("the other side going ends waiting calls with unavailable, later ones too", async () => {
    const { port1, port2 } = new MessageChannel();
    const service = serveObjectStore(port1, storeWith({ get: () => never }));
    const store = new PortObjectStore(port2, describeStore(new MemoryObjectStore()));
    const call = store.get("a");
    setTimeout(() => service.close(), 5);
    await expect(call).rejects.toMatchObject({ code: "unavailable" });
    await expect(store.get("a")).rejects.toMatchObject({ code: "unavailable" });
  });

  it("closing the client ends its calls with closed, and aborts them on the other side", async () => {
    let seen: AbortSignal | undefined;
    const store = connect(
      storeWith({
        get: (_key, options) => {
          seen = options?.signal;
          return never;
        },
      }),
    );
    const call = store.get("a");
    await expect.poll(() => seen).toBeDefined();
    const check = expect(call).rejects.toMatchObject({ code: "closed" });
    await store.close();
    await check;
    await expect(store.get("a")).rejects.toMatchObject({ code: "closed" });
    await expect.poll(() => seen?.aborted).toBe(true);
  });
});

describe("what a store may know beyond single objects", () => {
  it("bundles come through whole, and a store without them has none", async () => {
    const bundle = {
      objects: [{ key: "a/b", offset: 2, total: 9, bytes: bytes(1, 2, 3) }],
      absent: ["a/c"],
      listings: [{ prefix: "a/", entries: [{ key: "a/b", size: 9 }], complete: true }],
    };
    const asked: unknown[] = [];
    const store = connect(
      storeWith({
        bundle: async (name, options) => {
          asked.push([name, options?.from]);
          return name === "known" ? bundle : undefined;
        },
      }),
    );
    expect(await store.bundle?.("known", { from: 7 })).toEqual(bundle);
    expect(await store.bundle?.("unknown")).toBeUndefined();
    expect(asked).toEqual([
      ["known", 7],
      ["unknown", 0],
    ]);
    expect(connect(new MemoryObjectStore()).bundle).toBeUndefined();
  });

  it("news come through until nobody wants them, with the reason where they end", async () => {
    const listeners: WatchListener[] = [];
    let stopped = 0;
    const store = connect(
      storeWith({
        watch: (_volume, _after, listener) => {
          listeners.push(listener);
          return () => stopped++;
        },
      }),
    );
    const heard: unknown[] = [];
    const listen = (name: string): (() => void) | undefined =>
      store.watch?.("v", 3, {
        onNews: (news) => heard.push([name, news]),
        onState: (state, reason) => heard.push([name, state, (reason as Error | undefined)?.message]),
        onEnd: (reason) => heard.push([name, (reason as PagefoldError).code]),
      });
    const stop = listen("one");
    listen("two");
    await expect.poll(() => listeners.length).toBe(2);
    listeners[0]?.onState?.("waiting", new PagefoldError("unavailable", "away"));
    listeners[0]?.onNews({ volume: "v", lsn: 4, object: bytes(9) });
    listeners[1]?.onEnd(new PagefoldError("not_found", "gone"));
    await expect
      .poll(() => heard)
      .toEqual([
        ["one", "waiting", "away"],
        ["one", { volume: "v", lsn: 4, object: bytes(9) }],
        ["two", "not_found"],
      ]);
    stop?.();
    await expect.poll(() => stopped).toBe(1);
    await store.close();
  });
});
