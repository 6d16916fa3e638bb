/** The way to a session in a worker: calls with numbers, replies, events, interruption, and what happens when the worker dies. */
import { abortedError, isPagefoldError, PagefoldError } from "../../src/base/errors.ts";
import type { Bell } from "../bridge/bell.ts";
import { BlobFlag } from "../bridge/blob-flag.ts";
import type {
  CallKind,
  SessionCalls,
  SessionClient,
  SessionEvent,
  SessionStatus,
} from "../session/protocol.ts";
import { timeout } from "../timeout.ts";
import { fromWireError } from "../wire-error.ts";
import type { SqlWorker } from "./launch.ts";
import type { ControlMessage, WorkerMessage } from "./messages.ts";

interface Waiting {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
  readonly flag: BlobFlag | undefined;
}

export interface WorkerClientOptions {
  readonly port: MessagePort;
  readonly worker: SqlWorker;
  /** Interrupts a thread that hears no message, where memory can be shared. */
  readonly bell: Bell | undefined;
  /** The thread hears no message while a statement runs, and there is no bell: flags interrupt it, or nothing does. */
  readonly deaf: boolean;
  /** Ends what moves bytes for the worker; called when the worker has ended. */
  readonly release: () => void;
  readonly onEvent: (event: SessionEvent) => void;
  /** Told of every request that the worker makes by itself, with the bytes that came. */
  readonly onFetched: (bytes: number) => void;
}

/** A deaf thread that waits for a store closes nothing; so long it may try. */
const DEAF_CLOSE_MS = 1000;

export class WorkerClient implements SessionClient {
  readonly #options: WorkerClientOptions;
  readonly #waiting = new Map<number, Waiting>();
  readonly #ended: Promise<void>;
  #nextId = 1;
  #failure: PagefoldError | undefined;

  constructor(options: WorkerClientOptions) {
    this.#options = options;
    const { port, worker } = options;
    this.#ended = new Promise((resolve) => {
      worker.onEnd((error) => {
        this.#onEnd(error);
        resolve();
      });
    });
    port.addEventListener("message", ({ data }: MessageEvent<WorkerMessage>) => this.#onMessage(data));
    port.start();
  }

  /** Opens the session; nothing else may be called before. */
  async open(signal?: AbortSignal): Promise<SessionStatus> {
    return (await this.#request("open", undefined, signal)) as SessionStatus;
  }

  async call<K extends CallKind>(
    kind: K,
    request: SessionCalls[K]["request"],
    signal?: AbortSignal,
  ): Promise<SessionCalls[K]["reply"]> {
    return (await this.#request(kind, request, signal)) as SessionCalls[K]["reply"];
  }

  /** From now on these events are told, and no others. */
  listen(names: readonly SessionEvent["name"][]): void {
    this.#options.port.postMessage({ kind: "listen", names } satisfies ControlMessage);
  }

  async close(): Promise<void> {
    this.#options.bell?.interruptAll();
    for (const id of this.#waiting.keys()) this.#interrupt(id);
    try {
      if (this.#failure === undefined) await this.#closeSession();
    } finally {
      await this.end();
    }
  }

  async #closeSession(): Promise<void> {
    const closed = this.call("close", {});
    if (!this.#options.deaf) return void (await closed);
    // It holds nothing that outlives it, so it may be ended in the middle.
    const limit = timeout(DEAF_CLOSE_MS);
    const late = new Promise((resolve) => limit.signal.addEventListener("abort", resolve));
    closed.catch(() => {});
    try {
      await Promise.race([closed, late]);
    } finally {
      limit.cancel();
    }
  }

  /** Waits until a worker that has closed its files, or failed to open, has ended. */
  async end(): Promise<void> {
    this.#failure ??= new PagefoldError("closed", "this database was closed; open it again");
    this.#options.release();
    this.#options.port.close();
    await this.#options.worker.terminate();
    await this.#ended;
  }

  async #request(
    kind: CallKind | "open",
    request: unknown,
    signal: AbortSignal | undefined,
  ): Promise<unknown> {
    if (this.#failure !== undefined) throw this.#failure;
    if (signal?.aborted) throw abortedError(`the ${kind}`, signal.reason);
    const id = this.#nextId++;
    const flag = this.#options.deaf ? new BlobFlag() : undefined;
    const reply = new Promise<unknown>((resolve, reject) => this.#waiting.set(id, { resolve, reject, flag }));
    const onAbort = (): void => this.#interrupt(id);
    signal?.addEventListener("abort", onAbort, { once: true });
    try {
      this.#send({ id, kind, request, ...(flag && { flag: flag.url }) } as ControlMessage);
      return await reply;
    } finally {
      flag?.raise();
      signal?.removeEventListener("abort", onAbort);
      this.#waiting.delete(id);
    }
  }

  /** Ends what runs for a request: the call ends as soon as the worker says so. */
  #interrupt(id: number): void {
    this.#options.bell?.interrupt(id);
    this.#waiting.get(id)?.flag?.raise();
    this.#options.port.postMessage({ id, kind: "abort" } satisfies ControlMessage);
  }

  #send(message: ControlMessage): void {
    try {
      this.#options.port.postMessage(message);
    } catch (error) {
      // A function, a symbol or an object of a class that cannot leave its thread, among the parameters.
      throw new PagefoldError(
        "invalid",
        `the parameters cannot be sent to SQLite: ${String(error)}; give null, numbers, bigints, strings, booleans or Uint8Arrays`,
        { cause: error },
      );
    }
  }

  #onMessage(message: WorkerMessage): void {
    if ("happened" in message) {
      this.#options.onEvent(message.happened);
      return;
    }
    if ("fetched" in message) {
      this.#options.onFetched(message.fetched);
      return;
    }
    const waiting = this.#waiting.get(message.id);
    if (waiting === undefined) return;
    if ("error" in message) waiting.reject(fromWireError(message.error));
    else waiting.resolve(message.value);
  }

  #onEnd(error: unknown): void {
    this.#failure ??= isPagefoldError(error) ? error : endedUnexpectedly(error);
    for (const waiting of this.#waiting.values()) waiting.reject(this.#failure);
    this.#options.release();
  }
}

function endedUnexpectedly(cause: unknown): PagefoldError {
  return new PagefoldError(
    "unavailable",
    "the worker that runs SQL has ended unexpectedly; open the database again",
    { ...(cause === undefined ? {} : { cause }), retryable: false },
  );
}
