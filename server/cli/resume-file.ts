/** The file in which a verb keeps how far it has come, as it is when the verb begins. */
import { readFile } from "node:fs/promises";
import { PagefoldError } from "../../src/base/errors.ts";

/** Its text; undefined where there is none yet. */
export async function readResume(path: string | undefined): Promise<string | undefined> {
  if (path === undefined) return undefined;
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw new PagefoldError(
      "invalid",
      `${path} cannot be read: ${(cause as Error).message}; name another file for --resume`,
      { cause, details: { path } },
    );
  }
}
