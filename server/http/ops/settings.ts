/**
 * Everything that `pagefold serve` can be told, as one table: the command's options, the environment's variables, the keys of the configuration
 * file and the reference in docs/server.md all come from it. Flags win over the environment, the environment over the file. It imports nothing
 * heavy: every run of the command reads it.
 */
import { PagefoldError } from "../../../src/base/errors.ts";
import { PUBLIC_ALGORITHMS, SECRET_ALGORITHMS } from "./algorithms.ts";
import { parseByteSize, parseDuration } from "./quantities.ts";

interface Values {
  text: string;
  list: readonly string[];
  count: number;
  bytes: number;
  ms: number;
  seconds: number;
  yes: boolean;
}

type Kind = keyof Values;

interface Setting<K extends Kind = Kind> {
  readonly kind: K;
  /** What stands behind the flag in the help. */
  readonly value?: string;
  readonly about: string;
  readonly default?: Values[K];
  readonly oneOf?: readonly string[];
  readonly max?: number;
}

type More<K extends Kind> = Omit<Setting<K>, "kind" | "about">;

const setting = <K extends Kind, const M extends More<K> = Record<never, never>>(
  kind: K,
  about: string,
  more: M = {} as M,
): { readonly kind: K; readonly about: string } & M => ({ kind, about, ...more });

export const SETTINGS = {
  store: setting("text", "directory, file:, s3://bucket/prefix or memory:", { value: "<url>" }),
  endpoint: setting("text", "address of an S3-speaking server other than AWS", { value: "<url>" }),
  region: setting("text", "region of the S3 bucket", { value: "<name>" }),
  create: setting("yes", "create the store's directory where it is missing", { default: false }),
  host: setting("text", "address to listen on", { value: "<address>", default: "127.0.0.1" }),
  port: setting("count", "port to listen on; 0: any free one", { value: "<n>", default: 7080, max: 65_535 }),
  basePath: setting("text", "path that a proxy leaves in front, e.g. /data", {
    value: "<path>",
    default: "",
  }),
  cacheMemory: setting("bytes", "object bytes kept in memory", { value: "<size>", default: 256 * 2 ** 20 }),
  cacheDir: setting("text", "directory for a second cache, of segments, on disk", { value: "<dir>" }),
  cacheDisk: setting("bytes", "object bytes kept there", { value: "<size>", default: 16 * 2 ** 30 }),
  poll: setting("ms", "how often to look for commits of others in volumes with subscribers; 0: never", {
    value: "<time>",
    default: 0,
  }),
  peer: setting("list", "other servers of the same store, which are told of commits made here", {
    value: "<url...>",
  }),
  peerTokenFile: setting("text", "file with the token that is sent to them (or PAGEFOLD_PEER_TOKEN itself)", {
    value: "<file>",
  }),
  public: setting("list", "what anybody may read: tags, volume ids, prefixes such as shop-*, or * for all", {
    value: "<name...>",
  }),
  open: setting("yes", "anybody who reaches it may do everything; only on a loopback address", {
    default: false,
  }),
  openToNetwork: setting("yes", "the same, on whatever address", { default: false }),
  jwtSecretFile: setting(
    "list",
    "shared secrets that sign tokens, HS256 to HS512 (or PAGEFOLD_JWT_SECRET itself)",
    {
      value: "<file...>",
    },
  ),
  jwtKey: setting("list", "public keys that verify tokens: PEM, JWK or JWK set", { value: "<file...>" }),
  jwks: setting("text", "address of a JWK set, asked again when a token names a new key", { value: "<url>" }),
  jwtAlgorithm: setting("list", "only these algorithms, of those that the keys can verify", {
    value: "<name...>",
    oneOf: [...SECRET_ALGORITHMS, ...PUBLIC_ALGORITHMS],
  }),
  audience: setting("list", "only tokens for one of these audiences (aud)", { value: "<name...>" }),
  issuer: setting("list", "only tokens of one of these issuers (iss)", { value: "<name...>" }),
  clockTolerance: setting("seconds", "how far the issuer's clock may be off", {
    value: "<time>",
    default: 5,
    max: 300,
  }),
  cors: setting("list", "origins whose pages may read answers, or *", { value: "<origin...>" }),
  rateLimit: setting("count", "requests per second and caller on average; 0: any number", {
    value: "<n>",
    default: 0,
  }),
  rateBurst: setting("count", "requests at once (default: twice the rate)", { value: "<n>" }),
  trustedProxies: setting("count", "proxies in front whose X-Forwarded-For is believed", {
    value: "<n>",
    default: 0,
    max: 16,
  }),
  maxRequests: setting("count", "requests at a time; more are answered 503", { value: "<n>", default: 1000 }),
  maxSubscribers: setting("count", "streams of events at a time; more are answered 503", {
    value: "<n>",
    default: 20_000,
  }),
  requestTimeout: setting("ms", "how long an answer may take to begin; 0: any time", {
    value: "<time>",
    default: 60_000,
  }),
  idleTimeout: setting("ms", "how long a connection may be silent within a request or an answer", {
    value: "<time>",
    default: 120_000,
  }),
  drainDelay: setting("ms", "how long to go on accepting, as not ready, when the server is asked to stop", {
    value: "<time>",
    default: 0,
  }),
  drainTimeout: setting("ms", "how long requests may go on when the server is asked to stop", {
    value: "<time>",
    default: 10_000,
  }),
  metrics: setting("text", "who may read /metrics: anybody, holders of admin on everything, or nobody", {
    value: "<open|admin|off>",
    default: "open",
    oneOf: ["open", "admin", "off"],
  }),
  logLevel: setting("text", "debug, info, warn, error or silent; info has a line per request", {
    value: "<level>",
    default: "info",
    oneOf: ["debug", "info", "warn", "error", "silent"],
  }),
};

export type SettingName = keyof typeof SETTINGS;

type ValueOf<N extends SettingName> = Values[(typeof SETTINGS)[N]["kind"]];
type Defaulted = {
  [N in SettingName]: (typeof SETTINGS)[N] extends { readonly default: unknown } ? N : never;
}[SettingName];

/** What was given, and nothing else. */
export type GivenSettings = { readonly [N in SettingName]?: ValueOf<N> };
/** With defaults for whatever has one. */
export type OpsSettings = Omit<GivenSettings, Defaulted> & { readonly [N in Defaulted]: ValueOf<N> };

export const settingNames = Object.keys(SETTINGS) as SettingName[];

/** cacheDir → --cache-dir, PAGEFOLD_CACHE_DIR. */
export const flagOf = (name: SettingName): string => `--${kebab(name)}`;
export const variableOf = (name: SettingName): string =>
  `PAGEFOLD_${kebab(name).toUpperCase().replaceAll("-", "_")}`;

function kebab(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

/** Text (of a flag or a variable) or JSON (of a file) as the value of a setting; `where` names it for the message. @throws `invalid` */
export function parseSetting(name: SettingName, raw: unknown, where: string): Values[Kind] {
  const { kind, oneOf, max } = SETTINGS[name] as Setting;
  const value = parseKind(kind, raw, where);
  const texts = Array.isArray(value) ? value : [value];
  const stranger = oneOf === undefined ? undefined : texts.find((text) => !oneOf.includes(text as string));
  if (stranger !== undefined) throw refused(where, `is "${stranger}"; it may be ${oneOf?.join(", ")}`);
  if (max !== undefined && typeof value === "number" && value > max) {
    throw refused(where, `is ${value}; it may be at most ${max}`);
  }
  return value;
}

function parseKind(kind: Kind, raw: unknown, where: string): Values[Kind] {
  switch (kind) {
    case "yes":
      if (typeof raw === "boolean") return raw;
      if (raw === "true" || raw === "1") return true;
      if (raw === "false" || raw === "0" || raw === "") return false;
      throw refused(where, "is neither true nor false");
    case "list": {
      const list = typeof raw === "string" ? raw.split(",").map((part) => part.trim()) : raw;
      if (Array.isArray(list) && list.every((part) => typeof part === "string" && part !== "")) return list;
      throw refused(where, "is no list of texts");
    }
    case "text":
      if (typeof raw === "string") return raw;
      throw refused(where, "is no text");
    default:
      return parseNumber(kind, raw, where);
  }
}

function parseNumber(kind: "count" | "bytes" | "ms" | "seconds", raw: unknown, where: string): number {
  if (typeof raw === "number") {
    if (Number.isSafeInteger(raw) && raw >= 0) return raw;
    throw refused(where, "is no whole number from 0 on");
  }
  if (typeof raw !== "string") throw refused(where, "is no number");
  try {
    if (kind === "bytes") return parseByteSize(raw);
    if (kind === "ms") return parseDuration(raw, "ms");
    if (kind === "seconds") return parseDuration(raw, "s") / 1000;
  } catch (error) {
    throw refused(where, `cannot be read: ${(error as Error).message}`);
  }
  if (/^\d{1,15}$/.test(raw)) return Number(raw);
  throw refused(where, "is no whole number, digits only");
}

function refused(where: string, problem: string): PagefoldError {
  return new PagefoldError("invalid", `${where} ${problem}`);
}

/** Fills in what was not given. */
export function withDefaults(given: GivenSettings): OpsSettings {
  const all: Record<string, unknown> = {};
  for (const name of settingNames) {
    const value = given[name] ?? (SETTINGS[name] as Setting).default;
    if (value !== undefined) all[name] = value;
  }
  return all as unknown as OpsSettings;
}
