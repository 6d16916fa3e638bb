/**
 * Runs the SQL of one `Database`: the store, the VFS, a connection on the newest state, others on past ones, cursors, live queries, and the verbs of the
 * volume. Knows no platform and no transport; requests of one connection run one after the other, first come first served, and a transaction
 * keeps its turn until it ends.
 */
import type { Sqlite3Static } from "@sqlite.org/sqlite-wasm";
import { isPagefoldError, PagefoldError } from "../../src/base/errors.ts";
import { loadPart } from "../../src/base/load-part.ts";
import type { MemoryRecorder } from "../../src/base/recorder.ts";
import type { Volume } from "../../src/store/volume.ts";
import type { FetchPlan } from "../../src/volume/fetch-plan.ts";
import type { Snapshot } from "../../src/volume/snapshot.ts";
import type { CommitResult } from "../../src/volume/transaction.ts";
import type { FaultBridge } from "../bridge/bridge.ts";
import { Connection, type SqlRows } from "../sqlite/connection.ts";
import type { DatabaseFile } from "../sqlite/database-file.ts";
import type { PragmaContext } from "../sqlite/pagefold-pragmas.ts";
import { installVfs, type PagefoldVfs } from "../sqlite/pagefold-vfs.ts";
import { fixedView, type ViewSource } from "../sqlite/view-source.ts";
import { VolumeSource } from "../sqlite/volume-source.ts";
import { type CallContext, ConnectionQueue } from "./connection-queue.ts";
import { Cursors } from "./cursors.ts";
import { checkHoldsDatabase } from "./database-header.ts";
import type { EngineParts, EngineRequest, SessionSettings } from "./engine.ts";
import { Followers } from "./followers.ts";
import type { LiveQueries } from "./live-queries.ts";
import { closeEngine, openVolume, pastState } from "./opening.ts";
import type {
  CallKind,
  ExecuteReply,
  LocalCommit,
  SessionCalls,
  SessionEvent,
  SessionStatus,
  Where,
} from "./protocol.ts";
import { SessionFiles } from "./session-files.ts";
import { isVolumeCall, type VolumeCallKind } from "./volume-call-kinds.ts";

export interface SessionParts extends EngineParts {
  readonly sqlite3: Sqlite3Static;
  readonly bridge: FaultBridge;
  readonly request: EngineRequest;
  readonly settings: SessionSettings;
  readonly recorder: MemoryRecorder;
  readonly onEvent?: (event: SessionEvent) => void;
}

/** SQLite may still be starting: the volume is opened meanwhile. */
export type OpeningParts = Omit<SessionParts, "sqlite3"> & {
  readonly sqlite3: Sqlite3Static | Promise<Sqlite3Static>;
};

/** The requests that a session answers itself. */
type SqlCallKind = Exclude<CallKind, VolumeCallKind>;

type Handlers = {
  readonly [K in SqlCallKind]: (
    request: SessionCalls[K]["request"],
    context: CallContext,
  ) => Promise<SessionCalls[K]["reply"]> | SessionCalls[K]["reply"];
};

/** A name that no tag can have, since it is only this session's. */
const MAIN = ".newest";
const LIVE = ".live";
const DEFAULT_BUSY_TIMEOUT_MS = 10_000;

export class Session {
  readonly #parts: SessionParts;
  readonly #files: SessionFiles;
  readonly #views = new Map<number, { readonly queue: ConnectionQueue; readonly snapshot: Snapshot }>();
  readonly #cursors = new Cursors();
  readonly #followers = new Followers();
  /** Made for the first one. */
  #live: LiveQueries | undefined;
  readonly #vfs: PagefoldVfs;
  readonly #stopListening: (() => void)[] = [];
  #main!: ConnectionQueue;
  #volume: Volume;
  #fixed: Snapshot | undefined;
  #lastCommit: LocalCommit | undefined;
  /** Local commits of this session, of whatever volume, that are to be on stable storage when they are acknowledged. */
  #toKeep = 0;
  #nextView = 1;
  #closed = false;

  private constructor(parts: SessionParts, volume: Volume) {
    this.#parts = parts;
    this.#volume = volume;
    this.#files = new SessionFiles({
      store: parts.store,
      readOnly: parts.request.readOnly === true,
      onCommit: (written, result) => this.#noteCommit(written, result),
    });
    this.#vfs = installVfs(parts.sqlite3, {
      bridge: parts.bridge,
      recorder: parts.recorder,
      resolve: (name) => this.#files.resolve(name),
      ...(parts.settings.tempBytes === undefined ? {} : { tempBytes: parts.settings.tempBytes }),
      ...(parts.tempFile === undefined ? {} : { tempFile: parts.tempFile }),
    });
  }

  /** @throws `not_found`, `invalid` (no database in the volume), `unavailable`, `busy` */
  static async open(parts: OpeningParts, signal?: AbortSignal): Promise<Session> {
    const { request } = parts;
    try {
      const volume = await openVolume(parts, request, signal);
      const session = new Session({ ...parts, sqlite3: await parts.sqlite3 }, volume);
      try {
        await session.#begin(signal);
        return session;
      } catch (error) {
        await session.#closeConnections();
        throw error;
      }
    } catch (error) {
      await closeEngine(parts);
      throw isPagefoldError(error)
        ? error
        : new PagefoldError("invalid", `${request.name}: ${String(error)}`, { cause: error });
    }
  }

  async call<K extends CallKind>(
    kind: K,
    request: SessionCalls[K]["request"],
    context: CallContext = {},
  ): Promise<SessionCalls[K]["reply"]> {
    if (this.#closed && kind !== "close")
      throw new PagefoldError("closed", "the database is not open; open it again");
    const answer = isVolumeCall(kind) ? this.#callVolume : this.#handlers[kind as SqlCallKind];
    return (answer as (...call: unknown[]) => Promise<never>).call(this, request, context, kind);
  }

  /** Whether the statement that SQLite runs now is to end. */
  get interrupted(): boolean {
    return this.#vfs.inner.interrupted();
  }

  /** Ends everything, the store too. Idempotent. An open transaction is rolled back. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    for (const stop of this.#stopListening) stop();
    this.#followers.closeAll();
    try {
      await this.#closeConnections();
    } finally {
      await closeEngine(this.#parts);
    }
  }

  readonly #handlers: Handlers = {
    execute: (request, context) => this.#execute(request, context),
    begin: ({ mode }, context) => this.#main.begin(mode, context),
    end: (request, context) => this.#end(request, context),
    cursor: (request, context) => this.#openCursor(request, context),
    next: ({ cursor, rows }, context) => this.#keeping(() => this.#cursors.next(cursor, rows, context)),
    closeCursor: ({ cursor }) => this.#keeping(() => this.#cursors.close(cursor)),
    view: (request, context) => this.#openView(request, context),
    closeView: ({ view }) => this.#closeView(view),
    live: async ({ sql, parameters }) => ({ live: (await this.#liveQueries()).open(sql, parameters) }),
    liveNext: async ({ live }, context) => (await this.#liveQueries()).next(live, context),
    closeLive: ({ live }) => {
      this.#live?.close(live);
      return undefined;
    },
    follow: ({ pollMs }) => {
      if (this.#fixed !== undefined) throw this.#staysAt(this.#fixed.lsn);
      return { follow: this.#followers.open(this.#volume, pollMs) };
    },
    followNext: ({ follow }) => this.#followers.next(follow),
    closeFollow: ({ follow }) => {
      this.#followers.close(follow);
      return undefined;
    },
    status: () => this.#status(),
    inspect: (request, context) => this.#inspect(request, context),
    close: async () => {
      await this.close();
      return undefined;
    },
  };

  async #begin(signal: AbortSignal | undefined): Promise<void> {
    const { request } = this.#parts;
    const { readOnly } = request;
    this.#fixed = await pastState(this.#volume, request, signal);
    const source = this.#source;
    this.#files.set(MAIN, source);
    const mayBeEmpty = this.#fixed === undefined && readOnly !== true;
    await checkHoldsDatabase(source.current, this.#fetch(signal), request.name, mayBeEmpty);
    const isReadOnly = readOnly === true || this.#fixed !== undefined;
    const connection = await this.#connect(MAIN, isReadOnly);
    connection.file.busyTimeoutMs = this.#busyTimeoutMs;
    this.#main = new ConnectionQueue(connection, this.#busyTimeoutMs);
    this.#listen();
  }

  async #liveQueries(): Promise<LiveQueries> {
    const { LiveQueries, RecordingSource } = await loadPart(() => import("./live-queries.ts"));
    const { sqlite3 } = this.#parts;
    this.#live ??= new LiveQueries({
      current: () => this.#fixed ?? this.#files.sourceOf(this.#volume).current,
      connect: async () => {
        const recording = new RecordingSource(this.#source);
        this.#files.set(LIVE, recording);
        const connection = await Connection.open(sqlite3, this.#vfs, LIVE, { readOnly: true });
        return { connection, recording };
      },
    });
    return this.#live;
  }

  #fetch(signal: AbortSignal | undefined): (plan: FetchPlan<void>) => Promise<void> {
    return (plan) => this.#parts.store.run(plan, signal === undefined ? {} : { signal });
  }

  #connect(fileName: string, readOnly: boolean): Promise<Connection> {
    return Connection.open(this.#parts.sqlite3, this.#vfs, fileName, {
      readOnly,
      busyTimeoutMs: this.#busyTimeoutMs,
      control: (name, value, about) => this.#control(name, value, about),
      openVolume: async (name) => {
        await this.#parts.store.volume(name.replace(/^\/+/, ""));
      },
    });
  }

  get #storage(): SessionStatus["storage"] {
    const { storage, request } = this.#parts;
    return storage ?? (request.local === undefined ? "memory" : "directory");
  }

  get #busyTimeoutMs(): number {
    return this.#parts.settings.busyTimeoutMs ?? DEFAULT_BUSY_TIMEOUT_MS;
  }

  #listen(): void {
    const emit = this.#parts.onEvent ?? (() => {});
    const volume = this.#volume;
    this.#stopListening.push(
      volume.on("commit", ({ where, lsn, changedPages }) => {
        emit({ name: "commit", event: { where, lsn, changedPages } });
        this.#live?.check();
      }),
      volume.on("status", ({ state, ahead, behind }) => {
        emit({ name: "status", event: { state, ahead, behind } });
        this.#live?.check();
      }),
      volume.on("fault", ({ volume: _, ...event }) => emit({ name: "fault", event })),
    );
  }

  /** Of this session's own: others may write to the same volume. */
  #noteCommit(volume: Volume, { lsn, sequence, changedPages }: CommitResult): void {
    if (sequence === undefined) return;
    const durability = this.#main.connection.file.durability ?? this.#parts.store.settings.durability;
    // What is in memory alone is on no storage at all.
    const durable = durability === "full" && this.#storage !== "memory";
    if (durable) this.#toKeep++;
    if (volume !== this.#volume) return;
    this.#lastCommit = { where: "local", sequence, lsn, changedPages, durable };
  }

  /** Runs what may commit, and waits until what it has committed is on stable storage. */
  async #keeping<T>(work: () => Promise<T>): Promise<T> {
    const before = this.#toKeep;
    const done = await work().then(
      (value) => ({ value }),
      (error: unknown) => ({ error }),
    );
    if (this.#toKeep !== before) {
      // A statement that failed after others had committed: what it failed with is what the caller must know.
      await this.#keep().catch((error: unknown) => {
        if (!("error" in done)) throw error;
      });
    }
    if ("error" in done) throw done.error;
    return done.value;
  }

  async #keep(): Promise<void> {
    try {
      await this.#parts.store.durable();
    } catch (error) {
      if (!isPagefoldError(error, "quota")) throw error;
      throw new PagefoldError(
        "quota",
        `the change was committed, and is seen here, but there is no room to keep it beyond this session: push it now, or make room and change anything again (${error.message})`,
        { cause: error, details: { ...error.details, committed: true } },
      );
    }
  }

  #execute(request: SessionCalls["execute"]["request"], context: CallContext): Promise<ExecuteReply> {
    return this.#keeping(() => this.#run(request, context));
  }

  async #run(request: SessionCalls["execute"]["request"], context: CallContext): Promise<ExecuteReply> {
    const { recorder } = this.#parts;
    return this.#queue(request).run(request.transaction, context, async (connection) => {
      const before = recorder.get("sql.fault.count");
      const commitBefore = this.#lastCommit;
      const results = await connection.run(request.sql, request.parameters);
      const commit = this.#lastCommit;
      const faults = recorder.get("sql.fault.count") - before;
      return { results, faults, ...(commit === undefined || commit === commitBefore ? {} : { commit }) };
    });
  }

  async #end(
    { transaction, how }: SessionCalls["end"]["request"],
    context: CallContext,
  ): Promise<SessionCalls["end"]["reply"]> {
    const before = this.#lastCommit;
    await this.#cursors.closeTransaction(transaction);
    await this.#keeping(() => this.#main.end(transaction, how, context));
    const commit = this.#lastCommit;
    return commit === undefined || commit === before ? {} : { commit };
  }

  async #openCursor(
    request: SessionCalls["cursor"]["request"],
    context: CallContext,
  ): Promise<SessionCalls["cursor"]["reply"]> {
    const queue = this.#queue(request);
    const statement = await queue.run(request.transaction, context, (connection) =>
      connection.prepare(request.sql, request.parameters),
    );
    return { cursor: this.#cursors.add(statement, queue, request.transaction) };
  }

  async #openView(
    point: SessionCalls["view"]["request"],
    { signal }: CallContext,
  ): Promise<SessionCalls["view"]["reply"]> {
    const at = "lsn" in point ? point.lsn : new Date(point.time);
    const snapshot = await this.#volume.at(at, signal === undefined ? {} : { signal });
    const view = this.#nextView++;
    const fileName = `.view-${view}`;
    this.#files.set(fileName, fixedView(snapshot));
    try {
      await checkHoldsDatabase(snapshot, this.#fetch(signal), this.#parts.request.name, false);
      const connection = await this.#connect(fileName, true);
      const queue = new ConnectionQueue(connection, this.#busyTimeoutMs);
      this.#views.set(view, { queue, snapshot });
    } catch (error) {
      this.#files.delete(fileName);
      snapshot.close();
      throw error;
    }
    return { view, lsn: snapshot.lsn };
  }

  async #closeView(view: number): Promise<undefined> {
    const open = this.#views.get(view);
    if (open === undefined) return;
    this.#views.delete(view);
    await this.#cursors.closeOf(open.queue);
    await open.queue.close();
    this.#files.delete(`.view-${view}`);
    open.snapshot.close();
  }

  async #callVolume(request: never, { signal }: CallContext, kind: VolumeCallKind): Promise<unknown> {
    if (mayMove(kind, request)) await this.#main.notWriting(signal);
    if (this.#fixed !== undefined) throw this.#staysAt(this.#fixed.lsn);
    const { store, onEvent } = this.#parts;
    const onProgress = (what: string) => (done: number, total: number) =>
      onEvent?.({ name: "progress", event: { what, done, total } });
    const { volumeCalls } = await loadPart(() => import("./volume-calls.ts"));
    return volumeCalls[kind]({ store, volume: this.#volume, signal, onProgress }, request);
  }

  #staysAt(lsn: number): PagefoldError {
    return new PagefoldError(
      "invalid",
      `${this.#parts.request.name} was opened at LSN ${lsn} and stays there; open it without an LSN to follow it`,
      { details: { lsn } },
    );
  }

  #status(): SessionStatus {
    const { request, recorder, bridge } = this.#parts;
    const { volume, state, remoteLsn, ahead, behind, pendingPush, residentPages } = this.#volume.status();
    const { pageSize } = this.#volume;
    const { lsn, pageCount, byteLength } = this.#fixed ?? this.#files.sourceOf(this.#volume).current;
    return {
      ...{ volume, name: request.name, state, lsn, remoteLsn, ahead, behind, pendingPush },
      ...{ pageCount, pageSize, byteLength, residentPages },
      prefetchedUnused: this.#volume.prefetchedUnused,
      faults: recorder.get("sql.fault.count"),
      bridge: bridge.kind,
      storage: this.#storage,
      readOnly: this.#main.connection.file.readOnly,
      inTransaction: this.#main.connection.inTransaction,
    };
  }

  async #inspect(
    { view, ...figures }: SessionCalls["inspect"]["request"],
    { signal }: CallContext,
  ): Promise<SessionCalls["inspect"]["reply"]> {
    const snapshot = view === undefined ? this.#fixed : this.#viewOf(view).snapshot;
    const more = {
      ...(snapshot === undefined ? {} : { snapshot }),
      ...(signal === undefined ? {} : { signal }),
    };
    const { inspectVolume } = await loadPart(() => import("../../src/inspect/inspection.ts"));
    return inspectVolume(this.#volume, { ...figures, ...more });
  }

  async #control(
    name: string,
    value: string | undefined,
    { file, signal }: { readonly file: DatabaseFile; readonly signal: AbortSignal | undefined },
  ): Promise<SqlRows> {
    const { store, exportTo } = this.#parts;
    const context: PragmaContext = {
      store,
      file,
      signal,
      sourceOf: (volume) => this.#files.sourceOf(volume),
      exportTo,
    };
    const { runPragma, unknownPragma } = await loadPart(() => import("../sqlite/pagefold-pragmas.ts"));
    const answer = runPragma(context, name, value);
    if (answer === undefined) throw unknownPragma(name);
    const rows = typeof answer === "function" ? await answer() : answer;
    if (file === this.#main.connection.file) await this.#follow(file.source);
    return rows;
  }

  /** After a pragma that switched the connection to another volume. */
  async #follow(source: ViewSource): Promise<void> {
    if (!(source instanceof VolumeSource) || source.volume === this.#volume) return;
    for (const stop of this.#stopListening.splice(0)) stop();
    this.#volume = source.volume;
    this.#listen();
    await this.#live?.moved();
  }

  #queue({ view }: Where): ConnectionQueue {
    return view === undefined ? this.#main : this.#viewOf(view).queue;
  }

  #viewOf(view: number): { readonly queue: ConnectionQueue; readonly snapshot: Snapshot } {
    const open = this.#views.get(view);
    if (open === undefined)
      throw new PagefoldError("closed", "this view of a past state was closed; open it again");
    return open;
  }

  /** What this session shows. */
  get #source(): ViewSource {
    return this.#fixed === undefined ? this.#files.sourceOf(this.#volume) : fixedView(this.#fixed);
  }

  async #closeConnections(): Promise<void> {
    await this.#live?.end();
    await this.#cursors.closeAll();
    for (const view of [...this.#views.keys()]) await this.#closeView(view);
    // Absent where opening failed.
    await this.#main?.close();
    this.#vfs.dispose();
    this.#files.close();
    this.#fixed?.close();
  }
}

/** What moves the volume under its connections, or takes its local commits away. */
function mayMove(kind: VolumeCallKind, request: { readonly onDiverged?: string }): boolean {
  return ["pull", "reset", "fork"].includes(kind) || (kind === "push" && request.onDiverged !== "error");
}
