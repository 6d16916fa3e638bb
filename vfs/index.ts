/** `pagefold/vfs`: SQL on the database in a volume. */
export {
  type BlockingBridge,
  type FaultBridge,
  ResidentOnlyBridge,
  type SuspendingBridge,
} from "./bridge/bridge.ts";
export {
  Database,
  type DatabaseOptions,
  type DatabaseStats,
  type QueryResult,
  type QueryStats,
} from "./database.ts";
export { installPagefoldVfs, type PagefoldVfs, type PagefoldVfsOptions } from "./sqlite/pagefold-vfs.ts";
export type { SqlParameter, SqlParameters, SqlValue } from "./sqlite/values.ts";
export { fixedView, type ViewSource } from "./sqlite/view-source.ts";
export type { StoreAddress } from "./worker/launch.ts";
