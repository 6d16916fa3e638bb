/**
 * Errors as HTTP: PagefoldError → `application/problem+json` (RFC 9457) with the library's code. Where the code alone does not tell the
 * status (a range, a precondition, a body that lies), an `HttpError` says it.
 */
import { type ErrorCode, type ErrorOptions, PagefoldError } from "../../src/base/errors.ts";

export const PROBLEM_TYPE = "application/problem+json";

export interface HttpErrorOptions extends ErrorOptions {
  readonly headers?: Readonly<Record<string, string>>;
}

/** A PagefoldError that knows its status and, perhaps, headers of the answer. */
export class HttpError extends PagefoldError {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;

  constructor(status: number, code: ErrorCode, message: string, options: HttpErrorOptions = {}) {
    super(code, message, options);
    this.status = status;
    this.headers = options.headers ?? {};
  }
}

const STATUS: Readonly<Record<ErrorCode, number>> = {
  conflict: 409,
  diverged: 409,
  not_found: 404,
  unavailable: 503,
  // Bytes of the store, not of the caller: what a caller sends is refused with 422 where it is checked.
  corrupt: 500,
  unsupported_version: 501,
  invalid: 400,
  busy: 503,
  quota: 507,
  unauthorized: 401,
  forbidden: 403,
  closed: 503,
  aborted: 503,
};

const TITLES: Readonly<Record<number, string>> = {
  400: "Bad Request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  408: "Request Timeout",
  409: "Conflict",
  412: "Precondition Failed",
  413: "Content Too Large",
  415: "Unsupported Media Type",
  416: "Range Not Satisfiable",
  422: "Unprocessable Content",
  428: "Precondition Required",
  429: "Too Many Requests",
  431: "Request Header Fields Too Large",
  500: "Internal Server Error",
  501: "Not Implemented",
  503: "Service Unavailable",
  507: "Insufficient Storage",
};

/** Seconds after which a caller may try again, where nothing better is known. */
const RETRY_AFTER_SECONDS = "1";

/** The body of an error answer. */
export interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly code: ErrorCode;
  readonly details: Readonly<Record<string, unknown>>;
}

export function statusOf(error: PagefoldError): number {
  return error instanceof HttpError ? error.status : STATUS[error.code];
}

/** Anything thrown as a PagefoldError; what is none is our own bug, of which the caller learns nothing but that. */
export function toPagefoldError(error: unknown): PagefoldError {
  if (error instanceof PagefoldError) return error;
  return new HttpError(500, "unavailable", "the server failed; its log says why, try again later", {
    cause: error,
    retryable: false,
  });
}

export function problemOf(error: PagefoldError): Problem {
  const status = statusOf(error);
  return {
    type: `urn:pagefold:${error.code}`,
    title: TITLES[status] ?? "Error",
    status,
    detail: error.message,
    code: error.code,
    details: plainDetails(error.details),
  };
}

/** The answer for anything thrown. `withBody` is false for HEAD. */
export function problemResponse(thrown: unknown, withBody = true): Response {
  const error = toPagefoldError(thrown);
  const status = statusOf(error);
  const headers = new Headers({ "content-type": PROBLEM_TYPE, "cache-control": "no-store" });
  if (status === 401) headers.set("www-authenticate", "Bearer");
  if (status === 429 || status === 503) headers.set("retry-after", RETRY_AFTER_SECONDS);
  if (error instanceof HttpError)
    for (const [name, value] of Object.entries(error.headers)) headers.set(name, value);
  return new Response(withBody ? JSON.stringify(problemOf(error)) : null, { status, headers });
}

/** Details that JSON can carry: no bigint, no nested objects of the engine. */
function plainDetails(details: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const plain: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(details)) {
    if (typeof value === "bigint") plain[name] = value.toString();
    else if (typeof value === "string" || typeof value === "number" || typeof value === "boolean") {
      plain[name] = value;
    }
  }
  return plain;
}
