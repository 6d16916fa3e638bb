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
import type { VfsErrors } from "./calls.ts";
import * as code from "./codes.ts";
import { CommitGroup } from "./commit-group.ts";
import { DatabaseFile } from "./database-file.ts";
import { Failures } from "./failures.ts";
import { answerStandardPragma, type PragmaHandler, readPragma, writeAnswer } from "./file-pragmas.ts";
import { Heap } from "./heap.ts";
import { OpenFiles } from "./open-files.ts";
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
  readonly #recorder: Recorder;
  readonly #failures = new Failures();
  readonly #group = new CommitGroup(() => (this.callByCall ? this.#failures.ofRead : undefined));
  readonly #superJournals = new Set<string>();
  readonly #files: OpenFiles;
  #yieldedAt = 0;

  constructor(sqlite3: Sqlite3Static, options: VfsMethodsOptions) {
    this.#sqlite3 = sqlite3;
    this.#heap = new Heap(sqlite3.wasm);
    this.#options = options;
    this.#recorder = options.recorder ?? noopRecorder;
    const { tempFile } = options;
    this.#files = new OpenFiles({
      heap: this.#heap,
      ioMethods: options.ioMethods,
      group: this.#group,
      suspendable: () => this.suspendable,
      temp: new TempStorage({
        memoryBytes: options.tempBytes ?? (tempFile === undefined ? TEMP_BYTES_ALONE : TEMP_BYTES_WITH_FILE),
        recorder: this.#recorder,
        ...(tempFile === undefined ? {} : { file: tempFile }),
      }),
    });
  }

  takeErrors(): VfsErrors {
    return this.#failures.take();
  }

  /** The database that was opened last under this name and is open still. */
  database(name: string): DatabaseFile | undefined {
    return this.#files.named(name);
  }

  /** The open database whose sqlite3_file is there. */
  databaseAt(pFile: number): DatabaseFile | undefined {
    return this.#files.database(pFile);
  }

  /** Whether the next transaction on one of the open databases will see content of another history than the last one did. */
  viewsReplaced(): boolean {
    return this.#files.replaced;
  }

  /** Every method as SQLite calls it first. */
  readonly fast: Readonly<Record<MethodName, Method>> = {
    read: (pFile, pBuffer, n, offset) => {
      try {
        const file = this.#files.get(pFile!);
        const result = file.read(this.#heap.window(pBuffer!, n!), offset!);
        return result === MISS ? this.#miss() : result;
      } catch (error) {
        return this.#failures.note(error, code.IOERR_READ);
      }
    },
    write: (pFile, pBuffer, n, offset) => {
      try {
        const result = this.#files.get(pFile!).write(this.#heap.window(pBuffer!, n!), offset!);
        return result === MISS ? this.#miss() : result;
      } catch (error) {
        return this.#failures.note(error, code.IOERR_WRITE);
      }
    },
    truncate: (pFile, size) =>
      this.#failures.guard(code.IOERR_TRUNCATE, () => {
        const result = this.#files.get(pFile!).truncate(size!);
        return result === MISS ? this.#miss() : result;
      }),
    lock: (pFile, level) => {
      try {
        return this.#files.get(pFile!).lock(level!);
      } catch (error) {
        return this.#failures.note(error, code.IOERR_LOCK);
      }
    },
    fileControl: (pFile, operation, pArgument) =>
      this.#failures.guard(code.IOERR, () => this.#fileControl(pFile!, operation!, pArgument!)),
    open: (_pVfs, pName, pFile, flags, pOutFlags) =>
      this.#failures.guard(code.CANTOPEN, () => this.#open(pName!, pFile!, flags!, pOutFlags!)),
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
      this.#failures.later(code.IOERR_LOCK, async () => {
        const file = this.#databaseFile(pFile!);
        return file.lockSoon(level!, file.busyTimeoutMs);
      }),
    fileControl: (pFile, _operation, pArgument) =>
      this.#failures.later(code.IOERR, async () => {
        const { name, value } = readPragma(this.#sqlite3.wasm, pArgument!);
        const answer = this.#options.pragmas?.(this.#databaseFile(pFile!), name, value);
        return writeAnswer(
          this.#sqlite3.wasm,
          pArgument!,
          typeof answer === "function" ? await answer() : answer,
        );
      }),
    open: (_pVfs, pName, pFile, flags, pOutFlags) =>
      this.#failures.later(code.CANTOPEN, async () => {
        const name = this.#sqlite3.wasm.cstrToJs(pName!) ?? "";
        const found = this.#options.resolve(name);
        const source = typeof found === "function" ? await found() : found;
        return this.#files.openDatabase(name, source, {
          pFile: pFile!,
          flags: flags!,
          pOutFlags: pOutFlags!,
        });
      }),
    sleep: (_pVfs, micros) =>
      this.#failures.later(0, async () => {
        await systemRuntime.sleep(micros! / 1000);
        return micros!;
      }),
    progress: () =>
      this.#failures.later(1, async () => {
        await nextTask();
        this.#yieldedAt = systemRuntime.monotonic();
        return this.interrupted() ? 1 : 0;
      }),
  };

  /** The methods of sqlite3_io_methods that are no thunks. */
  ioTable() {
    return {
      xClose: (pFile: number) => this.#failures.guard(code.IOERR_CLOSE, () => this.#files.close(pFile)),
      xSync: (_pFile: number, _flags: number) => code.OK,
      xFileSize: (pFile: number, pSize: number) => {
        try {
          this.#heap.setInt64(pSize, this.#files.get(pFile).size());
          return code.OK;
        } catch (error) {
          return this.#failures.note(error, code.IOERR_FSTAT);
        }
      },
      xUnlock: (pFile: number, level: number) => {
        try {
          return this.#files.get(pFile).unlock(level);
        } catch (error) {
          return this.#failures.note(error, code.IOERR_UNLOCK);
        }
      },
      xCheckReservedLock: (_pFile: number, pResult: number) =>
        this.#failures.guard(code.IOERR_CHECKRESERVEDLOCK, () => {
          this.#heap.setInt32(pResult, 0);
          return code.OK;
        }),
      xSectorSize: (_pFile: number) => SECTOR_BYTES,
    };
  }

  vfsTable() {
    return {
      xDelete: (_pVfs: number, pName: number, _sync: number) =>
        this.#failures.guard(code.IOERR_WRITE, () => this.#delete(pName)),
      xFullPathname: (_pVfs: number, pName: number, room: number, pOut: number) =>
        this.#failures.guard(code.CANTOPEN, () => this.#copyName(pName, room, pOut)),
      xGetLastError: (_pVfs: number, _room: number, _pOut: number) => code.OK,
    };
  }

  #open(pName: number, pFile: number, flags: number, pOutFlags: number): number {
    const name = pName === 0 ? "" : (this.#sqlite3.wasm.cstrToJs(pName) ?? "");
    if ((flags & code.OPEN_MAIN_DB) === 0 || pName === 0) {
      if ((flags & code.OPEN_SUPER_JOURNAL) !== 0) this.#superJournals.add(name);
      return this.#files.openTemp({ pFile, flags, pOutFlags });
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
    return this.#files.openDatabase(name, source, { pFile, flags, pOutFlags });
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
        const file = this.#files.get(pFile);
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
    const file = this.#files.get(pFile);
    if (!(file instanceof DatabaseFile)) return code.NOTFOUND;
    const { name, value } = readPragma(this.#sqlite3.wasm, pArgument);
    const standard = this.standardPragmas ? answerStandardPragma(file, name, value) : undefined;
    if (standard !== undefined)
      return standard.text === undefined
        ? code.OK
        : writeAnswer(this.#sqlite3.wasm, pArgument, standard.text);
    if (!name.startsWith("pagefold_")) return code.NOTFOUND;
    const answer = this.#options.pragmas?.(file, name, value);
    if (typeof answer !== "function") return writeAnswer(this.#sqlite3.wasm, pArgument, answer);
    if (this.suspendable) return MISS;
    throw new PagefoldError(
      "invalid",
      `PRAGMA ${name} waits for the object store, which SQLite cannot do here; call it through Database, or the store's own API`,
    );
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
      return this.#failures.later(
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
      return this.#failures.note(error, otherwise);
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
    const file = this.#files.database(pFile);
    if (file === undefined) throw new Error(`a temporary file waits for something (at ${pFile})`);
    return file;
  }
}

function cacheTooSmall(offset: number, length: number): PagefoldError {
  return new PagefoldError(
    "quota",
    `pages are evicted before SQLite can use them (${length} bytes at ${offset}); give the page cache more memory or disk`,
  );
}
