/** Temporary files beside plain arrays of bytes that do the same, and the operations to drive both. */
import fc from "fast-check";
import { expect } from "vitest";
import type { MemoryRecorder } from "../../src/base/recorder.ts";
import type { BlockFile } from "../../src/local/block-file.ts";
import { IOERR_SHORT_READ, OK } from "../../vfs/sqlite/codes.ts";
import { CHUNK_BYTES } from "../../vfs/sqlite/temp-chunk.ts";
import { TempFile } from "../../vfs/sqlite/temp-file.ts";
import { TempStorage } from "../../vfs/sqlite/temp-storage.ts";

/** What a TempFile owes: an array of bytes, and the chunks that were written since the file was last shorter than they lie. */
class Model {
  bytes = new Uint8Array(0);
  readonly chunks = new Set<number>();

  write(bytes: Uint8Array, offset: number): void {
    if (bytes.length === 0) return;
    if (offset + bytes.length > this.bytes.length) this.truncate(offset + bytes.length);
    this.bytes.set(bytes, offset);
    for (let at = offset - (offset % CHUNK_BYTES); at < offset + bytes.length; at += CHUNK_BYTES) {
      this.chunks.add(at / CHUNK_BYTES);
    }
  }

  truncate(size: number): void {
    const bytes = new Uint8Array(size);
    bytes.set(this.bytes.subarray(0, size));
    this.bytes = bytes;
    for (const index of this.chunks) if (index * CHUNK_BYTES >= size) this.chunks.delete(index);
  }
}

export function pattern(length: number, seed: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => 1 + ((i * 31 + seed * 17 + (i >> 8)) % 255));
}

export function readAll(file: TempFile): Uint8Array {
  const into = new Uint8Array(file.size()).fill(0xee);
  expect(file.read(into, 0)).toBe(OK);
  return into;
}

/** Much faster than toEqual on large arrays, and fails with the place. */
export function expectSame(actual: Uint8Array, expected: Uint8Array): void {
  if (Buffer.compare(actual, expected) === 0) return;
  const at = actual.findIndex((byte, i) => byte !== expected[i]);
  expect.fail(`byte ${at} of ${expected.length} is ${actual[at]}, not ${expected[at]}`);
}

const place = fc.oneof(
  fc.nat(5 * CHUNK_BYTES),
  // About the borders, where the mistakes are.
  fc.tuple(fc.nat(5), fc.integer({ min: -5, max: 5 })).map(([n, d]) => Math.max(0, n * CHUNK_BYTES + d)),
);
const length = fc.oneof(fc.nat(9), fc.nat(5000), fc.nat(3 * CHUNK_BYTES));
export const FILES = 3;
export const operation = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant("write" as const),
      file: fc.nat(FILES - 1),
      at: place,
      length,
      seed: fc.nat(99),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant("append" as const),
      file: fc.nat(FILES - 1),
      length,
      seed: fc.nat(99),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant("read" as const), file: fc.nat(FILES - 1), at: place, length }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant("truncate" as const), file: fc.nat(FILES - 1), at: place }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant("empty" as const), file: fc.nat(FILES - 1) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant("reopen" as const), file: fc.nat(FILES - 1) }),
  },
);
export type Operation = typeof operation extends fc.Arbitrary<infer T> ? T : never;

/** Files of one storage beside their models. */
export class Bench {
  readonly storage: TempStorage;
  readonly memoryChunksMax: number;
  readonly spill: BlockFile | undefined;
  readonly files: TempFile[];
  readonly models = Array.from({ length: FILES }, () => new Model());

  constructor(memoryChunks: number, spill?: BlockFile, more?: { recorder: MemoryRecorder }) {
    const memoryBytes = memoryChunks * CHUNK_BYTES;
    this.memoryChunksMax = Math.max(memoryChunks, spill === undefined ? 0 : 1);
    this.spill = spill;
    this.storage = new TempStorage({ memoryBytes, ...(spill === undefined ? {} : { file: spill }), ...more });
    this.files = this.models.map(() => new TempFile(this.storage));
  }

  /** How many chunks the files must have, wherever they are. */
  get chunks(): number {
    return this.models.reduce((sum, model) => sum + model.chunks.size, 0);
  }

  /** Does it to the file, and, when that did not throw, to the model. */
  run(op: Operation): void {
    const file = this.files[op.file]!;
    const model = this.models[op.file]!;
    switch (op.do) {
      case "write":
      case "append": {
        const at = op.do === "write" ? op.at : file.size();
        const bytes = pattern(op.length, op.seed);
        expect(file.write(bytes, at)).toBe(OK);
        model.write(bytes, at);
        break;
      }
      case "read": {
        const into = new Uint8Array(op.length).fill(0xee);
        const expected = new Uint8Array(op.length);
        expected.set(model.bytes.subarray(op.at, op.at + op.length));
        const isWhole = op.length === 0 || op.at + op.length <= model.bytes.length;
        expect(file.read(into, op.at)).toBe(isWhole ? OK : IOERR_SHORT_READ);
        expectSame(into, expected);
        break;
      }
      case "truncate":
      case "empty": {
        const size = op.do === "truncate" ? op.at : 0;
        expect(file.truncate(size)).toBe(OK);
        model.truncate(size);
        break;
      }
      case "reopen":
        file.close();
        model.truncate(0);
        this.files[op.file] = new TempFile(this.storage);
    }
  }

  /** Everything that must hold between two calls; `beyond` chunks above the budget may have come back from a failed disk. */
  check(beyond = 0): void {
    const { memoryChunks, spareChunks, fileChunks } = this.storage.stats();
    expect(memoryChunks + fileChunks, "no chunk leaks").toBe(this.chunks);
    expect(memoryChunks + spareChunks, "the budget").toBeLessThanOrEqual(this.memoryChunksMax + beyond);
    for (const [i, file] of this.files.entries()) expect(file.size()).toBe(this.models[i]!.bytes.length);
  }

  checkContent(): void {
    for (const [i, file] of this.files.entries()) expectSame(readAll(file), this.models[i]!.bytes);
  }

  close(): void {
    for (const [i, file] of this.files.entries()) {
      file.close();
      this.models[i]!.truncate(0);
    }
    this.check();
    if (this.spill !== undefined) expect(this.spill.size()).toBe(0);
  }
}

/** Remembers single bytes: for a few bytes at far offsets. */
export class SparseBlockFile implements BlockFile {
  readonly name = "sparse";
  readonly durability = "flush";
  readonly #bytes = new Map<number, number>();
  #size = 0;

  size(): number {
    return this.#size;
  }

  readAt(offset: number, into: Uint8Array): number {
    const count = Math.max(0, Math.min(into.length, this.#size - offset));
    for (let i = 0; i < count; i++) into[i] = this.#bytes.get(offset + i) ?? 0;
    return count;
  }

  writeAt(offset: number, bytes: Uint8Array): void {
    for (let i = 0; i < bytes.length; i++) this.#bytes.set(offset + i, bytes[i]!);
    this.#size = Math.max(this.#size, offset + bytes.length);
  }

  truncate(size: number): void {
    for (const offset of this.#bytes.keys()) if (offset >= size) this.#bytes.delete(offset);
    this.#size = size;
  }

  flush(): void {}

  async durable(): Promise<void> {}

  async close(): Promise<void> {}
}

export function failure(run: () => void): unknown {
  try {
    run();
  } catch (error) {
    return error;
  }
  return undefined;
}
