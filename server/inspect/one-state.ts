/** One state of a volume by itself: on a replica of its own in memory, so that nobody else's residency changes. */
import { noopRecorder } from "../../src/base/recorder.ts";
import { openStore } from "../../src/node/index.ts";
import type { ObjectStore } from "../../src/remote/object-store.ts";
import { withMetrics } from "../../src/remote/with-metrics.ts";
import type { MappedState } from "./table-map.ts";

export interface OpenedState extends MappedState {
  close(): Promise<void>;
}

/** @param store stays open. @throws `not_found` for a commit that is none */
export async function openState(
  store: ObjectStore,
  name: string,
  lsn: number,
  signal: AbortSignal,
): Promise<OpenedState> {
  const pages = await openStore(borrowed(store), { workers: 0 });
  try {
    const snapshot = await (await pages.volume(name, { signal })).at(lsn, { signal });
    const { pageSize, pageCount, byteLength } = snapshot;
    return {
      ...{ lsn: snapshot.lsn, pageSize, pageCount, byteLength },
      read: (offset, length, options) => snapshot.read(offset, length, options),
      close: () => pages.close(),
    };
  } catch (error) {
    await pages.close();
    throw error;
  }
}

/** The same store, which closing leaves open. */
export function borrowed(store: ObjectStore): ObjectStore {
  return { ...withMetrics(store, noopRecorder), close: async () => {} };
}
