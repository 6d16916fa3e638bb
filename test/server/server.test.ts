import { describe, expect, it } from "vitest";
import { createServer } from "../../server/http/server.ts";
import { MemoryBlockFileSystem } from "../../src/local/memory-block-file.ts";
import { HttpObjectStore } from "../../src/remote/http/http-object-store.ts";
import { MemoryObjectStore } from "../../src/remote/memory-store.ts";
import { codecs, request, Site, world } from "./support.ts";

describe("a server", () => {
  it("answers from its first moment on, and leaves the store open when it ends", async () => {
    const { remote, id } = await world();
    let closed = 0;
    Object.assign(remote, { close: async () => closed++ });
    const server = createServer({ store: remote });
    expect(server.figures()).toBeUndefined();
    const answer = await server.fetch(request("GET", `/volumes/${id}/manifest`));
    expect(answer.status).toBe(200);
    await server.ready();
    expect(server.figures()).toMatchObject({ eventStreams: 0, cache: { memoryBlocks: 1 } });
    await server.close();
    await server.close();
    expect(closed).toBe(0);
  });

  it("is not made over a store that cannot list", () => {
    const store = new HttpObjectStore("http://host", { kind: "static" });
    expect(() => createServer({ store })).toThrow("cannot list");
  });

  it("tells whoever asks that it could not open its cache, and closes all the same", async () => {
    const files = Object.assign(new MemoryBlockFileSystem(), {
      open: async () => {
        throw new Error("disk gone");
      },
    });
    const server = createServer({ store: new MemoryObjectStore(), cacheFiles: files, codecs });
    await expect(server.ready()).rejects.toThrow("disk gone");
    const answer = await server.fetch(request("GET", "/v1"));
    expect(answer.status).toBe(500);
    expect(await answer.json()).toMatchObject({ code: "unavailable" });
    await server.close();
  });

  it("two servers over one store, one over the other: the same answers", async () => {
    const { remote, id } = await world({ bytes: 2_000_000 });
    const site = new Site(remote);
    const outer = new Site(site.client());
    for (const path of [
      "/v1/tags",
      "/v1/list",
      `/v1/volumes/${id}`,
      "/v1/open/docs",
      `/volumes/${id}/manifest`,
    ]) {
      const [inner, through] = [await site.get(path), await outer.get(path)];
      expect(through.status).toBe(200);
      expect(codecs.hash.blake3(through.bytes), path).toBe(codecs.hash.blake3(inner.bytes));
    }
  });
});
