/**
 * The changes of a fork since its fork point as one commit on top of another state of its parent, where both did not change the same: what promoting and
 * rebasing a fork have in common. A page that both changed to the same bytes is no conflict, so running either again finds nothing left to do.
 */
import type { Lsn, PageCount, PageIdx } from "../../base/brand.ts";
import { PagefoldError } from "../../base/errors.ts";
import { isZeroPage } from "../../format/checksum.ts";
import { DIGEST_BYTES } from "../../format/hash.ts";
import { forkPoint } from "../../format/model.ts";
import { PageSet, PageSetBuilder } from "../../format/page-set.ts";
import { bulkRead } from "../../replicate/bulk.ts";
import { CommitWriter, type FinishedCommit } from "../../replicate/commit-writer.ts";
import type { ReplicaContext } from "../../replicate/context.ts";
import { digestsOf } from "../../replicate/digests.ts";
import { pull } from "../../replicate/fetch.ts";
import { settlePush } from "../../replicate/push.ts";
import { removedDigests } from "../../replicate/push-build.ts";
import type { PageTable } from "../../volume/page-table.ts";
import type { RemoteState } from "../../volume/remote-state.ts";

type Signal = { readonly signal?: AbortSignal };

export interface MergeOptions extends Signal {
  /** Pages taken over so far, and in all. */
  readonly onProgress?: (pagesDone: number, pagesTotal: number) => void;
}

/** What of the fork is not in the other state yet. */
export interface Merge {
  /** The fork's newest state. */
  readonly fork: RemoteState;
  readonly pages: PageSet;
  readonly pageCount: PageCount;
  readonly byteLength: number;
}

/** Pages whose digests, and bytes, are had together. */
const SLICE_PAGES = 65_536;
const SLICE_BYTES = 8 * 2 ** 20;

/**
 * Moves a replica to the newest commit; an unfinished push is finished first.
 * @throws `conflict` where there are local commits: they would be left behind
 */
export async function bringUpToDate(context: ReplicaContext, options: Signal): Promise<void> {
  const signal = options.signal === undefined ? {} : { signal: options.signal };
  await context.moves.run(() => settlePush(context, signal), options.signal);
  const { manifest, state } = context.replica;
  if (state.commits.length > 0) {
    throw new PagefoldError(
      "conflict",
      `volume ${manifest.volume} has ${state.commits.length} local commit(s) that were not pushed; push or reset them, then run it again`,
      { details: { volume: manifest.volume, ahead: state.commits.length } },
    );
  }
  await pull(context, signal);
}

/** The volume that a fork was made of, and where. @throws `invalid` for a volume that is no fork */
export function parentOf({ replica }: ReplicaContext): { readonly volume: string; readonly lsn: Lsn } {
  const { manifest } = replica;
  const [direct] = manifest.ancestors;
  if (direct !== undefined) return { volume: direct.volume, lsn: forkPoint(manifest) };
  throw new PagefoldError(
    "invalid",
    `volume ${manifest.volume} is no fork of another, or one of an empty volume; there is nothing to merge it with`,
    { details: { volume: manifest.volume } },
  );
}

/**
 * @param base the state that the fork was made of
 * @param onto where its changes are to go: a later state of the parent's, whose context this is
 * @throws `conflict` naming the pages that both changed, differently
 */
export async function planMerge(
  fork: ReplicaContext,
  parent: ReplicaContext,
  { base, onto }: { readonly base: RemoteState; readonly onto: RemoteState },
  options: Signal,
): Promise<Merge> {
  const ours = fork.replica.state.base;
  const changed = differing(base, ours);
  const both = changed.intersect(differing(base, onto));
  const different = await notEqual({ fork, parent }, ours, onto, both, options);
  if (!different.isEmpty) throw pagesConflict(fork, different, onto);
  const byteLength = mergeLength(fork, base, ours, onto);
  const pageCount = Math.ceil(byteLength / fork.replica.manifest.pageSize) as PageCount;
  checkCut(fork, { base, ours, onto }, pageCount);
  return { fork: ours, pages: changed.subtract(both), pageCount, byteLength };
}

/** Whether the changes are all there. */
export function isMerged({ pages, byteLength }: Merge, onto: RemoteState): boolean {
  return pages.isEmpty && byteLength === onto.byteLength;
}

/** Builds the commit; the caller creates it. Memory is bounded, whatever the fork has changed. */
export async function buildMerge(
  fork: ReplicaContext,
  target: ReplicaContext,
  merge: Merge,
  options: MergeOptions,
): Promise<FinishedCommit> {
  const { base } = target.replica.state;
  const { pageCount, byteLength } = merge;
  const pages = merge.pages.clampTo(pageCount);
  const lowestPageCount = Math.min(base.pageCount, pageCount) as PageCount;
  const writer = new CommitWriter(target, base, options.signal);
  try {
    const zeros = await addPages(fork, writer, { ...merge, pages }, options);
    return await writer.finish({
      pageCount,
      lowestPageCount,
      byteLength,
      // What was never written is zeros as it is.
      zeroed: zeros.intersect(base.table.written(lowestPageCount)),
      time: target.runtime.now(),
      removed: await removedDigests(target, base, pages, lowestPageCount, options.signal),
    });
  } catch (error) {
    await writer.discard(error);
    throw error;
  }
}

/** Hands the fork's pages over in order, and answers those that are zeros. */
async function addPages(
  fork: ReplicaContext,
  writer: CommitWriter,
  merge: Merge,
  options: MergeOptions,
): Promise<PageSet> {
  const { pageSize } = fork.replica.manifest;
  const { table } = merge.fork;
  const slice = Math.max(1, Math.floor(SLICE_BYTES / pageSize));
  const zeros = new PageSetBuilder();
  for (let from = 0; from < merge.pages.size; from += slice) {
    const some = merge.pages.slice(from, from + slice);
    const bytes = new Uint8Array(some.size * pageSize);
    await bulkRead(
      fork,
      table,
      some,
      (runs) => {
        for (const run of runs) {
          run.pages.forEach((page, i) => {
            bytes.set(run.bytes.subarray(i * pageSize, (i + 1) * pageSize), some.rankOf(page) * pageSize);
          });
        }
      },
      { signal: options.signal },
    );
    let at = 0;
    for (const page of some) {
      const content = bytes.subarray(at, at + pageSize);
      at += pageSize;
      if (isZeroPage(content)) zeros.add(page);
      else await writer.add(page as PageIdx, content);
    }
    options.onProgress?.(from + some.size, merge.pages.size);
  }
  return zeros.build();
}

/** Pages that the newer state has of another commit than the older one, or not any more. */
function differing(older: RemoteState, newer: RemoteState): PageSet {
  return differingPages(older.table, newer.table, Math.max(older.pageCount, newer.pageCount));
}

/** Pages that have different writers in two tables. O(runs of pages that one commit wrote) */
export function differingPages(a: PageTable, b: PageTable, pageCount: number): PageSet {
  const builder = new PageSetBuilder();
  const others = b.runs(1, pageCount);
  let other = others.next();
  for (const run of a.runs(1, pageCount)) {
    for (let first = run.first; first <= run.last; ) {
      while (!other.done && other.value.last < first) other = others.next();
      if (other.done === true) return builder.build();
      const last = Math.min(run.last, other.value.last);
      if (other.value.value !== run.value) builder.mergeRun(first, last);
      first = last + 1;
    }
  }
  return builder.build();
}

/** Of some pages, those with other bytes in the one state than in the other, by their digests. */
async function notEqual(
  { fork, parent }: { readonly fork: ReplicaContext; readonly parent: ReplicaContext },
  ours: RemoteState,
  theirs: RemoteState,
  pages: PageSet,
  options: Signal,
): Promise<PageSet> {
  const different: number[] = [];
  for (let from = 0; from < pages.size; from += SLICE_PAGES) {
    const some = pages.slice(from, from + SLICE_PAGES);
    const [a, b] = await Promise.all([
      fork.fetcher.run(digestsOf(fork.frames, ours.table, some), options.signal),
      parent.fetcher.run(digestsOf(parent.frames, theirs.table, some), options.signal),
    ]);
    let at = 0;
    for (const page of some) {
      const end = at + DIGEST_BYTES;
      if (!a.subarray(at, end).every((byte, i) => byte === b[at + i])) different.push(page);
      at = end;
    }
  }
  return PageSet.of(different);
}

/** Whoever changed the length has the say. @throws `conflict` where both did, differently */
function mergeLength(fork: ReplicaContext, base: RemoteState, ours: RemoteState, onto: RemoteState): number {
  if (ours.byteLength === base.byteLength) return onto.byteLength;
  if (onto.byteLength === base.byteLength || onto.byteLength === ours.byteLength) return ours.byteLength;
  const { volume } = fork.replica.manifest;
  throw new PagefoldError(
    "conflict",
    `fork ${volume} made the volume ${ours.byteLength} bytes long, and its parent made it ${onto.byteLength}: both cannot be; make the change again on top of the parent's state`,
    { details: { volume, lsn: onto.lsn } },
  );
}

/** What one of them wrote behind the end that the other made. @throws `conflict` */
function checkCut(
  fork: ReplicaContext,
  { base, ours, onto }: { base: RemoteState; ours: RemoteState; onto: RemoteState },
  pageCount: number,
): void {
  for (const side of [ours, onto]) {
    const lost = differing(base, side)
      .intersect(side.table.written(side.pageCount))
      .subtract(PageSet.range(1, pageCount));
    if (!lost.isEmpty) throw pagesConflict(fork, lost, onto);
  }
}

function pagesConflict({ replica }: ReplicaContext, pages: PageSet, onto: RemoteState): PagefoldError {
  const { volume } = replica.manifest;
  const count = `${pages.size} page${pages.size === 1 ? "" : "s"} (${pages.toString()})`;
  return new PagefoldError(
    "conflict",
    `fork ${volume} and its parent up to LSN ${onto.lsn} both changed ${count}, so their changes cannot be put on top of one another; ` +
      "make the change again on top of the parent's state (two databases that were both written always conflict in page 1)",
    { details: { volume, lsn: onto.lsn, pages: pages.toString(64), count: pages.size } },
  );
}
