/**
 * Digests of pages as of a state, without fetching the pages: from resident bytes where there are any, else from the digest areas
 * of the segments, fetched whole (16 bytes per page) and verified. Used by push (state checksum) and import (what changed).
 */
import type { Lsn, PageIdx } from "../base/brand.ts";
import { PagefoldError } from "../base/errors.ts";
import { DIGEST_BYTES } from "../format/hash.ts";
import type { ReadIndex } from "../format/model.ts";
import { PageSet } from "../format/page-set.ts";
import type { FetchPlan } from "../volume/fetch-plan.ts";
import type { PageTable } from "../volume/page-table.ts";
import { type FramePlanContext, loadIndexes, type SegmentSource, whereOf } from "./commit-lookup.ts";
import { lyingIndex } from "./frame-plan.ts";
import { foundGone, locatePages, type SegmentPages, toTell, type WantedPages } from "./locate.ts";

/** The digest of a page that is at hand without a fetch, written to `out` at `offset`; false where it is not. */
export type ResidentDigest = (page: PageIdx, lsn: Lsn, out: Uint8Array, offset: number) => boolean;

/**
 * 16 bytes per page of `pages`, in set order, as of `table`; all zeros for a page of zeros, which has no digest.
 * @param table values must be LSNs (no local commits)
 */
export function* digestsOf(
  context: FramePlanContext,
  table: PageTable,
  pages: PageSet,
  resident: ResidentDigest = () => false,
): FetchPlan<Uint8Array> {
  const out = new Uint8Array(DIGEST_BYTES * pages.size);
  const missing = new Map<Lsn, PageIdx[]>();
  let at = 0;
  for (const page of pages) {
    const lsn = table.lookup(page) as Lsn;
    if (lsn !== 0 && !resident(page, lsn, out, at)) {
      const wanted = missing.get(lsn);
      if (wanted === undefined) missing.set(lsn, [page]);
      else wanted.push(page);
    }
    at += DIGEST_BYTES;
  }
  if (missing.size === 0) return out;
  const wanted = [...missing].map(([lsn, some]) => ({ lsn, pages: PageSet.of(some) }));
  // Pages that became zeros have no digest.
  const { segments, indexes, areas } = yield* loadParts(context, wanted);
  segments.forEach(({ source, pages: inside }, i) => {
    for (const page of inside) {
      const rank = indexes[i]!.pages.rankOf(page);
      if (rank === -1) throw lyingIndex(source, page);
      const digest = areas[i]!.subarray(rank * DIGEST_BYTES, (rank + 1) * DIGEST_BYTES);
      out.set(digest, DIGEST_BYTES * pages.rankOf(page));
    }
  });
  return out;
}

interface LocatedDigests {
  readonly segments: readonly SegmentPages[];
  readonly indexes: readonly ReadIndex[];
  readonly areas: readonly Uint8Array[];
}

/** The segments of pages, with their indexes and digests; where one was collected meanwhile, the segment that took its place. */
function* loadParts(context: FramePlanContext, wanted: readonly WantedPages[]): FetchPlan<LocatedDigests> {
  for (let gone: unknown; ; ) {
    try {
      const { segments } = yield* locatePages(context, wanted);
      const sources = segments.map(({ source }) => source);
      const indexes = yield* loadIndexes(context, sources);
      return { segments, indexes, areas: yield* loadDigestAreas(context, sources) };
    } catch (error) {
      if (!foundGone(context, error)) throw toTell(context, gone, error);
      gone ??= error;
    }
  }
}

/** The digest areas of some segments, in their order. */
export function* loadDigestAreas(
  context: FramePlanContext,
  sources: readonly SegmentSource[],
): FetchPlan<Uint8Array[]> {
  const { directory, codecs } = context;
  const found = sources.map(({ key }) => directory.digests(key));
  const missing = sources.filter((_, i) => found[i] === undefined);
  if (missing.length === 0) return found as Uint8Array[];
  const requests = missing.map(({ key, base, ref }) => ({
    key,
    offset: base + ref.digests.offset,
    length: ref.digests.length,
  }));
  const answers = yield requests;
  const loaded = missing.map((source, i) => {
    const { ref, key } = source;
    const bytes = answers[i];
    if (
      bytes === undefined ||
      bytes.length !== ref.digests.length ||
      codecs.hash.blake3(bytes) !== ref.digestsHash
    ) {
      const where = whereOf(source);
      throw new PagefoldError(
        "corrupt",
        `the digest area of segment ${where.segment} of commit ${where.lsn} of volume ${where.volume} ` +
          `${bytes === undefined ? "is missing" : "does not match its hash"} in ${context.storeUrl}; restore the object from a copy of the store`,
        { details: bytes === undefined ? { ...where, gone: true } : where },
      );
    }
    directory.learnDigests(key, bytes);
    return bytes;
  });
  let next = 0;
  return found.map((area) => area ?? loaded[next++]!);
}
