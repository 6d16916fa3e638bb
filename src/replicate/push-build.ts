/** What a push is made of: the final pages of some local commits, rolled up into one remote commit that is stored but not created yet. */
import type { Lsn, PageIdx, TimeMs } from "../base/brand.ts";
import { isZeroPage, StateChecksumSum } from "../format/checksum.ts";
import { PageSet, PageSetBuilder } from "../format/page-set.ts";
import type { RemoteState } from "../volume/remote-state.ts";
import type { LocalCommit, MergedCommits } from "../volume/replica.ts";
import { CommitWriter, type FinishedCommit } from "./commit-writer.ts";
import type { ReplicaContext } from "./context.ts";
import { digestsOf } from "./digests.ts";

/** The last of the commits that changed or zeroed a page. */
export function lastWriter(commits: readonly LocalCommit[], page: number): LocalCommit | undefined {
  for (let i = commits.length - 1; i >= 0; i--) {
    const commit = commits[i]!;
    if (commit.changed.has(page) || commit.zeroed.has(page)) return commit;
  }
  return undefined;
}

/** Stores what the commit names and builds its object; the caller creates it. */
export async function buildPush(
  context: ReplicaContext,
  commits: readonly LocalCommit[],
  merged: MergedCommits,
  signal: AbortSignal | undefined,
): Promise<FinishedCommit> {
  const { replica, log, runtime } = context;
  const { base } = replica.state;
  const writer = new CommitWriter(context, base, signal);
  try {
    const zeros = new PageSetBuilder();
    const bytes = new Uint8Array(replica.manifest.pageSize);
    for (const page of merged.changed) {
      log.readPage(replica, lastWriter(commits, page)!, page, bytes);
      if (isZeroPage(bytes)) zeros.add(page);
      else await writer.add(page, bytes);
    }
    const zeroed = merged.zeroed.union(zeros.build());
    const overwritten = merged.changed.union(merged.zeroed);
    return await writer.finish({
      pageCount: merged.pageCount,
      lowestPageCount: Math.min(
        merged.lowestPageCount,
        base.pageCount,
        merged.pageCount,
      ) as typeof merged.pageCount,
      byteLength: merged.byteLength,
      zeroed,
      time: Math.max(merged.time, runtime.now()) as TimeMs,
      removed: await removedDigests(context, base, overwritten, merged.lowestPageCount, signal),
    });
  } catch (error) {
    await writer.discard(error);
    throw error;
  }
}

/** The digests of every page of `parent` that a commit overwrites, zeroes or cuts off. */
export async function removedDigests(
  context: ReplicaContext,
  parent: RemoteState,
  overwritten: PageSet,
  lowestPageCount: number,
  signal: AbortSignal | undefined,
): Promise<StateChecksumSum> {
  const { replica, fetcher, frames, cache, codecs } = context;
  const cut = PageSet.range(lowestPageCount + 1, parent.pageCount);
  const pages = overwritten.union(cut).intersect(parent.table.written(parent.pageCount));
  const digester = codecs.hash.pageDigests(replica.manifest.digestSeed);
  const resident = (page: PageIdx, lsn: Lsn, out: Uint8Array, offset: number): boolean => {
    const bytes = cache.get(replica.handle, page, lsn);
    if (bytes === undefined) return false;
    if (!isZeroPage(bytes)) digester.digestInto(page, bytes, out, offset);
    return true;
  };
  const sum = new StateChecksumSum();
  // In slices, so that memory stays bounded when a whole volume is replaced.
  const slice = 65_536;
  for (let from = 0; from < pages.size; from += slice) {
    const some = pages.slice(from, from + slice);
    sum.add(await fetcher.run(digestsOf(frames, parent.table, some, resident), signal), 0);
  }
  return sum;
}
