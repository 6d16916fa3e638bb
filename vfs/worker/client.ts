/** The way to a session in a worker: calls with numbers, replies, events, interruption, and what happens when the worker dies. */
import { abortedError, isPagefoldError, PagefoldError } from "../../src/base/errors.ts";
import type { Bell } from "../bridge/bell.ts";
import { BlobFlag } from "../bridge/blob-flag.ts";
import type { EngineRequest, SessionSettings } from "../session/engine.ts";
import type {
  CallKind,
  SessionCalls,
  SessionClient,
  SessionEvent,
  SessionStatus,
} from "../session/protocol.ts";
import { timeout } from "../timeout.ts";
import { fromWireError, unsendable } from "../wire-error.ts";
import type { SqlWorker } from "./launch.ts";
import type { ControlMessage, WorkerMessage } from "./messages.ts";

interface Waiting {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
  readonly flag: BlobFlag | undefined;
}

export interface WorkerClientOptions {
  readonly port: MessagePort;
  readonly worker: Pick<SqlWorker, "onEnd" | "terminate">;
  /** Interrupts a thread that hears no message, where memory can be shared. */
  readonly bell: Bell | undefined;
  /** The thread hears no message while a statement runs, and there is no bell: flags interrupt it, or nothing does. */
  readonly deaf: boolean;
  /** Ends what moves bytes for the worker; called when the worker has ended. */
  readonly release: () => void;
  readonly onEvent: (event: SessionEvent) => void;
  /** Told of every request that the worker makes by itself, with the bytes that came. */
  readonly onFetched: (bytes: number) => void;
  /** Numbers for calls, of all clients of one worker, since its bell knows calls by number. Default: from 1 up. */
  readonly nextId?: () => number;
  /** Another client's worker: it lives on when this one closes. Default false. */
  readonly isShared?: boolean;
}

/** A deaf thread that waits for a store closes nothing; so long it may try. */
const DEAF_CLOSE_MS = 1000;

export class WorkerClient implements SessionClient {
  readonly #options: WorkerClientOptions;
  readonly #waiting = new Map<number, Waiting>();
  readonly #ended: Promise<void>;
  readonly #nextId: () => number;
  #failure: PagefoldError | undefined;

  constructor(options: WorkerClientOptions) {
    this.#options = options;
    const { port, worker } = options;
    this.#nextId = options.nextId ?? numbers();
    this.#ended = new Promise((resolve) => {
      worker.onEnd((error) => {
        this.#onEnd(error);
        resolve();
      });
    });
    port.addEventListener("message", ({ data }: MessageEvent<WorkerMessage>) => this.#onMessage(data));
    port.start();
  }

  /** Resolves when the worker has ended, whatever the reason. */
  get ended(): Promise<void> {
    return this.#ended;
  }

  /**
   * One more session in this worker, on the same store, not yet open. It ends when it is closed, or with this one.
   * @param options what is heard of it
   */
  attach(
    engine: EngineRequest,
    settings: SessionSettings,
    options: Pick<WorkerClientOptions, "onEvent">,
  ): WorkerClient {
    if (this.#failure !== undefined) throw this.#failure;
    const { port1, port2 } = new MessageChannel();
    let end: () => void = () => {};
    const detached = new Promise<void>((resolve) => {
      end = resolve;
    });
    const worker = {
      onEnd: (listener: (error: unknown) => void) =>
        void Promise.race([detached, this.#ended]).then(() => listener(undefined)),
      terminate: async () => end(),
    };
    const message = { kind: "attach", control: port2, engine, settings } satisfies ControlMessage;
    this.#options.port.postMessage(message, [port2]);
    const { bell, deaf, onFetched } = this.#options;
    const shared = { bell, deaf, onFetched, nextId: this.#nextId, isShared: true, release: () => {} };
    return new WorkerClient({ ...shared, ...options, port: port1, worker });
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
    if (this.#options.isShared !== true) this.#options.bell?.interruptAll();
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
    const id = this.#nextId();
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
      throw unsendable(error);
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

function numbers(): () => number {
  let last = 0;
  return () => ++last;
}

function endedUnexpectedly(cause: unknown): PagefoldError {
  return new PagefoldError(
    "unavailable",
    "the worker that runs SQL has ended unexpectedly; open the database again",
    { ...(cause === undefined ? {} : { cause }), details: { worker: "ended" }, retryable: false },
  );
}
