import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { stateChecksumToText } from "../../src/format/checksum.ts";
import { decodeCommit } from "../../src/format/commit-codec.ts";
import { parseSegmentKey } from "../../src/format/keys.ts";
import { MemoryObjectStore } from "../../src/remote/memory-store.ts";
import type { ListEntry } from "../../src/remote/object-store.ts";
import { testSeed } from "../local/xxh64.ts";
import {
  change,
  codecs,
  contentOf,
  entriesOf,
  flipped,
  keyOfCommit,
  openStore,
  randomBytes,
  Site,
  world,
} from "./support.ts";

const served = async (options: Parameters<typeof world>[0] = {}) => {
  const made = await world(options);
  return { ...made, site: new Site(made.remote) };
};

describe("what there is", () => {
  it("the service, its tags, its volumes, one volume by tag and by id", async () => {
    const { site, id, engine, volume } = await served();
    const other = await engine.createVolume({ pageSize: 512 });
    expect((await site.get("/v1")).json).toMatchObject({ service: "pagefold", protocol: 1, limits: {} });
    expect((await site.get("/v1/tags")).json).toEqual({ tags: [{ tag: "docs", volume: id }] });
    const { json } = await site.get("/v1/volumes");
    expect(new Set(json.volumes.map((each: { volume: string }) => each.volume))).toEqual(
      new Set([id, other.id]),
    );
    const { lsn, pageCount, pageSize, byteLength } = volume.status();
    const facts = { lsn, pageCount, pageSize, byteLength };
    for (const name of ["docs", id, id.toUpperCase()]) {
      expect((await site.get(`/v1/volumes/${name}`)).json).toEqual({
        volume: id,
        tags: ["docs"],
        ...facts,
        time: expect.any(Number),
        stateChecksum: stateChecksumToText(volume.stateChecksum),
      });
    }
    expect((await site.get(`/v1/volumes/${other.id}`)).json).toMatchObject({
      lsn: 0,
      pageCount: 0,
      pageSize: 512,
      byteLength: 0,
      tags: [],
    });
  });

  it("volumes of many objects are passed over in a listing each", async () => {
    const remote = new MemoryObjectStore();
    const { id } = await served();
    const ids: string[] = [];
    for (let v = 0; v < 3; v++) {
      const volume = `${id.slice(0, -1)}${v}`;
      ids.push(volume);
      for (let i = 0; i < 1500; i++)
        await remote.put(`volumes/${volume}/segments/${String(i).padStart(16, "0")}-x`, new Uint8Array(1));
      await remote.put(`volumes/${volume}/manifest`, new Uint8Array(1));
    }
    const site = new Site(remote);
    const { json } = await site.get("/v1/volumes");
    expect(json.volumes.map((each: { volume: string }) => each.volume)).toEqual(ids);
  });

  it.each([
    ["GET", "/v1/volumes/none"],
    ["GET", "/v1/volumes/%2e%2e%2f%2e%2e"],
    ["GET", "/v1/volumes/01kdvdna00nkg6zgn5bgndez9s"],
    ["GET", "/v1/open/none"],
    ["GET", "/v1/open/%00"],
    ["GET", "/v1/volumes/none/commits"],
    ["GET", "/v1/volumes/none/diff"],
    ["POST", "/v1/volumes/none/pages"],
    ["POST", "/v1/volumes/none/commits"],
    ["POST", "/v1/volumes/none/forks"],
    ["DELETE", "/v1/volumes/none?confirm=none"],
    ["GET", "/v1/events?volume=none@1"],
    ["DELETE", "/v1/tags/none"],
    ["GET", "/v1/elsewhere"],
    ["GET", "/v1x"],
    ["POST", "/v1/notice/x"],
  ])("%s %s: 404, as a problem", async (method, path) => {
    const { site } = await served();
    const { status, json, headers } = await site.call(method, path);
    expect([status, json.code]).toEqual([404, "not_found"]);
    expect(headers.get("content-type")).toBe("application/problem+json");
  });

  it.each(["/v2/volumes", "/v2", "/v10/open/docs"])("a newer protocol, %s, is told as that", async (path) => {
    const { site } = await served();
    expect((await site.get(path)).json).toMatchObject({ status: 404, code: "unsupported_version" });
  });

  it("below a base path, and nowhere else", async () => {
    const { remote, id } = await served();
    const site = new Site(remote, { settings: { basePath: "/data" } });
    expect((await site.get("/data/v1")).status).toBe(200);
    expect((await site.get("/data/v1/volumes/docs?x=1")).json.volume).toBe(id);
    expect((await site.get(`/data/volumes/${id}/manifest`)).status).toBe(200);
    expect(
      (await site.call("POST", "/data/v1/volumes/docs/pages", { body: { pages: [[1, 1]] } })).status,
    ).toBe(200);
    for (const path of ["/v1", `/volumes/${id}/manifest`, "/database/v1"])
      expect((await site.get(path)).status).toBe(404);
  });
});

describe("listings", () => {
  it("pages of any size, from anywhere, give what the store has", async () => {
    const { site, remote } = await served();
    const all = await remote.list("");
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 9 }),
        fc.constantFrom("", "v", "volumes/", "tags/", "tags/docs/"),
        async (limit, prefix) => {
          const found: ListEntry[] = [];
          for (let after = ""; ; ) {
            const { json } = await site.get(
              `/v1/list?prefix=${prefix}&limit=${limit}&after=${encodeURIComponent(after)}`,
            );
            expect(json.length).toBeLessThanOrEqual(limit);
            found.push(...json);
            if (json.length < limit) break;
            after = json.at(-1).key;
          }
          expect(found).toEqual(all.filter(({ key }) => key.startsWith(prefix)));
        },
      ),
      { seed: testSeed, numRuns: 25 },
    );
  });

  it("what is no key of the format is not shown; what is no listing is refused", async () => {
    const { site, remote } = await served();
    await remote.put("other/secret", new Uint8Array(1));
    expect((await site.get("/v1/list?prefix=other")).json).toEqual([]);
    for (const query of ["limit=-1", "limit=x", "limit=1e9", "prefix=../x", "prefix=a%00"]) {
      expect((await site.get(`/v1/list?${query}`)).status, query).toBe(400);
    }
    expect((await site.get("/v1/list?limit=5000")).status).toBe(200);
  });
});

describe("the log", () => {
  it("commits in a range, oldest first, whole or without their frames", async () => {
    const { site, id, remote } = await served({ commits: 9 });
    const whole = await entriesOf((await site.get("/v1/volumes/docs/commits?from=2&to=7")).bytes);
    expect(whole.map((entry) => entry.kind === "bytes" && entry.key)).toEqual(
      [3, 4, 5, 6, 7].map((n) => keyOfCommit(id, n)),
    );
    for (const entry of whole)
      if (entry.kind === "bytes") expect(entry.bytes).toEqual(await remote.get(entry.key));
    const headers = await entriesOf((await site.get("/v1/volumes/docs/commits?from=7&headers=1")).bytes);
    expect(headers.length).toBe(3);
    for (const entry of headers) {
      if (entry.kind !== "bytes") throw new Error("no bytes");
      const commit = decodeCommit(entry.bytes, codecs.hash);
      expect(entry.bytes.length).toBe(commit.frames.offset);
      expect(entry.total).toBe(commit.totalLength);
    }
    expect(await entriesOf((await site.get("/v1/volumes/docs/commits?from=9&to=3")).bytes)).toEqual([]);
    expect((await site.get("/v1/volumes/docs/commits?to=11")).status).toBe(404);
    expect((await site.get("/v1/volumes/docs/commits?from=-1")).status).toBe(400);
  });

  it("at most a thousand at a time", async () => {
    const { site, id, remote } = await served({ commits: 0 });
    const bytes = (await remote.get(keyOfCommit(id, 1)))!;
    for (let n = 2; n <= 1500; n++) await remote.put(keyOfCommit(id, n), bytes);
    const entries = await entriesOf((await site.get("/v1/volumes/docs/commits?from=100")).bytes);
    expect(entries.length).toBe(1000);
    expect(entries[0]).toMatchObject({ key: keyOfCommit(id, 101) });
  });

  it("differences are what the pages say, whatever was written, cut off and grown between", async () => {
    const step = fc.oneof(
      fc.record({ kind: fc.constant("write" as const), page: fc.nat(11), seed: fc.nat(1000) }),
      fc.record({ kind: fc.constant("size" as const), page: fc.nat(12), seed: fc.nat(1000) }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 2, maxLength: 9 }), async (steps) => {
        const { site, volume } = await served({ commits: 0 });
        for (const { kind, page, seed } of steps) {
          if (kind === "write") await volume.write(page * 4096, randomBytes(60, seed));
          else await volume.truncate(page * 4096);
          await volume.push();
        }
        const head = volume.status().lsn;
        const bytesAt = async (lsn: number) => {
          const snapshot = await volume.at(lsn);
          return { snapshot, bytes: await snapshot.read(0, snapshot.byteLength) };
        };
        const from = steps[0]!.seed % (head + 1);
        const [before, after] = [await bytesAt(from), await bytesAt(head)];
        const { json } = await site.get(`/v1/volumes/docs/diff?from=${from}&to=${head}`);
        expect(json.pageCount).toBe(after.snapshot.pageCount);
        const told = new Set<number>();
        for (const [first, last] of json.pages) for (let page = first; page <= last; page++) told.add(page);
        for (let page = 1; page <= after.snapshot.pageCount; page++) {
          const part = (bytes: Uint8Array) => {
            const padded = new Uint8Array(4096);
            padded.set(bytes.slice((page - 1) * 4096, page * 4096));
            return codecs.hash.blake3(padded);
          };
          // May tell of a page that was written with the bytes it had; must not leave one out.
          if (part(before.bytes) !== part(after.bytes)) expect(told.has(page), `page ${page}`).toBe(true);
        }
        expect([...told].every((page) => page <= after.snapshot.pageCount)).toBe(true);
      }),
      { numRuns: 12 },
    );
  });

  it("differences beyond the log and backwards are refused", async () => {
    const { site } = await served();
    expect((await site.get("/v1/volumes/docs/diff?from=3&to=2")).status).toBe(400);
    expect((await site.get("/v1/volumes/docs/diff?from=1&to=99")).status).toBe(404);
    expect((await site.get("/v1/volumes/docs/diff?from=x")).status).toBe(400);
    expect((await site.get("/v1/volumes/docs/diff?from=0&to=0")).json).toEqual({
      from: 0,
      to: 0,
      pageCount: 0,
      pages: [],
    });
  });
});

describe("pages", () => {
  /** A store that has only what a bundle brought, besides manifest and listings. */
  async function storeOf(bytes: Uint8Array, from: MemoryObjectStore) {
    const brought = new Map<string, { offset: number; bytes: Uint8Array }[]>();
    for (const entry of await entriesOf(bytes)) {
      if (entry.kind !== "bytes") throw new Error(`an entry of kind ${entry.kind}`);
      const stored = (await from.get(entry.key))!;
      expect(entry.total).toBe(stored.length);
      expect(codecs.hash.blake3(entry.bytes)).toBe(
        codecs.hash.blake3(stored.slice(entry.offset, entry.offset + entry.bytes.length)),
      );
      brought.set(entry.key, [...(brought.get(entry.key) ?? []), entry]);
    }
    return brought;
  }

  it("the ranges that hold some pages, each once, and no others", async () => {
    const { site, remote, volume } = await served({ bytes: 3_000_000, commits: 6 });
    const ask = async (pages: unknown, lsn?: number) =>
      site.call("POST", "/v1/volumes/docs/pages", { body: { pages, ...(lsn === undefined ? {} : { lsn }) } });
    const all = await ask([[1, 4_000_000_000]]);
    const brought = await storeOf(all.bytes, remote);
    const ranges = [...brought].flatMap(([key, parts]) => parts.map(({ offset }) => `${key}@${offset}`));
    expect(new Set(ranges).size).toBe(ranges.length);
    expect([...brought.keys()].filter((key) => key.includes("/commits/")).length).toBe(volume.status().lsn);
    const one = await ask([[700, 700]]);
    const segment = [...(await storeOf(one.bytes, remote))].find(
      ([key]) => parseSegmentKey(key) !== undefined,
    )!;
    // The read index and one frame.
    expect(segment[1].length).toBe(2);
    expect(one.bytes.length).toBeLessThan(80_000);
    const old = await storeOf((await ask([[1, 8]], 1)).bytes, remote);
    expect(
      [...old.keys()].every((key) => key.includes("/segments/") || key.endsWith("fffffffffffffffe")),
    ).toBe(true);
  });

  it("ten thousand page sets of one page: each frame is sent once all the same", async () => {
    const { site } = await served({ bytes: 3_000_000, commits: 2 });
    const pages = Array.from({ length: 10_000 }, (_, i) => [(i % 700) + 1, (i % 700) + 1]);
    const many = await site.call("POST", "/v1/volumes/docs/pages", { body: { pages } });
    const range = await site.call("POST", "/v1/volumes/docs/pages", { body: { pages: [[1, 700]] } });
    expect(many.status).toBe(200);
    expect(codecs.hash.blake3(many.bytes)).toBe(codecs.hash.blake3(range.bytes));
  });

  it.each([
    ["no list", 5],
    ["a page 0", [[0, 1]]],
    ["backwards", [[5, 2]]],
    ["three numbers", [[1, 2, 3]]],
    ["fractions", [[1.5, 2]]],
    ["beyond any volume", [[1, 4_294_967_295]]],
    ["words", [["a", "b"]]],
    ["too many", Array.from({ length: 101 }, () => [1, 1])],
  ])("%s: 400", async (_, pages) => {
    const { remote } = await served();
    const site = new Site(remote, { settings: { pageRanges: 100 } });
    expect(
      (await site.call("POST", "/v1/volumes/docs/pages", { body: { pages: pages as object } })).status,
    ).toBe(400);
  });

  it("beyond the log 404, no JSON 400, too much of it 413", async () => {
    const { remote } = await served();
    const site = new Site(remote, { settings: { jsonBytes: 1000 } });
    const post = async (body: BodyInit) =>
      (await site.call("POST", "/v1/volumes/docs/pages", { body })).status;
    expect(await post('{"lsn":99,"pages":[[1,1]]}')).toBe(404);
    expect(await post('{"pages":')).toBe(400);
    expect(await post("[1]")).toBe(400);
    expect(await post(`{"pages":${" ".repeat(2000)}[]}`)).toBe(413);
  });

  it("damage in the store is told within the bundle, and what came before holds", async () => {
    const { remote } = await served({ bytes: 3_000_000, commits: 0 });
    const key = [...(await contentOf(remote)).keys()].find((each) => each.includes("/segments/"))!;
    await remote.put(key, flipped((await remote.get(key))!, 2_000_000));
    const site = new Site(remote);
    const { status, bytes } = await site.call("POST", "/v1/volumes/docs/pages", {
      body: { pages: [[1, 800]] },
    });
    expect(status).toBe(200);
    const entries = await entriesOf(bytes);
    expect(entries.at(-1)).toMatchObject({ kind: "failure", problem: { code: "corrupt" } });
    expect(entries.length).toBeGreaterThan(2);
  });

  it("the pages of a difference", async () => {
    const { site, remote, volume } = await served({ bytes: 3_000_000, commits: 2 });
    await change(volume, 5);
    const { bytes } = await site.get("/v1/volumes/docs/diff?from=3&bodies=1");
    const brought = await storeOf(bytes, remote);
    expect([...brought.keys()]).toEqual([keyOfCommit(volume.id, 4)]);
  });

  it("a slow reader makes nothing pile up: the next part is made when the last was taken", async () => {
    const { remote } = await served({ bytes: 3_000_000, commits: 0 });
    let gets = 0;
    const counting = Object.assign(Object.create(remote) as MemoryObjectStore, {
      get: (...args: Parameters<MemoryObjectStore["get"]>) => {
        gets++;
        return remote.get(...args);
      },
      list: remote.list.bind(remote),
    });
    const site = new Site(counting, { settings: { cacheMemoryBytes: 0 } });
    const response = await site.app.fetch(
      new Request("http://site/v1/volumes/docs/pages", {
        method: "POST",
        body: JSON.stringify({ pages: [[1, 800]] }),
      }),
    );
    const reader = response.body!.getReader();
    await reader.read();
    const after = gets;
    for (let i = 0; i < 20; i++) await new Promise((resolve) => setTimeout(resolve, 1));
    expect(gets).toBe(after);
    await reader.cancel();
  });
});

describe("making and naming", () => {
  it("creates a volume with a tag, once", async () => {
    const { site, remote } = await served();
    const { status, json } = await site.call("POST", "/v1/volumes", { body: { tag: "new", pageSize: 1024 } });
    expect(status).toBe(201);
    const opened = await (await openStore(remote)).volume("new");
    expect([opened.id, opened.pageSize]).toEqual([json.volume, 1024]);
    expect((await site.call("POST", "/v1/volumes", { body: { tag: "new" } })).status).toBe(409);
    expect((await site.call("POST", "/v1/volumes", { body: { tag: "a/b" } })).status).toBe(400);
    expect((await site.call("POST", "/v1/volumes", { body: { pageSize: 1000 } })).status).toBe(400);
    expect((await site.call("POST", "/v1/volumes", { body: { pageSize: "x" } })).status).toBe(400);
    expect((await site.call("POST", "/v1/volumes")).status).toBe(201);
  });

  it("forks share what is there, and go on by themselves", async () => {
    const { site, remote, volume } = await served();
    const { status, json } = await site.call("POST", "/v1/volumes/docs/forks", {
      body: { lsn: 2, tag: "fork" },
    });
    expect([status, json.lsn]).toEqual([201, 2]);
    const fork = await (await openStore(site.client())).volume("fork");
    await fork.hydrate();
    await change(fork, 9);
    expect((await site.get("/v1/volumes/fork")).json.lsn).toBe(3);
    expect((await site.get("/v1/volumes/docs")).json.lsn).toBe(volume.status().lsn);
    const { bytes } = await site.call("POST", "/v1/volumes/fork/pages", { body: { pages: [[1, 10]] } });
    expect(
      (await entriesOf(bytes)).some((entry) => entry.kind === "bytes" && entry.key.includes(volume.id)),
    ).toBe(true);
    expect((await site.call("POST", "/v1/volumes/docs/forks", { body: { tag: "fork" } })).status).toBe(409);
    expect((await site.call("POST", "/v1/volumes/docs/forks", { body: { lsn: 99 } })).status).toBe(404);
    expect((await (await openStore(remote)).volume("fork")).id).toBe(json.volume);
  });

  it("tags are given, moved with `from` only, and removed", async () => {
    const { site, id, engine } = await served();
    const other = await engine.createVolume();
    const put = async (tag: string, body: object) =>
      (await site.call("PUT", `/v1/tags/${tag}`, { body })).status;
    expect(await put("more", { volume: id })).toBe(200);
    expect(await put("more", { volume: id })).toBe(200);
    expect(await put("more", { volume: other.id })).toBe(409);
    expect(await put("more", { volume: other.id, from: other.id })).toBe(409);
    expect(await put("more", { volume: other.id, from: id })).toBe(200);
    expect(await put("more", { volume: "x" })).toBe(400);
    expect(await put("more", { volume: "01kdvdna00nkg6zgn5bgndez9s" })).toBe(404);
    expect(await put("a%2fb", { volume: id })).toBe(400);
    expect((await site.get("/v1/volumes/more")).json.volume).toBe(other.id);
    expect((await site.call("DELETE", "/v1/tags/more")).status).toBe(204);
    expect((await site.call("DELETE", "/v1/tags/more")).status).toBe(404);
    expect((await site.get("/v1/volumes/more")).status).toBe(404);
  });

  it("a volume is deleted when that is confirmed, undeleted, and purged when no fork needs it", async () => {
    const { site, id, remote } = await served();
    const fork = (await site.call("POST", "/v1/volumes/docs/forks", { body: { tag: "fork" } })).json.volume;
    const drop = async (name: string, confirm: string, more = "") =>
      (await site.call("DELETE", `/v1/volumes/${name}?confirm=${confirm}${more}`)).status;
    const undelete = (name: string, body = {}) => site.call("POST", `/v1/volumes/${name}/undelete`, { body });
    expect(await drop("docs", "")).toBe(400);
    expect(await drop("docs", fork)).toBe(400);
    expect((await undelete(id)).status).toBe(400);
    expect(await drop("docs", id, "&purge=1")).toBe(409);
    expect((await site.get("/v1/volumes/docs")).status).toBe(200);
    expect(await drop("docs", id)).toBe(204);
    expect((await site.get("/v1/volumes/docs")).status).toBe(404);
    expect((await site.get(`/v1/volumes/${id}`)).status).toBe(404);
    expect((await site.get("/v1/volumes/fork")).status).toBe(200);
    expect((await undelete(id)).json).toEqual({ volume: id, tags: ["docs"], taken: [] });
    expect((await site.get("/v1/volumes/docs")).json.volume).toBe(id);
    for (const [name, its] of [
      ["fork", fork],
      ["docs", id],
    ]) {
      expect(await drop(name, its)).toBe(204);
      expect(await drop(its, its), "invariant 11").toBe(204);
      expect(await drop(its, its, "&purge=1")).toBe(204);
      expect(await drop(its, its, "&purge=1")).toBe(404);
      expect((await undelete(its)).status).toBe(404);
    }
    const left = (await remote.list("volumes/")).map(({ key }) => key.slice(0, -16));
    expect(left.sort(), "the floors that say so").toEqual(
      [fork, id].map((each) => `volumes/${each}/floor/`).sort(),
    );
    expect((await site.get("/v1/tags")).json).toEqual({ tags: [] });
  });

  it("over the object plane, volumes are deleted, undeleted and purged, too", async () => {
    const { site, id, remote } = await served();
    const engine = await openStore(site.client());
    await engine.volume("docs");
    expect((await engine.deleteVolume(id, { confirm: id })).tags).toEqual(["docs"]);
    expect((await site.get("/v1/volumes/docs")).status).toBe(404);
    expect(await engine.undelete(id)).toEqual({ tags: ["docs"], taken: [] });
    await (await engine.volume("docs")).verify();
    await engine.deleteVolume(id, { confirm: id, purge: true });
    const left = (await remote.list("volumes/")).map((entry) => entry.key.slice(0, -16));
    expect(left, "the floor that says so").toEqual([`volumes/${id}/floor/`]);
    const key = `volumes/${id}/deleted/${"f".repeat(15)}e`;
    expect((await site.put(key, new Uint8Array(20))).status).toBe(422);
  });
});
