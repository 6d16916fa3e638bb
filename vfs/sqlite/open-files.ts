/** The files that SQLite has open through a VFS, by the addresses of their sqlite3_file structures, and what each kind of file is made with. */
import { PagefoldError } from "../../src/base/errors.ts";
import * as code from "./codes.ts";
import type { CommitGroup } from "./commit-group.ts";
import { DatabaseFile } from "./database-file.ts";
import type { Heap } from "./heap.ts";
import { TempFile } from "./temp-file.ts";
import type { TempStorage } from "./temp-storage.ts";
import type { VfsFile } from "./vfs-file.ts";
import type { ViewSource } from "./view-source.ts";

export interface OpenFilesOptions {
  readonly heap: Heap;
  /** Address of the sqlite3_io_methods that opened files point to. */
  readonly ioMethods: number;
  readonly temp: TempStorage;
  readonly group: CommitGroup;
  /** Whether SQLite can be suspended now. */
  readonly suspendable: () => boolean;
}

/** Where and how SQLite wants a file. */
export interface OpenRequest {
  readonly pFile: number;
  readonly flags: number;
  /** Address for the flags that were granted, or 0. */
  readonly pOutFlags: number;
}

const NO_FILE: VfsFile = {
  read: () => code.IOERR,
  write: () => code.IOERR,
  truncate: () => code.IOERR,
  size: () => 0,
  lock: () => code.IOERR,
  unlock: () => code.OK,
  close: () => {},
};

export class OpenFiles {
  readonly #options: OpenFilesOptions;
  readonly #files = new Map<number, VfsFile>();
  /** Databases by the names that SQLite opened them with, the last of each. */
  readonly #databases = new Map<string, DatabaseFile>();
  /** The file used last, which is nearly always the one used next. */
  #lastPointer = -1;
  #lastFile: VfsFile = NO_FILE;

  constructor(options: OpenFilesOptions) {
    this.#options = options;
  }

  get(pFile: number): VfsFile {
    if (pFile === this.#lastPointer) return this.#lastFile;
    const file = this.#files.get(pFile);
    if (file === undefined) throw new Error(`SQLite uses a file that is not open (at ${pFile})`);
    this.#lastPointer = pFile;
    this.#lastFile = file;
    return file;
  }

  /** The database at an address; undefined where another kind of file is open there, or none. */
  database(pFile: number): DatabaseFile | undefined {
    const file = this.#files.get(pFile);
    return file instanceof DatabaseFile ? file : undefined;
  }

  /** The database that was opened last under this name and is open still. */
  named(name: string): DatabaseFile | undefined {
    return this.#databases.get(name);
  }

  /** Whether the next transaction on one of the databases will see content of another history than the last one did. */
  get replaced(): boolean {
    // Several connections may have the same database open, each with a cache and a schema of its own.
    for (const file of this.#files.values()) if (file instanceof DatabaseFile && file.replaced) return true;
    return false;
  }

  openTemp(request: OpenRequest): number {
    return this.#opened(new TempFile(this.#options.temp), request);
  }

  /** @throws `invalid` where the name stands for no volume */
  openDatabase(name: string, source: ViewSource | undefined, request: OpenRequest): number {
    if (source === undefined) {
      throw new PagefoldError(
        "invalid",
        `no volume is open as ${JSON.stringify(name)}, and files cannot be made here`,
        { details: { path: name } },
      );
    }
    const { group, suspendable } = this.#options;
    const readOnly = (request.flags & code.OPEN_READONLY) !== 0;
    const file = new DatabaseFile({ source, group, readOnly, suspendable });
    this.#databases.delete(name);
    this.#databases.set(name, file);
    return this.#opened(file, request);
  }

  close(pFile: number): number {
    const file = this.get(pFile);
    this.#files.delete(pFile);
    this.#lastPointer = -1;
    this.#lastFile = NO_FILE;
    for (const [name, database] of this.#databases) if (database === file) this.#databases.delete(name);
    file.close();
    return code.OK;
  }

  #opened(file: VfsFile, { pFile, flags, pOutFlags }: OpenRequest): number {
    const { heap, ioMethods } = this.#options;
    this.#files.set(pFile, file);
    this.#lastPointer = pFile;
    this.#lastFile = file;
    // sqlite3_file has one member: the pointer to its methods.
    heap.setInt32(pFile, ioMethods);
    if (pOutFlags !== 0) {
      const isReadOnly = file instanceof DatabaseFile && file.readOnly;
      const readOnlyFlags = (flags & ~(code.OPEN_READWRITE | code.OPEN_CREATE)) | code.OPEN_READONLY;
      heap.setInt32(pOutFlags, isReadOnly ? readOnlyFlags : flags);
    }
    return code.OK;
  }
}
