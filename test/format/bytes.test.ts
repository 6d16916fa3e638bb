import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { isPagefoldError, PagefoldError } from "../../src/base/errors.ts";
import { ByteReader, ByteWriter, fromHex, toHex, varintLength } from "../../src/format/bytes.ts";
import { property } from "./support.ts";

const corrupt = (run: () => unknown): boolean => {
  try {
    run();
    return false;
  } catch (error) {
    return isPagefoldError(error, "corrupt");
  }
};

describe("bytes", () => {
  it("integers round-trip, little-endian", () => {
    property(fc.tuple(fc.nat(255), fc.nat(65535), fc.nat(0xffff_ffff), fc.maxSafeNat()), ([a, b, c, d]) => {
      const bytes = new ByteWriter().u8(a).u16(b).u32(c).u64(d).varint(d).varint(c).finish();
      const reader: ByteReader = new ByteReader(bytes, "test");
      expect([
        reader.u8(""),
        reader.u16(""),
        reader.u32(""),
        reader.u64(""),
        reader.varint(""),
        reader.varint(""),
      ]).toEqual([a, b, c, d, d, c]);
      reader.end();
      expect(bytes.length).toBe(15 + varintLength(d) + varintLength(c));
    });
    expect(
      toHex(
        new ByteWriter()
          .u32(0x01020304)
          .u64(2 ** 53 - 1)
          .finish(),
      ),
    ).toBe("04030201ffffffffffff1f00");
  });

  it("varints go to 2^53 - 1, in the fewest bytes, and no further", () => {
    const read = (...bytes: number[]) => new ByteReader(Uint8Array.from(bytes), "test").varint("n");
    expect(read(0)).toBe(0);
    expect(read(255, 255, 255, 255, 255, 255, 255, 15)).toBe(Number.MAX_SAFE_INTEGER);
    expect(corrupt(() => read(255, 255, 255, 255, 255, 255, 255, 16))).toBe(true);
    expect(corrupt(() => read(255, 255, 255, 255, 255, 255, 255, 255, 1))).toBe(true);
    expect(corrupt(() => read(128, 0))).toBe(true);
    expect(corrupt(() => read(129, 128, 0))).toBe(true);
    expect(corrupt(() => read(128))).toBe(true);
    expect(corrupt(() => new ByteReader(Uint8Array.of(7), "test").varint("n", 6))).toBe(true);
  });

  it("reads nothing past the end, and says what it was reading", () => {
    const reader: ByteReader = new ByteReader(new Uint8Array(3), "a thing", { lsn: 7 });
    for (const read of [
      () => reader.u32("x"),
      () => reader.u64("x"),
      () => reader.bytes(2 ** 40, "x"),
      () => reader.hex(4, "x"),
    ]) {
      expect(corrupt(read)).toBe(true);
    }
    expect(reader.remaining).toBe(3);
    expect(corrupt(() => reader.end())).toBe(true);
    try {
      reader.u32("the colour");
    } catch (error) {
      expect((error as PagefoldError).message).toMatch(
        /a thing at LSN 7 is damaged: it ends within the colour/,
      );
      expect((error as PagefoldError).details).toEqual({ lsn: 7 });
    }
  });

  it("hexadecimal round-trips and is strict", () => {
    property(fc.uint8Array(), (bytes) => expect(fromHex(toHex(bytes))).toEqual(bytes));
    for (const bad of ["a", "AB", "0g", "0x", "a "]) expect(() => fromHex(bad)).toThrow(PagefoldError);
  });
});
