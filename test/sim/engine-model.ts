/**
 * What the engine must do, said naively: per LSN the bytes of the volume, per replica the bytes after each local commit. The model
 * learns which replica's commit won an LSN by looking into the object store, as an outsider, and holds the log to its invariants
 * while it looks.
 */
import { expect } from "vitest";
import type { Hash, Lsn, VolumeId } from "../../src/base/brand.ts";
import { isPagefoldError } from "../../src/base/errors.ts";
import type { Codecs } from "../../src/format/codecs.ts";
import { decodeCommit } from "../../src/format/commit-codec.ts";
import { commitKey, commitsPrefix, manifestKey } from "../../src/format/keys.ts";
import { MemoryObjectStore } from "../../src/remote/memory-store.ts";
import type { ObjectStore } from "../../src/remote/object-store.ts";
import { type Fault, withFaults } from "../../src/remote/with-faults.ts";
import { PageStore } from "../../src/store/page-store.ts";
import type { StoreSettings } from "../../src/store/settings.ts";
import type { Volume } from "../../src/store/volume.ts";
import type { Snapshot } from "../../src/volume/snapshot.ts";
import { SimRuntime } from "./runtime.ts";
import { VolatileBlockFileSystem } from "./volatile-files.ts";

export interface WorldOptions {
  readonly seed: number;
  readonly pageSize: number;
  /** Pages that each replica's cache holds in memory. */
  readonly cachePages: number;
  readonly diskPages: number;
}

/** What a replica's connection does to the next requests. */
export type Weather = (operation: string, key: string) => Fault | "hang" | "hang-after" | undefined;

/** A push that was begun: its commit object may be in the store, may come, or may never. */
interface Attempt {
  readonly replica: string;
  readonly content: Uint8Array;
  /** The local commits up to this one, counted from the replica's first, are in it; 0 for an import. */
  readonly through: number;
}

export class ReplicaModel {
  readonly name: string;
  store!: PageStore;
  volume!: Volume;
  files = new VolatileBlockFileSystem();
  weather: Weather | undefined;
  /** The remote LSN that it stands on. */
  base = 0;
  /** Bytes after each local commit, oldest first. */
  locals: Uint8Array[] = [];
  /** How many local commits there were before the oldest of `locals`. */
  gone = 0;
  /** How many of `locals` a crash must not take. */
  durable = 0;
  /** What a push that begins now would send. */
  pushing: Attempt | undefined;
  /** The push id of a push whose outcome the replica does not know. */
  pending: { readonly pushId: string; readonly lsn: number } | undefined;
  /** Never resolves; remembered so that a crash can tell that a request hung. */
  hung: (() => void) | undefined;

  constructor(name: string) {
    this.name = name;
  }

  /** The oldest local commits are pushed, or given up. */
  drop(count: number): void {
    this.locals.splice(0, count);
    this.gone += count;
    this.durable = Math.max(0, this.durable - count);
  }

  /** What a push sends that begins now. */
  prepare(content: Uint8Array): void {
    this.pushing = { replica: this.name, content, through: this.gone + this.locals.length };
  }
}

export interface HeldSnapshot {
  readonly replica: ReplicaModel;
  readonly store: PageStore;
  readonly snapshot: Snapshot;
  readonly content: Uint8Array;
}

export class World {
  readonly options: WorldOptions;
  readonly codecs: Codecs;
  readonly runtime: SimRuntime;
  readonly objects = new MemoryObjectStore();
  readonly replicas: ReplicaModel[] = [];
  readonly snapshots: HeldSnapshot[] = [];
  /** states[lsn]: the bytes of the volume there. */
  readonly states: Uint8Array[] = [new Uint8Array(0)];
  readonly checksums: bigint[] = [0n];
  readonly owners: (string | undefined)[] = [undefined];
  readonly #hashes: Hash[] = [];
  readonly #attempts = new Map<string, Attempt>();
  /** Puts that were reported as failed and land later. */
  readonly inFlight: (() => Promise<unknown>)[] = [];
  id!: VolumeId;

  private constructor(options: WorldOptions, codecs: Codecs) {
    this.options = options;
    this.codecs = codecs;
    this.runtime = new SimRuntime(options.seed);
  }

  static async create(options: WorldOptions, codecs: Codecs): Promise<World> {
    const world = new World(options, codecs);
    const first = new ReplicaModel("a");
    first.store = await world.#openStore(first);
    first.volume = await first.store.createVolume({ tag: "model", pageSize: options.pageSize });
    world.id = first.volume.id;
    world.replicas.push(first);
    const manifest = await world.objects.get(manifestKey(world.id));
    world.#hashes.push(codecs.hash.blake3(manifest!));
    return world;
  }

  get head(): number {
    return this.states.length - 1;
  }

  replica(n: number): ReplicaModel {
    return this.replicas[n % this.replicas.length]!;
  }

  /** The newest bytes on a replica's side. */
  content(replica: ReplicaModel): Uint8Array {
    return replica.locals.at(-1) ?? this.states[replica.base]!;
  }

  async addReplica(): Promise<ReplicaModel> {
    const replica = new ReplicaModel(String.fromCharCode(97 + this.replicas.length));
    replica.store = await this.#openStore(replica);
    replica.volume = await replica.store.volume("model");
    replica.base = this.head;
    this.replicas.push(replica);
    return replica;
  }

  /** Drops the process without closing anything, and starts it again on what the disk kept. */
  async crash(replica: ReplicaModel, power: "lost" | "kept"): Promise<void> {
    this.forgetSnapshots(replica);
    replica.weather = undefined;
    replica.hung = undefined;
    replica.files =
      power === "lost" ? await replica.files.crash(() => this.runtime.random()) : await replica.files.kill();
    replica.store = await this.#openStore(replica);
    replica.volume = await replica.store.volume("model", { offline: true });
    await this.observe();
    this.reconcile(replica);
    const { ahead, lsn } = replica.volume.status();
    expect(ahead, "invariant 3: durable local commits survive").toBeGreaterThanOrEqual(replica.durable);
    expect(ahead, "nothing appears from nowhere").toBeLessThanOrEqual(replica.locals.length);
    expect(lsn, "the replica stands where it stood").toBe(replica.base);
    replica.locals.length = ahead;
    replica.durable = ahead;
  }

  async reopen(replica: ReplicaModel): Promise<void> {
    this.forgetSnapshots(replica);
    await replica.store.close();
    replica.durable = replica.locals.length;
    replica.store = await this.#openStore(replica);
    replica.volume = await replica.store.volume(this.id, { offline: true });
  }

  forgetSnapshots(replica: ReplicaModel): void {
    for (let i = this.snapshots.length - 1; i >= 0; i--) {
      if (this.snapshots[i]!.replica === replica) this.snapshots.splice(i, 1);
    }
  }

  /** Looks at the log as an outsider: invariants 3, 4 and 5. */
  async observe(): Promise<void> {
    const listed = await this.objects.list(commitsPrefix(this.id));
    expect(listed.length, "invariant 4: LSNs have no gaps").toBeGreaterThanOrEqual(this.head);
    while (this.head < listed.length) {
      const lsn = (this.head + 1) as Lsn;
      const bytes = await this.objects.get(commitKey(this.id, lsn));
      expect(bytes, `invariant 4: there is a commit ${lsn}`).toBeDefined();
      const { header, hash } = decodeCommit(bytes!, this.codecs.hash, { volume: this.id, lsn });
      for (const [j, jump] of header.jumpHashes.entries()) {
        expect(jump, `invariant 4: jump hash ${j} of commit ${lsn}`).toBe(this.#hashes[lsn - 2 ** j]);
      }
      const attempt = this.#attempts.get(header.pushId);
      expect(attempt, `commit ${lsn} was pushed by somebody`).toBeDefined();
      expect(header.byteLength).toBe(attempt!.content.length);
      this.#hashes.push(hash);
      this.states.push(attempt!.content);
      this.checksums.push(header.stateChecksum);
      this.owners.push(header.pushId);
    }
  }

  /** What must have happened to a replica's unfinished push once the replica has asked. */
  settle(replica: ReplicaModel): void {
    const { pending } = replica;
    if (pending === undefined) return;
    expect(this.head, "a push that was settled found a commit of its LSN").toBeGreaterThanOrEqual(
      pending.lsn,
    );
    if (this.owners[pending.lsn] === pending.pushId) {
      const { through } = this.#attempts.get(pending.pushId)!;
      replica.base = pending.lsn;
      replica.drop(Math.max(0, through - replica.gone));
    }
    replica.pending = undefined;
  }

  /** Follows what became of pushes: the one that was in doubt, and perhaps a new one. */
  reconcile(replica: ReplicaModel): void {
    const { pendingPush, lsn } = replica.volume.status();
    const newest = this.#lastAttempt(replica);
    if (replica.pending !== undefined && (!pendingPush || newest !== replica.pending.pushId))
      this.settle(replica);
    if (pendingPush) replica.pending ??= { pushId: newest!, lsn: lsn + 1 };
  }

  #lastAttempt(replica: ReplicaModel): string | undefined {
    return [...this.#attempts].filter(([, attempt]) => attempt.replica === replica.name).at(-1)?.[0];
  }

  /** The bytes of a commit object are about to be sent: remember what they stand for. */
  #sending(replica: ReplicaModel, object: Uint8Array): void {
    const { header } = decodeCommit(object, this.codecs.hash);
    if (this.#attempts.has(header.pushId)) return;
    expect(replica.pushing, `${replica.name} sends a commit while it pushes`).toBeDefined();
    this.#attempts.set(header.pushId, replica.pushing!);
  }

  #openStore(replica: ReplicaModel): Promise<PageStore> {
    const { pageSize, cachePages, diskPages } = this.options;
    const settings: Partial<StoreSettings> = {
      memoryBytes: cachePages * pageSize,
      diskBytes: diskPages * (pageSize + 64),
      transactionBytes: 3 * pageSize,
      frameBytes: 2 * pageSize,
      compactAboveBytes: 16 * pageSize,
      checkpointEvery: 1,
    };
    return PageStore.open({
      remote: this.#connection(replica),
      local: { files: replica.files },
      codecs: this.codecs,
      runtime: this.runtime,
      settings,
    });
  }

  /** The way from one replica to the shared store, with its own weather. */
  #connection(replica: ReplicaModel): ObjectStore {
    const { objects } = this;
    const watched: ObjectStore = {
      url: objects.url,
      capabilities: objects.capabilities,
      get: (key, options) => objects.get(key, options),
      list: (prefix, options) => objects.list(prefix, options),
      delete: (keys, options) => objects.delete(keys, options),
      close: () => objects.close(),
      put: async (key, body, options) => objects.put(key, body, options),
    };
    const faulty = withFaults(
      watched,
      ({ operation, key }) => {
        const fault = replica.weather?.(operation, key);
        return typeof fault === "string" ? undefined : fault;
      },
      { runtime: this.runtime },
    );
    const hang = (): Promise<never> =>
      new Promise(() => {
        replica.hung?.();
      });
    return {
      ...faulty,
      get: async (key, options) => {
        if (replica.weather?.("hang?get", key) === "hang") return hang();
        return faulty.get(key, options);
      },
      put: async (key, body, options) => {
        if (key.startsWith(commitsPrefix(this.id)) && body instanceof Uint8Array)
          this.#sending(replica, body);
        const luck = replica.weather?.("hang?put", key);
        if (luck === "hang") return hang();
        if (luck === "hang-after") {
          await objects.put(key, body, options);
          return hang();
        }
        const late = replica.weather?.("late?put", key);
        if (late !== undefined && body instanceof Uint8Array) {
          const kept = body.slice();
          this.inFlight.push(() =>
            objects.put(key, kept, options?.ifAbsent === true ? { ifAbsent: true } : {}),
          );
          return faulty.put(key, body, options);
        }
        return faulty.put(key, body, options);
      },
    };
  }
}

/** The error's code, or the value's marker, of something that may fail. */
export async function outcomeOf<T>(
  work: Promise<T>,
): Promise<
  { readonly value: T; readonly code?: undefined } | { readonly code: string; readonly error: unknown }
> {
  try {
    return { value: await work };
  } catch (error) {
    if (!isPagefoldError(error)) throw error;
    return { code: error.code, error };
  }
}

/** `content` with `bytes` written at `offset`, as any file would. */
export function written(content: Uint8Array, offset: number, bytes: Uint8Array): Uint8Array {
  if (bytes.length === 0) return content;
  const next = new Uint8Array(Math.max(content.length, offset + bytes.length));
  next.set(content);
  next.set(bytes, offset);
  return next;
}

/** `content` cut or grown with zeros. */
export function resized(content: Uint8Array, length: number): Uint8Array {
  const next = new Uint8Array(length);
  next.set(content.subarray(0, length));
  return next;
}

/** Compares without letting the test framework print kilobytes. */
export function expectBytes(found: Uint8Array, expected: Uint8Array, what: string): void {
  expect(found.length, `${what}: length`).toBe(expected.length);
  for (let i = 0; i < found.length; i++) {
    if (found[i] !== expected[i]) expect.fail(`${what}: byte ${i} is ${found[i]}, not ${expected[i]}`);
  }
}
