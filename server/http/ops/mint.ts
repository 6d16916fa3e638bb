/** Makes tokens that this server accepts: for `pagefold token`, tests and small installations without an identity provider. */
import { createPrivateKey, type KeyObject } from "node:crypto";
import { type JWK, SignJWT } from "jose";
import { PagefoldError } from "../../../src/base/errors.ts";
import { type Runtime, systemRuntime } from "../../../src/base/runtime.ts";
import type { Grant } from "./grants.ts";
import { checkSecret } from "./token-keys.ts";

export interface SigningKey {
  readonly algorithm: string;
  readonly key: Uint8Array | KeyObject;
  readonly kid?: string;
}

export interface TokenClaims {
  readonly grants: readonly Grant[];
  readonly expiresInMs: number;
  /** Shown in the server's log. */
  readonly subject?: string;
  readonly audience?: readonly string[];
  readonly issuer?: string;
}

export interface MintedToken {
  readonly token: string;
  readonly expiresAt: Date;
}

/** @throws `invalid` for a secret that is too short */
export function secretSigningKey(secret: Uint8Array, from: string): SigningKey {
  return { algorithm: "HS256", key: checkSecret(secret, from) };
}

/** A PEM private key or a private JWK. @throws `invalid` for anything else */
export function privateSigningKey(text: string, from: string): SigningKey {
  try {
    if (!text.trimStart().startsWith("{")) {
      const key = createPrivateKey(text);
      return { algorithm: algorithmFor(key, from), key };
    }
    const jwk = JSON.parse(text) as JWK;
    const key = createPrivateKey({ key: jwk as never, format: "jwk" });
    const algorithm = jwk.alg ?? algorithmFor(key, from);
    return { algorithm, key, ...(jwk.kid === undefined ? {} : { kid: jwk.kid }) };
  } catch (error) {
    if (error instanceof PagefoldError) throw error;
    throw new PagefoldError(
      "invalid",
      `${from} is no private key in PEM or as a JWK; make one with openssl genpkey -algorithm ed25519`,
      { cause: error },
    );
  }
}

function algorithmFor(key: KeyObject, from: string): string {
  const { namedCurve = "" } = key.asymmetricKeyDetails ?? {};
  const byCurve: Record<string, string> = { prime256v1: "ES256", secp384r1: "ES384", secp521r1: "ES512" };
  const byType: Record<string, string | undefined> = {
    rsa: "RS256",
    "rsa-pss": "PS256",
    ed25519: "EdDSA",
    ec: byCurve[namedCurve],
  };
  const algorithm = byType[key.asymmetricKeyType ?? ""];
  if (algorithm !== undefined) return algorithm;
  throw new PagefoldError(
    "invalid",
    `${from} is a key of a kind that signs no tokens (${key.asymmetricKeyType}); use RSA, P-256, P-384, P-521 or Ed25519`,
  );
}

export async function mintToken(
  signing: SigningKey,
  claims: TokenClaims,
  runtime: Pick<Runtime, "now"> = systemRuntime,
): Promise<MintedToken> {
  const issuedAt = Math.floor(runtime.now() / 1000);
  const expiresAt = Math.floor((runtime.now() + claims.expiresInMs) / 1000);
  const { algorithm: alg, kid } = signing;
  const jwt = new SignJWT({ pagefold: claims.grants })
    .setProtectedHeader({ alg, typ: "JWT", ...(kid === undefined ? {} : { kid }) })
    .setIssuedAt(issuedAt)
    .setExpirationTime(expiresAt);
  if (claims.subject !== undefined) jwt.setSubject(claims.subject);
  if (claims.issuer !== undefined) jwt.setIssuer(claims.issuer);
  if (claims.audience !== undefined && claims.audience.length > 0) jwt.setAudience([...claims.audience]);
  return { token: await jwt.sign(signing.key), expiresAt: new Date(expiresAt * 1000) };
}
