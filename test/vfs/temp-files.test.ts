/** Temporary files against plain arrays, in memory and on disk, with little memory, far offsets and a disk that fills up. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { isPagefoldError } from "../../src/base/errors.ts";
import { MemoryRecorder } from "../../src/base/recorder.ts";
import { MemoryBlockFileSystem } from "../../src/local/memory-block-file.ts";
import { IOERR_SHORT_READ, OK } from "../../vfs/sqlite/codes.ts";
import { CHUNK_BYTES } from "../../vfs/sqlite/temp-chunk.ts";
import { TempFile } from "../../vfs/sqlite/temp-file.ts";
import { TempStorage } from "../../vfs/sqlite/temp-storage.ts";
import { FaultyBlockFileSystem } from "../local/faulty-files.ts";
import { testSeed } from "../local/xxh64.ts";
import { wantsMore } from "../more.ts";
import {
  Bench,
  expectSame,
  FILES,
  failure,
  type Operation,
  operation,
  pattern,
  readAll,
  SparseBlockFile,
} from "./temp-bench.ts";

describe("temporary files", () => {
  for (const memoryChunks of [0, 1, 2, 5, 1000]) {
    it(`are plain arrays of bytes, with ${memoryChunks} chunks of memory`, async () => {
      await fc.assert(
        fc.asyncProperty(fc.array(operation, { maxLength: 40, size: "max" }), async (operations) => {
          const bench = new Bench(memoryChunks, await new MemoryBlockFileSystem().open("spill"));
          for (const op of operations) {
            bench.run(op);
            bench.check();
          }
          bench.checkContent();
          bench.close();
        }),
        { seed: testSeed, numRuns: 40 },
      );
    });
  }

  it("a journal that is emptied after each transaction keeps its chunk, and what grows back reads zeros", () => {
    const storage = new TempStorage({ memoryBytes: CHUNK_BYTES });
    const journal = new TempFile(storage);
    for (let transaction = 0; transaction < 3; transaction++) {
      journal.write(pattern(4096, transaction), 0);
      journal.truncate(0);
      expect(storage.stats()).toEqual({ memoryChunks: 0, spareChunks: 1, fileChunks: 0 });
    }
    journal.write(Uint8Array.of(1), 3000);
    expectSame(
      readAll(journal),
      Uint8Array.from({ length: 3001 }, (_, i) => (i === 3000 ? 1 : 0)),
    );
  });

  it("new chunks go to memory again once memory is free, and the spill file is emptied with its last chunk", async () => {
    const spill = await new MemoryBlockFileSystem().open("spill");
    const storage = new TempStorage({ memoryBytes: 2 * CHUNK_BYTES, file: spill });
    const [big, small] = [new TempFile(storage), new TempFile(storage)];
    big.write(pattern(5 * CHUNK_BYTES, 1), 0);
    expect(storage.stats()).toEqual({ memoryChunks: 2, spareChunks: 0, fileChunks: 3 });
    expect(spill.size()).toBe(3 * CHUNK_BYTES);
    big.truncate(3 * CHUNK_BYTES);
    small.write(pattern(10, 2), 0);
    expect(storage.stats()).toEqual({ memoryChunks: 1, spareChunks: 1, fileChunks: 3 });
    big.close();
    expect(storage.stats()).toEqual({ memoryChunks: 1, spareChunks: 1, fileChunks: 0 });
    expect(spill.size()).toBe(0);
    expectSame(readAll(small), pattern(10, 2));
  });

  it("pass 4 GiB, each of them and the spill file too", () => {
    const spill = new SparseBlockFile();
    const storage = new TempStorage({ memoryBytes: CHUNK_BYTES, file: spill });
    const many = new TempFile(storage);
    const count = 65_600;
    const stamp = (i: number) => pattern(5, i % 251);
    for (let i = 0; i < count; i++) many.write(stamp(i), i * CHUNK_BYTES);
    expect(many.size()).toBeGreaterThan(2 ** 32);
    expect(spill.size()).toBeGreaterThan(2 ** 32);
    for (const i of [0, 1, 32_767, 32_768, 65_535, 65_536, 65_537, count - 1]) {
      const into = new Uint8Array(7);
      expect(many.read(into, i * CHUNK_BYTES)).toBe(i === count - 1 ? IOERR_SHORT_READ : OK);
      expectSame(into, Uint8Array.of(...stamp(i), 0, 0));
    }
    many.write(Uint8Array.of(9, 8, 7), 65_580 * CHUNK_BYTES - 1);
    const into = new Uint8Array(4);
    many.read(into, 65_580 * CHUNK_BYTES - 1);
    expectSame(into, Uint8Array.of(9, 8, 7, stamp(65_580)[2]!));
    many.truncate(2 ** 32 + 1);
    expect(storage.stats().memoryChunks + storage.stats().fileChunks).toBe(65_537);
    many.close();
    expect(storage.stats().fileChunks).toBe(0);
  });
});

describe("temporary files on a full disk", () => {
  const fault = fc.record({
    after: fc.nat(1),
    arrives: fc.option(fc.nat(CHUNK_BYTES), { nil: undefined }),
    sticky: fc.boolean(),
  });

  for (const memoryChunks of [1, 3]) {
    it(`a failed write leaves everything as it was, with ${memoryChunks} chunks of memory`, async () => {
      let failures = 0;
      const step = fc.record({ op: operation, fault: fc.option(fault, { freq: 2 }) });
      await fc.assert(
        fc.asyncProperty(fc.array(step, { maxLength: 40, size: "max" }), async (steps) => {
          const disk = new FaultyBlockFileSystem(new MemoryBlockFileSystem());
          const bench = new Bench(memoryChunks, await disk.open("spill"));
          let beyond = 0;
          for (const { op, fault } of steps) {
            if (fault !== null) {
              const { arrives, ...rest } = fault;
              disk.fail({
                operation: "writeAt",
                code: "quota",
                ...rest,
                ...(arrives === undefined ? {} : { arrives }),
              });
            }
            const chunks = bench.chunks;
            const error = failure(() => bench.run(op));
            disk.heal();
            if (error !== undefined) {
              if (!isPagefoldError(error, "quota")) throw error;
              failures++;
              // As many chunks as the longest write can touch may have come back, until a new one makes them go.
              beyond += 4;
            } else if (bench.chunks > chunks) {
              beyond = 0;
            }
            bench.check(beyond);
            bench.checkContent();
          }
          bench.close();
        }),
        { seed: testSeed, numRuns: 100 },
      );
      expect(failures).toBeGreaterThan(100);
    });
  }

  it("at every single write of a long run, which then goes on to the same end", async () => {
    const operations: Operation[] = [];
    for (let i = 0; i < (wantsMore ? 12 : 8); i++) {
      operations.push({ do: "append", file: i % FILES, length: 50_000 + i, seed: i });
      operations.push({ do: "write", file: (i + 1) % FILES, at: i * 9000, length: 70_000, seed: i });
      if (i % 4 === 3) operations.push({ do: "truncate", file: i % FILES, at: 40_000 });
    }
    let failed = true;
    let n = 0;
    for (; failed; n++) {
      const disk = new FaultyBlockFileSystem(new MemoryBlockFileSystem());
      const bench = new Bench(2, await disk.open("spill"));
      disk.fail({ operation: "writeAt", code: "quota", after: n, arrives: 3000, sticky: true });
      failed = false;
      for (const op of operations) {
        const error = failure(() => bench.run(op));
        if (error !== undefined) {
          expect(error).toMatchObject({ code: "quota", message: expect.stringContaining("tempBytes") });
          bench.check(3);
          bench.checkContent();
          failed = true;
          disk.heal();
          bench.run(op);
        }
        bench.check(failed ? 3 : 0);
      }
      bench.checkContent();
      bench.close();
    }
    expect(n).toBeGreaterThan(20);
  });

  it("in the middle of a long write, whose first part is not seen when the file grows later", async () => {
    let failures = 0;
    for (let after = 0; after < 8; after++) {
      const disk = new FaultyBlockFileSystem(new MemoryBlockFileSystem());
      const bench = new Bench(1, await disk.open("spill"));
      bench.run({ do: "append", file: 0, length: 100, seed: 1 });
      disk.fail({ operation: "writeAt", code: "quota", after });
      const error = failure(() => bench.run({ do: "append", file: 0, length: 2 * CHUNK_BYTES, seed: 2 }));
      disk.heal();
      if (error !== undefined) failures++;
      bench.run({ do: "truncate", file: 0, at: 3 * CHUNK_BYTES });
      bench.checkContent();
      bench.close();
    }
    // Two chunks that make room for the next one, and two parts that are written on disk.
    expect(failures).toBe(4);
  });

  it("what is there can be overwritten, as a rollback does, and space that is freed can be used", async () => {
    const disk = new MemoryBlockFileSystem({ capacity: 4 * CHUNK_BYTES });
    const bench = new Bench(2, await disk.open("spill"));
    const append = { do: "append", file: 0, length: CHUNK_BYTES, seed: 1 } as const;
    for (let i = 0; i < 6; i++) bench.run(append);
    expect(failure(() => bench.run(append))).toMatchObject({
      code: "quota",
      message: expect.stringMatching(/tempBytes \(131072 bytes of memory\).*memory\/spill.*free disk space/),
      details: { spilledBytes: 4 * CHUNK_BYTES },
      cause: expect.objectContaining({ code: "quota" }),
    });
    bench.run({ do: "write", file: 0, at: 1, length: 6 * CHUNK_BYTES - 1, seed: 2 });
    bench.check();
    bench.checkContent();
    bench.run({ do: "truncate", file: 0, at: 3 * CHUNK_BYTES });
    bench.run({ ...append, file: 1, length: 3 * CHUNK_BYTES });
    bench.check();
    bench.checkContent();
    bench.close();
  });

  it("without a spill file, or at its limit, the message says what to do", async () => {
    const alone = new TempFile(new TempStorage({ memoryBytes: CHUNK_BYTES }));
    alone.write(pattern(CHUNK_BYTES, 1), 0);
    expect(failure(() => alone.write(pattern(2, 2), CHUNK_BYTES - 1))).toMatchObject({
      code: "quota",
      message: expect.stringMatching(/tempBytes \(65536 bytes.*no file to spill to; raise tempBytes/),
    });
    expectSame(readAll(alone), pattern(CHUNK_BYTES, 1));
    const limits = { memoryBytes: 0, maxFileBytes: 2 * CHUNK_BYTES - 1 };
    const storage = new TempStorage({ ...limits, file: await new MemoryBlockFileSystem().open("spill") });
    const file = new TempFile(storage);
    file.write(pattern(2 * CHUNK_BYTES, 1), 0);
    expect(failure(() => file.write(pattern(1, 2), 2 * CHUNK_BYTES))).toMatchObject({
      code: "quota",
      message: expect.stringMatching(/may not grow beyond 131071 bytes/),
    });
    expectSame(readAll(file), pattern(2 * CHUNK_BYTES, 1));
    expect(storage.stats()).toEqual({ memoryChunks: 1, spareChunks: 0, fileChunks: 1 });
  });
});

describe("the spill file", () => {
  it("is emptied at the start, and a later failure to empty it costs nothing but space", async () => {
    const disk = new FaultyBlockFileSystem(new MemoryBlockFileSystem());
    const spill = await disk.open("spill");
    spill.writeAt(0, pattern(3 * CHUNK_BYTES, 7));
    const recorder = new MemoryRecorder();
    const bench = new Bench(1, spill, { recorder });
    expect(spill.size()).toBe(0);
    bench.run({ do: "append", file: 0, length: 3 * CHUNK_BYTES, seed: 1 });
    disk.fail({ operation: "truncate", code: "unavailable" });
    bench.run({ do: "empty", file: 0 });
    bench.check();
    expect(recorder.get("temp.spill.truncate_failed")).toBe(1);
    expect(recorder.get("temp.spill.bytes")).toBe(2 * CHUNK_BYTES);
    bench.run({ do: "truncate", file: 0, at: 3 * CHUNK_BYTES });
    bench.run({ do: "write", file: 0, at: 5, length: 1, seed: 1 });
    bench.run({ do: "write", file: 0, at: CHUNK_BYTES + 5, length: 1, seed: 1 });
    bench.run({ do: "write", file: 0, at: 900, length: 1, seed: 1 });
    bench.checkContent();
    bench.close();
  });

  it("answers with its own error, and corrupt when somebody else shortened it", async () => {
    const disk = new FaultyBlockFileSystem(new MemoryBlockFileSystem());
    const spill = await disk.open("spill");
    const bench = new Bench(1, spill);
    bench.run({ do: "append", file: 0, length: 2 * CHUNK_BYTES, seed: 1 });
    disk.fail({ operation: "readAt", code: "unavailable" });
    expect(failure(() => readAll(bench.files[0]!))).toMatchObject({ code: "unavailable" });
    disk.fail({ operation: "writeAt", code: "unavailable" });
    const overwrite = { do: "write", file: 0, at: 10, length: 10, seed: 2 } as const;
    expect(failure(() => bench.run(overwrite))).toMatchObject({ code: "unavailable" });
    bench.checkContent();
    bench.run({ do: "append", file: 1, length: 2 * CHUNK_BYTES, seed: 1 });
    spill.truncate(100);
    expect(failure(() => readAll(bench.files[0]!))).toMatchObject({ code: "corrupt" });
  });

  it("refuses sizes that are none", () => {
    for (const bad of [-1, 0.5, Number.NaN, 2 ** 60]) {
      expect(failure(() => new TempStorage({ memoryBytes: bad }))).toMatchObject({ code: "invalid" });
    }
  });
});
