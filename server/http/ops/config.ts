/** Where settings come from: flags, then the environment, then a JSON file. A key that nobody knows is an error, not a wish that is ignored. */
import { readFile } from "node:fs/promises";
import { PagefoldError } from "../../../src/base/errors.ts";
import {
  flagOf,
  type GivenSettings,
  parseSetting,
  SETTINGS,
  type SettingName,
  settingNames,
  variableOf,
} from "./settings.ts";

export type Environment = Readonly<Record<string, string | undefined>>;

/** Secrets that the environment may carry, so that no command line and no configuration file has to. */
export interface EnvironmentSecrets {
  readonly jwtSecret?: string;
  readonly peerToken?: string;
}

export function secretsOf(env: Environment): EnvironmentSecrets {
  const { PAGEFOLD_JWT_SECRET: jwtSecret, PAGEFOLD_PEER_TOKEN: peerToken } = env;
  return { ...(jwtSecret ? { jwtSecret } : {}), ...(peerToken ? { peerToken } : {}) };
}

/**
 * All that was given, each from the strongest place that says it.
 * @param flags parsed options by name; @param file the configuration file, default: PAGEFOLD_CONFIG, else none
 * @throws `invalid` naming the key, `not_found` for a file that is not there
 */
export async function gatherSettings(
  flags: Readonly<Record<string, unknown>>,
  env: Environment,
  file: string | undefined = env.PAGEFOLD_CONFIG || undefined,
): Promise<GivenSettings> {
  const fromFile = file === undefined ? {} : await readConfigFile(file);
  const given: Record<string, unknown> = {};
  for (const name of settingNames) {
    const variable = variableIn(env, name);
    if (flags[name] !== undefined) given[name] = parseSetting(name, flags[name], flagOf(name));
    // An empty variable is how a shell or a container says "not set".
    else if (variable !== undefined && variable !== "")
      given[name] = parseSetting(name, variable, variableOf(name));
    else if (fromFile[name] !== undefined) given[name] = fromFile[name];
  }
  return given as GivenSettings;
}

/** What a variable says. Orchestrators set PAGEFOLD_PORT=tcp://… for a service called pagefold: that is not meant for us. */
function variableIn(env: Environment, name: SettingName): string | undefined {
  const text = env[variableOf(name)];
  return name === "port" && text?.startsWith("tcp://") ? undefined : text;
}

export async function readConfigFile(file: string): Promise<GivenSettings> {
  const text = await readFile(file, "utf8").catch((error: NodeJS.ErrnoException) => {
    throw new PagefoldError("not_found", `the configuration ${file} cannot be read (${error.code})`, {
      cause: error,
      details: { path: file },
    });
  });
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch (cause) {
    // Not the parser's own message: it quotes the text, and someone may have written a secret there.
    throw new PagefoldError("invalid", `the configuration ${file} is no JSON`, { cause });
  }
  if (typeof document !== "object" || document === null || Array.isArray(document)) {
    throw new PagefoldError("invalid", `the configuration ${file} is no JSON object`);
  }
  return parseConfig(document as Readonly<Record<string, unknown>>, file);
}

/** @throws `invalid` naming the key that is unknown or has a wrong value */
export function parseConfig(document: Readonly<Record<string, unknown>>, from: string): GivenSettings {
  const given: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(document)) {
    // The place for a pointer to a schema, which editors like.
    if (key === "$schema") continue;
    if (!Object.hasOwn(SETTINGS, key)) throw unknownKey(key, from);
    given[key] = parseSetting(key as SettingName, value, `"${key}" in ${from}`);
  }
  return given as GivenSettings;
}

function unknownKey(key: string, from: string): PagefoldError {
  const secrets: Record<string, string> = {
    jwtSecret: "a secret is no setting: give jwtSecretFile, or PAGEFOLD_JWT_SECRET in the environment",
    peerToken: "a token is no setting: give peerTokenFile, or PAGEFOLD_PEER_TOKEN in the environment",
  };
  const folded = key.toLowerCase().replace(/[^a-z]/g, "");
  const near = settingNames.find((name) => {
    const other = name.toLowerCase();
    return other === folded || `${other}s` === folded || other === `${folded}s`;
  });
  const hint =
    secrets[key] ??
    (near === undefined ? "see docs/server.md for those that there are" : `did you mean "${near}"?`);
  return new PagefoldError("invalid", `"${key}" in ${from} is no setting; ${hint}`, {
    details: { setting: key },
  });
}
