/** Opening a database: which store, which thread, which bridge; and what belongs to the connection until it is closed. */
import { isPagefoldError, PagefoldError, throwIfAborted } from "../src/base/errors.ts";
import { loadPart } from "../src/base/load-part.ts";
import { MemoryRecorder, noopRecorder, type Recorder } from "../src/base/recorder.ts";
import { systemRuntime } from "../src/base/runtime.ts";
import type { ObjectStore } from "../src/remote/object-store.ts";
import { withMetrics } from "../src/remote/with-metrics.ts";
import { withRetry } from "../src/remote/with-retry.ts";
import type { PageStore } from "../src/store/page-store.ts";
import { Bell } from "./bridge/bell.ts";
import type { BridgeKind } from "./bridge/bridge.ts";
import { describeStore, serveObjectStore } from "./port/serve-object-store.ts";
import { teeRecorder } from "./recorders.ts";
import type { EngineParts, EngineRequest, SessionSettings } from "./session/engine.ts";
import type { LocalClient } from "./session/local-client.ts";
import type { SessionClient, SessionEvent } from "./session/protocol.ts";
import { canSuspend } from "./sqlite/thunks.ts";
import { unreachableStore } from "./unreachable-store.ts";
import { WorkerClient } from "./worker/client.ts";
import type { Platform, SqlWorker, StoreAddress } from "./worker/launch.ts";

/**
 * A store by its URL; an object store that is open, which stays open; or a page store that is open, which stays open: then SQL runs on the
 * caller's thread.
 */
export type DatabaseStore = string | StoreAddress | ObjectStore | PageStore;

export interface ConnectOptions extends Omit<EngineRequest, "name">, SessionSettings {
  readonly signal?: AbortSignal;
  /** Gets `remote.*` of every request, `sql.query.duration_ms` and `sql.fault.count`. */
  readonly recorder?: Recorder;
  /** Run SQL in a worker (default), or on this thread. */
  readonly worker?: boolean;
  /** How faults are bridged; default: the best that the runtime has. */
  readonly bridge?: BridgeKind;
  /** Requests for faults under way at a time, with the shared-memory bridge. Default 16. */
  readonly concurrency?: number;
  /**
   * How long a query waits for pages before it ends with `unavailable`, milliseconds, with the shared-memory bridge; with the sync-xhr bridge, for one
   * range of them, and it tries that three times. Default 120000.
   */
  readonly faultTimeoutMs?: number;
  /** The worker's script, where a bundler has moved it. Default: the script beside this module. */
  readonly workerUrl?: URL | string;
}

/** An open connection, and what it has cost. */
export interface Connected {
  readonly client: SessionClient;
  readonly recorder: Recorder;
  cost(): { readonly requests: number; readonly bytesFetched: number };
  onEvent(listener: (event: SessionEvent) => void): void;
  listen(names: readonly SessionEvent["name"][]): void;
  close(): Promise<void>;
  /** Resolves when the worker has ended, whatever the reason; never without one. */
  readonly ended: Promise<void>;
  /** One more session on the same store, with a connection and transactions of its own; it is to be closed before this. */
  attach(
    name: string,
    options: ConnectOptions,
    onEvent: (event: SessionEvent) => void,
  ): Promise<AttachedSession>;
}

export interface AttachedSession extends SessionClient {
  listen(names: readonly SessionEvent["name"][]): void;
}

/** A store, and what ends it where it is ours. */
interface Held {
  readonly store: ObjectStore;
  readonly release: () => Promise<void>;
}

interface Opening {
  readonly platform: Platform;
  readonly request: EngineRequest;
  readonly settings: SessionSettings;
  readonly options: ConnectOptions;
  readonly onEvent: (event: SessionEvent) => void;
}

/**
 * @param store or the promise of an object store, which stays open: the worker is started meanwhile
 * @throws `not_found` (no such volume), `invalid` (it holds no database), `unavailable`, `busy` (the local directory is in use)
 */
export async function connect(
  platform: Platform,
  store: DatabaseStore | Promise<ObjectStore>,
  name: string,
  options: ConnectOptions,
): Promise<Connected> {
  const { signal, recorder = noopRecorder } = options;
  throwIfAborted(signal, "opening the database");
  let tell: (event: SessionEvent) => void = () => {};
  const opening: Opening = {
    platform,
    ...dataOf(name, options),
    options,
    onEvent: (event) => tell(event),
  };
  const counted = new MemoryRecorder();
  const meter = teeRecorder(counted, recorder);
  const worker = isPageStore(store) || options.worker === false ? undefined : launch(platform, options);
  let held: Held | undefined;
  try {
    if (!isPageStore(store)) held = await holdStore(platform, store, name, options);
    const client =
      held === undefined || worker === undefined
        ? await openHere(opening, store as PageStore, held && keptOpen(withMetrics(held.store, counted)))
        : await openInWorker(opening, worker, withMetrics(held.store, meter), meter);
    return {
      client,
      recorder,
      cost: () => costOf(counted),
      onEvent: (listener) => {
        tell = listener;
      },
      listen: (names) => listenTo(client, names),
      ended: client instanceof WorkerClient ? client.ended : new Promise(() => {}),
      attach: async (name, itsOptions, onEvent) => {
        const attached = await attachTo(client, name, itsOptions, onEvent);
        return {
          call: (...call) => attached.call(...call),
          close: () => attached.close(),
          listen: (names) => listenTo(attached, names),
        };
      },
      close: async () => {
        try {
          await client.close();
        } finally {
          await held?.release();
        }
      },
    };
  } catch (error) {
    await worker?.terminate();
    await held?.release();
    throw error;
  }
}

/** Starts the worker; how it ends is told to whoever asks, also where that was before. */
function launch(platform: Platform, { workerUrl }: ConnectOptions): SqlWorker {
  const worker = platform.launchWorker(workerUrl === undefined ? undefined : new URL(workerUrl));
  const ended = new Promise<unknown>((resolve) => worker.onEnd(resolve));
  return { ...worker, onEnd: (listener) => void ended.then(listener) };
}

async function attachTo(
  client: LocalClient | WorkerClient,
  name: string,
  options: ConnectOptions,
  onEvent: (event: SessionEvent) => void,
): Promise<LocalClient | WorkerClient> {
  const { request, settings } = dataOf(name, options);
  const { signal } = options;
  if (!(client instanceof WorkerClient)) return client.attach({ request, settings, onEvent, signal });
  const attached = client.attach(request, settings, { onEvent });
  try {
    await attached.open(signal);
    return attached;
  } catch (error) {
    await attached.end();
    throw error;
  }
}

/** A session on the caller's thread tells everything. */
function listenTo(client: SessionClient, names: readonly SessionEvent["name"][]): void {
  if (client instanceof WorkerClient) client.listen(names);
}

/** By its shape: the class is loaded only where SQL runs on the caller's thread. */
function isPageStore(store: DatabaseStore | Promise<ObjectStore>): store is PageStore {
  return typeof store === "object" && "createVolume" in store;
}

/** For an engine that closes its store although that is somebody else's. */
function keptOpen(store: ObjectStore): ObjectStore {
  return { ...store, close: async () => {} };
}

/** The engine counts what the caller's recorder gets; `metered` counts what the database says that it has cost. */
async function openHere(
  { platform, request, settings, options, onEvent }: Opening,
  store: PageStore,
  metered: ObjectStore | undefined,
): Promise<LocalClient> {
  const { signal, bridge = canSuspend() ? "jspi" : "resident-only" } = options;
  if (bridge !== "jspi" && bridge !== "resident-only") {
    throw new PagefoldError(
      "invalid",
      `the ${bridge} bridge stops its thread and works in a worker only; leave \`worker\` at its default, or choose jspi or resident-only`,
    );
  }
  const { LocalClient } = await loadPart(() => import("./session/local-client.ts"));
  const engine: EngineParts =
    metered === undefined
      ? { store, keepOpen: true }
      : await platform.openEngine(request, { remote: metered, recorder: options.recorder ?? noopRecorder });
  return LocalClient.open({ engine, bridge, request, settings, onEvent, signal });
}

async function openInWorker(
  { request, settings, options, onEvent }: Opening,
  worker: SqlWorker,
  store: ObjectStore,
  meter: Recorder,
): Promise<WorkerClient> {
  const { concurrency, faultTimeoutMs, signal } = options;
  const bridge = options.bridge ?? bestBridge(store);
  checkBridge(bridge, store);
  const serveRanges =
    bridge === "shared-memory"
      ? (await loadPart(() => import("./bridge/serve-ranges.ts"))).serveRanges
      : undefined;
  const bell = canShareMemory() ? new Bell() : undefined;
  const control = new MessageChannel();
  const storeChannel = new MessageChannel();
  const movers = [serveObjectStore(storeChannel.port1, store)];
  let ranges: MessageChannel | undefined;
  if (serveRanges !== undefined && bell !== undefined) {
    ranges = new MessageChannel();
    // The engine repeats its own calls; those of faults are repeated here.
    const repeated = withRetry(store, { runtime: systemRuntime });
    movers.push(
      serveRanges(ranges.port1, repeated, { bell, ...(concurrency === undefined ? {} : { concurrency }) }),
    );
  }
  worker.start({
    control: control.port2,
    store: storeChannel.port2,
    storeDescription: describeStore(store),
    bridge,
    engine: request,
    settings,
    ...(ranges === undefined ? {} : { ranges: ranges.port2 }),
    ...(bell === undefined ? {} : { bell: bell.buffer }),
    ...(faultTimeoutMs === undefined ? {} : { faultTimeoutMs }),
  });
  const client = new WorkerClient({
    port: control.port1,
    worker,
    bell,
    deaf: bell === undefined && bridge !== "jspi",
    onEvent,
    onFetched: (bytes) => {
      meter.count("remote.get.count");
      meter.count("remote.get.bytes", bytes);
    },
    release: () => {
      for (const mover of movers) mover.close();
    },
  });
  try {
    await client.open(signal);
    return client;
  } catch (error) {
    await client.end();
    throw error;
  }
}

/** Before anything is started. @throws `invalid` where this runtime or this store lacks what the bridge works with */
function checkBridge(bridge: BridgeKind, store: ObjectStore): void {
  if (bridge === "shared-memory" && !canShareMemory()) {
    throw new PagefoldError(
      "invalid",
      "memory cannot be shared here: a page needs the headers of cross-origin isolation for it (Cross-Origin-Opener-Policy: same-origin and Cross-Origin-Embedder-Policy: require-corp); send them, or choose another bridge",
    );
  }
  if (bridge === "sync-xhr" && store.http === undefined) {
    throw new PagefoldError(
      "invalid",
      `the sync-xhr bridge asks for ranges by plain HTTP, and ${store.url} says no address for that (\`http\` of the ObjectStore); choose another bridge`,
    );
  }
}

function bestBridge(store: ObjectStore): BridgeKind {
  if (canSuspend()) return "jspi";
  if (canShareMemory()) return "shared-memory";
  return store.http !== undefined && "XMLHttpRequest" in globalThis ? "sync-xhr" : "resident-only";
}

/** Not in a page without cross-origin isolation. */
function canShareMemory(): boolean {
  return typeof SharedArrayBuffer !== "undefined";
}

/** What travels: nothing but data. */
function dataOf(
  name: string,
  options: ConnectOptions,
): { readonly request: EngineRequest; readonly settings: SessionSettings } {
  const { local, lsn, time, readOnly, create, settings, tempBytes, busyTimeoutMs } = options;
  const place = local && withoutUndefined({ path: local.path, kind: local.kind });
  const request = { name, local: place, lsn, time, readOnly, create, settings };
  return {
    request: withoutUndefined(request) as unknown as EngineRequest,
    settings: withoutUndefined({ tempBytes, busyTimeoutMs }),
  };
}

function withoutUndefined(record: Readonly<Record<string, unknown>>): Record<string, never> {
  return Object.fromEntries(Object.entries(record).filter(([, value]) => value !== undefined)) as Record<
    string,
    never
  >;
}

function costOf(counted: MemoryRecorder): { readonly requests: number; readonly bytesFetched: number } {
  const kinds = ["get", "put", "list", "delete"];
  return {
    requests: kinds.reduce((sum, kind) => sum + counted.get(`remote.${kind}.count`), 0),
    bytesFetched: counted.get("remote.get.bytes"),
  };
}

async function holdStore(
  platform: Platform,
  store: string | StoreAddress | ObjectStore | Promise<ObjectStore>,
  name: string,
  options: ConnectOptions,
): Promise<Held> {
  if (store instanceof Promise) return { store: await store, release: async () => {} };
  if (typeof store === "object" && "get" in store) return { store, release: async () => {} };
  const address = typeof store === "string" ? { url: store } : store;
  try {
    const opened = await platform.openAddress({ ...address, name });
    return { store: opened, release: () => opened.close() };
  } catch (error) {
    // What is resident answers without the store.
    if (options.local === undefined || !isPagefoldError(error, "not_found", "unavailable")) throw error;
    return { store: unreachableStore(address.url, error), release: async () => {} };
  }
}
