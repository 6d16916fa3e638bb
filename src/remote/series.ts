/**
 * A series: objects numbered 1, 2, 3 … under one prefix, each created if absent, of which the newest says what holds. So changes are atomic and
 * their history is kept (FORMAT.md, "Series"). Which one is the newest is told by asking for the next number until there is none: a listing, which
 * may lag behind, is only a place to begin.
 */
import { parseSeriesKey } from "../format/keys.ts";
import { newestByProbing } from "./newest-by-probing.ts";
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
  const values = new Map<number, Uint8Array>();
  const has = async (n: number): Promise<boolean> => {
    const bytes = await store.get(series.key(n), options);
    if (bytes !== undefined) values.set(n, bytes);
    return bytes !== undefined;
  };
  const start = known === 0 && store.capabilities.list ? await newestListed(store, series, options) : known;
  // Most have not grown since: one round trip tells.
  const [next] = await Promise.all([has(start + 1), start > 0 ? has(start) : false]);
  const n = next ? await newestByProbing(start + 1, has) : start;
  if (n === 0) return undefined;
  // What was listed, or seen before, was not asked for yet.
  const bytes = values.get(n) ?? (await store.get(series.key(n), options));
  return bytes === undefined ? undefined : { n, bytes };
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
