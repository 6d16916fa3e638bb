/** Reading the files that settings name. */
import { readFile } from "node:fs/promises";
import { PagefoldError } from "../../../src/base/errors.ts";

/** A file that a setting names. @throws `not_found` */
export async function readGiven(file: string): Promise<Buffer> {
  return readFile(file).catch((error: NodeJS.ErrnoException) => {
    throw new PagefoldError(
      "not_found",
      `${file} cannot be read (${error.code}); check the path and its rights`,
      {
        cause: error,
        details: { path: file },
      },
    );
  });
}
