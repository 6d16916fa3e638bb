/**
 * What every commit says of its state, recomputed without reading a page: along the log, digests of what a commit overwrites are taken away and those of
 * what it writes are added, both from digest areas; bands and checkpoints are compared with what the commits amount to. The cost is that of the changes.
 */
import type { Lsn, StateChecksum } from "../../base/brand.ts";
import { PagefoldError } from "../../base/errors.ts";
import { StateChecksumSum, stateChecksumToText } from "../../format/checksum.ts";
import type { DecodedCommit } from "../../format/commit-codec.ts";
import { touchedPages } from "../../format/commit-pages.ts";
import { DIGEST_BYTES } from "../../format/hash.ts";
import { commitKey } from "../../format/keys.ts";
import { PageSet, PageSetBuilder } from "../../format/page-set.ts";
import { rollupOfCommit } from "../../format/rollup-codec.ts";
import { buildState } from "../../replicate/build-state.ts";
import { loadIndexes, sourceInCommit } from "../../replicate/commit-lookup.ts";
import { digestsOf, loadDigestAreas } from "../../replicate/digests.ts";
import { lyingIndex } from "../../replicate/frame-plan.ts";
import { PageTable } from "../../volume/page-table.ts";
import { advance, emptyState, type RemoteState } from "../../volume/remote-state.ts";
import { BandCheck } from "./bands.ts";
import { CheckpointCheck } from "./checkpoints.ts";
import { DigestMemory } from "./digest-memory.ts";
import { type CommitBatch, commitBatches, type LogSpan } from "./log.ts";
import { verifyRetained } from "./retained.ts";
import type { VerifyRun } from "./run.ts";
import type { DeepCounts } from "./token.ts";

/** Digests that are remembered: those of a volume of 15 GB, in pages of 4 KiB. */
const MEMORY_BYTES = 64 * 2 ** 20;
/** Pages whose digests are had together. */
const SLICE_PAGES = 65_536;
/** Segments of a commit that are looked at together. */
const SEGMENTS_AT_ONCE = 16;

/** Every state that the log of `span` passes through, and what is retained below it, up to `target`, whose page table it must come to. */
export async function verifyStates(run: VerifyRun, target: RemoteState, span: LogSpan): Promise<DeepCounts> {
  const counts: Mutable<DeepCounts> = { ...run.token.states.counts };
  const bands = new BandCheck(run);
  const start = await startOf(run, span, counts);
  if (start === undefined) return counts;
  if (run.token.states.through > 0) await bands.resume(start.lsn, span.from);
  const walk = new StateWalk(run, start, counts);
  const total = span.to - span.from;
  const nothing = { done: 0, total: 0 };
  for await (const batch of commitBatches(run, start.lsn, span.to)) {
    const checks = batch.commits
      .map((commit, i) => bands.add((batch.first + i) as Lsn, commit, counts))
      .filter((check) => check !== undefined);
    await run.each(checks, (check) => check());
    if (!(await walk.through(batch))) return counts;
    const commits = { done: batch.last - span.from, total };
    run.advance(
      { states: { through: batch.last, counts: { ...counts } } },
      { part: "states", commits, pages: nothing, bytes: nothing },
    );
  }
  if (!sameTables(walk.state.table, target.table, target.pageCount)) {
    run.report(
      new PagefoldError(
        "corrupt",
        `the commits of volume ${run.volume} up to LSN ${target.lsn} do not come to the page table that this side was given: a band or a checkpoint lies; clone the volume anew once that is repaired`,
        { details: { volume: run.volume, lsn: target.lsn } },
      ),
    );
  }
  return counts;
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** The state that the walk begins from; what is retained up to there is verified with it. */
async function startOf(
  run: VerifyRun,
  span: LogSpan,
  counts: Mutable<DeepCounts>,
): Promise<RemoteState | undefined> {
  const { through } = run.token.states;
  if (through > 0) {
    return (await run.attempt(() => buildState(run.source, through as Lsn, { signal: run.signal })))?.state;
  }
  if (span.collected === undefined) return emptyState(run.source.originHash, run.manifest.createdAt);
  return verifyRetained(run, span, counts);
}

/** A state on its way along the log. */
class StateWalk {
  state: RemoteState;
  readonly #run: VerifyRun;
  readonly #counts: Mutable<DeepCounts>;
  readonly #memory = new DigestMemory(MEMORY_BYTES);
  readonly #checkpoints: CheckpointCheck;
  /** Digests as of the beginning of a batch, of pages that it changes and that were not remembered. */
  #held = new Map<number, Uint8Array>();
  #sum: StateChecksumSum;

  constructor(run: VerifyRun, start: RemoteState, counts: Mutable<DeepCounts>) {
    this.#run = run;
    this.state = start;
    this.#counts = counts;
    this.#sum = StateChecksumSum.from(start.stateChecksum);
    this.#checkpoints = new CheckpointCheck(run, this.#memory, counts);
  }

  /** Answers whether it came through. */
  async through(batch: CommitBatch): Promise<boolean> {
    for (const commit of batch.commits)
      if (commit !== undefined) this.#run.directory.learnHash(commit.header.lsn, commit.hash);
    await this.#foresee(batch);
    for (const [i, commit] of batch.commits.entries()) {
      const lsn = (batch.first + i) as Lsn;
      if (commit === undefined) {
        this.#run.report(stuck(this.#run, lsn));
        return false;
      }
      const done = await this.#run.attempt(async () => {
        await this.#apply(commit);
        return true;
      });
      if (done === undefined) {
        this.#run.report(stuck(this.#run, lsn));
        return false;
      }
      await this.#checkpoints.at(this.state);
    }
    return true;
  }

  /** Has digests that the commits of a batch will need fetched together. Whatever fails here fails again where it is needed. */
  async #foresee({ commits }: CommitBatch): Promise<void> {
    this.#held = new Map();
    const { table, pageCount } = this.state;
    const present = commits.filter((commit) => commit !== undefined);
    const small = present.filter(({ header }) => header.segments.length <= SEGMENTS_AT_ONCE);
    const quietly = (work: () => Promise<unknown>) => work().catch((error: unknown) => this.#ifDamage(error));
    await this.#run.each(small, async (commit) => {
      await quietly(() => this.#areasOf(commit, 0, commit.header.segments.length));
    });
    const touched = PageSet.unionAll(present.map(({ header }) => overwrittenBy(header, pageCount)));
    const missing = this.#unknown(writtenOf(touched, table));
    if (missing.size > SLICE_PAGES) return;
    await quietly(async () => {
      const digests = await this.#run.fetch(digestsOf(this.#run.frames, table, missing));
      let at = 0;
      for (const page of missing) {
        this.#held.set(page, digests.subarray(at, at + DIGEST_BYTES));
        at += DIGEST_BYTES;
      }
    });
  }

  #ifDamage(error: unknown): void {
    if (!(error instanceof PagefoldError) || !["corrupt", "not_found"].includes(error.code)) throw error;
  }

  #unknown(pages: PageSet): PageSet {
    const missing: number[] = [];
    for (const page of pages)
      if (this.#memory.get(page) === undefined && !this.#held.has(page)) missing.push(page);
    return PageSet.of(missing);
  }

  async #apply(commit: DecodedCommit): Promise<void> {
    const { header, hash } = commit;
    await this.#takeAway(overwrittenBy(header, this.state.pageCount));
    await this.#addChanged(commit);
    for (const { lsn, pages } of header.restored) await this.#addRestored(lsn, pages);
    const zeros = new Uint8Array(DIGEST_BYTES);
    for (const page of header.zeroed) this.#remember(page, zeros, 0);
    const rollups = [rollupOfCommit(header, hash)];
    const from = (header.lsn - 1) as Lsn;
    this.state = advance({ ...this.state, lsn: from }, [
      { commit, stored: new Uint8Array(0), from, rollups },
    ]);
    this.#counts.states++;
    const found = this.#sum.value();
    if (found === header.stateChecksum) return;
    // Whoever wrote the next commit went on from what this one says.
    this.#sum = StateChecksumSum.from(header.stateChecksum);
    this.#run.report(wrongSum(this.#run, commit, found));
  }

  async #takeAway(overwritten: PageSet): Promise<void> {
    const { table } = this.state;
    const pages = writtenOf(overwritten, table);
    const missing = this.#unknown(pages);
    for (const page of pages.subtract(missing))
      this.#sum.subtract(this.#held.get(page) ?? this.#memory.get(page)!, 0, 1);
    for (let from = 0; from < missing.size; from += SLICE_PAGES) {
      const some = missing.slice(from, from + SLICE_PAGES);
      this.#sum.subtract(await this.#run.fetch(digestsOf(this.#run.frames, table, some)));
    }
  }

  async #addChanged(commit: DecodedCommit): Promise<void> {
    const { changed, segments } = commit.header;
    for (let from = 0; from < segments.length; from += SEGMENTS_AT_ONCE) {
      const parts = await this.#areasOf(commit, from, Math.min(segments.length, from + SEGMENTS_AT_ONCE));
      for (const { source, pages, digests } of parts) {
        const { firstPage, lastPage } = source.ref;
        if (!pages.equals(changed.intersect(PageSet.range(firstPage, lastPage))))
          throw lyingIndex(source, firstPage);
        this.#sum.add(digests);
        let at = 0;
        for (const page of pages) {
          this.#remember(page, digests, at);
          at += DIGEST_BYTES;
        }
      }
    }
  }

  async #areasOf(commit: DecodedCommit, from: number, to: number) {
    const { directory, frames } = this.#run;
    const sources = Array.from({ length: to - from }, (_, i) => sourceInCommit(directory, commit, from + i));
    const indexes = await this.#run.fetch(loadIndexes(frames, sources));
    const areas = await this.#run.fetch(loadDigestAreas(frames, sources));
    return sources.map((source, i) => ({ source, pages: indexes[i]!.pages, digests: areas[i]! }));
  }

  /** Pages that go back: what the older commit wrote. */
  async #addRestored(lsn: Lsn, pages: PageSet): Promise<void> {
    const table = PageTable.empty.edit().assign(pages, lsn).finish();
    for (let from = 0; from < pages.size; from += SLICE_PAGES) {
      const some = pages.slice(from, from + SLICE_PAGES);
      const digests = await this.#run.fetch(digestsOf(this.#run.frames, table, some));
      this.#sum.add(digests);
      let at = 0;
      for (const page of some) {
        this.#remember(page, digests, at);
        at += DIGEST_BYTES;
      }
    }
  }

  #remember(page: number, digests: Uint8Array, offset: number): void {
    this.#held.delete(page);
    this.#memory.set(page, digests, offset);
  }
}

/** What a commit overwrites, zeroes, restores or cuts off of a state with so many pages. */
function overwrittenBy(header: DecodedCommit["header"], pageCount: number): PageSet {
  return touchedPages(header).union(PageSet.range(header.lowestPageCount + 1, pageCount));
}

/** Those of some pages that have a writer. O(pages of the set), however large the volume is. */
function writtenOf(pages: PageSet, table: PageTable): PageSet {
  const written = new PageSetBuilder();
  for (const page of pages) if (table.lookup(page) !== 0) written.add(page);
  return written.build();
}

/** Whether both name the same writer for every page. */
export function sameTables(a: PageTable, b: PageTable, pageCount: number): boolean {
  const others = b.runs(1, pageCount);
  let other = others.next();
  for (const run of a.runs(1, pageCount)) {
    for (let first = run.first; first <= run.last; ) {
      while (!other.done && other.value.last < first) other = others.next();
      if (other.done === true || other.value.value !== run.value) return false;
      first = other.value.last + 1;
    }
  }
  return true;
}

export function wrongSum(run: VerifyRun, { header }: DecodedCommit, found: StateChecksum): PagefoldError {
  const { lsn } = header;
  const volume = run.directory.volumeOf(lsn);
  return new PagefoldError(
    "corrupt",
    `commit ${lsn} of volume ${volume} says state checksum ${stateChecksumToText(header.stateChecksum)}, the digests of its pages add up to ${stateChecksumToText(found)}; ` +
      "every object matched its hash, so it was written wrongly",
    { details: { volume, lsn, key: commitKey(volume, lsn) } },
  );
}

function stuck(run: VerifyRun, lsn: Lsn): PagefoldError {
  const volume = run.directory.volumeOf(lsn);
  return new PagefoldError(
    "corrupt",
    `the states of volume ${volume} from LSN ${lsn} on were not verified, for want of what commit ${lsn} did; restore what is damaged, then verify again`,
    { details: { volume, lsn } },
  );
}
