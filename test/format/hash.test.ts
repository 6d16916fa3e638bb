import fc from "fast-check";
import { createBLAKE3 } from "hash-wasm";
import { describe, expect, it } from "vitest";
import type { StateChecksum } from "../../src/base/brand.ts";
import { fromHex } from "../../src/format/bytes.ts";
import {
  isZeroPage,
  StateChecksumSum,
  stateChecksumFromBytes,
  stateChecksumToBytes,
  stateChecksumToText,
} from "../../src/format/checksum.ts";
import { loadHasher } from "../../src/format/hash.ts";
import { page, pageBytes, property, someBytes } from "./support.ts";

const hasher = await loadHasher();
const utf8 = (text: string) => new TextEncoder().encode(text);

describe("hashes", () => {
  it("BLAKE3 and XXH64 give the published values", () => {
    expect(hasher.blake3()).toBe("af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262");
    const abc = "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85";
    expect(hasher.blake3(utf8("a"), utf8(""), utf8("bc"))).toBe(abc);
    expect(hasher.frameHash(utf8("abc"))).toBe(abc.slice(0, 32));
    expect(hasher.xxh64(new Uint8Array(0))).toBe(0xef46db3751d8e999n);
    expect(hasher.xxh64(utf8("abc"))).toBe(0x44bc2cf5ad770999n);
    expect(hasher.xxh64(utf8("abc"), 1n)).not.toBe(0x44bc2cf5ad770999n);
  });

  it("is loaded once", () => expect(loadHasher()).toBe(loadHasher()));

  it("page digests are BLAKE3 keyed by the seed over bytes and page index, whichever digester ran before", async () => {
    const seeds = [someBytes(16, 1), someBytes(16, 2)];
    const digesters = seeds.map((seed) => hasher.pageDigests(seed));
    const out = new Uint8Array(40);
    for (let round = 0; round < 6; round++) {
      const which = round % 2;
      const bytes = pageBytes(512 << round, round);
      digesters[which]!.digestInto(page(5_000_000 + round), bytes, out, 8);
      const key = fromHex(hasher.blake3(utf8("pagefold v1 page digest key\0"), seeds[which]!));
      const index = new Uint8Array(8);
      new DataView(index.buffer).setUint32(0, 5_000_000 + round, true);
      const independent = (await createBLAKE3(256, key)).init().update(bytes).update(index).digest("binary");
      expect(out.subarray(8, 24)).toEqual(independent.subarray(0, 16));
      hasher.blake3(bytes);
    }
    expect(out.subarray(0, 8)).toEqual(new Uint8Array(8));
    expect(out.subarray(24)).toEqual(new Uint8Array(16));
  });

  it("swapped pages, other seeds and zero pages", () => {
    const digest = (seed: number, index: number, bytes: Uint8Array) => {
      const out = new Uint8Array(16).fill(9);
      hasher.pageDigests(someBytes(16, seed)).digestInto(page(index), bytes, out, 0);
      return Buffer.from(out).toString("hex");
    };
    const bytes = pageBytes(4096, 3);
    expect(new Set([digest(1, 1, bytes), digest(1, 2, bytes), digest(2, 1, bytes)]).size).toBe(3);
    expect(digest(1, 1, new Uint8Array(4096))).toBe("00".repeat(16));
  });
});

describe("state checksum", () => {
  const digests = fc.array(fc.uint8Array({ minLength: 16, maxLength: 16 }), { maxLength: 30 });
  const asBig = (bytes: Uint8Array) => stateChecksumFromBytes(bytes) as bigint;
  const mod = (n: bigint) => ((n % (1n << 128n)) + (1n << 128n)) % (1n << 128n);

  it("is the sum modulo 2^128, in any order, and subtraction undoes addition", () => {
    property(fc.tuple(digests, digests), ([plus, minus]) => {
      const sum = new StateChecksumSum().add(Buffer.concat(plus));
      for (const digest of minus) sum.subtract(digest);
      const expected = mod(
        plus.reduce((n, d) => n + asBig(d), 0n) - minus.reduce((n, d) => n + asBig(d), 0n),
      );
      expect(sum.value()).toBe(expected);
      const again = StateChecksumSum.from(sum.value()).add(Buffer.concat(minus));
      for (const digest of [...plus].reverse()) again.subtract(digest);
      expect(again.value()).toBe(0n);
    });
  });

  it("carries stay exact over millions of the largest digests", () => {
    const many = new Uint8Array(16 * 65_536).fill(255);
    const sum = new StateChecksumSum();
    for (let i = 0; i < 40; i++) sum.add(many);
    expect(sum.value()).toBe(mod(-BigInt(40 * 65_536)));
    for (let i = 0; i < 40; i++) sum.subtract(many);
    expect(sum.value()).toBe(0n);
  });

  it("offset, count, partial sums and forms", () => {
    const two = someBytes(48, 4);
    const part = new StateChecksumSum().add(two, 16, 1).value();
    expect(part).toBe(asBig(two.subarray(16, 32)));
    expect(new StateChecksumSum().add(two, 0, 1).addValue(part).add(two, 32).value()).toBe(
      new StateChecksumSum().add(two).value(),
    );
    property(fc.bigInt({ min: 0n, max: (1n << 128n) - 1n }), (n) => {
      expect(stateChecksumFromBytes(stateChecksumToBytes(n as StateChecksum))).toBe(n);
      expect(BigInt(`0x${stateChecksumToText(n as StateChecksum)}`)).toBe(n);
      expect(StateChecksumSum.from(n as StateChecksum).value()).toBe(n);
    });
  });

  it("isZeroPage sees any one bit, aligned or not", () => {
    for (const offset of [0, 1, 3, 8]) {
      const bytes = new Uint8Array(offset + 512).subarray(offset);
      expect(isZeroPage(bytes)).toBe(true);
      for (let bit = 0; bit < 512 * 8; bit++) {
        bytes[bit >>> 3] = 1 << (bit & 7);
        expect(isZeroPage(bytes)).toBe(false);
        bytes[bit >>> 3] = 0;
      }
    }
    expect(isZeroPage(new Uint8Array(0))).toBe(true);
  });
});
