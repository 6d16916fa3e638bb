/** What every request meets around the routes: ids, logs, metrics, CORS, limits, patience, health, and the way down. */
import { once } from "node:events";
import { ServerResponse } from "node:http";
import { connect } from "node:net";
import { describe, expect, it } from "vitest";
import { mintToken, secretSigningKey } from "../../server/http/ops/mint.ts";
import { isStream, keptBody } from "../../server/http/ops/write-response.ts";
import { bodyOfParts } from "../../server/http/stream.ts";
import { PagefoldError } from "../../src/base/errors.ts";
import { MemoryObjectStore } from "../../src/remote/memory-store.ts";
import { ask, gateway, type Handler, operated, speak, until } from "./ops-support.ts";

const hello: Handler = () => new Response("hello");
const secret = "a secret of more than thirty-two bytes";
const volume = "01j8zk3v5n7q9r1t3w5x7y9abc";

describe("the log", () => {
  it("has a line per request: id, method, route, status, time, bytes", async () => {
    const server = await operated(() => new Response("x".repeat(1000), { status: 206 }));
    const answer = await ask(`${server.url}/v1/volumes/shop?from=3`, {
      headers: { "x-request-id": "mine-7" },
    });
    expect(answer.headers["x-request-id"]).toBe("mine-7");
    const line = await server.line(({ msg }) => msg === "request");
    expect(line).toMatchObject({
      level: "info",
      id: "mine-7",
      method: "GET",
      route: "/v1/volumes/{volume}",
      path: "/v1/volumes/shop",
      query: "from=3",
      status: 206,
      address: "127.0.0.1",
    });
    expect(line.ms).toBeGreaterThanOrEqual(0);
    expect(line.bytes).toBeGreaterThan(1000);
    expect(line.bytes).toBeLessThan(2000);
    expect(line).not.toHaveProperty("principal");
  });

  it("never has a token, a secret or a strange parameter", async () => {
    const server = await operated(
      async (request, authenticate) => {
        const { name } = await authenticate!(request);
        return new Response(name);
      },
      { secrets: { jwtSecret: secret } },
    );
    const token = "eyJhbGciOiJIUzI1NiJ9.eyJwYWdlZm9sZCI6W119.c2lnbmF0dXJlLXRoYXQtaXMtbm9uZQ";
    const path = `/v1/tags?token=${token}&volume=a&access_token=${token}&${token}`;
    const headers = {
      authorization: `Bearer ${token}`,
      cookie: `session=${token}`,
      "x-request-id": `a b ${token}`,
    };
    const answer = await ask(server.url + path, { headers });
    expect(answer.status).toBe(401);
    expect(answer.body).not.toContain(token.slice(0, 30));
    const line = await server.line(({ msg }) => msg === "request");
    expect(line.query).toMatch(/^token=…&volume=a&access_token=…&eyJhbGci.{24}=…$/);
    expect(server.logText()).not.toContain(token.split(".")[2]);
    expect(server.logText()).not.toContain(token.split(".")[1]);
    expect(server.logText()).not.toContain(secret);
    expect(line.id).toMatch(/^[0-9a-f]{10}-1$/);
  });

  it("names the principal, shortens what is long, and has no other line for what went well", async () => {
    const server = await operated(hello);
    await ask(`${server.url}/${"y".repeat(2000)}`);
    const line = await server.line(({ msg }) => msg === "request");
    expect(String(line.path).length).toBe(301);
    expect(line.route).toBe("other");
    expect(server.lines().length).toBe(1);
  });

  it("says that a client left early, and the routes learn it by their signal", async () => {
    const entered = gateway<Request>();
    const server = await operated(async (request) => {
      entered.open(request);
      await once(request.signal, "abort");
      throw request.signal.reason;
    });
    const socket = connect(server.port, "127.0.0.1");
    socket.write("GET /v1/tags HTTP/1.1\r\nHost: localhost\r\n\r\n");
    const { signal } = await entered.opened;
    expect(signal.aborted).toBe(false);
    socket.destroy();
    const line = await server.line(({ msg }) => msg === "request");
    expect(line).toMatchObject({ status: 499, cut: true });
    await until("the signal", () => signal.aborted);
  });
});

describe("answers that are made while they are sent", () => {
  it("are told from those in memory, which are sent as they are", async () => {
    const bytes = Uint8Array.of(1, 2, 3);
    // The adapter's own light Response is in place once a server listens.
    await operated(hello);
    const kept = new Response(bytes, { headers: { "content-type": "x/y" } });
    expect(keptBody(kept)).toBe(bytes);
    expect([isStream(kept), isStream(new Response("text")), isStream(new Response(null))]).toEqual([
      false,
      false,
      false,
    ]);
    expect(isStream(new Response(new ReadableStream()))).toBe(true);
    const real = new Response("x").clone();
    expect([keptBody(real), isStream(real)]).toEqual([undefined, true]);
  });

  it("arrive whole, and only as fast as they are read", async () => {
    let made = 0;
    const chunk = new Uint8Array(65_536).fill(7);
    const server = await operated(() => {
      const parts = async function* (): AsyncGenerator<Uint8Array, void, undefined> {
        for (; made < 1000; made++) yield chunk;
      };
      return new Response(bodyOfParts(parts()), { headers: { "content-type": "x/y" } });
    });
    const response = await fetch(`${server.url}/v1/open/shop`);
    const reader = response.body!.getReader();
    await reader.read();
    // Nobody reads: what fits into the buffers of the sockets is made, no more.
    let before = -1;
    await until("the maker to rest", async () => {
      const rests = made === before;
      before = made;
      await new Promise((resolve) => setTimeout(resolve, 100));
      return rests;
    });
    expect(made).toBeLessThan(1000);
    let bytes = 65_536;
    for (let part = await reader.read(); !part.done; part = await reader.read()) bytes += part.value.length;
    expect(bytes).toBeGreaterThanOrEqual(1000 * 65_536);
    expect(response.headers.get("content-type")).toBe("x/y");
  });

  it("that break off are cut, not ended, and the log says why", async () => {
    const server = await operated(() => {
      const parts = async function* (): AsyncGenerator<Uint8Array, void, undefined> {
        yield new Uint8Array(10);
        throw new PagefoldError("unavailable", "the store went away");
      };
      return new Response(bodyOfParts(parts()));
    });
    await expect(ask(`${server.url}/v1/open/shop`)).rejects.toThrow(/aborted|hang up|ECONNRESET/);
    expect(await server.line(({ msg }) => msg === "an answer broke off")).toMatchObject({
      error: "the store went away",
      code: "unavailable",
    });
    expect(await server.line(({ msg }) => msg === "request")).toMatchObject({ status: 200, cut: true });
  });

  it("that cannot be written are one request's trouble", async () => {
    const server = await operated(hello);
    const { writeHead } = ServerResponse.prototype;
    ServerResponse.prototype.writeHead = () => {
      throw new Error("no head");
    };
    try {
      await expect(ask(`${server.url}/v1/tags`)).rejects.toThrow(/hang up|ECONNRESET|aborted/);
    } finally {
      ServerResponse.prototype.writeHead = writeHead;
    }
    expect(await server.line(({ level }) => level === "error")).toMatchObject({ error: "no head" });
    expect((await ask(`${server.url}/v1/tags`)).body).toBe("hello");
  });

  it("end their source when the reader goes away", async () => {
    const ended = gateway();
    const server = await operated(() => {
      const parts = async function* (): AsyncGenerator<Uint8Array, void, undefined> {
        try {
          for (;;) {
            yield new Uint8Array(1000);
            await new Promise((resolve) => setTimeout(resolve, 1));
          }
        } finally {
          ended.open();
        }
      };
      return new Response(bodyOfParts(parts()), { headers: { "content-type": "text/event-stream" } });
    });
    const leave = new AbortController();
    const response = await fetch(`${server.url}/v1/events`, { signal: leave.signal });
    await response.body!.getReader().read();
    leave.abort();
    await ended.opened;
  });
});

describe("CORS", () => {
  const settings = { cors: ["https://app.example", "http://localhost:5173"] };
  const preflight = {
    method: "OPTIONS",
    headers: {
      origin: "https://app.example",
      "access-control-request-method": "POST",
      "access-control-request-headers": "authorization",
    },
  };

  it("lets pages of the named origins read, and shows them the headers that clients need", async () => {
    const server = await operated(hello, { settings });
    const { headers } = await ask(`${server.url}/v1/tags`, { headers: { origin: "https://app.example" } });
    expect(headers["access-control-allow-origin"]).toBe("https://app.example");
    expect(headers.vary).toBe("Origin");
    for (const name of ["Content-Range", "ETag", "Retry-After", "Accept-Ranges"]) {
      expect(headers["access-control-expose-headers"]).toContain(name);
    }
    const other = await ask(`${server.url}/v1/tags`, { headers: { origin: "https://evil.example" } });
    expect(other.headers).not.toHaveProperty("access-control-allow-origin");
    expect(other.headers.vary).toBe("Origin");
  });

  it("answers a preflight without a token, to be kept for a day", async () => {
    const server = await operated(hello, { settings, secrets: { jwtSecret: secret } });
    const answer = await ask(`${server.url}/v1/volumes/x/commits`, preflight);
    expect(answer.status).toBe(204);
    expect(answer.headers).toMatchObject({
      "access-control-allow-origin": "https://app.example",
      "access-control-max-age": "86400",
    });
    for (const name of ["Authorization", "Range", "If-None-Match", "Last-Event-ID"]) {
      expect(answer.headers["access-control-allow-headers"]).toContain(name);
    }
    for (const name of ["PUT", "DELETE"])
      expect(answer.headers["access-control-allow-methods"]).toContain(name);
    const headers = { ...preflight.headers, origin: "https://evil.example" };
    const refused = await ask(`${server.url}/v1/tags`, { ...preflight, headers });
    expect(refused.headers).not.toHaveProperty("access-control-allow-methods");
  });

  it("is on for problems too, off by default, and * for anybody", async () => {
    const failing: Handler = () => {
      throw new PagefoldError("not_found", "there is none");
    };
    const origin = { headers: { origin: "https://any.example" } };
    const open = await operated(failing, { settings: { cors: ["*"] } });
    const answer = await ask(open.url, origin);
    expect(answer.status).toBe(404);
    expect(answer.headers["access-control-allow-origin"]).toBe("*");
    const none = await operated(hello);
    expect((await ask(none.url, origin)).headers).not.toHaveProperty("access-control-allow-origin");
    await expect(operated(hello, { settings: { cors: ["https://a.example/path"] } })).rejects.toThrow(
      "no origin",
    );
  });
});

describe("a server that is open to its machine", () => {
  it("is not reached by names that only look like it, nor written to by pages of others", async () => {
    const server = await operated(hello);
    const status = async (method: string, headers: Record<string, string>): Promise<number> =>
      (await ask(`${server.url}/v1/delete`, { method, headers })).status;
    expect(await status("GET", { host: "rebound.example" })).toBe(403);
    expect(await status("GET", { host: `localhost:${server.port}` })).toBe(200);
    expect(await status("GET", { host: "[::1]:80" })).toBe(200);
    expect(await status("POST", { origin: "https://evil.example" })).toBe(403);
    expect(await status("POST", { origin: "null" })).toBe(403);
    expect(await status("GET", { origin: "https://evil.example" })).toBe(200);
    expect(await status("POST", { origin: server.url })).toBe(200);
    expect(await status("POST", {})).toBe(200);
    const friend = await operated(hello, { settings: { cors: ["https://app.example"] } });
    const answer = await ask(friend.url, { method: "POST", headers: { origin: "https://app.example" } });
    expect(answer.status).toBe(200);
  });

  it("with keys is reached by any name", async () => {
    const server = await operated(hello, { secrets: { jwtSecret: secret } });
    const headers = { host: "data.example", origin: "https://evil.example" };
    expect((await ask(server.url, { method: "POST", headers })).status).toBe(200);
  });
});

describe("limits", () => {
  it("more requests at a time than allowed are 503 with Retry-After; health answers all the same", async () => {
    const release = gateway();
    const server = await operated(
      async () => {
        await release.opened;
        return new Response("late");
      },
      { settings: { maxRequests: 2 } },
    );
    const held = [ask(`${server.url}/v1/tags`), ask(`${server.url}/v1/tags`)];
    await until("both to be under way", async () =>
      (await server.metrics.registry.metrics()).includes("pagefold_http_requests_in_flight 2"),
    );
    const refused = await ask(`${server.url}/v1/tags`, { method: "POST" }, "body");
    expect(refused.status).toBe(503);
    expect(refused.headers["retry-after"]).toBe("1");
    expect(JSON.parse(refused.body)).toMatchObject({ code: "unavailable", status: 503 });
    expect((await ask(`${server.url}/healthz`)).body).toBe("ok\n");
    release.open();
    for (const answer of await Promise.all(held)) expect(answer.body).toBe("late");
    expect((await ask(`${server.url}/v1/tags`)).status).toBe(200);
  });

  it("streams of events have a limit of their own", async () => {
    const server = await operated(
      () => new Response(new ReadableStream({ start: (c) => c.enqueue(new Uint8Array(1)) })),
      { settings: { maxSubscribers: 1 } },
    );
    const leave = new AbortController();
    const first = await fetch(`${server.url}/v1/events?volume=a`, { signal: leave.signal });
    expect(first.status).toBe(200);
    expect((await ask(`${server.url}/v1/events`)).status).toBe(503);
    leave.abort();
    await until("the place to be free", async () =>
      (await server.metrics.registry.metrics()).includes("pagefold_subscribers 0"),
    );
  });

  it("an answer that does not begin in time is 503, and the routes are told to stop", async () => {
    const aborted = gateway();
    const server = await operated(
      async (request) => {
        await once(request.signal, "abort");
        aborted.open();
        return new Response("too late");
      },
      { settings: { requestTimeout: 20 } },
    );
    const answer = await ask(`${server.url}/v1/tags`);
    expect(answer.status).toBe(503);
    expect(answer.headers["retry-after"]).toBe("1");
    expect(JSON.parse(answer.body).detail).toContain("20 ms");
    await aborted.opened;
    expect((await ask(`${server.url}/v1/tags`, { method: "HEAD" })).status).toBe(503);
    const line = await server.line(({ msg }) => msg === "request");
    expect(line).toMatchObject({ status: 503, level: "warn" });
    expect(line).not.toHaveProperty("cut");
    expect(server.lines().some(({ msg }) => msg === "the server failed")).toBe(false);
  });

  it("an upload has its time begin when it is complete, and a stream of events none", async () => {
    const server = await operated(
      async (request) => {
        if (request.method === "POST") return new Response(`${(await request.arrayBuffer()).byteLength}`);
        await new Promise((resolve) => setTimeout(resolve, 1500));
        return new Response("events");
      },
      { settings: { requestTimeout: 1000 } },
    );
    const slow = async function* (): AsyncGenerator<Uint8Array> {
      for (let i = 0; i < 4; i++) {
        await new Promise((resolve) => setTimeout(resolve, 300));
        yield new Uint8Array(10);
      }
    };
    const init = { method: "POST", body: slow() as unknown as ReadableStream, duplex: "half" };
    expect(await (await fetch(`${server.url}/v1/delete`, init as RequestInit)).text()).toBe("40");
    expect((await ask(`${server.url}/v1/events`)).body).toBe("events");
  });

  it("the rate is limited by caller: 429 with Retry-After, and others go on", async () => {
    let time = 0;
    const server = await operated(hello, {
      settings: { rateLimit: 1, rateBurst: 2, trustedProxies: 1 },
      runtime: { monotonic: () => time },
    });
    const from = (address: string) =>
      ask(`${server.url}/v1/tags`, { headers: { "x-forwarded-for": `9.9.9.9, ${address}` } });
    const statuses = [await from("1.1.1.1"), await from("1.1.1.1"), await from("1.1.1.1")].map(
      (a) => a.status,
    );
    expect(statuses).toEqual([200, 200, 429]);
    expect((await from("1.1.1.1")).headers["retry-after"]).toBe("1");
    expect((await from("2.2.2.2")).status).toBe(200);
    time += 1000;
    expect((await from("1.1.1.1")).status).toBe(200);
    expect((await from("1.1.1.1")).status).toBe(429);
    expect(await server.metrics.registry.metrics()).toContain(
      'pagefold_http_rejected_total{reason="rate"} 3',
    );
  });

  it("with tokens the rate is each account's, and of those without a good token their address's", async () => {
    const server = await operated(
      async (request, authenticate) => new Response((await authenticate!(request)).name),
      {
        settings: { rateLimit: 1, rateBurst: 1 },
        secrets: { jwtSecret: secret },
        runtime: { monotonic: () => 0 },
      },
    );
    const key = secretSigningKey(new TextEncoder().encode(secret), "x");
    const tokenOf = async (subject: string): Promise<string> =>
      (await mintToken(key, { grants: [], expiresInMs: 60_000, subject })).token;
    const call = async (token: string) => ask(server.url, { headers: { authorization: `Bearer ${token}` } });
    const [alice, bob] = [await tokenOf("alice"), await tokenOf("bob")];
    expect((await call(alice)).body).toBe("alice");
    expect((await call(alice)).status).toBe(429);
    expect((await call(bob)).status).toBe(200);
    expect((await call("bad.bad.bad")).status).toBe(401);
    expect((await call("bad.bad.bad2")).status).toBe(429);
    expect((await server.line(({ status }) => status === 429)).principal).toBe("alice");
  });
});

describe("what is no request", () => {
  it("is answered with a problem and closed", async () => {
    const server = await operated(hello);
    const nonsense = await speak(server.port, "hello server\r\n\r\n");
    expect(nonsense).toMatch(/^HTTP\/1\.1 400 /);
    expect(nonsense).toContain("application/problem+json");
    const long = await speak(server.port, `GET / HTTP/1.1\r\nHost: a\r\nX: ${"y".repeat(20_000)}\r\n\r\n`);
    expect(long).toMatch(/^HTTP\/1\.1 431 /);
    const whole = (host: string): string =>
      `GET http://${host}/healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`;
    expect(await speak(server.port, whole("localhost"))).toMatch(/^HTTP\/1\.1 200 [\s\S]*ok\n$/);
    expect(await speak(server.port, whole("evil.example").replace("healthz", "v1"))).toMatch(
      /^HTTP\/1\.1 403 /,
    );
    const noHost = await speak(
      server.port,
      "GET /v1/tags HTTP/1.1\r\nHost: a b\r\nConnection: close\r\n\r\n",
    );
    expect(noHost).toMatch(/^HTTP\/1\.1 40[03] /);
  });
});

describe("health", () => {
  it("readyz asks the store, seldom; healthz does not", async () => {
    let time = 0;
    let fails = false;
    let calls = 0;
    const store = new MemoryObjectStore();
    const list = store.list.bind(store);
    store.list = (...args) => {
      calls++;
      return fails ? Promise.reject(new PagefoldError("unavailable", "disk on fire")) : list(...args);
    };
    const server = await operated(hello, { store, runtime: { monotonic: () => time } });
    const status = async (): Promise<number> => (await ask(`${server.url}/readyz`)).status;
    expect([await status(), await status(), calls]).toEqual([200, 200, 1]);
    fails = true;
    expect(await status()).toBe(200);
    time += 1000;
    const answer = await ask(`${server.url}/readyz`);
    expect(answer.status).toBe(503);
    expect(answer.body).not.toContain("disk on fire");
    expect((await ask(`${server.url}/healthz`)).status).toBe(200);
    fails = false;
    time += 1000;
    expect(await status()).toBe(200);
    expect((await ask(`${server.url}/healthz`, { method: "DELETE" })).status).toBe(405);
  });

  it("metrics count requests by route and status, bytes, the store and the cache; own figures only", async () => {
    const server = await operated(hello);
    await ask(`${server.url}/v1/volumes/a`);
    await ask(`${server.url}/v1/volumes/b`);
    await ask(`${server.url}/volumes/${volume}/segments/x`);
    await ask(`${server.url}/nothing/of/ours`);
    server.metrics.recorder.count("remote.get.count");
    server.metrics.recorder.count("remote.get.bytes", 512);
    server.metrics.recorder.span("remote.get")(new Error("x"));
    server.metrics.recorder.count("server.cache.hit", 3);
    server.metrics.recorder.count("server.events.looks");
    server.metrics.recorder.count("server.refused.not_found");
    server.metrics.recorder.count("server.notices.sent");
    server.metrics.recorder.observe("server.events.lag_ms", 20);
    const { body, headers } = await ask(`${server.url}/metrics`);
    expect(headers["content-type"]).toContain("text/plain");
    for (const line of [
      'pagefold_http_requests_total{route="/v1/volumes/{volume}",status="200"} 2',
      'pagefold_http_requests_total{route="/volumes/{volume}/{folder}/{name}",status="200"} 1',
      'pagefold_http_requests_total{route="other",status="200"} 1',
      'pagefold_http_request_duration_seconds_count{route="/v1/volumes/{volume}"} 2',
      'pagefold_store_requests_total{operation="get"} 1',
      'pagefold_store_bytes_total{operation="get"} 512',
      'pagefold_store_failures_total{operation="get"} 1',
      'pagefold_store_duration_seconds_count{operation="get"} 1',
      'pagefold_cache_reads_total{outcome="hit"} 3',
      "pagefold_events_looks_total 1",
      "pagefold_events_lag_seconds_sum 0.02",
      "pagefold_subscribers 0",
      'pagefold_refused_total{code="not_found"} 1',
      'pagefold_notices_total{outcome="sent"} 1',
    ]) {
      expect(body).toContain(line);
    }
    const other = await operated(hello);
    expect((await ask(`${other.url}/metrics`)).body).not.toContain("/v1/volumes/{volume}");
  });

  it("metrics can be for admins, or for nobody", async () => {
    const off = await operated(hello, { settings: { metrics: "off" } });
    expect((await ask(`${off.url}/metrics`)).status).toBe(404);
    const admin = await operated(hello, {
      settings: { metrics: "admin", public: ["a"] },
      secrets: { jwtSecret: secret },
    });
    expect((await ask(`${admin.url}/metrics`)).status).toBe(403);
    const { token } = await mintToken(secretSigningKey(new TextEncoder().encode(secret), "x"), {
      grants: [{ right: "admin", prefix: "" }],
      expiresInMs: 60_000,
    });
    const answer = await ask(`${admin.url}/metrics`, { headers: { authorization: `Bearer ${token}` } });
    expect(answer.status).toBe(200);
    expect(answer.body).toMatch(/^process_cpu_seconds_total /m);
    expect(answer.body).toMatch(/^pagefold_http_requests_in_flight 1$/m);
  });

  it("answers behind a path that a proxy leaves in front", async () => {
    const server = await operated(hello, { settings: { basePath: "/data" } });
    expect((await ask(`${server.url}/data/healthz`)).body).toBe("ok\n");
    expect((await ask(`${server.url}/healthz`)).body).toBe("ok\n");
    await ask(`${server.url}/data/v1/tags`);
    expect(await server.line(({ path }) => path === "/data/v1/tags")).toMatchObject({ route: "/v1/tags" });
  });
});

describe("going down", () => {
  it("finishes what is under way, ends streams, takes nothing new", async () => {
    const release = gateway();
    const streams: ReadableStreamDefaultController[] = [];
    const server = await operated(
      async (request) => {
        if (new URL(request.url).pathname === "/v1/events") {
          return new Response(
            new ReadableStream({
              start: (controller) => {
                streams.push(controller);
                controller.enqueue(new TextEncoder().encode(": beat\n\n"));
              },
            }),
          );
        }
        await release.opened;
        return new Response("finished");
      },
      {
        settings: { drainTimeout: 30_000 },
        onEndStreams: () => {
          for (const stream of streams) stream.close();
        },
      },
    );
    const events = await fetch(`${server.url}/v1/events`);
    const held = ask(`${server.url}/v1/tags`, { agent: undefined });
    const kept = await fetch(`${server.url}/healthz`);
    await kept.text();
    await until("the request to be under way", async () =>
      (await server.metrics.registry.metrics()).includes("pagefold_http_requests_in_flight 1"),
    );
    const stopped = server.operation.stop();
    expect(await events.text()).toBe(": beat\n\n");
    await expect(ask(`${server.url}/healthz`)).rejects.toThrow("ECONNREFUSED");
    release.open();
    const answer = await held;
    expect(answer.body).toBe("finished");
    expect(answer.headers.connection).toBe("close");
    await stopped;
    await server.operation.stop();
  });

  it("is not ready for a while before it takes nothing new, where a load balancer has to notice", async () => {
    const noticed = gateway();
    const delays: number[] = [];
    const server = await operated(hello, {
      settings: { drainDelay: 5000 },
      runtime: {
        sleep: (ms) => {
          delays.push(ms);
          return noticed.opened;
        },
      },
    });
    const stopped = server.operation.stop();
    const ready = await ask(`${server.url}/readyz`);
    expect(ready.status).toBe(503);
    expect(ready.headers.connection).toBe("close");
    expect((await ask(`${server.url}/healthz`)).status).toBe(200);
    expect((await ask(`${server.url}/v1/tags`)).body).toBe("hello");
    noticed.open();
    await stopped;
    expect(delays).toEqual([5000]);
    await expect(ask(`${server.url}/healthz`)).rejects.toThrow("ECONNREFUSED");
  });

  it("cuts off what does not end in time", async () => {
    const server = await operated(() => new Promise<Response>(() => {}), { settings: { drainTimeout: 50 } });
    const held = ask(`${server.url}/v1/tags`).catch((error: Error) => error);
    await until("the request to be under way", async () =>
      (await server.metrics.registry.metrics()).includes("pagefold_http_requests_in_flight 1"),
    );
    await server.operation.stop();
    expect(await held).toBeInstanceOf(Error);
  });

  it("a port that is taken, or an address that is not ours, is said so", async () => {
    const server = await operated(hello);
    await expect(operated(hello, { settings: { port: server.port } })).rejects.toMatchObject({
      code: "busy",
    });
    const settings = { host: "192.0.2.1", openToNetwork: true };
    await expect(operated(hello, { settings })).rejects.toMatchObject({ code: "invalid" });
  });
});
