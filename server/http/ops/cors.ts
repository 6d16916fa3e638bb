/** Cross-origin requests: which pages of other origins may read answers, and the preflight that asks. Headers only, no body, no cookies. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { PagefoldError } from "../../../src/base/errors.ts";

const ALLOWED_METHODS = "GET, HEAD, PUT, POST, DELETE";
const ALLOWED_HEADERS =
  "Authorization, Content-Type, If-None-Match, If-Match, If-Range, Range, Last-Event-ID, X-Request-Id";
const EXPOSED_HEADERS =
  "Accept-Ranges, Content-Length, Content-Range, ETag, Retry-After, WWW-Authenticate, X-Request-Id";
/** Browsers keep less where they think so: two hours in Chromium. */
const PREFLIGHT_SECONDS = "86400";

export class Cors {
  readonly #any: boolean;
  readonly #origins: ReadonlySet<string>;

  /** Origins such as `https://app.example`, or `*`. @throws `invalid` for what is no origin */
  constructor(origins: readonly string[]) {
    this.#any = origins.includes("*");
    this.#origins = new Set(origins.filter((origin) => origin !== "*").map(checkOrigin));
  }

  get enabled(): boolean {
    return this.#any || this.#origins.size > 0;
  }

  allows(origin: string): boolean {
    return this.#any || this.#origins.has(origin);
  }

  /** Sets what the answer to a request of a page needs. */
  apply(origin: string | undefined, outgoing: ServerResponse): void {
    if (!this.enabled) return;
    // A shared cache must not hand the answer for one origin to another.
    if (!this.#any) outgoing.setHeader("vary", "Origin");
    if (origin === undefined || !this.allows(origin)) return;
    outgoing.setHeader("access-control-allow-origin", this.#any ? "*" : origin);
    outgoing.setHeader("access-control-expose-headers", EXPOSED_HEADERS);
  }

  /** Answers a preflight; false where the request is none. */
  preflight(incoming: IncomingMessage, outgoing: ServerResponse): boolean {
    const { origin } = incoming.headers;
    const method = incoming.headers["access-control-request-method"];
    if (incoming.method !== "OPTIONS" || origin === undefined || method === undefined) return false;
    if (this.allows(origin)) {
      outgoing.setHeader("access-control-allow-methods", ALLOWED_METHODS);
      outgoing.setHeader("access-control-allow-headers", ALLOWED_HEADERS);
      outgoing.setHeader("access-control-max-age", PREFLIGHT_SECONDS);
    }
    outgoing.writeHead(204);
    outgoing.end();
    return true;
  }
}

function checkOrigin(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  // Custom schemes (apps, extensions) have opaque origins: there the text itself is what browsers send.
  const origin = url === undefined || url.origin === "null" ? text.replace(/\/$/, "") : url.origin;
  if (url !== undefined && text.replace(/\/$/, "") === origin) return origin;
  throw new PagefoldError(
    "invalid",
    `"${text}" is no origin; write a scheme and a host without a path, such as https://app.example, or *`,
  );
}
