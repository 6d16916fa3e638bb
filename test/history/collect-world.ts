/** A volume whose every state is remembered, on a clock of its own, for tests of what collections leave. */
import { expect } from "vitest";
import type { Lsn } from "../../src/base/brand.ts";
import { decodeCheckpoint } from "../../src/format/checkpoint-codec.ts";
import { decodeFloor } from "../../src/format/floor-codec.ts";
import { checkpointKey, compactedKey, floorKey, parseComplement, segmentKey } from "../../src/format/keys.ts";
import { MemoryObjectStore } from "../../src/remote/memory-store.ts";
import type { ObjectStore } from "../../src/remote/object-store.ts";
import type { PageStore } from "../../src/store/page-store.ts";
import type { Volume } from "../../src/store/volume.ts";
import { seededRandom } from "../local/xxh64.ts";
import { SimRuntime } from "../sim/runtime.ts";
import { codecs, expectSame, failure, openStore, testSeed } from "../store/support.ts";

export const MINUTE = 60_000;
export const HOUR = 60 * MINUTE;
const PAGE = 4096;
const PAGES = 24;
/** More than a commit carries itself: they go to a segment of their own. */
const LARGE_PAGES = 260;

export class World {
  readonly objects: MemoryObjectStore;
  readonly runtime: SimRuntime;
  readonly store: PageStore;
  readonly volume: Volume;
  /** Bytes of every state, by LSN. */
  readonly states: Uint8Array[];
  readonly #random: () => number;
  #stamp = 0;

  /** The same volume with other objects: what became of a copy of them. */
  constructor(
    objects: MemoryObjectStore,
    from: Pick<World, "runtime" | "store" | "volume" | "states">,
    seed = testSeed,
  ) {
    this.objects = objects;
    this.runtime = from.runtime;
    this.store = from.store;
    this.volume = from.volume;
    this.states = [...from.states];
    this.#random = seededRandom(seed);
  }

  static async create(seed = testSeed): Promise<World> {
    const objects = new MemoryObjectStore();
    const runtime = new SimRuntime(seed);
    const store = await openStore(objects, { runtime });
    const volume = await store.createVolume({ pageSize: PAGE });
    return new World(objects, { runtime, store, volume, states: [new Uint8Array(0)] }, seed);
  }

  get newest(): number {
    return this.states.length - 1;
  }

  /** So many commits, one every `everyMs`; every fifth is too large to carry its own pages. */
  async commit(count: number, everyMs = HOUR): Promise<void> {
    for (let i = 0; i < count; i++) {
      this.runtime.advance(everyMs);
      this.states.push(await this.change(this.volume, this.states.at(-1)!, this.states.length % 5 === 0));
      await this.volume.push();
    }
  }

  /** Changes some pages without pushing; answers the bytes after it. */
  async change(volume: Volume, before: Uint8Array, large = false): Promise<Uint8Array> {
    const content = new Uint8Array(Math.max(before.length, (large ? LARGE_PAGES : PAGES) * PAGE));
    content.set(before);
    const transaction = await volume.begin();
    const stamp = ++this.#stamp;
    const write = async (first: number, count: number) => {
      const bytes = new Uint8Array(count * PAGE).fill(1 + (stamp % 255));
      const view = new DataView(bytes.buffer);
      for (let i = 0; i < count; i++) view.setUint32(i * PAGE, stamp * 1000 + first + i);
      content.set(bytes, first * PAGE);
      await transaction.write(first * PAGE, bytes);
    };
    if (large) await write(0, LARGE_PAGES);
    else for (let k = 0; k < 3; k++) await write(Math.floor(this.#random() * PAGES), 1);
    if (content.length > before.length) await transaction.truncate(content.length);
    transaction.commit();
    return content;
  }

  /** Somebody else, who knows nothing but what is in the store. */
  async visitor(remote: ObjectStore = this.objects): Promise<Volume> {
    const store = await openStore(remote, { runtime: this.runtime });
    return store.volume(this.volume.id);
  }

  /** That these states are read right by somebody who comes fresh. */
  async expectReadable(lsns: Iterable<number>, what = "invariant 1"): Promise<void> {
    const visitor = await this.visitor();
    for (const lsn of lsns) {
      const snapshot = await visitor.at(lsn);
      expectSame(await snapshot.read(0, 1e9), this.states[lsn]!, `${what}: the state at LSN ${lsn}`);
      snapshot.close();
    }
  }

  /** That a state is gone, and that whoever asks is told why. */
  async expectGone(lsn: number): Promise<void> {
    const visitor = await this.visitor();
    const error = await failure(
      visitor.at(lsn).then((snapshot) => snapshot.read(0, 1e9)),
      "not_found",
    );
    expect(error.message).toMatch(/retention/);
  }

  /** Keys of the volume's objects in a folder. */
  async keys(folder: string, objects: ObjectStore = this.objects): Promise<string[]> {
    const prefix = `volumes/${this.volume.id}/${folder}/`;
    const keys: string[] = [];
    for (let startAfter: string | undefined; ; startAfter = keys.at(-1)) {
      const entries = await objects.list(prefix, startAfter === undefined ? {} : { startAfter });
      keys.push(...entries.map(({ key }) => key));
      if (entries.length < 1000) return keys;
    }
  }

  async bytes(): Promise<number> {
    let sum = 0;
    for (let startAfter: string | undefined; ; ) {
      const entries = await this.objects.list(
        `volumes/${this.volume.id}/`,
        startAfter === undefined ? {} : { startAfter },
      );
      for (const { size } of entries) sum += size;
      if (entries.length < 1000) return sum;
      startAfter = entries.at(-1)!.key;
    }
  }

  /** Keys of the segments that checkpoints of the newest floor place pages in. */
  async placed(): Promise<string[]> {
    const volume = this.volume.id;
    const n = parseComplement((await this.keys("floor"))[0]!.slice(-16))!;
    const floor = decodeFloor((await this.objects.get(floorKey(volume, n)))!, codecs.hash, { volume, n });
    const keys = new Set<string>();
    for (const { lsn, hash } of floor.checkpoints) {
      const bytes = (await this.objects.get(checkpointKey(volume, lsn, hash)))!;
      for (const { kind, number, id } of decodeCheckpoint(bytes, codecs.hash, { volume, lsn, hash })
        .segments) {
        keys.add(
          kind === "commit" ? segmentKey(volume, number as Lsn, id) : compactedKey(volume, number, id),
        );
      }
    }
    return [...keys];
  }
}
