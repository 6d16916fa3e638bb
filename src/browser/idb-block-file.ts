/**
 * BlockFiles in memory with write-behind to IndexedDB, for where there is no OPFS handle. IndexedDB is asynchronous and block files are not, so a
 * file is loaded whole when it is opened, and `flush` only hands over: what it handed over is stored in one transaction, and `durable()` tells when.
 *
 * The database of a storage: "size/<file>" → bytes of the file; "chunk/<file>/<n>" → its n-th 256 KiB (64 pages of 4 KiB), the last one cut short; a
 * chunk that is absent reads as zeros.
 */
import { PagefoldError } from "../base/errors.ts";
import { systemRuntime } from "../base/runtime.ts";
import type { BlockFile, BlockFileSystem } from "../local/block-file.ts";
import { checkOffset } from "../local/memory-block-file.ts";
import { ChunkedBytes } from "./chunked-bytes.ts";
import { IdbDatabase } from "./idb-database.ts";
import { checkFileName } from "./names.ts";
import { WriteBehind } from "./write-behind.ts";

/** What is written and not flushed, pages of the cache say, is handed over so much later. */
const WRITE_DELAY_MS = 500;

export class IdbBlockFileSystem implements BlockFileSystem {
  readonly name: string;
  readonly #database: IdbDatabase;
  readonly #behind: WriteBehind;
  readonly #open = new Map<string, IdbBlockFile | undefined>();
  #waits = false;

  private constructor(database: IdbDatabase) {
    this.name = database.path;
    this.#database = database;
    this.#behind = new WriteBehind(database);
  }

  /** @param name of the storage. @throws `forbidden` or `unavailable` where there is no IndexedDB, `quota` */
  static async open(name: string): Promise<IdbBlockFileSystem> {
    return new IdbBlockFileSystem(await IdbDatabase.open(name));
  }

  async open(name: string): Promise<BlockFile> {
    const path = `${this.name}/${checkFileName(name)}`;
    if (this.#open.has(name)) {
      throw new PagefoldError("busy", `${path} is already open; close the other handle first`, {
        details: { path },
      });
    }
    this.#open.set(name, undefined);
    try {
      const bytes = await this.#load(name, path);
      const onClose = () => this.#open.delete(name);
      const file = new IdbBlockFile(path, bytes, this.#behind, () => this.#writeSoon(), onClose);
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

  #writeSoon(): void {
    if (this.#waits) return;
    this.#waits = true;
    void systemRuntime.sleep(WRITE_DELAY_MS).then(() => {
      this.#waits = false;
      for (const file of this.#open.values()) file?.handOver();
    });
  }
}

class IdbBlockFile implements BlockFile {
  readonly name: string;
  readonly durability = "deferred";
  readonly #bytes: ChunkedBytes;
  readonly #behind: WriteBehind;
  readonly #onWrite: () => void;
  readonly #onClose: () => void;
  #closing: Promise<void> | undefined;

  constructor(
    name: string,
    bytes: ChunkedBytes,
    behind: WriteBehind,
    onWrite: () => void,
    onClose: () => void,
  ) {
    this.name = name;
    this.#bytes = bytes;
    this.#behind = behind;
    this.#onWrite = onWrite;
    this.#onClose = onClose;
  }

  size(): number {
    this.#check();
    return this.#bytes.size;
  }

  readAt(offset: number, into: Uint8Array): number {
    this.#check();
    checkOffset(this.name, offset);
    return this.#bytes.read(offset, into);
  }

  writeAt(offset: number, bytes: Uint8Array): void {
    this.#checkWritable();
    checkOffset(this.name, offset);
    if (bytes.length === 0) return;
    const { full } = this.#behind;
    // What is queued has no room yet: more would only be lost with it.
    if (full !== undefined && this.#bytes.grows(offset, bytes.length)) throw full;
    this.#bytes.write(offset, bytes);
    this.#onWrite();
  }

  truncate(size: number): void {
    this.#checkWritable();
    checkOffset(this.name, size);
    this.#bytes.truncate(size);
    this.#onWrite();
  }

  flush(): void {
    this.#checkWritable();
    this.#behind.flushed(this.#bytes.takeChanges(), (key) => this.#bytes.owns(key));
  }

  async durable(): Promise<void> {
    this.#checkWritable();
    await this.#behind.durable();
  }

  /** Resolves when everything that was written is stored. What was not flushed is given up where there is no room for it. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  /** Hands over what was written and not flushed. */
  handOver(): void {
    if (this.#closing === undefined) this.#behind.written(this.#bytes.takeChanges());
  }

  async #close(): Promise<void> {
    try {
      if (this.#behind.lost !== undefined) return;
      this.#behind.written(this.#bytes.takeChanges());
      await this.#behind.drained();
    } finally {
      this.#behind.forget((key) => this.#bytes.owns(key));
      this.#onClose();
    }
  }

  #check(): void {
    if (this.#closing !== undefined)
      throw new PagefoldError("closed", `${this.name} was closed; open it again`);
  }

  #checkWritable(): void {
    this.#check();
    if (this.#behind.lost !== undefined) throw this.#behind.lost;
  }
}
