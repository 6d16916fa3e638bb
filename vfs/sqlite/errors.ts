/** Errors of JavaScript as SQLite result codes, and result codes of SQLite as PagefoldErrors. */
import { abortedError, isPagefoldError, PagefoldError } from "../../src/base/errors.ts";
import {
  BUSY,
  BUSY_SNAPSHOT,
  CONSTRAINT,
  CORRUPT,
  FULL,
  INTERRUPT,
  IOERR,
  IOERR_DATA,
  LOCKED,
  NOMEM,
  NOTADB,
  READONLY,
  TOOBIG,
} from "./codes.ts";

/** What a VFS method answers SQLite when `error` was thrown in it; `otherwise` says which method. */
export function codeOf(error: unknown, otherwise: number): number {
  if (isPagefoldError(error, "aborted")) return INTERRUPT;
  if (isPagefoldError(error, "corrupt")) return IOERR_DATA;
  if (isPagefoldError(error, "quota")) return FULL;
  return otherwise;
}

/** Of a read that failed in a call that SQLite carried out as if it had not. */
export function hiddenError(cause: unknown): PagefoldError {
  return errorOf({ code: IOERR, message: "a page could not be read", cause });
}

/** What moves a volume, or a connection to another one, waits for nothing that its caller holds. */
export function openTransaction(): PagefoldError {
  return new PagefoldError(
    "busy",
    "a transaction is open on this connection; end it before moving to another state or volume",
  );
}

/** What went wrong in SQLite, as it tells it. */
export interface SqliteFailure {
  readonly code: number;
  readonly message: string;
  /** What a VFS method threw during the call; it explains the code better than SQLite can. */
  readonly cause: unknown;
}

/** The error that a failed statement ends with. A PagefoldError thrown below SQLite comes out unchanged. */
export function errorOf({ code, message, cause }: SqliteFailure): PagefoldError {
  if (cause instanceof PagefoldError) return cause;
  const options = { details: { sqliteCode: code }, ...(cause === undefined ? {} : { cause }) };
  switch (code & 0xff) {
    case INTERRUPT:
      return abortedError("the query", cause);
    case CONSTRAINT:
      return new PagefoldError("invalid", `SQL: ${message}; the statement changed nothing`, options);
    case READONLY:
      return new PagefoldError(
        "invalid",
        `read-only here: this statement writes, and the database is open for reading (${message}); open it for writing, or change temporary tables only`,
        options,
      );
    case CORRUPT:
    case NOTADB:
      return new PagefoldError(
        "corrupt",
        `SQLite finds the database malformed: ${message}; check its source with PRAGMA integrity_check`,
        options,
      );
    case FULL:
    case NOMEM:
    case TOOBIG:
      return new PagefoldError(
        "quota",
        `the query needs more memory than it may have: ${message}; ask for less at once`,
        options,
      );
    case BUSY:
      if (code === BUSY_SNAPSHOT) {
        return new PagefoldError(
          "conflict",
          "the database has moved on since this transaction began to read; roll it back and run it again on the new state",
          options,
        );
      }
      return new PagefoldError(
        "busy",
        `another writer has the database: ${message}; try again when it has finished, or set busy_timeout`,
        options,
      );
    case LOCKED:
      return new PagefoldError(
        "busy",
        `the database is in use by another statement: ${message}; finish that one first`,
        options,
      );
    case IOERR:
      return new PagefoldError("unavailable", `the database could not be read or written: ${message}`, {
        ...options,
        retryable: false,
      });
    default:
      return new PagefoldError("invalid", `SQL: ${message}`, options);
  }
}
