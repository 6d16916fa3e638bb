/** What a push is made of: the final pages of some local commits, rolled up into one remote commit that is stored but not created yet. */
import type { PageCount, TimeMs } from "../base/brand.ts";
import { isZeroPage, StateChecksumSum } from "../format/checksum.ts";
import { PageSet, PageSetBuilder } from "../format/page-set.ts";
import type { MergedCommits } from "../volume/local-commits.ts";
import type { RemoteState } from "../volume/remote-state.ts";
import type { ReplicaState } from "../volume/replica.ts";
import { CommitWriter, type FinishedCommit } from "./commit-writer.ts";
import type { ReplicaContext } from "./context.ts";
import { digestsOf } from "./digests.ts";
import { residentDigests } from "./resident-digests.ts";

/**
 * Stores what the commit of all local ones in `state` names and builds its object; the caller creates it.
 * @param merged what they amount to
 */
export async function buildPush(
  context: ReplicaContext,
  { base, commits, table }: ReplicaState,
  merged: MergedCommits,
  signal: AbortSignal | undefined,
): Promise<FinishedCommit> {
  const { replica, log, runtime } = context;
  const { pageCount, byteLength, time } = merged.last;
  const writer = new CommitWriter(context, base, signal);
  try {
    const zeros = new PageSetBuilder();
    const bytes = new Uint8Array(replica.manifest.pageSize);
    for (const page of merged.changed) {
      log.readPage(replica, commits.bySequence(-table.lookup(page))!, page, bytes);
      if (isZeroPage(bytes)) zeros.add(page);
      else await writer.add(page, bytes);
    }
    const zeroed = merged.zeroed.union(zeros.build());
    const overwritten = merged.changed.union(merged.zeroed);
    return await writer.finish({
      pageCount,
      lowestPageCount: Math.min(merged.lowestPageCount, base.pageCount, pageCount) as PageCount,
      byteLength,
      zeroed,
      time: Math.max(time, runtime.now()) as TimeMs,
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
  const { fetcher, frames } = context;
  const cut = PageSet.range(lowestPageCount + 1, parent.pageCount);
  const pages = overwritten.union(cut).intersect(parent.table.written(parent.pageCount));
  const resident = residentDigests(context);
  const sum = new StateChecksumSum();
  // In slices, so that memory stays bounded when a whole volume is replaced.
  const slice = 65_536;
  for (let from = 0; from < pages.size; from += slice) {
    const some = pages.slice(from, from + slice);
    sum.add(await fetcher.run(digestsOf(frames, parent.table, some, resident), signal), 0);
  }
  return sum;
}
