/**
 * A store directory behind any static host reads as the store itself (invariant 6), whatever habits the host has; where it answers other bytes than
 * were asked for, that is an error with a code and never wrong bytes (invariant 7).
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { HttpObjectStore, openHttpStore, PageStore } from "../../../src/index.ts";
import { nodeFetch } from "../../../src/node/http-fetch.ts";
import { openStore } from "../../../src/node/index.ts";
import { type HttpFetch, runtimeFetch } from "../../../src/remote/http/http-fetch.ts";
import { type StaticHost, type StaticHostOptions, startStaticHost } from "./static-host.ts";

const BYTES = 700_000;

let directory: string;
let content: Uint8Array;
const hosts: StaticHost[] = [];

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "pagefold-static-"));
  content = Uint8Array.from({ length: BYTES }, (_, i) => (i * 7919 + (i >> 9)) & 255);
  const store = await openStore(directory, { create: true, workers: 0 });
  const volume = await store.createVolume({ tag: "data" });
  for (let at = 0; at < BYTES; at += 100_000) {
    await volume.write(at, content.subarray(at, at + 100_000));
    await volume.push();
  }
  await store.tag("other", volume.id);
  await store.close();
});
afterAll(() => rm(directory, { recursive: true, force: true }));
afterEach(async () => {
  for (const host of hosts.splice(0)) await host.close();
});

async function host(options: StaticHostOptions = {}): Promise<StaticHost> {
  const started = await startStaticHost(directory, options);
  hosts.push(started);
  return started;
}

async function readAll(url: string, fetch: HttpFetch = runtimeFetch): Promise<Uint8Array> {
  const remote = await openHttpStore(url, { name: "data", fetch });
  expect(remote.capabilities).toEqual({ write: false, list: false, conditionalCreate: "no" });
  await using store = await PageStore.open({ remote });
  const volume = await store.volume("data");
  expect(volume.status().lsn).toBe(7);
  return await volume.read(0, BYTES);
}

describe("a static host", () => {
  for (const [what, options] of [
    ["that serves ranges", {}],
    ["that ignores Range and answers everything", { ranges: "whole" }],
    ["that compresses what it sends whole", { ranges: "whole", gzip: true }],
    ["that answers a page where it has no file", { page: true }],
    ["that redirects", { redirect: true }],
  ] as const) {
    it(`${what} reads as the store itself`, async () => {
      const { url } = await host(options);
      expect(Buffer.compare(await readAll(url), content)).toBe(0);
      expect(Buffer.compare(await readAll(url, nodeFetch), content)).toBe(0);
    });
  }

  it("that is busy, or breaks off, is asked again", async () => {
    const seen = new Set<string>();
    const { url } = await host({
      intervene: (path, { headers }) => {
        const once = `${path} ${headers.range ?? ""}`;
        if (!path.includes("/commits/") || seen.has(once)) return undefined;
        seen.add(once);
        return seen.size % 2 === 0 ? 503 : "cut";
      },
    });
    expect(Buffer.compare(await readAll(url), content)).toBe(0);
    expect(seen.size).toBeGreaterThan(2);
  });

  it("that answers other ranges than were asked for is told of, and nothing of it is used", async () => {
    const { url } = await host({ ranges: "shifted" });
    const store = new HttpObjectStore(url, { kind: "static" });
    const volume = "volumes/00000000000000000000000000/manifest";
    expect(await store.get(volume)).toBeUndefined();
    await using pages = await PageStore.open({ remote: store });
    await expect(pages.volume("data")).rejects.toMatchObject({
      code: "unavailable",
      details: { otherRange: true },
    });
  });

  it("is read-only, and says so before anything is sent", async () => {
    const { url, requests } = await host();
    const store = new HttpObjectStore(url, { kind: "static" });
    const before = requests.length;
    await expect(store.put("tags/x/ffff", new Uint8Array(1))).rejects.toMatchObject({ code: "forbidden" });
    await expect(store.delete(["tags/x/ffff"])).rejects.toMatchObject({ code: "forbidden" });
    await expect(store.list("tags/")).rejects.toMatchObject({ code: "forbidden" });
    await using pages = await PageStore.open({ remote: store });
    await expect(pages.createVolume()).rejects.toMatchObject({ code: "forbidden" });
    expect(requests.length).toBe(before);
  });

  it("answers ranges of nothing and behind the end as the contract says", async () => {
    const { url, requests } = await host();
    const store = new HttpObjectStore(url, { kind: "static" });
    const tag = requests.length;
    await (await PageStore.open({ remote: store })).volume("data");
    const key =
      requests
        .slice(tag)
        .find((each) => each.includes("/commits/"))
        ?.match(/data\/(\S+)/)?.[1] ?? "";
    const size = (await store.get(key))?.length ?? 0;
    expect(size).toBeGreaterThan(0);
    expect(await store.get(key, { range: { offset: 5, length: 0 } })).toEqual(new Uint8Array(0));
    expect(await store.get(key, { range: { offset: size + 5, length: 9 } })).toEqual(new Uint8Array(0));
    expect((await store.get(key, { range: { offset: size - 3, length: 9 } }))?.length).toBe(3);
    expect(await store.get(`${key}0`, { range: { offset: 0, length: 0 } })).toBeUndefined();
  });

  it("that is nowhere is unavailable; addresses that are none are invalid and keep their secrets", async () => {
    const closed = await host();
    await closed.close();
    await expect(openHttpStore(closed.url)).rejects.toMatchObject({ code: "unavailable" });
    for (const url of ["ftp://x/", "http://", "https://host/?q", "nothing"])
      await expect(openHttpStore(url)).rejects.toMatchObject({ code: "invalid" });
    expect(new HttpObjectStore("https://u:hush@host/x", { kind: "static" }).url).toBe("https://host/x/");
  });
});
