/** What a session opens before it has a connection, and closes after its last one. */
import { isPagefoldError } from "../../src/base/errors.ts";
import type { Volume } from "../../src/store/volume.ts";
import type { Snapshot } from "../../src/volume/snapshot.ts";
import type { EngineParts, EngineRequest } from "./engine.ts";

/** The volume of a request, created where it asks for that. */
export async function openVolume(
  { store }: EngineParts,
  { name, create }: EngineRequest,
  signal: AbortSignal | undefined,
): Promise<Volume> {
  const options = signal === undefined ? {} : { signal };
  try {
    return await store.volume(name, options);
  } catch (error) {
    if (create !== true || !isPagefoldError(error, "not_found")) throw error;
    return store.createVolume({ tag: name, ...options });
  }
}

/** The past state that a request asks for, if it does; where this side has not learned of an LSN yet, it does. */
export async function pastState(
  volume: Volume,
  { lsn, time }: EngineRequest,
  signal: AbortSignal | undefined,
): Promise<Snapshot | undefined> {
  if (lsn === undefined && time === undefined) return undefined;
  const options = signal === undefined ? {} : { signal };
  const at = lsn ?? new Date(time ?? 0);
  try {
    return await volume.at(at, options);
  } catch (error) {
    if (!isPagefoldError(error, "not_found") || lsn === undefined || volume.status().ahead > 0) throw error;
    await volume.pull(options);
    return volume.at(at, options);
  }
}

export async function closeEngine({ store, keepOpen, release }: EngineParts): Promise<void> {
  try {
    if (keepOpen !== true) await store.close();
  } finally {
    await release?.();
  }
}
