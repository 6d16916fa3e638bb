/**
 * A SQLite database in a volume, as applications use it: ordinary SQL, written locally, replicated by push and pull. SQL runs in a worker (by
 * default) which fetches only the pages it touches; this side holds the object store, moves bytes for the worker, and waits for its answers.
 */

import { Emitter } from "../src/base/emitter.ts";
import { PagefoldError, throwIfAborted } from "../src/base/errors.ts";
import { systemRuntime } from "../src/base/runtime.ts";
import type { CompactionResult } from "../src/history/compact/compaction-options.ts";
import type { RestoreResult } from "../src/history/travel/restore.ts";
import type { VolumeFigures } from "../src/inspect/inspection.ts";
import type { DatabaseDiff } from "./btree/database-diff.ts";
import { type Connected, type ConnectOptions, connect, type DatabaseStore } from "./connect.ts";
import { DatabaseAt, DatabaseTransaction, type InspectCallOptions } from "./database-parts.ts";
import {
  argumentsOf,
  type CallOptions,
  objectsOf,
  type QueryStats,
  SqlExecutor,
  type SqlRow,
} from "./executor.ts";
import type {
  LogPoint,
  LogReply,
  PushReply,
  SessionCalls,
  SessionEvent,
  SessionStatus,
  Where,
} from "./session/protocol.ts";
import type { SqlParameters } from "./sqlite/values.ts";
import type { Platform } from "./worker/launch.ts";

export type DatabaseOptions = ConnectOptions;

/** Where the database stands, and what it has cost since it was opened; `ms` is the time spent in queries. */
export interface DatabaseStatus extends SessionStatus, QueryStats {}

export type DatabaseEvents = {
  [Name in SessionEvent["name"]]: Extract<SessionEvent, { readonly name: Name }>["event"];
};

/** Makes the changes again, on top of what the other writer has pushed. */
export type Replay = (transaction: DatabaseTransaction) => Promise<void>;

export interface PushOptions extends CallOptions {
  /**
   * What becomes of local commits when another writer was first. "error" (default): they stay, the push fails with `diverged`. "reset": they are
   * dropped. "fork": they become local commits of a new volume, under `tag`. A function: they are dropped, the newest state is pulled, the function
   * makes the changes again in one transaction, and that is pushed. What is dropped includes what was committed while the push was under way; a
   * process that ends before the function is done has dropped it all the same, so what the function makes again must be known from elsewhere.
   */
  readonly onDiverged?: "error" | "reset" | "fork" | Replay;
  readonly tag?: string;
}

export interface PushResult extends PushReply {
  /** How often the changes were made again, where `onDiverged` is a function. */
  readonly replays: number;
}

export interface LogCallOptions extends CallOptions {
  /** Commits from this LSN or time on, and up to this one. */
  readonly since?: number | Date;
  readonly until?: number | Date;
  /** Commits that touched this page of the volume; see `Volume.log`. */
  readonly page?: number;
  /** So many at most; default 100. */
  readonly limit?: number;
}

/** Losing the race so often means that something else is wrong. */
const REPLAYS_MAX = 32;

export class Database extends SqlExecutor {
  readonly #connected: Connected;
  readonly #events = new Emitter<DatabaseEvents>(() => {});
  #queryMs = 0;
  #closing: Promise<void> | undefined;

  /** @internal */
  constructor(connected: Connected) {
    super();
    this.#connected = connected;
    connected.onEvent(({ name, event }) => this.#events.emit(name, event as never));
  }

  /** @internal `Database.open` of a platform. */
  static async openOn(
    platform: Platform,
    store: DatabaseStore,
    name: string,
    options: DatabaseOptions = {},
  ): Promise<Database> {
    return new Database(await connect(platform, store, name, options));
  }

  /**
   * Runs `work` as one transaction, which is one local commit: it commits when `work` resolves and is rolled back when it throws. Other calls on
   * this database wait meanwhile, so within `work` only the transaction's own methods are to be used.
   * @param options.mode "immediate" (default): writers take their turn at the beginning; "deferred": at the first write, which fails with
   * `conflict` when another commit came between
   */
  async transaction<T>(
    work: (transaction: DatabaseTransaction) => Promise<T>,
    options: CallOptions & { readonly mode?: "immediate" | "deferred" } = {},
  ): Promise<T> {
    const { signal, mode = "immediate" } = options;
    const { transaction } = await this.call("begin", { mode }, signal);
    const handle = new DatabaseTransaction(this.#parts(), transaction);
    let how: "commit" | "rollback" = "rollback";
    let result: T;
    try {
      result = await work(handle);
      throwIfAborted(signal, "the transaction");
      how = "commit";
    } finally {
      handle.end();
      // A rollback must happen whatever the signal says; its own failure hides behind that of `work`.
      if (how === "rollback") await this.call("end", { transaction, how }).catch(() => {});
    }
    await this.call("end", { transaction, how }, signal);
    return result;
  }

  /**
   * A read-only view of the past: of an LSN, or of the newest commit at a time, as far as this side has learned of them (`pull`). Close it when
   * done. @throws `not_found`
   */
  async at(lsnOrTime: number | Date, options: CallOptions = {}): Promise<DatabaseAt> {
    const { view, lsn } = await this.call("view", pointOf(lsnOrTime), options.signal);
    return new DatabaseAt(this.#parts(), view, lsn);
  }

  /**
   * The rows of a query, and again whenever they have changed: by a local commit, a pull, or a reset. Leaving the loop ends it. The query runs on a
   * connection of its own, which sees the volume's newest state, no temporary tables and nothing attached.
   */
  async *live<Row extends SqlRow = SqlRow>(
    sql: string,
    parameters: SqlParameters | CallOptions = [],
    options: CallOptions = {},
  ): AsyncGenerator<Row[], void, undefined> {
    const call = argumentsOf(parameters, options);
    const { live } = await this.call("live", { sql, parameters: call.parameters }, call.signal);
    try {
      for (;;) yield objectsOf(await this.call("liveNext", { live }, call.signal)) as Row[];
    } finally {
      if (this.#closing === undefined) await this.call("closeLive", { live });
    }
  }

  /** Learns the remote's new commits without moving. */
  fetch(options: CallOptions = {}): Promise<SessionCalls["fetch"]["reply"]> {
    return this.call("fetch", {}, options.signal);
  }

  /** Learns the remote's new commits and moves to them; the next transaction sees them. @throws `diverged`, `unavailable` */
  pull(options: CallOptions = {}): Promise<SessionCalls["pull"]["reply"]> {
    return this.call("pull", {}, options.signal);
  }

  /**
   * Moves with the remote log as it grows, and yields every move; leaving the loop, or the signal, ends it. Live queries follow along. Live over a
   * Pagefold server, else by looking every `pollMs` (default 5000). While there are local commits the database stays where it is, and the status says
   * `diverged` where others have pushed.
   */
  async *follow(
    options: CallOptions & { readonly pollMs?: number } = {},
  ): AsyncGenerator<
    { readonly from: number; readonly lsn: number; readonly changedPages: number },
    void,
    undefined
  > {
    const { pollMs, signal } = options;
    const ended = (): boolean => signal?.aborted === true;
    if (ended()) return;
    const { follow } = await this.call("follow", pollMs === undefined ? {} : { pollMs });
    const end = (): void => {
      // A database that is closing ends it by itself.
      this.call("closeFollow", { follow }).catch(() => {});
    };
    signal?.addEventListener("abort", end, { once: true });
    try {
      for (;;) {
        // It may have fired while the call was under way.
        if (ended()) return;
        const moved = await this.call("followNext", { follow });
        if (moved.done) return;
        const { from, lsn, changedPages } = moved;
        yield { from, lsn, changedPages };
      }
    } catch (error) {
      if (!ended() && this.#closing === undefined) throw error;
    } finally {
      signal?.removeEventListener("abort", end);
      if (this.#closing === undefined) end();
    }
  }

  /**
   * Sends all local commits as one remote commit, which exactly one writer can win; says what is in the remote log now and what is local still.
   * @throws `diverged` when another writer was first and `onDiverged` does not say otherwise; `unavailable` when the outcome is not known yet: the
   * next push, pull or reset finds out and finishes it
   */
  async push(options: PushOptions = {}): Promise<PushResult> {
    const { onDiverged = "error", tag, signal } = options;
    const more = tag === undefined ? {} : { tag };
    if (typeof onDiverged === "string")
      return { ...(await this.call("push", { onDiverged, ...more }, signal)), replays: 0 };
    for (let replays = 0; ; replays++) {
      const isLast = replays >= REPLAYS_MAX;
      const reply = await this.call("push", { onDiverged: isLast ? "error" : "reset" }, signal);
      if (reply.outcome !== "reset") return { ...reply, replays };
      await this.#replay(onDiverged, reply.commits, signal);
    }
  }

  async #replay(replay: Replay, dropped: number, signal: AbortSignal | undefined): Promise<void> {
    try {
      // Nothing can be fetched in the middle of a statement there, and the state is new.
      if ((await this.call("status", {})).bridge === "resident-only") await this.call("hydrate", {}, signal);
      await this.transaction(replay, signal === undefined ? {} : { signal });
    } catch (cause) {
      throw new PagefoldError(
        "diverged",
        `another writer was first, ${dropped} local commit(s) were dropped to make their changes again, and that failed: ${String(cause instanceof Error ? cause.message : cause)}; the database is at the newest remote state`,
        { cause, details: { dropped } },
      );
    }
  }

  /** Drops local commits that were not pushed; an unfinished push is finished first. */
  reset(options: CallOptions = {}): Promise<{ readonly dropped: number }> {
    return this.call("reset", {}, options.signal);
  }

  /**
   * Starts a new volume under `tag` that shares this one's pages; nothing is copied. This database stays on its volume.
   * @param options.localCommits "leave" (default): the fork is what the remote log says; "move": local commits go over to it and leave this one
   */
  fork(
    tag: string,
    options: CallOptions & { readonly localCommits?: "move" | "leave" } = {},
  ): Promise<{ readonly volume: string }> {
    return this.call("fork", { tag, localCommits: options.localCommits ?? "leave" }, options.signal);
  }

  /** Fetches every page of the remote state that this side stands on; "progress" events tell how far it is. */
  hydrate(options: CallOptions = {}): Promise<SessionCalls["hydrate"]["reply"]> {
    return this.call("hydrate", {}, options.signal);
  }

  /**
   * Checks everything that the remote state consists of against the store.
   * @param options.deep and the state checksum of every state that is kept, and what rollups and checkpoints say
   * @param options.sample only pages chosen at random instead: a share of them, above 0 to 1, or from 2 on so many
   * @throws `corrupt` naming the first bad thing
   */
  verify(
    options: CallOptions & { readonly deep?: boolean; readonly sample?: number } = {},
  ): Promise<SessionCalls["verify"]["reply"]> {
    const { signal, ...which } = options;
    return this.call("verify", which, signal);
  }

  /**
   * Puts the stored pages of the remote state that this side stands on in order: many small segments become few large ones, the inner pages of trees
   * apart from the others. Others read, write and push meanwhile; "progress" events tell how far it is.
   * @param options.all rewrites everything, not only what is worth it
   */
  compact(
    options: CallOptions & { readonly all?: boolean; readonly bytesPerSecond?: number } = {},
  ): Promise<CompactionResult> {
    const { all = false, bytesPerSecond, signal } = options;
    return this.call("compact", { all, ...(bytesPerSecond === undefined ? {} : { bytesPerSecond }) }, signal);
  }

  /**
   * Makes the next remote commit equal to an old state, an LSN or a time, and moves there; nothing is copied, and what is resident stays so.
   * @throws `conflict` while there are local commits, or where another writer is first: then nothing was changed
   */
  restore(at: number | Date, options: CallOptions = {}): Promise<RestoreResult> {
    return this.call("restore", { at: pointOf(at) }, options.signal);
  }

  /** The remote log, newest first, or what is wanted of it. */
  log(options: LogCallOptions = {}): Promise<readonly LogReply[]> {
    const { since, until, page, limit = 100, signal } = options;
    const request = {
      limit,
      ...(since === undefined ? {} : { since: pointOf(since) }),
      ...(until === undefined ? {} : { until: pointOf(until) }),
      ...(page === undefined ? {} : { page }),
    };
    return this.call("log", request, signal);
  }

  /**
   * What changed between two points of the remote log, LSNs (0: nothing yet) or times, in either order: pages, and the tables and indexes that they belong
   * to. Fetches inner pages of the trees, and what it must of the changed ones.
   * @param options.exact leaves out pages that were written with the bytes that they had
   * @param options.thorough reads the whole database, if need be, to tell whose large rows were overwritten in place
   * @throws `not_found` for a point that this side has not seen (`pull`)
   */
  diff(
    from: number | Date,
    to: number | Date,
    options: CallOptions & { readonly exact?: boolean; readonly thorough?: boolean } = {},
  ): Promise<DatabaseDiff> {
    const { exact = false, thorough = false, signal } = options;
    return this.call("diff", { from: pointOf(from), to: pointOf(to), exact, thorough }, signal);
  }

  /** Where this side and the remote stand as of the last fetch, and what it has cost so far. No request. */
  async status(): Promise<DatabaseStatus> {
    const status = await this.call("status", {});
    return { ...status, ...this.#connected.cost(), ms: this.#queryMs };
  }

  /**
   * What is to be shown of the volume as of now: how much of which block of pages is here, where this side stands, the newest commits. Fetches no
   * page, and nothing at all for `commits: 0` (default). @param options.cells of the map at most; default 4096
   */
  inspect(options: InspectCallOptions = {}): Promise<VolumeFigures> {
    const { signal, ...request } = options;
    return this.call("inspect", request, signal);
  }

  /** Listens to "commit", "status", "fault" or "progress"; answers how to stop. */
  on<Name extends keyof DatabaseEvents>(
    name: Name,
    listener: (event: DatabaseEvents[Name]) => void,
  ): () => void {
    const stop = this.#events.on(name, listener);
    const tell = (): void => {
      const names = (["commit", "status", "fault", "progress"] as const).filter((each) =>
        this.#events.hears(each),
      );
      this.#connected.listen(names);
    };
    tell();
    return () => {
      stop();
      tell();
    };
  }

  /** Interrupts a running query (`aborted`), rolls an open transaction back, closes the local store, ends the worker. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#connected.close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  protected async call<K extends keyof SessionCalls>(
    kind: K,
    request: SessionCalls[K]["request"],
    signal?: AbortSignal,
  ): Promise<SessionCalls[K]["reply"]> {
    if (this.#closing !== undefined)
      throw new PagefoldError("closed", "this database was closed; open it again");
    return this.#connected.client.call(kind, request, signal);
  }

  protected where(): Where {
    return {};
  }

  protected async measured<T extends { readonly faults: number }>(
    work: () => Promise<T>,
  ): Promise<{ readonly value: T; readonly stats: QueryStats }> {
    const before = this.#connected.cost();
    const start = systemRuntime.monotonic();
    try {
      const value = await work();
      const after = this.#connected.cost();
      const stats = {
        faults: value.faults,
        requests: after.requests - before.requests,
        bytesFetched: after.bytesFetched - before.bytesFetched,
        ms: systemRuntime.monotonic() - start,
      };
      this.#connected.recorder.count("sql.fault.count", value.faults);
      return { value, stats };
    } finally {
      const ms = systemRuntime.monotonic() - start;
      this.#queryMs += ms;
      this.#connected.recorder.observe("sql.query.duration_ms", ms);
    }
  }

  #parts(): ConstructorParameters<typeof DatabaseTransaction>[0] {
    return {
      call: (kind, request, signal) => this.call(kind, request, signal),
      measured: (work) => this.measured(work),
    };
  }
}

function pointOf(point: number | Date): LogPoint {
  return typeof point === "number" ? { lsn: point } : { time: point.getTime() };
}
