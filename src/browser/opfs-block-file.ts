/**
 * BlockFiles in the origin private file system, over synchronous access handles, which exist in dedicated workers only. A handle excludes every
 * other one on its file, in all tabs, so the size of a file is kept here instead of asked for at each call.
 */
import { PagefoldError } from "../base/errors.ts";
import { systemRuntime } from "../base/runtime.ts";
import type { BlockFile, BlockFileSystem } from "../local/block-file.ts";
import { checkOffset } from "../local/memory-block-file.ts";
import { domError, domNameOf } from "./dom-errors.ts";
import { checkFileName } from "./names.ts";

/** What this needs of `FileSystemSyncAccessHandle`, which the types of pages do not know. */
export interface SyncAccessHandle {
  read(into: Uint8Array, options: { readonly at: number }): number;
  write(bytes: Uint8Array, options: { readonly at: number }): number;
  truncate(size: number): void;
  getSize(): number;
  flush(): void;
  close(): void;
}

type SyncFileHandle = FileSystemFileHandle & {
  /** Absent outside of dedicated workers. */
  createSyncAccessHandle?(): Promise<SyncAccessHandle>;
};

export interface OpfsOptions {
  /** For messages: "opfs:/pagefold/notes". */
  readonly name: string;
  /**
   * How long a handle that somebody else has is waited for, milliseconds: a worker that has just ended, with its tab say, keeps its handles for a
   * moment. Default 0.
   */
  readonly patienceMs?: number;
}

const POLL_MS = 20;
const REOPEN_PATIENCE_MS = 3000;

/** The files of one OPFS directory. */
export class OpfsBlockFileSystem implements BlockFileSystem {
  readonly name: string;
  readonly #directory: FileSystemDirectoryHandle;
  readonly #patienceMs: number;
  readonly #open = new Set<string>();

  constructor(directory: FileSystemDirectoryHandle, options: OpfsOptions) {
    this.name = options.name;
    this.#directory = directory;
    this.#patienceMs = options.patienceMs ?? 0;
  }

  async open(name: string): Promise<BlockFile> {
    const path = this.#path(name);
    if (this.#open.has(name)) {
      throw new PagefoldError("busy", `${path} is already open; close the other handle first`, {
        details: { path },
      });
    }
    this.#open.add(name);
    try {
      return new OpfsBlockFile(path, await this.#handle(name, path, this.#patienceMs), {
        // The browser may take a moment to notice that the handle before was closed.
        reopen: () => this.#handle(name, path, REOPEN_PATIENCE_MS),
        exists: () => this.exists(name),
        onClose: () => this.#open.delete(name),
      });
    } catch (e) {
      this.#open.delete(name);
      throw domError("open", path, e);
    }
  }

  async exists(name: string): Promise<boolean> {
    const path = this.#path(name);
    try {
      await this.#directory.getFileHandle(name);
      return true;
    } catch (e) {
      if (domNameOf(e) === "NotFoundError") return false;
      throw domError("look for", path, e);
    }
  }

  async remove(name: string): Promise<void> {
    const path = this.#path(name);
    if (this.#open.has(name)) {
      throw new PagefoldError("busy", `${path} is open; close it before removing it`, { details: { path } });
    }
    try {
      await this.#directory.removeEntry(name);
    } catch (e) {
      if (domNameOf(e) !== "NotFoundError") throw domError("remove", path, e);
    }
  }

  async list(): Promise<string[]> {
    try {
      const names: string[] = [];
      for await (const [name, { kind }] of this.#directory.entries()) if (kind === "file") names.push(name);
      return names.sort();
    } catch (e) {
      throw domError("list", this.name, e);
    }
  }

  async #handle(name: string, path: string, patienceMs: number): Promise<SyncAccessHandle> {
    const file = (await this.#directory.getFileHandle(name, { create: true })) as SyncFileHandle;
    if (file.createSyncAccessHandle === undefined) throw noSyncHandles(path);
    const start = systemRuntime.monotonic();
    for (;;) {
      try {
        return await file.createSyncAccessHandle();
      } catch (e) {
        const waited = systemRuntime.monotonic() - start;
        if (domNameOf(e) !== "NoModificationAllowedError" || waited >= patienceMs) throw e;
      }
      await systemRuntime.sleep(POLL_MS);
    }
  }

  #path(name: string): string {
    return `${this.name}/${checkFileName(name)}`;
  }
}

interface OpfsFileParts {
  readonly reopen: () => Promise<SyncAccessHandle>;
  readonly exists: () => Promise<boolean>;
  readonly onClose: () => void;
}

class OpfsBlockFile implements BlockFile {
  readonly name: string;
  readonly durability = "flush";
  readonly #parts: OpfsFileParts;
  /** Undefined while it is opened again. */
  #handle: SyncAccessHandle | undefined;
  #reopening: Promise<void> = Promise.resolve();
  #size: number;
  #closed = false;
  #poison: unknown;

  constructor(name: string, handle: SyncAccessHandle, parts: OpfsFileParts) {
    this.name = name;
    this.#handle = handle;
    this.#parts = parts;
    this.#size = handle.getSize();
  }

  size(): number {
    this.#check();
    return this.#size;
  }

  readAt(offset: number, into: Uint8Array): number {
    this.#check();
    checkOffset(this.name, offset);
    const handle = this.#handle;
    const available = Math.max(0, Math.min(into.length, this.#size - offset));
    if (available === 0 || handle === undefined) return 0;
    return this.#try("read", () => handle.read(into.subarray(0, available), { at: offset }));
  }

  writeAt(offset: number, bytes: Uint8Array): void {
    this.#checkWritable();
    checkOffset(this.name, offset);
    if (bytes.length === 0) return;
    const handle = this.#writable("write to");
    let written = 0;
    try {
      written = handle.write(bytes, { at: offset });
    } catch (e) {
      this.#size = handle.getSize();
      throw domError("write to", this.name, e);
    }
    if (written !== bytes.length) {
      // At its quota a browser may write less, or tell a wrong count, and throw nothing.
      this.#size = handle.getSize();
      throw new PagefoldError(
        "quota",
        `could not write to ${this.name}: the browser took ${written} of ${bytes.length} bytes, since this site has no more space; remove other data of the site, free disk space, or ask for persistent storage, and retry`,
        { details: { path: this.name, written, length: bytes.length } },
      );
    }
    this.#size = Math.max(this.#size, offset + bytes.length);
  }

  truncate(size: number): void {
    this.#checkWritable();
    checkOffset(this.name, size);
    const handle = this.#writable("truncate");
    this.#try("truncate", () => handle.truncate(size));
    this.#size = size;
  }

  giveBack(): Promise<void> {
    const handle = this.#writable("give back room of");
    this.#handle = undefined;
    this.#try("close", () => handle.close());
    this.#reopening = this.#open();
    return this.#reopening;
  }

  flush(): void {
    this.#checkWritable();
    try {
      // What a handle held when it was closed has been handed to the system.
      this.#handle?.flush();
    } catch (e) {
      this.#poison = e;
      throw domError("flush", this.name, e);
    }
  }

  async durable(): Promise<void> {
    this.#checkWritable();
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    try {
      // A file that could not be opened again has no handle to close.
      await this.#reopening.catch(() => {});
      // Chromium never returns from closing a handle whose file it has evicted. The handle ends with its worker.
      if (!(await this.#parts.exists())) throw evictedError(this.name);
      this.#try("close", () => this.#handle?.close());
    } finally {
      this.#parts.onClose();
    }
  }

  async #open(): Promise<void> {
    try {
      this.#handle = await this.#parts.reopen();
    } catch (e) {
      throw domError("open", this.name, e);
    }
  }

  #writable(verb: string): SyncAccessHandle {
    if (this.#handle !== undefined) return this.#handle;
    throw new PagefoldError(
      "quota",
      `could not ${verb} ${this.name}: it gives room back, and is being opened again; retry in a moment`,
      { details: { path: this.name } },
    );
  }

  #try<T>(verb: string, run: () => T): T {
    try {
      return run();
    } catch (e) {
      throw domError(verb, this.name, e);
    }
  }

  #check(): void {
    if (this.#closed) throw new PagefoldError("closed", `${this.name} was closed; open it again`);
  }

  #checkWritable(): void {
    this.#check();
    if (this.#poison !== undefined) {
      throw new PagefoldError(
        "unavailable",
        `an earlier flush of ${this.name} failed, so what it holds is unknown; close the database and open it again to recover`,
        { cause: this.#poison, details: { path: this.name }, retryable: false },
      );
    }
  }
}

function evictedError(path: string): PagefoldError {
  return new PagefoldError(
    "unavailable",
    `the browser removed ${path}, or the site's data was cleared, while it was open; commits that were not pushed until now are lost. Open the database again`,
    { details: { path }, retryable: false },
  );
}

/** A page's own thread, a shared worker or a service worker; or an older browser. */
export function noSyncHandles(path: string): PagefoldError {
  return new PagefoldError(
    "unavailable",
    `could not open ${path}: this thread has no synchronous file handles; use a dedicated worker of a browser that has them`,
    { details: { path }, retryable: false },
  );
}
