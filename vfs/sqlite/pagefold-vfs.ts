/**
 * Registers the SQLite VFS with a wasm instance. Pages that are here are served straight into the wasm heap; a read that must fetch
 * goes through the bridge. The methods themselves are in `vfs-methods.ts`.
 */
import type { Sqlite3Static } from "@sqlite.org/sqlite-wasm";
import { PagefoldError } from "../../src/base/errors.ts";
import type { Recorder } from "../../src/base/recorder.ts";
import type { FaultBridge } from "../bridge/bridge.ts";
import { makeThunks } from "./thunks.ts";
import { VfsMethods } from "./vfs-methods.ts";
import type { ViewSource } from "./view-source.ts";

export interface PagefoldVfsOptions {
  /** As `?vfs=` and `sqlite3_open_v2` name it. Default "pagefold". Unique within the wasm instance. */
  readonly name?: string;
  /** Carries out the faults. */
  readonly bridge: FaultBridge;
  /** The snapshots that a database file name stands for; undefined where it stands for none. May throw: then opening fails with that. */
  readonly resolve: (fileName: string) => ViewSource | undefined;
  /** Memory for journals, sorter spill and temporary databases, bytes. Default 1 GiB. */
  readonly tempBytes?: number;
  /** Counts `sql.fault.count`; observes `sql.fault.duration_ms`. */
  readonly recorder?: Recorder;
}

export interface PagefoldVfs {
  readonly name: string;
  /** What the method that failed last threw, forgotten by this call: the cause of the error that SQLite reported. */
  takeError(): unknown;
  /**
   * Whether the next transaction on one of the open databases will see another snapshot than the last one did. SQLite notices by
   * itself that its pages are old, but trusts its parsed schema while the schema cookie is equal, which proves nothing where one
   * database replaced another: run `PRAGMA writable_schema=RESET` before the next statement is prepared.
   */
  viewsReplaced(): boolean;
  /** Unregisters the VFS; every connection through it must be closed. */
  dispose(): void;
}

const MAX_PATH_BYTES = 1024;
/** What a VFS takes over from the platform's own. */
const INHERITED = ["$xRandomness", "$xSleep", "$xCurrentTime", "$xCurrentTimeInt64"] as const;

/** The struct members that the package's types leave out: pointers to functions. */
type MethodPointers = Record<(typeof INHERITED)[number] | "$xRead" | "$xWrite" | "$xAccess", number>;

export function installPagefoldVfs(sqlite3: Sqlite3Static, options: PagefoldVfsOptions): PagefoldVfs {
  const { bridge, name = "pagefold" } = options;
  if (!bridge.blocking) {
    throw new PagefoldError(
      "invalid",
      `the ${bridge.kind} bridge suspends SQLite, which this VFS cannot do yet; give a blocking one`,
    );
  }
  const { capi, wasm } = sqlite3;
  if (capi.sqlite3_vfs_find(name) !== 0) {
    throw new PagefoldError(
      "invalid",
      `a VFS named ${JSON.stringify(name)} is registered already; choose another name`,
    );
  }
  const io = new capi.sqlite3_io_methods();
  const methods = new VfsMethods(sqlite3, { ...options, bridge, ioMethods: io.pointer });
  const thunks = makeThunks({ read: methods.xRead, write: methods.xWrite }, sqlite3.config.memory);
  const ioPointers = io as unknown as MethodPointers;
  ioPointers.$xRead = wasm.installFunction(thunks.read, "iiiij");
  ioPointers.$xWrite = wasm.installFunction(thunks.write, "iiiij");
  Object.assign(io, { $iVersion: 1 });

  const vfs = new capi.sqlite3_vfs();
  const standard = new capi.sqlite3_vfs(capi.sqlite3_vfs_find(null));
  const pointers = vfs as unknown as MethodPointers;
  for (const member of INHERITED) pointers[member] = (standard as unknown as MethodPointers)[member];
  standard.dispose();
  pointers.$xAccess = wasm.installFunction(thunks.access, "iiiii");
  vfs.$iVersion = 2;
  vfs.$szOsFile = (capi.sqlite3_file as unknown as { structInfo: { sizeof: number } }).structInfo.sizeof;
  vfs.$mxPathname = MAX_PATH_BYTES;
  // The package's types want each result to be a literal of its list of result codes.
  const install = sqlite3.vfs.installVfs as (structs: object) => unknown;
  install({
    io: { struct: io, methods: methods.ioTable() },
    vfs: { struct: vfs, methods: methods.vfsTable(), name },
  });
  const installed = [ioPointers.$xRead, ioPointers.$xWrite, pointers.$xAccess];
  return {
    name,
    takeError: () => methods.takeError(),
    viewsReplaced: () => methods.viewsReplaced(),
    dispose: () => {
      capi.sqlite3_vfs_unregister(vfs.pointer);
      for (const pointer of installed) wasm.uninstallFunction(pointer);
      vfs.dispose();
      io.dispose();
    },
  };
}
