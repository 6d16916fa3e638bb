/**
 * Checks the state checksum of a commit that was sent: its parent's, less the digests of what it overwrites, zeroes or cuts off, and with those of
 * what it brings. A false one would stay in the log for good, as every later commit builds on it.
 */
import type { Lsn } from "../../../src/base/brand.ts";
import { isPagefoldError } from "../../../src/base/errors.ts";
import { StateChecksumSum, stateChecksumToText } from "../../../src/format/checksum.ts";
import { restoredPages, touchedPages } from "../../../src/format/commit-pages.ts";
import type { CommitHeader } from "../../../src/format/model.ts";
import { PageSet } from "../../../src/format/page-set.ts";
import { digestsOf } from "../../../src/replicate/digests.ts";
import type { RemoteState } from "../../../src/volume/remote-state.ts";
import type { ServerContext } from "../context.ts";
import type { KnownVolume } from "../volume-logs.ts";
import { lie } from "./lies.ts";
import { checkRestored, leadsTo } from "./restored.ts";

type ChecksumContext = Pick<ServerContext, "logs" | "codecs" | "store" | "origin" | "recorder">;

/** Pages whose digests are in memory at a time. */
const SLICE_PAGES = 65_536;

/**
 * @param added the digests of the pages that the commit brings
 * @throws 422
 */
export async function checkChecksum(
  context: ChecksumContext,
  volume: KnownVolume,
  header: CommitHeader,
  added: StateChecksumSum,
  signal: AbortSignal | undefined,
): Promise<void> {
  const restored = await checkRestored(context, volume, header, signal);
  const expected = await expectedChecksum(context, volume, header, { added, restored }, signal);
  if (expected === undefined || expected === header.stateChecksum) return;
  throw lie(
    `commit ${header.lsn} of volume ${header.volume}`,
    `its state checksum is ${stateChecksumToText(header.stateChecksum)}, its pages make it ${stateChecksumToText(expected)}`,
    { lsn: header.lsn },
  );
}

/** Undefined where older objects of the volume are damaged or gone: that is not this sender's fault, and keeps nobody from writing. */
async function expectedChecksum(
  context: ChecksumContext,
  volume: KnownVolume,
  header: CommitHeader,
  { added, restored }: { readonly added: StateChecksumSum; readonly restored: RemoteState | undefined },
  signal: AbortSignal | undefined,
): Promise<CommitHeader["stateChecksum"] | undefined> {
  const { logs, codecs, store, recorder } = context;
  try {
    const parent = await logs.state(volume, (header.lsn - 1) as Lsn, signal);
    if (restored !== undefined && leadsTo(header, parent, restored)) return restored.stateChecksum;
    const sum = StateChecksumSum.from(parent.stateChecksum).addValue(added.value());
    const plans = { directory: logs.directory(volume), codecs, storeUrl: store.url };
    const eachSlice = async (pages: PageSet, { table }: RemoteState, take: (digests: Uint8Array) => void) => {
      for (let from = 0; from < pages.size; from += SLICE_PAGES) {
        take(await logs.fetcher.run(digestsOf(plans, table, pages.slice(from, from + SLICE_PAGES)), signal));
      }
    };
    await eachSlice(removedPages(header, parent), parent, (digests) => sum.subtract(digests));
    if (restored !== undefined)
      await eachSlice(restoredPages(header), restored, (digests) => sum.add(digests));
    return sum.value();
  } catch (error) {
    if (!isPagefoldError(error, "corrupt", "not_found", "diverged")) throw error;
    recorder.count("server.checksums_unknown");
    return undefined;
  }
}

function removedPages(header: CommitHeader, parent: RemoteState): PageSet {
  const cut = PageSet.range(header.lowestPageCount + 1, parent.pageCount);
  return touchedPages(header).union(cut).intersect(parent.table.written(parent.pageCount));
}
