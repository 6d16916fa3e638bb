/**
 * Puts the routes of a server into operation: limits, log and metrics in front of them, the routes of operation beside them, a socket that listens,
 * and the way down again. What the routes answer is none of its business.
 */
import type { Hono } from "hono";
import type { DestinationStream } from "pino";
import type { Runtime } from "../../../src/base/runtime.ts";
import type { ObjectStore } from "../../../src/remote/object-store.ts";
import type { Authenticate } from "../principal.ts";
import { addressGroup } from "./address.ts";
import type { Admission } from "./admission.ts";
import { Cors } from "./cors.ts";
import { Front } from "./front.ts";
import { charging, gate } from "./gate.ts";
import { Readiness } from "./health.ts";
import { type Listening, listen } from "./listen.ts";
import { type LogLevel, openLog, type ServerLog } from "./log.ts";
import type { Metrics } from "./metrics.ts";
import { routePaths } from "./openapi.ts";
import { OPS_ROUTES, opsRoutes } from "./ops-routes.ts";
import { OriginGuard } from "./origin-guard.ts";
import { RateLimiter } from "./rate-limit.ts";
import { recordOf, tieRecord } from "./request-record.ts";
import { RouteNames } from "./routes.ts";
import type { OpsSettings } from "./settings.ts";

/** The routes as `createServer` makes them. */
export interface Routes {
  fetch(request: Request): Response | Promise<Response>;
  /** Ends what does not end by itself; other requests are still answered. */
  endStreams(): void;
}

export interface OperateParts {
  readonly settings: OpsSettings;
  readonly admission: Admission;
  readonly store: ObjectStore;
  readonly metrics: Metrics;
  readonly log: ServerLog;
  readonly runtime: Runtime;
  readonly version: string;
  /** Makes the routes, given who may do what (undefined: everybody everything). */
  readonly routes: (authenticate: Authenticate | undefined) => Routes | Promise<Routes>;
}

export interface Operation {
  readonly listening: Listening;
  /** The routes have ended their streams and the socket is closed when it resolves; the store is still open. */
  stop(): Promise<void>;
}

export async function operate(parts: OperateParts): Promise<Operation> {
  const { settings, admission, store, metrics, runtime, log } = parts;
  const { authenticator } = admission;
  const charge = charging(limiterOf(settings, runtime), metrics);
  const authenticate = authenticator === undefined ? undefined : gate({ authenticator, charge, metrics });
  const readiness = new Readiness(store, runtime);
  const routes = await parts.routes(authenticate);
  const ops = opsRoutes({
    readiness,
    metrics,
    metricsFor: settings.metrics as "open" | "admin" | "off",
    authenticate,
    version: parts.version,
  });
  const front = frontOf(parts, besideRoutes(routes, ops, settings.basePath), charge);
  metrics.gauge("pagefold_http_requests_in_flight", "Requests under way.", () => front.requests);
  metrics.gauge("pagefold_subscribers", "Streams of events that are open.", () => front.subscribers);
  const listening = await listen({
    host: settings.host,
    port: settings.port,
    listener: front.listener,
    idleTimeoutMs: settings.idleTimeout,
    onBadRequest: (code) => log.logger.debug({ code }, "what came is no request"),
  }).catch((error: unknown) => {
    front.close();
    throw error;
  });
  let stopped: Promise<void> | undefined;
  const stop = async (): Promise<void> => {
    readiness.leave();
    front.leave();
    // Whoever balances load has to notice before connections are refused.
    if (settings.drainDelay > 0) await runtime.sleep(settings.drainDelay);
    const drained = listening.drain(settings.drainTimeout);
    routes.endStreams();
    await drained;
    front.close();
  };
  return {
    listening,
    stop: () => {
      stopped ??= stop();
      return stopped;
    },
  };
}

function limiterOf({ rateLimit, rateBurst }: OpsSettings, runtime: Runtime): RateLimiter | undefined {
  if (rateLimit === 0) return undefined;
  const burst = rateBurst === undefined ? {} : { burst: rateBurst };
  return new RateLimiter({ perSecond: rateLimit, runtime, ...burst });
}

type Fetch = (request: Request) => Response | Promise<Response>;

/** The routes of operation, with and without the base path, and the server's own for everything else. */
function besideRoutes(routes: Routes, ops: Hono, basePath: string): Fetch {
  const own = new Map<string, string>(
    OPS_ROUTES.flatMap((path) => [
      [path, path],
      [basePath + path, path],
    ]),
  );
  return (request) => {
    const record = recordOf(request);
    const path = record === undefined ? undefined : own.get(record.path);
    if (record === undefined || path === undefined) return routes.fetch(request);
    if (record.path === path) return ops.fetch(request);
    const inner = new Request(new URL(path, request.url), request);
    tieRecord(inner, record);
    return ops.fetch(inner);
  };
}

function frontOf(parts: OperateParts, fetch: Fetch, charge: (caller: string) => void): Front {
  const { settings, admission, metrics, log, runtime } = parts;
  const cors = new Cors(settings.cors ?? []);
  // With tokens a request is charged where its caller is known.
  const byAddress = admission.authenticator === undefined && settings.rateLimit > 0;
  return new Front({
    fetch,
    routes: new RouteNames(routePaths),
    quiet: new Set<string>(OPS_ROUTES),
    log,
    metrics,
    cors,
    ...(admission.guarded ? { guard: new OriginGuard(settings.host, cors) } : {}),
    ...(byAddress ? { charge: ({ address }) => charge(addressGroup(address)) } : {}),
    runtime,
    basePath: settings.basePath,
    trustedProxies: settings.trustedProxies,
    maxRequests: settings.maxRequests,
    maxSubscribers: settings.maxSubscribers,
    requestTimeoutMs: settings.requestTimeout,
  });
}

/** The log that the settings ask for. */
export function logOf(settings: OpsSettings, target?: DestinationStream): ServerLog {
  return openLog(settings.logLevel as LogLevel, target);
}
