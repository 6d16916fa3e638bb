/**
 * Which pages differ between two states of a volume, told by who wrote each page last: no page is fetched. Where the later state is asked for from the
 * earlier one, the merged changes of the run between them do, at the price of what changed; else, and where commits of the run were collected or
 * restored old pages, the two page tables are compared. The server answers with the same function (`DiffSource`).
 */
import { assert } from "../../base/assert.ts";
import type { Lsn, PageCount, TimeMs } from "../../base/brand.ts";
import { isPagefoldError, throwIfAborted } from "../../base/errors.ts";
import { DIGEST_BYTES } from "../../format/hash.ts";
import { PageSet, PageSetBuilder } from "../../format/page-set.ts";
import { fetchChain } from "../../replicate/chain-fetch.ts";
import type { FramePlanContext } from "../../replicate/commit-lookup.ts";
import type { ReplicaContext } from "../../replicate/context.ts";
import { digestsOf, type ResidentDigest } from "../../replicate/digests.ts";
import { lsnAt } from "../../replicate/lsn-at.ts";
import { stateOf } from "../../replicate/past.ts";
import { residentDigests } from "../../replicate/resident-digests.ts";
import type { FetchPlan } from "../../volume/fetch-plan.ts";
import type { PageTable } from "../../volume/page-table.ts";
import { advance, type ChainStep, emptyState, type RemoteState } from "../../volume/remote-state.ts";
import { provenCommit } from "./proven-commit.ts";

export interface DiffOptions {
  readonly signal?: AbortSignal;
  /**
   * Compares the digests of pages, too, and leaves out those that were written with the bytes that they had. Fetches 16 bytes for each page that was
   * written, and those of its neighbours.
   */
  readonly exact?: boolean;
}

/** What differs in `to`, seen from `from`; either may be the later one. */
export interface StateDiff {
  readonly from: Lsn;
  readonly to: Lsn;
  /** Pages of `to` that another commit wrote last than in `from`, or none; with `exact`, those whose bytes differ. */
  readonly pages: PageSet;
  /** Of those, the ones that had been written and read as zeros in `to`. Without `exact` only those that were cut off, or not written yet. */
  readonly zeroed: PageSet;
  /** Pages past the end of `to` that `from` has. */
  readonly gone: PageSet;
  readonly pageCountFrom: PageCount;
  readonly pageCountTo: PageCount;
  readonly byteLengthFrom: number;
  readonly byteLengthTo: number;
  readonly exact: boolean;
}

interface Shape {
  readonly pageCount: PageCount;
  readonly byteLength: number;
}

/** A log, as a comparison needs it. Everything that it answers is verified. */
export interface DiffSource {
  readonly frames: FramePlanContext;
  /** Of the commit at an LSN from 1 on. */
  shape(lsn: Lsn): Promise<Shape>;
  /** The steps from one LSN up to a later one, oldest first. @throws `not_found` where a commit of the run is gone */
  way(from: Lsn, to: Lsn): Promise<readonly ChainStep[]>;
  state(lsn: Lsn): Promise<RemoteState>;
  run<T>(plan: FetchPlan<T>): Promise<T>;
  /** Of pages that are at hand. */
  readonly resident?: ResidentDigest;
}

/**
 * What differs between two points of a volume's log, as far as the replica has seen it: LSNs (0: the empty volume), or times.
 * @throws `not_found` for a point that there is not
 */
export async function diffStates(
  context: ReplicaContext,
  a: number | Date,
  b: number | Date,
  options: DiffOptions = {},
): Promise<StateDiff> {
  const at = (point: number | Date): Promise<Lsn> => lsnOf(context, point, options);
  const [from, to] = await Promise.all([at(a), at(b)]);
  return diffOf(sourceOf(context, options), from, to, options);
}

/** The LSN of a point that the replica has seen. @throws `not_found`, `invalid` */
async function lsnOf(context: ReplicaContext, point: number | Date, options: DiffOptions): Promise<Lsn> {
  if (typeof point !== "number") return lsnAt(context, point.getTime(), options);
  const { base } = context.replica.state;
  // What is wrong with it is told there.
  return point >= 1 && point <= base.lsn && Number.isSafeInteger(point)
    ? (point as Lsn)
    : (await stateOf(context, point, options)).lsn;
}

function sourceOf(context: ReplicaContext, { signal }: DiffOptions): DiffSource {
  const { frames, fetcher, remote, codecs, replica } = context;
  const { base } = replica.state;
  const options = signal === undefined ? {} : { signal };
  return {
    frames,
    shape: async (lsn) => (lsn === base.lsn ? base : (await provenCommit(context, lsn, options)).header),
    way: async (from, to) => {
      const { hash } = to === base.lsn ? base : await provenCommit(context, to, options);
      const fetching = { store: remote, directory: replica.directory, codecs, signal };
      return fetchChain({ ...fetching, from: { lsn: from }, to: { lsn: to, hash } });
    },
    state: (lsn) => stateOf(context, lsn, options),
    run: (plan) => fetcher.run(plan, signal),
    resident: residentDigests(context),
  };
}

/** What differs between two LSNs of a log. */
export async function diffOf(
  source: DiffSource,
  from: Lsn,
  to: Lsn,
  options: DiffOptions = {},
): Promise<StateDiff> {
  const { exact = false } = options;
  const shapeOf = async (lsn: Lsn): Promise<Shape> => (lsn === 0 ? nothing : source.shape(lsn));
  const [before, after] = await Promise.all([shapeOf(from), shapeOf(to)]);
  const { pages, zeroed } =
    from === to
      ? { pages: PageSet.empty, zeroed: PageSet.empty }
      : ((exact || from > to ? undefined : await fromRun(source, { lsn: from, ...before }, to, after)) ??
        (await fromTables(source, from, to, options)));
  return {
    from,
    to,
    pages,
    zeroed,
    gone: PageSet.range(after.pageCount + 1, before.pageCount),
    pageCountFrom: before.pageCount,
    pageCountTo: after.pageCount,
    byteLengthFrom: before.byteLength,
    byteLengthTo: after.byteLength,
    exact,
  };
}

const nothing: Shape = { pageCount: 0 as PageCount, byteLength: 0 };

interface Differing {
  readonly pages: PageSet;
  readonly zeroed: PageSet;
}

/** From the changes of the run (from, to]; undefined where they alone do not tell. */
async function fromRun(
  source: DiffSource,
  from: Shape & { readonly lsn: Lsn },
  to: Lsn,
  after: Shape,
): Promise<Differing | undefined> {
  let steps: readonly ChainStep[];
  try {
    steps = await source.way(from.lsn, to);
  } catch (error) {
    // Collected: the tables may be had from checkpoints.
    if (isPagefoldError(error, "not_found")) return undefined;
    throw error;
  }
  const { table } = advance({ ...emptyState(undefined, 0 as TimeMs), lsn: from.lsn }, steps);
  const builder = new PageSetBuilder();
  for (const run of table.runs(1, after.pageCount)) {
    if (run.value === 0) continue;
    // Restored from before the run, maybe as it was at its beginning.
    if (run.value <= from.lsn) return undefined;
    builder.addRun(run.first, run.last);
  }
  const pages = builder.build();
  const lowest = Math.min(
    ...steps.flatMap(({ rollups }) => rollups.map(({ lowestPageCount }) => lowestPageCount)),
  );
  // Cut off and not written since: zeros now, and before whatever they were.
  const regrown = PageSet.range(lowest + 1, Math.min(from.pageCount, after.pageCount)).subtract(pages);
  return regrown.isEmpty ? { pages, zeroed: PageSet.empty } : undefined;
}

async function fromTables(source: DiffSource, from: Lsn, to: Lsn, options: DiffOptions): Promise<Differing> {
  const [before, after] = await Promise.all([source.state(from), source.state(to)]);
  const differing = compareTables(before.table, after.table, after.pageCount);
  return options.exact === true
    ? compareDigests(source, before.table, after.table, differing.pages, options)
    : differing;
}

/** The pages up to `pageCount` whose values differ, and those of them that have none in `after`. */
export function compareTables(before: PageTable, after: PageTable, pageCount: number): Differing {
  const pages = new PageSetBuilder();
  const zeroed = new PageSetBuilder();
  const others = before.runs(1, pageCount);
  let other = others.next();
  for (const { first, last, value } of after.runs(1, pageCount)) {
    // Both lists of runs cover every page, so the other one has a run wherever this one has.
    for (let page = first; page <= last; ) {
      assert(other.done !== true, `a page table without page ${page}`);
      const end = Math.min(last, other.value.last);
      if (other.value.value !== value) {
        pages.mergeRun(page, end);
        if (value === 0) zeroed.mergeRun(page, end);
      }
      page = end + 1;
      if (end === other.value.last) other = others.next();
    }
  }
  return { pages: pages.build(), zeroed: zeroed.build() };
}

/** Pages whose digests are looked at together: bounds what is in memory. */
const DIGESTS_AT_ONCE = 65_536;

async function compareDigests(
  source: DiffSource,
  before: PageTable,
  after: PageTable,
  candidates: PageSet,
  { signal }: DiffOptions,
): Promise<Differing> {
  const pages = new PageSetBuilder();
  const zeroed = new PageSetBuilder();
  for (let done = 0; done < candidates.size; done += DIGESTS_AT_ONCE) {
    throwIfAborted(signal, "comparing two states");
    const some = candidates.slice(done, done + DIGESTS_AT_ONCE);
    const [x, y] = await Promise.all(
      [before, after].map((table) => source.run(digestsOf(source.frames, table, some, source.resident))),
    );
    let at = 0;
    for (const page of some) {
      if (!sameAt(x!, y!, at)) {
        pages.add(page);
        if (isZeroAt(y!, at)) zeroed.add(page);
      }
      at += DIGEST_BYTES;
    }
  }
  return { pages: pages.build(), zeroed: zeroed.build() };
}

function sameAt(a: Uint8Array, b: Uint8Array, at: number): boolean {
  for (let i = at; i < at + DIGEST_BYTES; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** A page of zeros has no digest. */
function isZeroAt(digests: Uint8Array, at: number): boolean {
  for (let i = at; i < at + DIGEST_BYTES; i++) if (digests[i] !== 0) return false;
  return true;
}
