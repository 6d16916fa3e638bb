/** What the storage of a browser fails with, as PagefoldErrors: by the names of DOMExceptions, since browsers agree on nothing else. */
import { PagefoldError } from "../base/errors.ts";

/** The name of a DOMException ("QuotaExceededError"), or of any other error. */
export function domNameOf(e: unknown): string {
  return typeof e === "object" && e !== null && "name" in e ? String(e.name) : "unknown error";
}

/**
 * What was tried, on what, and what to do next.
 * @param verb "open", "write to"
 * @param what a file or a storage, as the user is to read it
 */
export function domError(verb: string, what: string, e: unknown): PagefoldError {
  if (e instanceof PagefoldError) return e;
  const name = domNameOf(e);
  const options = { cause: e, details: { path: what, exception: name } };
  switch (name) {
    case "QuotaExceededError":
      return new PagefoldError(
        "quota",
        `could not ${verb} ${what}: the browser gives this site no more space (${name}); remove other data of the site, free disk space, or ask for persistent storage, and retry`,
        options,
      );
    case "NoModificationAllowedError":
      return new PagefoldError(
        "busy",
        `could not ${verb} ${what}: another tab or worker of this site has it open (${name}); close the database there, or talk to the tab that has it`,
        options,
      );
    case "SecurityError":
    case "NotAllowedError":
      return new PagefoldError(
        "forbidden",
        `may not ${verb} ${what}: the browser refuses storage here (${name}), as some do in private windows, in frames of other sites, or where cookies are blocked; allow it, or keep the data in memory`,
        options,
      );
    case "NotFoundError":
      return new PagefoldError(
        "unavailable",
        `could not ${verb} ${what}: it is gone (${name}): the browser evicted it, or the site's data was cleared; close the database and open it again`,
        { ...options, retryable: false },
      );
    default:
      return new PagefoldError(
        "unavailable",
        `could not ${verb} ${what} (${name}: ${messageOf(e)}); close the database and open it again`,
        options,
      );
  }
}

function messageOf(e: unknown): string {
  return e instanceof Error ? e.message : String(e);
}
