/** What is sent and is not what it says: refused with 422, whatever the decoder calls it. */
import { isPagefoldError } from "../../../src/base/errors.ts";
import { HttpError } from "../problem.ts";

/** The refusal of something that was sent. */
export function lie(
  what: string,
  problem: string,
  details: Readonly<Record<string, unknown>> = {},
  cause?: unknown,
): HttpError {
  return new HttpError(422, "invalid", `${what} is refused, nothing of it was stored: ${problem}`, {
    details,
    ...(cause === undefined ? {} : { cause }),
  });
}

/** Runs a decoder over what was sent: what it finds corrupt is the sender's lie. */
export function decoding<T>(what: string, decode: () => T): T {
  try {
    return decode();
  } catch (error) {
    throw asLie(what, error);
  }
}

/** An error of a decoder as the sender's lie; others stay as they are. */
export function asLie(what: string, error: unknown): unknown {
  if (!isPagefoldError(error, "corrupt", "unsupported_version") || error instanceof HttpError) return error;
  return new HttpError(422, "invalid", `${what} is refused, nothing of it was stored: ${error.message}`, {
    cause: error,
    details: error.details,
  });
}
