import { describe, expect, it } from "vitest";
import type { Principal } from "../../server/http/principal.ts";
import { systemRuntime } from "../../src/base/runtime.ts";
import { decodeCommit } from "../../src/format/commit-codec.ts";
import { manifestKey } from "../../src/format/keys.ts";
import { type ServerEvent, serverEvents } from "../../src/remote/http/event-stream.ts";
import { chunksOf } from "../../src/remote/http/http-fetch.ts";
import { MemoryObjectStore } from "../../src/remote/memory-store.ts";
import { change, codecs, openStore, randomBytes, request, Site, world } from "./support.ts";

/** One client's stream, read as it comes. */
class Listener {
  readonly events: ServerEvent[] = [];
  beats = 0;
  ended = false;
  failure: unknown;
  readonly #wake = new Set<() => void>();
  readonly #response: Response;

  private constructor(response: Response) {
    this.#response = response;
    void this.#read();
  }

  static async open(site: Site, query: string, headers: Record<string, string> = {}): Promise<Listener> {
    const response = await site.app.fetch(request("GET", `/v1/events?${query}`, headers));
    expect(response.status).toBe(200);
    expect(response.headers.get("content-type")).toBe("text/event-stream");
    return new Listener(response);
  }

  /** Resolves when the condition holds; a test that waits in vain fails by its timeout. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((resolve) => this.#wake.add(resolve));
  }

  async told(count: number): Promise<ServerEvent[]> {
    await this.until(() => this.events.length >= count);
    return this.events;
  }

  lsns(): number[] {
    return this.events.filter(({ event }) => event === "commit").map(({ data }) => JSON.parse(data).lsn);
  }

  leave(): Promise<void> {
    this.#leaving = true;
    return this.#reader?.return?.(undefined) as Promise<never>;
  }

  #leaving = false;
  #reader: AsyncIterator<unknown> | undefined;

  async #read(): Promise<void> {
    try {
      const heard = serverEvents(chunksOf(this.#response.body as never));
      this.#reader = heard;
      for await (const each of heard) {
        if (each === "beat") this.beats++;
        else this.events.push(each);
        this.#notify();
        if (this.#leaving) break;
      }
    } catch (error) {
      this.failure = error;
    }
    this.ended = true;
    this.#notify();
  }

  #notify(): void {
    for (const wake of this.#wake) wake();
    this.#wake.clear();
  }
}

/** Counts what reaches it. */
class Counting extends MemoryObjectStore {
  requests = 0;

  override get(...args: Parameters<MemoryObjectStore["get"]>) {
    this.requests++;
    return super.get(...args);
  }

  override list(...args: Parameters<MemoryObjectStore["list"]>) {
    this.requests++;
    return super.list(...args);
  }
}

async function live(options: ConstructorParameters<typeof Site>[1] = {}) {
  const made = await world();
  const site = new Site(made.remote, options);
  const writer = await (await openStore(site.client())).volume("docs");
  return { ...made, site, writer };
}

describe("the stream of a volume", () => {
  it("begins with what is newer, goes on with what is pushed, and carries small commits whole", async () => {
    const { site, id, writer, remote } = await live();
    const listener = await Listener.open(site, `volume=${id}@2`);
    await listener.told(2);
    expect(listener.beats).toBeGreaterThan(0);
    await change(writer, 40);
    await change(writer, 41);
    const events = await listener.told(4);
    expect(events.map(({ id: each }) => each)).toEqual([3, 4, 5, 6].map((lsn) => `${id}@${lsn}`));
    for (const { event, data } of events) {
      const { volume, lsn, time, pages, object } = JSON.parse(data);
      expect([event, volume]).toEqual(["commit", id]);
      const bytes = Uint8Array.from(atob(object), (char) => char.charCodeAt(0));
      const commit = decodeCommit(bytes, codecs.hash, { volume: id, lsn });
      expect(commit.totalLength).toBe(bytes.length);
      expect({ time, pages }).toEqual({ time: commit.header.time, pages: commit.header.changed.size });
    }
    expect((await remote.list(`volumes/${id}/commits/`)).length).toBe(6);
  });

  it("a reader that is ahead of the store hears of what comes next", async () => {
    const { site, id, writer } = await live();
    const listener = await Listener.open(site, `volume=${id}@99`);
    await change(writer, 40);
    await listener.told(1);
    expect(listener.lsns()).toEqual([5]);
  });

  it("a large commit does not ride along", async () => {
    const { site, id, writer } = await live();
    const listener = await Listener.open(site, `volume=${id}@4`);
    await writer.write(0, randomBytes(200_000, 3));
    await writer.push();
    const [event] = await listener.told(1);
    expect(JSON.parse(event!.data)).toMatchObject({ lsn: 5, pages: 49 });
    expect(JSON.parse(event!.data).object).toBeUndefined();
  });

  it("a reader that is up to date, or names no LSN, hears of what is new only", async () => {
    const { site, id, writer } = await live();
    const listeners = [await Listener.open(site, `volume=${id}@4`), await Listener.open(site, "volume=docs")];
    // Both are known to have joined when the first commit after that reaches them.
    await change(writer, 40);
    for (const listener of listeners) {
      await listener.told(1);
      expect(listener.lsns()).toEqual([5]);
    }
  });

  it("up to 32 commits behind it hears of each, further behind of the newest", async () => {
    const { site, id, volume } = await live();
    for (let i = 0; i < 34; i++) await change(volume, 100 + i);
    const near = await Listener.open(site, `volume=${id}@6`);
    const far = await Listener.open(site, `volume=${id}@5`);
    await near.told(32);
    await far.told(1);
    expect(near.lsns()).toEqual(Array.from({ length: 32 }, (_, i) => i + 7));
    expect(far.lsns()).toEqual([38]);
  });

  it("Last-Event-ID overrides the query; one that is none of ours is ignored", async () => {
    const { site, id } = await live();
    const resumed = await Listener.open(site, `volume=${id}@0`, { "last-event-id": `x@1,${id}@3` });
    await resumed.told(1);
    expect(resumed.lsns()).toEqual([4]);
    const other = await Listener.open(site, `volume=${id}@3`, { "last-event-id": "garbage, more@x" });
    await other.told(1);
    expect(other.lsns()).toEqual([4]);
  });

  it("several volumes in one stream: the id names the place of each", async () => {
    const { site, id, engine, writer } = await live();
    const second = await engine.createVolume({ tag: "second" });
    const also = await (await openStore(site.client())).volume("second");
    const listener = await Listener.open(site, `volume=${id}@4&volume=${second.id}@0`);
    await change(writer, 40);
    await listener.told(1);
    await change(also, 1);
    const events = await listener.told(2);
    expect(events.map(({ id: each }) => each)).toEqual([`${id}@5,${second.id}@0`, `${id}@5,${second.id}@1`]);
    // Cut off and back again: nothing twice, nothing lost.
    await change(writer, 41);
    const back = await Listener.open(site, `volume=${id}@0&volume=${second.id}@0`, {
      "last-event-id": events[1]!.id,
    });
    await back.told(1);
    expect(back.lsns()).toEqual([6]);
  });

  it("forks hear of their own commits, and catch up through their parent's", async () => {
    const { site, engine } = await live();
    const fork = await engine.fork("docs", { tag: "fork", lsn: 3 });
    const writer = await (await openStore(site.client())).volume("fork");
    const listener = await Listener.open(site, `volume=${fork.id}@1`);
    await listener.told(2);
    await change(writer, 60);
    await listener.told(3);
    expect(listener.lsns()).toEqual([2, 3, 4]);
    for (const { data } of listener.events) expect(JSON.parse(data).volume).toBe(fork.id);
  });

  it.each(["", "volume=", "volume=docs@x", "volume=docs@1@2", `volume=${"v".repeat(300)}`])(
    "%s is no question: 400",
    async (query) => {
      const { site } = await live();
      expect((await site.get(`/v1/events?${query}`)).status).toBe(400);
    },
  );

  it("too many volumes are refused; of some that exist, the others are told as gone", async () => {
    const { site, id } = await live({ settings: { eventVolumes: 3 } });
    expect((await site.get(`/v1/events?${Array(4).fill(`volume=${id}@1`).join("&")}`)).status).toBe(400);
    const listener = await Listener.open(site, `volume=${id}@3&volume=none@1`);
    const events = await listener.told(2);
    expect(events.map(({ event }) => event)).toEqual(["gone", "commit"]);
    expect(JSON.parse(events[0]!.data)).toEqual({ volume: "none" });
  });
});

describe("the end of a stream", () => {
  it("a deleted volume is gone", async () => {
    const { site, id } = await live();
    const listener = await Listener.open(site, `volume=${id}@4`);
    await site.call("DELETE", `/v1/volumes/${id}?confirm=${id}`);
    await listener.until(() => listener.ended);
    expect(listener.events.at(-1)).toMatchObject({ event: "gone", data: JSON.stringify({ volume: id }) });
    expect(listener.failure).toBeUndefined();
    expect(site.app.figures()).toMatchObject({ eventStreams: 0, eventVolumes: 0 });
  });

  it("rights that expire end it, and so does a tag that is taken away", async () => {
    const { remote, id, engine } = await live();
    await engine.createVolume({ tag: "other" });
    const principal = (expiresAt?: number): Principal => ({
      name: "p",
      ...(expiresAt === undefined ? {} : { expiresAt }),
      may: (right, { tags }) => tags.includes("docs") || right === "admin",
    });
    const soon = new Site(remote, { authenticate: async () => principal(systemRuntime.now() + 30) });
    const short = await Listener.open(soon, `volume=docs@4`);
    await short.until(() => short.ended);
    expect(short.events.at(-1)?.event).toBe("gone");
    const site = new Site(remote, {
      authenticate: async (asked) => ({
        ...principal(),
        may: asked.url.includes("/tags/") ? () => true : principal().may,
      }),
      settings: { tagLifeMs: 0 },
    });
    const listener = await Listener.open(site, "volume=docs@4");
    expect((await site.call("DELETE", "/v1/tags/docs")).status).toBe(204);
    await listener.until(() => listener.ended);
    expect(listener.events.at(-1)).toMatchObject({ event: "gone", data: JSON.stringify({ volume: id }) });
  });

  it("beats come while nothing happens", async () => {
    const { site, id } = await live({ settings: { heartbeatMs: 5 } });
    const listener = await Listener.open(site, `volume=${id}@4`);
    await listener.until(() => listener.beats >= 4);
    await site.app.close();
    await listener.until(() => listener.ended);
    expect(listener.failure).toBeUndefined();
  });

  it("a reader that does not keep up is cut off, others hear everything, and it finds back", async () => {
    const { site, id, writer } = await live({
      settings: { eventQueueBytes: 20_000, heartbeatMs: 3_600_000 },
    });
    const slow = await site.app.fetch(request("GET", `/v1/events?volume=${id}@4`));
    const quick = await Listener.open(site, `volume=${id}@4`);
    for (let i = 0; i < 8; i++) {
      await change(writer, 200 + i);
      await quick.told(i + 1);
    }
    expect(quick.lsns()).toEqual([5, 6, 7, 8, 9, 10, 11, 12]);
    expect(site.app.figures()?.eventStreams).toBe(1);
    await expect(slow.text()).rejects.toThrow("keep up");
    const back = await Listener.open(site, `volume=${id}@4`);
    await back.told(8);
  });

  it("a reader that takes nothing is noticed by the beats", async () => {
    const { site, id } = await live({ settings: { heartbeatMs: 2 } });
    const stuck = await site.app.fetch(request("GET", `/v1/events?volume=${id}@4`));
    while (site.app.figures()?.eventStreams !== 0) await systemRuntime.sleep(2);
    await expect(stuck.text()).rejects.toThrow("takes nothing");
  });

  it("a reader that leaves is forgotten, with its volume", async () => {
    const { site, id } = await live();
    const response = await site.app.fetch(request("GET", `/v1/events?volume=${id}@4`));
    const reader = response.body!.getReader();
    await reader.read();
    expect(site.app.figures()).toMatchObject({ eventStreams: 1, eventVolumes: 1 });
    await reader.cancel();
    expect(site.app.figures()).toMatchObject({ eventStreams: 0, eventVolumes: 0 });
  });
});

describe("commits of others", () => {
  it("are found by the poll, where there is one: a listing per volume and interval", async () => {
    const { remote, id, volume } = await live();
    const site = new Site(remote, { settings: { pollMs: 5 } });
    const listeners = [
      await Listener.open(site, `volume=${id}@4`),
      await Listener.open(site, `volume=${id}@4`),
    ];
    await change(volume, 300);
    for (const listener of listeners) {
      await listener.told(1);
      expect(listener.lsns()).toEqual([5]);
    }
    await remote.delete([manifestKey(id), ...(await remote.list(`volumes/${id}/`)).map(({ key }) => key)]);
    await listeners[0]!.until(() => listeners[0]!.ended);
    expect(listeners[0]!.events.at(-1)?.event).toBe("gone");
    await site.app.close();
  });

  it("come with a peer's notice, which is looked up and not believed", async () => {
    const { remote, id, volume } = await live();
    const heard: Request[] = [];
    const second = new Site(remote);
    const first = new Site(remote, {
      peers: [{ url: "http://second/base/", authorization: "Bearer peer" }],
      fetch: (async (url: string, init: RequestInit) => {
        heard.push(new Request(url, init));
        return second.app.fetch(request("POST", "/v1/notice", {}, init.body as string));
      }) as never,
    });
    const listener = await Listener.open(second, `volume=${id}@4`);
    const writer = await (await openStore(first.client())).volume("docs");
    await change(writer, 70);
    await listener.told(1);
    expect(listener.lsns()).toEqual([5]);
    expect(heard[0]!.url).toBe("http://second/base/v1/notice");
    expect(heard[0]!.headers.get("authorization")).toBe("Bearer peer");
    // A lie costs a listing.
    expect((await second.call("POST", "/v1/notice", { body: { volume: id, lsn: 999 } })).status).toBe(202);
    expect((await second.call("POST", "/v1/notice", { body: { volume: "x" } })).status).toBe(400);
    await change(volume, 301).catch(() => {});
    expect(listener.lsns()).toEqual([5]);
  });

  it("a peer that cannot be reached delays nobody", async () => {
    const { remote } = await live();
    const site = new Site(remote, {
      peers: [{ url: "http://away" }],
      fetch: (async () => {
        throw new Error("refused");
      }) as never,
    });
    const writer = await (await openStore(site.client())).volume("docs");
    expect(await change(writer, 71)).toBe(5);
    await site.app.close();
  });

  it("a volume at rest costs no request of the store, however many listen", async () => {
    const { remote, id } = await live();
    const counting = new Counting();
    for (const { key } of await remote.list("")) await counting.put(key, (await remote.get(key))!);
    const site = new Site(counting, { settings: { heartbeatMs: 1 } });
    const listeners = await Promise.all(
      Array.from({ length: 20 }, () => Listener.open(site, `volume=${id}@4`)),
    );
    for (const listener of listeners) await listener.until(() => listener.beats >= 2);
    const before = counting.requests;
    for (const listener of listeners) await listener.until(() => listener.beats >= 12);
    expect(counting.requests).toBe(before);
    expect(site.app.figures()).toMatchObject({ eventStreams: 20, eventVolumes: 1 });
    await site.app.close();
  });

  it("a client that watches is told of what is pushed", async () => {
    const { site, writer, id } = await live();
    const client = site.client();
    const news: number[] = [];
    let wake = (): void => {};
    const onNews = ({ lsn }: { lsn: number }): void => {
      news.push(lsn);
      wake();
    };
    const stop = client.watch!(id, 4, { onNews, onEnd: () => {} });
    await change(writer, 80);
    while (news.length < 1)
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    expect(news).toEqual([5]);
    stop();
    await client.close();
  });
});
