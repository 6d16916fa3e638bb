/** From a request to the part of the server that answers it, and from anything thrown to a problem document. */
import type { ServerContext } from "./context.ts";
import { deleteObjects } from "./object-delete.ts";
import { noObject, readFromMemory, readObject } from "./object-read.ts";
import { writeObject } from "./object-write.ts";
import { everybody } from "./principal.ts";
import { HttpError, problemResponse, statusOf, toPagefoldError } from "./problem.ts";
import type { ServerFigures } from "./server.ts";
import { volumePlane } from "./v1.ts";

/** `/volumes/<26>/segments/<16>-<26>`, or `/compacted/`: told by its length and two marks before anything else is looked at. */
const SEGMENT_MARK_AT = 35;
const SEGMENT_MARKS = ["/segments/", "/compacted/"] as const;
const SEGMENT_NAME_LENGTH = 43;

export class Router {
  readonly #context: ServerContext;
  readonly #volumePlane: ReturnType<typeof volumePlane>;
  readonly #base: string;

  constructor(context: ServerContext) {
    this.#context = context;
    this.#base = context.settings.basePath;
    this.#volumePlane = volumePlane(context);
    this.#volumePlane.onError((error, c) => this.#failed(error, c.req.raw));
    this.#volumePlane.notFound((c) => problemResponse(noRoute(c.req.path), c.req.method !== "HEAD"));
  }

  figures(): ServerFigures {
    const { store, events } = this.#context;
    return { cache: store.stats(), eventStreams: events.streams, eventVolumes: events.volumes };
  }

  fetch(request: Request): Response | Promise<Response> {
    try {
      const path = this.#pathOf(request.url);
      if (path === undefined) return problemResponse(noRoute(request.url), request.method !== "HEAD");
      if (isSegmentPath(path) && request.method === "GET") return this.#segment(request, path.slice(1));
      return this.#route(request, path).catch((error: unknown) => this.#failed(error, request));
    } catch (error) {
      return this.#failed(error, request);
    }
  }

  /** The way of nearly every request of a replica: a range of a segment. */
  #segment(request: Request, key: string): Response | Promise<Response> {
    const { authenticate } = this.#context;
    if (authenticate === undefined) {
      return (
        readFromMemory(this.#context, everybody, request, key) ??
        readObject(this.#context, everybody, request, key).catch((error: unknown) =>
          this.#failed(error, request),
        )
      );
    }
    return this.#segmentFor(request, key).catch((error: unknown) => this.#failed(error, request));
  }

  async #segmentFor(request: Request, key: string): Promise<Response> {
    const context = this.#context;
    const principal = (await context.authenticate?.(request)) ?? everybody;
    // By the volume alone: whoever has it by a tag or a fork takes the longer way.
    const volume = key.slice(8, 34);
    if (principal.may("read", { volume, tags: [] })) {
      const answer = readFromMemory(context, principal, request, key);
      if (answer !== undefined) return answer;
    }
    return readObject(context, principal, request, key);
  }

  async #route(request: Request, path: string): Promise<Response> {
    if (path.startsWith("/volumes/") || path.startsWith("/tags/") || path.startsWith("/probe")) {
      return this.#object(request, path.slice(1));
    }
    if (path === "/v1" || path.startsWith("/v1/")) return this.#toVolumePlane(request);
    const version = /^\/v(\d{1,9})(?:\/|$)/.exec(path)?.[1];
    if (version !== undefined) throw otherVersion(version);
    throw noRoute(path);
  }

  async #object(request: Request, encoded: string): Promise<Response> {
    const context = this.#context;
    const { method } = request;
    if (!["GET", "HEAD", "PUT", "DELETE"].includes(method)) throw badMethod(method);
    const key = decodeKey(encoded);
    const principal = (await context.authenticate?.(request)) ?? everybody;
    if (method === "PUT") {
      if (key === undefined)
        throw new HttpError(400, "invalid", "the path is no key: it is not well encoded");
      return writeObject(context, principal, request, key);
    }
    if (key === undefined) throw noObject(encoded);
    if (method !== "DELETE") return readObject(context, principal, request, key);
    await deleteObjects(context, principal, [key], request.signal);
    return new Response(null, { status: 204 });
  }

  async #toVolumePlane(request: Request): Promise<Response> {
    if (this.#base === "") return this.#volumePlane.fetch(request);
    const url = new URL(request.url);
    url.pathname = url.pathname.slice(this.#base.length);
    return this.#volumePlane.fetch(new Request(url, request));
  }

  /** The path within the server, as it was sent; undefined outside of its base. */
  #pathOf(url: string): string | undefined {
    const start = url.indexOf("/", url.indexOf("://") + 3);
    if (start === -1) return "/";
    const mark = url.indexOf("?", start);
    const path = mark === -1 ? url.slice(start) : url.slice(start, mark);
    if (this.#base === "") return path;
    return path.startsWith(`${this.#base}/`) ? path.slice(this.#base.length) : undefined;
  }

  #failed(thrown: unknown, request: Request): Response {
    const error = toPagefoldError(thrown);
    if (statusOf(error) >= 500) this.#context.onError?.(thrown, request);
    this.#context.recorder.count(`server.refused.${error.code}`);
    return problemResponse(error, request.method !== "HEAD");
  }
}

function isSegmentPath(path: string): boolean {
  if (!path.startsWith("/volumes/")) return false;
  return SEGMENT_MARKS.some(
    (mark) =>
      path.length === SEGMENT_MARK_AT + mark.length + SEGMENT_NAME_LENGTH &&
      path.startsWith(mark, SEGMENT_MARK_AT),
  );
}

function decodeKey(encoded: string): string | undefined {
  try {
    return decodeURIComponent(encoded);
  } catch {
    return undefined;
  }
}

function noRoute(path: string): HttpError {
  return new HttpError(
    404,
    "not_found",
    `nothing answers at ${path.slice(0, 200)}; see docs/protocol.md for what does`,
  );
}

function badMethod(method: string): HttpError {
  return new HttpError(405, "invalid", `an object is read, written or deleted, not ${method.slice(0, 32)}`, {
    headers: { allow: "GET, HEAD, PUT, DELETE" },
  });
}

function otherVersion(version: string): HttpError {
  return new HttpError(
    404,
    "unsupported_version",
    `this server speaks version 1 of the protocol, not ${version}; use a client of that version, or update the server`,
  );
}
