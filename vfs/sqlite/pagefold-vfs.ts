/**
 * Registers the SQLite VFS with a wasm instance: over any source of views (`installVfs`), or over the volumes of a store
 * (`installPagefoldVfs`). The methods themselves are in `vfs-methods.ts`.
 */
import type { Sqlite3Static } from "@sqlite.org/sqlite-wasm";
import { PagefoldError } from "../../src/base/errors.ts";
import type { Recorder } from "../../src/base/recorder.ts";
import type { BlockFile } from "../../src/local/block-file.ts";
import type { FaultBridge } from "../bridge/bridge.ts";
import { makeCalls, type SqliteCalls } from "./calls.ts";
import { IOCAP_POWERSAFE_OVERWRITE, IOCAP_SAFE_APPEND, IOCAP_SEQUENTIAL } from "./codes.ts";
import type { DatabaseFile } from "./database-file.ts";
import { exportsOf } from "./exports.ts";
import type { PragmaHandler } from "./file-pragmas.ts";
import { canSuspend, makeThunks } from "./thunks.ts";
import { type ResolveName, VfsMethods } from "./vfs-methods.ts";

export interface VfsOptions {
  /** As `?vfs=` and `sqlite3_open_v2` name it. Default "pagefold". Unique within the wasm instance. */
  readonly name?: string;
  /** Carries out the faults. */
  readonly bridge: FaultBridge;
  readonly resolve: ResolveName;
  /** Answers `PRAGMA pagefold_…`. */
  readonly pragmas?: PragmaHandler;
  /** Memory for journals, sorter spill and temporary databases, bytes. Default 64 MiB with `tempFile`, else 1 GiB. */
  readonly tempBytes?: number;
  /** Where they go when that is full, not used by anything else; the caller closes it. */
  readonly tempFile?: BlockFile;
  /** Counts `sql.fault.count`; observes `sql.fault.duration_ms`. */
  readonly recorder?: Recorder;
}

export interface PagefoldVfs {
  readonly name: string;
  readonly bridge: FaultBridge;
  /** What the method that failed last threw, forgotten by this call: the cause of the error that SQLite reported. */
  takeError(): unknown;
  /**
   * Whether the next transaction on one of the open databases will see content of another history than the last one did. SQLite notices by
   * itself that its pages are old, but trusts its parsed schema while the schema cookie is equal, which proves nothing where one
   * database replaced another: run `PRAGMA writable_schema=RESET` before the next statement is prepared.
   */
  viewsReplaced(): boolean;
  /** Unregisters the VFS; every connection through it must be closed. */
  dispose(): void;
  /** @internal */
  readonly inner: VfsInner;
}

/** What connections of this package use. */
export interface VfsInner {
  /** The calls of one connection. `entering` runs before each, when nobody else is within SQLite. */
  callsFor(entering: () => void): SqliteCalls;
  /** Wasm function for sqlite3_progress_handler. */
  readonly progress: number;
  /** Called for each row of `calls.run`, by statement; 0 to go on. Must not throw. */
  readonly rowTakers: Map<number, (statement: number) => number>;
  /** Whether what runs now is to end. Must not throw. */
  interrupted: () => boolean;
  database(fileName: string): DatabaseFile | undefined;
  /** By the address of its sqlite3_file; undefined where that is no database of this VFS. */
  databaseAt(pFile: number): DatabaseFile | undefined;
  /** SQLite sees its own pragmas unaltered while `work` runs. */
  withStandardPragmas<T>(work: () => Promise<T>): Promise<T>;
}

const MAX_PATH_BYTES = 1024;
/** What a VFS takes over from the platform's own. */
const INHERITED = ["$xRandomness", "$xCurrentTime", "$xCurrentTimeInt64"] as const;
const FILE_METHODS = {
  $xRead: "read",
  $xWrite: "write",
  $xTruncate: "truncate",
  $xLock: "lock",
  $xFileControl: "fileControl",
  $xDeviceCharacteristics: "characteristics",
} as const;
const VFS_METHODS = { $xOpen: "open", $xSleep: "sleep", $xAccess: "access" } as const;
const SIGNATURES = {
  read: "iiiij",
  write: "iiiij",
  truncate: "iij",
  lock: "iii",
  fileControl: "iiii",
  characteristics: "ii",
  open: "iiiiii",
  sleep: "iii",
  access: "iiiii",
} as const;

/** Struct members that the package's types leave out: pointers to functions. */
type Pointers = Record<string, number>;

export function installVfs(sqlite3: Sqlite3Static, options: VfsOptions): PagefoldVfs {
  const { bridge, name = "pagefold" } = options;
  const { capi, wasm } = sqlite3;
  if (!bridge.blocking && !canSuspend()) {
    throw new PagefoldError(
      "invalid",
      "this runtime cannot suspend WebAssembly (JSPI), which the jspi bridge needs; choose another bridge",
    );
  }
  if (capi.sqlite3_vfs_find(name) !== 0) {
    throw new PagefoldError(
      "invalid",
      `a VFS named ${JSON.stringify(name)} is registered already; choose another name`,
    );
  }
  const io = new capi.sqlite3_io_methods();
  const methods = new VfsMethods(sqlite3, { ...options, ioMethods: io.pointer });
  const rowTakers: VfsInner["rowTakers"] = new Map();
  const thunks = makeThunks({
    fast: methods.fast,
    slow: methods.slow,
    suspending: !bridge.blocking,
    memory: sqlite3.config.memory,
    step: exportsOf(sqlite3).sqlite3_step,
    row: (statement) => rowTakers.get(statement)?.(statement) ?? 0,
    characteristics: IOCAP_SAFE_APPEND | IOCAP_SEQUENTIAL | IOCAP_POWERSAFE_OVERWRITE,
  });
  const installed: number[] = [];
  const install = (thunk: keyof typeof thunks, signature: string): number => {
    const pointer = wasm.installFunction(thunks[thunk], signature);
    installed.push(pointer);
    return pointer;
  };
  for (const [member, thunk] of Object.entries(FILE_METHODS))
    (io as unknown as Pointers)[member] = install(thunk, SIGNATURES[thunk]);
  Object.assign(io, { $iVersion: 1 });

  const vfs = new capi.sqlite3_vfs();
  const pointers = vfs as unknown as Pointers;
  const standard = new capi.sqlite3_vfs(capi.sqlite3_vfs_find(null));
  for (const member of INHERITED) pointers[member] = (standard as unknown as Pointers)[member] ?? 0;
  standard.dispose();
  for (const [member, thunk] of Object.entries(VFS_METHODS))
    pointers[member] = install(thunk, SIGNATURES[thunk]);
  vfs.$iVersion = 2;
  vfs.$szOsFile = (capi.sqlite3_file as unknown as { structInfo: { sizeof: number } }).structInfo.sizeof;
  vfs.$mxPathname = MAX_PATH_BYTES;
  // The package's types want each result to be a literal of its list of result codes.
  const register = sqlite3.vfs.installVfs as (structs: object) => unknown;
  register({
    io: { struct: io, methods: methods.ioTable() },
    vfs: { struct: vfs, methods: methods.vfsTable(), name },
  });
  const progress = install("progress", "ii");
  return {
    name,
    bridge,
    takeError: () => methods.takeErrors().first,
    viewsReplaced: () => methods.viewsReplaced(),
    dispose: () => {
      capi.sqlite3_vfs_unregister(vfs.pointer);
      for (const pointer of installed) wasm.uninstallFunction(pointer);
      vfs.dispose();
      io.dispose();
    },
    inner: {
      callsFor: (entering) => {
        methods.callByCall = true;
        return makeCalls(sqlite3, {
          run: thunks.run,
          entering,
          suspending: !bridge.blocking,
          takeErrors: () => methods.takeErrors(),
          onSuspendable: (suspendable) => {
            methods.suspendable = suspendable;
          },
        });
      },
      progress,
      rowTakers,
      get interrupted() {
        return methods.interrupted;
      },
      set interrupted(interrupted) {
        methods.interrupted = interrupted;
        if (bridge.blocking) bridge.interrupted = interrupted;
      },
      database: (fileName) => methods.database(fileName),
      databaseAt: (pFile) => methods.databaseAt(pFile),
      withStandardPragmas: async (work) => {
        methods.standardPragmas = false;
        try {
          return await work();
        } finally {
          methods.standardPragmas = true;
        }
      },
    },
  };
}
