/**
 * A wasm module of two functions that stand between SQLite and JavaScript: `xRead` and `xWrite` take a 64-bit offset, which would
 * arrive in JavaScript as a BigInt made for each call; here it arrives as a number (exact up to 2^53). This is also the place
 * where a suspending bridge branches: ask JavaScript first, and suspend only where the answer is "must be fetched".
 */

/** (file, buffer, bytes, offset) → SQLite result code. */
export type TransferMethod = (pFile: number, pBuffer: number, n: number, offset: number) => number;

const I32 = 0x7f;
const I64 = 0x7e;
const F64 = 0x7c;

/** Sections of at most 127 bytes, so that every length is one byte of LEB128. */
const section = (id: number, ...body: number[]): number[] => [id, body.length, ...body];
const transferType = (offset: number): number[] => [0x60, 4, I32, I32, I32, offset, 1, I32];
const name = (letter: string): number[] => [1, letter.charCodeAt(0)];
/** Passes all four parameters on to imported function `i`; 0xb9 is f64.convert_i64_s. */
const body = (i: number): number[] => {
  const code = [0, 0x20, 0, 0x20, 1, 0x20, 2, 0x20, 3, 0xb9, 0x10, i, 0x0b];
  return [code.length, ...code];
};

const MODULE = new Uint8Array([
  ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
  ...section(1, 2, ...transferType(F64), ...transferType(I64)),
  ...section(2, 2, ...name("j"), ...name("r"), 0, 0, ...name("j"), ...name("w"), 0, 0),
  ...section(3, 2, 1, 1),
  ...section(7, 2, ...name("r"), 0, 2, ...name("w"), 0, 3),
  ...section(10, 2, ...body(0), ...body(1)),
]);

/** The two as wasm functions, to be installed as `xRead` and `xWrite`. Compiles 100 bytes: a few microseconds. */
export function makeTransferThunks(methods: {
  readonly read: TransferMethod;
  readonly write: TransferMethod;
}): {
  readonly read: CallableFunction;
  readonly write: CallableFunction;
} {
  const instance = new WebAssembly.Instance(new WebAssembly.Module(MODULE), {
    j: { r: methods.read, w: methods.write },
  });
  return { read: instance.exports.r as CallableFunction, write: instance.exports.w as CallableFunction };
}
