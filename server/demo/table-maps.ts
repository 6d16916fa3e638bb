/**
 * Table maps of the demo's volume, made where the store is: a map of large rows reads the whole database, which no visitor should have to fetch for a
 * picture. Each map is made once, however many ask for it, and given up when nobody waits for it any more.
 */
import { Flight } from "../../src/base/flight.ts";
import { Lru } from "../../src/base/lru.ts";
import { Semaphore } from "../../src/base/semaphore.ts";
import type { TableFigures } from "../../src/inspect/inspection.ts";
import type { OpenedState } from "../inspect/one-state.ts";
import { tableMap } from "../inspect/table-map.ts";

export type Progress = (pagesDone: number, pagesTotal: number) => void;

interface Running {
  readonly flight: Flight<TableFigures>;
  readonly listeners: Set<Progress>;
}

const MAPS_KEPT = 8;

export class TableMaps {
  readonly #open: (lsn: number, signal: AbortSignal) => Promise<OpenedState>;
  readonly #made = new Lru<string, TableFigures>(MAPS_KEPT);
  readonly #running = new Map<string, Running>();
  readonly #turn = new Semaphore(1, "another table map");

  /** @param open the database as of a commit; it is closed here */
  constructor(open: (lsn: number, signal: AbortSignal) => Promise<OpenedState>) {
    this.#open = open;
  }

  /** @throws `not_found` for a commit that is none; `aborted` */
  async get(
    lsn: number,
    pagesPerCell: number,
    options: { readonly signal?: AbortSignal; readonly onProgress: Progress },
  ): Promise<TableFigures> {
    const key = `${lsn}/${pagesPerCell}`;
    const made = this.#made.get(key);
    if (made !== undefined) return made;
    const before = this.#running.get(key);
    const running =
      before === undefined || before.flight.abandoned ? this.#start(key, lsn, pagesPerCell) : before;
    running.listeners.add(options.onProgress);
    try {
      return await running.flight.join(options.signal);
    } finally {
      running.listeners.delete(options.onProgress);
    }
  }

  #start(key: string, lsn: number, pagesPerCell: number): Running {
    const listeners = new Set<Progress>();
    const onProgress: Progress = (done, total) => {
      for (const listener of listeners) listener(done, total);
    };
    const flight = new Flight("mapping pages to tables", async (signal) => {
      try {
        const figures = await this.#turn.run(() => this.#make(lsn, pagesPerCell, signal, onProgress), signal);
        this.#made.set(key, figures, 1);
        return figures;
      } finally {
        if (this.#running.get(key) === running) this.#running.delete(key);
      }
    });
    const running = { flight, listeners };
    this.#running.set(key, running);
    return running;
  }

  async #make(
    lsn: number,
    pagesPerCell: number,
    signal: AbortSignal,
    onProgress: Progress,
  ): Promise<TableFigures> {
    const state = await this.#open(lsn, signal);
    try {
      return await tableMap(state, { pagesPerCell, signal, onProgress });
    } finally {
      await state.close();
    }
  }
}
