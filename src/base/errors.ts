/**
 * The one error type of the engine. Every failure that a caller can meet carries a `code` that says what the caller can
 * do, typed `details` that say what it happened to, and a message that says what to do next.
 */

/**
 * - `conflict`: the snapshot is stale; retry on the new one
 * - `diverged`: local and remote both have commits that the other lacks; choose reset, fork or replay
 * - `not_found`: no such volume, tag, LSN or object
 * - `unavailable`: the store cannot be reached or failed; retry later (`retryable`)
 * - `corrupt`: bytes that fail verification or cannot be decoded
 * - `unsupported_version`: written by a newer format version
 * - `invalid`: the caller's mistake
 * - `busy`: another owner holds it
 * - `quota`: no space left
 * - `unauthorized`, `forbidden`: who are you / you may not
 * - `closed`: used after close
 * - `aborted`: the caller's signal fired
 */
export type ErrorCode =
  | "conflict"
  | "diverged"
  | "not_found"
  | "unavailable"
  | "corrupt"
  | "unsupported_version"
  | "invalid"
  | "busy"
  | "quota"
  | "unauthorized"
  | "forbidden"
  | "closed"
  | "aborted";

/** What the error happened to; every field is optional and only set where it is known. */
export interface ErrorDetails {
  readonly volume?: string;
  readonly tag?: string;
  readonly lsn?: number;
  readonly segment?: string;
  readonly frame?: number;
  readonly page?: number;
  readonly key?: string;
  readonly path?: string;
  readonly owner?: string;
  readonly [more: string]: unknown;
}

export interface ErrorOptions {
  readonly cause?: unknown;
  readonly details?: ErrorDetails;
  /** Whether the same call may succeed later without any change by the caller. Default: true for `unavailable` only. */
  readonly retryable?: boolean;
}

export class PagefoldError extends Error {
  override readonly name = "PagefoldError";
  readonly code: ErrorCode;
  readonly details: ErrorDetails;
  readonly retryable: boolean;

  constructor(code: ErrorCode, message: string, options: ErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.details = options.details ?? {};
    this.retryable = options.retryable ?? code === "unavailable";
  }
}

/**
 * Whether `e` is a PagefoldError, and, where codes are named, one of those. Also one of another copy of this library: an application may have a bundle of
 * it beside the modules, and hand an object store of the one to a database of the other.
 */
export function isPagefoldError(e: unknown, ...codes: ErrorCode[]): e is PagefoldError {
  const isOne = e instanceof PagefoldError || (e instanceof Error && e.name === "PagefoldError");
  return isOne && (codes.length === 0 || codes.includes((e as PagefoldError).code));
}

/** The error of an operation whose `signal` fired. */
export function abortedError(what: string, cause?: unknown): PagefoldError {
  return new PagefoldError(
    "aborted",
    `${what} was aborted; what was done so far is consistent, run it again to finish`,
    {
      ...(cause === undefined ? {} : { cause }),
    },
  );
}

/** Throws `aborted` if the signal has fired. */
export function throwIfAborted(signal: AbortSignal | undefined, what: string): void {
  if (signal?.aborted) throw abortedError(what, signal.reason);
}
