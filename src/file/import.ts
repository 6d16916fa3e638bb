/**
 * A file becomes the next state of a volume: read once in order, compared by digest with what the volume holds (whose pages are
 * not fetched for that), and only what changed is compressed and stored, as one commit. Memory does not depend on the size.
 */
import { type Lsn, MAX_PAGE_COUNT, type PageCount, type PageIdx } from "../base/brand.ts";
import { isPagefoldError, PagefoldError, throwIfAborted } from "../base/errors.ts";
import { isZeroPage, StateChecksumSum } from "../format/checksum.ts";
import { touchedPageCount } from "../format/commit-pages.ts";
import { DIGEST_BYTES, type PageDigester } from "../format/hash.ts";
import { PageSet, PageSetBuilder } from "../format/page-set.ts";
import { assertWritable } from "../remote/writable.ts";
import { CommitWriter, type FinishedCommit } from "../replicate/commit-writer.ts";
import { confirmBase } from "../replicate/confirm.ts";
import type { ReplicaContext } from "../replicate/context.ts";
import { digestsOf } from "../replicate/digests.ts";
import { publish, settlePush } from "../replicate/push.ts";
import { removedDigests } from "../replicate/push-build.ts";

/** Where the bytes come from: a file, a blob, memory. */
export interface ByteSource {
  /** For messages. */
  readonly name: string;
  /** Bytes in all, known beforehand. */
  readonly size: number;
  /** Fills `into` from `offset`; answers how many bytes there were. */
  read(offset: number, into: Uint8Array): Promise<number>;
  /** @throws `conflict` when the source is not what it was when it was opened. */
  check(): Promise<void>;
}

export interface ImportOptions {
  readonly signal?: AbortSignal;
  readonly onProgress?: (bytesDone: number, bytesTotal: number) => void;
}

export interface ImportResult {
  readonly lsn: Lsn;
  readonly pageCount: PageCount;
  readonly pageSize: number;
  /** The source's size. */
  readonly bytes: number;
  /** What was put into the store; 0 where nothing had changed. */
  readonly storedBytes: number;
  /** Pages changed or zeroed. */
  readonly changedPages: number;
}

/** Bytes read at a time. */
const WINDOW_BYTES = 4 * 2 ** 20;

/**
 * Imports `source` as the next commit of the replica's volume; makes none when nothing changed.
 * @throws `invalid` when local commits wait to be pushed, `conflict` when the source changed meanwhile or another writer came first
 */
export async function importSource(
  context: ReplicaContext,
  source: ByteSource,
  options: ImportOptions = {},
): Promise<ImportResult> {
  return context.moves.run(async () => {
    await settlePush(context, signalOf(options));
    const { replica } = context;
    if (replica.state.commits.length > 0) {
      throw new PagefoldError(
        "invalid",
        `volume ${replica.manifest.volume} has ${replica.state.commits.length} local commit(s) that were not pushed; push or reset them before importing over them`,
        { details: { volume: replica.manifest.volume } },
      );
    }
    await assertWritable(context.remote, context.runtime);
    await confirmBase(context, signalOf(options));
    return importOnto(context, source, options);
  }, options.signal);
}

async function importOnto(
  context: ReplicaContext,
  source: ByteSource,
  options: ImportOptions,
): Promise<ImportResult> {
  const { replica } = context;
  const { base } = replica.state;
  const { pageSize } = replica.manifest;
  const pageCount = Math.ceil(source.size / pageSize) as PageCount;
  if (pageCount > MAX_PAGE_COUNT) {
    throw new PagefoldError(
      "invalid",
      `${source.name} needs ${pageCount} pages of ${pageSize} bytes, more than a volume can have; choose a larger page size`,
    );
  }
  const facts = { pageCount, pageSize, bytes: source.size };
  const prepared = await prepareImport(context, source, pageCount, options);
  if (prepared === undefined) return { ...facts, lsn: base.lsn, storedBytes: 0, changedPages: 0 };
  const { lsn, storedBytes, header } = prepared;
  try {
    await publish(context, prepared, 0, signalOf(options));
  } catch (error) {
    if (!isPagefoldError(error, "diverged")) throw error;
    throw new PagefoldError(
      "conflict",
      `another writer committed to volume ${replica.manifest.volume} during the import; pull, then run it again`,
      { cause: error, details: error.details },
    );
  }
  return { ...facts, lsn, storedBytes, changedPages: touchedPageCount(header) };
}

/** Stores what changed and builds the commit; undefined where nothing did. A failure takes what was stored away again. */
async function prepareImport(
  context: ReplicaContext,
  source: ByteSource,
  pageCount: PageCount,
  options: ImportOptions,
): Promise<FinishedCommit | undefined> {
  const { base } = context.replica.state;
  const writer = new CommitWriter(context, base, options.signal);
  try {
    const zeroed = new PageSetBuilder();
    const removed = new StateChecksumSum();
    await compare(context, source, pageCount, writer, zeroed, removed, options);
    await source.check();
    const zeroedPages = zeroed.build();
    const changedPages = writer.pagesAdded + zeroedPages.size;
    if (changedPages === 0 && source.size === base.byteLength && base.lsn > 0) return undefined;
    const cut = await removedDigests(context, base, PageSet.empty, pageCount, options.signal);
    const commit = await writer.finish({
      pageCount,
      lowestPageCount: Math.min(pageCount, base.pageCount) as PageCount,
      byteLength: source.size,
      zeroed: zeroedPages,
      time: context.runtime.now(),
      removed: removed.addValue(cut.value()),
    });
    await source.check();
    return commit;
  } catch (error) {
    await writer.discard(error);
    throw error;
  }
}

/** Reads the source once and gives the writer every page that differs from the base. */
async function compare(
  context: ReplicaContext,
  source: ByteSource,
  pageCount: number,
  writer: CommitWriter,
  zeroed: PageSetBuilder,
  removed: StateChecksumSum,
  options: ImportOptions,
): Promise<void> {
  const { replica, codecs } = context;
  const { base } = replica.state;
  const { pageSize, digestSeed } = replica.manifest;
  const digester = codecs.hash.pageDigests(digestSeed);
  const windowPages = Math.max(1, Math.floor(WINDOW_BYTES / pageSize));
  // Two windows: the next one is read while this one is compared and encoded.
  const buffers = [new Uint8Array(windowPages * pageSize), new Uint8Array(windowPages * pageSize)];
  let reading = readWindow(source, 0, buffers[0]!);
  for (let first = 1, turn = 0; first <= pageCount; first += windowPages, turn++) {
    throwIfAborted(options.signal, "the import");
    const window = await reading;
    const last = Math.min(pageCount, first + windowPages - 1);
    if (last < pageCount) {
      reading = readWindow(source, last * pageSize, buffers[(turn + 1) % 2]!);
      reading.catch(() => {}); // awaited in the next turn; a failure before that is not unhandled
    }
    const old = await oldDigests(context, first, Math.min(last, base.pageCount), options.signal);
    for (let page = first; page <= last; page++) {
      const bytes = window.subarray((page - first) * pageSize, (page - first + 1) * pageSize);
      const was = old?.subarray((page - first) * DIGEST_BYTES, (page - first + 1) * DIGEST_BYTES);
      const waiting = comparePage(
        page as PageIdx,
        bytes,
        was?.length === 0 ? undefined : was,
        digester,
        writer,
        zeroed,
        removed,
      );
      if (waiting !== undefined) await waiting;
    }
    options.onProgress?.(Math.min(source.size, last * pageSize), source.size);
  }
}

function comparePage(
  page: PageIdx,
  bytes: Uint8Array,
  was: Uint8Array | undefined,
  digester: PageDigester,
  writer: CommitWriter,
  zeroed: PageSetBuilder,
  removed: StateChecksumSum,
): Promise<void> | undefined {
  const hadContent = was?.some((byte) => byte !== 0) ?? false;
  if (isZeroPage(bytes)) {
    if (!hadContent) return undefined;
    zeroed.add(page);
    removed.add(was!);
    return undefined;
  }
  if (hadContent) {
    const digest = new Uint8Array(DIGEST_BYTES);
    digester.digestInto(page, bytes, digest, 0);
    if (digest.every((byte, i) => byte === was![i])) return undefined;
    removed.add(was!);
  }
  return writer.add(page, bytes);
}

/** Digests of what the volume holds at pages first … last; undefined where it holds nothing there. */
async function oldDigests(
  context: ReplicaContext,
  first: number,
  last: number,
  signal: AbortSignal | undefined,
): Promise<Uint8Array | undefined> {
  if (last < first) return undefined;
  const { fetcher, frames, replica } = context;
  return fetcher.run(digestsOf(frames, replica.state.base.table, PageSet.range(first, last)), signal);
}

/** Fills a window; the last one is padded with zeros. @throws `conflict` when the source ends early. */
async function readWindow(source: ByteSource, offset: number, into: Uint8Array): Promise<Uint8Array> {
  const wanted = Math.min(into.length, source.size - offset);
  for (let done = 0; done < wanted; ) {
    const count = await source.read(offset + done, into.subarray(done, wanted));
    if (count === 0) {
      throw new PagefoldError(
        "conflict",
        `${source.name} ended at byte ${offset + done} of ${source.size}: it shrank during the import; run it again`,
        {
          details: { path: source.name },
        },
      );
    }
    done += count;
  }
  into.fill(0, Math.max(0, wanted));
  return into;
}

function signalOf(options: ImportOptions): { readonly signal?: AbortSignal } {
  return options.signal === undefined ? {} : { signal: options.signal };
}
