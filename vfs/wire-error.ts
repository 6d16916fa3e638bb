/** Errors as plain data, for message ports and shared memory: a PagefoldError arrives as the same PagefoldError. */
import { type ErrorCode, isPagefoldError, PagefoldError } from "../src/base/errors.ts";

export interface WireError {
  /** Absent for what is no PagefoldError: somebody's bug. */
  readonly code?: ErrorCode;
  readonly name: string;
  readonly message: string;
  readonly retryable?: boolean;
  /** JSON, where it can be written as such. */
  readonly details?: string;
  readonly cause?: WireError;
}

/** Causes of causes are followed so far. */
const MAX_DEPTH = 4;

export function toWireError(error: unknown, depth = 0): WireError {
  if (!(error instanceof Error)) return { name: "Error", message: String(error) };
  const { name, message } = error;
  const cause =
    error.cause === undefined || depth >= MAX_DEPTH ? {} : { cause: toWireError(error.cause, depth + 1) };
  if (!isPagefoldError(error)) return { name, message, ...cause };
  return {
    name,
    message,
    code: error.code,
    retryable: error.retryable,
    details: detailsText(error.details),
    ...cause,
  };
}

export function fromWireError(wire: WireError): Error {
  const cause = wire.cause === undefined ? {} : { cause: fromWireError(wire.cause) };
  if (wire.code === undefined) {
    const error = new Error(wire.message, cause);
    error.name = wire.name;
    return error;
  }
  return new PagefoldError(wire.code, wire.message, {
    details: wire.details === undefined ? {} : JSON.parse(wire.details),
    retryable: wire.retryable ?? false,
    ...cause,
  });
}

/** A function, a symbol or an object of a class that cannot leave its thread, among the parameters. */
export function unsendable(cause: unknown): PagefoldError {
  return new PagefoldError(
    "invalid",
    `the parameters cannot be sent to SQLite: ${String(cause)}; give null, numbers, bigints, strings, booleans or Uint8Arrays`,
    { cause },
  );
}

function detailsText(details: object): string {
  try {
    return JSON.stringify(details, (_, value) => (typeof value === "bigint" ? value.toString() : value));
  } catch {
    return "{}";
  }
}
