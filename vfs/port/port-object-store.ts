/**
 * An object store that lives behind a message port: what a worker uses to reach whatever store the main thread holds. Answers' bytes
 * are transferred, not copied; a streamed body is asked for chunk by chunk. `serveObjectStore` is the other half.
 */
import { abortedError, PagefoldError } from "../../src/base/errors.ts";
import { checkConditionalBody, isWhole } from "../../src/remote/body.ts";
import type {
  Body,
  Bundle,
  GetOptions,
  HttpAddress,
  ListEntry,
  ListOptions,
  ObjectStore,
  PutOptions,
  StoreCapabilities,
  WatchListener,
} from "../../src/remote/object-store.ts";
import { fromWireError, toWireError } from "../wire-error.ts";
import type { ClientMessage, ServerMessage, StoreCallMessage, StoreValue } from "./messages.ts";

/** What the client must know of the store beforehand. */
export interface PortStoreDescription {
  readonly url: string;
  readonly capabilities: StoreCapabilities;
  readonly http?: HttpAddress;
  /** What else it can do. */
  readonly bundle: boolean;
  readonly watch: boolean;
}

interface Call {
  readonly resolve: (value: StoreValue) => void;
  readonly reject: (error: unknown) => void;
  /** The rest of a streamed body. */
  readonly chunks?: AsyncIterator<Uint8Array>;
}

/** A call without its number. */
type Unnumbered<T> = T extends unknown ? Omit<T, "id"> : never;

export class PortObjectStore implements ObjectStore {
  readonly url: string;
  readonly capabilities: StoreCapabilities;
  readonly http?: HttpAddress;
  readonly bundle?: NonNullable<ObjectStore["bundle"]>;
  readonly watch?: NonNullable<ObjectStore["watch"]>;
  readonly #port: MessagePort;
  readonly #calls = new Map<number, Call>();
  readonly #watches = new Map<number, WatchListener>();
  #nextId = 1;
  #gone: PagefoldError | undefined;

  /** Takes the port over. `close` closes the port; the store behind it belongs to the other side. */
  constructor(port: MessagePort, description: PortStoreDescription) {
    this.url = description.url;
    this.capabilities = description.capabilities;
    if (description.http !== undefined) this.http = description.http;
    if (description.bundle) {
      this.bundle = async (name, { from = 0, signal } = {}) =>
        (await this.#call({ kind: "bundle", name, from }, signal)) as Bundle | undefined;
    }
    if (description.watch)
      this.watch = (volume: string, after: number, listener: WatchListener) =>
        this.#watch(volume, after, listener);
    this.#port = port;
    port.addEventListener("message", ({ data }: MessageEvent<ServerMessage>) => this.#onMessage(data));
    port.addEventListener("close", () =>
      this.#end("the thread that holds the store has ended", "unavailable"),
    );
    port.start();
  }

  async get(key: string, options: GetOptions = {}): Promise<Uint8Array | undefined> {
    const { range, signal } = options;
    const call = { kind: "get", key, ...(range === undefined ? {} : { range }) } as const;
    return (await this.#call(call, signal)) as Uint8Array | undefined;
  }

  async put(key: string, body: Body, options: PutOptions = {}): Promise<"created" | "exists"> {
    const { ifAbsent = false, signal } = options;
    checkConditionalBody(key, body, options);
    const call = { kind: "put", key, ifAbsent } as const;
    // The caller keeps its bytes, so they are copied once, and the copy is handed over.
    if (isWhole(body))
      return (await this.#call({ ...call, body: new Uint8Array(body) }, signal)) as "created";
    return (await this.#call(call, signal, body[Symbol.asyncIterator]())) as "created" | "exists";
  }

  async list(prefix: string, options: ListOptions = {}): Promise<ListEntry[]> {
    const { signal, ...where } = options;
    return (await this.#call({ kind: "list", prefix, ...where }, signal)) as ListEntry[];
  }

  async delete(keys: readonly string[], options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    await this.#call({ kind: "delete", keys }, options.signal);
  }

  async close(): Promise<void> {
    this.#end("this store was closed", "closed");
    this.#port.close();
  }

  async #call(
    message: Unnumbered<StoreCallMessage>,
    signal: AbortSignal | undefined,
    chunks?: AsyncIterator<Uint8Array>,
  ): Promise<StoreValue> {
    if (this.#gone !== undefined) throw this.#gone;
    const what = describe(message);
    if (signal?.aborted) throw abortedError(what, signal.reason);
    const id = this.#nextId++;
    const answer = new Promise<StoreValue>((resolve, reject) => {
      this.#calls.set(id, { resolve, reject, ...(chunks === undefined ? {} : { chunks }) });
    });
    const onAbort = (): void => {
      this.#post({ id, kind: "abort" });
      this.#calls.get(id)?.reject(abortedError(what, signal?.reason));
    };
    signal?.addEventListener("abort", onAbort, { once: true });
    try {
      const sent = { id, ...message } as StoreCallMessage;
      this.#post(
        sent,
        sent.kind === "put" && sent.body !== undefined ? [sent.body.buffer as ArrayBuffer] : [],
      );
      return await answer;
    } finally {
      signal?.removeEventListener("abort", onAbort);
      this.#calls.delete(id);
      // A producer that is not run to its end may hold a file open. It may be in the middle of a chunk: nobody waits for it.
      void chunks?.return?.()?.catch(() => {});
    }
  }

  #watch(volume: string, after: number, listener: WatchListener): () => void {
    const id = this.#nextId++;
    if (this.#gone !== undefined) {
      listener.onEnd(this.#gone);
      return () => {};
    }
    this.#watches.set(id, listener);
    this.#post({ id, kind: "watch", volume, after });
    return () => {
      if (this.#watches.delete(id)) this.#post({ id, kind: "unwatch" });
    };
  }

  #onMessage(message: ServerMessage): void {
    const watch = this.#watches.get(message.id);
    if (watch !== undefined) this.#onNews(watch, message);
    const call = this.#calls.get(message.id);
    if (call === undefined) return;
    if (message.kind === "value") call.resolve(message.value);
    else if (message.kind === "error") call.reject(fromWireError(message.error));
    else if (message.kind === "want-chunk") void this.#sendChunk(message.id, call);
  }

  #onNews(listener: WatchListener, message: ServerMessage): void {
    if (message.kind === "news") listener.onNews(message.news);
    else if (message.kind === "watch-state")
      listener.onState?.(
        message.state,
        message.reason === undefined ? undefined : fromWireError(message.reason),
      );
    else if (message.kind === "watch-end") {
      this.#watches.delete(message.id);
      listener.onEnd(fromWireError(message.reason));
    }
  }

  /** Never rejects. The producer's own error is what the call ends with, whatever the store makes of it. */
  async #sendChunk(id: number, call: Call): Promise<void> {
    try {
      const next = await call.chunks?.next();
      if (!this.#calls.has(id)) return;
      if (next === undefined || next.done) return this.#post({ id, kind: "body-end" });
      const bytes = new Uint8Array(next.value);
      this.#post({ id, kind: "chunk", bytes }, [bytes.buffer]);
    } catch (error) {
      this.#post({ id, kind: "body-failed", error: toWireError(error) });
      call.reject(error);
    }
  }

  #post(message: ClientMessage, transfer: Transferable[] = []): void {
    this.#port.postMessage(message, transfer);
  }

  #end(what: string, code: "closed" | "unavailable"): void {
    this.#gone ??= new PagefoldError(code, `${this.url}: ${what}; open it again`);
    for (const call of this.#calls.values()) call.reject(this.#gone);
    for (const listener of this.#watches.values()) listener.onEnd(this.#gone);
    this.#watches.clear();
  }
}

function describe(message: Unnumbered<StoreCallMessage>): string {
  if (message.kind === "get") return `reading ${message.key}`;
  if (message.kind === "put") return `writing ${message.key}`;
  if (message.kind === "bundle") return `reading what ${message.name} needs`;
  return message.kind === "list" ? `listing ${message.prefix}` : "deleting objects";
}
