/**
 * A SQLite database in a volume, for the main thread: SQL runs in a worker, which fetches only the pages that it touches. This side
 * holds the object store, moves bytes for the worker, and waits for its answers.
 */
import { isPagefoldError, PagefoldError, throwIfAborted } from "../src/base/errors.ts";
import { MemoryRecorder, noopRecorder, type Recorder } from "../src/base/recorder.ts";
import { systemRuntime } from "../src/base/runtime.ts";
import { Semaphore } from "../src/base/semaphore.ts";
import type { ObjectStore } from "../src/remote/object-store.ts";
import { withMetrics } from "../src/remote/with-metrics.ts";
import { withRetry } from "../src/remote/with-retry.ts";
import { Bell } from "./bridge/bell.ts";
import { serveRanges } from "./bridge/serve-ranges.ts";
import { describeStore, serveObjectStore } from "./port/serve-object-store.ts";
import { teeRecorder } from "./recorders.ts";
import type { SqlParameters, SqlValue } from "./sqlite/values.ts";
import { unreachableStore } from "./unreachable-store.ts";
import { WorkerClient } from "./worker/client.ts";
import type { EngineRequest } from "./worker/engine.ts";
import type { SqlWorker, StoreAddress } from "./worker/launch.ts";
import type { WorkerStats } from "./worker/protocol.ts";

export interface DatabaseOptions extends EngineRequest {
  /** The object store: one that is open, which stays open, or its address. */
  readonly store: ObjectStore | StoreAddress;
  readonly signal?: AbortSignal;
  /** Gets `remote.*` of every request, `sql.query.duration_ms` and `sql.fault.count`. */
  readonly recorder?: Recorder;
  /** Requests for faults under way at a time. Default 16. */
  readonly concurrency?: number;
  /** Memory for sorter spill and temporary tables, bytes. Default 1 GiB. */
  readonly tempBytes?: number;
  /** How long a query waits for pages before it ends with `unavailable`, milliseconds. Default 120000. */
  readonly faultTimeoutMs?: number;
  /** The worker's script, where a bundler has moved it. Default: `sql-worker.js` beside this module. */
  readonly workerUrl?: URL | string;
}

/** What one query cost. */
export interface QueryStats {
  /** Reads of SQLite that had to fetch. */
  readonly faults: number;
  /** Requests to the object store. */
  readonly requests: number;
  readonly bytesFetched: number;
  readonly ms: number;
}

export interface QueryResult {
  readonly columns: string[];
  /** One array per row, in the order of `columns`. */
  readonly rows: SqlValue[][];
  readonly stats: QueryStats;
}

/** Where the database stands, and what it has cost since it was opened; `ms` is the time spent in queries. */
export interface DatabaseStats extends WorkerStats, QueryStats {}

export class Database {
  readonly #client: WorkerClient;
  readonly #recorder: Recorder;
  readonly #counted: MemoryRecorder;
  readonly #releaseStore: () => Promise<void>;
  /** One query or pull at a time, first come first served. */
  readonly #turns = new Semaphore(1, "the database");
  #queryMs = 0;
  #closing: Promise<void> | undefined;

  private constructor(parts: {
    readonly client: WorkerClient;
    readonly recorder: Recorder;
    readonly counted: MemoryRecorder;
    readonly releaseStore: () => Promise<void>;
  }) {
    this.#client = parts.client;
    this.#recorder = parts.recorder;
    this.#counted = parts.counted;
    this.#releaseStore = parts.releaseStore;
  }

  /**
   * Opens the database in the volume that `name` (a tag or an id) stands for. With `local`, a volume that is known there opens without
   * any request and where it stands; `pull` moves on.
   * @throws `not_found` (no such volume), `invalid` (it holds no database), `unavailable`, `busy` (the local directory is in use)
   */
  static async open(options: DatabaseOptions): Promise<Database> {
    const { signal, recorder = noopRecorder } = options;
    throwIfAborted(signal, "opening the database");
    const { launchNodeWorker, openAddress } = await import("./worker/node-launch.ts");
    const { store, release } = await holdStore(options, openAddress);
    const counted = new MemoryRecorder();
    const metered = withMetrics(store, teeRecorder(counted, recorder));
    try {
      const client = startWorker(options, metered, launchNodeWorker);
      const database = new Database({ client, recorder, counted, releaseStore: release });
      try {
        await client.call("open", {}, signal);
        return database;
      } catch (error) {
        await client.end();
        throw error;
      }
    } catch (error) {
      await release();
      throw error;
    }
  }

  /**
   * Runs SQL; several statements are run in order, and the rows are those of the last one that has columns. A `signal` interrupts it.
   * @param parameters by position, or by name
   * @throws `invalid` (wrong SQL, wrong parameters, a statement that writes), `unavailable` and `corrupt` (a page could not be had),
   * `aborted`, `quota` (memory), `closed`
   */
  async query(
    sql: string,
    parameters: SqlParameters | { readonly signal?: AbortSignal } = [],
    options: { readonly signal?: AbortSignal } = {},
  ): Promise<QueryResult> {
    const call = queryArguments(parameters, options);
    return this.#turns.run(async () => {
      this.#check();
      const before = this.#requests();
      const start = systemRuntime.monotonic();
      try {
        const { columns, rows, faults } = await this.#client.call(
          "query",
          { sql, parameters: call.parameters },
          call.signal,
        );
        const after = this.#requests();
        const stats = {
          faults,
          requests: after.requests - before.requests,
          bytesFetched: after.bytesFetched - before.bytesFetched,
          ms: systemRuntime.monotonic() - start,
        };
        this.#recorder.count("sql.fault.count", faults);
        return { columns, rows, stats };
      } finally {
        const ms = systemRuntime.monotonic() - start;
        this.#queryMs += ms;
        this.#recorder.observe("sql.query.duration_ms", ms);
      }
    }, call.signal);
  }

  /** Waits for a query that is running. */
  async stats(): Promise<DatabaseStats> {
    this.#check();
    const stats = await this.#client.call("stats", {});
    return { ...stats, ...this.#requests(), ms: this.#queryMs };
  }

  /** Learns the remote's new commits; the next query sees them. @throws `diverged`, `unavailable`, `invalid` (opened at an LSN) */
  async pull(options: { readonly signal?: AbortSignal } = {}): Promise<{ readonly lsn: number }> {
    return this.#turns.run(async () => {
      this.#check();
      const { lsn } = await this.#client.call("pull", {}, options.signal);
      return { lsn };
    }, options.signal);
  }

  /** Interrupts a running query (`aborted`), closes the local store, ends the worker. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    try {
      await this.#client.close();
    } finally {
      await this.#releaseStore();
    }
  }

  #requests(): { readonly requests: number; readonly bytesFetched: number } {
    const kinds = ["get", "put", "list", "delete"];
    return {
      requests: kinds.reduce((sum, kind) => sum + this.#counted.get(`remote.${kind}.count`), 0),
      bytesFetched: this.#counted.get("remote.get.bytes"),
    };
  }

  #check(): void {
    if (this.#closing !== undefined)
      throw new PagefoldError("closed", "this database was closed; open it again");
  }
}

/** `query(sql, {signal})` is understood too: a signal is no parameter. */
function queryArguments(
  parameters: SqlParameters | { readonly signal?: AbortSignal },
  options: { readonly signal?: AbortSignal },
): { readonly parameters: SqlParameters; readonly signal: AbortSignal | undefined } {
  const first = (parameters as { readonly signal?: unknown }).signal;
  if (!Array.isArray(parameters) && first instanceof AbortSignal) return { parameters: [], signal: first };
  return { parameters: parameters as SqlParameters, signal: options.signal };
}

function startWorker(
  options: DatabaseOptions,
  store: ObjectStore,
  launch: (url?: URL) => SqlWorker,
): WorkerClient {
  const { name, local, lsn, settings, tempBytes, faultTimeoutMs, concurrency, workerUrl } = options;
  const worker = workerUrl === undefined ? launch() : launch(new URL(workerUrl));
  const bell = new Bell();
  const control = new MessageChannel();
  const storeChannel = new MessageChannel();
  const ranges = new MessageChannel();
  // The engine repeats its own calls; those of faults are repeated here.
  const repeated = withRetry(store, { runtime: systemRuntime });
  const movers = [
    serveObjectStore(storeChannel.port1, store),
    serveRanges(ranges.port1, repeated, { bell, ...(concurrency === undefined ? {} : { concurrency }) }),
  ];
  worker.start({
    control: control.port2,
    store: storeChannel.port2,
    storeDescription: describeStore(store),
    ranges: ranges.port2,
    bell: bell.buffer,
    engine: {
      name,
      ...(local === undefined ? {} : { local: { path: local.path } }),
      ...(lsn === undefined ? {} : { lsn }),
      ...(settings === undefined ? {} : { settings }),
    },
    ...(tempBytes === undefined ? {} : { tempBytes }),
    ...(faultTimeoutMs === undefined ? {} : { faultTimeoutMs }),
  });
  return new WorkerClient(control.port1, worker, bell, () => {
    for (const mover of movers) mover.close();
  });
}

async function holdStore(
  options: DatabaseOptions,
  open: (address: StoreAddress) => Promise<ObjectStore>,
): Promise<{ readonly store: ObjectStore; readonly release: () => Promise<void> }> {
  const { store } = options;
  if ("get" in store) return { store, release: async () => {} };
  try {
    const opened = await open(store);
    return { store: opened, release: () => opened.close() };
  } catch (error) {
    // What is resident answers without the store.
    if (options.local === undefined || !isPagefoldError(error, "not_found", "unavailable")) throw error;
    return { store: unreachableStore(store.url, error), release: async () => {} };
  }
}
