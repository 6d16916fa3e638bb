/**
 * Which pages of a database a compaction keeps together: the first page and the interior pages of b-trees, a few in a thousand, which nearly every query
 * reads, in segments of their own; so that opening a database and finding a row touch one small object and then the leaves (sqlite.org/fileformat.html, 1.6).
 */
import { sqliteHeader } from "../../src/file/sqlite-header.ts";
import type { PageClassifier } from "../../src/history/compact/move-pages.ts";
import type { Volume } from "../../src/store/volume.ts";

const INTERIOR_INDEX = 2;
const INTERIOR_TABLE = 5;
const HEADER_BYTES = 100;

/** 0: the first page, and interior pages of b-trees; 1: all others. A page of other content that starts like one does no harm. */
export const sqlitePageClass: PageClassifier = (page, bytes) => {
  const type = bytes[page === 1 ? HEADER_BYTES : 0];
  return page === 1 || type === INTERIOR_INDEX || type === INTERIOR_TABLE ? 0 : 1;
};

/** The classifier of a volume that holds a database whose pages are the volume's; undefined for any other. */
export async function classifierOf(
  volume: Volume,
  options: { readonly signal?: AbortSignal } = {},
): Promise<PageClassifier | undefined> {
  const header = sqliteHeader(await volume.read(0, HEADER_BYTES, options));
  return header?.pageSize === volume.pageSize ? sqlitePageClass : undefined;
}
