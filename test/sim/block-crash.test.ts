import { describe, expect, it } from "vitest";
import { testSeed } from "../local/xxh64.ts";
import { RecordingBlockFileSystem, readWhole } from "./block-crash.ts";

const fill = (length: number, value: number): Uint8Array => new Uint8Array(length).fill(value);

async function statesOf(files: RecordingBlockFileSystem, torn = 0): Promise<Map<number, Set<string>>> {
  const states = new Map<number, Set<string>>();
  for await (const state of files.crashStates({ seed: testSeed, torn })) {
    const held = await readWhole(state.files, "a");
    const at = states.get(state.issued) ?? new Set();
    states.set(state.issued, at.add(Buffer.from(held).toString("hex")));
  }
  return states;
}

describe("crash-state enumeration", () => {
  it("builds every subset of the unflushed writes, and nothing below a flush", async () => {
    const files = await RecordingBlockFileSystem.over();
    const a = await files.open("a");
    a.writeAt(0, fill(1, 1));
    a.writeAt(1, fill(1, 2));
    a.flush();
    a.writeAt(2, fill(1, 3));
    const states = [...(await statesOf(files)).entries()].filter(([issued]) => issued > 0);
    expect(states.map(([issued, held]) => [issued, [...held].sort()])).toEqual([
      [1, [""]],
      [2, ["01"]],
      [3, ["0002", "0102"]],
      [4, ["0102"]],
      [5, ["010203"]],
    ]);
  });

  it("flushes one file at a time, and lets truncations go missing", async () => {
    const files = await RecordingBlockFileSystem.over();
    const a = await files.open("a");
    const b = await files.open("b");
    a.writeAt(0, fill(2, 1));
    b.flush();
    a.flush();
    a.truncate(1);
    a.writeAt(0, fill(1, 9));
    const states = await statesOf(files);
    expect([...(states.get(4) ?? [])].sort()).toEqual(["", "0101"]);
    expect([...(states.get(7) ?? [])].sort()).toEqual(["09", "0901"]);
  });

  it("tears writes at sectors only", async () => {
    const files = await RecordingBlockFileSystem.over();
    const a = await files.open("a");
    a.writeAt(0, fill(2048, 0));
    a.flush();
    a.writeAt(100, fill(1500, 7));
    const seen = new Set<string>();
    for await (const state of files.crashStates({ seed: testSeed, torn: 200, from: 4 })) {
      const held = await readWhole(state.files, "a");
      for (let s = 0; s < 4; s++) {
        const sector = held.subarray(Math.max(100, s * 512), Math.min(1600, (s + 1) * 512));
        expect(new Set(sector).size).toBe(1);
      }
      seen.add([0, 1, 2, 3].map((s) => held[s * 512 + 120 < 1600 ? s * 512 + 120 : 1599]).join(""));
    }
    expect(seen.size).toBe(16);
  });

  it("samples where subsets are too many", async () => {
    const files = await RecordingBlockFileSystem.over();
    const a = await files.open("a");
    for (let i = 0; i < 30; i++) a.writeAt(i, fill(1, i + 1));
    let count = 0;
    for await (const state of files.crashStates({ seed: testSeed, torn: 0, samples: 20, from: 31 })) {
      expect((await readWhole(state.files, "a")).length).toBe(30);
      count++;
    }
    expect(count).toBe(20);
  });
});
