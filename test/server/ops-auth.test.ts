/** Tokens: what verifies, what is refused and why, rights, rotated keys; and that no answer repeats a secret. */
import { createHmac, generateKeyPairSync, type KeyObject, randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { exportJWK, SignJWT, UnsecuredJWT } from "jose";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Authenticator, type AuthenticatorOptions, type Identity } from "../../server/http/ops/auth.ts";
import { type Grant, grantFor } from "../../server/http/ops/grants.ts";
import { mintToken, privateSigningKey, secretSigningKey } from "../../server/http/ops/mint.ts";
import {
  keySetSource,
  publicKeySources,
  secretBytes,
  secretSource,
} from "../../server/http/ops/token-keys.ts";
import { HttpError } from "../../server/http/problem.ts";
import { isPagefoldError } from "../../src/base/errors.ts";

const now = 1_800_000_000_000;
const clock = { now: () => now as never };
const secret = new TextEncoder().encode("a secret of more than thirty-two bytes");
const volume = "01j8zk3v5n7q9r1t3w5x7y9abc";
const readShop: Grant[] = [{ right: "read", tag: "shop" }];
const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 });
const ec = generateKeyPairSync("ec", { namedCurve: "P-256" });
const ed = generateKeyPairSync("ed25519");

const pem = (key: KeyObject): string =>
  key.export({ format: "pem", type: key.type === "public" ? "spki" : "pkcs8" }).toString();

function authenticator(options: Partial<AuthenticatorOptions> = {}): Authenticator {
  return new Authenticator({ keys: [secretSource(secret, "the test")], runtime: clock, ...options });
}

/** A token by default good: HS256, an hour to go, read on the tag shop. */
function sign(
  claims: Record<string, unknown> = {},
  { alg = "HS256", key = secret as Uint8Array | KeyObject, kid = undefined as string | undefined } = {},
): Promise<string> {
  const payload = { pagefold: readShop, exp: now / 1000 + 3600, ...claims };
  return new SignJWT(payload).setProtectedHeader({ alg, ...(kid === undefined ? {} : { kid }) }).sign(key);
}

async function refusal(promise: Promise<unknown>): Promise<HttpError> {
  const error = await promise.then(
    (value) => new Error(`accepted: ${JSON.stringify(value)}`),
    (error: unknown) => error,
  );
  expect(error).toBeInstanceOf(HttpError);
  return error as HttpError;
}

describe("a token that verifies", () => {
  it.each([
    ["HS256", secret, [secretSource(secret, "x")]],
    ["HS384", secret, [secretSource(secret, "x")]],
    ["HS512", secret, [secretSource(secret, "x")]],
    ["RS256", rsa.privateKey, publicKeySources(pem(rsa.publicKey), "x")],
    ["RS512", rsa.privateKey, publicKeySources(pem(rsa.publicKey), "x")],
    ["PS384", rsa.privateKey, publicKeySources(pem(rsa.publicKey), "x")],
    ["ES256", ec.privateKey, publicKeySources(pem(ec.publicKey), "x")],
    ["EdDSA", ed.privateKey, publicKeySources(pem(ed.publicKey), "x")],
    ["Ed25519", ed.privateKey, publicKeySources(JSON.stringify(ed.publicKey.export({ format: "jwk" })), "x")],
  ] as const)("%s", async (alg, key, keys) => {
    const token = await sign({ sub: "alice" }, { alg, key });
    const identity = await authenticator({ keys }).identify(`Bearer ${token}`);
    expect(identity.name).toBe("alice");
    // Five seconds of tolerance are part of it.
    expect(identity.expiresAt).toBe(now + 3_605_000);
    expect(identity.may("read", { tags: ["shop"] })).toBe(true);
    expect(identity.may("write", { tags: ["shop"] })).toBe(false);
    expect(identity.may("read", { tags: ["other"] })).toBe(false);
  });

  it("is verified by one of several keys: a rotation is a second key", async () => {
    const other = new TextEncoder().encode("another secret of thirty-two bytes or more");
    const keys = [secretSource(other, "new"), secretSource(secret, "old")];
    expect((await authenticator({ keys }).identify(`bearer ${await sign()}`)).name).toBe("token");
    const mixed = [
      ...publicKeySources(pem(rsa.publicKey), "x"),
      ...publicKeySources(pem(ec.publicKey), "y"),
      secretSource(secret, "z"),
    ];
    const byEc = await sign({}, { alg: "ES256", key: ec.privateKey });
    expect((await authenticator({ keys: mixed }).identify(`Bearer ${byEc}`)).name).toBe("token");
    expect((await authenticator({ keys: mixed }).identify(`Bearer ${await sign()}`)).name).toBe("token");
  });

  it("may be seconds late, and is remembered no longer than it holds", async () => {
    let time = now;
    const late = authenticator({ runtime: { now: () => time as never } });
    const token = await sign({ exp: now / 1000 + 10 });
    time = now + 14_000;
    await late.identify(`Bearer ${token}`);
    time = now + 15_000;
    expect((await refusal(late.identify(`Bearer ${token}`))).message).toContain("expired");
  });

  it("names its holder in logs without control characters", async () => {
    const token = await sign({ sub: `eve\n{"level":"fatal"}\u202e${"x".repeat(200)}` });
    const { name } = await authenticator().identify(`Bearer ${token}`);
    expect(name).toMatch(/^eve \{"level":"fatal"\} x+$/);
    expect(name.length).toBe(80);
  });
});

describe("a token that does not", () => {
  const forged = (token: string): string => {
    const [head, , signature] = token.split(".");
    const body = Buffer.from(JSON.stringify({ pagefold: [{ right: "admin", prefix: "" }], exp: 9e9 }));
    return `${head}.${body.toString("base64url")}.${signature}`;
  };
  const confused = (): string => {
    // The classic: the public key, which everybody has, used as if it were a shared secret.
    const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");
    const text = `${part({ alg: "HS256" })}.${part({ pagefold: readShop, exp: 9e9 })}`;
    return `${text}.${createHmac("sha256", pem(rsa.publicKey)).update(text).digest("base64url")}`;
  };
  const withRsa = { keys: publicKeySources(pem(rsa.publicKey), "x") };
  const unsecured = new UnsecuredJWT({ pagefold: readShop }).setExpirationTime(9e9).encode();
  const stranger = generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey;

  it.each<[string, RegExp, () => string | Promise<string>, Partial<AuthenticatorOptions>?]>([
    ["a changed body", /signature/, async () => forged(await sign())],
    ["another secret", /signature/, () => sign({}, { key: randomBytes(32) })],
    ["another private key", /signature/, () => sign({}, { alg: "RS256", key: stranger }), withRsa],
    ["alg none", /algorithm/, () => unsecured],
    [
      "alg none, with a signature",
      /algorithm/,
      async () => `${unsecured.replace(/\.$/, "")}.${(await sign()).split(".")[2]}`,
    ],
    ["HS256 with the public key as its secret", /algorithm/, confused, withRsa],
    [
      "an algorithm that was not allowed",
      /algorithm/,
      () => sign({}, { alg: "HS512" }),
      { algorithms: ["HS256"] },
    ],
    [
      "a signature for another kind of key",
      /algorithm/,
      () => sign({}, { alg: "ES256", key: ec.privateKey }),
    ],
    ["the past", /expired/, () => sign({ exp: now / 1000 - 6 })],
    ["the future", /not valid yet/, () => sign({ nbf: now / 1000 + 60 })],
    ["no expiry", /expiry/, () => sign({ exp: undefined })],
    ["an expiry that is no number", /expiry|malformed|claim/, () => sign({ exp: "tomorrow" as never })],
    ["another audience", /audience/, () => sign({ aud: "b" }), { audience: ["a"] }],
    ["no audience where one is needed", /audience/, () => sign(), { audience: ["a"] }],
    ["another issuer", /issuer/, () => sign({ iss: "b" }), { issuer: ["a"] }],
    ["no claim pagefold", /no claim/, () => sign({ pagefold: undefined })],
    ["a claim that is an object", /no list/, () => sign({ pagefold: { right: "admin", prefix: "" } })],
    [
      "a right that there is not",
      /entry 2.*right/,
      () => sign({ pagefold: [...readShop, { right: "root", prefix: "" }] }),
    ],
    ["a right on nothing", /exactly one/, () => sign({ pagefold: [{ right: "read" }] })],
    [
      "a right on two things",
      /exactly one/,
      () => sign({ pagefold: [{ right: "read", tag: "a", prefix: "" }] }),
    ],
    [
      "a restriction that is not known",
      /exactly one/,
      () => sign({ pagefold: [{ right: "read", tag: "a", until: 7 }] }),
    ],
    ["a tag that is no text", /exactly one/, () => sign({ pagefold: [{ right: "read", tag: ["a"] }] })],
    ["an empty tag", /empty tag/, () => sign({ pagefold: [{ right: "read", tag: "" }] })],
    ["an id that is none", /no volume id/, () => sign({ pagefold: [{ right: "read", volume: "../x" }] })],
    [
      "more rights than a request can carry",
      /longer than/,
      () => sign({ pagefold: Array(1001).fill(readShop[0]) }),
      {},
    ],
    ["two parts", /three parts/, () => "abc.def"],
    ["five parts", /three parts/, () => "a.b.c.d.e"],
    ["no JSON in its head", /header/, () => "abc.def.ghi"],
    ["no keys here", /takes no tokens/, () => sign(), { keys: [], anonymous: readShop }],
  ])("is 401: %s", async (_, reason, make, options) => {
    const token = await make();
    const error = await refusal(authenticator(options).identify(`Bearer ${token}`));
    expect(error.message).toMatch(reason);
    expect(error).toMatchObject({ status: 401, code: "unauthorized" });
    expect(error.headers["www-authenticate"]).toMatch(/^Bearer error="invalid_token"$/);
    for (const part of token.split(".")) expect(part.length < 8 || !error.message.includes(part)).toBe(true);
    expect(JSON.stringify(error.details)).toBe("{}");
  });

  it.each([["Basic YTpi"], ["Bearer"], ["Bearer a b"], ["token"]])("is 401: a header %s", async (header) => {
    expect((await refusal(authenticator().identify(header))).message).toContain("Bearer TOKEN");
  });

  it("is 401: a head that demands what is not understood", async () => {
    const token = await new SignJWT({ pagefold: readShop, exp: 9e9 })
      .setProtectedHeader({ alg: "HS256", crit: ["urgent"], urgent: true })
      .sign(secret, { crit: { urgent: true } });
    expect((await refusal(authenticator().identify(`Bearer ${token}`))).status).toBe(401);
  });
});

describe("rights", () => {
  const identity = async (grants: readonly Grant[], anonymous: readonly Grant[] = []): Promise<Identity> =>
    authenticator({ anonymous }).identify(`Bearer ${await sign({ pagefold: grants })}`);

  it("write includes read, admin both", async () => {
    for (const [index, right] of (["read", "write", "admin"] as const).entries()) {
      const { may } = await identity([{ right, volume }]);
      const has = (["read", "write", "admin"] as const).map((wanted) => may(wanted, { volume, tags: [] }));
      expect(has).toEqual([true, index >= 1, index >= 2]);
    }
  });

  it("reach by volume, by any of its tags, by a prefix of one, by everything", async () => {
    const { may } = await identity([
      { right: "read", volume: volume.toUpperCase() },
      { right: "write", tag: "shop" },
      { right: "admin", prefix: "test-" },
    ]);
    expect(may("read", { volume, tags: [] })).toBe(true);
    expect(may("write", { volume, tags: ["a", "shop"] })).toBe(true);
    expect(may("admin", { volume, tags: ["a", "shop"] })).toBe(false);
    expect(may("admin", { tags: ["test-1"] })).toBe(true);
    expect(may("read", { tags: ["test"] })).toBe(false);
    expect(may("read", { tags: [] })).toBe(false);
    const all = await identity([{ right: "write", prefix: "" }]);
    expect(all.may("write", { volume, tags: [] })).toBe(true);
    expect(all.may("admin", { volume, tags: [] })).toBe(false);
  });

  it("of everybody come on top of those of a token", async () => {
    const { may } = await identity(readShop, [grantFor("read", "open-*")]);
    expect(may("read", { tags: ["shop"] })).toBe(true);
    expect(may("read", { tags: ["open-data"] })).toBe(true);
    expect(may("write", { tags: ["open-data"] })).toBe(false);
  });

  it("without a token are those of everybody; where there are none a token is asked for", async () => {
    const some = authenticator({ anonymous: [grantFor("read", volume), grantFor("read", "a")] });
    const { name, may, account, anonymous } = await some.identify(undefined);
    expect([name, account, anonymous]).toEqual(["anonymous", undefined, true]);
    expect(may("read", { volume, tags: [] })).toBe(true);
    expect(may("write", { volume, tags: [] })).toBe(false);
    const error = await refusal(authenticator().authenticate(new Request("http://h/v1/tags")));
    expect(error.message).toContain("a token is needed");
    expect(error.headers["www-authenticate"]).toBe("Bearer");
  });

  it("an empty list of rights is a token without any", async () => {
    expect((await identity([])).may("read", { volume, tags: ["shop"] })).toBe(false);
  });
});

describe("keys that are refused at the start", () => {
  const invalid = (work: () => unknown): string => {
    try {
      work();
    } catch (error) {
      expect(isPagefoldError(error, "invalid")).toBe(true);
      return (error as Error).message;
    }
    throw new Error("accepted");
  };

  it("short secrets, weak and private keys, shared secrets as public keys, nonsense", () => {
    expect(invalid(() => secretSource(new Uint8Array(31), "FILE"))).toContain("FILE has 31 bytes");
    expect(invalid(() => publicKeySources(pem(rsa.privateKey), "FILE"))).toContain("private key");
    expect(
      invalid(() => publicKeySources(JSON.stringify(ec.privateKey.export({ format: "jwk" })), "FILE")),
    ).toContain("private");
    expect(invalid(() => publicKeySources('{"kty":"oct","k":"c2VjcmV0"}', "FILE"))).toContain(
      "--jwt-secret-file",
    );
    const weak = generateKeyPairSync("rsa", { modulusLength: 1024 }).publicKey;
    expect(invalid(() => publicKeySources(pem(weak), "FILE"))).toContain("1024 bits");
    const x25519 = generateKeyPairSync("x25519").publicKey;
    expect(invalid(() => publicKeySources(pem(x25519), "FILE"))).toContain("x25519");
    expect(invalid(() => publicKeySources("{", "FILE"))).toContain("no JSON");
    expect(invalid(() => publicKeySources("hello", "FILE"))).toContain("neither PEM nor a JWK");
    expect(invalid(() => publicKeySources('{"keys":[]}', "FILE"))).toContain("no keys");
    expect(invalid(() => keySetSource("http://example.com/jwks"))).toContain("https://");
    expect(invalid(() => keySetSource("ftp://u:hunter2@h/jwks"))).not.toContain("hunter2");
    expect(invalid(() => authenticator({ algorithms: ["RS256"] }))).toContain("none of the algorithms");
    expect(invalid(() => authenticator({ algorithms: ["none"] }))).toContain("none of the algorithms");
  });

  it("a line end behind a secret in a file is no part of it; other bytes are", () => {
    const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
    expect(secretBytes(bytes("abc\n"))).toEqual(Buffer.from("abc"));
    expect(secretBytes(bytes("abc\r\n"))).toEqual(Buffer.from("abc"));
    expect(secretBytes(Uint8Array.of(1, 2, 10))).toEqual(Uint8Array.of(1, 2, 10));
  });
});

describe("a key set behind a URL", () => {
  let url: string;
  let served: { status: number; keys: unknown[] } = { status: 200, keys: [] };
  let requests = 0;
  const server = createServer((_, response) => {
    requests++;
    response.writeHead(served.status, { "content-type": "application/json" });
    response.end(JSON.stringify({ keys: served.keys }));
  });
  beforeAll(async () => {
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks`;
  });
  afterAll(() => {
    server.close();
  });

  const next = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const entry = async (key: KeyObject, kid: string): Promise<unknown> => ({
    ...(await exportJWK(key)),
    kid,
    alg: "RS256",
    use: "sig",
  });
  const signed = (key: KeyObject, kid: string): Promise<string> => sign({}, { alg: "RS256", key, kid });

  it("takes up a rotated key, and forgets the withdrawn one", async () => {
    served = { status: 200, keys: [await entry(rsa.publicKey, "one")] };
    requests = 0;
    const auth = authenticator({ keys: [keySetSource(url, { cooldownMs: 0 })] });
    await auth.identify(`Bearer ${await signed(rsa.privateKey, "one")}`);
    await auth.identify(
      `Bearer ${await sign({ sub: "b" }, { alg: "RS256", key: rsa.privateKey, kid: "one" })}`,
    );
    expect(requests).toBe(1);
    served = { status: 200, keys: [await entry(next.publicKey, "two")] };
    await auth.identify(`Bearer ${await signed(next.privateKey, "two")}`);
    expect(requests).toBe(2);
    const withdrawn = await sign({ sub: "c" }, { alg: "RS256", key: rsa.privateKey, kid: "one" });
    expect((await refusal(auth.identify(`Bearer ${withdrawn}`))).message).toContain("no key");
  });

  it("is not asked once per token with an unknown key", async () => {
    served = { status: 200, keys: [await entry(rsa.publicKey, "one")] };
    requests = 0;
    const auth = authenticator({ keys: [keySetSource(url)] });
    for (let i = 0; i < 5; i++) {
      expect((await refusal(auth.identify(`Bearer ${await signed(next.privateKey, `k${i}`)}`))).status).toBe(
        401,
      );
    }
    expect(requests).toBe(1);
  });

  it("that is away is 503, asked again after a pause, and known keys go on verifying", async () => {
    served = { status: 500, keys: [] };
    requests = 0;
    let time = 0;
    const source = keySetSource(url, { cooldownMs: 5000, maxAgeMs: 0, runtime: { monotonic: () => time } });
    const auth = authenticator({ keys: [source] });
    const call = async (sub: string): Promise<Identity> =>
      auth.identify(`Bearer ${await sign({ sub }, { alg: "RS256", key: rsa.privateKey, kid: "one" })}`);
    await expect(call("a")).rejects.toMatchObject({ code: "unavailable" });
    await expect(call("b")).rejects.toMatchObject({ code: "unavailable" });
    expect(requests).toBe(1);
    time = 5000;
    served = { status: 200, keys: [await entry(rsa.publicKey, "one")] };
    expect((await call("c")).name).toBe("c");
    served = { status: 500, keys: [] };
    expect((await call("d")).name).toBe("d");
    time += 60 * 60 * 1000 + 1;
    await expect(call("e")).rejects.toMatchObject({ code: "unavailable" });
  });

  it("never takes a key of it for a shared secret", async () => {
    served = {
      status: 200,
      keys: [{ kty: "oct", k: Buffer.from(secret).toString("base64url"), kid: "one", alg: "HS256" }],
    };
    const auth = authenticator({ keys: [keySetSource(url)] });
    expect((await refusal(auth.identify(`Bearer ${await sign({}, { kid: "one" })}`))).message).toContain(
      "algorithm",
    );
  });
});

describe("minted tokens", () => {
  it.each([
    ["a secret", secretSigningKey(secret, "x"), secretSource(secret, "x"), "HS256"],
    [
      "RSA",
      privateSigningKey(pem(rsa.privateKey), "x"),
      publicKeySources(pem(rsa.publicKey), "x")[0]!,
      "RS256",
    ],
    ["EC", privateSigningKey(pem(ec.privateKey), "x"), publicKeySources(pem(ec.publicKey), "x")[0]!, "ES256"],
    [
      "a JWK",
      privateSigningKey(JSON.stringify({ ...ed.privateKey.export({ format: "jwk" }), kid: "k" }), "x"),
      publicKeySources(
        JSON.stringify({ keys: [{ ...ed.publicKey.export({ format: "jwk" }), kid: "k" }] }),
        "x",
      )[0]!,
      "EdDSA",
    ],
  ])("by %s are accepted", async (_, signing, source, algorithm) => {
    expect(signing.algorithm).toBe(algorithm);
    const claims = { grants: readShop, expiresInMs: 60_000, subject: "s", audience: ["a", "b"], issuer: "i" };
    const { token, expiresAt } = await mintToken(signing, claims, clock);
    expect(expiresAt.getTime()).toBe(now + 60_000);
    const auth = authenticator({ keys: [source], audience: ["b"], issuer: ["i"] });
    expect(await auth.identify(`Bearer ${token}`)).toMatchObject({ name: "s" });
  });

  it("need a key that signs", () => {
    expect(() => secretSigningKey(new Uint8Array(8), "FILE")).toThrow("FILE has 8 bytes");
    expect(() => privateSigningKey(pem(rsa.publicKey), "FILE")).toThrow("no private key");
    expect(() => privateSigningKey("{}", "FILE")).toThrow("no private key");
    const x25519 = generateKeyPairSync("x25519").privateKey;
    expect(() => privateSigningKey(pem(x25519), "FILE")).toThrow("x25519");
  });
});
