/** Code that is loaded when it is first used, and the error where it cannot be had: over a network that is a case like any other. */
import { PagefoldError } from "./errors.ts";

/** @throws `unavailable`; what was not loaded is asked for again by the next call */
export async function loadPart<T>(load: () => Promise<T>): Promise<T> {
  try {
    return await load();
  } catch (cause) {
    throw new PagefoldError(
      "unavailable",
      `a part of this library's own code could not be loaded (${String(cause)}); it lies beside the rest: try again when that can be reached`,
      { cause },
    );
  }
}
