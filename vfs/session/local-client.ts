/** A session on the caller's own thread, as a client. */
import sqlite3InitModule from "@sqlite.org/sqlite-wasm";
import { abortedError } from "../../src/base/errors.ts";
import { MemoryRecorder } from "../../src/base/recorder.ts";
import { ResidentOnlyBridge } from "../bridge/bridge.ts";
import { JspiBridge } from "../bridge/jspi.ts";
import type { EngineParts, EngineRequest, SessionSettings } from "./engine.ts";
import type { CallKind, SessionCalls, SessionClient, SessionEvent } from "./protocol.ts";
import { Session } from "./session.ts";

export interface LocalClientOptions {
  readonly engine: EngineParts;
  readonly bridge: "jspi" | "resident-only";
  readonly request: EngineRequest;
  readonly settings: SessionSettings;
  readonly onEvent: (event: SessionEvent) => void;
  readonly signal?: AbortSignal | undefined;
}

export class LocalClient implements SessionClient {
  readonly #session: Session;
  readonly #options: LocalClientOptions;
  readonly #running = new Set<AbortController>();

  private constructor(session: Session, options: LocalClientOptions) {
    this.#session = session;
    this.#options = options;
  }

  static async open(options: LocalClientOptions): Promise<LocalClient> {
    const { engine, bridge, signal, ...rest } = options;
    const session = await Session.open(
      {
        ...engine,
        ...rest,
        sqlite3: await sqlite3InitModule(),
        recorder: new MemoryRecorder(),
        bridge:
          bridge === "jspi"
            ? new JspiBridge((plan, planSignal) =>
                engine.store.run(plan, planSignal === undefined ? {} : { signal: planSignal }),
              )
            : new ResidentOnlyBridge(),
      },
      signal,
    );
    return new LocalClient(session, options);
  }

  /** One more session, on the same store, with connections and transactions of its own. It must be closed before this one. */
  attach(
    options: Pick<LocalClientOptions, "request" | "settings" | "onEvent" | "signal">,
  ): Promise<LocalClient> {
    const { release: _mine, tempFile: _own, ...shared } = this.#options.engine;
    const { bridge } = this.#options;
    return LocalClient.open({ ...options, bridge, engine: { ...shared, keepOpen: true } });
  }

  async call<K extends CallKind>(
    kind: K,
    request: SessionCalls[K]["request"],
    signal?: AbortSignal,
  ): Promise<SessionCalls[K]["reply"]> {
    if (signal?.aborted) throw abortedError(`the ${kind}`, signal.reason);
    // One signal per call: many that listen to one make Node warn of a leak.
    const controller = new AbortController();
    const onAbort = (): void => controller.abort(signal?.reason);
    signal?.addEventListener("abort", onAbort, { once: true });
    this.#running.add(controller);
    try {
      return await this.#session.call(kind, request, { signal: controller.signal });
    } finally {
      this.#running.delete(controller);
      signal?.removeEventListener("abort", onAbort);
    }
  }

  async close(): Promise<void> {
    for (const controller of this.#running) controller.abort(abortedError("the query"));
    await this.#session.close();
  }
}
