/**
 * The server: an ObjectStore behind web-standard requests and answers (docs/protocol.md), for any runtime that has those. It keeps no state that
 * matters: any number of servers over one store are right, by conditional creation alone.
 */
import { PagefoldError } from "../../src/base/errors.ts";
import { noopRecorder, type Recorder } from "../../src/base/recorder.ts";
import { type Runtime, systemRuntime } from "../../src/base/runtime.ts";
import { type Codecs, loadCodecs } from "../../src/format/codecs.ts";
import { type FrameDecoder, inlineFrameDecoder } from "../../src/format/frame-decoder.ts";
import type { BlockFileSystem } from "../../src/local/block-file.ts";
import type { ObjectStore } from "../../src/remote/object-store.ts";
import { withMetrics } from "../../src/remote/with-metrics.ts";
import { withRetry } from "../../src/remote/with-retry.ts";
import { assertWritable } from "../../src/remote/writable.ts";
import { Access } from "./access.ts";
import { Purse } from "./body.ts";
import { type CacheStats, withCache } from "./cache/with-cache.ts";
import type { ServerContext } from "./context.ts";
import { EventHub } from "./events/hub.ts";
import { type Peer, Peers } from "./events/peers.ts";
import { KeptObjects } from "./kept.ts";
import { Locks } from "./locks.ts";
import type { Authenticate } from "./principal.ts";
import { problemResponse } from "./problem.ts";
import { Router } from "./router.ts";
import { defaultServerSettings, type ServerSettings } from "./settings.ts";
import { CheckedCheckpoints } from "./verify/checkpoint.ts";
import { VerifiedSegments } from "./verify/segment.ts";
import { VolumeLogs } from "./volume-logs.ts";

export interface ServerOptions {
  /** What is served. The caller's own: `close` leaves it open. */
  readonly store: ObjectStore;
  /** Who asks. Default: everybody may do everything. */
  readonly authenticate?: Authenticate;
  /** Where the second tier of the cache lives; default: memory only. */
  readonly cacheFiles?: BlockFileSystem;
  readonly codecs?: Codecs;
  /** Checks what is written; on the thread of the server by default. */
  readonly decoder?: FrameDecoder;
  /** Other servers of the same store, told of every commit that comes through this one. */
  readonly peers?: readonly Peer[];
  /** How peers are told; default: the runtime's own. */
  readonly fetch?: typeof fetch;
  readonly runtime?: Runtime;
  readonly recorder?: Recorder;
  readonly settings?: Partial<ServerSettings>;
  /** Told what could not be answered for a reason of the server's own or its store's; for logs. */
  readonly onError?: (error: unknown, request: Request) => void;
  /** Of the package, for `GET /v1`. */
  readonly version?: string;
}

export interface ServerFigures {
  readonly cache: CacheStats;
  /** Streams of events that are open, and volumes that they follow. */
  readonly eventStreams: number;
  readonly eventVolumes: number;
}

export interface PagefoldServer {
  /** Answers a request; never throws. */
  fetch(request: Request): Response | Promise<Response>;
  /** Resolves when the server can answer: its codecs are loaded, its cache is open. @throws what keeps it from that */
  ready(): Promise<void>;
  /** Ends the streams of events, so that their readers go elsewhere; other requests are still answered. */
  endStreams(): void;
  /** For metrics; undefined before `ready`. */
  figures(): ServerFigures | undefined;
  /** Ends everything that goes on between requests. Idempotent. */
  close(): Promise<void>;
}

/** Makes a server; nothing is asked of the store before a request comes. */
export function createServer(options: ServerOptions): PagefoldServer {
  if (!options.store.capabilities.list) {
    throw new PagefoldError(
      "invalid",
      `${options.store.url} cannot list its objects, which serving needs; serve the store itself rather than a published copy`,
    );
  }
  let router: Router | undefined;
  let closed = false;
  const opening = openContext(options).then((context) => {
    router = new Router(context);
    return context;
  });
  // Told to whoever asks next.
  opening.catch(() => {});
  const late = async (request: Request): Promise<Response> => {
    await opening;
    return router!.fetch(request);
  };
  return {
    fetch: (request) =>
      router === undefined
        ? late(request).catch((error: unknown) => problemResponse(error, request.method !== "HEAD"))
        : router.fetch(request),
    ready: async () => {
      await opening;
    },
    endStreams: () => void opening.then(({ events }) => events.close()).catch(() => {}),
    figures: () => router?.figures(),
    close: async () => {
      if (closed) return;
      closed = true;
      // What never opened has nothing to close; whoever waits for it hears why.
      const context = await opening.catch(() => undefined);
      await context?.close();
    },
  };
}

async function openContext(options: ServerOptions): Promise<ServerContext & { close(): Promise<void> }> {
  const { runtime = systemRuntime, recorder = noopRecorder } = options;
  const settings = { ...defaultServerSettings, ...options.settings };
  const codecs = options.codecs ?? (await loadCodecs());
  // The store is the caller's: it stays open when its wrappers are closed.
  const counted: ObjectStore = { ...withMetrics(options.store, recorder), close: async () => {} };
  const origin = withRetry(counted, { runtime, recorder });
  const { cacheFiles: files } = options;
  const store = await withCache(origin, {
    memoryBytes: settings.cacheMemoryBytes,
    recorder,
    ...(files === undefined ? {} : { disk: { files, bytes: settings.cacheDiskBytes, hash: codecs.hash } }),
  });
  const peers = new Peers({
    peers: options.peers ?? [],
    runtime,
    recorder,
    ...(options.fetch === undefined ? {} : { fetch: options.fetch }),
  });
  const logs = new VolumeLogs(store, origin, codecs, runtime);
  const events = new EventHub({ store, origin, logs, codecs, runtime, recorder, settings, peers });
  return {
    store,
    origin,
    codecs,
    decoder: options.decoder ?? inlineFrameDecoder(codecs),
    runtime,
    recorder,
    settings,
    authenticate: options.authenticate,
    access: new Access(origin, codecs, runtime, settings.tagLifeMs),
    logs,
    events,
    locks: new Locks(),
    uploads: new Purse(settings.uploadBytes),
    verified: new VerifiedSegments(),
    checkpoints: new CheckedCheckpoints(),
    kept: new KeptObjects({ logs, origin, codecs }),
    ...(options.onError === undefined ? {} : { onError: options.onError }),
    // Found out once: the answer is kept with the store that was asked.
    writable: () => assertWritable(origin, runtime),
    version: options.version ?? "0.0.0",
    close: async () => {
      events.close();
      peers.close();
      await store.close();
    },
  };
}
