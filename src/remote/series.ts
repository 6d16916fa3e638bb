/**
 * A series: objects numbered 1, 2, 3 … under one prefix, each created if absent, of which the newest says what holds. So changes are atomic and
 * their history is kept (FORMAT.md, "Series"). Which one is the newest is told by asking for the next number until there is none: a listing, which
 * may lag behind, is only a place to begin.
 */
import { parseSeriesKey } from "../format/keys.ts";
import { probeNewest } from "./newest-by-probing.ts";
import type { ObjectStore } from "./object-store.ts";

type Signal = { readonly signal?: AbortSignal };

export interface Series {
  /** Ends with a slash. */
  readonly prefix: string;
  readonly key: (n: number) => string;
}

export interface SeriesValue {
  /** From 1 on. */
  readonly n: number;
  readonly bytes: Uint8Array;
}

/** Most have not grown since, which one request tells; those that have, by one or two: a collection makes two floors. */
const WIDTHS = [1, 2];

/**
 * The newest value, or undefined where the series is empty.
 * @param known a number that was seen, or 0: then a listing, where the store has one, says where to begin
 */
export async function newestInSeries(
  store: ObjectStore,
  series: Series,
  known = 0,
  options: Signal = {},
): Promise<SeriesValue | undefined> {
  const start = known === 0 && store.capabilities.list ? await newestListed(store, series, options) : known;
  const [newer, bytes] = await Promise.all([
    newerInSeries(store, series, start, options),
    start > 0 ? store.get(series.key(start), options) : undefined,
  ]);
  return newer ?? (bytes && { n: start, bytes });
}

/** The newest value after `known`, which the caller has; undefined where there is none. @param known a number that was seen, or 0 */
export async function newerInSeries(
  store: ObjectStore,
  series: Series,
  known: number,
  options: Signal = {},
): Promise<SeriesValue | undefined> {
  const found = await probeNewest(known, WIDTHS, (n) => store.get(series.key(n), options));
  return found && { n: found.n, bytes: found.value };
}

/** The largest number that a listing shows; 0 for none. It may lag. */
export async function newestListed(
  store: ObjectStore,
  series: Series,
  options: Signal = {},
): Promise<number> {
  for (const { key } of await store.list(series.prefix, { limit: 10, ...options })) {
    const n = parseSeriesKey(series.prefix, key);
    if (n !== undefined) return n;
  }
  return 0;
}

/** Every value that is there, newest first. */
export async function* seriesHistory(
  store: ObjectStore,
  series: Series,
  options: Signal = {},
): AsyncGenerator<SeriesValue, void, undefined> {
  const newest = await newestInSeries(store, series, 0, options);
  for (let n = newest?.n ?? 0; n > 0; n--) {
    const bytes = n === newest!.n ? newest!.bytes : await store.get(series.key(n), options);
    if (bytes === undefined) return;
    yield { n, bytes };
  }
}

/** Makes `bytes` the newest value, if `n - 1` still is: false where another came first. An own attempt that came through unseen counts. */
export async function appendToSeries(
  store: ObjectStore,
  series: Series,
  { n, bytes }: SeriesValue,
  options: Signal = {},
): Promise<boolean> {
  const answer = await store.put(series.key(n), bytes, { ifAbsent: true, ...options });
  if (answer === "created") return true;
  const stored = await store.get(series.key(n), options);
  return (
    stored !== undefined && stored.length === bytes.length && stored.every((byte, i) => byte === bytes[i])
  );
}
