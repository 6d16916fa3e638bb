/**
 * Makes every page of a volume's newest state resident, and proves that all of them together are the state that the log
 * says: resident pages count by their bytes, not by having been fetched once.
 */
import type { Lsn, PageIdx, StateChecksum } from "../base/brand.ts";
import { PagefoldError, throwIfAborted } from "../base/errors.ts";
import { isZeroPage, StateChecksumSum, stateChecksumToText } from "../format/checksum.ts";
import { DIGEST_BYTES } from "../format/hash.ts";
import { PageSet } from "../format/page-set.ts";
import { bulkRead } from "./bulk.ts";
import type { ReplicaContext } from "./context.ts";

export interface HydrateOptions {
  readonly signal?: AbortSignal;
  readonly onProgress?: (pagesDone: number, pagesTotal: number) => void;
}

export interface HydrateResult {
  /** Pages of the volume that are resident now and were not before. */
  readonly fetchedPages: number;
  /** Pages that have content. */
  readonly pages: number;
  readonly requests: number;
  readonly bytesFetched: number;
  readonly stateChecksum: StateChecksum;
}

/** How many resident pages are checked between two looks at the signal. */
const CHECK_PAGES = 4096;

/**
 * @throws `quota` when the cache cannot hold the volume, `corrupt` when a frame is bad or the state checksum does not come out.
 * Aborting keeps what is there; running it again fetches only the rest.
 */
export async function hydrate(context: ReplicaContext, options: HydrateOptions = {}): Promise<HydrateResult> {
  const { replica, cache } = context;
  const { base } = replica.state;
  const written = base.table.written(base.pageCount);
  if (written.size > cache.capacityPages) {
    throw new PagefoldError(
      "quota",
      `the volume has ${written.size} pages with content, the page cache holds ${cache.capacityPages}; give it a larger cache to hydrate it`,
      { details: { volume: replica.manifest.volume, pages: written.size, capacityPages: cache.capacityPages } },
    );
  }
  const sum = new StateChecksumSum();
  const missing = await sumResident(context, written, sum, options);
  options.onProgress?.(written.size - missing.size, written.size);
  const progress = (done: number) => options.onProgress?.(written.size - missing.size + done, written.size);
  const { pageSize } = replica.manifest;
  const result = await bulkRead(
    context,
    base.table,
    missing,
    (ranges) => {
      for (const { lsn, pages, bytes, digests } of ranges) {
        sum.add(digests);
        pages.forEach((page, i) => {
          cache.put(replica.handle, page, lsn, bytes.subarray(i * pageSize, (i + 1) * pageSize));
        });
      }
    },
    { signal: options.signal, onProgress: progress },
  );
  cache.flush();
  checkState(context, base.lsn, sum.value(), base.stateChecksum);
  return {
    fetchedPages: missing.size,
    pages: written.size,
    requests: result.requests,
    bytesFetched: result.bytesFetched,
    stateChecksum: base.stateChecksum,
  };
}

/** Adds the digests of the resident pages; answers those that are not. */
async function sumResident(
  context: ReplicaContext,
  written: PageSet,
  sum: StateChecksumSum,
  options: HydrateOptions,
): Promise<PageSet> {
  const { replica, cache, codecs, runtime } = context;
  const { table } = replica.state.base;
  const digester = codecs.hash.pageDigests(replica.manifest.digestSeed);
  const digest = new Uint8Array(DIGEST_BYTES);
  const missing: number[] = [];
  let checked = 0;
  for (const page of written) {
    const bytes = cache.get(replica.handle, page, table.lookup(page));
    if (bytes === undefined) {
      missing.push(page);
    } else if (!isZeroPage(bytes)) {
      digester.digestInto(page as PageIdx, bytes, digest, 0);
      sum.add(digest);
    }
    if (++checked % CHECK_PAGES === 0) {
      throwIfAborted(options.signal, "hydrating");
      await runtime.sleep(0); // let signals, and other readers, through
    }
  }
  return PageSet.of(missing);
}

/** @throws `corrupt` when the pages do not add up to what the commit says. */
export function checkState(context: ReplicaContext, lsn: Lsn, found: StateChecksum, expected: StateChecksum): void {
  if (found === expected) return;
  const { volume } = context.replica.manifest;
  throw new PagefoldError(
    "corrupt",
    `the pages of volume ${volume} at LSN ${lsn} add up to state checksum ${stateChecksumToText(found)}, the commit says ${stateChecksumToText(expected)}; ` +
      "every frame matched its hash, so the commit was written wrongly: run `pagefold verify`",
    { details: { volume, lsn } },
  );
}
