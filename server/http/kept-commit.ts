/** Commits that others build on, a fork say: as the log has them, or, where they were collected, as the checkpoint has them that keeps their state. */
import type { Lsn } from "../../src/base/brand.ts";
import { isPagefoldError } from "../../src/base/errors.ts";
import type { DecodedCommit } from "../../src/format/commit-codec.ts";
import { newestFloorOf } from "../../src/replicate/floor.ts";
import type { ServerContext } from "./context.ts";
import { type KnownVolume, signalOf } from "./volume-logs.ts";

/** Asked of the store itself. @throws `not_found` where nothing keeps it */
export async function commitOrKept(
  { logs, origin, codecs }: ServerContext,
  known: KnownVolume,
  lsn: Lsn,
  signal?: AbortSignal,
): Promise<DecodedCommit> {
  try {
    return await logs.commitNow(known, lsn, signal);
  } catch (error) {
    if (!isPagefoldError(error, "not_found")) throw error;
    const directory = logs.directory(known);
    // A fork's early commits, and what keeps them, are its ancestors'.
    const volume = directory.volumeOf(lsn);
    const floor = await newestFloorOf({ directory, remote: origin, codecs }, volume, signalOf(signal));
    const kept = floor?.checkpoints.find((each) => each.lsn === lsn);
    const loaded = kept && (await logs.checkpoint(known, { volume, ...kept }, signal));
    if (loaded === undefined) throw error;
    return loaded.checkpoint.commit;
  }
}
