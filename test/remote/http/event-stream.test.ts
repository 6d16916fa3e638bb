/** Server-sent events as the standard reads them, however the bytes are cut. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Heard, serverEvents } from "../../../src/remote/http/event-stream.ts";
import { testSeed } from "../../local/xxh64.ts";

async function heard(text: string, size = 1e9): Promise<Heard[]> {
  async function* chunks(): AsyncGenerator<Uint8Array> {
    const bytes = new TextEncoder().encode(text);
    for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
  }
  const all: Heard[] = [];
  for await (const each of serverEvents(chunks())) all.push(each);
  return all;
}

describe("server-sent events", () => {
  it("are read field by field; comments are beats; ids stay", async () => {
    const text =
      ": hello\nid: 7\nevent: commit\ndata: a\ndata: b\n\ndata:c\r\n\r\nevent: x\n\nid: 8\ndata: d\r\rdata: unfinished\n";
    expect(await heard(text)).toEqual([
      "beat",
      { event: "commit", data: "a\nb", id: "7" },
      { event: "message", data: "c", id: "7" },
      { event: "message", data: "d", id: "8" },
    ]);
  });

  it("do not depend on how the bytes are cut", async () => {
    const line = fc.constantFrom(
      "data: ä€😀",
      "data:",
      "event: commit",
      "id: v@1",
      ": beat",
      "",
      "",
      "junk",
      "retry: 5",
    );
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(line, fc.constantFrom("\n", "\r\n", "\r")), { maxLength: 20 }),
        fc.integer({ min: 1, max: 9 }),
        async (lines, size) => {
          // Ended by a line feed, so that nothing depends on what would come next.
          const text = `${lines.flat().join("")}\n`;
          expect(await heard(text, size)).toEqual(await heard(text));
        },
      ),
      { seed: testSeed },
    );
  });

  it("that never end are refused", async () => {
    await expect(heard(`data: ${"x".repeat(2 ** 21)}`, 65_536)).rejects.toThrow(RangeError);
    await expect(heard(`data: ${"x".repeat(1000)}\n`.repeat(2000), 65_536)).rejects.toThrow(RangeError);
  });
});
