import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { MemoryBlockFileSystem } from "../../src/local/memory-block-file.ts";
import { blockFileContract } from "../contracts/block-file.ts";
import { testSeed } from "./xxh64.ts";

blockFileContract({ describe, it }, "memory", async () => {
  const files = new MemoryBlockFileSystem();
  return { files, reopen: () => files };
});

describe("MemoryBlockFileSystem", () => {
  it("refuses growth beyond its capacity as quota, whole, and takes it after space was freed", async () => {
    const files = new MemoryBlockFileSystem({ capacity: 1000 });
    const a = await files.open("a");
    const b = await files.open("b");
    a.writeAt(0, new Uint8Array(600).fill(1));
    expect(() => b.writeAt(0, new Uint8Array(401))).toThrow(expect.objectContaining({ code: "quota" }));
    expect(() => b.truncate(401)).toThrow(expect.objectContaining({ code: "quota" }));
    expect(b.size()).toBe(0);
    a.writeAt(0, new Uint8Array(600).fill(2));
    b.writeAt(0, new Uint8Array(400));
    expect(files.usedBytes).toBe(1000);
    await a.close();
    await files.remove("a");
    expect(files.usedBytes).toBe(400);
    b.writeAt(900, new Uint8Array(100));
    expect(() => b.writeAt(1000, new Uint8Array(1))).toThrow(expect.objectContaining({ code: "quota" }));
  });

  it("behaves like one plain array of bytes, over chunk borders", () => {
    const operation = fc.oneof(
      fc.record({
        do: fc.constant("write" as const),
        at: fc.nat(600_000),
        length: fc.nat(300_000),
        fill: fc.nat(255),
      }),
      fc.record({ do: fc.constant("truncate" as const), at: fc.nat(900_000) }),
      fc.record({ do: fc.constant("read" as const), at: fc.nat(900_000), length: fc.nat(300_000) }),
    );
    return fc.assert(
      fc.asyncProperty(fc.array(operation, { maxLength: 12 }), async (operations) => {
        const file = await new MemoryBlockFileSystem().open("x");
        let model = new Uint8Array(0);
        const resize = (size: number): void => {
          const next = new Uint8Array(size);
          next.set(model.subarray(0, size));
          model = next;
        };
        for (const op of operations) {
          if (op.do === "write") {
            if (op.length > 0 && op.at + op.length > model.length) resize(op.at + op.length);
            model.fill(op.fill, op.at, op.at + op.length);
            file.writeAt(op.at, new Uint8Array(op.length).fill(op.fill));
          } else if (op.do === "truncate") {
            resize(op.at);
            file.truncate(op.at);
          } else {
            const into = new Uint8Array(op.length);
            const n = file.readAt(op.at, into);
            expect(Buffer.compare(into.subarray(0, n), model.subarray(op.at, op.at + op.length))).toBe(0);
          }
          expect(file.size()).toBe(model.length);
        }
        const all = new Uint8Array(model.length);
        file.readAt(0, all);
        expect(Buffer.compare(all, model)).toBe(0);
      }),
      { seed: testSeed, numRuns: 60 },
    );
  });
});
