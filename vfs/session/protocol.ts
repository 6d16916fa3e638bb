/**
 * What a `Database` and the session that runs its SQL say to each other. Everything here is plain data: where the session lives in a worker,
 * it travels through a port.
 */
import type { CompactionResult } from "../../src/history/compact/compaction-options.ts";
import type { RestoreResult } from "../../src/history/travel/restore.ts";
import type { VolumeFigures } from "../../src/inspect/inspection.ts";
import type { BridgeKind } from "../bridge/bridge.ts";
import type { DatabaseDiff } from "../btree/database-diff.ts";
import type { SqlRows, StatementResult } from "../sqlite/connection.ts";
import type { SqlParameters } from "../sqlite/values.ts";

/** A local commit: in this side's local store, not in the remote log. */
export interface LocalCommit {
  readonly where: "local";
  /** Its number among this side's local commits. */
  readonly sequence: number;
  /** The remote commit that it builds on. */
  readonly lsn: number;
  readonly changedPages: number;
  /** Whether it is on stable storage already, or will be soon. */
  readonly durable: boolean;
}

export interface ExecuteReply {
  /** One for each statement. */
  readonly results: readonly StatementResult[];
  /** Reads of SQLite that had to fetch. */
  readonly faults: number;
  /** The last local commit that was made meanwhile; absent where none was. */
  readonly commit?: LocalCommit;
}

/** Where a volume stands, how SQL runs on it, and what that has cost. */
export interface SessionStatus {
  /** The volume's id. */
  readonly volume: string;
  /** The tag or id that it was opened under. */
  readonly name: string;
  readonly state: "clean" | "ahead" | "behind" | "diverged";
  /** The remote commit that the replica stands on, or the LSN for which the database was opened. */
  readonly lsn: number;
  /** The newest remote commit as of the last fetch. */
  readonly remoteLsn: number;
  /** Local commits that were not pushed. */
  readonly ahead: number;
  readonly behind: number;
  /** A push was begun and its outcome is not known. */
  readonly pendingPush: boolean;
  readonly pageCount: number;
  readonly pageSize: number;
  readonly byteLength: number;
  readonly residentPages: number;
  /** Pages that were fetched ahead and nobody has read so far. */
  readonly prefetchedUnused: number;
  /** Reads of SQLite that had to fetch, since opening. */
  readonly faults: number;
  readonly bridge: BridgeKind;
  /** Where pages and local commits are kept. */
  readonly storage: "memory" | "directory" | "opfs" | "indexeddb";
  /** In browsers, of a database that tabs may share: whether this tab has it open, another one runs SQL for it, or it is this tab's alone. */
  readonly tab?: "leader" | "follower" | "single";
  readonly readOnly: boolean;
  /** Between BEGIN and its end. */
  readonly inTransaction: boolean;
}

/** What happened to local commits that were to be pushed. */
export interface PushReply {
  /**
   * `pushed`: they are in the remote log as one commit; `nothing`: there were none; `reset`: another writer was first, and they were dropped;
   * `forked`: another writer was first, and they are local commits of a new volume now.
   */
  readonly outcome: "pushed" | "nothing" | "reset" | "forked";
  /** The remote commit that holds them; else the one on which this side stands now. */
  readonly lsn: number;
  /** Local commits that were pushed, dropped or moved. */
  readonly commits: number;
  readonly changedPages: number;
  readonly storedBytes: number;
  /** Local commits that are in no remote commit now: made meanwhile, or nothing. */
  readonly ahead: number;
  /** `forked`: where they are. */
  readonly fork?: { readonly volume: string; readonly tag?: string };
}

/** A move to a newer remote commit. */
export type FollowReply =
  | { readonly done: false; readonly from: number; readonly lsn: number; readonly changedPages: number }
  | { readonly done: true };

export interface LogReply {
  readonly lsn: number;
  /** Milliseconds since 1970. */
  readonly time: number;
  readonly pages: number;
  readonly pageCount: number;
  readonly bytes: number;
  readonly hash: string;
}

/** A point of the log: a commit, or the newest one at a time (milliseconds since 1970). */
export type LogPoint = { readonly lsn: number } | { readonly time: number };

/** Which of the session's connections: its own, that of an open transaction, or one on a past state. */
export interface Where {
  readonly transaction?: number;
  readonly view?: number;
}

interface Sql {
  readonly sql: string;
  readonly parameters: SqlParameters;
}

interface Call<Request, Reply> {
  readonly request: Request;
  readonly reply: Reply;
}

/** For each kind of request, what it carries and what it is answered with. */
export interface SessionCalls {
  execute: Call<Sql & Where, ExecuteReply>;
  begin: Call<{ readonly mode: "immediate" | "deferred" }, { readonly transaction: number }>;
  end: Call<
    { readonly transaction: number; readonly how: "commit" | "rollback" },
    { readonly commit?: LocalCommit }
  >;
  cursor: Call<Sql & Where, { readonly cursor: number }>;
  next: Call<{ readonly cursor: number; readonly rows: number }, SqlRows & { readonly done: boolean }>;
  closeCursor: Call<{ readonly cursor: number }, undefined>;
  view: Call<LogPoint, { readonly view: number; readonly lsn: number }>;
  closeView: Call<{ readonly view: number }, undefined>;
  live: Call<Sql, { readonly live: number }>;
  /** Answers when there is a result that differs from the last one. */
  liveNext: Call<{ readonly live: number }, SqlRows>;
  closeLive: Call<{ readonly live: number }, undefined>;
  status: Call<object, SessionStatus>;
  /** What is shown of the volume, or of a view of its past; see `src/inspect`. */
  inspect: Call<
    {
      readonly cells?: number;
      readonly commits?: number;
      readonly history?: boolean;
      readonly view?: number;
    },
    VolumeFigures
  >;
  fetch: Call<object, { readonly lsn: number; readonly behind: number }>;
  pull: Call<object, { readonly from: number; readonly lsn: number; readonly changedPages: number }>;
  follow: Call<{ readonly pollMs?: number }, { readonly follow: number }>;
  /** Answers when the database has moved on with the remote log; `done` when there is nothing more to come. */
  followNext: Call<{ readonly follow: number }, FollowReply>;
  closeFollow: Call<{ readonly follow: number }, undefined>;
  push: Call<{ readonly onDiverged: "error" | "reset" | "fork"; readonly tag?: string }, PushReply>;
  reset: Call<object, { readonly dropped: number }>;
  fork: Call<{ readonly tag: string; readonly localCommits: "move" | "leave" }, { readonly volume: string }>;
  hydrate: Call<object, { readonly pages: number; readonly fetchedPages: number }>;
  verify: Call<
    { readonly deep?: boolean; readonly sample?: number },
    { readonly lsn: number; readonly commits: number; readonly pages: number }
  >;
  compact: Call<{ readonly all: boolean; readonly bytesPerSecond?: number }, CompactionResult>;
  restore: Call<{ readonly at: LogPoint }, RestoreResult>;
  log: Call<
    {
      readonly limit: number;
      readonly since?: LogPoint;
      readonly until?: LogPoint;
      readonly page?: number;
    },
    readonly LogReply[]
  >;
  diff: Call<
    {
      readonly from: LogPoint;
      readonly to: LogPoint;
      readonly exact: boolean;
      readonly thorough: boolean;
    },
    DatabaseDiff
  >;
  close: Call<object, undefined>;
}

export type CallKind = keyof SessionCalls;

/** What happens without being asked for. */
export type SessionEvent =
  | {
      readonly name: "commit";
      readonly event: {
        readonly where: "local" | "remote";
        readonly lsn: number;
        readonly changedPages: number;
      };
    }
  | {
      readonly name: "status";
      readonly event: { readonly state: string; readonly ahead: number; readonly behind: number };
    }
  | {
      readonly name: "fault";
      readonly event: {
        readonly firstPage: number;
        readonly lastPage: number;
        /** How many pages between them were missing. */
        readonly pages: number;
        readonly readAheadPages: number;
        /** Milliseconds since 1970. */
        readonly startedAt: number;
        readonly durationMs: number;
        readonly failed: boolean;
      };
    }
  | {
      readonly name: "progress";
      readonly event: { readonly what: string; readonly done: number; readonly total: number };
    };

/** Runs requests; a session itself, or the way to one. */
export interface SessionClient {
  /** @param signal interrupts it */
  call<K extends CallKind>(
    kind: K,
    request: SessionCalls[K]["request"],
    signal?: AbortSignal,
  ): Promise<SessionCalls[K]["reply"]>;
  /** Interrupts what runs and closes everything. */
  close(): Promise<void>;
}
