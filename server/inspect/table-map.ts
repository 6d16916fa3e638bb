/**
 * Which table or index each page of a database belongs to, as SQLite's own `dbstat` knows it: the result has the cells of a residency map. `dbstat`
 * reads every page of every table, so the whole database is fetched: run it on demand, and elsewhere than on the replica whose
 * residency is to be shown.
 */
import { throwIfAborted } from "../../src/base/errors.ts";
import type { TableFigures } from "../../src/inspect/inspection.ts";
import type { SqlExecutor } from "../../vfs/index.ts";

export interface TableMapOptions {
  /** Of the state that `database` shows. */
  readonly lsn: number;
  readonly pageCount: number;
  /** Of the map that is to be coloured. */
  readonly pagesPerCell: number;
  readonly signal?: AbortSignal;
  /** Pages of tables seen so far, of all pages. */
  readonly onProgress?: (pagesDone: number, pagesTotal: number) => void;
}

interface Table {
  readonly name: string;
  pages: number;
}

/** @throws `aborted`, and whatever a query throws */
export async function tableMap(database: SqlExecutor, options: TableMapOptions): Promise<TableFigures> {
  const { lsn, pageCount, pagesPerCell, signal, onProgress } = options;
  const map = new MapBuilder(Math.ceil(pageCount / pagesPerCell), pagesPerCell);
  const sql = "SELECT name, pageno FROM dbstat";
  for await (const { rows } of database.batches(sql, [], signal === undefined ? {} : { signal })) {
    throwIfAborted(signal, "mapping pages to tables");
    for (const [name, page] of rows) map.add(String(name), Number(page));
    onProgress?.(map.pages, pageCount);
  }
  return { lsn, pagesPerCell, ...map.finish(), otherPages: Math.max(0, pageCount - map.pages) };
}

/** Takes pages table by table, as `dbstat` walks them; a table that comes back later is another stretch of the same. */
class MapBuilder {
  readonly #pagesPerCell: number;
  readonly #tables = new Map<string, { readonly table: Table; readonly index: number }>();
  /** For each cell the table with the most pages there, and how many. */
  readonly #best: Int32Array;
  readonly #bestPages: Uint32Array;
  /** Pages of the current table in each cell, and the cells where it has any. */
  readonly #current: Uint32Array;
  #touched: number[] = [];
  #index = -1;
  #table: Table = { name: "", pages: 0 };
  pages = 0;

  constructor(cells: number, pagesPerCell: number) {
    this.#pagesPerCell = pagesPerCell;
    this.#best = new Int32Array(cells).fill(-1);
    this.#bestPages = new Uint32Array(cells);
    this.#current = new Uint32Array(cells);
  }

  add(name: string, page: number): void {
    if (this.#index < 0 || name !== this.#table.name) this.#begin(name);
    const cell = Math.floor((page - 1) / this.#pagesPerCell);
    this.#table.pages++;
    this.pages++;
    const before = this.#current[cell]!;
    this.#current[cell] = before + 1;
    if (before === 0) this.#touched.push(cell);
  }

  finish(): Pick<TableFigures, "tables" | "cells"> {
    this.#settle();
    const found = [...this.#tables.values()].sort((a, b) => b.table.pages - a.table.pages);
    const placeOf = new Map(found.map(({ index }, place) => [index, place]));
    return {
      tables: found.map(({ table }) => ({ ...table })),
      cells: Array.from(this.#best, (index) => placeOf.get(index) ?? -1),
    };
  }

  #begin(name: string): void {
    this.#settle();
    const known = this.#tables.get(name) ?? { table: { name, pages: 0 }, index: this.#tables.size };
    this.#tables.set(name, known);
    this.#table = known.table;
    this.#index = known.index;
  }

  #settle(): void {
    for (const cell of this.#touched) {
      const pages = this.#current[cell]!;
      if (pages > this.#bestPages[cell]!) {
        this.#bestPages[cell] = pages;
        this.#best[cell] = this.#index;
      }
      this.#current[cell] = 0;
    }
    this.#touched = [];
  }
}
