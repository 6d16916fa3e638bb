/**
 * The object plane of docs/protocol.md over any ObjectStore and any keys, checked by nobody: what tests put behind `HttpObjectStore`. GET with
 * ranges (206, 416), HEAD, PUT with `If-None-Match: *` (201, or 412 for a lost race), `GET v1/list`, `POST v1/delete`; no bundles, no events.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { ListEntry, ObjectStore } from "../../src/remote/object-store.ts";

export interface ObjectTarget {
  readonly space: string;
  readonly key: string;
  readonly list?: { readonly startAfter: string | null; readonly limit: number | undefined };
  /** The keys to delete are in the body. */
  readonly deletion?: true;
}

/** What a URL below `/objects/` names; undefined for any other. */
export function objectTarget(method: string, url: URL): ObjectTarget | undefined {
  const match = /^\/objects\/([\w-]+)\/(.*)$/.exec(url.pathname);
  if (match === null) return undefined;
  const [, space = "", path = ""] = match;
  if (!path.startsWith("v1/")) return { space, key: decodeURIComponent(path) };
  if (method === "POST" && path === "v1/delete") return { space, key: "", deletion: true };
  if (path !== "v1/list") return undefined;
  const limit = url.searchParams.get("limit");
  return {
    space,
    key: url.searchParams.get("prefix") ?? "",
    list: { startAfter: url.searchParams.get("after"), limit: limit === null ? undefined : Number(limit) },
  };
}

export async function serveObject(
  store: ObjectStore,
  target: ObjectTarget,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  // Nothing between the store and a page may answer from memory: what is counted and what is cut is what the page does.
  response.setHeader("cache-control", "no-store");
  const { key, list } = target;
  if (list !== undefined) return sendJson(response, await listing(store, key, list));
  if (target.deletion === true) {
    const { keys } = JSON.parse(new TextDecoder().decode(await readBody(request))) as { keys: string[] };
    await store.delete(keys);
    response.writeHead(204).end();
    return;
  }
  switch (request.method) {
    case "GET":
    case "HEAD":
      return sendObject(store, key, request, response);
    case "PUT": {
      const body = await readBody(request);
      const ifAbsent = request.headers["if-none-match"] === "*";
      const outcome = await store.put(key, body, { ifAbsent });
      sendEmpty(response, outcome === "exists" ? 412 : 201);
      return;
    }
    default:
      sendEmpty(response, 405);
  }
}

function listing(
  store: ObjectStore,
  prefix: string,
  { startAfter, limit }: NonNullable<ObjectTarget["list"]>,
): Promise<ListEntry[]> {
  return store.list(prefix, {
    ...(startAfter === null ? {} : { startAfter }),
    ...(limit === undefined ? {} : { limit }),
  });
}

function sendJson(response: ServerResponse, value: unknown): void {
  response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(value));
}

export function sendEmpty(response: ServerResponse, status: number): void {
  response.writeHead(status, { "content-length": 0 }).end();
}

async function sendObject(
  store: ObjectStore,
  key: string,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const [entry] = await store.list(key, { limit: 1 });
  if (entry?.key !== key) {
    return sendEmpty(response, 404);
  }
  const { size } = entry;
  response.setHeader("accept-ranges", "bytes");
  response.setHeader("content-type", "application/octet-stream");
  if (request.method === "HEAD") {
    response.writeHead(200, { "content-length": size }).end();
    return;
  }
  const range = parseRange(request.headers.range, size);
  if (range === "unsatisfiable") {
    response.setHeader("content-range", `bytes */${size}`);
    return sendEmpty(response, 416);
  }
  const bytes = await store.get(key, range === undefined ? {} : { range });
  if (bytes === undefined) {
    return sendEmpty(response, 404);
  }
  if (range !== undefined) {
    const last = range.offset + bytes.length - 1;
    response.setHeader("content-range", `bytes ${range.offset}-${last}/${size}`);
  }
  response.writeHead(range === undefined ? 200 : 206, { "content-length": bytes.length }).end(bytes);
}

/** The one form of ranges that a store asks for, `bytes=first-last`; anything else is answered with the whole (RFC 9110, 14.2). */
function parseRange(
  header: string | undefined,
  size: number,
): { offset: number; length: number } | "unsatisfiable" | undefined {
  const match = /^bytes=(\d+)-(\d+)$/.exec(header ?? "");
  if (match === null) return undefined;
  const first = Number(match[1]);
  const last = Math.min(Number(match[2]), size - 1);
  if (first >= size) return "unsatisfiable";
  return last < first ? undefined : { offset: first, length: last - first + 1 };
}

async function readBody(request: IncomingMessage): Promise<Uint8Array> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return new Uint8Array(Buffer.concat(chunks));
}
