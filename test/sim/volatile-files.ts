/**
 * Memory files that forget like a disk: what was not flushed may vanish, arrive in part or out of order when the power fails. One
 * random legal outcome per crash; `block-crash.ts` enumerates them all for small workloads.
 */
import { PagefoldError } from "../../src/base/errors.ts";
import type { BlockFile, BlockFileSystem } from "../../src/local/block-file.ts";
import { MemoryBlockFileSystem } from "../../src/local/memory-block-file.ts";

const SECTOR_BYTES = 512;

type Change =
  | { readonly kind: "write"; readonly file: string; readonly offset: number; readonly bytes: Uint8Array }
  | { readonly kind: "truncate"; readonly file: string; readonly size: number };

export class VolatileBlockFileSystem implements BlockFileSystem {
  readonly name = "volatile";
  /** What readers see. */
  readonly #seen: MemoryBlockFileSystem;
  /** What would be left if the power failed now and nothing pending had arrived. */
  readonly #durable: MemoryBlockFileSystem;
  readonly #durableFiles = new Map<string, BlockFile>();
  #pending: Change[] = [];
  #dead = false;

  constructor(content = new MemoryBlockFileSystem()) {
    this.#seen = content;
    this.#durable = content.clone();
  }

  async open(name: string): Promise<BlockFile> {
    this.#check();
    if (!this.#durableFiles.has(name)) this.#durableFiles.set(name, await this.#durable.open(name));
    return new VolatileBlockFile(await this.#seen.open(name), name, this);
  }

  exists(name: string): Promise<boolean> {
    return this.#seen.exists(name);
  }

  async remove(name: string): Promise<void> {
    this.#check();
    await this.#seen.remove(name);
    await this.#durableFiles.get(name)?.close();
    this.#durableFiles.delete(name);
    await this.#durable.remove(name);
    this.#pending = this.#pending.filter((change) => change.file !== name);
  }

  list(): Promise<string[]> {
    return this.#seen.list();
  }

  /** The process ends and the power fails: open handles are dead, and each unflushed write arrived, was torn, or did not. */
  async crash(random: () => number): Promise<VolatileBlockFileSystem> {
    this.#dead = true;
    const chosen = this.#pending.flatMap((change) => {
      const luck = random();
      if (luck < 0.4) return [];
      return change.kind === "write" && luck < 0.6 ? tear(change, random) : [change];
    });
    return this.#restarted(chosen);
  }

  /** The process is killed: its handles are dead, all that it wrote is there. */
  async kill(): Promise<VolatileBlockFileSystem> {
    this.#dead = true;
    return this.#restarted(this.#pending);
  }

  /** @internal */
  note(change: Change): void {
    this.#check();
    this.#pending.push(change);
  }

  /** @internal */
  flushed(file: string): void {
    this.#check();
    const mine = this.#pending.filter((change) => change.file === file);
    this.#pending = this.#pending.filter((change) => change.file !== file);
    for (const change of mine) this.#apply(change);
  }

  async #restarted(arrived: readonly Change[]): Promise<VolatileBlockFileSystem> {
    for (const change of arrived) this.#apply(change);
    for (const file of this.#durableFiles.values()) await file.close();
    return new VolatileBlockFileSystem(this.#durable);
  }

  #apply(change: Change): void {
    const file = this.#durableFiles.get(change.file);
    if (file === undefined) throw new Error(`${change.file} was never opened`);
    if (change.kind === "write") file.writeAt(change.offset, change.bytes);
    else file.truncate(change.size);
  }

  #check(): void {
    if (this.#dead) throw new PagefoldError("closed", "the process that had these files open is gone");
  }
}

class VolatileBlockFile implements BlockFile {
  readonly durability = "flush";
  readonly #inner: BlockFile;
  readonly #file: string;
  readonly #system: VolatileBlockFileSystem;

  constructor(inner: BlockFile, file: string, system: VolatileBlockFileSystem) {
    this.#inner = inner;
    this.#file = file;
    this.#system = system;
  }

  get name(): string {
    return this.#inner.name;
  }

  size(): number {
    return this.#inner.size();
  }

  readAt(offset: number, into: Uint8Array): number {
    return this.#inner.readAt(offset, into);
  }

  writeAt(offset: number, bytes: Uint8Array): void {
    this.#system.note({ kind: "write", file: this.#file, offset, bytes: bytes.slice() });
    this.#inner.writeAt(offset, bytes);
  }

  truncate(size: number): void {
    this.#system.note({ kind: "truncate", file: this.#file, size });
    this.#inner.truncate(size);
  }

  flush(): void {
    this.#system.flushed(this.#file);
    this.#inner.flush();
  }

  durable(): Promise<void> {
    return this.#inner.durable();
  }

  close(): Promise<void> {
    return this.#inner.close();
  }
}

function tear(change: Extract<Change, { kind: "write" }>, random: () => number): Change[] {
  const pieces: Change[] = [];
  const end = change.offset + change.bytes.length;
  for (let from = change.offset; from < end; ) {
    const to = Math.min(end, (Math.floor(from / SECTOR_BYTES) + 1) * SECTOR_BYTES);
    const bytes = change.bytes.subarray(from - change.offset, to - change.offset);
    if (random() < 0.5) pieces.push({ kind: "write", file: change.file, offset: from, bytes });
    from = to;
  }
  return pieces;
}
