/** What one may not see is answered exactly as what does not exist; what one may see and not do is 403. */
import { describe, expect, it } from "vitest";
import type { Principal, Right } from "../../server/http/principal.ts";
import { PagefoldError } from "../../src/base/errors.ts";
import { manifestKey, tagKey } from "../../src/format/keys.ts";
import { encodeTag } from "../../src/format/tag-codec.ts";
import { MemoryObjectStore } from "../../src/remote/memory-store.ts";
import { authenticate, bearing, EVERYTHING, type Grant, holder } from "./grants.ts";
import {
  change,
  codecs,
  commitOf,
  contentOf,
  keyOfCommit,
  nextPush,
  openStore,
  Site,
  world,
} from "./support.ts";

async function twoVolumes() {
  const made = await world();
  const secret = await made.engine.createVolume({ tag: "secret" });
  await change(secret, 1);
  const site = new Site(made.remote, { authenticate, settings: { tagLifeMs: 0 } });
  return { ...made, secret: secret.id, site };
}

describe("seeing", () => {
  it("a token that does not verify is 401 everywhere, with the way to ask", async () => {
    const { site, id } = await twoVolumes();
    const headers = { authorization: "Bearer forged" };
    for (const path of [
      `/${manifestKey(id)}`,
      "/v1/tags",
      "/v1/open/docs",
      `/v1/events?volume=${id}@0`,
      "/v1/list",
    ]) {
      const answer = await site.call("GET", path, { headers });
      expect(answer.status, path).toBe(401);
      expect(answer.headers.get("www-authenticate")).toBe("Bearer");
      expect(answer.json.code).toBe("unauthorized");
    }
    expect((await site.get("/v1")).status).toBe(200);
  });

  it("an invisible volume is 404 by every route, with the words of one that does not exist", async () => {
    const { site, secret, remote } = await twoVolumes();
    const headers = bearing({ right: "admin", tag: "docs" });
    const keys = [...(await contentOf(remote)).keys()].filter((key) => key.includes(secret));
    expect(keys.length).toBeGreaterThan(2);
    for (const key of [...keys, tagKey("secret", 1)]) {
      expect((await site.call("GET", `/${key}`, { headers })).status, key).toBe(404);
      expect((await site.call("HEAD", `/${key}`, { headers })).status, key).toBe(404);
      expect((await site.call("DELETE", `/${key}`, { headers })).status, key).toBe(404);
    }
    for (const name of [secret, "secret"]) {
      const absent = name === "secret" ? "sacred" : "01kdvdna00nkg6zgn5bgndez9s";
      const routes: readonly [string, string][] = [
        ["GET", "/v1/open/NAME"],
        ["GET", "/v1/volumes/NAME"],
        ["DELETE", "/v1/volumes/NAME?confirm=NAME"],
        ["POST", "/v1/volumes/NAME/undelete"],
        ["POST", "/v1/volumes/NAME/forks"],
        ["GET", "/v1/volumes/NAME/commits"],
        ["POST", "/v1/volumes/NAME/commits"],
        ["POST", "/v1/volumes/NAME/pages"],
        ["GET", "/v1/volumes/NAME/diff"],
        ["GET", "/v1/events?volume=NAME@0"],
      ];
      for (const [method, path] of routes) {
        const ask = async (each: string) => {
          const { status, json } = await site.call(method, path.replaceAll("NAME", each), { headers });
          return { status, text: JSON.stringify(json).replaceAll(each, "NAME") };
        };
        const [hidden, none] = [await ask(name), await ask(absent)];
        expect(hidden.status, path).toBe(404);
        expect(hidden).toEqual(none);
      }
    }
    expect((await site.call("PUT", "/v1/tags/mine", { headers, body: { volume: secret } })).status).toBe(404);
    expect(
      (await site.call("POST", "/v1/notice", { headers, body: { volume: secret, lsn: 2 } })).status,
    ).toBe(404);
  });

  it("listings, tags and volumes show what may be seen, and full pages of it", async () => {
    const { site, id, secret, remote } = await twoVolumes();
    const all = (await remote.list("")).map(({ key }) => key);
    const seen = async (path: string, ...grants: Grant[]) =>
      (await site.call("GET", path, { headers: bearing(...grants) })).json;
    const own = all.filter((key) => key.includes(id) || key.startsWith("tags/docs/"));
    for (const grant of [
      { right: "read", volume: id },
      { right: "read", tag: "docs" },
      { right: "write", prefix: "do" },
    ] as Grant[]) {
      expect((await seen("/v1/list", grant)).map((entry: { key: string }) => entry.key)).toEqual(own);
      expect((await seen("/v1/list?limit=3", grant)).length).toBe(3);
      expect(await seen(`/v1/list?prefix=volumes/${secret}/`, grant)).toEqual([]);
      expect(await seen("/v1/tags", grant)).toEqual({ tags: [{ tag: "docs", volume: id }] });
      expect(await seen("/v1/volumes", grant)).toEqual({ volumes: [{ volume: id, tags: ["docs"] }] });
    }
    expect(await seen("/v1/list")).toEqual([]);
    expect((await seen("/v1/list", { right: "read", prefix: "" })).length).toBe(all.length);
  });

  it("a right by tag follows the tag", async () => {
    const { site, id, secret } = await twoVolumes();
    const headers = bearing({ right: "read", tag: "docs" });
    const key = keyOfCommit(id, 1);
    expect((await site.get(`/${key}`, headers)).status).toBe(200);
    expect(
      (await site.call("PUT", "/v1/tags/docs", { headers: EVERYTHING, body: { volume: secret, from: id } }))
        .status,
    ).toBe(200);
    expect((await site.get(`/${key}`, headers)).status).toBe(404);
    expect((await site.get(`/${keyOfCommit(secret, 1)}`, headers)).status).toBe(200);
    expect((await site.call("DELETE", "/v1/tags/docs", { headers: EVERYTHING })).status).toBe(204);
    expect((await site.get(`/${keyOfCommit(secret, 1)}`, headers)).status).toBe(404);
  });

  it("whoever may read a fork reads what it shares, up to where it shares it, and nothing else of its parent", async () => {
    const { site, id, engine, remote } = await twoVolumes();
    const fork = await engine.fork("docs", { tag: "fork", lsn: 2 });
    const deep = await engine.fork("fork", { tag: "deep" });
    expect(deep.status().lsn).toBe(2);
    await change(fork, 50);
    for (const volume of [fork.id, deep.id]) {
      const headers = bearing({ right: "read", volume });
      for (const [lsn, status] of [
        [1, 200],
        [2, 200],
        [3, 404],
        [4, 404],
      ] as const) {
        expect((await site.get(`/${keyOfCommit(id, lsn)}`, headers)).status, `LSN ${lsn}`).toBe(status);
      }
      expect((await site.get(`/${manifestKey(id)}`, headers)).status).toBe(404);
      expect((await site.get("/v1/volumes/docs", headers)).status).toBe(404);
      const reader = await (await openStore(site.client(headers))).volume(volume);
      await reader.hydrate();
    }
    expect((await remote.list("volumes/")).length).toBeGreaterThan(0);
  });
});

describe("doing", () => {
  const table: readonly [string, string, Right, object?][] = [
    ["PUT", "/v1/tags/other", "admin", { volume: "ID" }],
    ["DELETE", "/v1/tags/docs", "admin"],
    ["DELETE", "/v1/volumes/docs?confirm=ID", "admin"],
    ["PUT", "/volumes/ID/deleted/fffffffffffffffe", "admin"],
    ["PUT", "/volumes/ID/leases/fffffffffffffffe", "write"],
    ["POST", "/v1/volumes/docs/commits", "write"],
    ["POST", "/v1/delete", "admin", { keys: ["volumes/ID/manifest"] }],
    ["DELETE", "/volumes/ID/head", "admin"],
    ["PUT", "/volumes/ID/head", "write"],
  ];

  it.each(table)(
    "%s %s needs %s: with less 403, with it something else",
    async (method, path, right, body) => {
      const { site, id } = await twoVolumes();
      const send = async (headers: Record<string, string>) => {
        const sent = body === undefined ? undefined : JSON.parse(JSON.stringify(body).replaceAll("ID", id));
        return (
          await site.call(method, path.replaceAll("ID", id), {
            headers,
            ...(sent === undefined ? {} : { body: sent }),
          })
        ).status;
      };
      const least: Right = right === "admin" ? "write" : "read";
      expect(await send(bearing({ right: least, prefix: "" }))).toBe(403);
      expect(await send(bearing({ right, prefix: "" }))).not.toBe(403);
    },
  );

  it("a writer of one volume pushes there, and there alone", async () => {
    const made = await world();
    const { before, objects } = await nextPush(made);
    const other = await (await openStore(before)).createVolume({ tag: "other" });
    const site = new Site(before, { authenticate, settings: { tagLifeMs: 0 } });
    const { key, bytes } = commitOf(objects);
    expect((await site.put(key, bytes, bearing({ right: "write", volume: other.id }))).status).toBe(404);
    expect(
      (
        await site.put(
          key,
          bytes,
          bearing({ right: "write", volume: other.id }, { right: "read", tag: "docs" }),
        )
      ).status,
    ).toBe(403);
    expect((await site.put(key, bytes, bearing({ right: "write", tag: "docs" }))).status).toBe(201);
  });

  it("nobody gets at pages by a fork, or a tag, of a volume that is not theirs", async () => {
    const { site, id, secret, engine, remote } = await twoVolumes();
    // A fork of the secret, made where it may be, put where it may not.
    const clone = remote.clone();
    const fork = await (await openStore(clone)).fork("secret");
    const [manifest, pin] = await Promise.all([
      clone.get(manifestKey(fork.id)),
      clone.list(`volumes/${secret}/forks/`),
    ]);
    const thief = bearing({ right: "admin", volume: fork.id }, { right: "admin", tag: "docs" });
    expect((await site.put(pin[0]!.key, new Uint8Array(0), thief)).status).toBe(404);
    expect((await site.put(manifestKey(fork.id), manifest!, thief)).status).toBe(404);
    await remote.put(pin[0]!.key, new Uint8Array(0));
    expect((await site.put(manifestKey(fork.id), manifest!, thief)).status).toBe(404);
    const tag = encodeTag({ volume: secret, time: 5 as never }, codecs.hash);
    expect((await site.put(tagKey("docs", 2), tag, thief)).status).toBe(404);
    expect((await site.put(manifestKey(fork.id), manifest!, EVERYTHING)).status).toBe(201);
    expect(engine.local()).toContain(id);
  });

  it("a fork of a secret that nobody has named yet is not named by whoever may make volumes", async () => {
    const { engine, remote } = await twoVolumes();
    const fork = await engine.fork("secret");
    const maker: Principal = { ...holder("maker", [{ right: "admin", prefix: "team-" }]), creates: true };
    const site = new Site(remote, { authenticate: async () => maker, settings: { tagLifeMs: 0 } });
    const value = (volume: string) => encodeTag({ volume: volume as never, time: 5 as never }, codecs.hash);
    expect((await site.put(tagKey("team-x", 1), value(fork.id))).status).toBe(404);
    const own = await engine.createVolume();
    expect((await site.put(tagKey("team-x", 1), value(own.id))).status).toBe(201);
    expect((await site.get(`/v1/volumes/${fork.id}`)).status).toBe(404);
  });

  it("volumes without a name are for those who may do anything; with one, for whoever may have it", async () => {
    const { site } = await twoVolumes();
    const make = async (headers: Record<string, string>, tag?: string) =>
      (await site.call("POST", "/v1/volumes", { headers, body: tag === undefined ? {} : { tag } })).status;
    const team = bearing({ right: "admin", prefix: "team-" });
    expect(await make(team)).toBe(403);
    expect(await make(team, "other")).toBe(404);
    expect(await make(team, "team-a")).toBe(201);
    expect(await make(bearing({ right: "write", prefix: "team-" }), "team-b")).toBe(403);
    expect(await make(EVERYTHING)).toBe(201);
    const read = bearing({ right: "read", tag: "docs" }, { right: "admin", prefix: "team-" });
    expect(
      (await site.call("POST", "/v1/volumes/docs/forks", { headers: read, body: { tag: "team-f" } })).status,
    ).toBe(201);
    expect(
      (await site.call("POST", "/v1/volumes/docs/forks", { headers: read, body: { tag: "f" } })).status,
    ).toBe(404);
  });

  it("a volume that is new, by the object plane: an administrator of it", async () => {
    const { site } = await twoVolumes();
    const made = await world({ bytes: 0, commits: 0 });
    const manifest = (await made.remote.get(manifestKey(made.id)))!;
    expect(
      (await site.put(manifestKey(made.id), manifest, bearing({ right: "write", prefix: "" }))).status,
    ).toBe(403);
    expect(
      (await site.put(manifestKey(made.id), manifest, bearing({ right: "admin", volume: made.id }))).status,
    ).toBe(201);
  });

  it("segments of volumes that not everybody may read are for private caches", async () => {
    const { remote } = await world({ bytes: 2_000_000 });
    const key = (await remote.list("volumes/")).find((entry) => entry.key.includes("/segments/"))!.key;
    const caching = async (site: Site, headers = {}) =>
      (await site.get(`/${key}`, { range: "bytes=0-9", ...headers })).headers.get("cache-control");
    expect(await caching(new Site(remote))).toBe("public, max-age=31536000, immutable");
    const closed = new Site(remote, { authenticate });
    for (let i = 0; i < 2; i++)
      expect(await caching(closed, EVERYTHING)).toBe("private, max-age=31536000, immutable");
    // From memory, too, only for whoever may.
    expect((await closed.get(`/${key}`, { range: "bytes=0-9" })).status).toBe(404);
  });

  it("what the store fails at is told as that, and nothing of the inside of this server", async () => {
    const broken = Object.assign(new MemoryObjectStore(), {
      list: async () => {
        throw new TypeError("secret detail of /home/someone");
      },
    });
    const told: unknown[] = [];
    const site = new Site(broken, { onError: (error) => told.push(error) });
    const { status, json, bytes } = await site.get("/v1/tags");
    expect([status, json.code]).toEqual([500, "unavailable"]);
    expect(new TextDecoder().decode(bytes)).not.toContain("someone");
    expect(told.length).toBe(1);
    const away = Object.assign(new MemoryObjectStore(), {
      list: async () => {
        throw new PagefoldError("unavailable", "the store cannot be reached", { retryable: false });
      },
    });
    const late = await new Site(away).get("/v1/tags");
    expect([late.status, late.headers.get("retry-after")]).toEqual([503, "1"]);
  });
});
