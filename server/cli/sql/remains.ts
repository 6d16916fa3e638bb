/** Errors of SQL that ran and of pushes, extended by what they leave behind: what is committed locally, what is lost, which command comes next. */
import { isPagefoldError, PagefoldError } from "../../../src/base/errors.ts";
import type { SourcedStatement } from "./sources.ts";
import { counted } from "./words.ts";

/** What the errors are about. */
export interface Place {
  /** The tag or id that was given. */
  readonly name: string;
  /** Where local commits are kept; absent where they end with the process. */
  readonly local: string | undefined;
}

/** The same error, with the place of the statement where that is not plain. */
export function located(error: unknown, statement: SourcedStatement, ordinal: number): unknown {
  const { origin, line } = statement;
  if (!isPagefoldError(error) || (origin === undefined && ordinal === 1)) return error;
  const where = origin === undefined ? `statement ${ordinal}` : `${origin}, line ${line}`;
  return extended(error, ` (${where})`, { statement: ordinal, line });
}

/** A failure ends a script without a push. */
export function withRemains(error: unknown, commits: number, place: Place): unknown {
  if (commits === 0 || !isPagefoldError(error)) return error;
  const made = `${counted(commits, "local commit")} made before`;
  const rest =
    place.local === undefined
      ? `nothing was pushed: the ${made} existed only in memory, the remote is as it was`
      : `nothing was pushed: the ${made} ${commits === 1 ? "is" : "are"} kept in ${place.local}; ${nextCommands(place.name, place.local)}`;
  return extended(error, `; ${rest}`, { commits, pushed: false });
}

/** Pushes of several volumes are not atomic: that of a volume beside the database's own failed, after the database's own. */
export function otherNotPushed(error: PagefoldError, other: string): PagefoldError {
  return extended(error, `; this concerns ${other} alone: what came before it is in the remote log`, {
    other,
  });
}

/** A push that failed, once nothing more will be tried. */
export function pushFailure(error: unknown, commits: number, place: Place): unknown {
  if (!isPagefoldError(error)) return error;
  const { local } = place;
  const { other } = error.details;
  if (typeof other === "string") {
    const rest = local === undefined ? "were only in memory and are lost" : `are kept in ${local}`;
    return extended(error, `; its own local commits ${rest}`, {});
  }
  const { name } = place;
  const details = { commits, pushed: false };
  const diverged = error.code === "diverged";
  if (local !== undefined) {
    const again = diverged ? ", after which the SQL can be run again" : "";
    return extended(error, `; they are in ${local}: ${nextCommands(name, local)}${again}`, details);
  }
  if (diverged) {
    const what = `another writer committed to ${JSON.stringify(name)} meanwhile`;
    return new PagefoldError(
      "conflict",
      `${what}; the changes were only in memory and are lost: run the SQL again`,
      { cause: error, details: { ...error.details, ...details } },
    );
  }
  const lost =
    error.code === "unavailable"
      ? `the changes were only in memory: see in pagefold log ${name} whether they arrived, and run the SQL again if not`
      : "the changes were only in memory and are lost";
  return extended(error, `; ${lost}`, details);
}

function nextCommands(name: string, local: string): string {
  const rest = `${name} --local ${local}`;
  return `pagefold push ${rest} sends them, pagefold reset ${rest} drops them`;
}

function extended(
  error: PagefoldError,
  more: string,
  details: Readonly<Record<string, unknown>>,
): PagefoldError {
  const { code, message, retryable } = error;
  return new PagefoldError(code, `${message}${more}`, {
    cause: error,
    retryable,
    details: { ...error.details, ...details },
  });
}
