/**
 * BlockFiles in a directory of the file system, over an open descriptor and `fs.*Sync`. A directory belongs to one process at a
 * time (see process-lock.ts), so the size of a file is kept in memory instead of asked for at each call.
 */
import * as fs from "node:fs";
import * as path from "node:path";
import { PagefoldError } from "../base/errors.ts";
import type { BlockFile, BlockFileSystem } from "../local/block-file.ts";
import { checkOffset } from "../local/memory-block-file.ts";

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$/;

/** A directory of BlockFiles. The directory is created (and made durable) by the first `open`. */
export class FsBlockFileSystem implements BlockFileSystem {
  readonly name: string;
  readonly #open = new Set<string>();

  constructor(directory: string) {
    this.name = path.resolve(directory);
  }

  async open(name: string): Promise<BlockFile> {
    const file = this.#path(name);
    if (this.#open.has(name)) {
      throw new PagefoldError("busy", `${file} is already open; close the other handle first`, {
        details: { path: file },
      });
    }
    const fd = attempt("open", file, () => {
      createDirectory(this.name);
      return this.#openOrCreate(file);
    });
    this.#open.add(name);
    return new FsBlockFile(file, fd, () => this.#open.delete(name));
  }

  async exists(name: string): Promise<boolean> {
    const file = this.#path(name);
    return attempt("look for", file, () => fs.statSync(file, { throwIfNoEntry: false }) !== undefined);
  }

  async remove(name: string): Promise<void> {
    const file = this.#path(name);
    if (this.#open.has(name)) {
      throw new PagefoldError("busy", `${file} is open; close it before removing it`, {
        details: { path: file },
      });
    }
    attempt("remove", file, () => {
      try {
        fs.unlinkSync(file);
      } catch (e) {
        if (errnoOf(e) === "ENOENT") return;
        throw e;
      }
      syncDirectory(this.name);
    });
  }

  async list(): Promise<string[]> {
    return attempt("list", this.name, () => {
      try {
        return fs
          .readdirSync(this.name, { withFileTypes: true })
          .filter((entry) => entry.isFile() && NAME.test(entry.name))
          .map((entry) => entry.name)
          .sort();
      } catch (e) {
        if (errnoOf(e) === "ENOENT") return [];
        throw e;
      }
    });
  }

  #openOrCreate(file: string): number {
    try {
      return fs.openSync(file, fs.constants.O_RDWR);
    } catch (e) {
      if (errnoOf(e) !== "ENOENT") throw e;
    }
    const fd = fs.openSync(file, fs.constants.O_RDWR | fs.constants.O_CREAT, 0o600);
    try {
      // A file whose directory entry was not synced may be gone after a power cut, flushed bytes and all.
      syncDirectory(this.name);
    } catch (e) {
      fs.closeSync(fd);
      throw e;
    }
    return fd;
  }

  #path(name: string): string {
    if (!NAME.test(name)) {
      throw new PagefoldError(
        "invalid",
        `${JSON.stringify(name)} is no block file name; use letters, digits, ".", "_" and "-"`,
      );
    }
    return path.join(this.name, name);
  }
}

class FsBlockFile implements BlockFile {
  readonly name: string;
  readonly durability = "flush";
  readonly #fd: number;
  readonly #onClose: () => void;
  #size: number;
  #closed = false;
  #poison: unknown;

  constructor(name: string, fd: number, onClose: () => void) {
    this.name = name;
    this.#fd = fd;
    this.#onClose = onClose;
    this.#size = fs.fstatSync(fd).size;
  }

  size(): number {
    this.#check();
    return this.#size;
  }

  readAt(offset: number, into: Uint8Array): number {
    this.#check();
    checkOffset(this.name, offset);
    let done = 0;
    try {
      while (done < into.length) {
        const n = fs.readSync(this.#fd, into, done, into.length - done, offset + done);
        if (n === 0) break;
        done += n;
      }
    } catch (e) {
      throw fsError("read", this.name, e);
    }
    return done;
  }

  writeAt(offset: number, bytes: Uint8Array): void {
    this.#checkWritable();
    checkOffset(this.name, offset);
    let done = 0;
    try {
      while (done < bytes.length) {
        const n = fs.writeSync(this.#fd, bytes, done, bytes.length - done, offset + done);
        // A kernel that writes nothing and reports no error would loop for ever.
        if (n === 0) throw Object.assign(new Error("write of 0 bytes"), { code: "ENOSPC" });
        done += n;
      }
    } catch (e) {
      this.#size = Math.max(this.#size, done === 0 ? 0 : offset + done);
      throw fsError("write to", this.name, e);
    }
    if (done > 0) this.#size = Math.max(this.#size, offset + done);
  }

  truncate(size: number): void {
    this.#checkWritable();
    checkOffset(this.name, size);
    try {
      fs.ftruncateSync(this.#fd, size);
    } catch (e) {
      throw fsError("truncate", this.name, e);
    }
    this.#size = size;
  }

  flush(): void {
    this.#checkWritable();
    try {
      fs.fdatasyncSync(this.#fd);
    } catch (e) {
      // Linux marks failed pages clean: a second fsync would succeed without having written them.
      this.#poison = e;
      throw fsError("flush", this.name, e);
    }
  }

  async durable(): Promise<void> {
    this.#checkWritable();
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#onClose();
    attempt("close", this.name, () => fs.closeSync(this.#fd));
  }

  #check(): void {
    if (this.#closed) throw new PagefoldError("closed", `${this.name} was closed; open it again`);
  }

  #checkWritable(): void {
    this.#check();
    if (this.#poison !== undefined) {
      throw new PagefoldError(
        "unavailable",
        `an earlier flush of ${this.name} failed, so what is on disk is unknown; close and reopen it to recover`,
        { cause: this.#poison, details: { path: this.name }, retryable: false },
      );
    }
  }
}

/** `mkdir -p`, each new level made durable in its parent. Node's own recursive mkdir never returns where a parent exists and refuses (/proc). */
export function createDirectory(directory: string): void {
  if (fs.statSync(directory, { throwIfNoEntry: false })?.isDirectory()) return;
  const parent = path.dirname(directory);
  try {
    fs.mkdirSync(directory, { mode: 0o700 });
  } catch (e) {
    if (errnoOf(e) !== "ENOENT" || parent === directory) throw e;
    createDirectory(parent);
    fs.mkdirSync(directory, { mode: 0o700 });
  }
  syncDirectory(parent);
}

/** Makes entries that were created, renamed or removed in `directory` durable. Does nothing on Windows, which has no such call. */
export function syncDirectory(directory: string): void {
  if (process.platform === "win32") return;
  const fd = fs.openSync(directory, "r");
  try {
    fs.fsyncSync(fd);
  } finally {
    fs.closeSync(fd);
  }
}

/** The errno name of a Node system error ("ENOENT"), or undefined. */
export function errnoOf(e: unknown): string | undefined {
  const code = e instanceof Error && "code" in e ? e.code : undefined;
  return typeof code === "string" ? code : undefined;
}

/** A system error as a PagefoldError: what was tried, on which path, and what to do next. */
export function fsError(verb: string, file: string, e: unknown): PagefoldError {
  if (e instanceof PagefoldError) return e;
  const errno = errnoOf(e) ?? "unknown error";
  const options = { cause: e, details: { path: file, errno } };
  switch (errno) {
    case "ENOSPC":
    case "EDQUOT":
      return new PagefoldError(
        "quota",
        `could not ${verb} ${file}: no space left (${errno}); free some and retry`,
        options,
      );
    case "EFBIG":
      return new PagefoldError(
        "quota",
        `could not ${verb} ${file}: larger than the file system allows (${errno})`,
        options,
      );
    case "EACCES":
    case "EPERM":
    case "EROFS":
      return new PagefoldError(
        "forbidden",
        `may not ${verb} ${file} (${errno}); check its owner and permissions`,
        options,
      );
    case "EEXIST":
    case "EISDIR":
    case "ENOTDIR":
    case "ENAMETOOLONG":
      return new PagefoldError("invalid", `could not ${verb} ${file} (${errno}); name another path`, options);
    default:
      return new PagefoldError(
        "unavailable",
        `could not ${verb} ${file} (${errno}); check the disk, then reopen`,
        options,
      );
  }
}

function attempt<T>(verb: string, file: string, run: () => T): T {
  try {
    return run();
  } catch (e) {
    throw fsError(verb, file, e);
  }
}
