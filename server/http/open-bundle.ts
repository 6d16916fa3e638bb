/**
 * All that a client reads to open a volume, or to move there from an older commit, in one answer. For opening, the engine itself is run over a
 * store that writes down what it reads, so that the two can never differ; what it read is kept as long as the volume has no newer commit.
 */
import type { Lsn } from "../../src/base/brand.ts";
import { isPagefoldError } from "../../src/base/errors.ts";
import { Flight } from "../../src/base/flight.ts";
import { Lru } from "../../src/base/lru.ts";
import { commitHeaderLength, decodeCommit } from "../../src/format/commit-codec.ts";
import { parseVolumeId } from "../../src/format/ids.ts";
import {
  commitKey,
  commitsPrefix,
  lsnOfCommitKey,
  rollupKey,
  segmentKey,
  tagPrefix,
} from "../../src/format/keys.ts";
import { type BundleEntry, encodeBundle } from "../../src/remote/http/bundle-codec.ts";
import { PageStore } from "../../src/store/page-store.ts";
import type { Snapshot } from "../../src/volume/snapshot.ts";
import type { ServerContext } from "./context.ts";
import type { KnownVolume } from "./volume-logs.ts";
import { RecordingStore } from "./volumes/recording-store.ts";
import { readSchema } from "./volumes/schema-pages.ts";

/** Commit objects up to this size come whole, larger ones without their frames. */
const WHOLE_COMMIT_BYTES = 262_144;
/** Read indexes that come along unasked, together. */
const INDEX_BYTES = 65_536;
/** Commits whose headers come along because much was written by them, and how much of each a client asks for. */
const MAIN_WRITERS = 4;
const COMMIT_GUESS = 16_384;
/** Page bytes that the engine may keep while it is watched. */
const ENGINE_BYTES = 4 * 2 ** 20;

export class OpenBundles {
  readonly #context: ServerContext;
  readonly #kept: Lru<string, readonly BundleEntry[]>;
  readonly #flights = new Map<string, Flight<readonly BundleEntry[]>>();

  constructor(context: ServerContext) {
    this.#context = context;
    this.#kept = new Lru(context.settings.openCacheBytes);
  }

  /** The bundle of a volume that a client knows by `name` and has up to `from`; 0: not at all. */
  async bundle(
    known: KnownVolume,
    name: string,
    from: number,
    signal: AbortSignal,
  ): Promise<Uint8Array<ArrayBuffer>> {
    const { volume } = known.manifest;
    const head = await this.#context.logs.head(known, signal);
    const note: BundleEntry = { kind: "note", name: "open", value: { volume, lsn: head } };
    const tag = parseVolumeId(name) === undefined ? await tagEntries(this.#context, name, signal) : [];
    const entries =
      from === 0 ? await this.#opening(known, head, signal) : await this.#moving(known, from, head, signal);
    return encodeBundle([note, ...within(this.#context.settings.openBytes, [...tag, ...entries])]);
  }

  async #opening(known: KnownVolume, head: Lsn, signal: AbortSignal): Promise<readonly BundleEntry[]> {
    const id = `${known.manifest.volume}@${head}`;
    const kept = this.#kept.get(id);
    if (kept !== undefined) return kept;
    let flight = this.#flights.get(id);
    if (flight === undefined || flight.abandoned) {
      const own: Flight<readonly BundleEntry[]> = new Flight(`opening volume ${id}`, async (flightSignal) => {
        try {
          const entries = await watchOpening(this.#context, known, flightSignal);
          this.#kept.set(id, entries, costOf(entries));
          return entries;
        } finally {
          if (this.#flights.get(id) === own) this.#flights.delete(id);
        }
      });
      this.#flights.set(id, own);
      flight = own;
    }
    return flight.join(signal);
  }

  /** The newest commit's name, and the commits that lead there by the shortest way. */
  async #moving(known: KnownVolume, from: number, head: Lsn, signal: AbortSignal): Promise<BundleEntry[]> {
    const { store, origin, logs } = this.#context;
    const { volume } = known.manifest;
    const prefix = commitsPrefix(volume);
    const entries: BundleEntry[] = [
      { kind: "listing", prefix, entries: await origin.list(prefix, { limit: 1, signal }), complete: false },
    ];
    if (from > head) return entries;
    const directory = logs.directory(known);
    for (let at: number = head; at > from; ) {
      const lsn = at as Lsn;
      const commit = await logs.commit(known, lsn, signal);
      // The commit's own number of bands: it may have fewer than its LSN could carry.
      let step = commit.header.bands.length;
      while (2 ** step > at - from) step--;
      at -= 2 ** step;
      const key = commitKey(directory.volumeOf(lsn), lsn);
      const total = commit.totalLength;
      const length = total <= WHOLE_COMMIT_BYTES ? total : commit.frames.offset;
      const bytes = await store.read(key, { offset: 0, length }, signal);
      if (bytes !== undefined) entries.push({ kind: "bytes", key, offset: 0, total, bytes });
      const apartBytes = commit.header.bands.reduce(
        (sum, { apart, length: size }) => sum + (apart ? size : 0),
        0,
      );
      const wanted = commit.header.bands.slice(0, step).some((band) => band.apart);
      if (!wanted || apartBytes > this.#context.settings.openBytes) continue;
      const rollup = rollupKey(directory.volumeOf(lsn), lsn);
      const apart = await store.read(rollup, undefined, signal);
      entries.push(
        apart === undefined
          ? { kind: "absent", key: rollup }
          : { kind: "bytes", key: rollup, offset: 0, total: apart.length, bytes: apart },
      );
    }
    return entries;
  }
}

/** Opens the volume as a client does, and reads what it reads first. */
async function watchOpening(
  context: ServerContext,
  known: KnownVolume,
  signal: AbortSignal,
): Promise<readonly BundleEntry[]> {
  const { codecs, runtime, settings } = context;
  const recording = new RecordingStore(context.store);
  const engine = await PageStore.open({
    remote: recording,
    codecs,
    runtime,
    settings: { memoryBytes: ENGINE_BYTES, readAhead: undefined },
  });
  try {
    const volume = await engine.volume(known.manifest.volume, { signal });
    const snapshot = volume.snapshot();
    try {
      const { pageSize, pageCount } = snapshot;
      for (const lsn of mainWriters(snapshot)) {
        const key = commitKey(context.logs.directory(known).volumeOf(lsn), lsn);
        await recording.get(key, { range: { offset: 0, length: COMMIT_GUESS }, signal });
      }
      await readSchema(pageCount, (page) => snapshot.read((page - 1) * pageSize, pageSize, { signal }));
    } catch (error) {
      // Damage that the client will meet, and be told of, when it reads that page; the volume opens all the same.
      if (!isPagefoldError(error, "corrupt")) throw error;
    } finally {
      snapshot.close();
    }
  } finally {
    await engine.close();
  }
  const entries = await recording.entries();
  return within(settings.openBytes, [...entries, ...(await indexEntries(context, entries, signal))]);
}

/** The commits that wrote most of what a state shows: nearly every read goes through one of them. */
function mainWriters({ table, pageCount }: Snapshot): Lsn[] {
  const pages = new Map<Lsn, number>();
  for (const { first, last, value } of table.runs(1, pageCount)) {
    if (value > 0) pages.set(value as Lsn, (pages.get(value as Lsn) ?? 0) + last - first + 1);
  }
  return [...pages]
    .sort((a, b) => b[1] - a[1])
    .slice(0, MAIN_WRITERS)
    .map(([lsn]) => lsn);
}

/** Read indexes of segments that the commits at hand name, as far as they are small: the next reads need them. */
async function indexEntries(
  { store, codecs }: ServerContext,
  entries: readonly BundleEntry[],
  signal: AbortSignal,
): Promise<BundleEntry[]> {
  const found: BundleEntry[] = [];
  let left = INDEX_BYTES;
  for (const entry of entries) {
    if (entry.kind !== "bytes" || entry.offset !== 0 || lsnOfCommitKey(entry.key) === undefined) continue;
    // A long header came in two parts; then its segments are many, and their indexes not small.
    if (commitHeaderLength(entry.bytes) > entry.bytes.length) continue;
    const { header } = decodeCommit(entry.bytes, codecs.hash);
    for (const { id, index, length } of header.segments) {
      if (id === undefined || index.length > left) continue;
      const key = segmentKey(header.volume, header.lsn, id);
      const bytes = await store.read(key, index, signal);
      if (bytes === undefined) continue;
      left -= bytes.length;
      found.push({ kind: "bytes", key, offset: index.offset, total: length, bytes });
    }
  }
  return found;
}

/** What a tag names, as a client asks for it. */
async function tagEntries(
  { origin }: ServerContext,
  tag: string,
  signal: AbortSignal,
): Promise<BundleEntry[]> {
  const prefix = tagPrefix(tag);
  const entries = await origin.list(prefix, { limit: 1, signal });
  const listing: BundleEntry = { kind: "listing", prefix, entries, complete: entries.length === 0 };
  const [newest] = entries;
  const bytes = newest === undefined ? undefined : await origin.get(newest.key, { signal });
  if (newest === undefined || bytes === undefined) return [listing];
  return [listing, { kind: "bytes", key: newest.key, offset: 0, total: bytes.length, bytes }];
}

/** As many entries as fit, the first ones first. */
function within(limit: number, entries: readonly BundleEntry[]): BundleEntry[] {
  let left = limit;
  return entries.filter((entry) => {
    const size = entry.kind === "bytes" ? entry.bytes.length : 0;
    if (size > left) return false;
    left -= size;
    return true;
  });
}

function costOf(entries: readonly BundleEntry[]): number {
  return entries.reduce((sum, entry) => sum + 256 + (entry.kind === "bytes" ? entry.bytes.length : 0), 0);
}
