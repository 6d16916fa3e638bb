/**
 * Who may do what on a server, worked out from its settings before it listens. A server that anybody could change is never started by leaving
 * something out: without keys it is open on a loopback address only.
 */
import { PagefoldError } from "../../../src/base/errors.ts";
import type { Runtime } from "../../../src/base/runtime.ts";
import { isLoopback } from "./address.ts";
import { Authenticator } from "./auth.ts";
import type { EnvironmentSecrets } from "./config.ts";
import { grantFor } from "./grants.ts";
import { readGiven } from "./read-given.ts";
import type { OpsSettings } from "./settings.ts";
import { type KeySource, keySetSource, publicKeySources, secretBytes, secretSource } from "./token-keys.ts";

export interface Admission {
  /** Undefined: everybody may do everything. */
  readonly authenticator: Authenticator | undefined;
  /** Whether only this machine reaches a server without keys: then web pages are kept away. */
  readonly guarded: boolean;
  /** For the lines at the start. */
  readonly facts: readonly string[];
}

export async function admission(
  settings: OpsSettings,
  secrets: EnvironmentSecrets,
  runtime: Pick<Runtime, "now" | "monotonic">,
): Promise<Admission> {
  const keys = await loadKeys(settings, secrets, runtime);
  const names = settings.public ?? [];
  const loopback = isLoopback(settings.host);
  const nobodyNamed = keys.length === 0 && names.length === 0;
  if (settings.open || settings.openToNetwork) {
    if (!nobodyNamed)
      throw invalid("open and keys or public names exclude one another: take one of them out");
    if (!loopback && !settings.openToNetwork) {
      throw invalid(
        `--open lets anybody who reaches ${settings.host} change and delete everything; give keys (--jwt-…), or --open-to-network if that is meant`,
      );
    }
  } else if (nobodyNamed && !loopback) {
    throw invalid(
      `on ${settings.host} others can reach this server, and nothing says who may do what; give keys (--jwt-secret-file, --jwt-key, --jwks), --public NAME for reading, or --open-to-network`,
    );
  }
  if (nobodyNamed) return openAdmission(settings, loopback);
  const anonymous = names.map((name) => grantFor("read", name));
  const { audience, issuer, jwtAlgorithm: algorithms, clockTolerance } = settings;
  const authenticator = new Authenticator({
    keys,
    anonymous,
    runtime,
    clockToleranceSeconds: clockTolerance,
    ...(audience === undefined ? {} : { audience }),
    ...(issuer === undefined ? {} : { issuer }),
    ...(algorithms === undefined ? {} : { algorithms }),
  });
  return { authenticator, guarded: false, facts: describe(settings, keys) };
}

function openAdmission(settings: OpsSettings, loopback: boolean): Admission {
  const who = loopback ? "whoever is on this machine" : `whoever reaches ${settings.host}`;
  const why = settings.open || settings.openToNetwork ? "as asked" : "no keys were given";
  return { authenticator: undefined, guarded: loopback, facts: [`open: ${who} may do everything (${why})`] };
}

function describe(settings: OpsSettings, keys: readonly KeySource[]): string[] {
  const algorithms = [...new Set(keys.flatMap((key) => key.algorithms))].filter(
    (name) => settings.jwtAlgorithm?.includes(name) ?? true,
  );
  const names = settings.public ?? [];
  const tokens =
    keys.length === 0
      ? "tokens: none are taken, nobody may write"
      : `tokens: ${algorithms.join(", ")}${
          settings.audience === undefined ? "" : `, for ${settings.audience.join(" or ")}`
        }${settings.issuer === undefined ? "" : `, of ${settings.issuer.join(" or ")}`}`;
  return [tokens, names.length === 0 ? "public: nothing" : `public: anybody may read ${names.join(", ")}`];
}

async function loadKeys(
  settings: OpsSettings,
  secrets: EnvironmentSecrets,
  runtime: Pick<Runtime, "monotonic">,
): Promise<KeySource[]> {
  const keys: KeySource[] = [];
  if (secrets.jwtSecret !== undefined) {
    keys.push(secretSource(new TextEncoder().encode(secrets.jwtSecret), "PAGEFOLD_JWT_SECRET"));
  }
  for (const file of settings.jwtSecretFile ?? []) {
    keys.push(secretSource(secretBytes(await readGiven(file)), file));
  }
  for (const file of settings.jwtKey ?? []) {
    keys.push(...publicKeySources((await readGiven(file)).toString("utf8"), file));
  }
  if (settings.jwks !== undefined) keys.push(keySetSource(settings.jwks, { runtime }));
  return keys;
}

function invalid(message: string): PagefoldError {
  return new PagefoldError("invalid", message);
}
