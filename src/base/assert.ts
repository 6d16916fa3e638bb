/** Assertions are for our own bugs only. What comes from a disk, a network or a caller gets a PagefoldError with a code. */

export class AssertionError extends Error {
  override readonly name = "AssertionError";
}

export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new AssertionError(`pagefold bug: ${message}`);
}

/** For the default branch of a switch over a closed union. */
export function unreachable(value: never): never {
  throw new AssertionError(`pagefold bug: unreachable value ${String(value)}`);
}
