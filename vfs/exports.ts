/** What `pagefold/vfs` offers on every platform. */
export {
  type BlockingBridge,
  type BridgeKind,
  type FaultBridge,
  ResidentOnlyBridge,
  type SuspendingBridge,
} from "./bridge/bridge.ts";
export { JspiBridge } from "./bridge/jspi.ts";
export { type SyncRequest, SyncXhrBridge, type SyncXhrBridgeOptions } from "./bridge/sync-xhr.ts";
export type { DatabaseDiff, ObjectDiff } from "./btree/database-diff.ts";
export type { DatabaseStore } from "./connect.ts";
export type {
  DatabaseEvents,
  DatabaseOptions,
  DatabaseStatus,
  LogCallOptions,
  PushOptions,
  PushResult,
  Replay,
} from "./database.ts";
export { DatabaseAt, DatabaseTransaction, type InspectCallOptions } from "./database-parts.ts";
export {
  type CallOptions,
  type ExecResult,
  type QueryResult,
  type QueryStats,
  type ScriptResult,
  SqlExecutor,
  type SqlRow,
} from "./executor.ts";
export type { LocalCommit, LogReply, PushReply, SessionStatus } from "./session/protocol.ts";
export type { SqlRows, StatementResult } from "./sqlite/connection.ts";
export type { PagefoldVfs } from "./sqlite/pagefold-vfs.ts";
export { installPagefoldVfs, type PagefoldVfsOptions } from "./sqlite/store-vfs.ts";
export type { SqlParameter, SqlParameters, SqlValue } from "./sqlite/values.ts";
export type { StoreAddress } from "./worker/launch.ts";
