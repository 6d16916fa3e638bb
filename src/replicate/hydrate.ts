/**
 * Makes every page of the remote state that a replica stands on resident, and proves that all of them together are the state that the log
 * says: resident pages count by their bytes, not by having been fetched once.
 */
import type { Lsn, StateChecksum } from "../base/brand.ts";
import { PagefoldError } from "../base/errors.ts";
import { StateChecksumSum, stateChecksumToText } from "../format/checksum.ts";
import { cacheHandle, residentPages } from "../volume/cached-pages.ts";
import { LocalCommits } from "../volume/local-commits.ts";
import type { ReplicaContext } from "./context.ts";
import { type ReadStateResult, readState } from "./read-state.ts";

export interface HydrateOptions {
  readonly signal?: AbortSignal;
  readonly onProgress?: (pagesDone: number, pagesTotal: number) => void;
}

export interface HydrateResult extends ReadStateResult {
  readonly lsn: Lsn;
  readonly stateChecksum: StateChecksum;
}

/**
 * @throws `quota` when the cache cannot hold the volume, `corrupt` when a frame is bad or the state checksum does not come out.
 * Aborting keeps what is there; running it again fetches only the rest.
 */
export async function hydrate(context: ReplicaContext, options: HydrateOptions = {}): Promise<HydrateResult> {
  const { replica, cache } = context;
  const { base } = replica.state;
  const { pageSize } = replica.manifest;
  const written = base.table.written(base.pageCount);
  if (written.size > cache.capacityPages) {
    throw new PagefoldError(
      "quota",
      `the volume has ${written.size} pages with content, the page cache holds ${cache.capacityPages}; give it a larger cache to hydrate it`,
      {
        details: { volume: replica.manifest.volume, pages: written.size, capacityPages: cache.capacityPages },
      },
    );
  }
  const sum = new StateChecksumSum();
  const result = await readState(
    context,
    { table: base.table, pageCount: base.pageCount, commits: LocalCommits.none },
    (ranges) => {
      for (const { lsn, pages, bytes, digests } of ranges) {
        sum.add(digests);
        if (lsn === 0) continue; // was resident
        const handle = cacheHandle(replica, lsn);
        pages.forEach((page, i) => {
          cache.put(handle, page, lsn, bytes.subarray(i * pageSize, (i + 1) * pageSize));
        });
      }
    },
    {
      ...options,
      onZeroed: (lsn, pages) => {
        const zeros = new Uint8Array(pageSize);
        const handle = cacheHandle(replica, lsn);
        for (const page of pages) cache.put(handle, page, lsn, zeros);
      },
    },
  );
  cache.flush();
  checkState(context, base.lsn, sum.value(), base.stateChecksum);
  checkKept(context, written.size);
  return { ...result, lsn: base.lsn, stateChecksum: base.stateChecksum };
}

/**
 * The disk tier of the cache never fails a reader: on a full disk it stops growing, silently. Whoever hydrates wants the pages to stay.
 * @throws `quota` when fewer were kept on disk than the volume has
 */
function checkKept({ cache, replica }: ReplicaContext, pages: number): void {
  const { diskPages } = cache.stats();
  const here = diskPages === 0 ? residentPages(cache, replica) : diskPages;
  if (here >= pages) return;
  throw new PagefoldError(
    "quota",
    `every page was fetched and proved, but only ${here} of ${pages} found room in the local store; free some space on its disk and hydrate again`,
    { details: { volume: replica.manifest.volume, pages, kept: here } },
  );
}

/** @throws `corrupt` when the pages do not add up to what the commit says. */
export function checkState(
  context: ReplicaContext,
  lsn: Lsn,
  found: StateChecksum,
  expected: StateChecksum,
): void {
  if (found === expected) return;
  const { volume } = context.replica.manifest;
  throw new PagefoldError(
    "corrupt",
    `the pages of volume ${volume} at LSN ${lsn} add up to state checksum ${stateChecksumToText(found)}, the commit says ${stateChecksumToText(expected)}; ` +
      "every frame matched its hash, so the commit was written wrongly: run `pagefold verify`",
    { details: { volume, lsn } },
  );
}
