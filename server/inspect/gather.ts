/**
 * Gathers an inspection of a volume of a store: from a page store where only the volume is asked for, through a database where a query is to be
 * watched. It changes nothing: the table map is made on a replica of its own, so that a local directory keeps the residency that is shown.
 */
import { isPagefoldError } from "../../src/base/errors.ts";
import { systemRuntime } from "../../src/base/runtime.ts";
import { FaultLog, type QueryFigures } from "../../src/inspect/fault-log.ts";
import {
  INSPECTION_FORMAT,
  INSPECTION_VERSION,
  type Inspection,
  inspectVolume,
  type TableFigures,
  type VolumeFigures,
} from "../../src/inspect/inspection.ts";
import { withRequestLog } from "../../src/inspect/request-log.ts";
import { openStore } from "../../src/node/index.ts";
import type { ObjectStore } from "../../src/remote/object-store.ts";
import { Database } from "../../vfs/index.ts";
import { borrowed, openState } from "./one-state.ts";
import { tableMap } from "./table-map.ts";

export interface GatherOptions {
  readonly name: string;
  /** The remote. It stays open. */
  readonly store: ObjectStore;
  readonly local?: string;
  readonly cells?: number;
  readonly commits: number;
  /** Use what is known here, and do not ask the store what is new. */
  readonly offline: boolean;
  readonly sql?: string;
  readonly tables: boolean;
  readonly signal: AbortSignal;
  readonly onTableProgress: (done: number, total: number) => void;
  readonly talk: (line: string) => void;
}

export async function gather(options: GatherOptions): Promise<Inspection> {
  const { name, store } = options;
  const { figures, query, asked } =
    options.sql === undefined ? await ofVolume(options) : await ofQuery(options, options.sql);
  const tables = options.tables ? await tablesOf(options, figures) : null;
  const about = { name, store: store.url, takenAt: systemRuntime.now(), asked };
  return { format: INSPECTION_FORMAT, version: INSPECTION_VERSION, ...about, ...figures, query, tables };
}

interface Gathered {
  readonly figures: VolumeFigures;
  readonly query: QueryFigures | null;
  readonly asked: boolean;
}

async function ofVolume(options: GatherOptions): Promise<Gathered> {
  const { name, local, signal, offline } = options;
  const pageStore = await openStore(borrowed(options.store), local === undefined ? {} : { local });
  try {
    const volume = await pageStore.volume(name, { signal, offline });
    const asked = !offline && (await fetched(options, volume));
    const figures = await inspectVolume(volume, { ...mapOptions(options), history: asked, signal });
    return { figures, query: null, asked };
  } finally {
    // The local directory is let go of before anybody else opens it.
    await pageStore.close();
  }
}

/** Runs the query, read-only, and shows what it left behind. */
async function ofQuery(options: GatherOptions, sql: string): Promise<Gathered> {
  const { name, local, signal, offline } = options;
  const { monotonic, now } = systemRuntime;
  const log = new FaultLog({ monotonic, now });
  const store = withRequestLog(options.store, monotonic, log.request);
  const database = await Database.open(store, name, {
    ...(local === undefined ? {} : { local: { path: local } }),
    readOnly: true,
    signal,
  });
  try {
    const stop = database.on("fault", log.fault);
    const asked = !offline && (await fetched(options, database));
    log.begin(sql);
    await database.script(sql, [], { signal });
    log.end();
    stop();
    const figures = await database.inspect({ ...mapOptions(options), history: asked, signal });
    return { figures, query: log.figures() ?? null, asked };
  } finally {
    await database.close();
  }
}

/** In memory and on a replica of its own; local commits are not seen. */
async function tablesOf(
  options: GatherOptions,
  { lsn, residency }: VolumeFigures,
): Promise<TableFigures | null> {
  const { name, signal, onTableProgress: onProgress } = options;
  if (lsn === 0) return null;
  const state = await openState(options.store, name, lsn, signal);
  try {
    return await tableMap(state, { pagesPerCell: residency.pagesPerCell, signal, onProgress });
  } finally {
    await state.close();
  }
}

function mapOptions({ cells, commits }: GatherOptions): {
  readonly cells?: number;
  readonly commits: number;
} {
  return { commits, ...(cells === undefined ? {} : { cells }) };
}

/** Learns the remote's newest commits; a store that cannot be reached is told, not failed for. */
async function fetched(
  { signal, talk }: GatherOptions,
  side: { fetch(options: { readonly signal?: AbortSignal }): Promise<unknown> },
): Promise<boolean> {
  try {
    await side.fetch({ signal });
    return true;
  } catch (error) {
    if (!isPagefoldError(error, "unavailable")) throw error;
    talk(`${error.message}; what follows is what is known here`);
    return false;
  }
}
