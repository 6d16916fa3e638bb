/**
 * A proxy on the loopback interface that treats what passes as bad networks do, by seed: it delays, cuts connections before and after the other
 * side has acted, shortens bodies with and without telling, flips bits, answers for a server that is overloaded.
 */
import http from "node:http";
import type { AddressInfo } from "node:net";
import { seededRandom } from "../local/xxh64.ts";

export type Mischief =
  | "pass"
  | "delay"
  /** The connection ends before the server has heard of the request. */
  | "drop-before"
  /** The server has acted, and nobody hears of it. */
  | "drop-after"
  /** The connection ends in the middle of the body. */
  | "cut"
  /** A shorter body that says it is whole. */
  | "truncate"
  | "flip"
  | "overload";

export interface ChaosProxyOptions {
  readonly upstream: string;
  readonly seed: number;
  /** How often something other than "pass" happens, 0 … 1. */
  readonly badness: number;
  readonly kinds?: readonly Mischief[];
}

const KINDS: readonly Mischief[] = [
  "delay",
  "drop-before",
  "drop-after",
  "cut",
  "truncate",
  "flip",
  "overload",
];

export class ChaosProxy {
  readonly url: string;
  /** While false everything passes. */
  active = true;
  readonly done = new Map<Mischief, number>();
  readonly #server: http.Server;

  private constructor(server: http.Server) {
    this.#server = server;
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  static async start(options: ChaosProxyOptions): Promise<ChaosProxy> {
    const random = seededRandom(options.seed);
    const kinds = options.kinds ?? KINDS;
    const agent = new http.Agent({ keepAlive: true });
    let proxy: ChaosProxy | undefined;
    const server = http.createServer((request, response) => {
      const bad = proxy?.active === true && random() < options.badness;
      const kind = bad ? (kinds[Math.floor(random() * kinds.length)] ?? "pass") : "pass";
      proxy?.done.set(kind, (proxy.done.get(kind) ?? 0) + 1);
      forward(request, response, { agent, upstream: options.upstream, kind, where: random() });
    });
    server.on("close", () => agent.destroy());
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    proxy = new ChaosProxy(server);
    return proxy;
  }

  close(): Promise<void> {
    return new Promise((resolve) => {
      this.#server.close(() => resolve());
      this.#server.closeAllConnections();
    });
  }
}

interface Forwarding {
  readonly agent: http.Agent;
  readonly upstream: string;
  readonly kind: Mischief;
  /** Where in the body it happens, 0 … 1. */
  readonly where: number;
}

function forward(request: http.IncomingMessage, response: http.ServerResponse, forwarding: Forwarding): void {
  const { agent, upstream, kind, where } = forwarding;
  if (kind === "drop-before") {
    request.socket.destroy();
    return;
  }
  if (kind === "overload") {
    response.writeHead(503, { "retry-after": "0", "content-type": "text/plain" }).end("overloaded");
    request.resume();
    return;
  }
  const { host: _, ...headers } = request.headers;
  const ask = http.request(
    `${upstream}${request.url}`,
    { method: request.method, headers, agent },
    (answer) => {
      if (kind === "drop-after") {
        answer.resume();
        answer.on("end", () => request.socket.destroy());
        return;
      }
      // A stream that does not end is passed on as it comes.
      if (/event-stream/.test(answer.headers["content-type"] ?? "")) {
        response.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(response);
        if (kind === "cut") setTimeout(() => request.socket.destroy(), 20);
        return;
      }
      const chunks: Buffer[] = [];
      answer.on("data", (chunk: Buffer) => chunks.push(chunk));
      answer.on("error", () => request.socket.destroy());
      answer.on("end", () => spoil(answer, Buffer.concat(chunks), request, response, kind, where));
    },
  );
  ask.on("error", () => request.socket.destroy());
  response.on("close", () => ask.destroy());
  request.on("error", () => ask.destroy());
  request.pipe(ask);
}

function spoil(
  answer: http.IncomingMessage,
  body: Buffer,
  request: http.IncomingMessage,
  response: http.ServerResponse,
  kind: Mischief,
  where: number,
): void {
  const { statusCode = 502, headers } = answer;
  const at = Math.floor(where * body.length);
  if (kind === "cut" && body.length > 1) {
    response.writeHead(statusCode, headers);
    response.write(body.subarray(0, at));
    setTimeout(() => request.socket.destroy(), 5);
    return;
  }
  if (kind === "truncate" && body.length > 0) {
    response.writeHead(statusCode, { ...headers, "content-length": String(at) }).end(body.subarray(0, at));
    return;
  }
  if (kind === "flip" && body.length > 0) body[at] = (body[at] ?? 0) ^ (1 << Math.floor(where * 8));
  const send = (): void => {
    if (response.destroyed) return;
    response.writeHead(statusCode, headers).end(body);
  };
  if (kind === "delay") setTimeout(send, 30);
  else send();
}
