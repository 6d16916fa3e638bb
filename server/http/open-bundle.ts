/**
 * All that a client reads to open a volume, or to move there from an older commit, in one answer. For opening, the engine itself is run over a
 * store that writes down what it reads, so that the two can never differ; what it read is kept as long as the volume has no newer commit.
 */
import type { Lsn } from "../../src/base/brand.ts";
import { isPagefoldError } from "../../src/base/errors.ts";
import { Flight } from "../../src/base/flight.ts";
import { Lru } from "../../src/base/lru.ts";
import { decodeCheckpoint } from "../../src/format/checkpoint-codec.ts";
import { commitHeaderLength, type DecodedCommit, decodeCommit } from "../../src/format/commit-codec.ts";
import { type JumpStep, pathDown } from "../../src/format/jumps.ts";
import { commitKey, commitsPrefix, rollupKey, segmentKey } from "../../src/format/keys.ts";
import type { Extent } from "../../src/format/model.ts";
import { type BundleEntry, encodeBundle } from "../../src/remote/http/bundle-codec.ts";
import { placedKey } from "../../src/replicate/commit-lookup.ts";
import { PageStore } from "../../src/store/page-store.ts";
import type { Snapshot } from "../../src/volume/snapshot.ts";
import type { ServerContext } from "./context.ts";
import { parseObjectKey } from "./object-keys.ts";
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

/** For how long a bundle is kept without asking for the volume's floor, milliseconds. */
const FLOOR_CHECK_MS = 60_000;

interface KeptBundle {
  readonly entries: readonly BundleEntry[];
  /** The number of the newest floor that was read for it, 0 for none. */
  readonly floor: number;
  checkedAt: number;
}

export class OpenBundles {
  readonly #context: ServerContext;
  readonly #kept: Lru<string, KeptBundle>;
  readonly #flights = new Map<string, Flight<readonly BundleEntry[]>>();

  constructor(context: ServerContext) {
    this.#context = context;
    this.#kept = new Lru(context.settings.openCacheBytes);
  }

  /** The bundle of a volume that a client has up to `from`; 0: not at all. @param tag what was read to find it by its name */
  async bundle(
    known: KnownVolume,
    tag: readonly BundleEntry[],
    from: number,
    signal: AbortSignal,
  ): Promise<Uint8Array<ArrayBuffer>> {
    const { volume } = known.manifest;
    const head = await this.#context.logs.head(known, signal);
    const note: BundleEntry = { kind: "note", name: "open", value: { volume, lsn: head } };
    const entries =
      from === 0 ? await this.#opening(known, head, signal) : await this.#moving(known, from, head, signal);
    return encodeBundle([note, ...within(this.#context.settings.openBytes, [...tag, ...entries])]);
  }

  async #opening(known: KnownVolume, head: Lsn, signal: AbortSignal): Promise<readonly BundleEntry[]> {
    const id = `${known.manifest.volume}@${head}`;
    const kept = this.#kept.get(id);
    if (kept !== undefined && (await this.#isCurrent(known, kept, signal))) return kept.entries;
    let flight = this.#flights.get(id);
    if (flight === undefined || flight.abandoned) {
      const own: Flight<readonly BundleEntry[]> = new Flight(`opening volume ${id}`, async (flightSignal) => {
        try {
          const entries = await watchOpening(this.#context, known, flightSignal);
          const checkedAt = this.#context.runtime.monotonic();
          this.#kept.set(id, { entries, floor: floorIn(entries), checkedAt }, costOf(entries));
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

  /** Whether the floor is still the one that the bundle brings: objects that only an older one needed may be gone. Looked up now and then. */
  async #isCurrent(known: KnownVolume, kept: KeptBundle, signal: AbortSignal): Promise<boolean> {
    const { logs, runtime } = this.#context;
    const now = runtime.monotonic();
    if (now - kept.checkedAt < FLOOR_CHECK_MS) return true;
    kept.checkedAt = now;
    return ((await logs.floor(known, signal))?.n ?? 0) === kept.floor;
  }

  /** The newest commit's name, and the commits that lead there by the shortest way; where some of them were collected, all that opening needs, too. */
  async #moving(known: KnownVolume, from: number, head: Lsn, signal: AbortSignal): Promise<BundleEntry[]> {
    const prefix = commitsPrefix(known.manifest.volume);
    const newest = await this.#context.origin.list(prefix, { limit: 1, signal });
    const entries: BundleEntry[] = [{ kind: "listing", prefix, entries: newest, complete: false }];
    const isWhole = from > head || (await addWay(this.#context, known, { from, head }, entries, signal));
    if (!isWhole) entries.push(...(await this.#opening(known, head, signal)));
    return entries;
  }
}

/** The number of the newest floor among what was read; 0 where there is none. */
function floorIn(entries: readonly BundleEntry[]): number {
  let newest = 0;
  for (const entry of entries) {
    const name = entry.kind === "bytes" ? parseObjectKey(entry.key) : undefined;
    if (name?.kind === "floor") newest = Math.max(newest, name.n);
  }
  return newest;
}

/** Adds the commits of a way; false where some of it is gone: then what a client would ask for in vain is said to be absent. */
async function addWay(
  { store, logs, settings }: ServerContext,
  known: KnownVolume,
  { from, head }: { readonly from: number; readonly head: Lsn },
  entries: BundleEntry[],
  signal: AbortSignal,
): Promise<boolean> {
  const directory = logs.directory(known);
  const gone: string[] = [];
  const add = async ({ lsn, step: most }: JumpStep): Promise<number> => {
    const key = commitKey(directory.volumeOf(lsn), lsn);
    const commit = await commitOrGone(logs, known, lsn, signal);
    if (commit === undefined) {
      gone.push(key);
      return most;
    }
    const { bands } = commit.header;
    const total = commit.totalLength;
    const length = total <= WHOLE_COMMIT_BYTES ? total : commit.frames.offset;
    const bytes = await store.read(key, { offset: 0, length }, signal);
    if (bytes !== undefined) entries.push({ kind: "bytes", key, offset: 0, total, bytes });
    // The commit's own number of bands: it may have fewer than its LSN could carry.
    const step = Math.min(most, bands.length);
    const apartBytes = bands.reduce((sum, { apart, length: size }) => sum + (apart ? size : 0), 0);
    if (apartBytes <= settings.openBytes && bands.slice(0, step).some((band) => band.apart))
      entries.push(await wholeObject(store, rollupKey(directory.volumeOf(lsn), lsn), signal));
    return step;
  };
  for (let at: number = head; at > from; ) {
    const [jump] = pathDown(at as Lsn, from as Lsn);
    at -= 2 ** (await add(jump!));
  }
  for (const key of gone) entries.push({ kind: "absent", key });
  return gone.length === 0;
}

async function commitOrGone(
  logs: ServerContext["logs"],
  known: KnownVolume,
  lsn: Lsn,
  signal: AbortSignal,
): Promise<DecodedCommit | undefined> {
  try {
    return await logs.commit(known, lsn, signal);
  } catch (error) {
    if (!isPagefoldError(error, "not_found")) throw error;
    return undefined;
  }
}

async function wholeObject(
  store: ServerContext["store"],
  key: string,
  signal: AbortSignal,
): Promise<BundleEntry> {
  const bytes = await store.read(key, undefined, signal);
  return bytes === undefined
    ? { kind: "absent", key }
    : { kind: "bytes", key, offset: 0, total: bytes.length, bytes };
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

/** Read indexes of segments that the commits and checkpoints at hand name, as far as they are small: the next reads need them. */
async function indexEntries(
  { store, codecs }: ServerContext,
  entries: readonly BundleEntry[],
  signal: AbortSignal,
): Promise<BundleEntry[]> {
  const found: BundleEntry[] = [];
  const seen = new Set<string>();
  let left = INDEX_BYTES;
  for (const entry of entries) {
    for (const { key, index, length } of namedSegments(codecs, entry)) {
      if (seen.has(key) || index.length > left) continue;
      seen.add(key);
      const bytes = await store.read(key, index, signal);
      if (bytes === undefined) continue;
      left -= bytes.length;
      found.push({ kind: "bytes", key, offset: index.offset, total: length, bytes });
    }
  }
  return found;
}

interface NamedSegment {
  readonly key: string;
  readonly index: Extent;
  readonly length: number;
}

/** Those that a commit names, of which the header is there whole, or a checkpoint that is. */
function namedSegments({ hash }: ServerContext["codecs"], entry: BundleEntry): NamedSegment[] {
  if (entry.kind !== "bytes" || entry.offset !== 0) return [];
  const name = parseObjectKey(entry.key);
  if (name?.kind === "checkpoint" && entry.bytes.length === entry.total) {
    const { segments } = decodeCheckpoint(entry.bytes, hash, name);
    return segments.map((segment) => ({ key: placedKey(segment), ...segment.ref }));
  }
  // A long header came in two parts; then its segments are many, and their indexes not small.
  if (name?.kind !== "commit" || commitHeaderLength(entry.bytes) > entry.bytes.length) return [];
  const { header } = decodeCommit(entry.bytes, hash);
  return header.segments.flatMap(({ id, index, length }) =>
    id === undefined ? [] : [{ key: segmentKey(header.volume, header.lsn, id), index, length }],
  );
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
