/**
 * Keeps web pages away from a server that is open to everybody on this machine. A page anywhere can make the browser send requests to
 * 127.0.0.1, under a name of its own (DNS rebinding) or without asking first (a form): those are told by their `Host` and `Origin`.
 */
import type { IncomingMessage } from "node:http";
import { isLoopback } from "./address.ts";
import type { Cors } from "./cors.ts";

export class OriginGuard {
  readonly #host: string;
  readonly #cors: Cors;

  /** `host`: what the server was told to listen on. */
  constructor(host: string, cors: Cors) {
    this.#host = host.toLowerCase();
    this.#cors = cors;
  }

  /** Why a request is not let through, undefined where it is. */
  problem({ headers, method, url = "" }: IncomingMessage): string | undefined {
    // A target that is a whole address counts more than `Host`.
    const target = !url.startsWith("/") && URL.canParse(url) ? new URL(url).host : undefined;
    const host = (target ?? headers.host ?? "").toLowerCase();
    const name = host.replace(/:\d*$/, "");
    if (isLoopback(this.#host) && !isLoopback(name) && name !== this.#host) {
      return "this server is open to its own machine only, by the name localhost; give it tokens to be reached by another";
    }
    const { origin } = headers;
    if (origin === undefined || method === "GET" || method === "HEAD") return undefined;
    const isOwn = URL.canParse(origin) && new URL(origin).host.toLowerCase() === host;
    if (isOwn || this.#cors.allows(origin)) return undefined;
    return "pages of other origins may not write here; name the origin with --cors to let it";
  }
}
