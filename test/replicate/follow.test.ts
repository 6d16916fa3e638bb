/** Following a volume: every move is seen, in order, whether the store tells of commits or has to be asked; local commits are never lost by it. */
import { describe, expect, it } from "vitest";
import type { Lsn } from "../../src/base/brand.ts";
import { PagefoldError } from "../../src/base/errors.ts";
import { commitKey } from "../../src/format/keys.ts";
import { MemoryObjectStore } from "../../src/remote/memory-store.ts";
import type { ObjectStore, WatchListener } from "../../src/remote/object-store.ts";
import type { Volume } from "../../src/store/volume.ts";
import { openStore, WatchedStore } from "../store/support.ts";

/** A store that tells of commits when a test says so. */
class TellingStore {
  readonly watched: WatchedStore;
  readonly store: ObjectStore;
  readonly listeners = new Set<WatchListener>();
  readonly #inner: MemoryObjectStore;

  constructor(inner: MemoryObjectStore) {
    this.#inner = inner;
    this.watched = new WatchedStore(inner);
    this.store = {
      ...this.watched.store,
      watch: (_volume, _after, listener) => {
        this.listeners.add(listener);
        listener.onState?.("live");
        return () => this.listeners.delete(listener);
      },
    };
  }

  /** Until the look at the log with which following begins has ended. */
  async looked(): Promise<void> {
    const { requests } = this.watched;
    for (let seen = requests.length, still = 0; still < 10 || this.listeners.size === 0; ) {
      await new Promise((resolve) => setTimeout(resolve, 5));
      still = requests.length === seen ? still + 1 : 0;
      seen = requests.length;
    }
  }

  async tell(volume: Volume, lsn: number, withObject: boolean): Promise<void> {
    const object = withObject ? await this.#inner.get(commitKey(volume.id, lsn as Lsn)) : undefined;
    const news = { volume: volume.id, lsn, ...(object === undefined ? {} : { object }) };
    for (const listener of this.listeners) listener.onNews(news);
  }
}

async function setting(): Promise<{ telling: TellingStore; writer: Volume; reader: Volume }> {
  const inner = new MemoryObjectStore();
  const writer = await (await openStore(inner)).createVolume({ tag: "data" });
  await commit(writer, 1);
  const telling = new TellingStore(inner);
  const store = await openStore(telling.store, { runtime: telling.watched.runtime });
  return { telling, writer, reader: await store.volume("data") };
}

async function commit(volume: Volume, byte: number): Promise<void> {
  await volume.write(0, new Uint8Array(100).fill(byte));
  await volume.push();
}

const bytesOf = async (volume: Volume): Promise<number | undefined> => (await volume.read(0, 1))[0];

describe("following a volume", () => {
  it("a commit that came along with the news is there without any request", async () => {
    const { telling, writer, reader } = await setting();
    await bytesOf(reader);
    const controller = new AbortController();
    const moves = reader.follow({ signal: controller.signal });
    const first = moves.next();
    await telling.looked();
    await commit(writer, 2);
    const { requests, value } = await telling.watched.cost(async () => {
      await telling.tell(writer, 2, true);
      const { value: moved } = await first;
      return { moved, byte: await bytesOf(reader) };
    });
    expect(value).toEqual({ moved: expect.objectContaining({ from: 1, to: 2 }), byte: 2 });
    expect(requests).toEqual([]);
    controller.abort();
    expect(await moves.next()).toEqual({ done: true, value: undefined });
    expect(telling.listeners.size).toBe(0);
  });

  it("news without the commit, of many at once, and told twice: one move to the newest", async () => {
    const { telling, writer, reader } = await setting();
    const moves = reader.follow();
    const first = moves.next();
    await telling.looked();
    for (let byte = 2; byte <= 9; byte++) await commit(writer, byte);
    for (const lsn of [3, 9, 9, 5]) await telling.tell(writer, lsn, false);
    let at = (await first).value?.to ?? 0;
    while (at < 9) at = (await moves.next()).value?.to ?? 99;
    expect(at).toBe(9);
    expect(await bytesOf(reader)).toBe(9);
    await moves.return();
    expect(telling.listeners.size).toBe(0);
  });

  it("a store that cannot tell is asked, and moves in between are seen", async () => {
    const inner = new MemoryObjectStore();
    const writer = await (await openStore(inner)).createVolume({ tag: "data" });
    await commit(writer, 1);
    const reader = await (await openStore(inner)).volume("data");
    const seen: number[] = [];
    await commit(writer, 2);
    for await (const { to } of reader.follow({ pollMs: 20 })) {
      seen.push(to);
      if (to === 4) break;
      await commit(writer, to + 1);
    }
    expect(seen).toEqual([2, 3, 4]);
  });

  it("local commits stay (invariant 3): the status says diverged, and after a reset it goes on", async () => {
    const { telling, writer, reader } = await setting();
    const moves = reader.follow({ pollMs: 20 });
    const first = moves.next();
    await telling.looked();
    await reader.write(0, new Uint8Array(100).fill(77));
    await commit(writer, 2);
    await telling.tell(writer, 2, true);
    while (reader.status().state !== "diverged") await new Promise((resolve) => setTimeout(resolve, 5));
    expect(await bytesOf(reader)).toBe(77);
    await reader.reset();
    expect((await first).value).toMatchObject({ from: 1, to: 2 });
    expect(await bytesOf(reader)).toBe(2);
    await moves.return();
  });

  it("a volume that is gone ends it with the reason", async () => {
    const { telling, reader } = await setting();
    const next = reader.follow().next();
    await telling.looked();
    for (const listener of telling.listeners) listener.onEnd(new PagefoldError("not_found", "gone"));
    await expect(next).rejects.toMatchObject({ code: "not_found" });
  });

  it("a signal that has fired already ends it at once", async () => {
    const { reader, telling } = await setting();
    expect(await reader.follow({ signal: AbortSignal.abort() }).next()).toEqual({
      done: true,
      value: undefined,
    });
    expect(telling.listeners.size).toBe(0);
  });
});
