/**
 * The keys that tokens are verified with: shared secrets (HS…), public keys from files (RS, PS, ES, EdDSA) and key sets behind a URL, which
 * are asked again when a token names a key that is not known yet. Each source says which algorithms are its own, so that a public key can
 * never be taken for a secret. Used by auth.ts; loading happens once, at the start.
 */
import { createPublicKey, type KeyObject } from "node:crypto";
import {
  type CryptoKey,
  createLocalJWKSet,
  createRemoteJWKSet,
  customFetch,
  errors,
  type FlattenedJWSInput,
  type JWK,
  type JWSHeaderParameters,
} from "jose";
import { isPagefoldError, PagefoldError } from "../../../src/base/errors.ts";
import { type Runtime, systemRuntime } from "../../../src/base/runtime.ts";
import { PUBLIC_ALGORITHMS, SECRET_ALGORITHMS } from "./algorithms.ts";

export type VerificationKey = KeyObject | CryptoKey | Uint8Array;

export interface KeySource {
  /** What these keys may verify. */
  readonly algorithms: readonly string[];
  /**
   * The keys that a token with this header may have been signed with, none where its `kid` is unknown.
   * @throws `unavailable` where the keys cannot be had
   */
  keysFor(header: JWSHeaderParameters, token: FlattenedJWSInput): Promise<readonly VerificationKey[]>;
}

/** Shorter secrets are guessed offline from any token. */
const MIN_SECRET_BYTES = 32;
const MIN_RSA_BITS = 2048;

/** The bytes of a secret that was given as a file: a line end that an editor or `openssl rand -hex` left is no part of it. */
export function secretBytes(file: Uint8Array): Uint8Array {
  const text = Buffer.from(file).toString("latin1");
  return /^[\x20-\x7e]*\r?\n?$/.test(text) ? Buffer.from(text.replace(/\r?\n$/, ""), "latin1") : file;
}

/** Answers the secret; `from` names where it was found, for the message. @throws `invalid` for one that is too short */
export function checkSecret(secret: Uint8Array, from: string): Uint8Array {
  if (secret.length >= MIN_SECRET_BYTES) return secret;
  throw new PagefoldError(
    "invalid",
    `the secret in ${from} has ${secret.length} bytes, at least ${MIN_SECRET_BYTES} are needed; make one with openssl rand -hex 32`,
  );
}

/** @throws `invalid` for a secret that is too short */
export function secretSource(secret: Uint8Array, from: string): KeySource {
  checkSecret(secret, from);
  return { algorithms: SECRET_ALGORITHMS, keysFor: async () => [secret] };
}

/** A PEM public key or certificate, a JWK, or a JWK set. @throws `invalid` for anything else, private keys included */
export function publicKeySources(text: string, from: string): KeySource[] {
  if (/PRIVATE KEY/.test(text)) throw privateKey(from);
  if (!text.trimStart().startsWith("{")) return [publicKeySource(readPem(text, from), {}, from)];
  const document = parseObject(text, from);
  const keys = Array.isArray(document.keys) ? (document.keys as unknown[]) : [document];
  if (keys.length === 0) throw notAKey(from, "it holds no keys");
  return keys.map((key) => jwkSource(key, from));
}

function jwkSource(key: unknown, from: string): KeySource {
  if (typeof key !== "object" || key === null) throw notAKey(from, "an entry of it is no key");
  const jwk = key as JWK;
  if (jwk.d !== undefined) throw privateKey(from);
  if (jwk.kty === "oct") throw notAKey(from, "it is a shared secret; give it as --jwt-secret-file");
  try {
    return publicKeySource(createPublicKey({ key: jwk as never, format: "jwk" }), jwk, from);
  } catch (error) {
    if (isPagefoldError(error)) throw error;
    throw notAKey(from, "it is no public JWK", error);
  }
}

function publicKeySource(key: KeyObject, { kid, alg }: JWK, from: string): KeySource {
  const fitting = algorithmsOf(key);
  if (fitting.length === 0) {
    throw notAKey(
      from,
      `no signature is made with a key of this kind (${key.asymmetricKeyType}, ${key.asymmetricKeyDetails?.namedCurve ?? `${key.asymmetricKeyDetails?.modulusLength ?? "?"} bits`})`,
    );
  }
  const algorithms = alg === undefined ? fitting : fitting.filter((name) => name === alg);
  if (algorithms.length === 0) throw notAKey(from, `its alg "${alg}" is not one of ${fitting.join(", ")}`);
  return {
    algorithms,
    keysFor: async (header) =>
      kid === undefined || header.kid === undefined || kid === header.kid ? [key] : [],
  };
}

function algorithmsOf(key: KeyObject): readonly string[] {
  const { namedCurve = "", modulusLength = 0 } = key.asymmetricKeyDetails ?? {};
  switch (key.asymmetricKeyType) {
    case "rsa":
      return modulusLength < MIN_RSA_BITS ? [] : PUBLIC_ALGORITHMS.filter((name) => /^[RP]S/.test(name));
    case "rsa-pss":
      return modulusLength < MIN_RSA_BITS ? [] : PUBLIC_ALGORITHMS.filter((name) => name.startsWith("PS"));
    case "ec": {
      const names: Record<string, string> = { prime256v1: "ES256", secp384r1: "ES384", secp521r1: "ES512" };
      const name = names[namedCurve];
      return name === undefined ? [] : [name];
    }
    case "ed25519":
      return ["EdDSA", "Ed25519"];
    default:
      return [];
  }
}

export interface KeySetOptions {
  /** How long known keys are used before the set is fetched again; default 10 minutes. */
  readonly maxAgeMs?: number;
  /** After a fetch, good or bad, an unknown key causes no other for so long; default 30 seconds, 5 after a bad one. */
  readonly cooldownMs?: number;
  readonly runtime?: Pick<Runtime, "monotonic">;
}

/** How long known keys serve while the key set cannot be fetched. */
const MAX_STALE_MS = 60 * 60 * 1000;
const FAILURE_COOLDOWN_MS = 5000;
const FETCH_TIMEOUT_MS = 5000;

/** Keys behind a JWKS URL. A set that cannot be fetched is `unavailable`, never a reason to call a token forged. */
export function keySetSource(address: string, options: KeySetOptions = {}): KeySource {
  const url = checkKeySetUrl(address);
  const { cooldownMs = 30_000, maxAgeMs = 600_000, runtime = systemRuntime } = options;
  const failureCooldownMs = Math.min(cooldownMs, FAILURE_COOLDOWN_MS);
  let failed: { readonly at: number; readonly error: unknown } | undefined;
  let fetchedAt = Number.NEGATIVE_INFINITY;
  const set = createRemoteJWKSet(url, {
    cooldownDuration: cooldownMs,
    cacheMaxAge: maxAgeMs,
    timeoutDuration: FETCH_TIMEOUT_MS,
    [customFetch]: async (...request) => {
      // The library waits only after a good answer; a set that is away must not be asked once per request.
      if (failed !== undefined && runtime.monotonic() - failed.at < failureCooldownMs) throw failed.error;
      try {
        const response = await fetch(...request);
        if (response.status !== 200) throw new Error(`answered ${response.status}`);
        failed = undefined;
        fetchedAt = runtime.monotonic();
        return response;
      } catch (error) {
        failed = { at: runtime.monotonic(), error };
        throw error;
      }
    },
  });
  return {
    algorithms: PUBLIC_ALGORITHMS,
    keysFor: async (header, token) => {
      try {
        return await matching(() => set(header, token));
      } catch (error) {
        const known = set.jwks();
        if (known === undefined || runtime.monotonic() - fetchedAt > MAX_STALE_MS) {
          throw keySetAway(url, error);
        }
        const keys = await matching(() => createLocalJWKSet(known)(header, token));
        if (keys.length === 0) throw keySetAway(url, error);
        return keys;
      }
    },
  };
}

/** Runs a resolver of the library: no match is no key, several are several. */
async function matching(resolve: () => Promise<CryptoKey>): Promise<readonly CryptoKey[]> {
  try {
    return [await resolve()];
  } catch (error) {
    if (error instanceof errors.JWKSNoMatchingKey || error instanceof errors.JOSENotSupported) return [];
    if (!(error instanceof errors.JWKSMultipleMatchingKeys)) throw error;
    const keys: CryptoKey[] = [];
    for await (const key of error) keys.push(key);
    return keys;
  }
}

function checkKeySetUrl(address: string): URL {
  const url = URL.canParse(address) ? new URL(address) : undefined;
  const isLoopback = url !== undefined && /^(localhost|127(\.\d+){3}|\[::1\])$/.test(url.hostname);
  if (url !== undefined && (url.protocol === "https:" || (url.protocol === "http:" && isLoopback)))
    return url;
  throw new PagefoldError(
    "invalid",
    `the key set ${JSON.stringify(address.replace(/\/\/[^/@]*@/, "//…@"))} has no https:// address; whoever can change the keys on their way can sign tokens`,
  );
}

function keySetAway(url: URL, cause: unknown): PagefoldError {
  return new PagefoldError(
    "unavailable",
    `the keys that tokens are verified with cannot be fetched from ${url.origin}; try again later`,
    { cause },
  );
}

function readPem(text: string, from: string): KeyObject {
  try {
    return createPublicKey(text);
  } catch (error) {
    throw notAKey(from, "it is neither PEM nor a JWK", error);
  }
}

function parseObject(text: string, from: string): Record<string, unknown> {
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch (error) {
    throw notAKey(from, "it is no JSON", error);
  }
}

function privateKey(from: string): PagefoldError {
  return notAKey(
    from,
    "it is a private key, which a server must not have; give the public half (openssl pkey -in KEY -pubout)",
  );
}

function notAKey(from: string, why: string, cause?: unknown): PagefoldError {
  return new PagefoldError(
    "invalid",
    `${from} holds no public key that tokens can be verified with: ${why}`,
    {
      ...(cause === undefined ? {} : { cause }),
    },
  );
}
