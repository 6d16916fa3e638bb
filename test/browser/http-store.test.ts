/** The conformance suite over the tests' HTTP store, in Node and in a real page; and what the site in between does to requests. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { isPagefoldError } from "../../src/base/errors.ts";
import { FsObjectStore } from "../../src/node/fs-object-store.ts";
import { objectStoreContract } from "../contracts/object-store.ts";
import { HttpStore } from "./http-store.ts";
import { suite } from "./pages/http-store.ts";
import { pageSuite, useBrowser } from "./run-in-page.ts";
import { Site } from "./site.ts";

const site = await Site.start();
afterAll(() => site.close());
let spaces = 0;

objectStoreContract({ describe, it }, "HTTP, in Node", async () => {
  const url = site.objectsUrl(`space-${++spaces}`);
  return { store: new HttpStore(url), reopen: async () => new HttpStore(url) };
});

pageSuite(useBrowser({ pages: ["http-store"] }), "http-store", suite);

describe("the site", () => {
  it("serves a directory's objects", async () => {
    const directory = await mkdtemp(join(tmpdir(), "pagefold-site-"));
    const files = await FsObjectStore.open(directory);
    try {
      await files.put("a/b", new TextEncoder().encode("from a file"));
      site.mount("directory", files);
      const store = new HttpStore(site.objectsUrl("directory"));
      expect(await store.list("a/")).toEqual([{ key: "a/b", size: 11 }]);
      expect(new TextDecoder().decode(await store.get("a/b", { range: { offset: 7, length: 99 } }))).toBe(
        "file",
      );
    } finally {
      await files.close();
      await rm(directory, { recursive: true });
    }
  });

  it("answers ranges as a static host does, and with the types that a browser insists on", async () => {
    await site.objects("ranges").put("key", new Uint8Array(100));
    site.addFile("/module.wasm", new Uint8Array(8));
    const ask = async (path: string, init: RequestInit = {}) => {
      const response = await fetch(`${site.origin}${path}`, init);
      const body = await response.arrayBuffer();
      const { status, headers } = response;
      return [status, headers.get("content-range"), headers.get("content-length"), body.byteLength];
    };
    const range = (value: string) => ({ headers: { range: value } });
    expect(await ask("/objects/ranges/key", range("bytes=10-19"))).toEqual([
      206,
      "bytes 10-19/100",
      "10",
      10,
    ]);
    expect(await ask("/objects/ranges/key", range("bytes=90-999"))).toEqual([
      206,
      "bytes 90-99/100",
      "10",
      10,
    ]);
    expect(await ask("/objects/ranges/key", range("bytes=100-199"))).toEqual([416, "bytes */100", "0", 0]);
    expect(await ask("/objects/ranges/key", { method: "HEAD" })).toEqual([200, null, "100", 0]);
    expect((await ask("/objects/ranges/other"))[0]).toBe(404);
    expect((await fetch(`${site.origin}/module.wasm`)).headers.get("content-type")).toBe("application/wasm");
    expect((await fetch(`${site.origin}/absent.js`)).status).toBe(404);
  });

  it("slows, counts, refuses and cuts off", async () => {
    const store = new HttpStore(site.objectsUrl("hooks"));
    await store.put("key", new Uint8Array(10));
    site.latencyMs = 200;
    try {
      const start = performance.now();
      const seen = await site.requestsDuring(() =>
        Promise.all([store.get("key", { range: { offset: 0, length: 5 } }), store.list("k")]),
      );
      expect(performance.now() - start).toBeGreaterThan(190);
      expect(site.mostAtOnce).toBeGreaterThanOrEqual(2);
      expect(seen.map(({ method, key, listing, range }) => [method, key, listing, range]).sort()).toEqual([
        ["GET", "k", true, undefined],
        ["GET", "key", false, "bytes=0-4"],
      ]);
      site.latencyMs = 0;
      for (const [answer, code] of [
        [403, "forbidden"],
        [503, "unavailable"],
        ["drop", "unavailable"],
      ] as const) {
        site.intervene = () => answer;
        const error = await store.get("key").catch((e: unknown) => e);
        expect(isPagefoldError(error, code), String(error)).toBe(true);
      }
    } finally {
      site.latencyMs = 0;
      site.intervene = undefined;
    }
  });
});
