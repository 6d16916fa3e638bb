/**
 * The methods of the VFS: they turn pointers into numbers, strings and byte arrays, and call a `VfsFile`. No method ever throws
 * into SQLite, which would leave its stack and its connection broken: errors become result codes, and the cause is kept. Each method
 * that may have to wait has a fast half, which answers `MISS` then, and a slow one, which the bridge carries out (thunks.ts joins them).
 */
import type { Sqlite3Static } from "@sqlite.org/sqlite-wasm";
import { PagefoldError } from "../../src/base/errors.ts";
import { noopRecorder, type Recorder } from "../../src/base/recorder.ts";
import { systemRuntime } from "../../src/base/runtime.ts";
import type { BlockFile } from "../../src/local/block-file.ts";
import type { FaultBridge } from "../bridge/bridge.ts";
import { nextTask } from "../next-task.ts";
import { NO_ERRORS, type VfsErrors } from "./calls.ts";
import * as code from "./codes.ts";
import { CommitGroup } from "./commit-group.ts";
import { DatabaseFile } from "./database-file.ts";
import { codeOf } from "./errors.ts";
import { answerStandardPragma, type PragmaHandler } from "./file-pragmas.ts";
import { Heap } from "./heap.ts";
import { TempFile } from "./temp-file.ts";
import { TempStorage } from "./temp-storage.ts";
import type { Method, MethodName, SlowMethod } from "./thunks.ts";
import { MISS, type VfsFile } from "./vfs-file.ts";
import type { ViewSource } from "./view-source.ts";

/** The volume of a file name, a way to open it first, or undefined where there is none. May throw: then opening fails with that. */
export type ResolveName = (fileName: string) => ViewSource | undefined | (() => Promise<ViewSource>);

export interface VfsMethodsOptions {
  readonly bridge: FaultBridge;
  readonly resolve: ResolveName;
  readonly pragmas?: PragmaHandler;
  /** Address of the sqlite3_io_methods that opened files point to. */
  readonly ioMethods: number;
  readonly tempBytes?: number;
  /** Where temporary files go that memory has no room for; the caller closes it. */
  readonly tempFile?: BlockFile;
  readonly recorder?: Recorder;
}

/** Memory for temporary files where there is no disk for them, and where there is. */
const TEMP_BYTES_ALONE = 1_073_741_824;
const TEMP_BYTES_WITH_FILE = 67_108_864;
/** How often pages may be evicted between their arrival and their use before the cache is declared too small. */
const MAX_ATTEMPTS = 8;
/** Also the size of a journal's header, which every transaction writes. */
const SECTOR_BYTES = 512;
/** How often a long statement that can be suspended gives the event loop a turn. */
const YIELD_EVERY_MS = 16;

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
  /** Set while SQLite was entered in such a way that it can be suspended. */
  suspendable = false;
  /**
   * Set where `takeErrors` is called before each call into SQLite. Then a call in which a read has failed commits nothing: SQLite keeps some
   * failures to itself (statistics that cannot be loaded), although its transaction was rolled back by them, and what it would commit is
   * only what came after.
   */
  callByCall = false;
  /** False while the VFS's own pragmas are to reach SQLite as they are. */
  standardPragmas = true;
  /** Whether what runs now is to end: asked between faults and every thousand or so steps of SQLite's machine. */
  interrupted: () => boolean = () => false;
  readonly #sqlite3: Sqlite3Static;
  readonly #heap: Heap;
  readonly #options: VfsMethodsOptions;
  readonly #temp: TempStorage;
  readonly #recorder: Recorder;
  readonly #group = new CommitGroup(() => (this.callByCall ? this.#readError : undefined));
  readonly #files = new Map<number, VfsFile>();
  readonly #superJournals = new Set<string>();
  /** Databases by the names that SQLite opened them with, the last of each. */
  readonly #databases = new Map<string, DatabaseFile>();
  /** The file used last, which is nearly always the one used next. */
  #lastPointer = -1;
  #lastFile: VfsFile = NO_FILE;
  #error: unknown;
  #readError: unknown;
  #yieldedAt = 0;

  constructor(sqlite3: Sqlite3Static, options: VfsMethodsOptions) {
    this.#sqlite3 = sqlite3;
    this.#heap = new Heap(sqlite3.wasm);
    this.#options = options;
    this.#recorder = options.recorder ?? noopRecorder;
    const { tempFile } = options;
    this.#temp = new TempStorage({
      memoryBytes: options.tempBytes ?? (tempFile === undefined ? TEMP_BYTES_ALONE : TEMP_BYTES_WITH_FILE),
      recorder: this.#recorder,
      ...(tempFile === undefined ? {} : { file: tempFile }),
    });
  }

  takeErrors(): VfsErrors {
    if (this.#error === undefined) return NO_ERRORS;
    const errors = { first: this.#error, firstOfRead: this.#readError };
    this.#error = undefined;
    this.#readError = undefined;
    return errors;
  }

  /** The database that was opened last under this name and is open still. */
  database(name: string): DatabaseFile | undefined {
    return this.#databases.get(name);
  }

  /** The open database whose sqlite3_file is there. */
  databaseAt(pFile: number): DatabaseFile | undefined {
    const file = this.#files.get(pFile);
    return file instanceof DatabaseFile ? file : undefined;
  }

  /** Whether the next transaction on one of the open databases will see content of another history than the last one did. */
  viewsReplaced(): boolean {
    // Several connections may have the same database open, each with a cache and a schema of its own.
    for (const file of this.#files.values()) if (file instanceof DatabaseFile && file.replaced) return true;
    return false;
  }

  /** Every method as SQLite calls it first. */
  readonly fast: Readonly<Record<MethodName, Method>> = {
    read: (pFile, pBuffer, n, offset) => {
      try {
        const file = this.#file(pFile!);
        const result = file.read(this.#heap.window(pBuffer!, n!), offset!);
        return result === MISS ? this.#miss() : result;
      } catch (error) {
        return this.#failed(error, code.IOERR_READ);
      }
    },
    write: (pFile, pBuffer, n, offset) => {
      try {
        const result = this.#file(pFile!).write(this.#heap.window(pBuffer!, n!), offset!);
        return result === MISS ? this.#miss() : result;
      } catch (error) {
        return this.#failed(error, code.IOERR_WRITE);
      }
    },
    truncate: (pFile, size) =>
      this.#guard(code.IOERR_TRUNCATE, () => {
        const result = this.#file(pFile!).truncate(size!);
        return result === MISS ? this.#miss() : result;
      }),
    lock: (pFile, level) => {
      try {
        return this.#file(pFile!).lock(level!);
      } catch (error) {
        return this.#failed(error, code.IOERR_LOCK);
      }
    },
    fileControl: (pFile, operation, pArgument) =>
      this.#guard(code.IOERR, () => this.#fileControl(pFile!, operation!, pArgument!)),
    open: (_pVfs, pName, pFile, flags, pOutFlags) =>
      this.#guard(code.CANTOPEN, () => this.#open(pName!, pFile!, flags!, pOutFlags!)),
    sleep: (_pVfs, micros) => {
      if (!this.#options.bridge.blocking) return this.suspendable ? MISS : 0;
      // Whoever has the lock lives in this thread and cannot go on while it sleeps; but SQLite counts what it slept.
      return micros!;
    },
    progress: () => {
      if (this.interrupted()) return 1;
      if (!this.suspendable) return 0;
      const now = systemRuntime.monotonic();
      return now - this.#yieldedAt < YIELD_EVERY_MS ? 0 : MISS;
    },
  };

  /** What follows where the fast one missed. */
  readonly slow: Readonly<Record<MethodName, SlowMethod>> = {
    read: (pFile, pBuffer, n, offset) =>
      this.#afterFault(code.IOERR_READ, pFile!, offset!, n!, (file) =>
        file.read(this.#heap.window(pBuffer!, n!), offset!),
      ),
    write: (pFile, pBuffer, n, offset) =>
      this.#afterFault(code.IOERR_WRITE, pFile!, offset!, n!, (file) =>
        file.write(this.#heap.window(pBuffer!, n!), offset!),
      ),
    truncate: (pFile, size) =>
      this.#afterFault(code.IOERR_TRUNCATE, pFile!, Math.max(0, size! - 1), 1, (file) =>
        file.truncate(size!),
      ),
    lock: (pFile, level) =>
      this.#later(code.IOERR_LOCK, async () => {
        const file = this.#databaseFile(pFile!);
        return file.lockSoon(level!, file.busyTimeoutMs);
      }),
    fileControl: (pFile, _operation, pArgument) =>
      this.#later(code.IOERR, async () => {
        const { name, value } = this.#pragma(pArgument!);
        const answer = this.#options.pragmas?.(this.#databaseFile(pFile!), name, value);
        return this.#answerPragma(pArgument!, typeof answer === "function" ? await answer() : answer);
      }),
    open: (_pVfs, pName, pFile, flags, pOutFlags) =>
      this.#later(code.CANTOPEN, async () => {
        const name = this.#sqlite3.wasm.cstrToJs(pName!) ?? "";
        const found = this.#options.resolve(name);
        const source = typeof found === "function" ? await found() : found;
        return this.#opened(this.#openDatabase(name, flags!, source), pFile!, flags!, pOutFlags!);
      }),
    sleep: (_pVfs, micros) =>
      this.#later(0, async () => {
        await systemRuntime.sleep(micros! / 1000);
        return micros!;
      }),
    progress: () =>
      this.#later(1, async () => {
        await nextTask();
        this.#yieldedAt = systemRuntime.monotonic();
        return this.interrupted() ? 1 : 0;
      }),
  };

  /** The methods of sqlite3_io_methods that are no thunks. */
  ioTable() {
    return {
      xClose: (pFile: number) => this.#guard(code.IOERR_CLOSE, () => this.#close(pFile)),
      xSync: (_pFile: number, _flags: number) => code.OK,
      xFileSize: (pFile: number, pSize: number) => {
        try {
          this.#heap.setInt64(pSize, this.#file(pFile).size());
          return code.OK;
        } catch (error) {
          return this.#failed(error, code.IOERR_FSTAT);
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
      xSectorSize: (_pFile: number) => SECTOR_BYTES,
    };
  }

  vfsTable() {
    return {
      xDelete: (_pVfs: number, pName: number, _sync: number) =>
        this.#guard(code.IOERR_WRITE, () => this.#delete(pName)),
      xFullPathname: (_pVfs: number, pName: number, room: number, pOut: number) =>
        this.#guard(code.CANTOPEN, () => this.#copyName(pName, room, pOut)),
      xGetLastError: (_pVfs: number, _room: number, _pOut: number) => code.OK,
    };
  }

  #open(pName: number, pFile: number, flags: number, pOutFlags: number): number {
    const name = pName === 0 ? "" : (this.#sqlite3.wasm.cstrToJs(pName) ?? "");
    if ((flags & code.OPEN_MAIN_DB) === 0 || pName === 0) {
      if ((flags & code.OPEN_SUPER_JOURNAL) !== 0) this.#superJournals.add(name);
      return this.#opened(new TempFile(this.#temp), pFile, flags, pOutFlags);
    }
    const source = this.#options.resolve(name);
    if (typeof source === "function") {
      if (this.suspendable) return MISS;
      throw new PagefoldError(
        "not_found",
        `volume ${JSON.stringify(name)} is not open in this store; open it first: await store.volume(${JSON.stringify(name)})`,
        { details: { tag: name, notOpen: true } },
      );
    }
    return this.#opened(this.#openDatabase(name, flags, source), pFile, flags, pOutFlags);
  }

  #openDatabase(name: string, flags: number, source: ViewSource | undefined): DatabaseFile {
    if (source === undefined) {
      throw new PagefoldError(
        "invalid",
        `no volume is open as ${JSON.stringify(name)}, and files cannot be made here`,
        { details: { path: name } },
      );
    }
    const file = new DatabaseFile({
      source,
      group: this.#group,
      readOnly: (flags & code.OPEN_READONLY) !== 0,
      suspendable: () => this.suspendable,
    });
    this.#databases.delete(name);
    this.#databases.set(name, file);
    return file;
  }

  #opened(file: VfsFile, pFile: number, flags: number, pOutFlags: number): number {
    this.#files.set(pFile, file);
    this.#lastPointer = pFile;
    this.#lastFile = file;
    // sqlite3_file has one member: the pointer to its methods.
    this.#heap.setInt32(pFile, this.#options.ioMethods);
    if (pOutFlags !== 0) {
      const isReadOnly = file instanceof DatabaseFile && file.readOnly;
      const readOnlyFlags = (flags & ~(code.OPEN_READWRITE | code.OPEN_CREATE)) | code.OPEN_READONLY;
      this.#setInt32(pOutFlags, isReadOnly ? readOnlyFlags : flags);
    }
    return code.OK;
  }

  #close(pFile: number): number {
    const file = this.#file(pFile);
    this.#files.delete(pFile);
    this.#lastPointer = -1;
    this.#lastFile = NO_FILE;
    for (const [name, database] of this.#databases) if (database === file) this.#databases.delete(name);
    file.close();
    return code.OK;
  }

  /** Temporary files go when they are closed; deleting a super-journal is how SQLite commits several files. */
  #delete(pName: number): number {
    if (this.#superJournals.size === 0) return code.OK;
    if (this.#superJournals.delete(this.#sqlite3.wasm.cstrToJs(pName) ?? "")) this.#group.commit();
    return code.OK;
  }

  #fileControl(pFile: number, operation: number, pArgument: number): number {
    switch (operation) {
      case code.FCNTL_SYNC: {
        const file = this.#file(pFile);
        if (file instanceof DatabaseFile) file.sync();
        return code.OK;
      }
      case code.FCNTL_COMMIT_PHASETWO:
        this.#group.commit();
        return code.OK;
      case code.FCNTL_PRAGMA:
        return this.#filePragma(pFile, pArgument);
      default:
        return code.NOTFOUND;
    }
  }

  #filePragma(pFile: number, pArgument: number): number {
    const file = this.#file(pFile);
    if (!(file instanceof DatabaseFile)) return code.NOTFOUND;
    const { name, value } = this.#pragma(pArgument);
    const standard = this.standardPragmas ? answerStandardPragma(file, name, value) : undefined;
    if (standard !== undefined)
      return standard.text === undefined ? code.OK : this.#answerPragma(pArgument, standard.text);
    if (!name.startsWith("pagefold_")) return code.NOTFOUND;
    const answer = this.#options.pragmas?.(file, name, value);
    if (typeof answer !== "function") return this.#answerPragma(pArgument, answer);
    if (this.suspendable) return MISS;
    throw new PagefoldError(
      "invalid",
      `PRAGMA ${name} waits for the object store, which SQLite cannot do here; call it through Database, or the store's own API`,
    );
  }

  /** char *azArg[]: the answer's place, the pragma's name, its argument or NULL. */
  #pragma(pArgument: number): { readonly name: string; readonly value: string | undefined } {
    const { wasm } = this.#sqlite3;
    const [pName, pValue] = [wasm.peekPtr(pArgument + 4), wasm.peekPtr(pArgument + 8)];
    return {
      name: (wasm.cstrToJs(pName) ?? "").toLowerCase(),
      value: pValue === 0 ? undefined : (wasm.cstrToJs(pValue) ?? undefined),
    };
  }

  /** A row with this text; undefined: there is no such pragma here. */
  #answerPragma(pArgument: number, text: string | undefined): number {
    if (text === undefined) return code.NOTFOUND;
    // SQLite frees it.
    this.#sqlite3.wasm.pokePtr(pArgument, this.#sqlite3.wasm.allocCString(text, false));
    return code.OK;
  }

  /** What a call that must fetch answers first: where SQLite was entered so that it cannot be suspended, that is an error. */
  #miss(): number {
    if (this.#options.bridge.blocking || this.suspendable) return MISS;
    throw new PagefoldError(
      "unavailable",
      "a page must be fetched, and SQLite was called in a way that cannot wait for it; use Database, or hydrate the volume first",
      { retryable: false },
    );
  }

  #afterFault(
    otherwise: number,
    pFile: number,
    offset: number,
    length: number,
    again: (file: VfsFile) => number,
  ): number | Promise<number> {
    const { bridge } = this.#options;
    this.#recorder.count("sql.fault.count");
    const end = this.#recorder.span("sql.fault");
    if (!bridge.blocking) {
      return this.#later(
        otherwise,
        async () => {
          const file = this.#databaseFile(pFile);
          for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
            await bridge.run(file.fault(offset, length));
            const result = again(file);
            if (result !== MISS) return result;
          }
          throw cacheTooSmall(offset, length);
        },
        end,
      );
    }
    try {
      const file = this.#databaseFile(pFile);
      for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
        bridge.run(file.fault(offset, length));
        const result = again(file);
        if (result === MISS) continue;
        end();
        return result;
      }
      throw cacheTooSmall(offset, length);
    } catch (error) {
      end(error);
      return this.#failed(error, otherwise);
    }
  }

  /** A slow method that waits. Never rejects: a rejection would be thrown into wasm. */
  async #later(
    otherwise: number,
    work: () => Promise<number>,
    end: (error?: unknown) => void = () => {},
  ): Promise<number> {
    try {
      const result = await work();
      end();
      return result;
    } catch (error) {
      end(error);
      return this.#failed(error, otherwise);
    }
  }

  #copyName(pName: number, room: number, pOut: number): number {
    const heap = this.#heap.bytes();
    const end = heap.indexOf(0, pName);
    if (end === -1 || end - pName >= room) return code.CANTOPEN;
    heap.copyWithin(pOut, pName, end + 1);
    return code.OK;
  }

  #databaseFile(pFile: number): DatabaseFile {
    const file = this.#file(pFile);
    if (file instanceof DatabaseFile) return file;
    throw new Error(`a temporary file waits for something (at ${pFile})`);
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
    if (otherwise === code.IOERR_READ) this.#readError ??= error;
    return codeOf(error, otherwise);
  }
}

function cacheTooSmall(offset: number, length: number): PagefoldError {
  return new PagefoldError(
    "quota",
    `pages are evicted before SQLite can use them (${length} bytes at ${offset}); give the page cache more memory or disk`,
  );
}
