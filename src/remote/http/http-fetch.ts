/**
 * The little of `fetch` that this folder uses, as types of its own: the core names no type of a platform. The runtime's own `fetch` (Node 20+,
 * browsers, workers) is the default; tests and other runtimes hand in theirs.
 */

export interface HttpHeaders {
  get(name: string): string | null;
}

export interface HttpResponse {
  readonly status: number;
  readonly headers: HttpHeaders;
  readonly body: ReadableStream<Uint8Array> | null;
  /** The address that answered in the end, after redirects. */
  readonly url: string;
  arrayBuffer(): Promise<ArrayBuffer>;
  text(): Promise<string>;
  /** Ends it without its body, better than by cancelling that. */
  drop?(): Promise<void>;
}

export interface HttpRequest {
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Uint8Array<ArrayBuffer> | AsyncIterable<Uint8Array>;
  readonly signal?: AbortSignal;
  readonly cache: "no-store";
  /** Needed where the body is streamed. */
  readonly duplex?: "half";
}

export type HttpFetch = (url: string, request: HttpRequest) => Promise<HttpResponse>;

export const runtimeFetch: HttpFetch = (url, request) =>
  (globalThis as unknown as { readonly fetch: HttpFetch }).fetch(url, request);

/** The chunks of a body; leaving the loop early ends the transfer. */
export async function* chunksOf(
  body: ReadableStream<Uint8Array> | null,
): AsyncGenerator<Uint8Array, void, undefined> {
  if (body === null) return;
  const reader = body.getReader();
  let ended = false;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      ended = done;
      if (done) return;
      yield value;
    }
  } finally {
    // Of a transfer that failed already there is nothing more to cancel.
    if (!ended) await reader.cancel().catch(() => {});
  }
}

/** Ends the transfer of a body that nobody wants, so that its connection is free again. */
export async function dropBody(response: HttpResponse): Promise<void> {
  await (response.drop?.() ?? response.body?.cancel())?.catch(() => {});
}
