/**
 * What every request meets before and after the routes: an id, CORS, the limits on requests at a time and on patience, the line in the log and the
 * figures of metrics. It works on Node's own request and answer, so that what is counted is what went over the wire.
 */
import type { IncomingMessage, RequestListener, ServerResponse } from "node:http";
import { getRequestListener, RequestError } from "@hono/node-server";
import { RESPONSE_ALREADY_SENT } from "@hono/node-server/utils/response";
import { PagefoldError } from "../../../src/base/errors.ts";
import type { Runtime } from "../../../src/base/runtime.ts";
import { HttpError, problemOf, problemResponse } from "../problem.ts";
import { clientAddress } from "./address.ts";
import { answerProblem, writeProblemHead } from "./answer-problem.ts";
import type { Cors } from "./cors.ts";
import { errorFields, type RequestLine, redactedQuery, type ServerLog, shortPath } from "./log.ts";
import type { Metrics } from "./metrics.ts";
import type { OriginGuard } from "./origin-guard.ts";
import { RequestRecord, recordOf, requestIds, tieRecord } from "./request-record.ts";
import { EVENTS_ROUTE, type RouteNames } from "./routes.ts";
import { isStream, writeStream } from "./write-response.ts";

export interface FrontParts {
  /** `recordOf(request)` is what is known of it here. */
  readonly fetch: (request: Request) => Response | Promise<Response>;
  readonly routes: RouteNames;
  /** Routes of operation: they answer under any load, and their lines in the log are for debugging. */
  readonly quiet: ReadonlySet<string>;
  readonly log: ServerLog;
  readonly metrics: Metrics;
  readonly cors: Cors;
  readonly guard?: OriginGuard;
  /** Counts a request against its caller. @throws 429 */
  readonly charge?: (record: RequestRecord) => void;
  readonly runtime: Pick<Runtime, "monotonic" | "randomBytes">;
  /** Path in front of every route, "" or "/data". */
  readonly basePath: string;
  readonly trustedProxies: number;
  readonly maxRequests: number;
  readonly maxSubscribers: number;
  /** 0: none. */
  readonly requestTimeoutMs: number;
}

const SWEEP_MS = 1000;

export class Front {
  readonly listener: RequestListener;
  readonly #parts: FrontParts;
  readonly #active = new Set<RequestRecord>();
  readonly #newId: (given: unknown) => string;
  readonly #toRoutes: (incoming: IncomingMessage, outgoing: ServerResponse) => Promise<void>;
  #requests = 0;
  #subscribers = 0;
  #leaving = false;
  readonly #sweep: NodeJS.Timeout | undefined;

  constructor(parts: FrontParts) {
    this.#parts = parts;
    this.#newId = requestIds(parts.runtime.randomBytes);
    this.#toRoutes = getRequestListener(
      (request, env) => this.#fetch(request, (env as { outgoing: ServerResponse }).outgoing),
      { hostname: "localhost", errorHandler: (error) => this.#failed(error) },
    );
    this.listener = (incoming, outgoing) => this.#begin(incoming, outgoing);
    const { requestTimeoutMs } = parts;
    if (requestTimeoutMs > 0) {
      // One look at all requests now and then; a timer for each would cost every request something.
      this.#sweep = setInterval(() => this.#endLate(), Math.min(SWEEP_MS, Math.ceil(requestTimeoutMs / 4)));
      this.#sweep.unref();
    }
  }

  /** The socket is closed. */
  close(): void {
    clearInterval(this.#sweep);
  }

  /** Streams of events that are open. */
  get subscribers(): number {
    return this.#subscribers;
  }

  /** Other requests that are under way. */
  get requests(): number {
    return this.#requests;
  }

  /** From now on connections end with the answer that is under way on them. */
  leave(): void {
    this.#leaving = true;
    for (const { outgoing } of this.#active)
      if (!outgoing.headersSent) outgoing.setHeader("connection", "close");
  }

  #begin(incoming: IncomingMessage, outgoing: ServerResponse): void {
    const record = this.#record(incoming, outgoing);
    tieRecord(outgoing, record);
    const isEvents = record.route === EVENTS_ROUTE;
    const isQuiet = this.#parts.quiet.has(record.route);
    this.#active.add(record);
    if (isEvents) this.#subscribers++;
    else this.#requests++;
    outgoing.on("error", this.#wireFailed);
    outgoing.on("close", () => {
      this.#active.delete(record);
      if (isEvents) this.#subscribers--;
      else this.#requests--;
      this.#finished(record, isQuiet);
    });
    outgoing.setHeader("x-request-id", record.id);
    outgoing.setHeader("x-content-type-options", "nosniff");
    if (this.#leaving) outgoing.setHeader("connection", "close");
    this.#parts.cors.apply(incoming.headers.origin, outgoing);
    if (this.#parts.cors.preflight(incoming, outgoing)) return;
    const refusal = isQuiet ? undefined : this.#refusal(incoming, record, isEvents);
    if (refusal !== undefined) {
      answerProblem(incoming, outgoing, refusal);
      return;
    }
    if (isReceived(incoming)) record.receivedAt = record.startedAt;
    else
      incoming.once("end", () => {
        record.receivedAt = this.#parts.runtime.monotonic();
      });
    this.#toRoutes(incoming, outgoing).catch((error: unknown) => {
      this.#wireFailed(error);
      outgoing.destroy();
    });
  }

  #record(incoming: IncomingMessage, outgoing: ServerResponse): RequestRecord {
    const { routes, runtime, trustedProxies, basePath } = this.#parts;
    const url = targetPath(incoming.url ?? "/");
    const mark = url.indexOf("?");
    const path = mark === -1 ? url : url.slice(0, mark);
    const inner = basePath !== "" && path.startsWith(`${basePath}/`) ? path.slice(basePath.length) : path;
    return new RequestRecord(incoming, outgoing, {
      id: this.#newId(incoming.headers["x-request-id"]),
      path,
      query: mark === -1 ? "" : url.slice(mark + 1),
      route: routes.of(inner),
      address: clientAddress(incoming, trustedProxies),
      startedAt: runtime.monotonic(),
    });
  }

  /** Why a request goes no further. It is counted already, itself included. */
  #refusal(incoming: IncomingMessage, record: RequestRecord, isEvents: boolean): HttpError | undefined {
    const { guard, metrics, maxRequests, maxSubscribers, charge } = this.#parts;
    const problem = guard?.problem(incoming);
    if (problem !== undefined) {
      metrics.rejected("origin");
      return new HttpError(403, "forbidden", problem);
    }
    const [now, most, what] = isEvents
      ? [this.#subscribers, maxSubscribers, "streams of events"]
      : [this.#requests, maxRequests, "requests"];
    if (now > most) {
      metrics.rejected("load");
      const message = `this server has as many ${what} as it takes; try again in a moment`;
      return new HttpError(503, "unavailable", message);
    }
    try {
      charge?.(record);
      return undefined;
    } catch (error) {
      if (error instanceof HttpError) return error;
      throw error;
    }
  }

  #fetch(request: Request, outgoing: ServerResponse): Response | Promise<Response> {
    const record = recordOf(outgoing);
    if (record !== undefined) tieRecord(request, record);
    const response = this.#parts.fetch(request);
    return response instanceof Promise
      ? response.then((answer) => this.#answer(answer, outgoing, record))
      : this.#answer(response, outgoing, record);
  }

  #answer(
    response: Response,
    outgoing: ServerResponse,
    record: RequestRecord | undefined,
  ): Response | Promise<Response> {
    if (record?.answered) {
      void response.body?.cancel();
      return RESPONSE_ALREADY_SENT;
    }
    if (!isStream(response)) return response;
    const report = (error: unknown): void =>
      this.#parts.log.logger.warn({ id: record?.id, ...errorFields(error) }, "an answer broke off");
    return writeStream(response, outgoing, report).then(() => RESPONSE_ALREADY_SENT);
  }

  #endLate(): void {
    const before = this.#parts.runtime.monotonic() - this.#parts.requestTimeoutMs;
    for (const record of this.#active) {
      const { receivedAt, outgoing, route } = record;
      if (receivedAt === undefined || receivedAt > before || route === EVENTS_ROUTE) continue;
      if (!outgoing.headersSent && !outgoing.destroyed) this.#late(record);
    }
  }

  /** The answer has not begun in time: the client is told, and the routes by their signal. */
  #late(record: RequestRecord): void {
    const { outgoing } = record;
    record.answered = true;
    const error = new PagefoldError(
      "unavailable",
      `no answer within ${this.#parts.requestTimeoutMs} ms; try again, or ask for less at a time`,
    );
    outgoing.setHeader("connection", "close");
    writeProblemHead(outgoing, error);
    if (record.method === "HEAD") outgoing.flushHeaders();
    else outgoing.write(JSON.stringify(problemOf(error)));
    // Sent, but cut off rather than ended: only that aborts the signal of the request.
    outgoing.socket?.destroySoon();
  }

  #finished(record: RequestRecord, isQuiet: boolean): void {
    const { outgoing, route } = record;
    const ms = this.#parts.runtime.monotonic() - record.startedAt;
    const cut = !outgoing.writableFinished && !record.answered;
    // As other servers do: nobody saw the status of an answer that had not begun.
    const status = cut && !outgoing.headersSent ? 499 : outgoing.statusCode;
    this.#parts.metrics.finished(route, status, route === EVENTS_ROUTE ? undefined : ms, record.bytes);
    const { logger } = this.#parts.log;
    const level = status >= 500 ? "warn" : isQuiet ? "debug" : "info";
    if (!logger.isLevelEnabled(level)) return;
    logger[level](lineOf(record, { status, ms, cut }), "request");
  }

  /** An answer that could not be written: one request's trouble, never the end of the process. */
  readonly #wireFailed = (error: unknown): void => {
    this.#parts.log.logger.error(errorFields(error), "an answer could not be written");
  };

  #failed(error: unknown): Response {
    if (error instanceof RequestError) {
      return problemResponse(new HttpError(400, "invalid", "the request's address or Host cannot be read"));
    }
    this.#parts.log.logger.error(errorFields(error), "the server failed");
    return problemResponse(error);
  }
}

function lineOf(
  record: RequestRecord,
  { status, ms, cut }: { readonly status: number; readonly ms: number; readonly cut: boolean },
): RequestLine {
  const { id, method, route, path, bytes, address, principal } = record;
  const line: RequestLine = {
    id,
    method,
    route,
    path: shortPath(path),
    status,
    ms: Math.round(ms * 10) / 10,
    bytes,
    address,
  };
  const query = redactedQuery(record.query);
  if (query !== undefined) line.query = query;
  if (principal !== undefined) line.principal = principal.name;
  if (cut) line.cut = true;
  return line;
}

/** What is asked for; a proxy may write the whole address. */
function targetPath(target: string): string {
  if (target.startsWith("/") || !URL.canParse(target)) return target;
  const { pathname, search } = new URL(target);
  return pathname + search;
}

/** Whether nothing of the request is still to come. */
function isReceived({ method, headers, complete }: IncomingMessage): boolean {
  if (method === "GET" || method === "HEAD" || complete) return true;
  const length = headers["content-length"];
  return length === undefined ? headers["transfer-encoding"] === undefined : length === "0";
}
