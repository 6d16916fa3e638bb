/**
 * What history must do, said naively: per volume and LSN the bytes, and of what was promised (a floor, a fork, a snapshot's lease) that it can be read.
 * Several replicas of one volume and its forks, over one store whose listings lag, on one clock that jumps.
 */
import { expect } from "vitest";
import type { VolumeId } from "../../src/base/brand.ts";
import { isPagefoldError, PagefoldError } from "../../src/base/errors.ts";
import type { Codecs } from "../../src/format/codecs.ts";
import { decodeFloor } from "../../src/format/floor-codec.ts";
import {
  checkpointsPrefix,
  compactedPrefix,
  floorKey,
  leasesPrefix,
  rollupsPrefix,
  segmentsPrefix,
} from "../../src/format/keys.ts";
import type { Floor } from "../../src/format/model.ts";
import { MemoryObjectStore } from "../../src/remote/memory-store.ts";
import type { ObjectStore } from "../../src/remote/object-store.ts";
import { PageStore } from "../../src/store/page-store.ts";
import type { Volume } from "../../src/store/volume.ts";
import type { Snapshot } from "../../src/volume/snapshot.ts";
import { expectBytes } from "./engine-model.ts";
import { SimRuntime } from "./runtime.ts";

export const MINUTE = 60_000;
export const GRACE = 60 * MINUTE;
export const PAGE = 512;

export interface ReplicaOfHistory {
  readonly store: PageStore;
  readonly volume: Volume;
  readonly of: Line;
}

/** One volume's history. */
export interface Line {
  readonly id: VolumeId;
  /** states[lsn]: the bytes there, ancestors' included. */
  readonly states: Uint8Array[];
  /** Of a fork: what it was forked from, which keeps that LSN for it, and older ones as long as it likes. */
  readonly parent?: { readonly line: Line; readonly lsn: number };
}

interface HeldSnapshot {
  readonly snapshot: Snapshot;
  readonly content: Uint8Array;
  /** When its lease ends; before now where it was of a state that no floor kept any more. */
  readonly until: number;
}

/** A collection that stands still somewhere in the middle. */
interface Sleeper {
  readonly wake: () => void;
  readonly end: Promise<unknown>;
}

export class HistoryWorld {
  readonly codecs: Codecs;
  readonly runtime: SimRuntime;
  readonly objects = new MemoryObjectStore();
  readonly lines: Line[] = [];
  readonly replicas: ReplicaOfHistory[] = [];
  readonly snapshots: HeldSnapshot[] = [];
  readonly sleepers: Sleeper[] = [];
  /** Keeps the next PUT of a key back until it resolves. */
  readonly #held = new Map<string, Promise<void>>();
  readonly #created = new Map<string, number>();
  readonly #lagMs: number;
  #stamp = 0;

  private constructor(seed: number, lagMs: number, codecs: Codecs) {
    this.codecs = codecs;
    this.runtime = new SimRuntime(seed);
    this.#lagMs = lagMs;
  }

  static async create(
    options: { seed: number; lagMs: number; replicas: number },
    codecs: Codecs,
  ): Promise<HistoryWorld> {
    const world = new HistoryWorld(options.seed, options.lagMs, codecs);
    const store = await world.openStore();
    const volume = await store.createVolume({ pageSize: PAGE });
    const line = { id: volume.id, states: [new Uint8Array(0)] };
    world.lines.push(line);
    world.replicas.push({ store, volume, of: line });
    for (let n = 1; n < options.replicas; n++) await world.addReplica(line);
    return world;
  }

  replica(n: number): ReplicaOfHistory {
    return this.replicas[n % this.replicas.length]!;
  }

  async addReplica(line: Line): Promise<ReplicaOfHistory> {
    const store = await this.openStore();
    const replica = { store, volume: await store.volume(line.id), of: line };
    this.replicas.push(replica);
    return replica;
  }

  openStore(): Promise<PageStore> {
    return PageStore.open({
      remote: this.#lagging(),
      codecs: this.codecs,
      runtime: this.runtime,
      settings: { memoryBytes: 8 * PAGE, frameBytes: 2 * PAGE, checkpointEvery: 3, readAhead: undefined },
    });
  }

  /** Changes some pages and pushes them on top of the newest commit. */
  async commit({ volume, of }: ReplicaOfHistory, pages: readonly number[], length?: number): Promise<void> {
    await volume.pull();
    const content = await this.change(volume, of.states.at(-1)!, pages, length);
    if (volume.status().ahead === 0) return;
    const { lsn } = await volume.push();
    expect(lsn, "the log goes on").toBe(of.states.length);
    of.states.push(content);
    await this.settle();
  }

  /** One local commit; answers the bytes after it. */
  async change(
    volume: Volume,
    before: Uint8Array,
    pages: readonly number[],
    length?: number,
  ): Promise<Uint8Array> {
    const stamp = ++this.#stamp;
    const size = length ?? Math.max(before.length, ...pages.map((page) => (page + 1) * PAGE));
    const content = new Uint8Array(size);
    content.set(before.subarray(0, size));
    const transaction = await volume.begin();
    await transaction.truncate(size);
    for (const page of pages) {
      if ((page + 1) * PAGE > size) continue;
      // Now and then a page of zeros.
      const bytes = new Uint8Array(PAGE).fill(stamp % 7 === 0 ? 0 : 1 + (stamp % 255));
      if (stamp % 7 !== 0) new DataView(bytes.buffer).setUint32(0, stamp * 1000 + page);
      content.set(bytes, page * PAGE);
      await transaction.write(page * PAGE, bytes);
    }
    transaction.commit();
    return content;
  }

  /** The next PUT of this key sleeps until the answer is called. */
  holdPut(key: string): () => void {
    let release = () => {};
    this.#held.set(
      key,
      new Promise((resolve) => {
        release = resolve;
      }),
    );
    return release;
  }

  /** What goes on in the background comes to its end. */
  async settle(): Promise<void> {
    for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
  }

  hold({ of }: ReplicaOfHistory, snapshot: Snapshot, lsn: number, kept: boolean): void {
    expect(snapshot.lsn).toBe(lsn);
    const until = kept ? this.runtime.now() + GRACE : 0;
    this.snapshots.push({ snapshot, content: of.states[lsn]!, until });
  }

  /** The newest last. */
  async floorsOf({ id }: Line): Promise<Floor[]> {
    const floors: Floor[] = [];
    for (let n = 1; ; n++) {
      const bytes = await this.objects.get(floorKey(id, n));
      if (bytes !== undefined) floors.push(decodeFloor(bytes, this.codecs.hash, { volume: id, n }));
      // Superseded ones go, the oldest first.
      else if (floors.length > 0 || n > 100) return floors;
    }
  }

  /** Every LSN that the newest floor keeps. */
  async kept(line: Line): Promise<number[]> {
    const floor = (await this.floorsOf(line)).at(-1);
    const lsns: number[] = (floor?.checkpoints ?? []).map(({ lsn }) => lsn).filter((lsn) => lsn < floor!.lsn);
    for (let lsn: number = Math.max(1, floor?.lsn ?? 1); lsn < line.states.length; lsn++) lsns.push(lsn);
    const { parent } = line;
    if (parent === undefined) return lsns;
    const shared = await this.kept(parent.line);
    const own = new Set((floor?.checkpoints ?? []).map(({ lsn }): number => lsn));
    return lsns.filter((lsn) => lsn >= parent.lsn || own.has(lsn) || shared.includes(lsn));
  }

  async isKept(line: Line, lsn: number): Promise<boolean> {
    return lsn === 0 || (await this.kept(line)).includes(lsn);
  }

  /** Whoever comes anew reads the right bytes. */
  async checkState(line: Line, lsn: number, what: string): Promise<void> {
    const store = await this.openStore();
    const volume = await store.volume(line.id);
    const snapshot = await volume.at(lsn);
    expectBytes(await snapshot.read(0, 1e9), line.states[lsn]!, `${what}, LSN ${lsn} of ${line.id}`);
    snapshot.close();
    await store.close();
  }

  /** Invariant 1: the right bytes, or, once its lease has ended, a word about the retention. */
  async checkSnapshots(): Promise<void> {
    for (const { snapshot, content, until } of this.snapshots) {
      const from = Math.floor(this.runtime.random() * (content.length + 1));
      const length = Math.floor(this.runtime.random() * 3 * PAGE);
      try {
        const found = await snapshot.read(from, length);
        expectBytes(
          found,
          content.subarray(from, from + length),
          `invariant 1: a snapshot of LSN ${snapshot.lsn} at ${from}`,
        );
      } catch (error) {
        if (!isPagefoldError(error, "not_found")) throw error;
        expect(error.message, "names the retention").toMatch(/retention/);
        expect(
          this.runtime.now(),
          `invariant 1: a lease that has ended: ${error.message}`,
        ).toBeGreaterThanOrEqual(until);
      }
    }
  }

  /** A few things that must hold after every command, chosen by chance. */
  async check(): Promise<void> {
    await this.checkSnapshots();
    const line = this.lines[Math.floor(this.runtime.random() * this.lines.length)]!;
    const kept = await this.kept(line);
    const lsn = kept[Math.floor(this.runtime.random() * kept.length)];
    if (lsn !== undefined) await this.checkState(line, lsn, "invariant 9");
  }

  /** All that must hold, at the end. */
  async checkAll(): Promise<void> {
    for (const { wake, end } of this.sleepers.splice(0)) {
      wake();
      await end;
    }
    await this.checkSnapshots();
    for (const line of this.lines) {
      for (const lsn of await this.kept(line)) await this.checkState(line, lsn, "invariant 9, in the end");
      const store = await this.openStore();
      const volume = await store.volume(line.id);
      if (line.states.length > 1) await volume.verify();
      await store.close();
    }
  }

  /** The store, as clients see it: what is new does not show in listings that may lag. */
  #lagging(): ObjectStore {
    const { objects, runtime } = this;
    const mayLag = (key: string) =>
      this.lines.some(({ id }) =>
        [checkpointsPrefix, compactedPrefix, segmentsPrefix, rollupsPrefix, leasesPrefix].some((prefix) =>
          key.startsWith(prefix(id)),
        ),
      );
    return {
      url: objects.url,
      capabilities: objects.capabilities,
      get: (key, options) => objects.get(key, options),
      delete: (keys, options) => objects.delete(keys, options),
      close: () => objects.close(),
      put: async (key, body, options) => {
        const held = this.#held.get(key);
        this.#held.delete(key);
        await held;
        const answer = await objects.put(key, body, options);
        if (answer === "created") this.#created.set(key, runtime.now());
        return answer;
      },
      list: async (prefix, options = {}) => {
        const isOld = (key: string) =>
          !mayLag(key) || (this.#created.get(key) ?? 0) + this.#lagMs <= runtime.now();
        const { limit = 1000 } = options;
        const found = [];
        for (let startAfter = options.startAfter; ; ) {
          const from = startAfter === undefined ? {} : { startAfter };
          const entries = await objects.list(prefix, { ...options, ...from, limit });
          found.push(...entries.filter(({ key }) => isOld(key)));
          startAfter = entries.at(-1)?.key;
          if (entries.length < limit || found.length >= limit) return found.slice(0, limit);
        }
      },
    };
  }
}

/** What a test throws to cut something off. */
export class CutOff extends Error {}

/** Cuts off at the n-th point, or tells where it would have been. */
export function cutAt(n: number): { readonly onStep: () => void; readonly wasCut: () => boolean } {
  let seen = 0;
  let cut = false;
  return {
    onStep: () => {
      if (++seen !== n) return;
      cut = true;
      throw new CutOff(`cut off at point ${n}`);
    },
    wasCut: () => cut,
  };
}

/** Runs what may be cut off, and says whether it was. */
export async function orCutOff(work: Promise<unknown>): Promise<boolean> {
  try {
    await work;
    return false;
  } catch (error) {
    for (
      let cause: unknown = error;
      cause !== undefined;
      cause = cause instanceof PagefoldError ? cause.cause : undefined
    ) {
      if (cause instanceof CutOff) return true;
    }
    throw error;
  }
}
