/** The socket: listening with limits on patience, errors of the wire, and going down without cutting off what is under way. */
import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { PagefoldError } from "../../../src/base/errors.ts";
import { HttpError, PROBLEM_TYPE, problemOf } from "../problem.ts";

export interface ListenOptions {
  readonly host: string;
  readonly port: number;
  readonly listener: RequestListener;
  /** How long a connection may be silent within a request or an answer. */
  readonly idleTimeoutMs: number;
  /** Told of what was no HTTP. */
  readonly onBadRequest?: (code: string) => void;
}

export interface Listening {
  readonly host: string;
  readonly port: number;
  readonly url: string;
  /** Takes no more connections and waits for the answers under way; what is not through after `graceMs` is cut off. */
  drain(graceMs: number): Promise<void>;
}

const HEAD_TIMEOUT_MS = 15_000;
/** A whole upload; its silences are bounded more tightly. */
const REQUEST_TIMEOUT_MS = 15 * 60_000;
/** Longer than the usual minute of load balancers, so that it is they who end an idle connection. */
const KEEP_ALIVE_MS = 65_000;
const CHECK_MS = 5000;
const IDLE_SWEEP_MS = 50;

/** @throws `busy` for a port that is taken, `forbidden` for one that may not be had, `invalid` for an address that is not ours */
export async function listen(options: ListenOptions): Promise<Listening> {
  const server = createServer(
    {
      noDelay: true,
      keepAlive: true,
      headersTimeout: HEAD_TIMEOUT_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
      keepAliveTimeout: KEEP_ALIVE_MS,
      connectionsCheckingInterval: CHECK_MS,
    },
    options.listener,
  );
  server.setTimeout(options.idleTimeoutMs);
  server.on("clientError", (error: NodeJS.ErrnoException, socket) => {
    options.onBadRequest?.(error.code ?? "unknown");
    refuse(error, socket as Socket);
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => reject(listenError(error, options)));
    server.listen(options.port, options.host, resolve);
  });
  const { address, port } = server.address() as AddressInfo;
  const shown = address.includes(":") ? `[${address}]` : address;
  return { host: address, port, url: `http://${shown}:${port}`, drain: (graceMs) => drain(server, graceMs) };
}

async function drain(server: Server, graceMs: number): Promise<void> {
  const closed = new Promise<void>((resolve) => {
    server.close(() => resolve());
  });
  // Connections that were busy when the server closed are idle later, and nobody else ends them.
  const sweep = setInterval(() => server.closeIdleConnections(), IDLE_SWEEP_MS);
  const limit = setTimeout(() => server.closeAllConnections(), graceMs);
  await closed;
  clearInterval(sweep);
  clearTimeout(limit);
}

/** Answers what was no request, as a problem like any other. */
function refuse(error: NodeJS.ErrnoException, socket: Socket): void {
  if (!socket.writable || error.code === "ECONNRESET") {
    socket.destroy();
    return;
  }
  const problem = problemOf(badRequest(error));
  const body = JSON.stringify(problem);
  socket.end(
    `HTTP/1.1 ${problem.status} ${problem.title}\r\nContent-Type: ${PROBLEM_TYPE}\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  );
}

function badRequest({ code }: NodeJS.ErrnoException): HttpError {
  switch (code) {
    case "HPE_HEADER_OVERFLOW":
      return new HttpError(431, "invalid", "the head of the request is larger than 16 KiB");
    case "ERR_HTTP_REQUEST_TIMEOUT":
      return new HttpError(408, "unavailable", "the request did not come in time; send it again");
    default:
      return new HttpError(400, "invalid", "what came is no HTTP/1.1 request");
  }
}

function listenError(error: NodeJS.ErrnoException, { host, port }: ListenOptions): PagefoldError {
  const where = `${host} port ${port}`;
  const options = { cause: error, details: { host, port } };
  switch (error.code) {
    case "EADDRINUSE":
      return new PagefoldError(
        "busy",
        `${where} is taken by another process; end it, or choose another --port`,
        options,
      );
    case "EACCES":
      return new PagefoldError(
        "forbidden",
        `${where} may not be listened on; ports below 1024 need rights, choose another --port`,
        options,
      );
    case "EADDRNOTAVAIL":
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return new PagefoldError(
        "invalid",
        `${host} is no address of this machine; give --host 0.0.0.0 for all of them`,
        options,
      );
    default:
      return new PagefoldError("unavailable", `${where} cannot be listened on: ${error.message}`, options);
  }
}
