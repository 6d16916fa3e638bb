/** Equality for checks that run inside and outside of the test runner, also in child processes. */
import { inspect, isDeepStrictEqual } from "node:util";

/** @throws where `actual` is not deeply equal to `expected`; `what` says what that means */
export function same(actual: unknown, expected: unknown, what: string): void {
  if (isDeepStrictEqual(actual, expected)) return;
  const text = (value: unknown): string => inspect(value, { depth: 6, maxArrayLength: 20, breakLength: 110 });
  throw new Error(`${what}: ${text(actual)} instead of ${text(expected)}`);
}
