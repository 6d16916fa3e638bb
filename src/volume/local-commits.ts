/**
 * The local commits of a volume that were not pushed, oldest first, as an immutable list. Lists that follow from one another share one
 * array, each seeing its own beginning of it: taking one more commit costs O(1), whatever their number, and whoever holds an older
 * list keeps it as it was.
 */
import { PageSet, PageSetBuilder } from "../format/page-set.ts";
import type { PageTable } from "./page-table.ts";
import type { LocalCommit } from "./replica.ts";

export class LocalCommits implements Iterable<LocalCommit> {
  static readonly none = new LocalCommits([], 0);

  /** Only ever appended to, and only through the list that ends where it ends. */
  readonly #shared: LocalCommit[];
  readonly length: number;

  private constructor(shared: LocalCommit[], length: number) {
    this.#shared = shared;
    this.length = length;
  }

  at(index: number): LocalCommit | undefined {
    return index < this.length ? this.#shared[index] : undefined;
  }

  get last(): LocalCommit | undefined {
    return this.at(this.length - 1);
  }

  /** The commit of a number. O(1): they have no gaps. */
  bySequence(sequence: number): LocalCommit | undefined {
    return this.at(sequence - (this.at(0)?.sequence ?? 0));
  }

  /** This list and one more commit, whose number follows. O(1), unless another list was made of this one already. */
  with(commit: LocalCommit): LocalCommits {
    const isNewest = this.#shared.length === this.length && this !== LocalCommits.none;
    const shared = isNewest ? this.#shared : this.#shared.slice(0, this.length);
    shared.push(commit);
    return new LocalCommits(shared, shared.length);
  }

  /** Those up to a number. O(1) */
  through(sequence: number): LocalCommits {
    const count = Math.min(this.length, Math.max(0, sequence - (this.at(0)?.sequence ?? 1) + 1));
    if (count === 0) return LocalCommits.none;
    return count === this.length ? this : new LocalCommits(this.#shared, count);
  }

  /** Those after a number; what came before is let go of. O(result) */
  after(sequence: number): LocalCommits {
    const gone = this.through(sequence).length;
    if (gone === 0) return this;
    if (gone === this.length) return LocalCommits.none;
    const rest = this.#shared.slice(gone, this.length);
    return new LocalCommits(rest, rest.length);
  }

  *[Symbol.iterator](): IterableIterator<LocalCommit> {
    for (let i = 0; i < this.length; i++) yield this.#shared[i]!;
  }
}

/** What local commits amount to: the pages that survive, and the shape of the volume. */
export interface MergedCommits {
  readonly changed: PageSet;
  readonly zeroed: PageSet;
  readonly lowestPageCount: number;
  readonly last: LocalCommit;
}

/**
 * Merges commits by the page table in which they are laid over the state before them: it knows of every page who wrote it last.
 * O(pages changed · log), whatever the number of commits.
 */
export function mergeCommits(commits: LocalCommits, table: PageTable): MergedCommits | undefined {
  const { last } = commits;
  if (last === undefined) return undefined;
  let lowestPageCount = Number.MAX_SAFE_INTEGER;
  const sets: PageSet[] = [];
  for (const commit of commits) {
    lowestPageCount = Math.min(lowestPageCount, commit.lowestPageCount);
    sets.push(commit.changed, commit.zeroed);
  }
  const changed = new PageSetBuilder();
  const zeroed = new PageSetBuilder();
  for (const touched of PageSet.unionAll(sets).runs()) {
    // A value that is not a local commit's: a shrink cut these pages off.
    for (const run of table.runs(touched.first, touched.last)) {
      const writer = run.value < 0 ? commits.bySequence(-run.value) : undefined;
      if (writer === undefined) continue;
      if (writer.zeroed.isEmpty) {
        changed.addRun(run.first, run.last);
        continue;
      }
      for (let page = run.first; page <= run.last; page++) {
        (writer.zeroed.has(page) ? zeroed : changed).add(page);
      }
    }
  }
  return { changed: changed.build(), zeroed: zeroed.build(), lowestPageCount, last };
}
