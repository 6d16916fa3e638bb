/** The names of storages and of the files in them: what every browser and IndexedDB take as they are, and a file system, too. */
import { PagefoldError } from "../base/errors.ts";

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$/;

/** @throws `invalid` */
export function checkStorageName(name: string): string {
  if (typeof name === "string" && NAME.test(name)) return name;
  throw new PagefoldError(
    "invalid",
    `${JSON.stringify(name)} cannot name local state: a browser has no local directory, only storage under a plain name; use letters, digits, ".", "_" and "-", say "notes"`,
    { details: { path: String(name) } },
  );
}

/** @throws `invalid` */
export function checkFileName(name: string): string {
  if (NAME.test(name)) return name;
  throw new PagefoldError(
    "invalid",
    `${JSON.stringify(name)} is no block file name; use letters, digits, ".", "_" and "-"`,
    { details: { path: name } },
  );
}
