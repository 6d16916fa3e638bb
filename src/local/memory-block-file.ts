/**
 * BlockFiles in memory: for engines without a local directory, for tests, and as the ground under write-behind stores. Bytes
 * lie in chunks that are allocated when first written, so that a file of gigabytes never copies itself to grow, and a hole
 * costs nothing.
 */
import { PagefoldError } from "../base/errors.ts";
import type { BlockFile, BlockFileSystem } from "./block-file.ts";
import { CHUNK_BYTES, type Chunks, eachPiece, readChunks } from "./chunks.ts";

export interface MemoryBlockFileSystemOptions {
  readonly name?: string;
  /** The sum of all file sizes may not pass this many bytes; a write that would is refused whole with `quota`. Default: none. */
  readonly capacity?: number;
}

/** The bytes of one file; outlives the handles that are opened on it. */
class MemoryFileData {
  size = 0;
  /** Bytes at and above `size` are always zero. */
  readonly #chunks: Chunks = [];

  read(offset: number, into: Uint8Array): number {
    return readChunks(this.#chunks, this.size, offset, into);
  }

  write(offset: number, bytes: Uint8Array): void {
    eachPiece(offset, bytes.length, ({ index, at, done, length }) => {
      let chunk = this.#chunks[index];
      if (chunk === undefined) {
        chunk = new Uint8Array(CHUNK_BYTES);
        this.#chunks[index] = chunk;
      }
      chunk.set(bytes.subarray(done, done + length), at);
    });
    if (bytes.length > 0) this.size = Math.max(this.size, offset + bytes.length);
  }

  clone(): MemoryFileData {
    const copy = new MemoryFileData();
    copy.size = this.size;
    for (const chunk of this.#chunks) copy.#chunks.push(chunk?.slice());
    return copy;
  }

  truncate(size: number): void {
    if (size < this.size) {
      const keep = Math.ceil(size / CHUNK_BYTES);
      if (this.#chunks.length > keep) this.#chunks.length = keep;
      // What lay above the new end must read as zeros when the file grows again.
      if (size % CHUNK_BYTES !== 0) this.#chunks[keep - 1]?.fill(0, size % CHUNK_BYTES);
    }
    this.size = size;
  }
}

export class MemoryBlockFileSystem implements BlockFileSystem {
  readonly name: string;
  readonly #capacity: number;
  readonly #files = new Map<string, MemoryFileData>();
  readonly #open = new Set<string>();
  #used = 0;

  constructor(options: MemoryBlockFileSystemOptions = {}) {
    this.name = options.name ?? "memory";
    this.#capacity = options.capacity ?? Number.POSITIVE_INFINITY;
  }

  /** The sum of all file sizes, in bytes. */
  get usedBytes(): number {
    return this.#used;
  }

  async open(name: string): Promise<BlockFile> {
    if (this.#open.has(name)) {
      throw new PagefoldError("busy", `${this.name}/${name} is already open; close the other handle first`, {
        details: { path: name },
      });
    }
    let data = this.#files.get(name);
    if (data === undefined) {
      data = new MemoryFileData();
      this.#files.set(name, data);
    }
    this.#open.add(name);
    return new MemoryBlockFile(
      `${this.name}/${name}`,
      data,
      (grow) => this.#reserve(name, grow),
      () => this.#open.delete(name),
    );
  }

  /** A copy of all files as they are now, none of them open: what a process that is killed leaves to the next one. */
  clone(): MemoryBlockFileSystem {
    const copy = new MemoryBlockFileSystem({ name: this.name, capacity: this.#capacity });
    for (const [name, data] of this.#files) copy.#files.set(name, data.clone());
    copy.#used = this.#used;
    return copy;
  }

  async exists(name: string): Promise<boolean> {
    return this.#files.has(name);
  }

  async remove(name: string): Promise<void> {
    if (this.#open.has(name)) {
      throw new PagefoldError("busy", `${this.name}/${name} is open; close it before removing it`, {
        details: { path: name },
      });
    }
    this.#used -= this.#files.get(name)?.size ?? 0;
    this.#files.delete(name);
  }

  async list(): Promise<string[]> {
    return [...this.#files.keys()].sort();
  }

  /** Accounts for a change of size before it happens; refuses growth beyond the capacity. */
  #reserve(name: string, grow: number): void {
    if (grow > 0 && this.#used + grow > this.#capacity) {
      throw new PagefoldError(
        "quota",
        `no space left in ${this.name}: ${name} would grow by ${grow} bytes, ${this.#capacity - this.#used} of ${this.#capacity} are free; raise the capacity or remove data`,
        { details: { path: name, capacity: this.#capacity } },
      );
    }
    this.#used += grow;
  }
}

class MemoryBlockFile implements BlockFile {
  readonly name: string;
  readonly durability = "flush";
  readonly #data: MemoryFileData;
  readonly #reserve: (grow: number) => void;
  readonly #onClose: () => void;
  #closed = false;

  constructor(name: string, data: MemoryFileData, reserve: (grow: number) => void, onClose: () => void) {
    this.name = name;
    this.#data = data;
    this.#reserve = reserve;
    this.#onClose = onClose;
  }

  size(): number {
    this.#check();
    return this.#data.size;
  }

  readAt(offset: number, into: Uint8Array): number {
    this.#check();
    checkOffset(this.name, offset);
    return this.#data.read(offset, into);
  }

  writeAt(offset: number, bytes: Uint8Array): void {
    this.#check();
    checkOffset(this.name, offset);
    if (bytes.length === 0) return;
    this.#reserve(Math.max(0, offset + bytes.length - this.#data.size));
    this.#data.write(offset, bytes);
  }

  truncate(size: number): void {
    this.#check();
    checkOffset(this.name, size);
    this.#reserve(size - this.#data.size);
    this.#data.truncate(size);
  }

  flush(): void {
    this.#check();
  }

  async durable(): Promise<void> {
    this.#check();
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#onClose();
  }

  #check(): void {
    if (this.#closed) throw new PagefoldError("closed", `${this.name} was closed; open it again`);
  }
}

/** Throws `invalid` for an offset or size that is no exact non-negative integer. */
export function checkOffset(name: string, offset: number): void {
  if (!Number.isSafeInteger(offset) || offset < 0) {
    throw new PagefoldError(
      "invalid",
      `${name}: ${offset} is no file offset; pass an integer from 0 to 2^53 - 1`,
    );
  }
}
