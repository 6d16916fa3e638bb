/** Keeps a database at the newest state of the remote log, for as long as it is open. */
import type { Database } from "../../../vfs/web/index.ts";

export type OpenDatabase = Awaited<ReturnType<typeof Database.open>>;

const AGAIN_MS = 2000;

/** @param options.signal ends it; default: only the page's end does @param options.onMove it has moved, or cannot follow for the moment: local commits are in the way, or the server is away */
export async function keepFollowing(
  database: OpenDatabase,
  options: { readonly signal?: AbortSignal; readonly onMove?: () => void } = {},
): Promise<void> {
  const { signal, onMove = () => {} } = options;
  while (signal?.aborted !== true) {
    try {
      for await (const _ of database.follow(signal === undefined ? {} : { signal })) onMove();
    } catch {
      // What keeps it from following is what `lag` shows; it is tried again.
      onMove();
    }
    await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
  }
}
