/**
 * Rollups: the merged changes of a run of commits, as bands in commits or in `rollups/<~lsn>` (FORMAT.md, "Rollups and jumps"). What interval a band
 * covers follows from its place, so it is not stored:
 *
 *     u8 0xb1 · varint lowest page count · varint writers, newest first, each:
 *         varint (previous LSN - 1 - LSN; for the first: to - LSN) · commit hash 32 · page set, not empty
 */
import { assert } from "../base/assert.ts";
import { type Hash, type Lsn, MAX_PAGE_COUNT, type PageCount } from "../base/brand.ts";
import type { ErrorDetails } from "../base/errors.ts";
import { ByteReader, ByteWriter, fromHex } from "./bytes.ts";
import { HASH_BYTES } from "./hash.ts";
import type { CommitHeader, Rollup, RollupWriter } from "./model.ts";
import { PageSet } from "./page-set.ts";
import { readPageSet, writePageSet } from "./page-set-codec.ts";

const MARK = 0xb1;
const WRITER_BYTES_LEAST = 1 + HASH_BYTES + 2;

export function encodeRollup(rollup: Rollup): Uint8Array {
  assert(rollup.from < rollup.to, `a rollup of (${rollup.from}, ${rollup.to}]`);
  const writer = new ByteWriter(64 + 64 * rollup.writers.length);
  writer.u8(MARK).varint(rollup.lowestPageCount).varint(rollup.writers.length);
  let next = rollup.to;
  for (const { lsn, hash, pages } of rollup.writers) {
    assert(lsn > rollup.from && lsn <= next && !pages.isEmpty, `writer ${lsn} of a rollup`);
    writer.varint(next - lsn).bytes(fromHex(hash));
    writePageSet(writer, pages);
    next = (lsn - 1) as Lsn;
  }
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
  const count = reader.varint("the number of writers", to - from);
  reader.check(count * WRITER_BYTES_LEAST <= reader.remaining, "it claims more writers than there are bytes");
  const writers: RollupWriter[] = [];
  let next: number = to;
  for (let i = 0; i < count; i++) {
    const lsn = next - reader.varint("a writer's LSN");
    reader.check(lsn > from, "a writer from before it");
    const hash = reader.hex(HASH_BYTES, "a writer's hash") as Hash;
    const pages = readPageSet(reader);
    reader.check(!pages.isEmpty, "a writer without pages");
    writers.push({ lsn: lsn as Lsn, hash, pages });
    next = lsn - 1;
  }
  reader.end();
  reader.check(PageSet.areDisjoint(writers.map((writer) => writer.pages)), "a page with two last writers");
  return { from, to, lowestPageCount, writers };
}

/** The changes of one commit as a rollup of (lsn - 1, lsn]. */
export function rollupOfCommit(header: CommitHeader, hash: Hash): Rollup {
  const pages = header.changed.union(header.zeroed);
  return {
    from: (header.lsn - 1) as Lsn,
    to: header.lsn,
    lowestPageCount: header.lowestPageCount,
    writers: pages.isEmpty ? [] : [{ lsn: header.lsn, hash, pages }],
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

/**
 * The rollup of two adjacent ones (`older.to === newer.from`): of the older one, pages that the newer wrote, or that lay above a page count
 * it passed through, are dropped. O(total runs · log runs).
 */
export function mergeRollups(older: Rollup, newer: Rollup): Rollup {
  assert(older.to === newer.from, `rollups to ${older.to} and from ${newer.from} are not adjacent`);
  const overwritten = rollupPages(newer);
  const writers: RollupWriter[] = [...newer.writers];
  for (const writer of older.writers) {
    const pages = writer.pages.clampTo(newer.lowestPageCount).subtract(overwritten);
    if (pages === writer.pages) writers.push(writer);
    else if (!pages.isEmpty) writers.push({ ...writer, pages });
  }
  const lowestPageCount = Math.min(older.lowestPageCount, newer.lowestPageCount) as PageCount;
  return { from: older.from, to: newer.to, lowestPageCount, writers };
}
