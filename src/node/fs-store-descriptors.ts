/**
 * Open files of the file-system store, most recently used ones kept open: a fault is one ranged read, and opening and closing
 * the file would cost more than reading it.
 *
 * A kept descriptor is never trusted: every read looks the path up again (at the same time as it reads, on another thread of
 * the pool) and starts over where another file is there by now. So an object that was replaced or deleted, by whomever, is
 * seen as such at once. The inode of an open file cannot be reused, which makes the comparison exact.
 */
import * as fs from "node:fs";
import { errno } from "./fs-store-errors.ts";

interface OpenFile {
  readonly fd: number;
  readonly dev: number;
  readonly ino: number;
  readonly size: number;
  readers: number;
  /** "dropped": no longer kept, and closed when its last reader is done. */
  state: "kept" | "dropped" | "closed";
}

/** Longest single read, bytes: the system takes at most 2^31 - 1. */
const READ_MAX = 1_073_741_824;

export class Descriptors {
  readonly #limit: number;
  readonly #files = new Map<string, OpenFile>();
  #closed = false;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /**
   * The bytes of a file, or of a range of it clamped to its end; `undefined` where there is no file. `length` undefined: to the
   * end. Throws the system's errors.
   */
  async read(path: string, offset: number, length: number | undefined): Promise<Uint8Array | undefined> {
    const kept = this.#files.get(path);
    if (kept !== undefined) {
      const bytes = await this.#readKept(path, kept, offset, length);
      if (bytes !== "stale") return bytes;
    }
    const file = await openFile(path);
    if (file === undefined) return undefined;
    return this.#use(file, () => {
      this.#keep(path, file);
      return readRange(file, offset, length);
    });
  }

  /** Forgets the descriptor of a path that was replaced or removed: it would keep the old bytes' space in use. */
  forget(path: string): void {
    const file = this.#files.get(path);
    if (file !== undefined) this.#drop(path, file);
  }

  /** Reads under way end as if it were open; nothing is kept afterwards. */
  close(): void {
    this.#closed = true;
    for (const [path, file] of [...this.#files]) this.#drop(path, file);
  }

  async #readKept(
    path: string,
    file: OpenFile,
    offset: number,
    length: number | undefined,
  ): Promise<Uint8Array | "stale"> {
    this.#files.delete(path);
    this.#files.set(path, file);
    return this.#use(file, async () => {
      try {
        const [bytes, current] = await Promise.all([readRange(file, offset, length), isCurrent(path, file)]);
        if (current) return bytes;
      } catch {
        // A file handle that went stale (NFS), or a real trouble, which the new attempt will meet again.
      }
      this.#drop(path, file);
      return "stale" as const;
    });
  }

  async #use<T>(file: OpenFile, work: () => Promise<T>): Promise<T> {
    file.readers++;
    try {
      return await work();
    } finally {
      file.readers--;
      closeUnused(file);
    }
  }

  /** Keeps the file open after its present reader, in place of the one used longest ago. */
  #keep(path: string, file: OpenFile): void {
    this.forget(path);
    this.#files.set(path, file);
    for (const [oldest, oldestFile] of this.#files) {
      if (!this.#closed && this.#files.size <= this.#limit) break;
      this.#drop(oldest, oldestFile);
    }
  }

  #drop(path: string, file: OpenFile): void {
    if (this.#files.get(path) === file) this.#files.delete(path);
    if (file.state === "kept") file.state = "dropped";
    closeUnused(file);
  }
}

function closeUnused(file: OpenFile): void {
  if (file.state !== "dropped" || file.readers > 0) return;
  file.state = "closed";
  fs.close(file.fd, () => {});
}

function openFile(path: string): Promise<OpenFile | undefined> {
  return new Promise((resolve, reject) => {
    fs.open(path, "r", (openError, fd) => {
      if (openError !== null) return isAbsent(openError) ? resolve(undefined) : reject(openError);
      fs.fstat(fd, (error, stat) => {
        if (error === null && stat.isFile()) {
          const { dev, ino, size } = stat;
          return resolve({ fd, dev, ino, size, readers: 0, state: "kept" });
        }
        fs.close(fd, () => (error === null ? resolve(undefined) : reject(error)));
      });
    });
  });
}

function isCurrent(path: string, file: OpenFile): Promise<boolean> {
  return new Promise((resolve) => {
    fs.stat(path, (error, stat) => {
      resolve(error === null && stat.ino === file.ino && stat.dev === file.dev && stat.size === file.size);
    });
  });
}

/** No object has this path: nothing is there, or what is there is a directory, or lies where one would be needed. */
export function isAbsent(error: unknown): boolean {
  const code = errno(error);
  return code === "ENOENT" || code === "ENOTDIR" || code === "EISDIR";
}

async function readRange(file: OpenFile, offset: number, length: number | undefined): Promise<Uint8Array> {
  const wanted = Math.max(0, Math.min(length ?? file.size, file.size - offset));
  // Not from Node's shared pool: the caller owns the whole buffer and may transfer it. Not zeroed: it is overwritten or cut.
  const bytes = new Uint8Array(Buffer.allocUnsafeSlow(wanted).buffer);
  let done = 0;
  while (done < wanted) {
    const count = await readOnce(file.fd, bytes, done, Math.min(wanted - done, READ_MAX), offset + done);
    if (count === 0) return bytes.slice(0, done);
    done += count;
  }
  return bytes;
}

function readOnce(
  fd: number,
  into: Uint8Array,
  at: number,
  length: number,
  position: number,
): Promise<number> {
  return new Promise((resolve, reject) => {
    fs.read(fd, into, at, length, position, (error, count) =>
      error === null ? resolve(count) : reject(error),
    );
  });
}
