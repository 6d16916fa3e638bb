/**
 * What runs inside a SQL worker: a session, and the control port through which its requests come. Knows no platform; `openEngine` is passed
 * in. The thread is ended by the other side, once it has the reply to `close` or to an `open` that failed: the end of a thread may overtake its last
 * message.
 */
import sqlite3InitModule, { type Sqlite3Static } from "@sqlite.org/sqlite-wasm";
import { abortedError, PagefoldError } from "../../src/base/errors.ts";
import { MemoryRecorder } from "../../src/base/recorder.ts";
import type { ObjectStore } from "../../src/remote/object-store.ts";
import { Bell } from "../bridge/bell.ts";
import { BlobFlagReader } from "../bridge/blob-flag.ts";
import { type FaultBridge, ResidentOnlyBridge } from "../bridge/bridge.ts";
import { JspiBridge } from "../bridge/jspi.ts";
import { PortObjectStore } from "../port/port-object-store.ts";
import type { EngineParts, EngineRequest, OpenEngine } from "../session/engine.ts";
import type { SessionEvent } from "../session/protocol.ts";
import { Session } from "../session/session.ts";
import { toWireError } from "../wire-error.ts";
import type { ControlMessage, WorkerMessage, WorkerSetup } from "./messages.ts";

/** Storage of sqlite-wasm's own, which would be set up first, with workers and a wait, and is not used. */
const NO_STORAGE_OF_ITS_OWN = {
  vfs: { kvvfs: true, opfs: true, "opfs-vfs": true, "opfs-sahpool": true, "opfs-wl": true },
};

/** Starts SQLite. This thread is ours alone: nobody else starts one here. It takes the setting away each time. */
function startSqlite(): Promise<Sqlite3Static> {
  Object.assign(globalThis, { sqlite3ApiConfig: { disable: NO_STORAGE_OF_ITS_OWN } });
  const starting = sqlite3InitModule();
  // Where the engine fails first, nobody looks at this one.
  starting.catch(() => {});
  return starting;
}

/** The first session's, started with the thread. */
let first: Promise<Sqlite3Static> | undefined = startSqlite();

/** Serves the control port. */
export function serveSession(setup: WorkerSetup, openEngine: OpenEngine): void {
  const remote = new PortObjectStore(setup.store, setup.storeDescription);
  serveControl(setup, {
    remote,
    openEngine: (request, recorder) => openEngine(request, { remote, recorder }),
  });
}

function serveControl(setup: WorkerSetup, context: ServeContext): void {
  const server = new SessionServer(setup, context);
  setup.control.addEventListener("message", ({ data }: MessageEvent<ControlMessage>) => server.receive(data));
  setup.control.start();
}

/** What the sessions of one worker share. */
interface ServeContext {
  readonly remote: ObjectStore;
  readonly openEngine: (request: EngineRequest, recorder: MemoryRecorder) => Promise<EngineParts>;
}

type Request = Exclude<ControlMessage, { kind: "abort" } | { kind: "listen" } | { kind: "attach" }>;

class SessionServer {
  readonly #setup: WorkerSetup;
  readonly #context: ServeContext;
  readonly #bell: Bell | undefined;
  readonly #recorder = new MemoryRecorder();
  readonly #aborts = new Map<number, AbortController>();
  #session: Session | undefined;
  #engine: EngineParts | undefined;
  #wanted: readonly SessionEvent["name"][] = [];
  #flagsWork = false;

  constructor(setup: WorkerSetup, context: ServeContext) {
    this.#setup = setup;
    this.#context = context;
    this.#bell = setup.bell === undefined ? undefined : new Bell(setup.bell);
  }

  receive(message: ControlMessage): void {
    if (message.kind === "abort") this.#aborts.get(message.id)?.abort(abortedError("the request"));
    else if (message.kind === "listen") this.#wanted = message.names;
    else if (message.kind === "attach") this.#attach(message);
    else void this.#answer(message);
  }

  /** The other session has connections, transactions and temporary files of its own; the store is shared, and closed by this one. */
  #attach({ control, engine, settings }: Extract<ControlMessage, { kind: "attach" }>): void {
    const openEngine = async (): Promise<EngineParts> => {
      if (this.#engine === undefined || this.#session === undefined)
        throw new PagefoldError("closed", "the database is not open; open it again");
      const { release: _mine, tempFile: _own, ...shared } = this.#engine;
      return { ...shared, keepOpen: true };
    };
    serveControl({ ...this.#setup, control, engine, settings }, { ...this.#context, openEngine });
  }

  async #answer(request: Request): Promise<void> {
    const { id } = request;
    const controller = new AbortController();
    this.#aborts.set(id, controller);
    let reply: WorkerMessage;
    try {
      reply = { id, value: await this.#perform(request, controller.signal) };
    } catch (error) {
      reply = { id, error: toWireError(error) };
    }
    this.#aborts.delete(id);
    this.#setup.control.postMessage(reply);
  }

  async #perform(message: Request, signal: AbortSignal): Promise<unknown> {
    if (message.kind === "open") return this.#open(message.flag, signal);
    if (this.#session === undefined) {
      if (message.kind === "close") return undefined;
      throw new PagefoldError("closed", "the database is not open; open it again");
    }
    const { id, flag: url } = message;
    const flag = url === undefined || !this.#flagsWork ? undefined : new BlobFlagReader(url);
    return this.#session.call(message.kind, message.request, {
      signal,
      // A blocked thread hears no message: what is to end is read from shared memory, or from what the page has revoked.
      interrupted: () => this.#bell?.isInterrupted(id) === true || flag?.raised === true,
    });
  }

  async #open(flag: string | undefined, signal: AbortSignal): Promise<unknown> {
    const { engine: request, settings, control } = this.#setup;
    const { remote, openEngine } = this.#context;
    this.#flagsWork = flag !== undefined && new BlobFlagReader(flag).works;
    const loading = first ?? startSqlite();
    first = undefined;
    const engine = await openEngine(request, this.#recorder);
    this.#engine = engine;
    this.#session = await Session.open(
      {
        ...engine,
        sqlite3: loading,
        bridge: await this.#bridge(engine, remote),
        request,
        settings,
        recorder: this.#recorder,
        onEvent: (happened) => {
          if (this.#wanted.includes(happened.name)) control.postMessage({ happened } satisfies WorkerMessage);
        },
      },
      signal,
    );
    return this.#session.call("status", {});
  }

  async #bridge({ store }: EngineParts, remote: ObjectStore): Promise<FaultBridge> {
    const { bridge, ranges, faultTimeoutMs } = this.#setup;
    switch (bridge) {
      case "jspi":
        return new JspiBridge((plan, signal) => store.run(plan, signal === undefined ? {} : { signal }));
      case "shared-memory":
        if (ranges === undefined || this.#bell === undefined) break;
        return new (await import("../bridge/shared-memory.ts")).SharedMemoryBridge({
          port: ranges,
          bell: this.#bell,
          recorder: this.#recorder,
          ...(faultTimeoutMs === undefined ? {} : { timeoutMs: faultTimeoutMs }),
        });
      case "sync-xhr":
        if (remote.http === undefined) break;
        return new (await import("../bridge/sync-xhr.ts")).SyncXhrBridge({
          address: remote.http,
          onAnswer: (bytes) => this.#setup.control.postMessage({ fetched: bytes } satisfies WorkerMessage),
          ...(faultTimeoutMs === undefined ? {} : { timeoutMs: faultTimeoutMs }),
        });
      case "resident-only":
        return new ResidentOnlyBridge();
    }
    throw new PagefoldError("invalid", `the ${bridge} bridge lacks what it works with; choose another`);
  }
}
