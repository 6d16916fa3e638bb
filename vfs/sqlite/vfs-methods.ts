/**
 * The methods of the VFS: they turn pointers into numbers, strings and byte arrays, and call a `VfsFile`. No method ever throws
 * into SQLite, which would leave its stack and its connection broken: errors become result codes, and the cause is kept.
 */
import type { Sqlite3Static } from "@sqlite.org/sqlite-wasm";
import { PagefoldError } from "../../src/base/errors.ts";
import { noopRecorder, type Recorder } from "../../src/base/recorder.ts";
import type { BlockingBridge } from "../bridge/bridge.ts";
import * as code from "./codes.ts";
import { DatabaseFile } from "./database-file.ts";
import { codeOf } from "./errors.ts";
import { Heap } from "./heap.ts";
import { MemoryBudget, MemoryFile } from "./memory-file.ts";
import { MISS, type VfsFile } from "./vfs-file.ts";
import type { ViewSource } from "./view-source.ts";

export interface VfsMethodsOptions {
  readonly bridge: BlockingBridge;
  readonly resolve: (fileName: string) => ViewSource | undefined;
  /** Address of the sqlite3_io_methods that opened files point to. */
  readonly ioMethods: number;
  readonly tempBytes?: number;
  readonly recorder?: Recorder;
}

const DEFAULT_TEMP_BYTES = 1_073_741_824;
/** How often pages may be evicted between their arrival and their use before the cache is declared too small. */
const MAX_ATTEMPTS = 8;
const SECTOR_BYTES = 4096;

const NO_FILE: VfsFile = {
  read: () => code.IOERR,
  write: () => code.IOERR,
  truncate: () => code.IOERR,
  size: () => 0,
  lock: () => code.IOERR,
  unlock: () => code.OK,
  close: () => {},
};

export class VfsMethods {
  readonly #sqlite3: Sqlite3Static;
  readonly #heap: Heap;
  readonly #options: VfsMethodsOptions;
  readonly #budget: MemoryBudget;
  readonly #recorder: Recorder;
  readonly #files = new Map<number, VfsFile>();
  /** The file used last, which is nearly always the one used next. */
  #lastPointer = -1;
  #lastFile: VfsFile = NO_FILE;
  #error: unknown;

  constructor(sqlite3: Sqlite3Static, options: VfsMethodsOptions) {
    this.#sqlite3 = sqlite3;
    this.#heap = new Heap(sqlite3.wasm);
    this.#options = options;
    this.#budget = new MemoryBudget(options.tempBytes ?? DEFAULT_TEMP_BYTES);
    this.#recorder = options.recorder ?? noopRecorder;
  }

  takeError(): unknown {
    const error = this.#error;
    this.#error = undefined;
    return error;
  }

  /** Whether the next transaction on one of the open databases will see another view than the last one did. */
  viewsReplaced(): boolean {
    for (const file of this.#files.values()) if (file instanceof DatabaseFile && file.replaced) return true;
    return false;
  }

  readonly xRead = (pFile: number, pBuffer: number, n: number, offset: number): number => {
    try {
      const file = this.#file(pFile);
      const result = file.read(this.#heap.window(pBuffer, n), offset);
      return result === MISS ? this.#readAfterFault(file, pBuffer, n, offset) : result;
    } catch (error) {
      return this.#failed(error, code.IOERR_READ);
    }
  };

  readonly xWrite = (pFile: number, pBuffer: number, n: number, offset: number): number => {
    try {
      return this.#file(pFile).write(this.#heap.window(pBuffer, n), offset);
    } catch (error) {
      return this.#failed(error, code.IOERR_WRITE);
    }
  };

  /** All of sqlite3_io_methods but xRead and xWrite, which are installed as thunks. */
  ioTable() {
    return {
      xClose: (pFile: number) => this.#guard(code.IOERR_CLOSE, () => this.#close(pFile)),
      xTruncate: (pFile: number, size: number | bigint) =>
        this.#guard(code.IOERR_TRUNCATE, () => this.#file(pFile).truncate(Number(size))),
      xSync: (pFile: number, _flags: number) =>
        this.#guard(code.IOERR_FSYNC, () => {
          this.#file(pFile);
          return code.OK;
        }),
      xFileSize: (pFile: number, pSize: number) => {
        try {
          this.#heap.setInt64(pSize, this.#file(pFile).size());
          return code.OK;
        } catch (error) {
          return this.#failed(error, code.IOERR_FSTAT);
        }
      },
      xLock: (pFile: number, level: number) => {
        try {
          return this.#file(pFile).lock(level);
        } catch (error) {
          return this.#failed(error, code.IOERR_LOCK);
        }
      },
      xUnlock: (pFile: number, level: number) => {
        try {
          return this.#file(pFile).unlock(level);
        } catch (error) {
          return this.#failed(error, code.IOERR_UNLOCK);
        }
      },
      xCheckReservedLock: (_pFile: number, pResult: number) =>
        this.#guard(code.IOERR_CHECKRESERVEDLOCK, () => this.#setInt32(pResult, 0)),
      xFileControl: (_pFile: number, _operation: number, _pArgument: number) => code.NOTFOUND,
      xSectorSize: (_pFile: number) => SECTOR_BYTES,
      // Not IMMUTABLE: SQLite would then never ask whether the snapshot was replaced.
      xDeviceCharacteristics: (_pFile: number) => 0,
    };
  }

  vfsTable() {
    return {
      xOpen: (_pVfs: number, pName: number, pFile: number, flags: number, pOutFlags: number) =>
        this.#guard(code.CANTOPEN, () => this.#open(pName, pFile, flags, pOutFlags)),
      // Temporary files have no names and go when they are closed, so there is never a file to delete. xAccess is a thunk.
      xDelete: (_pVfs: number, _pName: number, _sync: number) => code.OK,
      xFullPathname: (_pVfs: number, pName: number, room: number, pOut: number) =>
        this.#guard(code.CANTOPEN, () => this.#copyName(pName, room, pOut)),
      xGetLastError: (_pVfs: number, _room: number, _pOut: number) => code.OK,
    };
  }

  #open(pName: number, pFile: number, flags: number, pOutFlags: number): number {
    const { capi, wasm } = this.#sqlite3;
    const isMain = (flags & code.OPEN_MAIN_DB) !== 0 && pName !== 0;
    const file = isMain ? this.#openDatabase(wasm.cstrToJs(pName) ?? "") : new MemoryFile(this.#budget);
    this.#files.set(pFile, file);
    this.#lastPointer = pFile;
    this.#lastFile = file;
    const struct = new capi.sqlite3_file(pFile);
    struct.$pMethods = this.#options.ioMethods;
    struct.dispose();
    if (pOutFlags !== 0) {
      const readOnly = (flags & ~code.OPEN_READWRITE) | code.OPEN_READONLY;
      this.#setInt32(pOutFlags, isMain ? readOnly : flags);
    }
    return code.OK;
  }

  #openDatabase(name: string): DatabaseFile {
    const source = this.#options.resolve(name);
    if (source === undefined) {
      throw new PagefoldError(
        "invalid",
        `no volume is open as ${JSON.stringify(name)}, and files cannot be made here`,
        {
          details: { path: name },
        },
      );
    }
    return new DatabaseFile(source);
  }

  #close(pFile: number): number {
    const file = this.#file(pFile);
    this.#files.delete(pFile);
    this.#lastPointer = -1;
    this.#lastFile = NO_FILE;
    file.close();
    return code.OK;
  }

  #readAfterFault(file: VfsFile, pBuffer: number, n: number, offset: number): number {
    if (!(file instanceof DatabaseFile)) return code.IOERR_READ;
    this.#recorder.count("sql.fault.count");
    const end = this.#recorder.span("sql.fault");
    try {
      for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
        this.#options.bridge.run(file.fault(offset, n));
        const result = file.read(this.#heap.window(pBuffer, n), offset);
        if (result === MISS) continue;
        end();
        return result;
      }
      throw new PagefoldError(
        "quota",
        `pages are evicted before SQLite can read them (${n} bytes at ${offset}); give the page cache more memory or disk`,
      );
    } catch (error) {
      end(error);
      throw error;
    }
  }

  #copyName(pName: number, room: number, pOut: number): number {
    const heap = this.#heap.bytes();
    const end = heap.indexOf(0, pName);
    if (end === -1 || end - pName >= room) return code.CANTOPEN;
    heap.copyWithin(pOut, pName, end + 1);
    return code.OK;
  }

  #file(pFile: number): VfsFile {
    if (pFile === this.#lastPointer) return this.#lastFile;
    const file = this.#files.get(pFile);
    if (file === undefined) throw new Error(`SQLite uses a file that is not open (at ${pFile})`);
    this.#lastPointer = pFile;
    this.#lastFile = file;
    return file;
  }

  #setInt32(pointer: number, value: number): number {
    this.#heap.setInt32(pointer, value);
    return code.OK;
  }

  #guard(otherwise: number, method: () => number): number {
    try {
      return method();
    } catch (error) {
      return this.#failed(error, otherwise);
    }
  }

  /** Remembers the first cause of a statement's failure: what fails after it is a consequence. */
  #failed(error: unknown, otherwise: number): number {
    this.#error ??= error;
    return codeOf(error, otherwise);
  }
}
