import { describe, expect, it } from "vitest";
import { checkZstdFrame } from "../../src/format/compress.ts";
import { nativeZstd } from "../../src/node/native-zstd.ts";
import { someBytes } from "../format/support.ts";

const native = nativeZstd();

describe("zstd of the runtime", () => {
  it("gives one whole frame whatever its length comes to, multiples of a buffer size too", (context) => {
    if (native === undefined) return context.skip("this Node has no zstd of its own (22.15 and later have)");
    const seen = new Set<number>();
    // Noise does not compress: a frame is so many bytes longer.
    for (const length of [16_384, 32_768, 65_536]) {
      for (let less = 0; less <= 20; less++) {
        const raw = someBytes(length - less, less + 1);
        const stored = native.compress(raw, 1);
        checkZstdFrame(stored, raw.length);
        expect(Buffer.compare(native.decompress(stored, raw.length), raw)).toBe(0);
        seen.add(stored.length);
      }
    }
    for (const length of [16_384, 32_768, 65_536]) expect(seen).toContain(length);
  });
});
