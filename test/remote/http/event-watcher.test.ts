/** Live news: one stream for all volumes, opened again from where each one was, whatever ended it; nothing is told that was not there. */
import { afterEach, describe, expect, it } from "vitest";
import { type Runtime, systemRuntime } from "../../../src/base/runtime.ts";
import type { HttpFetch, HttpResponse } from "../../../src/remote/http/http-fetch.ts";
import { HttpObjectStore } from "../../../src/remote/http/http-object-store.ts";
import type { CommitNews, WatchListener } from "../../../src/remote/object-store.ts";

const encoder = new TextEncoder();
const stores: HttpObjectStore[] = [];
afterEach(async () => {
  for (const store of stores.splice(0)) await store.close();
});

/** A stream that a test writes to and ends. */
class Stream {
  readonly query: string;
  readonly ended: Promise<void>;
  #controller!: ReadableStreamDefaultController<Uint8Array>;
  readonly response: HttpResponse;

  constructor(url: string, signal: AbortSignal | undefined) {
    this.query = url.slice(url.indexOf("?") + 1);
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => {
        this.#controller = controller;
      },
    });
    this.ended = new Promise((resolve) => {
      signal?.addEventListener("abort", () => {
        resolve();
        this.fail();
      });
    });
    const headers = new Headers({ "content-type": "text/event-stream" });
    this.response = { status: 200, headers, body, url, arrayBuffer: never, text: never };
  }

  commit(volume: string, lsn: number, object?: string): void {
    const data = JSON.stringify({ volume, lsn, ...(object === undefined ? {} : { object }) });
    this.write(`id: ${volume}@${lsn}\nevent: commit\ndata: ${data}\n\n`);
  }

  write(text: string): void {
    this.#controller.enqueue(encoder.encode(text));
  }

  end(): void {
    this.#controller.close();
  }

  fail(): void {
    try {
      this.#controller.error(new Error("reset"));
    } catch {
      // It has ended already.
    }
  }
}

const never = (): Promise<never> => new Promise(() => {});

function setting(answers: (Stream | number)[] = []) {
  const streams: Stream[] = [];
  const runtime = new PatientRuntime();
  const fetch: HttpFetch = async (url, { signal }) => {
    const answer = answers.shift();
    if (typeof answer === "number") {
      const headers = new Headers({ "retry-after": "1" });
      return { status: answer, headers, body: null, url, arrayBuffer: never, text: async () => "" };
    }
    const stream = new Stream(url, signal);
    streams.push(stream);
    return stream.response;
  };
  const store = new HttpObjectStore("http://host/", { kind: "server", fetch, runtime });
  stores.push(store);
  return { store, streams, runtime, answers };
}

/** Pauses between attempts pass at once; the long wait for a sign of life ends when a test says that the time is over. */
class PatientRuntime implements Runtime {
  #now = 0;
  readonly #waits = new Set<() => void>();
  readonly now = systemRuntime.now;
  readonly randomBytes = systemRuntime.randomBytes;

  random(): number {
    return 0.5;
  }

  monotonic(): number {
    return this.#now;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    if (ms < 30_000) return systemRuntime.sleep(0, signal);
    return new Promise((resolve, reject) => {
      this.#waits.add(resolve);
      signal?.addEventListener("abort", () => reject(signal.reason), { once: true });
    });
  }

  /** A minute in which nothing happens. */
  silence(): void {
    this.#now += 60_000;
    for (const wake of this.#waits) wake();
    this.#waits.clear();
  }
}

class Listener implements WatchListener {
  readonly news: CommitNews[] = [];
  readonly states: string[] = [];
  reason: unknown;

  onNews(news: CommitNews): void {
    this.news.push(news);
  }

  onState(state: string): void {
    this.states.push(state);
  }

  onEnd(reason: unknown): void {
    this.reason = reason;
  }
}

const lsns = ({ news }: Listener): number[] => news.map(({ lsn }) => lsn);

describe("watching volumes", () => {
  it("goes over one stream, from where each volume is, and tells each listener of its own", async () => {
    const { store, streams } = setting();
    const [one, two, other] = [new Listener(), new Listener(), new Listener()];
    store.watch?.("v1", 3, one);
    store.watch?.("v2", 0, two);
    store.watch?.("v1", 5, other);
    await expect.poll(() => streams.length).toBe(1);
    expect(streams[0]?.query).toBe("volume=v1@3&volume=v2@0");
    streams[0]?.commit("v1", 4, btoa("bytes"));
    streams[0]?.commit("v2", 1);
    streams[0]?.commit("v3", 1);
    streams[0]?.write("event: commit\ndata: no json\n\nevent: other\ndata: {}\n\n");
    await expect.poll(() => two.news.length).toBe(1);
    expect(one.news).toEqual([{ volume: "v1", lsn: 4, object: encoder.encode("bytes") }]);
    expect(lsns(other)).toEqual([4]);
    expect(one.states).toEqual(["live"]);
  });

  it("is opened again where it ends, breaks or is refused, from where it was", async () => {
    const { store, streams, answers } = setting([503]);
    const listener = new Listener();
    store.watch?.("v1", 0, listener);
    await expect.poll(() => streams.length).toBe(1);
    streams[0]?.commit("v1", 7);
    await expect.poll(() => listener.news.length).toBe(1);
    answers.push(429);
    streams[0]?.end();
    await expect.poll(() => streams.length).toBe(2);
    expect(streams[1]?.query).toBe("volume=v1@7");
    streams[1]?.commit("v1", 9);
    await expect.poll(() => listener.news.length).toBe(2);
    streams[1]?.fail();
    await expect.poll(() => streams.length).toBe(3);
    expect(streams[2]?.query).toBe("volume=v1@9");
    expect(listener.states.filter((state) => state === "waiting").length).toBeGreaterThanOrEqual(3);
    expect(listener.reason).toBeUndefined();
  });

  it("that falls silent is taken for broken", async () => {
    const { store, streams, runtime } = setting();
    const listener = new Listener();
    store.watch?.("v1", 0, listener);
    await expect.poll(() => streams.length).toBe(1);
    streams[0]?.commit("v1", 2);
    await expect.poll(() => listener.news.length).toBe(1);
    runtime.silence();
    await expect.poll(() => streams.length).toBe(2);
    await streams[0]?.ended;
    expect(streams[1]?.query).toBe("volume=v1@2");
  });

  it("begins anew for a volume that comes later, and ends with the last one", async () => {
    const { store, streams } = setting();
    const [one, two] = [new Listener(), new Listener()];
    const stopOne = store.watch?.("v1", 1, one);
    await expect.poll(() => streams.length).toBeGreaterThanOrEqual(1);
    const stopTwo = store.watch?.("v2", 2, two);
    await expect.poll(() => streams.at(-1)?.query).toBe("volume=v1@1&volume=v2@2");
    stopOne?.();
    streams.at(-1)?.commit("v2", 3);
    await expect.poll(() => two.news.length).toBe(1);
    stopTwo?.();
    await streams.at(-1)?.ended;
    expect(lsns(one)).toEqual([]);
  });

  it("ends for a volume that is gone, and for all where the token does not do", async () => {
    const { store, streams } = setting();
    const [one, two] = [new Listener(), new Listener()];
    store.watch?.("v1", 0, one);
    store.watch?.("v2", 0, two);
    await expect.poll(() => streams.length).toBe(1);
    streams[0]?.write('event: gone\ndata: {"volume":"v1"}\n\n');
    await expect.poll(() => one.reason).toMatchObject({ code: "not_found" });
    expect(two.reason).toBeUndefined();
    const refused = setting([401]);
    const listener = new Listener();
    refused.store.watch?.("v1", 0, listener);
    await expect.poll(() => listener.reason).toMatchObject({ code: "unauthorized" });
    expect(refused.streams).toEqual([]);
  });

  it("of many volumes goes over several streams", async () => {
    const { store, streams } = setting();
    for (let i = 0; i < 130; i++) store.watch?.(`v${i}`, i, new Listener());
    await expect.poll(() => streams.length).toBeGreaterThanOrEqual(3);
    const named = new Set(streams.flatMap(({ query }) => query.split("&")));
    expect(named.size).toBe(130);
    for (const { query } of streams) expect(query.split("&").length).toBeLessThanOrEqual(64);
  });
});
