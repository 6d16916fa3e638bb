/**
 * Segments of commits that are not going, which no commit names: pushes left them that lost their LSN to another. Only where the commit of that LSN is
 * there can that be told; where it is not, a push may be about to make it.
 */
import type { Lsn } from "../../base/brand.ts";
import { isPagefoldError } from "../../base/errors.ts";
import type { DecodedCommit } from "../../format/commit-codec.ts";
import { parseSegmentKey } from "../../format/keys.ts";
import { forkPoint } from "../../format/model.ts";
import type { ListEntry } from "../../remote/object-store.ts";
import { loadCommits } from "../../replicate/commit-lookup.ts";
import type { ReplicaContext } from "../../replicate/context.ts";

interface Sweep {
  readonly context: ReplicaContext;
  readonly lowest: Lsn;
  readonly signal: { readonly signal?: AbortSignal };
  readonly onSkipped: (why: string) => void;
}

/** How many headers are held at once. */
const AT_ONCE = 64;

export async function orphansAmong(sweep: Sweep, entries: readonly ListEntry[]): Promise<ListEntry[]> {
  const { context, lowest } = sweep;
  const first = Math.max(lowest, forkPoint(context.replica.manifest) + 1);
  const bySegment = new Map<Lsn, ListEntry[]>();
  for (const entry of entries) {
    const lsn = parseSegmentKey(entry.key)?.lsn;
    if (lsn === undefined || lsn < first) continue;
    bySegment.set(lsn, [...(bySegment.get(lsn) ?? []), entry]);
  }
  const orphans: ListEntry[] = [];
  const lsns = [...bySegment.keys()];
  for (let from = 0; from < lsns.length; from += AT_ONCE) {
    for (const [lsn, { header }] of await loadThere(sweep, lsns.slice(from, from + AT_ONCE))) {
      const named = new Set(header.segments.map(({ id }) => id));
      orphans.push(...bySegment.get(lsn)!.filter(({ key }) => !named.has(parseSegmentKey(key)!.id)));
    }
  }
  return orphans;
}

/** The commits that are there. One that is damaged says nothing of its segments: they stay. */
async function loadThere(sweep: Sweep, lsns: readonly Lsn[]): Promise<Map<Lsn, DecodedCommit>> {
  const { fetcher, frames, replica } = sweep.context;
  try {
    return await fetcher.run(loadCommits(frames, lsns, { mayBeGone: true }), sweep.signal.signal);
  } catch (error) {
    if (!isPagefoldError(error, "corrupt", "unsupported_version")) throw error;
    if (lsns.length === 1) {
      sweep.onSkipped(
        `the segments of commit ${lsns[0]} of volume ${replica.manifest.volume} stay, as it cannot be read: ${error.message}`,
      );
      return new Map();
    }
    const all = new Map<Lsn, DecodedCommit>();
    for (const lsn of lsns) for (const [at, commit] of await loadThere(sweep, [lsn])) all.set(at, commit);
    return all;
  }
}
