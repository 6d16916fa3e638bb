/**
 * Crash-state enumeration for BlockFiles: records the operations of a workload, then builds every file system that a power cut at any
 * point may legally leave behind. Creating and removing files is durable at once (the file-system implementation syncs the
 * directory); of the writes and truncations of a file since its last flush any subset may have arrived, each write possibly torn at
 * sectors of 512 bytes.
 */
import type { BlockFile, BlockFileSystem } from "../../src/local/block-file.ts";
import { MemoryBlockFileSystem } from "../../src/local/memory-block-file.ts";
import { seededRandom } from "../local/xxh64.ts";

const SECTOR_BYTES = 512;

type Operation =
  | { readonly kind: "create"; readonly file: string }
  | { readonly kind: "remove"; readonly file: string }
  | { readonly kind: "write"; readonly file: string; readonly offset: number; readonly bytes: Uint8Array }
  | { readonly kind: "truncate"; readonly file: string; readonly size: number }
  | { readonly kind: "flush"; readonly file: string };

type Change = Extract<Operation, { kind: "write" | "truncate" }>;

/** One file system after a crash. */
export interface CrashState {
  /** A file system of its own, not recorded. */
  readonly files: MemoryBlockFileSystem;
  /** How many operations had been issued. Compare with `RecordingBlockFileSystem.position`. */
  readonly issued: number;
  /** For messages: which unflushed operations arrived. */
  readonly description: string;
}

export interface CrashStateOptions {
  readonly seed: number;
  /** Up to so many unflushed operations all subsets are built; beyond, samples. Default 10. */
  readonly exhaustiveUpTo?: number;
  /** How many subsets are sampled where there are too many. Default 64. */
  readonly samples?: number;
  /** In addition, how many torn variants are built per crash point. Default 16. */
  readonly torn?: number;
  /** Crash points before this many operations are left out: they were checked for a shorter workload. */
  readonly from?: number;
}

/** Memory files that remember what was done to them. */
export class RecordingBlockFileSystem implements BlockFileSystem {
  readonly name = "recorded";
  readonly operations: Operation[] = [];
  readonly #inner: MemoryBlockFileSystem;
  /** What the files held when the recording began, flushed. */
  readonly #base: Map<string, Uint8Array>;
  readonly #handles: BlockFile[] = [];

  private constructor(inner: MemoryBlockFileSystem, base: Map<string, Uint8Array>) {
    this.#inner = inner;
    this.#base = base;
  }

  /** Records on top of what `inner` holds, which counts as flushed. */
  static async over(inner = new MemoryBlockFileSystem()): Promise<RecordingBlockFileSystem> {
    const base = new Map<string, Uint8Array>();
    for (const name of await inner.list()) base.set(name, await readWhole(inner, name));
    return new RecordingBlockFileSystem(inner, base);
  }

  /** How many operations have been issued: note it when something is acknowledged. */
  get position(): number {
    return this.operations.length;
  }

  async open(name: string): Promise<BlockFile> {
    const created = !(await this.#inner.exists(name));
    const inner = await this.#inner.open(name);
    if (created) this.operations.push({ kind: "create", file: name });
    this.#handles.push(inner);
    return new RecordingBlockFile(name, inner, this.operations);
  }

  /** The process that had the files open was killed: its handles are gone, all it wrote is visible, nothing more is flushed. */
  async kill(): Promise<void> {
    for (const handle of this.#handles.splice(0)) await handle.close();
  }

  exists(name: string): Promise<boolean> {
    return this.#inner.exists(name);
  }

  async remove(name: string): Promise<void> {
    await this.#inner.remove(name);
    this.operations.push({ kind: "remove", file: name });
  }

  list(): Promise<string[]> {
    return this.#inner.list();
  }

  /** Every legal state after a crash at any point, in order of the points; those of one point in no particular order. */
  async *crashStates(options: CrashStateOptions): AsyncGenerator<CrashState> {
    const durable = new Map<string, Uint8Array>(this.#base);
    let pending: Change[] = [];
    const random = seededRandom(options.seed);
    for (let issued = 0; issued <= this.operations.length; issued++) {
      const operation = issued === 0 ? undefined : this.operations[issued - 1];
      if (operation !== undefined) pending = advance(durable, pending, operation);
      // A crash right after a flush, a create or at the start adds no choice of its own beyond the pending writes of other files.
      const isChange = operation?.kind === "write" || operation?.kind === "truncate";
      if (issued < (options.from ?? 0)) continue;
      for (const { chosen, description } of choices(pending, isChange, random, options)) {
        const files = await build(durable, chosen);
        yield { files, issued, description: `after ${issued} operations: ${description}` };
      }
    }
  }
}

class RecordingBlockFile implements BlockFile {
  readonly durability = "flush";
  readonly #file: string;
  readonly #inner: BlockFile;
  readonly #operations: Operation[];

  constructor(file: string, inner: BlockFile, operations: Operation[]) {
    this.#file = file;
    this.#inner = inner;
    this.#operations = operations;
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
    this.#inner.writeAt(offset, bytes);
    this.#operations.push({ kind: "write", file: this.#file, offset, bytes: bytes.slice() });
  }

  truncate(size: number): void {
    this.#inner.truncate(size);
    this.#operations.push({ kind: "truncate", file: this.#file, size });
  }

  flush(): void {
    this.#inner.flush();
    this.#operations.push({ kind: "flush", file: this.#file });
  }

  durable(): Promise<void> {
    return this.#inner.durable();
  }

  close(): Promise<void> {
    return this.#inner.close();
  }
}

/** Carries one operation over into what is durable; returns the changes that are not. */
function advance(durable: Map<string, Uint8Array>, pending: Change[], operation: Operation): Change[] {
  const { file } = operation;
  switch (operation.kind) {
    case "create":
      durable.set(file, new Uint8Array(0));
      return pending;
    case "remove":
      durable.delete(file);
      return pending.filter((change) => change.file !== file);
    case "flush": {
      let bytes = durable.get(file) ?? new Uint8Array(0);
      for (const change of pending) if (change.file === file) bytes = applied(bytes, change);
      durable.set(file, bytes);
      return pending.filter((change) => change.file !== file);
    }
    default:
      return [...pending, operation];
  }
}

/** Which pending changes arrive. Where the last operation was a change it always does: without it is the crash point before. */
function* choices(
  pending: readonly Change[],
  lastIsNew: boolean,
  random: () => number,
  options: CrashStateOptions,
): Generator<{ chosen: Change[]; description: string }> {
  const { exhaustiveUpTo = 10, samples = 64, torn = 16 } = options;
  const free = lastIsNew ? pending.length - 1 : pending.length;
  const exhaustive = free <= exhaustiveUpTo;
  const count = exhaustive ? 2 ** free : samples;
  for (let n = 0; n < count; n++) {
    const arrives = pending.map((_, i) => {
      if (i >= free) return true;
      return exhaustive ? Math.floor(n / 2 ** i) % 2 === 1 : random() < 0.5;
    });
    yield { chosen: pending.filter((_, i) => arrives[i]), description: describe(arrives) };
  }
  for (let n = 0; n < torn && pending.length > 0; n++) {
    const tornAt = lastIsNew && n % 2 === 0 ? pending.length - 1 : Math.floor(random() * pending.length);
    const arrives = pending.map((_, i) => i === tornAt || random() < 0.7);
    const chosen = pending.flatMap((change, i) => {
      if (!arrives[i]) return [];
      return i === tornAt && change.kind === "write" ? tear(change, n, random) : [change];
    });
    yield { chosen, description: `${describe(arrives)}, operation ${tornAt} torn` };
  }
}

function describe(arrives: readonly boolean[]): string {
  return `of ${arrives.length} unflushed, ${arrives.map((a) => (a ? "1" : "0")).join("")}`;
}

/** Some of the sectors of a write: by turns the first ones, the last ones, any. */
function tear(change: Extract<Change, { kind: "write" }>, n: number, random: () => number): Change[] {
  const pieces: Change[] = [];
  const end = change.offset + change.bytes.length;
  const firstSector = Math.floor(change.offset / SECTOR_BYTES);
  const sectors = Math.ceil(end / SECTOR_BYTES) - firstSector;
  const cut = Math.floor(random() * (sectors + 1));
  for (let s = 0; s < sectors; s++) {
    const arrives = n % 3 === 0 ? s < cut : n % 3 === 1 ? s >= cut : random() < 0.5;
    if (!arrives) continue;
    const from = Math.max(change.offset, (firstSector + s) * SECTOR_BYTES);
    const to = Math.min(end, (firstSector + s + 1) * SECTOR_BYTES);
    pieces.push({
      kind: "write",
      file: change.file,
      offset: from,
      bytes: change.bytes.subarray(from - change.offset, to - change.offset),
    });
  }
  return pieces;
}

async function build(
  durable: Map<string, Uint8Array>,
  chosen: readonly Change[],
): Promise<MemoryBlockFileSystem> {
  const files = new MemoryBlockFileSystem({ name: "after the crash" });
  for (const [name, bytes] of durable) {
    const file = await files.open(name);
    file.writeAt(0, bytes);
    for (const change of chosen) {
      if (change.file !== name) continue;
      if (change.kind === "write") file.writeAt(change.offset, change.bytes);
      else file.truncate(change.size);
    }
    await file.close();
  }
  return files;
}

function applied(bytes: Uint8Array, change: Change): Uint8Array {
  const size =
    change.kind === "truncate" ? change.size : Math.max(bytes.length, change.offset + change.bytes.length);
  const next = new Uint8Array(size);
  next.set(bytes.subarray(0, size));
  if (change.kind === "write") next.set(change.bytes, change.offset);
  return next;
}

/** All bytes of a file that is not open. */
export async function readWhole(files: BlockFileSystem, name: string): Promise<Uint8Array> {
  const file = await files.open(name);
  const bytes = new Uint8Array(file.size());
  file.readAt(0, bytes);
  await file.close();
  return bytes;
}
