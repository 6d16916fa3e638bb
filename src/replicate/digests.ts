/**
 * Digests of pages as of a state, without fetching the pages: from resident bytes where there are any, else from the digest areas
 * of the segments, fetched whole (16 bytes per page) and verified. Used by push (state checksum) and import (what changed).
 */
import type { Lsn, PageIdx } from "../base/brand.ts";
import { PagefoldError } from "../base/errors.ts";
import type { DecodedCommit } from "../format/commit-codec.ts";
import { DIGEST_BYTES } from "../format/hash.ts";
import type { PageSet } from "../format/page-set.ts";
import type { FetchPlan } from "../volume/fetch-plan.ts";
import type { PageTable } from "../volume/page-table.ts";
import { type FramePlanContext, loadCommits, loadIndexes, placeOf } from "./commit-lookup.ts";

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
  const missing = new Map<Lsn, { readonly page: PageIdx; readonly at: number }[]>();
  let at = 0;
  for (const page of pages) {
    const lsn = table.lookup(page) as Lsn;
    if (lsn !== 0 && !resident(page, lsn, out, at)) {
      const wanted = missing.get(lsn);
      if (wanted === undefined) missing.set(lsn, [{ page, at }]);
      else wanted.push({ page, at });
    }
    at += DIGEST_BYTES;
  }
  if (missing.size === 0) return out;
  const commits = yield* loadCommits(context, missing.keys());
  for (const [lsn, wanted] of missing) yield* copyDigests(context, commits.get(lsn)!, wanted, out);
  return out;
}

function* copyDigests(
  context: FramePlanContext,
  commit: DecodedCommit,
  wanted: readonly { readonly page: PageIdx; readonly at: number }[],
  out: Uint8Array,
): FetchPlan<void> {
  const { header } = commit;
  const bySegment = new Map<number, { readonly page: PageIdx; readonly at: number }[]>();
  for (const item of wanted) {
    const ordinal = header.segments.findIndex(
      ({ firstPage, lastPage }) => firstPage <= item.page && item.page <= lastPage,
    );
    if (ordinal === -1) continue; // zeroed there: no digest
    const items = bySegment.get(ordinal);
    if (items === undefined) bySegment.set(ordinal, [item]);
    else items.push(item);
  }
  const ordinals = [...bySegment.keys()];
  const indexes = yield* loadIndexes(
    context,
    ordinals.map((ordinal) => ({ commit, ordinal })),
  );
  const areas = yield* loadDigestAreas(context, commit, ordinals);
  ordinals.forEach((ordinal, i) => {
    for (const { page, at } of bySegment.get(ordinal)!) {
      const rank = indexes[i]!.pages.rankOf(page);
      if (rank === -1) continue; // between the pages of the segment: zeroed there
      out.set(areas[i]!.subarray(rank * DIGEST_BYTES, (rank + 1) * DIGEST_BYTES), at);
    }
  });
}

function* loadDigestAreas(
  context: FramePlanContext,
  commit: DecodedCommit,
  ordinals: readonly number[],
): FetchPlan<Uint8Array[]> {
  const { directory, codecs } = context;
  const { header } = commit;
  const found = ordinals.map((ordinal) => directory.digests(header.lsn, ordinal));
  const missing = ordinals.filter((_, i) => found[i] === undefined);
  if (missing.length === 0) return found as Uint8Array[];
  const requests = missing.map((ordinal) => {
    const { key, base } = placeOf(directory, commit, ordinal);
    const { digests } = header.segments[ordinal]!;
    return { key, offset: base + digests.offset, length: digests.length };
  });
  const answers = yield requests;
  const loaded = missing.map((ordinal, i) => {
    const segment = header.segments[ordinal]!;
    const bytes = answers[i];
    if (
      bytes === undefined ||
      bytes.length !== segment.digests.length ||
      codecs.hash.blake3(bytes) !== segment.digestsHash
    ) {
      const name = segment.id ?? "inline";
      throw new PagefoldError(
        "corrupt",
        `the digest area of segment ${name} of commit ${header.lsn} of volume ${header.volume} ` +
          `${bytes === undefined ? "is missing" : "does not match its hash"} in ${context.storeUrl}; restore the object from a copy of the store`,
        { details: { volume: header.volume, lsn: header.lsn, segment: name, key: requests[i]!.key } },
      );
    }
    directory.learnDigests(header.lsn, ordinal, bytes);
    return bytes;
  });
  let next = 0;
  return found.map((area) => area ?? loaded[next++]!);
}
