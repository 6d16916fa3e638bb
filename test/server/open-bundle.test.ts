/** A bundle holds all that opening needs: a client with it asks for nothing else. */
import { describe, expect, it } from "vitest";
import type { Lsn } from "../../src/base/brand.ts";
import { rollupKey, rollupsPrefix } from "../../src/format/keys.ts";
import type { BundleEntry } from "../../src/remote/http/bundle-codec.ts";
import { HttpObjectStore } from "../../src/remote/http/http-object-store.ts";
import { MemoryObjectStore } from "../../src/remote/memory-store.ts";
import type { PageStore } from "../../src/store/page-store.ts";
import { LogBuilder } from "../replicate/log-builder.ts";
import { expectSame } from "../store/support.ts";
import { change, entriesOf, keyOfCommit, openStore, randomBytes, Site, sourceOf, world } from "./support.ts";

/** A client whose requests are written down. */
function watched(site: Site): { readonly store: HttpObjectStore; readonly paths: string[] } {
  const paths: string[] = [];
  const store = new HttpObjectStore("http://site", {
    kind: "server",
    fetch: (async (url: string, init: RequestInit) => {
      const { pathname, search } = new URL(url);
      paths.push(`${init.method} ${pathname}${search}`);
      return site.app.fetch(new Request(url, { ...init, cache: "default" }));
    }) as never,
  });
  return { store, paths };
}

async function readFirstPage(engine: PageStore, name: string): Promise<Uint8Array> {
  return (await engine.volume(name)).read(0, 4096);
}

const bytesOf = (entries: readonly BundleEntry[]) =>
  entries.reduce((sum, entry) => sum + (entry.kind === "bytes" ? entry.bytes.length : 0), 0);

describe("opening", () => {
  it.each([0, 1, 7, 40])(
    "one request, by tag or id, with %d commits on top, and the first page is there",
    async (commits) => {
      const { remote, id } = await world({ bytes: 3_000_000, commits });
      const site = new Site(remote);
      const expected = await readFirstPage(await openStore(remote), "docs");
      for (const name of ["docs", id]) {
        const { store, paths } = watched(site);
        expect(await readFirstPage(await openStore(store), name)).toEqual(expected);
        expect(paths).toEqual([`GET /v1/open/${name}?from=0`]);
      }
    },
  );

  it("an empty volume, and a fork", async () => {
    const { remote, engine } = await world();
    await engine.createVolume({ tag: "empty" });
    const fork = await engine.fork("docs", { tag: "fork", lsn: 2 });
    await change(fork, 30);
    const site = new Site(remote);
    for (const name of ["empty", "fork"]) {
      const { store, paths } = watched(site);
      const opened = await (await openStore(store)).volume(name);
      expect(await opened.read(0, 4096)).toEqual(await readFirstPage(await openStore(remote), name));
      expect(paths).toEqual([`GET /v1/open/${name}?from=0`]);
    }
  });

  it("says which volume it is and where it stands, and is made once for each newest commit", async () => {
    const { remote, id, volume } = await world();
    let gets = 0;
    const counting = Object.assign(Object.create(remote) as MemoryObjectStore, {
      get: (...args: Parameters<MemoryObjectStore["get"]>) => {
        gets++;
        return remote.get(...args);
      },
      list: remote.list.bind(remote),
    });
    const site = new Site(counting);
    const open = async () => entriesOf((await site.get("/v1/open/docs")).bytes);
    const entries = await open();
    expect(entries[0]).toEqual({ kind: "note", name: "open", value: { volume: id, lsn: 4 } });
    const once = gets;
    const all = await Promise.all([open(), open(), open()]);
    for (const again of all) expect(again).toEqual(entries);
    // Only what the tag names is asked for again.
    expect(gets).toBe(once + 3 * 2);
    await change(volume, 99);
    expect((await open())[0]).toMatchObject({ value: { lsn: 5 } });
  });

  it("concurrent openings are one", async () => {
    const { remote } = await world({ bytes: 2_000_000 });
    const keys: string[] = [];
    const counting = Object.assign(Object.create(remote) as MemoryObjectStore, {
      get: async (...args: Parameters<MemoryObjectStore["get"]>) => {
        keys.push(args[0]);
        await new Promise((resolve) => setTimeout(resolve, 1));
        return remote.get(...args);
      },
      list: remote.list.bind(remote),
    });
    const site = new Site(counting);
    const answers = await Promise.all(Array.from({ length: 10 }, () => site.get("/v1/open/docs")));
    expect(answers.map(({ status }) => status)).toEqual(Array(10).fill(200));
    const commits = keys.filter((key) => key.includes("/commits/"));
    expect(new Set(commits).size).toBe(commits.length);
  });

  it("brings small read indexes along, and stays within its bounds", async () => {
    const { remote } = await world({ bytes: 6_000_000, commits: 2 });
    const entries = await entriesOf((await new Site(remote).get("/v1/open/docs")).bytes);
    const segments = entries.filter((entry) => entry.kind === "bytes" && entry.key.includes("/segments/"));
    expect(segments.length).toBeGreaterThan(0);
    const small = new Site(remote, { settings: { openBytes: 3000 } });
    const few = await entriesOf((await small.get("/v1/open/docs")).bytes);
    expect(bytesOf(few)).toBeLessThanOrEqual(3000);
    const reader = await (await openStore(small.client())).volume("docs");
    await reader.hydrate();
  });

  it("reads the schema of a database as SQLite does: every page of its table", async () => {
    const { engine, remote } = await world({ bytes: 0, commits: 0 });
    const page = (type: number, children: readonly number[], at = 0) => {
      const bytes = new Uint8Array(4096);
      const view = new DataView(bytes.buffer);
      view.setUint8(at, type);
      if (type !== 5) return bytes.fill(1, at + 1, at + 50);
      view.setUint16(at + 3, children.length - 1);
      view.setUint32(at + 8, children.at(-1)!);
      children.slice(0, -1).forEach((child, i) => {
        view.setUint16(at + 12 + 2 * i, 4000 - 8 * i);
        view.setUint32(4000 - 8 * i, child);
      });
      return bytes;
    };
    const first = page(5, [900, 300, 1, 4_000_000_000], 100);
    first.set(new TextEncoder().encode("SQLite format 3\0"));
    new DataView(first.buffer).setUint16(16, 4096);
    const volume = await engine.createVolume({ tag: "database" });
    const bytes = randomBytes(1000 * 4096, 4);
    bytes.set(first);
    bytes.set(page(5, [500, 900]), 899 * 4096);
    bytes.set(page(13, []), 299 * 4096);
    await volume.import(sourceOf(bytes));
    const { store, paths } = watched(new Site(remote));
    const reader = await (await openStore(store)).volume("database");
    for (const each of [1, 900, 300, 500]) await reader.read((each - 1) * 4096, 4096);
    expect(paths).toEqual(["GET /v1/open/database?from=0"]);
    await reader.read(700 * 4096, 4096);
    expect(paths.length).toBe(2);
  });
});

describe("moving on", () => {
  it.each([1, 2, 5, 31])("from %d commits ago: the bundle is all that a pull needs", async (behind) => {
    const { remote, volume } = await world({ commits: 3 });
    const site = new Site(remote);
    const { store, paths } = watched(site);
    const reader = await (await openStore(store)).volume("docs");
    for (let i = 0; i < behind; i++) await change(volume, 400 + i);
    paths.length = 0;
    expect(await reader.pull()).toMatchObject({ from: 4, to: 4 + behind });
    expect(paths).toEqual([`GET /v1/open/${volume.id}?from=4`]);
  });

  it("from the newest, and from beyond it: the listing alone", async () => {
    const { remote } = await world();
    const site = new Site(remote);
    for (const from of [4, 99]) {
      const entries = await entriesOf((await site.get(`/v1/open/docs?from=${from}`)).bytes);
      const listings = entries.filter(
        (entry) => entry.kind === "listing" && entry.prefix.includes("/commits/"),
      );
      expect(listings.length).toBe(1);
      expect(entries.some((entry) => entry.kind === "bytes" && entry.key.includes("/commits/"))).toBe(false);
    }
    expect((await site.get("/v1/open/docs?from=x")).status).toBe(400);
  });

  it("large commits come without their frames", async () => {
    const { remote, volume } = await world();
    await volume.write(0, randomBytes(900_000, 8));
    await volume.push();
    const entries = await entriesOf((await new Site(remote).get("/v1/open/docs?from=4")).bytes);
    const commit = entries.find((entry) => entry.kind === "bytes" && entry.key === keyOfCommit(volume.id, 5));
    if (commit?.kind !== "bytes") throw new Error("no commit");
    expect(commit.total).toBeGreaterThan(800_000);
    expect(commit.bytes.length).toBeLessThan(2000);
  });
});

describe("bands stored apart", () => {
  it("are checked when they come, and come along where they are needed", async () => {
    const remote = new MemoryObjectStore();
    const site = new Site(remote);
    // Every commit of a long log through the server: it builds each band itself and finds the same.
    const builder = await LogBuilder.create({ store: site.client(), rideAlongBytes: 150 });
    await builder.grow(40, 60);
    expect((await remote.list(rollupsPrefix(builder.volume))).length).toBeGreaterThan(3);
    const { store, paths } = watched(site);
    const reader = await (await openStore(store)).volume(builder.volume);
    expectSame(await reader.read(0, 1e9), builder.content(), "the content");
    expect(paths.some((path) => path.includes("/rollups/"))).toBe(false);
    // Behind by a stretch that is jumped over by bands apart.
    const { store: second, paths: asked } = watched(site);
    const other = await (await openStore(second)).volume(builder.volume);
    await builder.grow(24, 60);
    asked.length = 0;
    expect(await other.pull()).toMatchObject({ from: 40, to: 64 });
    expect(asked).toEqual([`GET /v1/open/${builder.volume}?from=40`]);
    expectSame(await other.read(0, 1e9), builder.content(), "the content");
  });

  it("are refused where they are none, and put right by the commit where a rival left others", async () => {
    const remote = new MemoryObjectStore();
    const site = new Site(remote);
    const builder = await LogBuilder.create({ store: remote, rideAlongBytes: 20 });
    await builder.grow(15, 60);
    const before = remote.clone();
    await builder.grow(1, 60);
    const key = rollupKey(builder.volume, 16 as Lsn);
    const [apart, object] = [(await remote.get(key))!, (await remote.get(keyOfCommit(builder.volume, 16)))!];
    const target = new Site(before);
    for (const bad of [
      new Uint8Array(0),
      apart.subarray(1),
      apart.subarray(0, apart.length - 1),
      new Uint8Array([...apart, ...apart]),
    ]) {
      expect((await target.put(key, bad)).status).toBe(422);
    }
    const clone = before.clone();
    await clone.put(key, apart);
    const rival = await LogBuilder.create({ store: new MemoryObjectStore(), rideAlongBytes: 20, seed: 2 });
    await rival.grow(16, 60);
    const theirs = (await rival.store.get(rollupKey(rival.volume, 16 as Lsn)))!;
    expect((await target.put(key, theirs)).status).toBe(201);
    expect((await target.put(keyOfCommit(builder.volume, 16), object)).status).toBe(201);
    expectSame((await before.get(key))!, apart, "the rollup");
    expect(site).toBeDefined();
  });
});
