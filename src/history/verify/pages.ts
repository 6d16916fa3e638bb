/**
 * The pages of a state: every frame that holds one, its read index and its digest, checked against one another; and the sums of both, against the state
 * checksum. In slices of bounded size, in an order that does not depend on how fast anything is; a random sample is one slice more.
 */
import type { Lsn, PageIdx } from "../../base/brand.ts";
import { StateChecksumSum } from "../../format/checksum.ts";
import { PageSet, PageSetBuilder } from "../../format/page-set.ts";
import { checkpointUpTo, loadCheckpoint, newestFloorOf } from "../../replicate/floor.ts";
import { checkState } from "../../replicate/hydrate.ts";
import { locatePages, type WantedPages } from "../../replicate/locate.ts";
import type { LoadedCheckpoint } from "../../volume/loaded-checkpoint.ts";
import type { RemoteState } from "../../volume/remote-state.ts";
import type { VerifyRun } from "./run.ts";
import { verifySegment } from "./segment.ts";
import { sumFromText, sumToText } from "./token.ts";

/** Pages, and writers, that are worked on together. */
const SLICE_PAGES = 65_536;
const SLICE_WRITERS = 256;

/** Every page of the state. Answers how many it has. */
export async function verifyPages(run: VerifyRun, state: RemoteState): Promise<number> {
  learnWriters(run, state);
  const written = state.table.written(state.pageCount);
  const places = await placesFor(run, state);
  let { pages } = run.token;
  const same = pages.places === places?.checkpoint.hash;
  if (!same)
    pages = {
      ...pages,
      slices: 0,
      pages: 0,
      whole: true,
      fromPages: sumToText(0n as never),
      fromDigests: sumToText(0n as never),
    };
  const sums = {
    pages: new StateChecksumSum().addValue(sumFromText(pages.fromPages)),
    digests: new StateChecksumSum().addValue(sumFromText(pages.fromDigests)),
  };
  let { pages: done, whole } = pages;
  let slice = 0;
  for (const wanted of slicesOf(state, written, places)) {
    if (slice++ < pages.slices) continue;
    const before = done;
    const { reports } = run;
    const count = wanted.reduce((sum, each) => sum + each.pages.size, 0);
    await verifySlice(run, wanted, sums, (more) => {
      done = Math.min(done + more, before + count);
      run.tell(progressOf(run, done, written.size));
    });
    // Pages of zeros are in no frame.
    done = before + count;
    const fromPages = sumToText(sums.pages.value());
    const fromDigests = sumToText(sums.digests.value());
    whole &&= run.reports === reports;
    const next = { places: places?.checkpoint.hash, slices: slice, pages: done, whole };
    run.advance({ pages: { ...next, fromPages, fromDigests } }, progressOf(run, done, written.size));
  }
  // Frames that were not had are not in the sums.
  if (!whole) return written.size;
  for (const sum of [sums.pages, sums.digests]) {
    try {
      checkState(run.context, state.lsn, sum.value(), state.stateChecksum);
    } catch (error) {
      run.report(error);
    }
  }
  return written.size;
}

/** Some pages of the state, chosen at random: a share of them, or so many. Answers how many. */
export async function samplePages(run: VerifyRun, state: RemoteState, sample: number): Promise<number> {
  learnWriters(run, state);
  const written = state.table.written(state.pageCount);
  const wished = sample <= 1 ? Math.ceil(sample * written.size) : sample;
  const count = Math.min(written.size, wished);
  const chosen = pick(run, written, count);
  const sums = { pages: new StateChecksumSum(), digests: new StateChecksumSum() };
  let done = 0;
  for (let from = 0; from < chosen.size; from += SLICE_PAGES) {
    const some = chosen.slice(from, from + SLICE_PAGES);
    const byWriter = new Map<Lsn, PageIdx[]>();
    for (const page of some) {
      const lsn = state.table.lookup(page) as Lsn;
      const pages = byWriter.get(lsn);
      if (pages === undefined) byWriter.set(lsn, [page]);
      else pages.push(page);
    }
    const wanted = [...byWriter].map(([lsn, pages]) => ({ lsn, pages: PageSet.of(pages) }));
    await verifySlice(run, wanted, sums, (more) => {
      done = Math.min(done + more, from + some.size);
      run.tell(progressOf(run, done, count));
    });
    done = from + some.size;
    run.advance({}, progressOf(run, done, count));
  }
  return count;
}

/** `count` pages of a set, each as likely as any other. */
function pick({ context }: VerifyRun, pages: PageSet, count: number): PageSet {
  if (count >= pages.size) return pages;
  // Floyd's: as many draws as are wanted.
  const ranks = new Set<number>();
  for (let i = pages.size - count; i < pages.size; i++) {
    const rank = Math.floor(context.runtime.random() * (i + 1));
    ranks.add(ranks.has(rank) ? i : rank);
  }
  return PageSet.of([...ranks].map((rank) => pages.at(rank)));
}

function progressOf({ manifest }: VerifyRun, done: number, total: number) {
  const { pageSize } = manifest;
  return {
    part: "pages" as const,
    commits: { done: 0, total: 0 },
    pages: { done, total },
    bytes: { done: done * pageSize, total: total * pageSize },
  };
}

/** The log proved these when the state was opened. */
function learnWriters({ context, directory }: VerifyRun, { table, pageCount }: RemoteState): void {
  const known = context.replica.directory;
  for (const lsn of table.byValue(pageCount).keys()) {
    const hash = known.hash(lsn as Lsn);
    if (hash !== undefined) directory.learnHash(lsn as Lsn, hash);
  }
  for (const named of known.namedCheckpoints()) directory.nameCheckpoint(named);
}

/** The checkpoint that places most of the state's pages, where there is one: those lie together in the order of their indexes. */
async function placesFor(run: VerifyRun, state: RemoteState): Promise<LoadedCheckpoint | undefined> {
  for (const volume of [run.volume, ...run.manifest.ancestors.map((each) => each.volume)]) {
    const floor = await newestFloorOf(run.source, volume, { signal: run.signal });
    const upTo = Math.min(state.lsn, run.directory.sharedThrough(volume)) as Lsn;
    const named = checkpointUpTo(floor, upTo);
    if (named === undefined) continue;
    const loaded = await run.attempt(() => run.fetch(loadCheckpoint(run.frames, { volume, ...named })));
    if (loaded !== undefined && loaded.checkpoint.segments.length > 0) return loaded;
  }
  return undefined;
}

/** First what a checkpoint places, by page; then what lies in commits, by commit: so a frame is in one slice, or rarely in two. */
function* slicesOf(
  state: RemoteState,
  written: PageSet,
  places: LoadedCheckpoint | undefined,
): Generator<WantedPages[]> {
  const { table } = state;
  let rest = written;
  if (places !== undefined) {
    const placed = new PageSetBuilder();
    for (const page of written)
      if (places.placeOf(page, table.lookup(page) as Lsn) !== undefined) placed.add(page);
    const pages = placed.build();
    rest = written.subtract(pages);
    for (let from = 0; from < pages.size; from += SLICE_PAGES) {
      const some = pages.slice(from, from + SLICE_PAGES);
      const byWriter = new Map<Lsn, PageSetBuilder>();
      for (const page of some) {
        const lsn = table.lookup(page) as Lsn;
        const builder = byWriter.get(lsn) ?? new PageSetBuilder();
        byWriter.set(lsn, builder.add(page));
      }
      yield [...byWriter].map(([lsn, builder]) => ({ lsn, pages: builder.build() }));
    }
  }
  let slice: WantedPages[] = [];
  let count = 0;
  for (const [value, pages] of table.byValue(state.pageCount)) {
    const wanted = rest === written ? pages : pages.intersect(rest);
    for (let from = 0; from < wanted.size; from += SLICE_PAGES) {
      const some = wanted.slice(from, from + SLICE_PAGES);
      slice.push({ lsn: value as Lsn, pages: some });
      count += some.size;
      if (count < SLICE_PAGES && slice.length < SLICE_WRITERS) continue;
      yield slice;
      slice = [];
      count = 0;
    }
  }
  if (slice.length > 0) yield slice;
}

/** Finds the pages of a slice, and checks the segments that hold them. */
async function verifySlice(
  run: VerifyRun,
  wanted: readonly WantedPages[],
  sums: { readonly pages: StateChecksumSum; readonly digests: StateChecksumSum },
  onPages: (count: number) => void,
): Promise<void> {
  const located = await locate(run, wanted);
  await run.each(located, async ({ source, pages }) => {
    const found = await verifySegment(run, source, pages);
    sums.pages.addValue(found.fromPages);
    sums.digests.addValue(found.fromDigests);
    onPages(pages.size);
  });
}

/** Where one of them cannot be found, the others are looked for singly. */
async function locate(run: VerifyRun, wanted: readonly WantedPages[]) {
  const all = await run.attempt(() => run.fetch(locatePages(run.frames, wanted)));
  if (all !== undefined) return all.segments;
  const found = [];
  for (const each of wanted) {
    const one = await run.attempt(() => run.fetch(locatePages(run.frames, [each])));
    found.push(...(one?.segments ?? []));
  }
  return found;
}
