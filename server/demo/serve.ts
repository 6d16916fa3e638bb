/** The demo as one server: the page and its table maps below `/demo/`, and the volumes themselves everywhere else, by the server that anybody would run. */
import type { RequestListener } from "node:http";
import { getRequestListener } from "@hono/node-server";
import { FsObjectStore } from "../../src/node/index.ts";
import { Cors } from "../http/ops/cors.ts";
import { type Listening, listen } from "../http/ops/listen.ts";
import { OriginGuard } from "../http/ops/origin-guard.ts";
import { createServer } from "../http/server.ts";
import { openState } from "../inspect/one-state.ts";
import { type AssetPlaces, loadAssets } from "./assets.ts";
import type { DemoData } from "./prepare.ts";
import { demoAnswer } from "./routes.ts";
import { TableMaps } from "./table-maps.ts";

export interface DemoOptions {
  readonly data: DemoData;
  readonly assets: AssetPlaces;
  readonly host: string;
  /** 0: any that is free. */
  readonly port: number;
  /** Told what could not be answered for a reason of the server's own. */
  readonly onError?: (error: unknown) => void;
}

export interface Demo {
  /** Of the page. */
  readonly url: string;
  /** Lets answers under way come to their end, for a while. Idempotent. */
  close(): Promise<void>;
}

/** Longer than a stream of events is silent. */
const IDLE_TIMEOUT_MS = 60_000;
const GRACE_MS = 2000;

/** @throws `not_found` (the package is not built), `busy` (the port is taken) */
export async function serveDemo(options: DemoOptions): Promise<Demo> {
  const { data, host, port, onError } = options;
  const assets = await loadAssets(options.assets);
  const store = await FsObjectStore.open(data.store);
  const server = createServer({ store, ...(onError === undefined ? {} : { onError }) });
  const tables = new TableMaps((lsn, signal) => openState(store, data.tag, lsn, signal));
  const answer = (request: Request): Response | Promise<Response> =>
    demoAnswer({ assets, tables }, request) ?? server.fetch(request);
  let listening: Listening;
  try {
    await server.ready();
    const listener = guarded(host, getRequestListener(answer, { overrideGlobalObjects: false }));
    listening = await listen({ host, port, listener, idleTimeoutMs: IDLE_TIMEOUT_MS });
  } catch (error) {
    await server.close();
    await store.close();
    throw error;
  }
  let closing: Promise<void> | undefined;
  return {
    url: `${listening.url}/demo/`,
    close: () => {
      closing ??= end(server, listening, store);
      return closing;
    },
  };
}

/** Everybody on this machine may write here; pages of other sites, which they happen to look at, may not. */
function guarded(host: string, listener: RequestListener): RequestListener {
  const guard = new OriginGuard(host, new Cors([]));
  return (incoming, outgoing) => {
    const problem = guard.problem(incoming);
    if (problem === undefined) return listener(incoming, outgoing);
    outgoing.writeHead(403, { "Content-Type": "text/plain; charset=utf-8" }).end(problem);
  };
}

async function end(
  server: ReturnType<typeof createServer>,
  listening: Listening,
  store: FsObjectStore,
): Promise<void> {
  server.endStreams();
  await listening.drain(GRACE_MS);
  await server.close();
  await store.close();
}
