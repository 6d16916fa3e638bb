/** What a failed system call of the file-system store means to its caller. */
import { type ErrorCode, isPagefoldError, PagefoldError } from "../base/errors.ts";

const CODES: Readonly<Record<string, ErrorCode>> = {
  ENOSPC: "quota",
  EDQUOT: "quota",
  EACCES: "forbidden",
  EPERM: "forbidden",
  EROFS: "forbidden",
  ENAMETOOLONG: "invalid",
  EFBIG: "quota",
};

const ADVICE: Readonly<Partial<Record<ErrorCode, string>>> = {
  quota: "free some space or raise the quota, then try again",
  forbidden: "give this user the right to do so, or open another directory",
  invalid: "the file system does not take so long a name; choose a shorter key",
  unavailable: "see whether the disk or the network file system is well, then try again",
};

/** The code of a failed system call ("ENOENT"), or `undefined` for other errors. */
export function errno(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === "string" ? code : undefined;
}

/** `what` reads like "writing volumes/x/head". Errors that are PagefoldErrors already are returned as they are. */
export function fsError(error: unknown, what: string, path: string, key?: string): PagefoldError {
  if (isPagefoldError(error)) return error;
  const system = errno(error);
  const code = (system === undefined ? undefined : CODES[system]) ?? "unavailable";
  const message = error instanceof Error ? error.message : String(error);
  return new PagefoldError(code, `${what} failed: ${message}; ${ADVICE[code]}`, {
    cause: error,
    details: {
      path,
      ...(key === undefined ? {} : { key }),
      ...(system === undefined ? {} : { errno: system }),
    },
  });
}

/** The store's directory itself is missing. */
export function missingRoot(root: string): PagefoldError {
  return new PagefoldError(
    "not_found",
    `there is no directory ${root}; create it (mkdir -p ${JSON.stringify(root)}, or the option create: true) or check the path`,
    { details: { path: root } },
  );
}

/** A key needs a directory where an object is, or the other way round. */
export function keyIsDirectory(key: string, path: string): PagefoldError {
  return new PagefoldError(
    "invalid",
    `${key} cannot be stored: in a directory, one key cannot also be the directory of others; choose another key`,
    { details: { key, path } },
  );
}

export function notADirectory(root: string): PagefoldError {
  return new PagefoldError("invalid", `${root} is not a directory; a file-system store needs one`, {
    details: { path: root },
  });
}

/** Without hard links nothing creates a whole file exactly once. */
export function noHardLinks(root: string, cause: unknown): PagefoldError {
  return new PagefoldError(
    "forbidden",
    `the file system of ${root} refuses hard links, so commits cannot be created safely there: reading works; ` +
      "to write, keep the store on a file system with hard links (ext4, xfs, btrfs, zfs, APFS, NTFS, NFS)",
    { cause, details: { path: root } },
  );
}
