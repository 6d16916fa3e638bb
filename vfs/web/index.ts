/** `pagefold/browser`: databases of a page, by the address of their store. */

export { type ErrorCode, type ErrorDetails, isPagefoldError, PagefoldError } from "../../src/base/errors.ts";
export type { Distribution } from "../../src/base/recorder.ts";
export { MemoryRecorder, type Recorder } from "../../src/base/recorder.ts";
export type { BrowserStorageEntry, StorageEstimate } from "../../src/browser/site-storage.ts";
export {
  type HttpAuth,
  HttpObjectStore,
  type HttpStoreOptions,
  type OpenHttpStoreOptions,
  openHttpStore,
} from "../../src/remote/http/http-object-store.ts";
export type { ObjectStore } from "../../src/remote/object-store.ts";
export { Database } from "../browser.ts";
export type {
  CallOptions,
  DatabaseAt,
  DatabaseEvents,
  DatabaseOptions,
  DatabaseStatus,
  DatabaseTransaction,
  ExecResult,
  LocalCommit,
  PushOptions,
  PushResult,
  QueryResult,
  QueryStats,
  Replay,
  ScriptResult,
  SqlParameter,
  SqlParameters,
  SqlRow,
  SqlValue,
} from "../exports.ts";
export { type OpenDatabaseOptions, openDatabase, type StorageKind } from "./open-database.ts";
export {
  deleteBrowserStorage,
  listBrowserStorage,
  persistStorage,
  storageEstimate,
} from "./site-storage.ts";
export type { WebDatabase } from "./web-database.ts";
