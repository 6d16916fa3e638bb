/**
 * An ObjectStore by HTTP (docs/protocol.md): a Pagefold server (read and write, bundles, live news), or any static host or CDN that serves a
 * copy of a store's directory (reading only). Hosts are taken as they are: answers are checked against what was asked for, and every byte is
 * verified along the chain by whoever reads it.
 */
import {
  abortedError,
  type ErrorDetails,
  isPagefoldError,
  PagefoldError,
  throwIfAborted,
} from "../../base/errors.ts";
import { type Runtime, systemRuntime } from "../../base/runtime.ts";
import { checkConditionalBody, collectBody, isWhole, markSourceFailures, SourceFailure } from "../body.ts";
import { checkKey, checkLimit, checkPrefix, checkRange } from "../keys.ts";
import type {
  Body,
  Bundle,
  ByteRange,
  GetOptions,
  HttpAddress,
  ListEntry,
  ListOptions,
  ObjectStore,
  PutOptions,
  StoreCapabilities,
  WatchListener,
} from "../object-store.ts";
import { BUNDLE_TYPE } from "./bundle-codec.ts";
import { EventWatcher } from "./event-watcher.ts";
import { errorOfResponse, isProblem } from "./http-errors.ts";
import { dropBody, type HttpFetch, type HttpRequest, type HttpResponse, runtimeFetch } from "./http-fetch.ts";
import { partialBytes, partOfWhole, rangeHeader } from "./ranges.ts";
import { readBundle } from "./read-bundle.ts";

/** A bearer token, or where to get one; `renew` is true where the last one was refused. */
export type HttpAuth = string | ((options: { readonly renew: boolean }) => string | Promise<string>);

export interface HttpStoreOptions {
  /** "server": a Pagefold server; "static": a host of files. */
  readonly kind: "server" | "static";
  readonly auth?: HttpAuth;
  /** Sent with every request. In a page, headers of one's own cost a preflight on another origin. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly fetch?: HttpFetch;
  readonly runtime?: Runtime;
  /** Send streamed bodies as they come; else they are gathered first (browsers cannot stream over HTTP/1.1). Default false. */
  readonly streamBodies?: boolean;
}

export interface OpenHttpStoreOptions extends Omit<HttpStoreOptions, "kind"> {
  /** "auto" (default) asks the host what it is: one request, which also reads `name`. */
  readonly kind?: "auto" | "server" | "static";
  /** A tag or id that will be opened next. */
  readonly name?: string;
  readonly signal?: AbortSignal;
}

type Signal = { readonly signal?: AbortSignal };

/** @throws `invalid` for an address that is none, `unavailable` where the host cannot be reached, `unauthorized`, `forbidden` */
export async function openHttpStore(
  url: string,
  options: OpenHttpStoreOptions = {},
): Promise<HttpObjectStore> {
  const { kind = "auto", name, signal, ...rest } = options;
  if (kind !== "auto") return new HttpObjectStore(url, { ...rest, kind });
  const server = new HttpObjectStore(url, { ...rest, kind: "server" });
  if (await server.looksLikeServer(name, signal)) return server;
  return new HttpObjectStore(url, { ...rest, kind: "static" });
}

export class HttpObjectStore implements ObjectStore {
  readonly url: string;
  readonly capabilities: StoreCapabilities;
  readonly http?: HttpAddress;
  readonly bundle?: NonNullable<ObjectStore["bundle"]>;
  readonly watch?: NonNullable<ObjectStore["watch"]>;
  readonly #options: HttpStoreOptions;
  readonly #fetch: HttpFetch;
  readonly #runtime: Runtime;
  readonly #watcher: EventWatcher;
  /** What was learned while the host was asked what it is. */
  #first: { readonly name: string; readonly bundle: Promise<Bundle | undefined> } | undefined;

  /** @param url the server's address, or that of the store's directory on a static host */
  constructor(url: string, options: HttpStoreOptions) {
    this.url = baseOf(url);
    this.#options = options;
    this.#fetch = options.fetch ?? runtimeFetch;
    this.#runtime = options.runtime ?? systemRuntime;
    const server = options.kind === "server";
    this.capabilities = { write: server, list: server, conditionalCreate: server ? "yes" : "no" };
    const { auth, headers = {} } = options;
    if (auth === undefined || typeof auth === "string") {
      this.http = { baseUrl: this.url, headers: { ...headers, ...bearer(auth) } };
    }
    this.#watcher = new EventWatcher(
      (path, signal) => this.#send(path, { method: "GET", headers: {} }, "following commits", signal),
      this.#runtime,
    );
    if (!server) return;
    this.bundle = (name, { from = 0, signal } = {}) => this.#bundle(name, from, signal);
    this.watch = (volume: string, after: number, listener: WatchListener) =>
      this.#watcher.watch(volume, after, listener);
  }

  async get(key: string, options: GetOptions = {}): Promise<Uint8Array | undefined> {
    checkKey(key);
    const { range, signal } = options;
    if (range !== undefined) checkRange(range);
    const what = `reading ${key}`;
    // HTTP has no range of zero bytes; only whether the object is there is left to learn.
    const empty = range?.length === 0;
    const headers: Record<string, string> = range === undefined || empty ? {} : { range: rangeHeader(range) };
    const response = await this.#send(pathOf(key), { method: empty ? "HEAD" : "GET", headers }, what, signal);
    return this.#reading(what, signal, () => this.#object(response, key, range, what));
  }

  async put(key: string, body: Body, options: PutOptions = {}): Promise<"created" | "exists"> {
    checkKey(key);
    checkConditionalBody(key, body, options);
    const { ifAbsent = false, signal } = options;
    const what = `writing ${key}`;
    this.#refuseStatic(what);
    throwIfAborted(signal, what);
    const request = {
      method: "PUT",
      headers: ifAbsent ? { "if-none-match": "*" } : {},
      ...(await this.#bodyOf(body, signal, what)),
    };
    const response = await this.#send(pathOf(key), request, what, signal);
    if (response.status === 412 && ifAbsent) {
      await dropBody(response);
      return "exists";
    }
    await this.#expect(response, what, key, 200, 201, 204);
    return "created";
  }

  async list(prefix: string, options: ListOptions = {}): Promise<ListEntry[]> {
    checkPrefix(prefix);
    const { startAfter, limit = 1000, signal } = options;
    checkLimit(limit);
    const what = `listing ${prefix}`;
    if (this.#options.kind === "static") {
      throw new PagefoldError("forbidden", `${what}: ${this.url} is a static host, which cannot list`, {
        details: { store: this.url },
      });
    }
    if (limit === 0) return [];
    const entries: ListEntry[] = [];
    for (let after = startAfter; entries.length < limit; after = entries[entries.length - 1]?.key) {
      const asked = Math.min(1000, limit - entries.length);
      const found = await this.#listPage(prefix, after, asked, what, signal);
      entries.push(...found);
      if (found.length < asked) break;
    }
    return entries;
  }

  async delete(keys: readonly string[], { signal }: Signal = {}): Promise<void> {
    for (const key of keys) checkKey(key);
    const what = "deleting objects";
    this.#refuseStatic(what);
    throwIfAborted(signal, what);
    for (let at = 0; at < keys.length; at += 1000) {
      const body = jsonBytes({ keys: keys.slice(at, at + 1000) });
      const headers = { "content-type": "application/json" };
      const response = await this.#send("v1/delete", { method: "POST", headers, body }, what, signal);
      await this.#expect(response, what, keys[at] ?? "", 204);
    }
  }

  async close(): Promise<void> {
    this.#watcher.close();
  }

  /**
   * Asks for what opening `name` needs, and keeps that for the first `bundle`. Whatever is no Pagefold server answers something else: a page, a 404
   * without a problem document.
   */
  async looksLikeServer(name: string | undefined, signal?: AbortSignal): Promise<boolean> {
    const what = `asking ${this.url} what it serves`;
    const path = name === undefined ? "v1" : `v1/open/${encodeURIComponent(name)}?from=0`;
    const response = await this.#send(path, { method: "GET", headers: {} }, what, signal);
    const type = response.headers.get("content-type") ?? "";
    if (name !== undefined && response.status === 200 && type.startsWith(BUNDLE_TYPE)) {
      this.#first = { name, bundle: readBundle(response, what, this.#details({})) };
      // Whoever asks for it gets its failure.
      this.#first.bundle.catch(() => {});
      return true;
    }
    if (response.status === 401 || response.status === 403 || response.status >= 500)
      throw await errorOfResponse(response, what, this.#details({}));
    if (isProblem(response.headers)) {
      await dropBody(response);
      return true;
    }
    if (response.status !== 200 || !type.startsWith("application/json")) {
      await dropBody(response);
      return false;
    }
    const info = (await response.text()).slice(0, 4096);
    return /"service"\s*:\s*"pagefold"/.test(info);
  }

  async #bundle(name: string, from: number, signal: AbortSignal | undefined): Promise<Bundle | undefined> {
    const first = this.#first;
    this.#first = undefined;
    if (first?.name === name && from === 0) return first.bundle;
    const what = `reading what ${name} needs`;
    const path = `v1/open/${encodeURIComponent(name)}?from=${from}`;
    const response = await this.#send(path, { method: "GET", headers: {} }, what, signal);
    if (response.status === 404 || response.status === 501) {
      // The calls that follow say what is missing.
      await dropBody(response);
      return undefined;
    }
    await this.#expect(response, what, "", 200);
    return this.#reading(what, signal, () => readBundle(response, what, this.#details({})));
  }

  async #object(
    response: HttpResponse,
    key: string,
    range: ByteRange | undefined,
    what: string,
  ): Promise<Uint8Array | undefined> {
    const { status } = response;
    // 204: a Pagefold server's word for a floor that is not there.
    const isAbsent = status === 404 || status === 410 || (status === 204 && range?.length !== 0);
    if (isAbsent || this.#isPageForEverything(response)) {
      await dropBody(response);
      return undefined;
    }
    if (range?.length === 0 || status === 416) {
      if (range?.length === 0) await this.#expect(response, what, key, 200, 206, 204);
      else await dropBody(response);
      return new Uint8Array(0);
    }
    if (status !== 200 && status !== 206) throw await errorOfResponse(response, what, this.#details({ key }));
    if (range === undefined) {
      if (status === 206) throw new Error("206 for a request of the whole object");
      return new Uint8Array(await response.arrayBuffer());
    }
    if (status === 200) return partOfWhole(response, range);
    return partialBytes(response, range, what, this.#details({ key }));
  }

  /** A static host of a single-page application answers its page for any path; no object of a store is HTML. */
  #isPageForEverything({ headers, status }: HttpResponse): boolean {
    return (
      status === 200 &&
      this.#options.kind === "static" &&
      /^text\/html\b/i.test(headers.get("content-type") ?? "")
    );
  }

  async #listPage(
    prefix: string,
    after: string | undefined,
    limit: number,
    what: string,
    signal: AbortSignal | undefined,
  ): Promise<ListEntry[]> {
    const behind = after === undefined ? "" : `&after=${encodeURIComponent(after)}`;
    const path = `v1/list?prefix=${encodeURIComponent(prefix)}${behind}&limit=${limit}`;
    const response = await this.#send(path, { method: "GET", headers: {} }, what, signal);
    await this.#expect(response, what, prefix, 200);
    return this.#reading(what, signal, async () => {
      const listed: unknown = JSON.parse(await response.text());
      if (!Array.isArray(listed) || !listed.every(isListEntry))
        throw new TypeError("the answer is no listing");
      return listed.map(({ key, size }) => ({ key, size }));
    });
  }

  /** One request; with a new token where the first one was refused and there can be a new one. */
  async #send(
    path: string,
    request: Omit<HttpRequest, "cache" | "signal">,
    what: string,
    signal: AbortSignal | undefined,
  ): Promise<HttpResponse> {
    throwIfAborted(signal, what);
    const response = await this.#sendOnce(path, request, what, signal, false);
    const repeatable = request.body === undefined || request.body instanceof Uint8Array;
    if (response.status !== 401 || typeof this.#options.auth !== "function" || !repeatable) return response;
    await dropBody(response);
    return this.#sendOnce(path, request, what, signal, true);
  }

  async #sendOnce(
    path: string,
    request: Omit<HttpRequest, "cache" | "signal">,
    what: string,
    signal: AbortSignal | undefined,
    renew: boolean,
  ): Promise<HttpResponse> {
    const { auth, headers } = this.#options;
    const token = typeof auth === "function" ? await auth({ renew }) : auth;
    return this.#reading(what, signal, () =>
      this.#fetch(this.url + path, {
        ...request,
        headers: { ...headers, ...bearer(token), ...request.headers },
        // Pages have a cache of their own, above; and Chromium's makes requests for ranges of one object wait for each other.
        cache: "no-store",
        ...(signal === undefined ? {} : { signal }),
      }),
    );
  }

  /** Failures of the network, and of reading an answer, as what they mean. */
  async #reading<T>(what: string, signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      const source = sourceFailure(error);
      if (source !== undefined) throw source.cause;
      if (isPagefoldError(error)) throw error;
      if (signal?.aborted === true) throw abortedError(what, signal.reason);
      throw new PagefoldError(
        "unavailable",
        `${what}: ${this.url} cannot be reached or broke off; try again`,
        {
          cause: error,
          details: this.#details({}),
        },
      );
    }
  }

  async #bodyOf(
    body: Body,
    signal: AbortSignal | undefined,
    what: string,
  ): Promise<Pick<HttpRequest, "body" | "duplex">> {
    if (isWhole(body)) return { body: body as Uint8Array<ArrayBuffer> };
    if (this.#options.streamBodies === true) return { body: markSourceFailures(body), duplex: "half" };
    return { body: (await collectBody(body, signal, what)) as Uint8Array<ArrayBuffer> };
  }

  async #expect(
    response: HttpResponse,
    what: string,
    key: string,
    ...statuses: readonly number[]
  ): Promise<void> {
    if (!statuses.includes(response.status))
      throw await errorOfResponse(response, what, this.#details({ key }));
    if (response.status === 201 || response.status === 204) await dropBody(response);
  }

  #refuseStatic(what: string): void {
    if (this.#options.kind === "server") return;
    throw new PagefoldError(
      "forbidden",
      `${what}: ${this.url} is a static host, which only reads; write to the store itself or through a Pagefold server`,
      { details: this.#details({}) },
    );
  }

  #details(more: ErrorDetails): ErrorDetails {
    return { ...more, store: this.url };
  }
}

/** With a slash at its end, and without what might be a password in it. */
function baseOf(url: string): string {
  const form = /^(https?:\/\/)(?:[^/?#@]*@)?([^/?#@]+)(\/[^?#]*)?$/i.exec(url);
  if (form === null) {
    throw new PagefoldError(
      "invalid",
      `${JSON.stringify(url.replace(/\/\/[^/@]*@/, "//…@"))} is no plain http or https address; write for example https://example.org/data, and a token as auth`,
    );
  }
  return `${form[1]}${form[2]}${(form[3] ?? "").replace(/\/*$/, "")}/`;
}

function bearer(token: string | undefined): Record<string, string> {
  return token === undefined ? {} : { authorization: `Bearer ${token}` };
}

function pathOf(key: string): string {
  return key.split("/").map(encodeURIComponent).join("/");
}

function jsonBytes(value: unknown): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(JSON.stringify(value)) as Uint8Array<ArrayBuffer>;
}

function isListEntry(value: unknown): value is ListEntry {
  const entry = value as Partial<ListEntry> | null;
  return typeof entry?.key === "string" && Number.isSafeInteger(entry.size);
}

/** The caller's own failure, wherever fetch has put it. */
function sourceFailure(error: unknown): SourceFailure | undefined {
  for (let e: unknown = error, depth = 0; e instanceof Error && depth < 4; e = e.cause, depth++) {
    if (e instanceof SourceFailure) return e;
  }
  return undefined;
}
