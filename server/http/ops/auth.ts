/**
 * Who calls: verifies the bearer token of a request and answers with what its holder may do. Verified tokens are remembered for a minute at
 * most, because a signature costs more than a page. Nothing that is thrown or logged here holds a token, a secret or a key.
 */
import { createHash } from "node:crypto";
import { decodeProtectedHeader, errors, type FlattenedJWSInput, type JWTPayload, jwtVerify } from "jose";
import { isPagefoldError, PagefoldError } from "../../../src/base/errors.ts";
import { Lru } from "../../../src/base/lru.ts";
import { type Runtime, systemRuntime } from "../../../src/base/runtime.ts";
import type { Authenticate, Principal, Right, Subject } from "../principal.ts";
import { HttpError } from "../problem.ts";
import { PUBLIC_ALGORITHMS, SECRET_ALGORITHMS } from "./algorithms.ts";
import { type Grant, Grants, parseClaim } from "./grants.ts";
import type { KeySource } from "./token-keys.ts";

/** A principal, and whom its requests are counted against. */
export interface Identity extends Principal {
  /** Undefined: whoever has no token is told apart by the address. */
  readonly account?: string;
}

export interface AuthenticatorOptions {
  /** What verifies tokens; none: tokens are refused. */
  readonly keys: readonly KeySource[];
  /** What callers without a token may do, and those with one may do besides. None: a token is needed for everything. */
  readonly anonymous?: readonly Grant[];
  /** Only tokens for one of these (`aud`); default: whatever audience. */
  readonly audience?: readonly string[];
  /** Only tokens of one of these (`iss`). */
  readonly issuer?: readonly string[];
  /** Narrows what the keys could verify. */
  readonly algorithms?: readonly string[];
  /** How far the clocks of issuer and server may be apart; default 5. */
  readonly clockToleranceSeconds?: number;
  readonly runtime?: Pick<Runtime, "now">;
}

const CLOCK_TOLERANCE_SECONDS = 5;
/** A key that was withdrawn verifies nothing after this. */
const REMEMBERED_MS = 60_000;
/** Characters of all remembered tokens together. */
const REMEMBERED_CHARS = 8 * 2 ** 20;
const MAX_TOKEN_CHARS = 16 * 1024;
const MAX_NAME_CHARS = 80;

export class Authenticator {
  readonly #options: AuthenticatorOptions;
  readonly #algorithms: ReadonlySet<string>;
  readonly #anonymous: Identity | undefined;
  readonly #toleranceSeconds: number;
  readonly #now: () => number;
  readonly #remembered = new Lru<string, { readonly identity: Identity; readonly until: number }>(
    REMEMBERED_CHARS,
  );

  constructor(options: AuthenticatorOptions) {
    this.#options = options;
    this.#toleranceSeconds = options.clockToleranceSeconds ?? CLOCK_TOLERANCE_SECONDS;
    this.#now = () => (options.runtime ?? systemRuntime).now();
    const possible = options.keys.flatMap(({ algorithms }) => algorithms);
    const known: readonly string[] = [...SECRET_ALGORITHMS, ...PUBLIC_ALGORITHMS];
    // Whatever a key source says: "none" and what nobody has thought of are never among them.
    this.#algorithms = new Set(
      possible.filter((name) => known.includes(name) && (options.algorithms?.includes(name) ?? true)),
    );
    if (options.keys.length > 0 && this.#algorithms.size === 0) {
      throw new PagefoldError(
        "invalid",
        `none of the algorithms ${(options.algorithms ?? []).join(", ")} belongs to the keys that are given; these verify ${possible.join(", ")}`,
      );
    }
    const grants = options.anonymous ?? [];
    this.#anonymous =
      grants.length === 0
        ? undefined
        : identityOf({ name: "anonymous", anonymous: true }, new Grants(grants));
  }

  /** For `createServer`. */
  readonly authenticate: Authenticate = (request) => this.identify(request.headers.get("authorization"));

  /**
   * The holder of the token in an `Authorization` header.
   * @throws `unauthorized` with the reason; `unavailable` where the keys to verify it with cannot be had
   */
  async identify(authorization: string | null | undefined): Promise<Identity> {
    if (authorization === null || authorization === undefined || authorization === "") {
      if (this.#anonymous !== undefined) return this.#anonymous;
      throw unauthorized("a token is needed here; send Authorization: Bearer TOKEN", false);
    }
    const token = /^Bearer +(\S+) *$/i.exec(authorization)?.[1];
    if (token === undefined) {
      throw unauthorized("the Authorization header is not of the form Bearer TOKEN");
    }
    const now = this.#now();
    const remembered = this.#remembered.get(token);
    if (remembered !== undefined && now < remembered.until) return remembered.identity;
    const identity = await this.#verify(token, now);
    const until = Math.min(identity.expiresAt ?? 0, now + REMEMBERED_MS);
    this.#remembered.set(token, { identity, until }, token.length);
    return identity;
  }

  async #verify(token: string, now: number): Promise<Identity> {
    if (this.#options.keys.length === 0) throw unauthorized("this server takes no tokens; send none");
    if (token.length > MAX_TOKEN_CHARS)
      throw unauthorized(`the token is longer than ${MAX_TOKEN_CHARS} bytes`);
    const payload = await this.#payload(token, now);
    const grants = parseClaim(payload.pagefold);
    if (typeof grants === "string") throw unauthorized(`the token says nothing usable: ${grants}`);
    return identityOf(
      {
        name: nameOf(payload),
        account: accountOf(payload, token),
        expiresAt: ((payload.exp ?? 0) + this.#toleranceSeconds) * 1000,
      },
      new Grants([...grants, ...(this.#options.anonymous ?? [])]),
    );
  }

  async #payload(token: string, now: number): Promise<JWTPayload> {
    const { header, input } = takeApart(token);
    const { alg } = header;
    if (alg === undefined || !this.#algorithms.has(alg)) {
      throw unauthorized(`its algorithm is not one of ${[...this.#algorithms].join(", ")}`);
    }
    let reason: unknown;
    for (const source of this.#options.keys) {
      if (!source.algorithms.includes(alg)) continue;
      for (const key of await source.keysFor(header, input)) {
        try {
          const { audience, issuer } = this.#options;
          const { payload } = await jwtVerify(token, key, {
            algorithms: [alg],
            requiredClaims: ["exp"],
            clockTolerance: this.#toleranceSeconds,
            currentDate: new Date(now),
            ...(audience === undefined || audience.length === 0 ? {} : { audience: [...audience] }),
            ...(issuer === undefined || issuer.length === 0 ? {} : { issuer: [...issuer] }),
          });
          return payload;
        } catch (error) {
          // Otherwise the signature is that of this key, and no other key makes the token any better.
          if (!(error instanceof errors.JWSSignatureVerificationFailed)) throw reasonOf(error);
          reason = error;
        }
      }
    }
    throw reasonOf(reason);
  }
}

/** What is needed to choose a key; nothing of it is verified yet. */
function takeApart(token: string): {
  readonly header: ReturnType<typeof decodeProtectedHeader>;
  readonly input: FlattenedJWSInput;
} {
  const [protectedHeader, payload, signature, more] = token.split(".");
  if (!protectedHeader || !payload || signature === undefined || more !== undefined) {
    throw unauthorized("the token is no JWT of three parts");
  }
  try {
    const header = decodeProtectedHeader(token);
    return { header, input: { protected: protectedHeader, payload, signature } };
  } catch {
    throw unauthorized("the token's header cannot be read");
  }
}

function identityOf(who: Omit<Identity, "may" | "creates">, grants: Grants): Identity {
  return {
    ...who,
    creates: grants.creates,
    may: (right: Right, subject: Subject) => grants.may(right, subject),
  };
}

function nameOf({ sub }: JWTPayload): string {
  if (typeof sub !== "string" || sub === "") return "token";
  return sub.replace(/[\p{C}\p{Z}]+/gu, " ").slice(0, MAX_NAME_CHARS);
}

function accountOf({ iss, sub }: JWTPayload, token: string): string {
  if (typeof sub === "string") return JSON.stringify([iss ?? "", sub]);
  return createHash("sha256").update(token).digest("base64");
}

/** Says what is wrong with a token without repeating any of it. */
function reasonOf(error: unknown): Error {
  if (isPagefoldError(error)) return error;
  if (error === undefined) return unauthorized("no key that is known here can have signed the token");
  if (error instanceof errors.JWTExpired) return unauthorized("the token has expired; get a new one");
  if (error instanceof errors.JWTClaimValidationFailed) return unauthorized(claimProblem(error.claim));
  if (error instanceof errors.JWSSignatureVerificationFailed)
    return unauthorized("the token's signature does not verify");
  return unauthorized("the token is malformed");
}

function claimProblem(claim: string): string {
  switch (claim) {
    case "aud":
      return "the token is meant for another audience";
    case "iss":
      return "the token is of another issuer";
    case "nbf":
      return "the token is not valid yet";
    case "exp":
      return "the token has no time of expiry (exp)";
    default:
      return "a claim of the token does not hold";
  }
}

function unauthorized(reason: string, withToken = true): HttpError {
  const challenge = withToken ? 'Bearer error="invalid_token"' : "Bearer";
  return new HttpError(401, "unauthorized", reason, { headers: { "www-authenticate": challenge } });
}
