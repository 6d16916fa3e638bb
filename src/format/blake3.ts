/**
 * BLAKE3, plain and keyed, synchronous: the tree of chunks over the inner loops of `blake3-wasm.ts`, four chunks at a time. Pages and frames
 * are hashed whole and at once, which is what this is shaped for; anything longer streams through a buffer of 64 chunks.
 */
import { assert } from "../base/assert.ts";
import { type Blake3Exports, blake3Module, IV, KEY_AT } from "./blake3-wasm.ts";

const CHUNK_BYTES = 1024;
const BLOCK_BYTES = 64;
const CV_BYTES = 32;
/** A power of two, so that a full buffer is a subtree. */
const BUFFER_BYTES = 64 * CHUNK_BYTES;

const CHUNK_START = 1;
const CHUNK_END = 2;
const PARENT = 4;
const ROOT = 8;
const KEYED_HASH = 16;

/** Memory: the key, a chaining value on its own, the block that ends a chunk, those of subtrees, the buffer, its chunks' chaining values. */
const SPARE_AT = KEY_AT + CV_BYTES;
const BLOCK_AT = 64;
const STACK_AT = 128;
const BUFFER_AT = 4096;
const CVS_AT = BUFFER_AT + BUFFER_BYTES;

export class Blake3 {
  readonly #wasm: Blake3Exports;
  readonly #bytes: Uint8Array;
  readonly #words: Uint32Array;
  #key: Uint8Array | undefined;
  #keyFlag = 0;
  #filled = 0;
  /** Whole buffers before this one. */
  #buffers = 0;
  /** Chaining values on the stack: one per set bit of `#buffers`. */
  #depth = 0;

  private constructor(wasm: Blake3Exports) {
    this.#wasm = wasm;
    this.#bytes = new Uint8Array(wasm.memory.buffer);
    this.#words = new Uint32Array(wasm.memory.buffer);
    this.#words.set(IV, KEY_AT / 4);
  }

  /** @param options.simd false: as on a runtime without WebAssembly SIMD */
  static async load(options: { readonly simd?: boolean } = {}): Promise<Blake3> {
    const withSimd = options.simd === false ? undefined : blake3Module(true);
    const module = withSimd !== undefined && WebAssembly.validate(withSimd) ? withSimd : blake3Module(false);
    const { instance } = await WebAssembly.instantiate(module);
    return new Blake3(instance.exports as unknown as Blake3Exports);
  }

  /**
   * Begins a hash; whatever was begun before is forgotten.
   * @param key 32 bytes for a keyed hash; the array is remembered by identity, so its bytes must not change
   */
  init(key?: Uint8Array): this {
    if (key !== this.#key) {
      assert(key === undefined || key.length === CV_BYTES, "a BLAKE3 key of 32 bytes");
      if (key === undefined) this.#words.set(IV, KEY_AT / 4);
      else this.#bytes.set(key, KEY_AT);
      this.#key = key;
      this.#keyFlag = key === undefined ? 0 : KEYED_HASH;
    }
    this.#filled = 0;
    this.#buffers = 0;
    this.#depth = 0;
    return this;
  }

  update(bytes: Uint8Array): this {
    const { length } = bytes;
    if (this.#filled + length <= BUFFER_BYTES) {
      this.#bytes.set(bytes, BUFFER_AT + this.#filled);
      this.#filled += length;
      return this;
    }
    for (let done = 0; done < length; ) {
      // Only with more to come is a full buffer known not to be the root.
      if (this.#filled === BUFFER_BYTES) this.#pushBuffer();
      const count = Math.min(BUFFER_BYTES - this.#filled, length - done);
      this.#bytes.set(bytes.subarray(done, done + count), BUFFER_AT + this.#filled);
      this.#filled += count;
      done += count;
    }
    return this;
  }

  /** The first `length` bytes (at most 32) of the hash, written to `out` at `offset`. The next hash begins with `init`. */
  digestInto(out: Uint8Array, offset: number, length: number): void {
    const at = this.#finish();
    const bytes = this.#bytes;
    for (let i = 0; i < length; i++) out[offset + i] = bytes[at + i] as number;
  }

  /** Answers where the hash is. */
  #finish(): number {
    this.#reduceBuffer(this.#depth === 0 ? ROOT : 0);
    while (this.#depth > 0) {
      this.#depth--;
      this.#bytes.copyWithin(STACK_AT + (this.#depth + 1) * CV_BYTES, CVS_AT, CVS_AT + CV_BYTES);
      this.#parent(STACK_AT + this.#depth * CV_BYTES, CVS_AT, this.#depth === 0 ? ROOT : 0);
    }
    return CVS_AT;
  }

  #pushBuffer(): void {
    this.#reduceBuffer(0);
    this.#bytes.copyWithin(STACK_AT + this.#depth * CV_BYTES, CVS_AT, CVS_AT + CV_BYTES);
    this.#depth++;
    this.#buffers++;
    // Two subtrees of one size are one of twice that: as often as the count of buffers ends in zeros.
    for (let count = this.#buffers; count % 2 === 0; count /= 2) {
      this.#depth--;
      const left = STACK_AT + (this.#depth - 1) * CV_BYTES;
      this.#parent(left, left, 0);
    }
    this.#filled = 0;
  }

  /** Leaves the chaining value of what is in the buffer at CVS_AT. */
  #reduceBuffer(rootFlag: number): void {
    const chunks = Math.max(1, Math.ceil(this.#filled / CHUNK_BYTES));
    const firstChunk = (this.#buffers * BUFFER_BYTES) / CHUNK_BYTES;
    if (chunks === 1) {
      this.#chunk(0, this.#filled, firstChunk, rootFlag);
      return;
    }
    const { many } = this.#wasm;
    const whole = Math.floor(this.#filled / CHUNK_BYTES);
    let chunk = 0;
    // Lanes beyond the last whole chunk compute rubbish, which is overwritten or not looked at.
    for (; many !== undefined && chunk < whole; chunk += 4) {
      many(
        BUFFER_AT + chunk * CHUNK_BYTES,
        CHUNK_BYTES,
        CHUNK_BYTES / BLOCK_BYTES,
        firstChunk + chunk,
        1,
        this.#keyFlag,
        CHUNK_START,
        CHUNK_END,
        CVS_AT + chunk * CV_BYTES,
      );
    }
    for (chunk = Math.min(chunk, whole); chunk < chunks; chunk++) {
      const length = Math.min(CHUNK_BYTES, this.#filled - chunk * CHUNK_BYTES);
      this.#chunk(chunk, length, firstChunk + chunk, 0);
    }
    this.#reduceParents(chunks, rootFlag);
  }

  /** One chunk of the buffer, block by block. */
  #chunk(chunk: number, length: number, counter: number, rootFlag: number): void {
    const start = BUFFER_AT + chunk * CHUNK_BYTES;
    const out = CVS_AT + chunk * CV_BYTES;
    let flags = this.#keyFlag + CHUNK_START;
    let cv = KEY_AT;
    let at = 0;
    for (; at + BLOCK_BYTES < length; at += BLOCK_BYTES) {
      this.#wasm.one(cv, start + at, BLOCK_BYTES, counter, flags, out);
      flags = this.#keyFlag;
      cv = out;
    }
    const rest = length - at;
    this.#words.fill(0, BLOCK_AT / 4, (BLOCK_AT + BLOCK_BYTES) / 4);
    for (let i = 0; i < rest; i++) this.#bytes[BLOCK_AT + i] = this.#bytes[start + at + i] as number;
    this.#wasm.one(cv, BLOCK_AT, rest, counter, flags + CHUNK_END + rootFlag, out);
  }

  /** Pairs chaining values level by level, an odd one moving up as it is, until one is left. */
  #reduceParents(count: number, rootFlag: number): void {
    const { many } = this.#wasm;
    let left = count;
    while (left > 2) {
      const pairs = left >> 1;
      const odd = left % 2 === 1;
      const last = CVS_AT + (left - 1) * CV_BYTES;
      // Lanes without a pair write over what follows.
      if (odd) this.#copyCv(last, SPARE_AT);
      let pair = 0;
      // A vector for a single pair would cost more than the pair alone.
      for (; many !== undefined && pair + 1 < pairs; pair += 4) {
        const from = CVS_AT + pair * BLOCK_BYTES;
        many(from, BLOCK_BYTES, 1, 0, 0, this.#keyFlag + PARENT, 0, 0, CVS_AT + pair * CV_BYTES);
      }
      for (; pair < pairs; pair++) this.#parent(CVS_AT + pair * BLOCK_BYTES, CVS_AT + pair * CV_BYTES, 0);
      if (odd) this.#copyCv(SPARE_AT, CVS_AT + pairs * CV_BYTES);
      left = pairs + (odd ? 1 : 0);
    }
    this.#parent(CVS_AT, CVS_AT, rootFlag);
  }

  #copyCv(from: number, to: number): void {
    for (let i = 0; i < CV_BYTES / 4; i++) this.#words[to / 4 + i] = this.#words[from / 4 + i] as number;
  }

  #parent(block: number, out: number, rootFlag: number): void {
    this.#wasm.one(KEY_AT, block, BLOCK_BYTES, 0, this.#keyFlag + PARENT + rootFlag, out);
  }
}
