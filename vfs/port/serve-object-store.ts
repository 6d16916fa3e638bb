/** The half of `PortObjectStore` that holds the store: answers calls that come through a message port. */
import { abortedError, PagefoldError } from "../../src/base/errors.ts";
import type { Body, ObjectStore } from "../../src/remote/object-store.ts";
import { fromWireError, toWireError } from "../wire-error.ts";
import {
  type ClientMessage,
  type ServerMessage,
  type StoreCallMessage,
  type StoreValue,
  transferable,
  type WatchMessage,
} from "./messages.ts";
import type { PortStoreDescription } from "./port-object-store.ts";

/** What `PortObjectStore` is made with. */
export function describeStore(store: ObjectStore): PortStoreDescription {
  const { url, capabilities, http } = store;
  const more = { bundle: store.bundle !== undefined, watch: store.watch !== undefined };
  return { url, capabilities: { ...capabilities }, ...(http === undefined ? {} : { http }), ...more };
}

export interface StoreService {
  /** Aborts what is under way and closes the port; the store stays open. Idempotent. */
  close(): void;
}

/** Serves `store` to the client at the other end of `port` until either side closes it. Takes the port over. */
export function serveObjectStore(port: MessagePort, store: ObjectStore): StoreService {
  const calls = new Map<
    number,
    { readonly controller: AbortController; readonly body: ChunkedBody | undefined }
  >();
  const post = (message: ServerMessage, transfer: Transferable[] = []): void =>
    port.postMessage(message, transfer);

  const serve = async (message: StoreCallMessage): Promise<void> => {
    const { id } = message;
    const controller = new AbortController();
    const body =
      message.kind === "put" && message.body === undefined
        ? new ChunkedBody(() => post({ id, kind: "want-chunk" }))
        : undefined;
    calls.set(id, { controller, body });
    try {
      const value = await perform(store, message, body, controller.signal);
      if (value instanceof Uint8Array) {
        const bytes = transferable(value);
        post({ id, kind: "value", value: bytes }, [bytes.buffer]);
      } else {
        post({ id, kind: "value", value });
      }
    } catch (error) {
      post({ id, kind: "error", error: toWireError(error) });
    } finally {
      calls.delete(id);
    }
  };

  const watches = new Map<number, () => void>();
  const watch = ({ id, volume, after }: WatchMessage): void => {
    const stop = store.watch?.(volume, after, {
      onNews: (news) => post({ id, kind: "news", news }),
      onState: (state, reason) =>
        post({
          id,
          kind: "watch-state",
          state,
          ...(reason === undefined ? {} : { reason: toWireError(reason) }),
        }),
      onEnd: (reason) => {
        watches.delete(id);
        post({ id, kind: "watch-end", reason: toWireError(reason) });
      },
    });
    if (stop !== undefined) watches.set(id, stop);
  };

  const onMessage = ({ data }: MessageEvent<ClientMessage>): void => {
    if (data.kind === "abort") {
      const call = calls.get(data.id);
      call?.controller.abort(abortedError("the call"));
      call?.body?.fail(abortedError("sending the body"));
    } else if (data.kind === "chunk") calls.get(data.id)?.body?.push(data.bytes);
    else if (data.kind === "body-end") calls.get(data.id)?.body?.end();
    else if (data.kind === "body-failed") calls.get(data.id)?.body?.fail(fromWireError(data.error));
    else if (data.kind === "watch") watch(data);
    else if (data.kind === "unwatch") {
      watches.get(data.id)?.();
      watches.delete(data.id);
    } else void serve(data);
  };
  const close = (): void => {
    const gone = new PagefoldError("unavailable", "the client of this store has gone", { retryable: false });
    for (const { controller, body } of calls.values()) {
      controller.abort(gone);
      body?.fail(gone);
    }
    for (const stop of watches.values()) stop();
    watches.clear();
    port.removeEventListener("message", onMessage);
    port.close();
  };
  port.addEventListener("message", onMessage);
  port.addEventListener("close", close, { once: true });
  port.start();
  return { close };
}

async function perform(
  store: ObjectStore,
  message: StoreCallMessage,
  chunks: ChunkedBody | undefined,
  signal: AbortSignal,
): Promise<StoreValue> {
  switch (message.kind) {
    case "get":
      return store.get(message.key, {
        ...(message.range === undefined ? {} : { range: message.range }),
        signal,
      });
    case "put": {
      const body: Body = chunks ?? message.body ?? new Uint8Array(0);
      return store.put(message.key, body, { ifAbsent: message.ifAbsent, signal });
    }
    case "list": {
      const { startAfter, limit } = message;
      return store.list(message.prefix, {
        ...(startAfter === undefined ? {} : { startAfter }),
        ...(limit === undefined ? {} : { limit }),
        signal,
      });
    }
    case "bundle":
      return store.bundle?.(message.name, { from: message.from, signal });
    case "delete":
      await store.delete(message.keys, { signal });
      return undefined;
  }
}

/** A body whose chunks come on request; one reader. */
class ChunkedBody implements AsyncIterable<Uint8Array> {
  readonly #want: () => void;
  #waiting:
    | { resolve: (chunk: Uint8Array | undefined) => void; reject: (error: unknown) => void }
    | undefined;
  #failure: { readonly error: unknown } | undefined;

  constructor(want: () => void) {
    this.#want = want;
  }

  push(chunk: Uint8Array): void {
    this.#waiting?.resolve(chunk);
  }

  end(): void {
    this.#waiting?.resolve(undefined);
  }

  fail(error: unknown): void {
    this.#failure ??= { error };
    this.#waiting?.reject(error);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, undefined> {
    for (;;) {
      if (this.#failure !== undefined) throw this.#failure.error;
      const chunk = await new Promise<Uint8Array | undefined>((resolve, reject) => {
        this.#waiting = { resolve, reject };
        this.#want();
      });
      if (chunk === undefined) return;
      yield chunk;
    }
  }
}
