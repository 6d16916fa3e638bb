/**
 * Pages of a state as a bundle: the headers, read indexes and frames that hold them, each range once, as it is read. Frames are checked
 * against their hashes on the way, so that damage in the store is told here rather than sent on.
 */
import type { Lsn } from "../../../src/base/brand.ts";
import { PagefoldError } from "../../../src/base/errors.ts";
import type { DecodedCommit } from "../../../src/format/commit-codec.ts";
import { commitKey } from "../../../src/format/keys.ts";
import { PageSet } from "../../../src/format/page-set.ts";
import type { BundleEntry } from "../../../src/remote/http/bundle-codec.ts";
import { type FramePlanContext, loadCommits } from "../../../src/replicate/commit-lookup.ts";
import {
  type FrameGroup,
  type FrameTask,
  frameBytes,
  groupFrames,
  resolveFrames,
  type WantedPages,
  whereIs,
} from "../../../src/replicate/frame-plan.ts";
import type { RemoteState } from "../../../src/volume/remote-state.ts";
import type { ServerContext } from "../context.ts";
import { HttpError } from "../problem.ts";
import type { KnownVolume } from "../volume-logs.ts";

/** Larger headers are left to be asked for. */
const HEADER_BYTES = 65_536;
/** What one range of frames may have, and may be read for nothing in between: nothing, as each byte is sent. */
const GROUP = { maxBytes: 2 ** 20, gapBytes: 0 };
/** Commits whose pages are looked up together: bounds what is in memory. */
const COMMITS_AT_ONCE = 64;

/** The pages of ranges [first, last]. @throws 400 */
export function pagesOfRanges(value: unknown, most: number): PageSet {
  if (!Array.isArray(value) || value.length > most) {
    throw new HttpError(400, "invalid", `"pages" is a list of at most ${most} ranges [first, last]`);
  }
  const sets = value.map((range: unknown) => {
    const [first, last, ...more] = Array.isArray(range) ? (range as unknown[]) : [];
    if (!isPage(first) || !isPage(last) || first > last || more.length > 0) {
      throw new HttpError(400, "invalid", `${JSON.stringify(range)} is no range of pages [first, last]`);
    }
    return PageSet.range(first, last);
  });
  return PageSet.unionAll(sets);
}

function isPage(value: unknown): value is number {
  return Number.isInteger(value) && Number(value) >= 1 && Number(value) <= 0xffff_fffe;
}

/** The entries that hold some pages of a state. */
export async function* pageEntries(
  context: ServerContext,
  known: KnownVolume,
  state: RemoteState,
  pages: PageSet,
  signal: AbortSignal,
): AsyncGenerator<BundleEntry, void, undefined> {
  const { logs, codecs, store } = context;
  const plans = { directory: logs.directory(known), codecs, storeUrl: store.url };
  const wanted = wantedPages(state, pages);
  for (let i = 0; i < wanted.length; i += COMMITS_AT_ONCE) {
    const some = wanted.slice(i, i + COMMITS_AT_ONCE);
    const commits = await logs.fetcher.run(
      loadCommits(
        plans,
        some.map(({ lsn }) => lsn),
        { mayBeGone: true },
      ),
      signal,
    );
    for (const commit of commits.values()) yield* headerEntry(context, plans, commit, signal);
    const { tasks } = await logs.fetcher.run(resolveFrames(plans, some), signal);
    yield* indexEntries(context, tasks, signal);
    for (const group of groupFrames(tasks, GROUP.maxBytes, GROUP.gapBytes)) {
      yield await frameEntry(context, plans, group, signal);
    }
  }
}

/** Pages by the commit that wrote them last; what was never written has no bytes. */
function wantedPages({ table, pageCount }: RemoteState, pages: PageSet): WantedPages[] {
  const byLsn = new Map<Lsn, PageSet[]>();
  for (const run of pages.clampTo(pageCount).runs()) {
    for (const { first, last, value } of table.runs(run.first, run.last)) {
      if (value === 0) continue;
      const sets = byLsn.get(value as Lsn);
      if (sets === undefined) byLsn.set(value as Lsn, [PageSet.range(first, last)]);
      else sets.push(PageSet.range(first, last));
    }
  }
  return [...byLsn].map(([lsn, sets]) => ({ lsn, pages: PageSet.unionAll(sets) }));
}

async function* headerEntry(
  { store }: ServerContext,
  { directory }: FramePlanContext,
  commit: DecodedCommit,
  signal: AbortSignal,
): AsyncGenerator<BundleEntry, void, undefined> {
  if (commit.headerLength > HEADER_BYTES) return;
  const key = commitKey(directory.volumeOf(commit.header.lsn), commit.header.lsn);
  const bytes = await store.read(key, { offset: 0, length: commit.headerLength }, signal);
  if (bytes !== undefined) yield { kind: "bytes", key, offset: 0, total: commit.totalLength, bytes };
}

/** Each index once, however many frames of it are asked for. */
async function* indexEntries(
  { store }: ServerContext,
  tasks: readonly FrameTask[],
  signal: AbortSignal,
): AsyncGenerator<BundleEntry, void, undefined> {
  const sent = new Set<string>();
  for (const { source } of tasks) {
    const { key, base, ref, objectLength: total } = source;
    if (sent.has(key)) continue;
    sent.add(key);
    const offset = base + ref.index.offset;
    const bytes = await store.read(key, { offset, length: ref.index.length }, signal);
    if (bytes === undefined) throw missing(key);
    yield { kind: "bytes", key, offset, total, bytes };
  }
}

async function frameEntry(
  { store, codecs }: ServerContext,
  plans: FramePlanContext,
  group: FrameGroup,
  signal: AbortSignal,
): Promise<BundleEntry> {
  const { key, offset, length } = group.request;
  const bytes = await store.read(key, { offset, length }, signal);
  for (const task of group.tasks) {
    const stored = frameBytes(plans, group, task, bytes);
    if (codecs.hash.frameHash(stored) === task.frame.hash) continue;
    const details = whereIs(task);
    throw new PagefoldError(
      "corrupt",
      `frame ${details.frame} of segment ${details.segment} of commit ${details.lsn} of volume ${details.volume} is damaged in the store; restore the object`,
      { details },
    );
  }
  if (bytes === undefined) throw missing(key);
  const { source } = group.tasks[0]!;
  return { kind: "bytes", key, offset, total: source.objectLength, bytes };
}

function missing(key: string): PagefoldError {
  return new PagefoldError(
    "corrupt",
    `${key} is missing in the store, though its log names it; restore the object`,
    {
      details: { key },
    },
  );
}
