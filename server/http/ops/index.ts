/**
 * `startServer`: a store over HTTP, in operation. It opens the store and the cache, works out who may do what, makes the routes and puts everything
 * around them; `pagefold serve` and applications call it.
 */
import { availableParallelism } from "node:os";
import type { DestinationStream } from "pino";
import packageJson from "../../../package.json" with { type: "json" };
import { PagefoldError } from "../../../src/base/errors.ts";
import { type Runtime, systemRuntime } from "../../../src/base/runtime.ts";
import { loadCodecs } from "../../../src/format/codecs.ts";
import { CodecPool } from "../../../src/node/codec-pool.ts";
import { openLocalFiles, openObjectStore } from "../../../src/node/index.ts";
import { nativeZstd } from "../../../src/node/native-zstd.ts";
import type { ObjectStore } from "../../../src/remote/object-store.ts";
import type { Peer } from "../events/peers.ts";
import type { Authenticate } from "../principal.ts";
import { createServer, type PagefoldServer, type ServerFigures } from "../server.ts";
import { admission } from "./admission.ts";
import type { EnvironmentSecrets } from "./config.ts";
import { describeServer } from "./facts.ts";
import { errorFields } from "./log.ts";
import { Metrics } from "./metrics.ts";
import { logOf, type OperateParts, operate, type Routes } from "./operate.ts";
import { readGiven } from "./read-given.ts";
import { recordOf } from "./request-record.ts";
import { type GivenSettings, type OpsSettings, withDefaults } from "./settings.ts";

export interface StartComponents {
  /** Serves this one in the place of `settings.store`; it stays open when the server closes. */
  readonly store?: ObjectStore;
  /** Secrets that are given themselves rather than by a file; nothing is read from the environment here. */
  readonly secrets?: EnvironmentSecrets;
  /** Takes the lines of the log; default: stderr. */
  readonly log?: DestinationStream;
  readonly runtime?: Runtime;
}

export interface RunningServer {
  /** Where it listens, without the base path. */
  readonly url: string;
  readonly host: string;
  readonly port: number;
  /** What is served. */
  readonly store: string;
  /** What it serves, where, to whom: one line each. */
  readonly facts: readonly string[];
  /** Lets requests finish, ends streams of events, closes the store. Idempotent; never rejects for what a client did. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** Threads that verify what is pushed. */
const MAX_VERIFIERS = 4;

/** What has to be closed again, last opened first. */
type Closers = (() => Promise<void> | void)[];

/**
 * Resolves when requests are answered.
 * @throws `invalid` for settings that do not fit together or would let anybody write, `busy` for a port or a cache directory that is taken, and what
 * opening the store throws
 */
export async function startServer(
  given: GivenSettings,
  components: StartComponents = {},
): Promise<RunningServer> {
  const settings = withDefaults(given);
  const closers: Closers = [];
  const closeAll = async (): Promise<void> => {
    for (const close of closers.splice(0).reverse()) await close();
  };
  try {
    return await start(settings, components, closers, closeAll);
  } catch (error) {
    await closeAll();
    throw error;
  }
}

async function start(
  settings: OpsSettings,
  components: StartComponents,
  closers: Closers,
  closeAll: () => Promise<void>,
): Promise<RunningServer> {
  const { runtime = systemRuntime, secrets = {} } = components;
  checkBasePath(settings.basePath);
  const admitted = await admission(settings, secrets, runtime);
  const peers = await peersOf(settings, secrets);
  const log = logOf(settings, components.log);
  closers.push(() => log.flush());
  const store = components.store ?? (await openStore(settings));
  if (components.store === undefined) closers.push(() => store.close());
  const metrics = new Metrics(runtime);
  const parts = { settings, store, metrics, log, runtime, version: packageJson.version };
  const operation = await operate({
    ...parts,
    admission: admitted,
    routes: (authenticate) => openRoutes({ ...parts, peers, authenticate }, closers),
  });
  const { url, host, port } = operation.listening;
  const { version } = packageJson;
  const facts = describeServer(settings, { url, store: store.url, access: admitted.facts, version });
  log.logger.info({ url, store: store.url, version }, "serving");
  let closed: Promise<void> | undefined;
  const close = (): Promise<void> => {
    closed ??= operation.stop().then(() => {
      log.logger.info("stopped");
      return closeAll();
    });
    return closed;
  };
  return { url, host, port, store: store.url, facts, close, [Symbol.asyncDispose]: close };
}

type RouteParts = Pick<OperateParts, "settings" | "store" | "metrics" | "log" | "runtime" | "version"> & {
  readonly peers: readonly Peer[];
  readonly authenticate: Authenticate | undefined;
};

/** `createServer` with what Node has: native zstd, threads that verify, a cache on disk. */
async function openRoutes(parts: RouteParts, closers: Closers): Promise<Routes> {
  const { settings, store, metrics, log, authenticate } = parts;
  const cache = settings.cacheDir === undefined ? undefined : await openLocalFiles(settings.cacheDir);
  if (cache !== undefined) closers.push(() => cache.release());
  const native = nativeZstd();
  const codecs = await loadCodecs(native === undefined ? {} : { nativeZstd: native });
  const decoder = new CodecPool(codecs, Math.min(MAX_VERIFIERS, availableParallelism()));
  closers.push(() => decoder.close());
  const server = createServer({
    store,
    codecs,
    decoder,
    peers: parts.peers,
    runtime: parts.runtime,
    recorder: metrics.recorder,
    version: parts.version,
    settings: {
      cacheMemoryBytes: settings.cacheMemory,
      cacheDiskBytes: settings.cacheDisk,
      pollMs: settings.poll,
      basePath: settings.basePath,
    },
    ...(authenticate === undefined ? {} : { authenticate }),
    ...(cache === undefined ? {} : { cacheFiles: cache.files }),
    onError: (error, request) => {
      const { logger } = log;
      const fields = { id: recordOf(request)?.id, ...errorFields(error) };
      // Nobody waits for what a client gave up; that is no failure of ours.
      if (request.signal.aborted) logger.debug(fields, "given up");
      else logger.error(fields, "no answer");
    },
  });
  closers.push(() => server.close());
  await server.ready();
  showFigures(server, metrics);
  return server;
}

function showFigures(server: PagefoldServer, metrics: Metrics): void {
  const show = (name: string, help: string, read: (of: ServerFigures) => number): void =>
    metrics.gauge(`pagefold_${name}`, help, () => {
      const figures = server.figures();
      return figures === undefined ? 0 : read(figures);
    });
  show("event_volumes", "Volumes that somebody follows.", (of) => of.eventVolumes);
  show("cache_memory_bytes", "Object bytes in memory.", (of) => of.cache.memoryBytes);
  show("cache_disk_blocks", "Blocks of objects on disk.", (of) => of.cache.diskBlocks);
  show("cache_evictions", "Blocks that gave way to others.", (of) => of.cache.evictions);
}

async function openStore({ store, endpoint, region, create }: OpsSettings): Promise<ObjectStore> {
  if (store === undefined) {
    throw new PagefoldError(
      "invalid",
      "no store is named; give a directory, file:, s3://bucket/prefix or memory:",
    );
  }
  return openObjectStore(store, {
    create,
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(region === undefined ? {} : { region }),
  });
}

async function peersOf(settings: OpsSettings, secrets: EnvironmentSecrets): Promise<Peer[]> {
  const file = settings.peerTokenFile;
  const token =
    secrets.peerToken ?? (file === undefined ? undefined : (await readGiven(file)).toString("utf8").trim());
  return (settings.peer ?? []).map((url) => {
    if (!/^https?:$/.test(URL.canParse(url) ? new URL(url).protocol : "")) {
      throw new PagefoldError("invalid", `the peer "${url}" is no http:// or https:// address`);
    }
    return { url, ...(token === undefined ? {} : { authorization: `Bearer ${token}` }) };
  });
}

function checkBasePath(path: string): void {
  if (path === "" || /^(\/[A-Za-z0-9._~-]+)+$/.test(path)) return;
  throw new PagefoldError(
    "invalid",
    `the base path "${path}" does not begin with a slash and end without one; write for example /data`,
  );
}
