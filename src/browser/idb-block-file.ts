/**
 * BlockFiles in memory with write-behind to IndexedDB, for where there is no OPFS handle. IndexedDB is asynchronous and block files are not, so a
 * file is loaded whole when it is opened, and `flush` only hands over: what it handed over is stored in one transaction, and `durable()` tells when.
 * What was never flushed is stored when another file is flushed, or at the close; of expendable files, a little after it was written.
 *
 * The database of a storage: "size/<file>" → bytes of the file; "chunk/<file>/<n>" → its n-th 256 KiB (64 pages of 4 KiB), the last one cut short; a
 * chunk that is absent reads as zeros.
 */
import { PagefoldError } from "../base/errors.ts";
import { systemRuntime } from "../base/runtime.ts";
import type { BlockFile, BlockFileSystem, OpenFileOptions } from "../local/block-file.ts";
import { checkOffset } from "../local/memory-block-file.ts";
import { ChunkedBytes } from "./chunked-bytes.ts";
import { IdbDatabase } from "./idb-database.ts";
import { checkFileName } from "./names.ts";
import { WriteBehind, type WriteBehindTarget } from "./write-behind.ts";

/** What is expendable, pages of the cache say, is handed over so long after it was written. */
const WRITE_DELAY_MS = 500;

/** What the files need of their database; see IdbDatabase. */
export interface BlockDatabase extends WriteBehindTarget {
  readonly path: string;
  load(prefix: string): Promise<[string, unknown][]>;
  keys(prefix: string): Promise<string[]>;
  close(): Promise<void>;
}

export class IdbBlockFileSystem implements BlockFileSystem {
  readonly name: string;
  readonly #database: BlockDatabase;
  readonly #behind: WriteBehind;
  readonly #open = new Map<string, IdbBlockFile | undefined>();
  #waits = false;

  constructor(database: BlockDatabase) {
    this.name = database.path;
    this.#database = database;
    this.#behind = new WriteBehind(database);
  }

  /** @param name of the storage. @throws `forbidden` or `unavailable` where there is no IndexedDB, `quota` */
  static async open(name: string): Promise<IdbBlockFileSystem> {
    return new IdbBlockFileSystem(await IdbDatabase.open(name));
  }

  async open(name: string, options: OpenFileOptions = {}): Promise<BlockFile> {
    const path = `${this.name}/${checkFileName(name)}`;
    if (this.#open.has(name)) {
      throw new PagefoldError("busy", `${path} is already open; close the other handle first`, {
        details: { path },
      });
    }
    this.#open.set(name, undefined);
    try {
      const file = new IdbBlockFile({
        name: path,
        bytes: await this.#load(name, path),
        behind: this.#behind,
        expendable: options.expendable === true,
        onFlush: () => this.#handOver(),
        onWrite: () => this.#handOverSoon(),
        onClose: () => this.#open.delete(name),
      });
      this.#open.set(name, file);
      return file;
    } catch (e) {
      this.#open.delete(name);
      throw e;
    }
  }

  async exists(name: string): Promise<boolean> {
    checkFileName(name);
    if (this.#open.has(name)) return true;
    return (await this.#database.keys(`size/${name}`)).includes(`size/${name}`);
  }

  async remove(name: string): Promise<void> {
    const path = `${this.name}/${checkFileName(name)}`;
    if (this.#open.has(name)) {
      throw new PagefoldError("busy", `${path} is open; close it before removing it`, { details: { path } });
    }
    const keys = await this.#database.keys(`chunk/${name}/`);
    await this.#database.apply(new Map([`size/${name}`, ...keys].map((key) => [key, undefined])), "strict");
  }

  async list(): Promise<string[]> {
    const stored = (await this.#database.keys("size/")).map((key) => key.slice("size/".length));
    return [...new Set([...stored, ...this.#open.keys()])].sort();
  }

  /** After its files were closed. Idempotent. */
  async close(): Promise<void> {
    await this.#database.close();
  }

  async #load(name: string, path: string): Promise<ChunkedBytes> {
    const sizes = await this.#database.load(`size/${name}`);
    const size = sizes.find(([key]) => key === `size/${name}`)?.[1];
    const bytes = new ChunkedBytes(name, typeof size === "number" ? size : undefined);
    for (const [key, value] of await this.#database.load(`chunk/${name}/`)) {
      const index = Number(key.slice(key.lastIndexOf("/") + 1));
      if (value instanceof Uint8Array && bytes.restore(index, value)) continue;
      throw new PagefoldError(
        "corrupt",
        `${path}: the value ${key} in IndexedDB is none of Pagefold's; delete the storage and clone again (commits that were not pushed are lost with it)`,
        { details: { path, key } },
      );
    }
    return bytes;
  }

  /** All files as they are now, in one transaction: a file that was cut short after another was flushed never is so without that flush. */
  #handOver(): void {
    const changes = new Map<string, unknown>();
    for (const file of this.#open.values()) {
      if (file?.expendable === false) for (const [key, value] of file.takeChanges()) changes.set(key, value);
    }
    this.#behind.flushed(changes);
  }

  #handOverSoon(): void {
    if (this.#waits) return;
    this.#waits = true;
    void systemRuntime.sleep(WRITE_DELAY_MS).then(() => {
      this.#waits = false;
      for (const file of this.#open.values())
        if (file?.expendable === true) this.#behind.expendable(file.takeChanges());
    });
  }
}

interface IdbFileParts {
  readonly name: string;
  readonly bytes: ChunkedBytes;
  readonly behind: WriteBehind;
  readonly expendable: boolean;
  readonly onFlush: () => void;
  /** An expendable file has changed. */
  readonly onWrite: () => void;
  readonly onClose: () => void;
}

class IdbBlockFile implements BlockFile {
  readonly name: string;
  readonly durability = "deferred";
  readonly expendable: boolean;
  readonly #parts: IdbFileParts;
  #closing: Promise<void> | undefined;

  constructor(parts: IdbFileParts) {
    this.name = parts.name;
    this.expendable = parts.expendable;
    this.#parts = parts;
  }

  size(): number {
    this.#check();
    return this.#parts.bytes.size;
  }

  readAt(offset: number, into: Uint8Array): number {
    this.#check();
    checkOffset(this.name, offset);
    return this.#parts.bytes.read(offset, into);
  }

  writeAt(offset: number, bytes: Uint8Array): void {
    this.#checkWritable();
    checkOffset(this.name, offset);
    if (bytes.length === 0) return;
    const { behind, bytes: file } = this.#parts;
    const full = this.expendable ? behind.tight : behind.full;
    // What is queued has no room yet: more would only be lost with it.
    if (full !== undefined && file.grows(offset, bytes.length)) throw full;
    file.write(offset, bytes);
    if (this.expendable) this.#parts.onWrite();
  }

  truncate(size: number): void {
    this.#checkWritable();
    checkOffset(this.name, size);
    const { behind, bytes } = this.#parts;
    bytes.truncate(size);
    // At once, where that is the room that something waits for.
    if (this.expendable && behind.tight !== undefined) behind.expendable(bytes.takeChanges());
    else if (this.expendable) this.#parts.onWrite();
  }

  flush(): void {
    this.#checkWritable();
    if (this.expendable) this.#parts.behind.expendable(this.#parts.bytes.takeChanges());
    else this.#parts.onFlush();
  }

  async durable(): Promise<void> {
    this.#checkWritable();
    await this.#parts.behind.durable();
  }

  /** What is to be stored. */
  takeChanges(): Map<string, unknown> {
    return this.#parts.bytes.takeChanges();
  }

  /** Resolves when everything that was written is stored; of an expendable file, as much as there is room for. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    const { behind, bytes, onClose, onFlush } = this.#parts;
    try {
      if (behind.lost !== undefined) return;
      if (this.expendable) {
        behind.expendable(bytes.takeChanges());
        await behind.settled();
        behind.forget((key) => bytes.owns(key));
      } else {
        onFlush();
        await behind.durable();
      }
    } finally {
      onClose();
    }
  }

  #check(): void {
    if (this.#closing !== undefined)
      throw new PagefoldError("closed", `${this.name} was closed; open it again`);
  }

  #checkWritable(): void {
    this.#check();
    if (this.#parts.behind.lost !== undefined) throw this.#parts.behind.lost;
  }
}
