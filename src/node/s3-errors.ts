/**
 * What a failed S3 request means to its caller. Requests fail in a hundred ways under a dozen servers; they are sorted by error
 * name first, then by HTTP status. The SDK's errors carry access key ids and signed strings, so of the original only name,
 * message, status and request id are kept.
 */
import { type ErrorCode, isPagefoldError, PagefoldError } from "../base/errors.ts";

/** The parts of an SDK error that are read. */
export interface S3Failure {
  readonly name: string;
  readonly message: string;
  /** HTTP status, or 0 where no answer came. */
  readonly status: number;
  /** How many times the SDK sent the request. */
  readonly attempts: number;
  readonly requestId?: string;
}

const NAMES: Readonly<Record<string, ErrorCode>> = {
  NoSuchBucket: "not_found",
  AccessDenied: "forbidden",
  AllAccessDisabled: "forbidden",
  AccountProblem: "forbidden",
  InvalidObjectState: "forbidden",
  InvalidAccessKeyId: "unauthorized",
  SignatureDoesNotMatch: "unauthorized",
  ExpiredToken: "unauthorized",
  ExpiredTokenException: "unauthorized",
  InvalidToken: "unauthorized",
  // versitygw's answer (404) to an access key that it does not know.
  XAdminUserNotFound: "unauthorized",
  TokenRefreshRequired: "unauthorized",
  RequestTimeTooSkewed: "unauthorized",
  CredentialsProviderError: "unauthorized",
  CredentialsError: "unauthorized",
  TokenProviderError: "unauthorized",
  QuotaExceeded: "quota",
  XMinioStorageFull: "quota",
  StorageFull: "quota",
  InsufficientCapacity: "quota",
  EntityTooLarge: "invalid",
  PermanentRedirect: "invalid",
  AuthorizationHeaderMalformed: "invalid",
  NotImplemented: "invalid",
  RequestTimeout: "unavailable",
  IncompleteBody: "unavailable",
  BadDigest: "unavailable",
};

const STATUSES: Readonly<Record<number, ErrorCode>> = {
  0: "unavailable",
  301: "invalid",
  307: "unavailable",
  401: "unauthorized",
  403: "forbidden",
  404: "not_found",
  408: "unavailable",
  409: "unavailable",
  425: "unavailable",
  429: "unavailable",
  501: "invalid",
  507: "quota",
};

const ADVICE: Readonly<Record<string, string>> = {
  not_found: "check the bucket's name, region and endpoint, or create the bucket",
  forbidden:
    "grant these credentials s3:GetObject, s3:PutObject, s3:DeleteObject and s3:ListBucket here (without s3:ListBucket, S3 answers so for absent keys too)",
  unauthorized:
    "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or another source that the AWS SDK knows), and check the clock",
  quota: "free some space or raise the quota, then try again",
  unavailable: "check the endpoint and the network, then try again",
  invalid: "check the region (AWS_REGION) and the endpoint, and whether the server knows this request",
};

/** Names of the SDK's errors for a connection that failed or was given up, and Node's codes for the same. */
const NETWORK =
  /^(?:TimeoutError|NetworkingError|NetworkError|E(?:CONN|PIPE|TIMEDOUT|HOST|NET|NOTFOUND|AI_AGAIN|ADDR|PROTO)\w*|UND_ERR\w*|ERR_SSL\w*|HPE_\w+)$/;

export function readFailure(error: unknown): S3Failure {
  const e = (typeof error === "object" && error !== null ? error : {}) as {
    name?: unknown;
    Code?: unknown;
    code?: unknown;
    message?: unknown;
    $metadata?: { httpStatusCode?: unknown; attempts?: unknown; requestId?: unknown };
    $response?: { statusCode?: unknown };
  };
  const text = (value: unknown): string => (typeof value === "string" ? value : "");
  const count = (value: unknown): number | undefined => (typeof value === "number" ? value : undefined);
  const name = [text(e.name), text(e.Code), text(e.code)].find((n) => n !== "" && n !== "Error") ?? "Error";
  const requestId = text(e.$metadata?.requestId);
  return {
    name: NAMES[text(e.code)] === undefined && NETWORK.test(text(e.code)) ? text(e.code) : name,
    message: text(e.message) || String(error),
    status: count(e.$metadata?.httpStatusCode) ?? count(e.$response?.statusCode) ?? 0,
    attempts: count(e.$metadata?.attempts) ?? 1,
    ...(requestId === "" ? {} : { requestId }),
  };
}

/** Whether an error's name says more than its HTTP status does. */
export function hasOwnMeaning(name: string): boolean {
  return NAMES[name] !== undefined;
}

/** Whether the request may have taken effect although it failed: no answer, or a server's own failure. */
export function isAmbiguous(failure: S3Failure): boolean {
  if (NAMES[failure.name] !== undefined && NAMES[failure.name] !== "unavailable") return false;
  return failure.status === 0 || failure.status === 408 || (failure.status >= 500 && failure.status !== 501);
}

/** `what` reads like "reading volumes/x/head in s3://bucket". Errors that are PagefoldErrors already are returned as they are. */
export function s3Error(error: unknown, what: string, store: string, key?: string): PagefoldError {
  if (isPagefoldError(error)) return error;
  const failure = readFailure(error);
  const details = {
    store,
    ...(key === undefined ? {} : { key }),
    s3Error: failure.name,
    ...(failure.status === 0 ? {} : { status: failure.status }),
    ...(failure.requestId === undefined ? {} : { requestId: failure.requestId }),
  };
  const cause = plainError(failure);
  if (failure.name === "AbortError")
    return new PagefoldError("aborted", `${what} was aborted; run it again`, { cause, details });
  const code = codeOf(failure);
  const shown = failure.name === failure.message || failure.name === "Error" ? "" : `${failure.name}: `;
  return new PagefoldError(
    code,
    `${what} failed (${shown}${trimmed(failure.message)}); ${ADVICE[code] ?? ""}`,
    {
      cause,
      details,
    },
  );
}

function codeOf({ name, message, status }: S3Failure): ErrorCode {
  // The SDK's own complaints about its settings come as plain errors, before anything is sent.
  if (status === 0 && /^(?:Region is missing|Invalid URL|Invalid endpoint)/i.test(message)) return "invalid";
  const named = NAMES[name];
  if (named !== undefined) return named;
  if (NETWORK.test(name)) return "unavailable";
  return STATUSES[status] ?? (status >= 400 && status < 500 ? "invalid" : "unavailable");
}

function plainError(failure: S3Failure): Error {
  const plain = new Error(trimmed(failure.message));
  plain.name = failure.name;
  return plain;
}

function trimmed(message: string): string {
  const line = message.replace(/\s+/g, " ").trim().replace(/\.$/, "");
  return line.length > 300 ? `${line.slice(0, 300)}…` : line;
}
