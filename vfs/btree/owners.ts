/**
 * To which table or index some pages of a database belong. Only the inner pages of the trees are read (about one in 300), which name their leaves, and those of the
 * wanted leaves that hold large rows. SQLite overwrites a large row in place: then only pages of its overflow chain change, whose leaf is not among
 * the wanted ones. Such pages are found by reading all leaves, where that is asked for.
 */
import { throwIfAborted } from "../../src/base/errors.ts";
import type { PageSet } from "../../src/format/page-set.ts";
import { type BtreePage, damaged, isBookkeeping } from "./page.ts";
import type { DatabaseReader } from "./reader.ts";

export interface OwnerOptions {
  readonly signal?: AbortSignal;
  /** Reads all leaves where pages remain whose owner is not known; stops when all are. */
  readonly thorough?: boolean;
  /** Pages whose owner is known, of all that are wanted. */
  readonly onProgress?: (done: number, total: number) => void;
}

export interface Owners {
  /** For each wanted page, in order, the place of its root in the list; or one of `NOT_IN_A_TREE`. */
  readonly of: Int32Array;
  /** For each root that was given, how many of the pages its tree has. */
  readonly pages: readonly number[];
  /** On the list of free pages. */
  readonly free: number;
  /** Pointer maps, and the page of the lock bytes. */
  readonly bookkeeping: number;
  /** Parts of large rows of some table. */
  readonly unknown: number;
}

/** Pages that are read together. */
const PAGES_AT_ONCE = 64;
/** What stands for pages of which no tree is known. */
export const NOT_IN_A_TREE = { unknown: -1, free: -2, bookkeeping: -3 } as const;

/**
 * @param roots where the trees begin; 1 is that of `sqlite_schema`
 * @param wanted pages of the database
 * @throws `corrupt` where a tree is damaged
 */
export async function ownersOf(
  reader: DatabaseReader,
  roots: readonly number[],
  wanted: PageSet,
  options: OwnerOptions = {},
): Promise<Owners> {
  const claims = new Claims(wanted);
  const walk = new Walk(reader, claims, {
    signal: options.signal,
    onProgress: () => options.onProgress?.(wanted.size - claims.left, wanted.size),
  });
  for (const page of wanted)
    if (isBookkeeping(reader.header, page)) claims.claim(page, NOT_IN_A_TREE.bookkeeping);
  for (const [i, root] of roots.entries()) {
    if (claims.left === 0) break;
    await walk.tree(root, i);
  }
  if (claims.left > 0) for await (const page of reader.freePages()) claims.claim(page, NOT_IN_A_TREE.free);
  if (claims.left > 0) await walk.chainsOfClaimed();
  if (options.thorough === true) {
    for (const [i, root] of roots.entries()) {
      if (claims.left === 0) break;
      await walk.tree(root, i, "leaves too");
    }
  }
  return claims.result(roots.length);
}

/** Who has which of the wanted pages. */
class Claims {
  readonly #wanted: PageSet;
  readonly #owners: Int32Array;
  left: number;

  constructor(wanted: PageSet) {
    this.#wanted = wanted;
    this.#owners = new Int32Array(wanted.size).fill(NOT_IN_A_TREE.unknown);
    this.left = wanted.size;
  }

  /** Answers whether it is one of the wanted, and was nobody's. */
  claim(page: number, owner: number): boolean {
    const rank = this.#wanted.rankOf(page);
    if (rank === -1 || this.#owners[rank] !== NOT_IN_A_TREE.unknown) return false;
    this.#owners[rank] = owner;
    this.left--;
    return true;
  }

  result(trees: number): Owners {
    const pages = new Array<number>(trees).fill(0);
    let free = 0;
    for (const owner of this.#owners) {
      if (owner >= 0) pages[owner]!++;
      else if (owner === NOT_IN_A_TREE.free) free++;
    }
    const inTrees = pages.reduce((sum, count) => sum + count, 0);
    const bookkeeping = this.#owners.length - inTrees - free - this.left;
    return { of: this.#owners, pages, free, bookkeeping, unknown: this.left };
  }
}

class Walk {
  readonly #reader: DatabaseReader;
  readonly #claims: Claims;
  readonly #signal: AbortSignal | undefined;
  readonly #onProgress: () => void;
  /** Wanted pages that may hold the beginnings of overflow chains, with their trees. */
  readonly #claimed: { readonly page: number; readonly tree: number }[] = [];

  constructor(
    reader: DatabaseReader,
    claims: Claims,
    { signal, onProgress }: { readonly signal: AbortSignal | undefined; readonly onProgress: () => void },
  ) {
    this.#reader = reader;
    this.#claims = claims;
    this.#signal = signal;
    this.#onProgress = onProgress;
  }

  /** Claims the pages of a tree, level by level: all leaves are as deep, so whether a level is one of leaves its first page says. */
  async tree(root: number, tree: number, how: "inner pages" | "leaves too" = "inner pages"): Promise<void> {
    const seen = new Set<number>();
    let level = [root];
    let isLeaves = (await this.#reader.btree(root)).isLeaf;
    while (!isLeaves) {
      const next: number[] = [];
      await this.#each(level, async (page, btree) => {
        if (btree.isLeaf || seen.has(page)) throw damaged(page, "its tree is not one");
        seen.add(page);
        this.#claim(page, tree);
        if (how === "leaves too") await this.#chains(btree, tree);
        for (const child of btree.children()) next.push(child);
      });
      if (this.#claims.left === 0) return;
      level = next;
      isLeaves = (await this.#reader.btree(next[0]!)).isLeaf;
    }
    if (how === "leaves too") await this.#each(level, (_, btree) => this.#chains(btree, tree));
    else for (const page of level) this.#claim(page, tree);
    this.#onProgress();
  }

  /** Claims the overflow chains that begin in claimed pages. */
  async chainsOfClaimed(): Promise<void> {
    const counts = new Map<number, number>();
    for (const { tree } of this.#claimed) counts.set(tree, (counts.get(tree) ?? 0) + 1);
    // The trees with the fewest first: they cost least to look through, and a few pages are often all that is left.
    const claimed = [...this.#claimed].sort((a, b) => counts.get(a.tree)! - counts.get(b.tree)!);
    for (let i = 0; i < claimed.length && this.#claims.left > 0; i += PAGES_AT_ONCE) {
      const some = claimed.slice(i, i + PAGES_AT_ONCE);
      const trees = new Map(some.map(({ page, tree }) => [page, tree]));
      await this.#each([...trees.keys()], (page, btree) => this.#chains(btree, trees.get(page)!));
    }
  }

  #claim(page: number, tree: number): void {
    if (this.#claims.claim(page, tree)) this.#claimed.push({ page, tree });
  }

  async #chains(btree: BtreePage, tree: number): Promise<void> {
    for (const { overflow } of btree.cells()) {
      if (overflow === undefined) continue;
      if (this.#claims.left === 0) return;
      // The first page of a chain is known without reading it.
      this.#claims.claim(overflow.first, tree);
      if (overflow.pages === 1) continue;
      for await (const { page } of this.#reader.overflow(overflow)) {
        this.#claims.claim(page, tree);
        if (this.#claims.left === 0) return;
      }
    }
  }

  /** Reads pages, some at a time, and hands them over in order; ends early when nothing is left to be claimed. */
  async #each(
    pages: readonly number[],
    visit: (page: number, btree: BtreePage) => void | Promise<void>,
  ): Promise<void> {
    for (let i = 0; i < pages.length; i += PAGES_AT_ONCE) {
      throwIfAborted(this.#signal, "telling which table pages belong to");
      if (this.#claims.left === 0) return;
      const some = pages.slice(i, i + PAGES_AT_ONCE);
      const read = await Promise.all(some.map((page) => this.#reader.btree(page)));
      for (const [k, btree] of read.entries()) await visit(some[k]!, btree);
      this.#onProgress();
    }
  }
}
