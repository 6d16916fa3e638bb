/**
 * Which table or index each page of a database belongs to: the result has the cells of a residency map. Read are the inner pages of the trees and, where there
 * are rows too large for their pages, the leaves, too: run it on demand, and elsewhere than on the replica whose residency is to be shown.
 */
import { PagefoldError } from "../../src/base/errors.ts";
import { PageSet } from "../../src/format/page-set.ts";
import type { TableFigures } from "../../src/inspect/inspection.ts";
import type { Snapshot } from "../../src/volume/snapshot.ts";
import { ownersOf } from "../../vfs/btree/owners.ts";
import { DatabaseReader } from "../../vfs/btree/reader.ts";
import { readSchemaObjects } from "../../vfs/btree/schema.ts";

export interface TableMapOptions {
  /** Of the map that is to be coloured. */
  readonly pagesPerCell: number;
  readonly signal?: AbortSignal;
  /** Pages whose table is known, of all pages. */
  readonly onProgress?: (pagesDone: number, pagesTotal: number) => void;
}

/** The state that is mapped: a snapshot is one. */
export type MappedState = Pick<Snapshot, "lsn" | "pageSize" | "pageCount" | "byteLength" | "read">;

/** @throws `aborted`, `invalid` where it holds no database, `corrupt` where a tree is damaged */
export async function tableMap(state: MappedState, options: TableMapOptions): Promise<TableFigures> {
  const { pagesPerCell, signal, onProgress } = options;
  const reading = signal === undefined ? {} : { signal };
  const reader = await DatabaseReader.open(state, reading);
  if (reader === undefined) {
    throw new PagefoldError("invalid", `there is no SQLite database at LSN ${state.lsn}, so no tables`, {
      details: { lsn: state.lsn },
    });
  }
  const objects = (await readSchemaObjects(reader)).filter(({ root }) => root > 0);
  const names = ["sqlite_schema", ...objects.map(({ name }) => name)];
  const roots = [1, ...objects.map(({ root }) => root)];
  const all = PageSet.range(1, reader.pageCount);
  const owners = await ownersOf(reader, roots, all, {
    ...reading,
    thorough: true,
    ...(onProgress === undefined ? {} : { onProgress }),
  });
  const order = names.map((_, i) => i).sort((a, b) => owners.pages[b]! - owners.pages[a]!);
  const placeOf = new Map(order.map((tree, place) => [tree, place]));
  const scale = state.pageSize / reader.header.pageSize;
  const ownerOf = (page: number): number =>
    placeOf.get(owners.of[Math.floor((page - 1) * scale)] ?? -1) ?? -1;
  return {
    lsn: state.lsn,
    pagesPerCell,
    tables: order.map((tree) => ({ name: names[tree]!, pages: owners.pages[tree]! })),
    cells: cellsOf(state.pageCount, pagesPerCell, ownerOf),
    otherPages: owners.free + owners.bookkeeping + owners.unknown,
  };
}

/** For each cell the table with the most pages there; -1 where there is none. */
function cellsOf(pageCount: number, pagesPerCell: number, ownerOf: (page: number) => number): number[] {
  const cells: number[] = [];
  for (let first = 1; first <= pageCount; first += pagesPerCell) {
    const counts = new Map<number, number>();
    let best = -1;
    for (let page = first; page < first + pagesPerCell && page <= pageCount; page++) {
      const owner = ownerOf(page);
      if (owner === -1) continue;
      const count = (counts.get(owner) ?? 0) + 1;
      counts.set(owner, count);
      if (count > (counts.get(best) ?? 0)) best = owner;
    }
    cells.push(best);
  }
  return cells;
}
