/**
 * The wasm heap as the VFS reads and writes it. Growth of the heap detaches every view of it, so no view is used without a check:
 * a detached one has length 0. `>>> 2` and `>>> 4` here are on wasm addresses, which end at 2 GiB, never on file offsets.
 */
import type { Sqlite3Static } from "@sqlite.org/sqlite-wasm";

/** Remembered views; SQLite reads into the same few page buffers again and again, and a new view costs more than the copy. */
const WINDOWS = 256;
const TWO_32 = 4_294_967_296;

export class Heap {
  readonly #wasm: Sqlite3Static["wasm"];
  readonly #windows: Uint8Array[] = new Array<Uint8Array>(WINDOWS).fill(new Uint8Array(0));
  #bytes: Uint8Array;
  #words: Uint32Array;

  constructor(wasm: Sqlite3Static["wasm"]) {
    this.#wasm = wasm;
    this.#bytes = wasm.heap8u();
    this.#words = wasm.heap32u();
  }

  /** The whole heap, as it is now. */
  bytes(): Uint8Array {
    if (this.#bytes.length === 0) this.#bytes = this.#wasm.heap8u();
    return this.#bytes;
  }

  /** `length` bytes at `pointer`: for use at once, before anything runs that could grow the heap. */
  window(pointer: number, length: number): Uint8Array {
    const i = (pointer >>> 4) % WINDOWS;
    const window = this.#windows[i] as Uint8Array;
    // A detached window has length 0 and is not taken.
    if (window.byteOffset === pointer && window.length === length) return window;
    const made = this.bytes().subarray(pointer, pointer + length);
    this.#windows[i] = made;
    return made;
  }

  setInt32(pointer: number, value: number): void {
    this.#currentWords()[pointer >>> 2] = value;
  }

  /** Any whole number from 0 to 2^53 - 1, without a BigInt. */
  setInt64(pointer: number, value: number): void {
    const words = this.#currentWords();
    words[pointer >>> 2] = value % TWO_32;
    words[(pointer >>> 2) + 1] = Math.floor(value / TWO_32);
  }

  #currentWords(): Uint32Array {
    if (this.#words.length === 0) this.#words = this.#wasm.heap32u();
    return this.#words;
  }
}
