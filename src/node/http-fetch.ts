/**
 * `fetch` for stores over HTTP in Node, on undici's own requests: a fifth of the cost of the global `fetch`, which is made of the same. Redirects are
 * followed; bodies that are compressed although nobody asked are taken as they were meant.
 */
import { Readable } from "node:stream";
import type { ReadableStream as NodeReadableStream } from "node:stream/web";
import { createBrotliDecompress, createGunzip, createInflate } from "node:zlib";
import { Agent, type Dispatcher, interceptors, request } from "undici";
import type { HttpFetch, HttpHeaders, HttpResponse } from "../remote/http/http-fetch.ts";

const MAX_REDIRECTIONS = 5;
/** How long an answer may take to begin, and the next bytes of one: the server's beats come every 15 seconds. */
const PATIENCE_MS = 120_000;

let connections: Dispatcher | undefined;

/** Made when first used, one for the process: connections are kept and shared by all stores. */
function dispatcher(): Dispatcher {
  connections ??= new Agent({ headersTimeout: PATIENCE_MS, bodyTimeout: PATIENCE_MS }).compose(
    interceptors.redirect({ maxRedirections: MAX_REDIRECTIONS }),
  );
  return connections;
}

export const nodeFetch: HttpFetch = async (url, { method, headers, body, signal }) => {
  const answer = await request(url, {
    method: method as Dispatcher.HttpMethod,
    headers,
    dispatcher: dispatcher(),
    ...(body === undefined ? {} : { body: body instanceof Uint8Array ? body : Readable.from(body) }),
    ...(signal === undefined ? {} : { signal }),
  });
  return new NodeResponse(url, answer);
};

class NodeResponse implements HttpResponse {
  readonly status: number;
  readonly headers: HttpHeaders;
  readonly url: string;
  readonly #answer: Dispatcher.ResponseData;
  readonly #encoding: string;
  #body: ReadableStream<Uint8Array> | undefined;

  constructor(url: string, answer: Dispatcher.ResponseData) {
    this.url = url;
    this.status = answer.statusCode;
    this.#answer = answer;
    this.headers = {
      get: (name) => {
        const value = answer.headers[name.toLowerCase()];
        return value === undefined ? null : Array.isArray(value) ? value.join(", ") : value;
      },
    };
    this.#encoding = this.headers.get("content-encoding")?.trim().toLowerCase() ?? "identity";
  }

  get body(): ReadableStream<Uint8Array> {
    this.#body ??= Readable.toWeb(this.#decoded()) as NodeReadableStream as ReadableStream<Uint8Array>;
    return this.#body;
  }

  async arrayBuffer(): Promise<ArrayBuffer> {
    if (this.#encoding === "identity") return this.#answer.body.arrayBuffer();
    const chunks: Buffer[] = [];
    for await (const chunk of this.#decoded()) chunks.push(chunk as Buffer);
    const whole = Buffer.concat(chunks);
    return whole.buffer.slice(whole.byteOffset, whole.byteOffset + whole.length) as ArrayBuffer;
  }

  async text(): Promise<string> {
    return new TextDecoder().decode(await this.arrayBuffer());
  }

  async drop(): Promise<void> {
    // What is short is read to its end, so that the connection can be used again.
    await this.#answer.body.dump();
  }

  #decoded(): Readable {
    const { body } = this.#answer;
    const decoder =
      this.#encoding === "gzip" || this.#encoding === "x-gzip"
        ? createGunzip()
        : this.#encoding === "deflate"
          ? createInflate()
          : this.#encoding === "br"
            ? createBrotliDecompress()
            : undefined;
    if (decoder === undefined) return body;
    body.on("error", (error) => decoder.destroy(error));
    return body.pipe(decoder);
  }
}
