/**
 * An ObjectStore over `fetch`, for pages, workers and Node alike, against the object spaces of `site.ts`. Test support: it speaks that
 * site's small protocol, and streamed bodies are gathered, since browsers stream uploads over HTTP/2 only.
 */
import {
  abortedError,
  type ErrorCode,
  isPagefoldError,
  PagefoldError,
  throwIfAborted,
} from "../../src/base/errors.ts";
import { checkConditionalBody, collectBody } from "../../src/remote/body.ts";
import { checkKey, checkLimit, checkPrefix, checkRange } from "../../src/remote/keys.ts";
import type {
  Body,
  GetOptions,
  ListEntry,
  ListOptions,
  ObjectStore,
  PutOptions,
  StoreCapabilities,
} from "../../src/remote/object-store.ts";

type Signal = { readonly signal?: AbortSignal };

/** How many objects are deleted at a time; a browser opens six connections to a host. */
const DELETES_AT_ONCE = 6;

const STATUS_CODES: Readonly<Record<number, ErrorCode>> = {
  400: "invalid",
  401: "unauthorized",
  403: "forbidden",
  507: "quota",
};

export class HttpStore implements ObjectStore {
  readonly url: string;
  readonly capabilities: StoreCapabilities = { write: true, list: true, conditionalCreate: "yes" };

  /** @param url the space, with a slash at its end: `site.objectsUrl()` */
  constructor(url: string) {
    this.url = url;
  }

  async get(key: string, options: GetOptions = {}): Promise<Uint8Array | undefined> {
    checkKey(key);
    const { range } = options;
    if (range !== undefined) checkRange(range);
    const what = `reading ${key}`;
    // HTTP has no range of zero bytes; only whether the object is there is left to learn.
    const empty = range?.length === 0;
    const headers: Record<string, string> = {};
    if (range !== undefined && !empty) headers.range = `bytes=${range.offset}-${lastByte(range)}`;
    return this.#request(
      what,
      pathOf(key),
      { method: empty ? "HEAD" : "GET", headers },
      options,
      async (response) => {
        if (response.status === 404) return undefined;
        if (empty || response.status === 416) return new Uint8Array(0);
        this.#checkStatus(response, what, key, 200, 206);
        const bytes = new Uint8Array(await response.arrayBuffer());
        if (range === undefined) return bytes;
        if (response.status === 200) return bytes.slice(range.offset, range.offset + range.length);
        this.#checkRangeAnswer(response, bytes, range, key);
        return bytes;
      },
    );
  }

  async put(key: string, body: Body, options: PutOptions = {}): Promise<"created" | "exists"> {
    checkKey(key);
    checkConditionalBody(key, body, options);
    const what = `writing ${key}`;
    throwIfAborted(options.signal, what);
    const bytes = await collectBody(body, options.signal, what);
    const headers: Record<string, string> = options.ifAbsent === true ? { "if-none-match": "*" } : {};
    const init = { method: "PUT", headers, body: bytes as Uint8Array<ArrayBuffer> };
    return this.#request(what, pathOf(key), init, options, async (response) => {
      if (response.status === 412 && options.ifAbsent === true) return "exists";
      this.#checkStatus(response, what, key, 200, 201);
      return "created";
    });
  }

  async list(prefix: string, options: ListOptions = {}): Promise<ListEntry[]> {
    checkPrefix(prefix);
    const { startAfter, limit = 1000 } = options;
    checkLimit(limit);
    const query = new URLSearchParams({ list: prefix, limit: String(limit) });
    if (startAfter !== undefined) query.set("startAfter", startAfter);
    const what = `listing ${prefix}`;
    return this.#request(what, `?${query}`, {}, options, async (response) => {
      this.#checkStatus(response, what, prefix, 200);
      return (await response.json()) as ListEntry[];
    });
  }

  async delete(keys: readonly string[], options: Signal = {}): Promise<void> {
    for (const key of keys) checkKey(key);
    throwIfAborted(options.signal, "deleting objects");
    const left = [...keys];
    const worker = async (): Promise<void> => {
      for (let key = left.pop(); key !== undefined; key = left.pop()) {
        const what = `deleting ${key}`;
        const deleted = key;
        await this.#request(what, pathOf(key), { method: "DELETE" }, options, async (response) =>
          this.#checkStatus(response, what, deleted, 204),
        );
      }
    };
    await Promise.all(Array.from({ length: DELETES_AT_ONCE }, worker));
  }

  async close(): Promise<void> {}

  async #request<T>(
    what: string,
    pathOrQuery: string,
    init: RequestInit,
    { signal }: Signal,
    read: (response: Response) => Promise<T>,
  ): Promise<T> {
    throwIfAborted(signal, what);
    try {
      const response = await fetch(this.url + pathOrQuery, {
        ...init,
        cache: "no-store",
        ...(signal === undefined ? {} : { signal }),
      });
      return await read(response);
    } catch (error) {
      if (isPagefoldError(error)) throw error;
      if (signal?.aborted) throw abortedError(what, signal.reason);
      throw new PagefoldError(
        "unavailable",
        `${what}: ${this.url} cannot be reached or broke off; try again`,
        {
          cause: error,
          details: { store: this.url },
        },
      );
    }
  }

  #checkStatus(response: Response, what: string, key: string, ...expected: number[]): void {
    const { status } = response;
    if (expected.includes(status)) return;
    throw new PagefoldError(
      STATUS_CODES[status] ?? "unavailable",
      `${what}: ${this.url} answered ${status}${status >= 500 ? "; try again" : ""}`,
      { details: { key, status, store: this.url } },
    );
  }

  /** A cache on the way may answer another range than was asked for; nothing above could tell. */
  #checkRangeAnswer(
    response: Response,
    bytes: Uint8Array,
    range: NonNullable<GetOptions["range"]>,
    key: string,
  ): void {
    const told = response.headers.get("content-range") ?? "no Content-Range";
    const match = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(told);
    const end = Math.min(range.offset + range.length, Number(match?.[3]));
    if (Number(match?.[1]) === range.offset && bytes.length === end - range.offset) return;
    throw new PagefoldError(
      "unavailable",
      `reading ${key}: asked for ${range.length} bytes at ${range.offset}, got ${bytes.length} bytes (${told}); try again`,
      { details: { key, store: this.url } },
    );
  }
}

function pathOf(key: string): string {
  return key.split("/").map(encodeURIComponent).join("/");
}

function lastByte({ offset, length }: NonNullable<GetOptions["range"]>): number {
  return Math.min(offset + length - 1, Number.MAX_SAFE_INTEGER);
}
