/**
 * What a commit header must satisfy as a whole (FORMAT.md, "Commit header", rules), checked on both sides: before a commit is written, where a
 * breach is our bug, and after one was read, where it is `corrupt`.
 */
import { isPageSize } from "../base/brand.ts";
import { hasFeature } from "./features.ts";
import { trailingPowers } from "./jumps.ts";
import { KNOWN_INCOMPATIBLE, LIMITS, RESTORED, SHORT_BANDS } from "./limits.ts";
import type { CommitHeader, Extent, SegmentRef } from "./model.ts";
import { PageSet } from "./page-set.ts";
import { segmentLayout } from "./segment-layout.ts";

/** What is wrong with the header, or undefined. */
export function headerProblem(header: CommitHeader): string | undefined {
  return (
    sizesProblem(header) ??
    chainProblem(header) ??
    pagesProblem(header) ??
    restoredProblem(header) ??
    segmentsProblem(header)
  );
}

function sizesProblem(header: CommitHeader): string | undefined {
  const { pageSize, pageCount, lowestPageCount, byteLength, features } = header;
  if ((features.incompatible & ~KNOWN_INCOMPATIBLE) !== 0)
    return "it needs features that this version does not know";
  if (!isPageSize(pageSize)) return `a page size of ${pageSize}`;
  if (lowestPageCount > pageCount)
    return `its lowest page count ${lowestPageCount} is above its page count ${pageCount}`;
  const longest = pageCount * pageSize;
  if (!Number.isSafeInteger(longest)) return `${pageCount} pages of ${pageSize} bytes`;
  const shortest = pageCount === 0 ? 0 : longest - pageSize + 1;
  if (byteLength < shortest || byteLength > longest)
    return `${byteLength} bytes in ${pageCount} pages of ${pageSize}`;
  return undefined;
}

function chainProblem(header: CommitHeader): string | undefined {
  const powers = trailingPowers(header.lsn);
  const count = header.bands.length;
  if (header.jumpHashes.length !== count + 1)
    return `${header.jumpHashes.length} jump hashes with ${count} bands at LSN ${header.lsn}`;
  if (count > powers || count < powers !== hasFeature(header.features, SHORT_BANDS))
    return `${count} bands at LSN ${header.lsn}`;
  for (let i = 1; i < header.bands.length; i++) {
    if (header.bands[i - 1]!.apart && !header.bands[i]!.apart)
      return "a band rides along behind one stored apart";
  }
  if (header.bands.some((band) => band.length === 0)) return "an empty band";
  const large = header.bands.find((band) => band.length > LIMITS.commitBandsBytes);
  if (large !== undefined) return `a band of ${large.length} bytes`;
  if (header.checkpoint !== undefined && header.checkpoint.lsn >= header.lsn) {
    return `a checkpoint at LSN ${header.checkpoint.lsn} of LSN ${header.lsn}`;
  }
  return undefined;
}

function pagesProblem({ changed, zeroed, pageCount }: CommitHeader): string | undefined {
  const last = Math.max(changed.last ?? 0, zeroed.last ?? 0);
  if (last > pageCount) return `page ${last} of ${pageCount}`;
  if (!PageSet.areDisjoint([changed, zeroed])) return "a page both changed and zeroed";
  return undefined;
}

function restoredProblem(header: CommitHeader): string | undefined {
  const { lsn, features, restoredFrom, restored, changed, zeroed, pageCount } = header;
  if ((restoredFrom !== undefined) !== hasFeature(features, RESTORED))
    return "an LSN restored without the feature bit that announces it, or the bit without it";
  if (restoredFrom === undefined) return restored.length > 0 ? "pages restored from no LSN" : undefined;
  if (restoredFrom < 0 || restoredFrom >= lsn) return `LSN ${restoredFrom} restored at LSN ${lsn}`;
  let next: number = restoredFrom;
  for (const { lsn: writer, pages } of restored) {
    if (writer < 1 || writer > next) return `pages of LSN ${writer} restored out of order`;
    if (pages.isEmpty) return `no pages of LSN ${writer} restored`;
    if (pages.last! > pageCount) return `page ${pages.last} of ${pageCount}`;
    next = writer - 1;
  }
  if (!PageSet.areDisjoint([changed, zeroed, ...restored.map(({ pages }) => pages)]))
    return "a page both restored and otherwise changed";
  return undefined;
}

function segmentsProblem({ segments, changed, pageSize }: CommitHeader): string | undefined {
  if (segments.length > LIMITS.segmentsPerCommit) return `${segments.length} segments`;
  if (segments.filter((segment) => segment.id === undefined).length > 1) return "two inline segments";
  const named = new Set<string>();
  let covered = 0;
  for (const segment of segments) {
    const from = changed.rankOf(segment.firstPage);
    const to = changed.rankOf(segment.lastPage);
    // Ranks that follow one another: sorted, disjoint, and no changed page between two segments.
    if (from !== covered || to < from)
      return `pages ${segment.firstPage}-${segment.lastPage} of a segment out of order`;
    covered = to + 1;
    const problem = segmentProblem(segment, to - from + 1, pageSize);
    if (problem !== undefined) return problem;
    if (segment.id !== undefined && named.has(segment.id)) return `segment ${segment.id} named twice`;
    if (segment.id !== undefined) named.add(segment.id);
  }
  if (covered !== changed.size) return `${changed.size - covered} changed pages are in no segment`;
  return undefined;
}

function segmentProblem(segment: SegmentRef, pages: number, pageSize: number): string | undefined {
  const inline = segment.id === undefined;
  if (segment.length > (inline ? LIMITS.inlineAreaBytes : LIMITS.segmentStoredBytes)) {
    return `a segment of ${segment.length} bytes`;
  }
  if (pages * pageSize > LIMITS.segmentRawBytes) return `a segment of ${pages} pages of ${pageSize} bytes`;
  if (segment.index.length > LIMITS.readIndexBytes) return `a read index of ${segment.index.length} bytes`;
  const layout = segmentLayout(inline, segment.length, segment.index.length, pages);
  if (layout === undefined || !same(layout.index, segment.index) || !same(layout.digests, segment.digests)) {
    return "the parts of a segment do not fit into it";
  }
  return undefined;
}

function same(a: Extent, b: Extent): boolean {
  return a.offset === b.offset && a.length === b.length;
}
