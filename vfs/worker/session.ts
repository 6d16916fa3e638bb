/**
 * What runs inside the SQL worker: the engine, one SQLite connection on its newest snapshot, and the requests that come through the
 * control port, one after the other. Knows no platform; `openEngine` is passed in.
 */
import sqlite3InitModule from "@sqlite.org/sqlite-wasm";
import { abortedError, PagefoldError } from "../../src/base/errors.ts";
import { MemoryRecorder } from "../../src/base/recorder.ts";
import type { PageView } from "../../src/volume/fetch-plan.ts";
import { Bell } from "../bridge/bell.ts";
import { SharedMemoryBridge } from "../bridge/shared-memory.ts";
import { PortObjectStore } from "../port/port-object-store.ts";
import { Connection } from "../sqlite/connection.ts";
import { installPagefoldVfs, type PagefoldVfs } from "../sqlite/pagefold-vfs.ts";
import { CurrentView } from "../sqlite/view-source.ts";
import { toWireError } from "../wire-error.ts";
import { checkHoldsDatabase } from "./database-header.ts";
import type { Engine, OpenEngine } from "./engine.ts";
import type { ControlMessage, WorkerReply, WorkerRequest, WorkerSetup, WorkerStats } from "./protocol.ts";

/** As SQLite is told to open it. Not the volume's name, which may hold anything. */
const FILE_NAME = "volume";

/** What is there once the database is open. */
interface Opened {
  readonly engine: Engine;
  readonly views: CurrentView;
  readonly vfs: PagefoldVfs;
  readonly connection: Connection;
}

/** Serves the control port. The thread is ended by the other side, once it has the reply to `close` or to an `open` that failed: the end of a
 * thread may overtake its last message. */
export function serveSession(setup: WorkerSetup, openEngine: OpenEngine): void {
  const session = new Session(setup, openEngine);
  setup.control.addEventListener("message", ({ data }: MessageEvent<ControlMessage>) =>
    session.receive(data),
  );
  setup.control.start();
}

class Session {
  readonly #setup: WorkerSetup;
  readonly #openEngine: OpenEngine;
  readonly #bell: Bell;
  readonly #bridge: SharedMemoryBridge;
  readonly #recorder = new MemoryRecorder();
  readonly #aborts = new Map<number, AbortController>();
  #opened: Opened | undefined;
  /** Number of the request that runs now, which the bell may interrupt. */
  #running = 0;

  constructor(setup: WorkerSetup, openEngine: OpenEngine) {
    this.#setup = setup;
    this.#openEngine = openEngine;
    this.#bell = new Bell(setup.bell);
    this.#bridge = new SharedMemoryBridge({
      port: setup.ranges,
      bell: this.#bell,
      interrupted: () => this.#interrupted(),
      recorder: this.#recorder,
      ...(setup.faultTimeoutMs === undefined ? {} : { timeoutMs: setup.faultTimeoutMs }),
    });
  }

  receive(message: ControlMessage): void {
    if (message.kind === "abort") this.#aborts.get(message.id)?.abort(abortedError("the request"));
    else void this.#answer(message);
  }

  async #answer(request: WorkerRequest): Promise<void> {
    const { id } = request;
    const controller = new AbortController();
    this.#aborts.set(id, controller);
    let reply: WorkerReply;
    try {
      reply = { id, value: await this.#perform(request, controller.signal) };
    } catch (error) {
      reply = { id, error: toWireError(error) };
    }
    this.#aborts.delete(id);
    this.#setup.control.postMessage(reply);
  }

  #perform(request: WorkerRequest, signal: AbortSignal): Promise<unknown> | unknown {
    switch (request.kind) {
      case "open":
        return this.#open(request.id, signal);
      case "query":
        return this.#query(request);
      case "stats":
        return this.#stats();
      case "pull":
        return this.#pull(signal);
      case "close":
        return this.#close();
    }
  }

  async #open(id: number, signal: AbortSignal): Promise<WorkerStats> {
    const { engine: request, store, storeDescription } = this.#setup;
    const remote = new PortObjectStore(store, storeDescription);
    const loading = sqlite3InitModule();
    // Where the engine fails first, nobody looks at this one.
    loading.catch(() => {});
    const engine = await this.#openEngine(request, { remote, recorder: this.#recorder, signal });
    let views: CurrentView | undefined;
    try {
      const sqlite3 = await loading;
      const newest = new CurrentView(await engine.snapshot());
      views = newest;
      this.#running = id;
      checkHoldsDatabase(newest.current, this.#bridge, request.name);
      const vfs = installPagefoldVfs(sqlite3, {
        bridge: this.#bridge,
        resolve: (name) => (name === FILE_NAME ? newest : undefined),
        recorder: this.#recorder,
        ...(this.#setup.tempBytes === undefined ? {} : { tempBytes: this.#setup.tempBytes }),
      });
      const connection = new Connection(sqlite3, vfs, FILE_NAME, { interrupted: () => this.#interrupted() });
      this.#opened = { engine, views, vfs, connection };
    } catch (error) {
      views?.close();
      await engine.close();
      throw error;
    }
    return this.#stats();
  }

  #query(request: WorkerRequest & { kind: "query" }): unknown {
    const { connection } = this.#whenOpen();
    this.#running = request.id;
    const before = this.#recorder.get("sql.fault.count");
    const rows = connection.run(request.sql, request.parameters);
    return { ...rows, faults: this.#recorder.get("sql.fault.count") - before };
  }

  async #pull(signal: AbortSignal): Promise<WorkerStats> {
    const { engine, views } = this.#whenOpen();
    await engine.pull({ signal });
    views.replace(await engine.snapshot());
    return this.#stats();
  }

  #stats(): WorkerStats {
    const { engine, views } = this.#whenOpen();
    const { lsn, pageCount, pageSize }: PageView = views.current;
    return {
      lsn,
      pageCount,
      pageSize,
      residentPages: engine.residentPages(),
      prefetchedUnused: engine.prefetchedUnused(),
      faults: this.#recorder.get("sql.fault.count"),
    };
  }

  async #close(): Promise<void> {
    const opened = this.#opened;
    if (opened === undefined) return;
    this.#opened = undefined;
    opened.connection.close();
    opened.vfs.dispose();
    opened.views.close();
    await opened.engine.close();
  }

  #interrupted(): boolean {
    return this.#running !== 0 && this.#bell.interrupted === this.#running;
  }

  #whenOpen(): Opened {
    if (this.#opened === undefined)
      throw new PagefoldError("closed", "the database is not open; open it again");
    return this.#opened;
  }
}
