/** A stretch of the log as a bundle: commit objects, oldest first, whole or without their frames. */
import type { Lsn } from "../../../src/base/brand.ts";
import { isPagefoldError } from "../../../src/base/errors.ts";
import { commitKey } from "../../../src/format/keys.ts";
import type { BundleEntry } from "../../../src/remote/http/bundle-codec.ts";
import type { ServerContext } from "../context.ts";
import type { KnownVolume } from "../volume-logs.ts";

/** Commits of one answer. */
export const COMMITS_MAX = 1000;

export async function* commitEntries(
  { logs, store }: ServerContext,
  known: KnownVolume,
  range: { readonly from: number; readonly to: number; readonly headers: boolean },
  signal: AbortSignal,
): AsyncGenerator<BundleEntry, void, undefined> {
  const directory = logs.directory(known);
  const last = Math.min(range.to, range.from + COMMITS_MAX);
  for (let n = range.from + 1; n <= last; n++) {
    const lsn = n as Lsn;
    const key = commitKey(directory.volumeOf(lsn), lsn);
    const bytes = range.headers
      ? await withoutFrames({ logs, store }, known, lsn, key, signal)
      : await store.read(key, undefined, signal);
    if (bytes === undefined) yield { kind: "absent", key };
    else if (bytes instanceof Uint8Array) yield { kind: "bytes", key, offset: 0, total: bytes.length, bytes };
    else yield { kind: "bytes", key, offset: 0, ...bytes };
  }
}

async function withoutFrames(
  { logs, store }: Pick<ServerContext, "logs" | "store">,
  known: KnownVolume,
  lsn: Lsn,
  key: string,
  signal: AbortSignal,
): Promise<{ readonly bytes: Uint8Array; readonly total: number } | undefined> {
  const commit = await logs.commit(known, lsn, signal).catch((error: unknown) => {
    // Collected: absent, as the whole object is.
    if (!isPagefoldError(error, "not_found")) throw error;
  });
  if (commit === undefined) return undefined;
  const bytes = await store.read(key, { offset: 0, length: commit.frames.offset }, signal);
  return bytes === undefined ? undefined : { bytes, total: commit.totalLength };
}
