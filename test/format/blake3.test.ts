import fc from "fast-check";
import { createBLAKE3 } from "hash-wasm";
import { describe, expect, it } from "vitest";
import { Blake3 } from "../../src/format/blake3.ts";
import { property, someBytes } from "./support.ts";

const key = someBytes(32, 5);
const plain = await createBLAKE3(256);
const keyed = await createBLAKE3(256, key);
const data = someBytes(400_000, 6);

/** Around every boundary: block, chunk, four chunks, trees of odd shape, the buffer and its multiples. */
const lengths = [
  ...[
    0, 1, 63, 64, 65, 127, 128, 1023, 1024, 1025, 2048, 2049, 3072, 3073, 4095, 4096, 4097, 4104, 5120, 5121,
  ],
  ...[
    6145,
    7168,
    7169,
    8192,
    9000,
    12_289,
    31_745,
    61 * 1024 + 1,
    62 * 1024,
    63 * 1024,
    65_535,
    65_536,
    65_537,
  ],
  ...[66_561, 131_072, 131_073, 196_608, 196_609, 262_145, 327_681, 393_217],
];

describe.each([{ simd: true }, { simd: false }])("BLAKE3, SIMD $simd", async (options) => {
  const ours = await Blake3.load(options);
  const out = new Uint8Array(32);
  const hex = () => Buffer.from(out).toString("hex");

  it("is the one of an independent implementation at every boundary, plain and keyed", () => {
    for (const length of lengths) {
      const bytes = data.subarray(0, length);
      ours.init().update(bytes).digestInto(out, 0, 32);
      expect(hex(), `${length} bytes`).toBe(plain.init().update(bytes).digest());
      ours.init(key).update(bytes).digestInto(out, 0, 32);
      expect(hex(), `${length} bytes, keyed`).toBe(keyed.init().update(bytes).digest());
    }
  });

  it("does not depend on how the bytes are cut, nor on what was hashed or left half done before", () => {
    const pieces = fc.array(fc.nat({ max: 70_000 }), { maxLength: 6 });
    property(fc.tuple(pieces, fc.nat({ max: 1000 })), ([cuts, from]) => {
      ours.init(key).update(data.subarray(0, from));
      ours.init();
      plain.init();
      let at = from;
      for (const cut of cuts) {
        ours.update(data.subarray(at, at + cut));
        plain.update(data.subarray(at, at + cut));
        at += cut;
      }
      ours.digestInto(out, 0, 32);
      expect(hex()).toBe(plain.digest());
    });
  });

  it("writes as many bytes as it is asked for, where it is asked to", () => {
    const short = new Uint8Array(24);
    ours.init().update(data.subarray(0, 5000)).digestInto(out, 0, 32);
    ours.init().update(data.subarray(0, 5000)).digestInto(short, 4, 16);
    expect(short).toEqual(Uint8Array.from([0, 0, 0, 0, ...out.subarray(0, 16), 0, 0, 0, 0]));
  });
});
