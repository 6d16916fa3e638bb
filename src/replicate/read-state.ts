/**
 * Reading a whole state, wherever its pages are: local commits from the local log, resident pages from the cache, the rest in bulk from
 * the remote. Hydration, export and their checks stand on it.
 */
import type { Lsn, PageIdx } from "../base/brand.ts";
import { throwIfAborted } from "../base/errors.ts";
import { isZeroPage } from "../format/checksum.ts";
import { DIGEST_BYTES, type PageDigester } from "../format/hash.ts";
import { PageSet } from "../format/page-set.ts";
import { cacheHandle } from "../volume/cached-pages.ts";
import type { LocalCommits } from "../volume/local-commits.ts";
import type { PageTable } from "../volume/page-table.ts";
import { type BulkOptions, type BulkPages, type BulkSink, bulkRead } from "./bulk.ts";
import type { ReplicaContext } from "./context.ts";

/** What to read: the values of `table` are LSNs, or minus the numbers of `commits`. */
export interface ReadableState {
  readonly table: PageTable;
  readonly pageCount: number;
  readonly commits: LocalCommits;
}

export interface ReadStateResult {
  /** Pages that have content or were zeroed. */
  readonly pages: number;
  /** Of those, how many had to be fetched. */
  readonly fetchedPages: number;
  readonly requests: number;
  readonly bytesFetched: number;
}

/** Pages handed over at a time from this side. */
const BATCH_PAGES = 256;
/** How often the event loop gets a turn, in pages. */
const YIELD_PAGES = 4096;

/** Hands every page of the state to `sink` once, with its digest; pages never written are not handed over. */
export async function readState(
  context: ReplicaContext,
  state: ReadableState,
  sink: BulkSink,
  options: BulkOptions = {},
): Promise<ReadStateResult> {
  const written = state.table.written(state.pageCount);
  const missing = await readLocal(context, state, written, sink, options);
  const here = written.size - missing.size;
  options.onProgress?.(here, written.size);
  const result = await bulkRead(context, state.table, missing, sink, {
    signal: options.signal,
    onProgress: (done) => options.onProgress?.(here + done, written.size),
    onZeroed: options.onZeroed,
  });
  return {
    pages: written.size,
    fetchedPages: missing.size,
    requests: result.requests,
    bytesFetched: result.bytesFetched,
  };
}

/** Hands over what is on this side; answers the pages that are not. */
async function readLocal(
  context: ReplicaContext,
  state: ReadableState,
  written: PageSet,
  sink: BulkSink,
  options: BulkOptions,
): Promise<PageSet> {
  const { replica, cache, log, codecs, runtime } = context;
  const { pageSize, digestSeed } = replica.manifest;
  const digester = codecs.hash.pageDigests(digestSeed);
  const missing: number[] = [];
  let batch: { page: PageIdx; bytes: Uint8Array }[] = [];
  let seen = 0;
  for (const page of written) {
    const value = state.table.lookup(page);
    if (value > 0) {
      const bytes = cache.get(cacheHandle(replica, value), page, value);
      if (bytes === undefined) missing.push(page);
      else batch.push({ page, bytes: bytes.slice() });
    } else {
      const bytes = new Uint8Array(pageSize);
      log.readPage(replica, state.commits.bySequence(-value)!, page, bytes);
      batch.push({ page, bytes });
    }
    if (batch.length === BATCH_PAGES) {
      await sink([join(batch, pageSize, digester)]);
      batch = [];
    }
    if (++seen % YIELD_PAGES === 0) {
      throwIfAborted(options.signal, "reading pages");
      await runtime.sleep(0);
    }
  }
  if (batch.length > 0) await sink([join(batch, pageSize, digester)]);
  return PageSet.of(missing);
}

function join(
  batch: readonly { page: PageIdx; bytes: Uint8Array }[],
  pageSize: number,
  digester: PageDigester,
): BulkPages {
  const bytes = new Uint8Array(batch.length * pageSize);
  const digests = new Uint8Array(batch.length * DIGEST_BYTES);
  batch.forEach((each, i) => {
    bytes.set(each.bytes, i * pageSize);
    if (!isZeroPage(each.bytes)) digester.digestInto(each.page, each.bytes, digests, i * DIGEST_BYTES);
  });
  return { lsn: 0 as Lsn, pages: Uint32Array.from(batch, ({ page }) => page), bytes, digests };
}
