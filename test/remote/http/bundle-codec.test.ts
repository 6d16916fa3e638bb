/** Bundles: what is encoded comes out again however it is cut into chunks; whatever else gives an error with a code. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { isPagefoldError } from "../../../src/base/errors.ts";
import { type BundleEntry, decodeBundle, encodeBundle } from "../../../src/remote/http/bundle-codec.ts";
import { testSeed } from "../../local/xxh64.ts";

async function* chunked(bytes: Uint8Array, sizes: readonly number[]): AsyncGenerator<Uint8Array> {
  let at = 0;
  for (let i = 0; at < bytes.length; i++) {
    const size = sizes.length === 0 ? bytes.length : Math.max(1, sizes[i % sizes.length] ?? 1);
    yield bytes.subarray(at, at + size);
    at += size;
  }
}

async function decoded(bytes: Uint8Array, sizes: readonly number[] = []): Promise<BundleEntry[]> {
  const entries: BundleEntry[] = [];
  for await (const entry of decodeBundle(chunked(bytes, sizes))) entries.push(entry);
  return entries;
}

const key = fc.string({ minLength: 1, maxLength: 60, unit: "grapheme" });
const entry: fc.Arbitrary<BundleEntry> = fc.oneof(
  fc
    .record({
      key,
      offset: fc.integer({ min: 0, max: 2 ** 45 }),
      behind: fc.integer({ min: 0, max: 2 ** 45 }),
      bytes: fc.uint8Array({ maxLength: 300 }),
    })
    .map(({ behind, offset, bytes, ...rest }) => ({
      kind: "bytes" as const,
      ...rest,
      offset,
      bytes,
      total: offset + bytes.length + behind,
    })),
  key.map((absent) => ({ kind: "absent" as const, key: absent })),
  fc.record({
    kind: fc.constant("listing" as const),
    prefix: key,
    entries: fc.array(fc.record({ key, size: fc.nat() }), { maxLength: 5 }),
    complete: fc.boolean(),
  }),
  fc.record({ kind: fc.constant("note" as const), name: key, value: fc.jsonValue() }),
);

describe("bundles", () => {
  it("come out as they went in, whatever the chunks", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(entry, { maxLength: 8 }),
        fc.array(fc.integer({ min: 1, max: 64 }), { maxLength: 6 }),
        async (entries, sizes) => {
          const plain = JSON.parse(JSON.stringify(entries)) as unknown;
          const out = await decoded(encodeBundle(entries), sizes);
          expect(JSON.parse(JSON.stringify(out))).toEqual(plain);
        },
      ),
      { seed: testSeed },
    );
  });

  it("cut off anywhere are told as cut off, and never as whole", async () => {
    const bytes = encodeBundle([
      { kind: "bytes", key: "volumes/x/manifest", offset: 0, total: 3, bytes: Uint8Array.of(1, 2, 3) },
      { kind: "absent", key: "volumes/x/head" },
    ]);
    for (let length = 0; length < bytes.length; length++) {
      await expect(decoded(bytes.subarray(0, length))).rejects.toMatchObject({
        code: "unavailable",
        details: { cutOff: true },
      });
    }
  });

  it("of any other bytes are an error with a code, with bounded memory", async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), fc.boolean(), async (noise, magic) => {
        const bytes = magic ? Uint8Array.from([0x50, 0x46, 0x42, 0x31, ...noise]) : noise;
        const outcome = await decoded(bytes, [7]).catch((error: unknown) => error);
        if (!Array.isArray(outcome)) expect(isPagefoldError(outcome, "corrupt", "unavailable")).toBe(true);
      }),
      { seed: testSeed },
    );
  });

  it("refuses a size that no object has before it takes memory for it", async () => {
    const bytes = encodeBundle([{ kind: "bytes", key: "k", offset: 0, total: 4, bytes: new Uint8Array(4) }]);
    new DataView(bytes.buffer).setUint32(4 + 19, 0xffff_fff0, true);
    await expect(decoded(bytes)).rejects.toMatchObject({ code: "corrupt" });
  });
});
