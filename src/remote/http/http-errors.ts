/** From an HTTP answer to a PagefoldError: by the code of its problem document where it has one, else by its status. */
import { type ErrorCode, type ErrorDetails, PagefoldError } from "../../base/errors.ts";
import { dropBody, type HttpHeaders, type HttpResponse } from "./http-fetch.ts";

/** Longest problem document that is read. */
const MAX_PROBLEM_CHARACTERS = 64 * 1024;
/** A server that asks for more patience than this is not waited for. */
const MAX_RETRY_AFTER_MS = 60_000;

const CODES: ReadonlySet<string> = new Set<ErrorCode>([
  "conflict",
  "diverged",
  "not_found",
  "unavailable",
  "corrupt",
  "unsupported_version",
  "invalid",
  "busy",
  "quota",
  "unauthorized",
  "forbidden",
  "closed",
  "aborted",
]);

const BY_STATUS: Readonly<Record<number, ErrorCode>> = {
  400: "invalid",
  401: "unauthorized",
  402: "forbidden",
  403: "forbidden",
  404: "not_found",
  405: "forbidden",
  409: "conflict",
  410: "not_found",
  411: "invalid",
  413: "invalid",
  414: "invalid",
  422: "invalid",
  451: "forbidden",
  501: "forbidden",
  507: "quota",
};

/** Statuses after which the same request may succeed. */
const RETRYABLE: ReadonlySet<number> = new Set([408, 425, 429, 500, 502, 503, 504]);

interface Problem {
  readonly code?: string;
  readonly title?: string;
  readonly detail?: string;
  readonly details?: ErrorDetails;
}

/** Whether the answer is a problem document of a Pagefold server, whatever it says. */
export function isProblem(headers: HttpHeaders): boolean {
  return /^application\/problem\+json\b/i.test(headers.get("content-type") ?? "");
}

/** The error that an answer of another status than was hoped for stands for; reads or drops its body. */
export async function errorOfResponse(
  response: HttpResponse,
  what: string,
  details: ErrorDetails,
): Promise<PagefoldError> {
  const { status, headers } = response;
  const problem = isProblem(headers) ? await readProblem(response) : undefined;
  if (problem === undefined) await dropBody(response);
  return errorOfProblem(problem, what, { ...details, status, ...retryAfter(headers) });
}

/** The same for a problem that came within an answer (a bundle's failure entry). */
export function errorOfProblem(
  problem: unknown,
  what: string,
  details: ErrorDetails & { readonly status?: number },
): PagefoldError {
  const { code: told, title, detail, details: more } = (problem ?? {}) as Problem;
  const { status = 500 } = details;
  const code =
    told !== undefined && CODES.has(told) ? (told as ErrorCode) : (BY_STATUS[status] ?? "unavailable");
  const reason = detail ?? title ?? `the server answered ${status}`;
  return new PagefoldError(code, `${what}: ${reason}${detail === undefined ? adviceFor(code, status) : ""}`, {
    details: { ...(isRecord(more) ? more : {}), ...details },
    retryable: RETRYABLE.has(status) && code === "unavailable",
  });
}

function adviceFor(code: ErrorCode, status: number): string {
  if (code === "unauthorized") return "; give a token that is valid (auth)";
  if (code === "forbidden") return "; the token does not grant this, or the host only reads";
  if (status === 429) return "; too many requests, try again later";
  return code === "unavailable" ? "; try again" : "";
}

/** `Retry-After` in milliseconds: seconds, or a date against the answer's own. */
function retryAfter(headers: HttpHeaders): { readonly retryAfterMs?: number } {
  const told = headers.get("retry-after");
  if (told === null) return {};
  const seconds = /^\d+$/.test(told.trim())
    ? Number(told)
    : (Date.parse(told) - Date.parse(headers.get("date") ?? "")) / 1000;
  if (!Number.isFinite(seconds) || seconds < 0) return {};
  return { retryAfterMs: Math.min(seconds * 1000, MAX_RETRY_AFTER_MS) };
}

async function readProblem(response: HttpResponse): Promise<Problem | undefined> {
  try {
    const body: unknown = JSON.parse((await response.text()).slice(0, MAX_PROBLEM_CHARACTERS));
    return isRecord(body) ? (body as Problem) : undefined;
  } catch {
    // The status says what it can.
    return undefined;
  }
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
