/**
 * Rollups: the merged changes of a run of commits, as bands in commits or in `rollups/<~lsn>` (FORMAT.md, "Rollups and jumps"). What interval a band
 * covers follows from its place, so it is not stored:
 *
 *     u8 0xb1 · varint lowest page count · writers (writers-codec.ts) from `to` down
 */
import { assert } from "../base/assert.ts";
import { type Hash, type Lsn, MAX_PAGE_COUNT, type PageCount } from "../base/brand.ts";
import type { ErrorDetails } from "../base/errors.ts";
import { ByteReader, ByteWriter } from "./bytes.ts";
import type { CommitHeader, PageWriter, Rollup } from "./model.ts";
import { PageSet } from "./page-set.ts";
import { readWriters, writeWriters } from "./writers-codec.ts";

const MARK = 0xb1;

export function encodeRollup(rollup: Rollup): Uint8Array {
  assert(rollup.from < rollup.to, `a rollup of (${rollup.from}, ${rollup.to}]`);
  const writer = new ByteWriter(64 + 64 * rollup.writers.length);
  writer.u8(MARK).varint(rollup.lowestPageCount);
  writeWriters(writer, rollup.writers, rollup.to);
  return writer.finish();
}

/** Throws `corrupt`. The caller has checked the band's hash; `expect` is the interval that its place stands for. */
export function decodeRollup(
  bytes: Uint8Array,
  expect: { readonly from: Lsn; readonly to: Lsn },
  details: ErrorDetails = {},
): Rollup {
  const { from, to } = expect;
  const reader: ByteReader = new ByteReader(bytes, `the rollup of LSNs ${from + 1} to ${to}`, {
    lsn: to,
    ...details,
  });
  reader.check(reader.u8("its mark") === MARK, "it does not start like one");
  const lowestPageCount = reader.varint("the lowest page count", MAX_PAGE_COUNT) as PageCount;
  const writers = readWriters(reader, to);
  reader.end();
  return { from, to, lowestPageCount, writers };
}

/** The changes of one commit as a rollup of (lsn - 1, lsn]. */
export function rollupOfCommit(header: CommitHeader, hash: Hash): Rollup {
  const pages = header.changed.union(header.zeroed);
  return {
    from: (header.lsn - 1) as Lsn,
    to: header.lsn,
    lowestPageCount: header.lowestPageCount,
    // Restored pages were written by older commits.
    writers: pages.isEmpty ? header.restored : [{ lsn: header.lsn, hash, pages }, ...header.restored],
  };
}

/** All pages that a rollup writes. */
export function rollupPages(rollup: Rollup): PageSet {
  let pages = coverage.get(rollup);
  if (pages === undefined) {
    pages = PageSet.unionAll(rollup.writers.map((writer) => writer.pages));
    coverage.set(rollup, pages);
  }
  return pages;
}

/** Rollups are immutable values, and a writer merges the same one again at the next power of two. */
const coverage = new WeakMap<Rollup, PageSet>();

/** The older of two adjacent rollups without what the newer wrote over it or cut off: all that a reader of both needs of it. */
export function remainingOf(older: Rollup, newer: Rollup): Rollup {
  assert(older.to === newer.from, `rollups to ${older.to} and from ${newer.from} are not adjacent`);
  const overwritten = rollupPages(newer);
  const writers: PageWriter[] = [];
  for (const writer of older.writers) {
    const pages = writer.pages.clampTo(newer.lowestPageCount).subtract(overwritten);
    if (pages === writer.pages) writers.push(writer);
    else if (!pages.isEmpty) writers.push({ ...writer, pages });
  }
  return { ...older, writers };
}

/**
 * The rollup of two adjacent ones (`older.to === newer.from`): of the older one, pages that the newer wrote, or that lay above a page count
 * it passed through, are dropped. O(total runs · log runs).
 */
export function mergeRollups(older: Rollup, newer: Rollup): Rollup {
  const lowestPageCount = Math.min(older.lowestPageCount, newer.lowestPageCount) as PageCount;
  const writers = mergeWriters(newer.writers, remainingOf(older, newer).writers);
  return { from: older.from, to: newer.to, lowestPageCount, writers };
}

/** Two lists whose pages are disjoint as one. A commit is in both where the newer interval restored some of its pages. */
function mergeWriters(newer: readonly PageWriter[], older: readonly PageWriter[]): PageWriter[] {
  const writers: PageWriter[] = [];
  for (let n = 0, o = 0; n < newer.length || o < older.length; ) {
    const a = newer[n];
    const b = older[o];
    if (a !== undefined && b !== undefined && a.lsn === b.lsn) {
      writers.push({ lsn: a.lsn, hash: a.hash ?? b.hash, pages: a.pages.union(b.pages) });
      n++;
      o++;
    } else if (b === undefined || (a !== undefined && a.lsn > b.lsn)) {
      writers.push(a!);
      n++;
    } else {
      writers.push(b);
      o++;
    }
  }
  return writers;
}
