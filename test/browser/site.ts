/**
 * A web server for one test file, on the loopback interface: files (a page, bundles, anything a test adds) and any number of object
 * spaces under `/objects/<space>/`, each an ObjectStore of this process. A test fills and looks at a space through that store while a page
 * uses it by HTTP, and can slow down, hold up, refuse, cut off and count what the page asks for. Serving objects is in `site-objects.ts`.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { MemoryObjectStore } from "../../src/remote/memory-store.ts";
import type { ObjectStore } from "../../src/remote/object-store.ts";
import { type ObjectTarget, objectTarget, sendEmpty, serveObject } from "./site-objects.ts";

/** One request for an object or a listing, as it came in. */
export interface ObjectRequest {
  readonly method: string;
  readonly space: string;
  /** The key; the prefix for a listing. */
  readonly key: string;
  readonly listing: boolean;
  /** As sent: "bytes=0-4095". */
  readonly range: string | undefined;
}

/** `undefined`: go on; a number: answer that status instead; "drop": close the connection without an answer. */
export type Intervention = undefined | number | "drop";

export interface SiteOptions {
  /** With the two headers that make pages cross-origin isolated (SharedArrayBuffer). Default false. */
  readonly isolated?: boolean;
  /** Path ("/app/core.js") → content. */
  readonly files?: ReadonlyMap<string, Uint8Array>;
}

const MIME_TYPES: Readonly<Record<string, string>> = {
  css: "text/css; charset=utf-8",
  html: "text/html; charset=utf-8",
  js: "text/javascript; charset=utf-8",
  json: "application/json",
  map: "application/json",
  mjs: "text/javascript; charset=utf-8",
  wasm: "application/wasm",
};

const ISOLATION_HEADERS: Readonly<Record<string, string>> = {
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-embedder-policy": "require-corp",
  "cross-origin-resource-policy": "same-origin",
};

export class Site {
  readonly origin: string;
  /** Added to every request for an object, before it is looked at. */
  latencyMs = 0;
  /** Asked about every request for an object; may wait, too. */
  intervene: ((request: ObjectRequest) => Intervention | Promise<Intervention>) | undefined;
  /** Requests for objects, in the order in which they came. */
  readonly requests: ObjectRequest[] = [];
  /** The most requests for objects that were under way at once. */
  mostAtOnce = 0;
  #underWay = 0;
  readonly #server: Server;
  readonly #files: Map<string, Uint8Array>;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #spaces = new Map<string, ObjectStore>();

  private constructor(server: Server, options: SiteOptions) {
    this.#server = server;
    this.#files = new Map(options.files);
    this.#headers = options.isolated === true ? ISOLATION_HEADERS : {};
    this.origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    server.on("request", (request, response) => void this.#answer(request, response));
  }

  static async start(options: SiteOptions = {}): Promise<Site> {
    const server = createServer();
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(0, "127.0.0.1", resolve);
    });
    return new Site(server, options);
  }

  /** The store behind `/objects/<space>/`; in memory, and empty at first, unless `mount` gave one. */
  objects(space = "main"): ObjectStore {
    let store = this.#spaces.get(space);
    if (store === undefined) {
      store = new MemoryObjectStore();
      this.#spaces.set(space, store);
    }
    return store;
  }

  /** Serves a store that the caller has (a directory's, say) and closes himself. */
  mount(space: string, store: ObjectStore): void {
    this.#spaces.set(space, store);
  }

  /** Where a page finds that space; ends with a slash. */
  objectsUrl(space = "main"): string {
    return `${this.origin}/objects/${space}/`;
  }

  /** Serves one more file, or another version of one. */
  addFile(path: string, content: Uint8Array | string): void {
    this.#files.set(path, typeof content === "string" ? new TextEncoder().encode(content) : content);
  }

  /** What was asked of the spaces during some work. */
  async requestsDuring(work: () => Promise<unknown>): Promise<ObjectRequest[]> {
    const from = this.requests.length;
    await work();
    return this.requests.slice(from);
  }

  /** Cuts what is under way, too. */
  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#server.closeAllConnections();
    await closed;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    for (const [name, value] of Object.entries(this.#headers)) response.setHeader(name, value);
    try {
      const url = new URL(request.url ?? "/", this.origin);
      const target = objectTarget(request.method ?? "GET", url);
      if (target === undefined) this.#answerFile(url.pathname, request, response);
      else await this.#answerObject(target, request, response);
    } catch (error) {
      // A page that went away in mid-request is no failure; anything else is one of the test's own server, and told to the page.
      if (response.destroyed || response.headersSent) response.destroy();
      else response.writeHead(500, { "content-type": "text/plain" }).end(`test site: ${String(error)}`);
    }
  }

  #answerFile(path: string, request: IncomingMessage, response: ServerResponse): void {
    const content = this.#files.get(path);
    if (content === undefined) {
      response.writeHead(404, { "content-type": "text/plain" }).end(`${path} is not served here`);
      return;
    }
    const type = MIME_TYPES[path.split(".").at(-1) ?? ""] ?? "application/octet-stream";
    response.writeHead(200, {
      "content-type": path === "/" ? MIME_TYPES.html : type,
      "content-length": content.length,
      "cache-control": "no-cache",
    });
    response.end(request.method === "HEAD" ? undefined : content);
  }

  async #answerObject(
    target: ObjectTarget,
    request: IncomingMessage,
    response: ServerResponse,
  ): Promise<void> {
    const seen: ObjectRequest = {
      method: request.method ?? "GET",
      space: target.space,
      key: target.key,
      listing: target.list !== undefined,
      range: request.headers.range,
    };
    this.requests.push(seen);
    this.mostAtOnce = Math.max(this.mostAtOnce, ++this.#underWay);
    try {
      if (this.latencyMs > 0) await sleep(this.latencyMs);
      const intervention = await this.intervene?.(seen);
      if (intervention === "drop") {
        request.destroy();
      } else if (intervention !== undefined) {
        request.resume();
        sendEmpty(response, intervention);
      } else await serveObject(this.objects(target.space), target, request, response);
    } finally {
      this.#underWay--;
    }
  }
}
