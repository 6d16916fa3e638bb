/** Reading of the object plane: `GET` and `HEAD` of one key, whole or a range, out of memory where it lies there. */
import type { Lsn, VolumeId } from "../../src/base/brand.ts";
import { decodeTag } from "../../src/format/tag-codec.ts";
import type { CachedObject } from "./cache/memory-blocks.ts";
import type { ServerContext } from "./context.ts";
import { type ObjectName, parseObjectKey } from "./object-keys.ts";
import type { Principal } from "./principal.ts";
import { HttpError } from "./problem.ts";
import { parseRange, placeRange, type WantedRange } from "./ranges.ts";
import { bodyOfParts } from "./stream.ts";

/** Kinds whose names are random, or hashes: no other bytes will ever have them. */
const NAMED_ONCE: ReadonlySet<ObjectName["kind"]> = new Set(["segment", "compacted", "checkpoint"] as const);
const FIRST_LSN = 1 as Lsn;

const OBJECT_TYPE = "application/octet-stream";
/** What is larger is sent in parts, one at a time in memory. */
const STREAM_ABOVE = 4 * 2 ** 20;
/** Kinds that may change, or come into being, and are small. */
const CHANGING: ReadonlySet<ObjectName["kind"]> = new Set([
  ...(["head", "tag", "pin", "restore", "floor", "config", "deleted", "lease"] as const),
]);
/** Of a larger object that may change, its entity tag is not worked out from all of it. */
const TAG_WHOLE_BYTES = 262_144;

export function noObject(key: string): HttpError {
  const shown = key.slice(0, 200);
  return new HttpError(404, "not_found", `there is no object ${shown} here, or you may not see it`, {
    details: { key: shown },
  });
}

/** Answers `GET /KEY` and `HEAD /KEY`. */
export async function readObject(
  context: ServerContext,
  principal: Principal,
  request: Request,
  key: string,
): Promise<Response> {
  const name = parseObjectKey(key);
  if (name === undefined) throw noObject(key);
  if (!(await maySee(context, principal, name, request.signal))) throw noObject(key);
  if (CHANGING.has(name.kind)) return readChanging(context, principal, request, name);
  const size = await sizeOf(context, request, key);
  if (size === undefined) throw noObject(key);
  const etag = await etagOf(context, name, size, request.signal);
  const range = rangeOf(request, etag);
  const headers = objectHeaders(principal, name, etag);
  if (matches(request.headers.get("if-none-match"), etag))
    return new Response(null, { status: 304, headers });
  if (range === undefined) {
    headers["content-length"] = String(size);
    const status = 200;
    return answer(context, request, key, { offset: 0, length: size }, { status, headers });
  }
  const place = placeRange(range, size, key);
  headers["content-length"] = String(place.length);
  headers["content-range"] = contentRange(place, size);
  return answer(context, request, key, place, { status: 206, headers });
}

/**
 * A small object that may come into being any moment, asked of the store itself: pushes and collections go by what is absent here, so that no listing, which
 * may lag behind, may answer.
 */
async function readChanging(
  { origin, codecs }: ServerContext,
  principal: Principal,
  request: Request,
  name: ObjectName,
): Promise<Response> {
  const bytes = await origin.get(name.key, { signal: request.signal });
  // Whoever pushes asks for the next floor, which hardly ever is there: nothing that a browser should report as a failure.
  if (bytes === undefined && name.kind === "floor" && request.method === "GET")
    return new Response(null, { status: 204, headers: { "cache-control": "no-store" } });
  if (bytes === undefined) throw noObject(name.key);
  const etag = `"${codecs.hash.frameHash(bytes)}-${bytes.length}"`;
  const headers = objectHeaders(principal, name, etag);
  if (matches(request.headers.get("if-none-match"), etag))
    return new Response(null, { status: 304, headers });
  const range = rangeOf(request, etag);
  const { offset, length } =
    range === undefined ? { offset: 0, length: bytes.length } : placeRange(range, bytes.length, name.key);
  headers["content-length"] = String(length);
  if (range !== undefined) headers["content-range"] = contentRange({ offset, length }, bytes.length);
  const body = request.method === "HEAD" || length === 0 ? null : bytes.subarray(offset, offset + length);
  return new Response(body as Uint8Array<ArrayBuffer> | null, {
    status: range === undefined ? 200 : 206,
    headers,
  });
}

/** The size of an object; where that must be asked for, the bytes that are wanted are asked for at the same time. */
async function sizeOf({ store }: ServerContext, request: Request, key: string): Promise<number | undefined> {
  const wanted = parseRange(request.headers.get("range"));
  const first =
    request.method === "GET" && wanted?.length !== undefined && store.peek(key)?.size === undefined
      ? store.read(
          key,
          { offset: wanted.offset, length: Math.min(wanted.length, STREAM_ABOVE) },
          request.signal,
        )
      : undefined;
  // It only brings the bytes into memory: what is wrong with it, the read that follows says.
  first?.catch(() => {});
  const size = await store.sizeOf(key, request.signal);
  if (size !== undefined) {
    await first?.catch(() => {});
    return size;
  }
  // A listing may lag behind: whether an object is there is told by asking for it.
  return (await store.read(key, undefined, request.signal))?.length;
}

/**
 * The same for a range of a segment that lies in memory whole, with nothing allocated on the way that need not be; undefined where it does not, or
 * where the request asks for anything unusual.
 */
export function readFromMemory(
  context: ServerContext,
  principal: Principal,
  request: Request,
  key: string,
): Response | undefined {
  const object = context.store.peek(key);
  if (object?.size === undefined || object.etag === undefined) return undefined;
  const { headers } = request;
  if (headers.get("if-none-match") !== null || headers.get("if-range") !== null) return undefined;
  const range = parseRange(headers.get("range"));
  const place =
    range === undefined ? { offset: 0, length: object.size } : placeRange(range, object.size, key);
  if (place.length > STREAM_ABOVE) return undefined;
  const bytes = context.store.view(object, place.offset, place.length);
  if (bytes === undefined) return undefined;
  const { size, etag } = object;
  return new Response(bytes as Uint8Array<ArrayBuffer>, {
    status: range === undefined ? 200 : 206,
    headers: {
      "content-type": OBJECT_TYPE,
      "content-length": String(place.length),
      ...(range === undefined ? {} : { "content-range": contentRange(place, size) }),
      etag,
      "accept-ranges": "bytes",
      "cache-control": segmentCaching(principal),
    },
  });
}

/** Whether the object may be read: by its volume, by a fork that shares it, by its tag. */
export async function maySee(
  context: ServerContext,
  principal: Principal,
  name: ObjectName,
  signal: AbortSignal,
): Promise<boolean> {
  const { access, store, codecs } = context;
  if (name.kind === "tag") {
    if (principal.may("read", { tags: [name.tag] })) return true;
    const bytes = await store.get(name.key, { signal });
    if (bytes === undefined) return false;
    const { volume } = decodeTag(bytes, codecs.hash, { tag: name.tag, key: name.key });
    return volume !== undefined && access.allows(principal, "read", volume);
  }
  if (await access.allows(principal, "read", name.volume)) return true;
  const lsn = await sharedAt(context, name, signal);
  return lsn !== undefined && access.allowsByFork(principal, name.volume, lsn, signal);
}

/** Whoever shares this LSN of a volume may read the object; undefined where it is nobody's but the volume's own. */
async function sharedAt(
  { kept }: ServerContext,
  name: Exclude<ObjectName, { kind: "tag" }>,
  signal: AbortSignal,
): Promise<Lsn | undefined> {
  switch (name.kind) {
    case "commit":
    case "segment":
    case "rollup":
    case "checkpoint":
      return name.lsn;
    case "floor":
      // It says where what is shared was moved to.
      return FIRST_LSN;
    case "compacted":
      return kept.lowestNaming(name, signal);
    default:
      return undefined;
  }
}

async function answer(
  { store }: ServerContext,
  request: Request,
  key: string,
  { offset, length }: { readonly offset: number; readonly length: number },
  init: { readonly status: number; readonly headers: Record<string, string> },
): Promise<Response> {
  if (request.method === "HEAD" || length === 0) return new Response(null, init);
  if (length > STREAM_ABOVE) {
    const parts = async function* (): AsyncGenerator<Uint8Array, void, undefined> {
      for (let at = 0; at < length; at += STREAM_ABOVE) {
        yield await exactly(store, key, offset + at, Math.min(STREAM_ABOVE, length - at), request.signal);
      }
    };
    return new Response(bodyOfParts(parts()), init);
  }
  const bytes = await exactly(store, key, offset, length, request.signal);
  return new Response(bytes as Uint8Array<ArrayBuffer>, init);
}

/** The bytes of a range that the object was seen to have. */
async function exactly(
  store: ServerContext["store"],
  key: string,
  offset: number,
  length: number,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const bytes = await store.read(key, { offset, length }, signal);
  if (bytes?.length === length) return bytes;
  throw new HttpError(
    503,
    "unavailable",
    `${key} changed or was deleted while it was read; ask for it again`,
    {
      details: { key },
    },
  );
}

function contentRange({ offset, length }: { offset: number; length: number }, size: number): string {
  return `bytes ${offset}-${offset + length - 1}/${size}`;
}

function objectHeaders(principal: Principal, name: ObjectName, etag: string): Record<string, string> {
  return {
    "content-type": OBJECT_TYPE,
    etag,
    "accept-ranges": "bytes",
    "cache-control": NAMED_ONCE.has(name.kind) ? segmentCaching(principal) : "no-cache",
  };
}

/** Caches that many share may only keep what anybody may read: what was answered to someone without a token. */
function segmentCaching({ anonymous }: Principal): string {
  return `${anonymous === true ? "public" : "private"}, max-age=31536000, immutable`;
}

function rangeOf(request: Request, etag: string): WantedRange | undefined {
  const condition = request.headers.get("if-range");
  if (condition !== null && condition !== etag) return undefined;
  return parseRange(request.headers.get("range"));
}

function matches(header: string | null, etag: string): boolean {
  if (header === null) return false;
  return header.split(",").some((part) => part.trim() === etag || part.trim() === "*");
}

/**
 * A strong entity tag. A segment's name is random and never given twice. The start of a commit has a check of its header, which has the hashes of all
 * the rest; so has that of a small object, which is all of it. Bands apart begin with what tells two attempts at one LSN apart.
 */
async function etagOf(
  { store, codecs }: ServerContext,
  name: ObjectName,
  size: number,
  signal: AbortSignal,
): Promise<string> {
  const known = store.peek(name.key)?.etag;
  if (known !== undefined) return known;
  let etag: string;
  if (name.kind === "segment" || name.kind === "compacted") {
    etag = `"${name.id}-${size}"`;
  } else {
    const length = name.kind === "commit" ? 32 : Math.min(size, TAG_WHOLE_BYTES);
    const start = (await store.read(name.key, { offset: 0, length }, signal)) ?? new Uint8Array(0);
    etag = `"${codecs.hash.frameHash(start)}-${size}"`;
  }
  remember(store.peek(name.key), etag);
  return etag;
}

function remember(object: CachedObject | undefined, etag: string): void {
  if (object !== undefined) object.etag = etag;
}

/** The volume that an object's rights hang on, undefined for a tag's. */
export function volumeOf(name: ObjectName): VolumeId | undefined {
  return name.kind === "tag" ? undefined : name.volume;
}
