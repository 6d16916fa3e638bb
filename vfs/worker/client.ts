/** The main thread's end of the control port: calls with numbers, replies, interruption, and what happens when the worker dies. */
import { abortedError, PagefoldError } from "../../src/base/errors.ts";
import type { Bell } from "../bridge/bell.ts";
import { fromWireError } from "../wire-error.ts";
import type { SqlWorker } from "./launch.ts";
import type { ControlMessage, WorkerCalls, WorkerReply } from "./protocol.ts";

interface Waiting {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
}

export class WorkerClient {
  readonly #port: MessagePort;
  readonly #worker: SqlWorker;
  readonly #bell: Bell;
  readonly #release: () => void;
  readonly #waiting = new Map<number, Waiting>();
  readonly #ended: Promise<void>;
  /** Calls that the bell may have to interrupt when the database is closed. */
  readonly #interruptible = new Set<number>();
  #nextId = 1;
  #failure: PagefoldError | undefined;

  /** @param release ends what moves bytes for the worker; called when the worker has ended */
  constructor(port: MessagePort, worker: SqlWorker, bell: Bell, release: () => void) {
    this.#port = port;
    this.#worker = worker;
    this.#bell = bell;
    this.#release = release;
    this.#ended = new Promise((resolve) => {
      worker.onEnd((error) => {
        this.#onEnd(error);
        resolve();
      });
    });
    port.addEventListener("message", ({ data }: MessageEvent<WorkerReply>) => this.#onReply(data));
    port.start();
  }

  /** Sends a request. When `signal` fires, what runs is interrupted, and the call ends as soon as the worker says so. */
  async call<K extends keyof WorkerCalls>(
    kind: K,
    request: WorkerCalls[K]["request"],
    signal?: AbortSignal,
  ): Promise<WorkerCalls[K]["reply"]> {
    if (this.#failure !== undefined) throw this.#failure;
    if (signal?.aborted) throw abortedError(`the ${kind}`, signal.reason);
    const id = this.#nextId++;
    const reply = new Promise<unknown>((resolve, reject) => this.#waiting.set(id, { resolve, reject }));
    const onAbort = (): void => this.#interrupt(id);
    signal?.addEventListener("abort", onAbort, { once: true });
    if (kind !== "stats" && kind !== "close") this.#interruptible.add(id);
    try {
      this.#send({ ...request, id, kind } as ControlMessage);
      return (await reply) as WorkerCalls[K]["reply"];
    } finally {
      signal?.removeEventListener("abort", onAbort);
      this.#interruptible.delete(id);
      this.#waiting.delete(id);
    }
  }

  /** Interrupts what runs, lets the worker close its files, and waits until it has ended. */
  async close(): Promise<void> {
    for (const id of this.#interruptible) this.#interrupt(id);
    try {
      if (this.#failure === undefined) await this.call("close", {});
    } finally {
      await this.end();
    }
  }

  /** Waits until a worker that has closed its files, or failed to open, has ended. */
  async end(): Promise<void> {
    this.#failure ??= new PagefoldError("closed", "this database was closed; open it again");
    this.#release();
    this.#port.close();
    await this.#worker.terminate();
    await this.#ended;
  }

  #interrupt(id: number): void {
    this.#bell.interrupt(id);
    this.#post({ id, kind: "abort" });
  }

  #send(message: ControlMessage): void {
    try {
      this.#post(message);
    } catch (error) {
      // A function, a symbol or an object of a class that cannot leave its thread, among the parameters.
      throw new PagefoldError(
        "invalid",
        `the parameters cannot be sent to SQLite: ${String(error)}; give null, numbers, bigints, strings, booleans or Uint8Arrays`,
        { cause: error },
      );
    }
  }

  #post(message: ControlMessage): void {
    this.#port.postMessage(message);
  }

  #onReply(reply: WorkerReply): void {
    const waiting = this.#waiting.get(reply.id);
    if (waiting === undefined) return;
    if ("error" in reply) waiting.reject(fromWireError(reply.error));
    else waiting.resolve(reply.value);
  }

  #onEnd(error: unknown): void {
    this.#failure ??= new PagefoldError(
      "unavailable",
      "the worker that runs SQL has ended unexpectedly; open the database again",
      {
        ...(error === undefined ? {} : { cause: error }),
        retryable: false,
      },
    );
    for (const waiting of this.#waiting.values()) waiting.reject(this.#failure);
    this.#release();
  }
}
