import { describe, expect, it } from "vitest";
import { encodeHeadHint } from "../../src/format/head-codec.ts";
import { complement, headKey, manifestKey, tagKey } from "../../src/format/keys.ts";
import { decodeManifest, encodeManifest } from "../../src/format/manifest-codec.ts";
import { encodeTag } from "../../src/format/tag-codec.ts";
import { codecs, contentOf, keyOfCommit, Site, world } from "./support.ts";

const BIG = 6_000_000;

async function served(options: { bytes?: number; commits?: number } = {}) {
  const made = await world(options);
  const site = new Site(made.remote);
  const content = await contentOf(made.remote);
  const segment = [...content.keys()].find((key) => key.includes("/segments/"));
  return { ...made, site, content, segment };
}

describe("reading objects", () => {
  it("every object is answered whole, with a strong tag, as it is stored", async () => {
    const { site, content } = await served({ bytes: BIG });
    expect(content.size).toBeGreaterThan(6);
    for (const [key, bytes] of content) {
      const { status, headers, bytes: found } = await site.get(`/${key}`);
      expect(status, key).toBe(200);
      expect(found.length, key).toBe(bytes.length);
      expect(codecs.hash.blake3(found), key).toBe(codecs.hash.blake3(bytes));
      expect(headers.get("etag"), key).toMatch(/^"[^"]+"$/);
      expect(headers.get("content-encoding")).toBeNull();
      expect(headers.get("accept-ranges")).toBe("bytes");
      const immutable = headers.get("cache-control")?.includes("immutable");
      expect(immutable, key).toBe(key.includes("/segments/"));
    }
  });

  it("HEAD says the same without a body", async () => {
    const { site, content } = await served({ bytes: BIG });
    for (const [key, bytes] of content) {
      const { status, headers, bytes: found } = await site.call("HEAD", `/${key}`);
      expect([status, headers.get("content-length"), found.length], key).toEqual([
        200,
        String(bytes.length),
        0,
      ]);
    }
    expect((await site.call("HEAD", "/tags/none/fffffffffffffffe")).status).toBe(404);
    expect((await site.call("HEAD", "/tags/none/fffffffffffffffe")).bytes.length).toBe(0);
  });

  it.each([
    ["bytes=0-9", 0, 10],
    ["bytes=100-", 100, undefined],
    ["bytes=-7", -7, undefined],
    ["bytes=-999999999", 0, undefined],
    ["bytes=262000-262300", 262_000, 301],
    ["bytes=262144-786431", 262_144, 524_288],
    ["bytes=10-99999999", 10, undefined],
    ["bytes=0-0", 0, 1],
  ])("a range %s", async (range, offset, length) => {
    const { site, content, segment } = await served({ bytes: 2_000_000 });
    const whole = content.get(segment!)!;
    const start = offset < 0 ? whole.length + offset : offset;
    const expected = whole.slice(start, length === undefined ? undefined : start + length);
    // Twice: out of the store, and out of memory.
    for (let i = 0; i < 2; i++) {
      const { status, headers, bytes } = await site.get(`/${segment}`, { range });
      expect(status).toBe(206);
      expect(codecs.hash.blake3(bytes)).toBe(codecs.hash.blake3(expected));
      expect(headers.get("content-range")).toBe(
        `bytes ${start}-${start + expected.length - 1}/${whole.length}`,
      );
      expect(headers.get("content-length")).toBe(String(expected.length));
    }
  });

  it("a large object is sent in parts, and every range of it is right", async () => {
    const { site, content, segment } = await served({ bytes: 12_000_000 });
    const whole = content.get(segment!)!;
    expect(whole.length).toBeGreaterThan(8_000_000);
    const { bytes } = await site.get(`/${segment}`, { range: "bytes=1000-9000000" });
    expect(codecs.hash.blake3(bytes)).toBe(codecs.hash.blake3(whole.slice(1000, 9_000_001)));
  });

  it.each([
    "bytes=99999999-",
    "bytes=99999999-100000000",
    "bytes=-0",
    "bytes=0-1,3-4",
    `bytes=${Array.from({ length: 5000 }, (_, i) => `${2 * i}-${2 * i}`).join(",")}`,
    "bytes=0-5,0-5,0-5",
  ])("416 for %s", async (range) => {
    const { site, segment } = await served({ bytes: 2_000_000 });
    const { status, headers, json } = await site.get(`/${segment}`, { range });
    expect(status).toBe(416);
    expect(headers.get("content-type")).toBe("application/problem+json");
    expect(json.code).toBe("invalid");
    if (!range.includes(",")) expect(headers.get("content-range")).toMatch(/^bytes \*\/\d+$/);
  });

  it.each(["bytes=5-2", "bytes=a-b", "lines=1-2", "bytes=", "bytes=--5"])(
    "%s is no range: the whole is answered",
    async (range) => {
      const { site, content, id } = await served();
      const { status, bytes } = await site.get(`/${manifestKey(id)}`, { range });
      expect([status, bytes.length]).toEqual([200, content.get(manifestKey(id))!.length]);
    },
  );

  it("what the client has already is not sent again, and a range of another object neither", async () => {
    const { site, segment, content } = await served({ bytes: 2_000_000 });
    const etag = (await site.get(`/${segment}`, { range: "bytes=0-0" })).headers.get("etag")!;
    expect((await site.get(`/${segment}`, { "if-none-match": etag })).status).toBe(304);
    expect((await site.get(`/${segment}`, { range: "bytes=0-9", "if-range": etag })).status).toBe(206);
    const other = await site.get(`/${segment}`, { range: "bytes=0-9", "if-range": '"other"' });
    expect([other.status, other.bytes.length]).toEqual([200, content.get(segment!)!.length]);
  });

  it.each([
    "/volumes/../nothing/fffffffffffffffe",
    "/volumes/%2e%2e/%2e%2e/etc/passwd",
    "/volumes/..%2f..%2fetc%2fpasswd",
    "/volumes/%00/manifest",
    "/volumes/UPPERCASEUPPERCASEUPPERCA/manifest",
    "/volumes/01kdvdna00nkg6zgn5bgndez9/manifest",
    "/volumes/__proto__/constructor/fffffffffffffffe",
    "/volumes//manifest",
    "/volumes/",
    "/tags/.hidden/fffffffffffffffe",
    "/tags/a%2fb/fffffffffffffffe",
    "/tags/docs/0000000000000000",
    "/tags/docs/ffffffffffffffff",
    "/tags/docs/FFFFFFFFFFFFFFFE",
    "/probe/x",
    "/%",
    "/volumes/%E0%A4%A",
  ])("404 for %s", async (path) => {
    const { site } = await served();
    const { status, json } = await site.get(path);
    expect([status, json.code]).toEqual([404, "not_found"]);
  });

  it("keys that could be are 404 where there is no object, with a problem document", async () => {
    const { site, id } = await served();
    for (const key of [
      keyOfCommit(id, 99),
      `volumes/${id}/rollups/${complement(2)}`,
      `volumes/${id}/config/${complement(1)}`,
    ]) {
      const { status, json } = await site.get(`/${key}`);
      expect(status, key).toBe(404);
      expect(json).toMatchObject({ status: 404, code: "not_found", title: "Not Found" });
    }
  });

  it("a floor that is not there is no failure, and not to be seen is as not there", async () => {
    const { site, id } = await served();
    const key = `volumes/${id}/floor/${complement(1)}`;
    const answer = await site.get(`/${key}`);
    expect([answer.status, answer.bytes.length]).toEqual([204, 0]);
    expect((await site.call("HEAD", `/${key}`)).status).toBe(404);
    const client = site.client();
    expect(await client.get(key)).toBeUndefined();
    expect(await client.get(key, { range: { offset: 0, length: 10 } })).toBeUndefined();
    expect(await client.get(key, { range: { offset: 0, length: 0 } })).toBeUndefined();
    await site.store.put(key, new Uint8Array([1, 2, 3]));
    expect(await client.get(key, { range: { offset: 1, length: 10 } })).toEqual(new Uint8Array([2, 3]));
    const nobody = new Site(site.store, { authenticate: async () => ({ name: "n", may: () => false }) });
    expect((await nobody.get(`/${key}`)).status).toBe(404);
  });

  it("other methods are 405", async () => {
    const { site, id } = await served();
    const { status, headers } = await site.call("PATCH", `/${manifestKey(id)}`, { body: "x" });
    expect([status, headers.get("allow")]).toEqual([405, "GET, HEAD, PUT, DELETE"]);
  });
});

describe("writing objects", () => {
  it("nothing is replaced: 412 with the condition, without it 204 for the same bytes and 409 for others", async () => {
    const { site, id, content } = await served();
    const key = manifestKey(id);
    const stored = content.get(key)!;
    const other = encodeManifest({ ...decodeManifest(stored), createdAt: 7 as never });
    const bare = (bytes: Uint8Array) => site.call("PUT", `/${key}`, { body: bytes });
    expect((await site.put(key, stored)).status).toBe(412);
    expect((await site.put(key, other)).status).toBe(412);
    expect((await bare(stored)).status).toBe(204);
    expect((await bare(other)).status).toBe(409);
    expect((await bare(new Uint8Array(3))).status).toBe(422);
    expect((await site.put(key, stored, { "if-none-match": '"x"' })).status).toBe(400);
    expect(await site.store.get(key)).toEqual(stored);
  });

  it("the hint may be replaced, by one that is true", async () => {
    const { site, id } = await served({ commits: 4 });
    const put = (bytes: Uint8Array) => site.call("PUT", `/${headKey(id)}`, { body: bytes });
    expect((await put(encodeHeadHint(3 as never))).status).toBe(204);
    expect((await put(encodeHeadHint(4 as never))).status).toBe(204);
    expect((await put(encodeHeadHint(99 as never))).status).toBe(422);
    expect((await put(new Uint8Array(24))).status).toBe(422);
    expect(await site.store.get(headKey(id))).toEqual(encodeHeadHint(4 as never));
  });

  it.each(["probe/abc", "probe/x/y"])("%s needs no probing: 403", async (key) => {
    const { site } = await served();
    expect((await site.put(key, new Uint8Array(1))).status).toBe(403);
  });

  it.each([
    "other/thing",
    "volumes/x/manifest",
    "volumes/01kdvdna00nkg6zgn5bgndez9s/segments/short",
    "tags/docs/1",
    "volumes/01kdvdna00nkg6zgn5bgndez9s/elsewhere/fffffffffffffffe",
  ])("%s is no key: refused", async (key) => {
    const { site } = await served();
    const before = (await contentOf(site.store)).size;
    expect((await site.put(key, new Uint8Array(1))).status).toBe(key.startsWith("other") ? 404 : 400);
    expect((await contentOf(site.store)).size).toBe(before);
  });

  it("a tag's next value is taken, a later one waits, a lie is refused", async () => {
    const { site, id, engine } = await served();
    const other = await engine.createVolume();
    const value = (volume: typeof id | undefined) => encodeTag({ volume, time: 5 as never }, codecs.hash);
    expect((await site.put(tagKey("docs", 3), value(id))).status).toBe(409);
    expect((await site.put(tagKey("docs", 2), value(id).slice(1))).status).toBe(422);
    expect((await site.put(tagKey("docs", 2), value("0".repeat(26) as never))).status).toBe(404);
    expect((await site.put(tagKey("docs", 2), value(other.id))).status).toBe(201);
    expect((await site.put(tagKey("docs", 2), value(id))).status).toBe(412);
    expect((await site.get("/v1/tags")).json).toEqual({ tags: [{ tag: "docs", volume: other.id }] });
  });

  it("what is no value of its series, and no checkpoint, is not taken", async () => {
    const { site, id } = await served();
    const digits = "ab".repeat(16);
    for (const name of ["floor/", "config/", "deleted/", "leases/", "checkpoints/"]) {
      const key = `volumes/${id}/${name}${complement(1)}${name === "checkpoints/" ? `-${digits}` : ""}`;
      expect((await site.put(key, new Uint8Array(4))).status, key).toBe(422);
    }
    expect((await site.put(`volumes/${id}/checkpoints/${complement(1)}`, new Uint8Array(4))).status).toBe(
      400,
    );
  });

  it("bodies: larger than they may be, longer and shorter than stated, cut off, and never ending", async () => {
    const { site, id } = await served();
    const path = `/${headKey(id)}`;
    const body = (chunks: readonly Uint8Array[], end: "close" | "fail" | "hang") =>
      new ReadableStream<Uint8Array>({
        pull(controller) {
          const next = chunks[at++];
          if (next !== undefined) controller.enqueue(next);
          else if (end === "close") controller.close();
          else if (end === "fail") controller.error(new Error("reset"));
          else return new Promise(() => {});
        },
      });
    let at = 0;
    const send = async (sent: BodyInit, headers: Record<string, string> = {}) => {
      at = 0;
      return (await site.call("PUT", path, { body: sent, headers })).status;
    };
    expect(await send(new Uint8Array(5000))).toBe(413);
    expect(await send(body([new Uint8Array(3)], "close"), { "content-length": "999999999" })).toBe(413);
    expect(await send(body([new Uint8Array(30)], "close"), { "content-length": "24" })).toBe(400);
    expect(await send(body([new Uint8Array(10)], "close"), { "content-length": "24" })).toBe(400);
    expect(await send(body([new Uint8Array(10)], "fail"))).toBe(400);
    expect(await send(body([new Uint8Array(10)], "close"), { "content-length": "x" })).toBe(400);
    const impatient = new Site(site.store, { settings: { bodyIdleMs: 20 } });
    at = 0;
    const late = await impatient.call("PUT", path, { body: body([new Uint8Array(10)], "hang") });
    expect(late.status).toBe(408);
    const trickling = new Site(site.store, { settings: { bodyIdleMs: 20, bodyBytesPerSecond: 2 ** 30 } });
    const trickle = new ReadableStream<Uint8Array>({
      async pull(controller) {
        await new Promise((resolve) => setTimeout(resolve, 2));
        controller.enqueue(new Uint8Array(1));
      },
    });
    expect((await trickling.call("PUT", path, { body: trickle })).status).toBe(408);
  });

  it("deleting: present or absent, and nothing but keys", async () => {
    const { site, id } = await served();
    expect((await site.call("DELETE", `/${headKey(id)}`)).status).toBe(204);
    expect((await site.call("DELETE", `/${headKey(id)}`)).status).toBe(204);
    expect(await site.store.get(headKey(id))).toBeUndefined();
    expect(
      (await site.call("POST", "/v1/delete", { body: { keys: [manifestKey(id), headKey(id)] } })).status,
    ).toBe(204);
    expect((await site.get(`/${manifestKey(id)}`)).status).toBe(404);
    expect((await site.call("POST", "/v1/delete", { body: { keys: ["../x"] } })).status).toBe(400);
    expect((await site.call("POST", "/v1/delete", { body: { keys: "x" } })).status).toBe(400);
    expect(
      (await site.call("POST", "/v1/delete", { body: { keys: Array(1001).fill(headKey(id)) } })).status,
    ).toBe(400);
  });
});
