/** What page modules assert with: small, and the same in pages, workers and Node. Failures are plain errors that say what was found. */
import { type ErrorCode, isPagefoldError, type PagefoldError } from "../../../src/base/errors.ts";

export function check(condition: unknown, message: string): asserts condition {
  if (!condition) throw new Error(message);
}

/** Equal as JSON; `undefined` equals only itself. */
export function equal(actual: unknown, expected: unknown, what = "value"): void {
  const [a, b] = [JSON.stringify(actual), JSON.stringify(expected)];
  check(a === b, `${what}: expected ${b?.slice(0, 1000)}, got ${a?.slice(0, 1000)}`);
}

export function sameBytes(actual: Uint8Array, expected: Uint8Array, what = "bytes"): void {
  equal(actual.length, expected.length, `${what}: length`);
  const at = actual.findIndex((byte, i) => byte !== expected[i]);
  check(at === -1, `${what}: byte ${at} is ${actual[at]}, not ${expected[at]}`);
}

/** The error of some work, which must be a PagefoldError with one of these codes. */
export async function failure(work: Promise<unknown>, ...codes: ErrorCode[]): Promise<PagefoldError> {
  let error: unknown;
  try {
    await work;
  } catch (caught) {
    error = caught;
  }
  check(error !== undefined, `expected an error (${codes.join(" or ")}), but it went well`);
  check(isPagefoldError(error, ...codes), `expected an error with code ${codes.join(" or ")}, got ${error}`);
  return error;
}

/** Bytes that compress a little, every page different, the same for the same seed. */
export function testBytes(length: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let x = Math.imul(seed + 1, 2_654_435_761) >>> 0 || 1;
  for (let i = 0; i < length; i++) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    bytes[i] = i % 2 === 0 ? (x >>> 24) & 0xff : 32;
  }
  return bytes;
}
