/**
 * An ObjectStore that keeps what it read: immutable objects only, in aligned blocks, in memory and then on disk, both bounded. Any number of
 * callers that want the same block share one request. What may change (hints, tags, listings, absences) is always asked for.
 */
import { PagefoldError, throwIfAborted } from "../../../src/base/errors.ts";
import { Flight } from "../../../src/base/flight.ts";
import { noopRecorder, type Recorder } from "../../../src/base/recorder.ts";
import { LIMITS } from "../../../src/format/limits.ts";
import { concat } from "../../../src/remote/body.ts";
import { checkKey, checkRange } from "../../../src/remote/keys.ts";
import type { GetOptions, ListEntry, ObjectStore } from "../../../src/remote/object-store.ts";
import type { CachedStore, CacheOptions, CacheStats } from "./cached-store.ts";
import { DiskBlocks } from "./disk-blocks.ts";
import { type CachedObject, MemoryBlocks } from "./memory-blocks.ts";

export type { CachedStore, CacheOptions, CacheStats } from "./cached-store.ts";

const IMMUTABLE =
  /^volumes\/[0-9a-z]{26}\/(?:manifest$|(?:segments|compacted|commits|rollups|checkpoints)\/)/;
const ON_DISK = /^volumes\/[0-9a-z]{26}\/(?:segments|compacted)\//;
/** Blocks that one request of the store brings at most. */
const BLOCKS_PER_REQUEST = 16;

export async function withCache(store: ObjectStore, options: CacheOptions = {}): Promise<CachedStore> {
  const { disk, recorder = noopRecorder, blockBytes = 262_144 } = options;
  const tier =
    disk === undefined || disk.bytes === 0
      ? undefined
      : await DiskBlocks.open({ ...disk, blockBytes, recorder });
  return new Cache(store, tier, { ...options, blockBytes, recorder });
}

/** The blocks that one request brings, by number; undefined where the object does not exist. */
type Arrived = ReadonlyMap<number, Uint8Array> | undefined;

class Cache implements CachedStore {
  readonly url: string;
  readonly capabilities: ObjectStore["capabilities"];
  readonly #store: ObjectStore;
  readonly #memory: MemoryBlocks;
  readonly #disk: DiskBlocks | undefined;
  readonly #block: number;
  readonly #recorder: Recorder;
  readonly #isImmutable: (key: string) => boolean;
  readonly #flights = new Map<string, Flight<Arrived>>();

  constructor(
    store: ObjectStore,
    disk: DiskBlocks | undefined,
    options: CacheOptions & { readonly blockBytes: number; readonly recorder: Recorder },
  ) {
    this.url = store.url;
    this.capabilities = store.capabilities;
    this.#store = store;
    this.#memory = new MemoryBlocks(options.memoryBytes ?? 268_435_456);
    this.#disk = disk;
    this.#block = options.blockBytes;
    this.#recorder = options.recorder;
    this.#isImmutable = options.isImmutable ?? ((key) => IMMUTABLE.test(key));
  }

  peek(key: string): CachedObject | undefined {
    return this.#memory.find(key);
  }

  forgetAll(prefix: string): void {
    for (const key of this.#memory.keys()) if (key.startsWith(prefix)) this.#forget(key);
  }

  view(object: CachedObject, offset: number, length: number): Uint8Array | undefined {
    const size = this.#block;
    const first = Math.floor(offset / size);
    const start = offset - first * size;
    const block = this.#memory.get(object, first);
    if (block === undefined) return undefined;
    if (start + length <= block.length) return block.subarray(start, start + length);
    // Blocks but the last are full, so what goes beyond this one goes on in the next.
    const pieces = [block.subarray(start)];
    for (let number = first + 1, have = pieces[0]!.length; have < length; number++) {
      const next = this.#memory.get(object, number);
      if (next === undefined) return undefined;
      pieces.push(next.subarray(0, length - have));
      have += Math.min(next.length, length - have);
    }
    return concat(pieces, length);
  }

  async get(key: string, options: GetOptions = {}): Promise<Uint8Array | undefined> {
    if (!this.#isImmutable(key)) return this.#store.get(key, options);
    return (await this.read(key, options.range, options.signal))?.slice();
  }

  async read(key: string, range: GetOptions["range"], signal?: AbortSignal): Promise<Uint8Array | undefined> {
    const options = {
      ...(range === undefined ? {} : { range }),
      ...(signal === undefined ? {} : { signal }),
    };
    if (!this.#isImmutable(key)) return this.#store.get(key, options);
    checkKey(key);
    if (range !== undefined) checkRange(range);
    throwIfAborted(signal, `reading ${key}`);
    return this.#read(key, range?.offset ?? 0, range?.length ?? Number.MAX_SAFE_INTEGER, signal);
  }

  async sizeOf(key: string, signal?: AbortSignal): Promise<number | undefined> {
    const known = this.#memory.find(key)?.size ?? this.#sizeOnDisk(key);
    if (known !== undefined) return known;
    // The key itself is the first of all that it begins.
    const [entry] = await this.#store.list(key, { limit: 1, ...(signal === undefined ? {} : { signal }) });
    if (entry?.key !== key) return undefined;
    const object = this.#memory.find(key);
    if (object !== undefined) object.size = entry.size;
    return entry.size;
  }

  async put(...[key, body, options]: Parameters<ObjectStore["put"]>): Promise<"created" | "exists"> {
    if (!this.#isImmutable(key)) return this.#store.put(key, body, options);
    // Before, so that no reader is answered by what is replaced; after, because one may have read that meanwhile.
    this.#forget(key);
    try {
      return await this.#store.put(key, body, options);
    } finally {
      this.#forget(key);
    }
  }

  list(...[prefix, options]: Parameters<ObjectStore["list"]>): Promise<ListEntry[]> {
    return this.#store.list(prefix, options);
  }

  async delete(...[keys, options]: Parameters<ObjectStore["delete"]>): Promise<void> {
    for (const key of keys) this.#forget(key);
    try {
      await this.#store.delete(keys, options);
    } finally {
      for (const key of keys) this.#forget(key);
    }
  }

  async close(): Promise<void> {
    this.#memory.clear();
    await this.#disk?.close();
    await this.#store.close();
  }

  stats(): CacheStats {
    return {
      memoryBytes: this.#memory.bytes,
      memoryBlocks: this.#memory.count,
      diskBlocks: this.#disk?.count ?? 0,
      evictions: this.#memory.evictions,
    };
  }

  #forget(key: string): void {
    this.#memory.forget(key);
    if (this.#disk !== undefined && ON_DISK.test(key)) {
      this.#disk.forget(key, Math.ceil(LIMITS.segmentStoredBytes / this.#block));
    }
    // A request under way may bring what was there before: whoever comes now starts another.
    for (const id of this.#flights.keys()) if (id.startsWith(`${key}\n`)) this.#flights.delete(id);
  }

  /** The range, a part of one block where it lies in one. */
  async #read(
    key: string,
    offset: number,
    length: number,
    signal: AbortSignal | undefined,
  ): Promise<Uint8Array | undefined> {
    const object = this.#memory.object(key);
    const pieces: Uint8Array[] = [];
    let total = 0;
    let first = Math.floor(offset / this.#block);
    try {
      for (let left = length; ; ) {
        const end = Math.min(offset + length, object.size ?? Number.MAX_SAFE_INTEGER);
        const wanted = Math.max(1, Math.ceil(end / this.#block) - first);
        const count = Math.min(wanted, BLOCKS_PER_REQUEST);
        const blocks = await this.#blocks(object, first, count, signal);
        if (blocks === undefined) return undefined;
        for (let i = 0; i < blocks.length; i++) {
          const start = Math.max(0, offset - (first + i) * this.#block);
          const piece = blocks[i]!.subarray(start, Math.min(blocks[i]!.length, start + left));
          pieces.push(piece);
          total += piece.length;
          left -= piece.length;
        }
        const ended = blocks.length < count || blocks.at(-1)!.length < this.#block;
        if (left === 0 || ended || first + count >= Math.ceil(end / this.#block)) break;
        first += count;
      }
    } finally {
      this.#memory.release(object);
    }
    return pieces.length === 1 ? pieces[0] : concat(pieces, total);
  }

  /** Some blocks of an object; fewer where it ends, none where it does not reach so far, undefined where there is none. */
  async #blocks(
    object: CachedObject,
    first: number,
    count: number,
    signal: AbortSignal | undefined,
  ): Promise<Uint8Array[] | undefined> {
    const found: (Uint8Array | undefined)[] = [];
    const waiting: { readonly number: number; readonly flight: Promise<Arrived> }[] = [];
    const joined = new Map<Flight<Arrived>, Promise<Arrived>>();
    const wait = (flight: Flight<Arrived>, numbers: readonly number[]): void => {
      const arrival = joined.get(flight) ?? flight.join(signal);
      joined.set(flight, arrival);
      for (const number of numbers) waiting.push({ number, flight: arrival });
    };
    let run: number[] = [];
    const launch = (): void => {
      if (run.length > 0) wait(this.#launch(object, run[0]!, run.length), run);
      run = [];
    };
    for (let number = first; number < first + count; number++) {
      // A block from the disk may have told how long the object is.
      if (number > first && number * this.#block >= (object.size ?? Number.POSITIVE_INFINITY)) break;
      const here = this.#memory.get(object, number) ?? this.#fromDisk(object, number);
      found.push(here);
      const flight = here === undefined ? this.#flights.get(`${object.key}\n${number}`) : undefined;
      if (flight !== undefined && !flight.abandoned) wait(flight, [number]);
      else if (here === undefined) run.push(number);
      if (run[run.length - 1] !== number) launch();
    }
    launch();
    this.#recorder.count(waiting.length === 0 ? "server.cache.hit" : "server.cache.miss");
    const arrived = await Promise.all(waiting.map(({ flight }) => flight));
    for (const [i, { number }] of waiting.entries()) {
      const blocks = arrived[i];
      if (blocks === undefined) return undefined;
      found[number - first] = blocks.get(number);
    }
    const end = found.indexOf(undefined);
    return (end === -1 ? found : found.slice(0, end)) as Uint8Array[];
  }

  /** What the disk knows of an object's size, which its first block tells. */
  #sizeOnDisk(key: string): number | undefined {
    if (this.#disk === undefined || !ON_DISK.test(key)) return undefined;
    const object = this.#memory.object(key);
    this.#fromDisk(object, 0);
    this.#memory.release(object);
    return object.size;
  }

  #fromDisk(object: CachedObject, number: number): Uint8Array | undefined {
    if (this.#disk === undefined || !ON_DISK.test(object.key)) return undefined;
    const block = this.#disk.get(object.key, number);
    if (block === undefined) return undefined;
    this.#recorder.count("server.cache.disk_hit");
    object.size ??= block.size;
    this.#memory.put(object, number, block.bytes);
    return block.bytes;
  }

  #launch(object: CachedObject, first: number, count: number): Flight<Arrived> {
    const { key } = object;
    const ids = Array.from({ length: count }, (_, i) => `${key}\n${first + i}`);
    const flight: Flight<Arrived> = new Flight(`reading ${key}`, async (signal) => {
      try {
        return await this.#fetch(object, first, count, signal);
      } finally {
        for (const id of ids) if (this.#flights.get(id) === flight) this.#flights.delete(id);
      }
    });
    for (const id of ids) this.#flights.set(id, flight);
    return flight;
  }

  async #fetch(object: CachedObject, first: number, count: number, signal: AbortSignal): Promise<Arrived> {
    const size = this.#block;
    const range = { offset: first * size, length: count * size };
    const bytes = await this.#store.get(object.key, { range, signal });
    if (bytes === undefined) return undefined;
    if (bytes.length > range.length) throw tooMuch(object.key, bytes.length, range.length);
    const blocks = new Map<number, Uint8Array>();
    for (let i = 0; i * size < bytes.length || i === 0; i++) {
      const part = bytes.subarray(i * size, (i + 1) * size);
      // A block of its own memory: its neighbours may be given up before it.
      blocks.set(first + i, part.byteLength === part.buffer.byteLength ? part : new Uint8Array(part));
    }
    if (bytes.length < range.length && (bytes.length > 0 || first === 0)) {
      object.size ??= range.offset + bytes.length;
    }
    if (bytes.length > 0 || first === 0) this.#keep(object, blocks);
    return blocks;
  }

  #keep(object: CachedObject, blocks: ReadonlyMap<number, Uint8Array>): void {
    if (!object.current) return;
    for (const [number, bytes] of blocks) {
      this.#memory.put(object, number, bytes);
      if (ON_DISK.test(object.key)) this.#disk?.put(object.key, number, bytes, object.size);
    }
  }
}

function tooMuch(key: string, got: number, wanted: number): PagefoldError {
  return new PagefoldError(
    "unavailable",
    `the store answered ${got} bytes of ${key} where ${wanted} were asked for; check what lies between this server and its store`,
    { details: { key } },
  );
}
