import { isPagefoldError } from "../../src/base/errors.ts";
import type { Volume } from "../../src/store/volume.ts";
import type { PastPoint } from "./options.ts";
import type { Session } from "./session.ts";

/**
 * Moves a replica on where points of the log are asked for that it may not have seen: only the log can tell which commit was the newest at some time. One
 * with local commits stays; where the store cannot be reached, that is told, not failed for.
 */
export async function learnPoints(
  { signal, output }: Session,
  volume: Volume,
  points: readonly PastPoint[],
): Promise<void> {
  const { lsn, ahead } = volume.status();
  if (ahead > 0 || points.every((point) => typeof point === "number" && point <= lsn)) return;
  try {
    await volume.pull({ signal });
  } catch (error) {
    if (!isPagefoldError(error, "unavailable")) throw error;
    output.talk(`pagefold: ${error.message}; what follows is as far as the log is known here`);
  }
}
