import { deflateRawSync, inflateRawSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { isPagefoldError, PagefoldError } from "../../src/base/errors.ts";
import { loadCodecs } from "../../src/format/codecs.ts";
import { checkZstdFrame } from "../../src/format/compress.ts";
import { decodeFrame, encodeFrame } from "../../src/format/frame.ts";
import { codecs, expectTotal, pageBytes, property, someBytes } from "./support.ts";

const KiB = 1024;
const code = (run: () => unknown): string | undefined => {
  try {
    run();
  } catch (error) {
    return error instanceof PagefoldError ? error.code : String(error);
  }
  return undefined;
};

describe("compression", () => {
  it("round-trips pages of every kind", () => {
    const kinds = [
      pageBytes(64 * KiB, 1),
      new Uint8Array(64 * KiB),
      someBytes(16 * KiB, 2),
      pageBytes(512, 3),
      pageBytes(1024 * KiB, 4),
    ];
    for (const raw of kinds) {
      const { codec, bytes } = codecs.compress(raw);
      expect(Buffer.compare(codecs.decompress(codec, bytes, raw.length), raw)).toBe(0);
      expect(codec === "raw").toBe(bytes.length === raw.length);
    }
    expect(codecs.compress(someBytes(4096, 9)).codec).toBe("raw");
    expect(codecs.compress(pageBytes(4096, 9)).codec).toBe("zstd");
  });

  it("a frame that says another size is refused before it is decompressed", () => {
    const bomb = codecs.compress(new Uint8Array(1024 * KiB)).bytes;
    expect(bomb.length).toBeLessThan(200);
    for (const rawLength of [0, 512, 4096, 1024 * KiB - 1, 1024 * KiB + 1]) {
      expect(code(() => codecs.decompress("zstd", bomb, rawLength))).toBe("corrupt");
    }
  });

  it("bombs: lying sizes, two frames, skippable frames, no size, huge windows, dictionaries", () => {
    const { bytes } = codecs.compress(pageBytes(4096, 5));
    const refused = (broken: Uint8Array | number[], rawLength = 4096) =>
      expect(code(() => codecs.decompress("zstd", Uint8Array.from(broken), rawLength))).toBe("corrupt");
    refused([...bytes, ...bytes]);
    refused([...bytes, ...bytes], 8192);
    refused([0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4]);
    refused([0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0, ...bytes]);
    // Descriptor without content size; then with a window of 2 GiB; with a dictionary; with a reserved bit.
    refused([0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x50, 1, 0, 0, 0]);
    refused([0x28, 0xb5, 0x2f, 0xfd, 0x80, 0xa8, 0, 16, 0, 0, 1, 0, 0]);
    refused([0x28, 0xb5, 0x2f, 0xfd, 0x61, 7, 0, 15, 1, 0, 0]);
    refused([0x28, 0xb5, 0x2f, 0xfd, 0x68, 0, 15, 1, 0, 0]);
    // An honest header whose RLE blocks produce far more: 128 KiB each, announced as 4096.
    const rle = [0x03 | 0, 0, 0x10, 7];
    refused([0x28, 0xb5, 0x2f, 0xfd, 0x60, 0, 15, ...rle]);
    // 8-byte sizes past any memory.
    refused([0x28, 0xb5, 0x2f, 0xfd, 0xe0, 255, 255, 255, 255, 255, 255, 255, 255, 1, 0, 0]);
  });

  it("any damage to a zstd frame gives an error or bytes of the right size, never anything else", () => {
    const { bytes } = codecs.compress(pageBytes(2048, 6));
    for (let length = 0; length < bytes.length; length++) {
      expect(code(() => codecs.decompress("zstd", bytes.slice(0, length), 2048))).toBe("corrupt");
    }
    expectTotal((input) => expect(codecs.decompress("zstd", input, 2048).length).toBe(2048), [bytes]);
  });

  it("checkZstdFrame accepts what other levels and sizes write", async () => {
    for (const level of [-5, 1, 3, 9, 19]) {
      const other = await loadCodecs({ level });
      for (const size of [1, 255, 256, 300, 512, 65_535 + 256, 65_536 + 256, 1024 * KiB]) {
        const { codec, bytes } = other.compress(new Uint8Array(size).fill(3));
        if (codec === "zstd") checkZstdFrame(bytes, size);
      }
    }
  });

  it("uses injected implementations, and says so where one is missing", async () => {
    const raw = pageBytes(4096, 7);
    const calls: string[] = [];
    const native = await loadCodecs({
      level: 2,
      nativeZstd: {
        compress: (bytes, level) => {
          calls.push(`compress ${level}`);
          return codecs.compress(bytes).bytes;
        },
        decompress: (bytes, most) => {
          calls.push(`decompress ${most}`);
          return codecs.decompress("zstd", bytes, 4096);
        },
      },
      inflateRaw: (bytes, most) => inflateRawSync(bytes, { maxOutputLength: most }),
    });
    const { codec, bytes } = native.compress(raw);
    expect(native.decompress(codec, bytes, 4096)).toEqual(raw);
    expect(calls).toEqual(["compress 2", "decompress 4096"]);
    const deflated = deflateRawSync(raw);
    expect(Buffer.from(native.decompress("deflate-raw", deflated, 4096))).toEqual(Buffer.from(raw));
    expect(code(() => native.decompress("deflate-raw", deflated, 512))).toBe("corrupt");
    expect(code(() => native.decompress("deflate-raw", deflated.subarray(0, 9), 4096))).toBe("corrupt");
    expect(code(() => codecs.decompress("deflate-raw", deflated, 4096))).toBe("unsupported_version");
    const liar = await loadCodecs({
      nativeZstd: { compress: (b) => b, decompress: () => new Uint8Array(7) },
    });
    expect(code(() => liar.decompress("zstd", bytes, 4096))).toBe("corrupt");
  });
});

describe("frames", () => {
  it("round-trip, verified before decompression (invariant 7: no unverified byte is returned or decoded)", () => {
    const raw = pageBytes(16 * KiB, 8);
    const frame = encodeFrame(codecs, raw);
    const ref = { offset: 0, length: frame.bytes.length, codec: frame.codec, hash: frame.hash };
    const where = { volume: "v", lsn: 3, segment: "s", frame: 2 };
    expect(decodeFrame(codecs, ref, frame.bytes, raw.length, where)).toEqual(raw);
    let decompressed = 0;
    const watching = {
      ...codecs,
      decompress: (...args: Parameters<typeof codecs.decompress>) => {
        decompressed++;
        return codecs.decompress(...args);
      },
    };
    property(
      fc.tuple(fc.nat(frame.bytes.length - 1), fc.integer({ min: 1, max: 255 })),
      ([at, change]) => {
        const broken = frame.bytes.slice();
        broken[at] = broken[at]! ^ change;
        try {
          decodeFrame(watching, ref, broken, raw.length, where);
          expect.fail("damage went unnoticed");
        } catch (error) {
          expect(isPagefoldError(error, "corrupt")).toBe(true);
          expect((error as PagefoldError).message).toContain("frame 2 of segment s of commit 3 of volume v");
          expect((error as PagefoldError).details).toEqual(where);
        }
      },
      100,
    );
    expect(decompressed).toBe(0);
    expect(code(() => decodeFrame(codecs, ref, frame.bytes.subarray(1), raw.length, where))).toBe("corrupt");
    expect(code(() => decodeFrame(codecs, ref, frame.bytes, raw.length - 512, where))).toBe("corrupt");
  });
});
