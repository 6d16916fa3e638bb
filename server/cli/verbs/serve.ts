import { InvalidArgumentError, Option } from "commander";
import packageJson from "../../../package.json" with { type: "json" };
import { isPagefoldError } from "../../../src/base/errors.ts";
import { gatherSettings, secretsOf } from "../../http/ops/config.ts";
import { sizeText } from "../../http/ops/facts.ts";
import {
  flagOf,
  parseSetting,
  SETTINGS,
  type SettingName,
  settingNames,
  variableOf,
  withDefaults,
} from "../../http/ops/settings.ts";
import { usageError } from "../errors.ts";
import { nonEmpty } from "../options.ts";
import type { Verb } from "../verb.ts";

const helpText = `
Every option is also a key of the configuration file and a variable of the
environment: --cache-dir is "cacheDir" in FILE, and PAGEFOLD_CACHE_DIR. Options
win over variables, variables over the file. Lists are JSON arrays there, and
separated by commas in variables. Sizes are bytes or 64k, 256M, 10G; times are
milliseconds (seconds for --clock-tolerance) or 500ms, 90s, 15m, 1h.

  pagefold serve --store ./data
      open to this machine: everybody on it may do everything
  pagefold serve --store s3://bucket/data --host 0.0.0.0 --public "*"
      anybody may read, nobody may write
  pagefold serve --store ./data --host 0.0.0.0 --jwt-secret-file ./secret
      tokens say who may do what; pagefold token makes them

Secrets are given by file or as PAGEFOLD_JWT_SECRET and PAGEFOLD_PEER_TOKEN, never
as an option, where other users of the machine would see them.

What it serves and where goes to stderr, then a line of JSON per request; with
--json one line on stdout says the address. SIGTERM or Ctrl-C lets requests
finish, twice ends it at once.`;

interface ServeOptions extends Readonly<Record<string, unknown>> {
  readonly config?: string;
  readonly json?: true;
  readonly quiet?: true;
}

/** `pagefold serve`: a store over HTTP. */
export const serveVerb: Verb = (program, run) => {
  const command = program
    .command("serve")
    .description("serve a store over HTTP: to read, write and follow volumes")
    .option("--config <file>", "JSON file with settings (default: PAGEFOLD_CONFIG)", nonEmpty);
  for (const name of settingNames) command.addOption(optionOf(name));
  command
    .option("--json", "one line of JSON on stdout when it serves; errors as JSON on stderr")
    .option("--quiet", "nothing on stderr but the log")
    .addHelpText("after", helpText)
    .action(({ config, json, quiet, ...flags }: ServeOptions) =>
      run({ ...(json ? { json } : {}), ...(quiet ? { quiet } : {}) }, async (session) => {
        const given = await gatherSettings(flags, process.env, config);
        const settings = withDefaults(given);
        if (settings.store === undefined) {
          throw usageError(
            `no store is named; give --store, ${variableOf("store")}, or "store" in the configuration`,
          );
        }
        // Loaded here: the other verbs have nothing to do with HTTP.
        const { startServer } = await import("../../http/ops/index.ts");
        const server = await startServer(settings, { secrets: secretsOf(process.env) });
        session.onEnd(() => server.close());
        const { url, host, port, facts } = server;
        if (session.output.json) {
          await session.output.text(
            JSON.stringify({ url, host, port, store: server.store, version: packageJson.version }),
          );
        }
        for (const fact of facts) session.output.talk(`pagefold: ${fact}`);
        await aborted(session.signal);
        await server.close();
        return undefined;
      }),
    );
};

function optionOf(name: SettingName): Option {
  const {
    kind,
    about,
    value,
    default: preset,
  } = SETTINGS[name] as {
    readonly kind: string;
    readonly about: string;
    readonly value?: string;
    readonly default?: unknown;
  };
  const shown =
    preset === undefined || preset === false || preset === ""
      ? ""
      : ` (default: ${presetText(kind, preset)})`;
  const option = new Option(`${flagOf(name)}${value === undefined ? "" : ` ${value}`}`, about + shown);
  if (kind === "yes") return option;
  return option.argParser((text: string, before: unknown) => {
    const parsed = argument(() => parseSetting(name, kind === "list" ? [text] : text, flagOf(name)));
    return kind === "list" && Array.isArray(before) ? [...before, ...(parsed as string[])] : parsed;
  });
}

function presetText(kind: string, preset: unknown): string {
  if (kind === "bytes") return sizeText(preset as number);
  if (preset === 0 || (kind !== "ms" && kind !== "seconds")) return String(preset);
  return `${kind === "ms" ? Number(preset) / 1000 : preset}s`;
}

/** What a parser refuses is a mistake in the arguments. */
function argument<T>(parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    if (isPagefoldError(error, "invalid")) throw new InvalidArgumentError(error.message);
    throw error;
  }
}

/** Stopping is how a server ends, so that it is no failure. */
function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
