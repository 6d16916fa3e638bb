/** What collections make of segments that several kept states read from: the space that it takes in the long run, and what remains where one is cut off. */
import { describe, expect, it } from "vitest";
import type { Lsn, SegmentId } from "../../src/base/brand.ts";
import { type KeptSegment, keptSegmentsToRewrite } from "../../src/history/compact/compaction-plan.ts";
import type { CollectProgress } from "../../src/index.ts";
import { MemoryObjectStore } from "../../src/remote/memory-store.ts";
import type { ObjectStore } from "../../src/remote/object-store.ts";
import type { PageStore } from "../../src/store/page-store.ts";
import type { Volume } from "../../src/store/volume.ts";
import { seededRandom } from "../local/xxh64.ts";
import { SimRuntime } from "../sim/runtime.ts";
import { expectSame, openStore, randomBytes, testSeed } from "../store/support.ts";

const PAGE = 4096;
const PAGES = 96;
const MINUTE = 60_000;
const limits = { fullPages: 1024, deadFraction: 3 / 8, fanout: 8 };

describe("which segments of kept states are rewritten", () => {
  const segment = (no: number, reader: number, held: number, live: number): KeptSegment => ({
    ...{ id: `s${no}` as SegmentId, reader: reader as Lsn, held, live, bytes: held * 1000 },
  });
  const naming = (bytes: number, ...segments: KeptSegment[]) => ({
    bytes,
    names: new Set(segments.map(({ id }) => id)),
  });

  it("those with much that is dead, where that frees more than the checkpoints take that name them", () => {
    const dead = segment(1, 5, 1000, 600);
    const full = segment(2, 5, 1000, 990);
    const named = (bytes: number) => [naming(bytes, dead, full), naming(bytes, dead), naming(1e9, full)];
    expect(keptSegmentsToRewrite([dead, full], named(190_000), limits)).toEqual(new Set([dead.id]));
    expect(keptSegmentsToRewrite([dead, full], named(250_000), limits)).toEqual(new Set());
  });

  it("one that no state reads, as a newer one has the same pages elsewhere", () => {
    const unread = segment(1, 5, 1000, 0);
    expect(keptSegmentsToRewrite([unread], [naming(1000, unread)], limits)).toEqual(new Set([unread.id]));
  });

  it("many small ones of the same newest reader, not of several: these would not come together", () => {
    const small = (reader: (no: number) => number) =>
      Array.from({ length: 8 }, (_, no) => segment(no, reader(no), 10, 10));
    const alike = small(() => 5);
    expect(keptSegmentsToRewrite(alike, [naming(1000, ...alike)], limits).size).toBe(8);
    const others = small((no) => no + 1);
    expect(keptSegmentsToRewrite(others, [naming(1000, ...others)], limits).size).toBe(0);
  });
});

/** A busy volume of incompressible pages with an hour of everything and eight hours by the hour. */
class Busy {
  readonly objects: MemoryObjectStore;
  readonly states: Uint8Array[];
  readonly #random: () => number;
  readonly #runtime: SimRuntime;
  readonly #id: string;

  private constructor(id: string, runtime: SimRuntime, objects: MemoryObjectStore, states: Uint8Array[]) {
    this.objects = objects;
    this.states = states;
    this.#id = id;
    this.#runtime = runtime;
    this.#random = seededRandom(testSeed);
  }

  static async create(): Promise<Busy> {
    const objects = new MemoryObjectStore();
    const runtime = new SimRuntime(testSeed);
    const store = await openStore(objects, { runtime });
    const volume = await store.createVolume({ pageSize: PAGE });
    await volume.setRetention({ all: "1h", hourly: "8h" });
    return new Busy(volume.id, runtime, objects, [new Uint8Array(0)]);
  }

  /** As it is now, for somebody else. */
  clone(): Busy {
    return new Busy(this.#id, this.#runtime, this.objects.clone(), this.states);
  }

  async open(remote: ObjectStore = this.objects): Promise<{ store: PageStore; volume: Volume }> {
    const store = await openStore(remote, { runtime: this.#runtime });
    return { store, volume: await store.volume(this.#id) };
  }

  /** So many commits of one to three pages, one every ten minutes. */
  async commit(volume: Volume, count: number): Promise<void> {
    for (let i = 0; i < count; i++) {
      this.#runtime.advance(10 * MINUTE);
      const content = new Uint8Array(PAGES * PAGE);
      content.set(this.states.at(-1)!);
      if (this.states.length === 1) content.set(randomBytes(content.length, testSeed));
      const transaction = await volume.begin();
      if (this.states.length === 1) await transaction.write(0, content);
      for (let k = 0; k < 1 + Math.floor(this.#random() * 3); k++) {
        const at = Math.floor(this.#random() * PAGES) * PAGE;
        const bytes = randomBytes(PAGE, Math.floor(this.#random() * 1e9));
        content.set(bytes, at);
        await transaction.write(at, bytes);
      }
      transaction.commit();
      this.states.push(content);
      await volume.push();
    }
  }

  /** Bytes stored in a folder. */
  async stored(...folders: string[]): Promise<number> {
    let sum = 0;
    for (const folder of folders)
      for (const { size } of await this.objects.list(`volumes/${this.#id}/${folder}/`)) sum += size;
    return sum;
  }

  async expectReadable(lsns: Iterable<number>, what: string): Promise<void> {
    const { store, volume } = await this.open();
    for (const lsn of lsns) {
      const snapshot = await volume.at(lsn);
      expectSame(await snapshot.read(0, 1e9), this.states[lsn]!, `${what}: the state at LSN ${lsn}`);
      snapshot.close();
    }
    await store.close();
  }

  /** Different versions of pages in these states. */
  versions(lsns: readonly number[]): number {
    const versions = new Set<string>();
    for (const lsn of lsns)
      for (let page = 0; page < PAGES; page++)
        versions.add(
          `${page} ${Buffer.from(this.states[lsn]!.subarray(page * PAGE, page * PAGE + 16)).toString("hex")}`,
        );
    return versions.size;
  }
}

describe("collections of a busy volume", () => {
  it("hold little more than the versions of pages that kept states show, however long it goes on", async () => {
    const busy = await Busy.create();
    const { store, volume } = await busy.open();
    const ratios: number[] = [];
    for (let round = 0; round < 18; round++) {
      await busy.commit(volume, 9);
      const told: CollectProgress[] = [];
      const { kept, deleted } = await volume.collect({
        graceMs: 0,
        onProgress: (progress) => told.push(progress),
      });
      expect(told[0]).toMatchObject({ objects: 0, bytes: 0 });
      expect(told.map(({ pagesCopied }) => pagesCopied)).toEqual(
        told.map(({ pagesCopied }) => pagesCopied).sort((a, b) => a - b),
      );
      expect(told[0]!.pagesCopied).toBeGreaterThan(0);
      const swept = Object.values(deleted).reduce((sum, count) => sum + count, 0);
      expect(told.at(-1)!.objects).toBe(swept);
      const lsns = kept.map(({ lsn }) => lsn);
      const live = busy.versions(lsns) * PAGE;
      if (round >= 9) ratios.push((await busy.stored("compacted", "segments")) / live);
      if (round === 17) {
        expect(lsns.length).toBeGreaterThan(7);
        await busy.expectReadable([...lsns, busy.states.length - 1], "invariant 9");
        await volume.verify({ deep: true });
      }
    }
    await store.close();
    expect(Math.max(...ratios), `${ratios.map((ratio) => ratio.toFixed(2))}`).toBeLessThan(1.3);
  }, 120_000);

  it("invariant 11: cut off at any PUT, lose nothing, and the next one finishes", async () => {
    const made = await Busy.create();
    const { store, volume } = await made.open();
    for (let round = 0; round < 6; round++) {
      await made.commit(volume, 12);
      await volume.collect({ graceMs: 0 });
    }
    await made.commit(volume, 12);
    await store.close();
    let puts = 0;
    for (let failing = 1; ; failing++) {
      const cut = made.clone();
      puts = 0;
      const objects = failingPut(cut.objects, () => ++puts === failing);
      const first = await cut.open(objects);
      const collecting = first.volume.collect({ graceMs: 0, lease: false });
      if (puts < failing && (await settled(collecting)) === "done") break;
      await expect(collecting).rejects.toThrow("the connection was lost");
      await first.store.close();
      const next = await cut.open();
      const { kept } = await next.volume.collect({ graceMs: 0, lease: false });
      await next.store.close();
      await cut.expectReadable([...kept.map(({ lsn }) => lsn), cut.states.length - 1], `PUT ${failing}`);
    }
    // Segments and checkpoints of the new floor, of those that were rewritten, and two floors.
    expect(puts).toBeGreaterThan(6);
  }, 120_000);

  it("under a policy that keeps everything, what a compaction superseded goes, and every state stays readable", async () => {
    const busy = await Busy.create();
    const { store, volume } = await busy.open();
    await volume.setRetention({ all: "forever" });
    const readers: { volume: Volume; lsn: number }[] = [];
    for (let round = 0; round < 4; round++) {
      await busy.commit(volume, 5);
      await volume.compact({ all: true });
      await volume.collect({ graceMs: 0 });
      readers.push({ volume: (await busy.open()).volume, lsn: busy.states.length - 1 });
    }
    // They know of places that are gone, by page and as a whole.
    for (const [i, reader] of readers.entries()) {
      if (i % 2 === 0) await reader.volume.hydrate();
      expectSame(await reader.volume.read(0, 1e9), busy.states[reader.lsn]!, `a reader at LSN ${reader.lsn}`);
      await reader.volume.pull();
      await reader.volume.hydrate();
      expectSame(await reader.volume.read(0, 1e9), busy.states.at(-1)!, "one that moved on");
    }
    expect(await busy.stored("compacted")).toBeLessThan(1.2 * PAGES * PAGE);
    await busy.expectReadable(busy.states.map((_, lsn) => lsn).slice(1), "invariant 1");
    await volume.verify({ deep: true });
    await store.close();
  }, 60_000);
});

function failingPut(store: MemoryObjectStore, fails: () => boolean): ObjectStore {
  return new Proxy<ObjectStore>(store, {
    get(target, property) {
      if (property !== "put") {
        const value = Reflect.get(target, property, target);
        return typeof value === "function" ? value.bind(target) : value;
      }
      return async (...args: Parameters<ObjectStore["put"]>) => {
        if (fails()) throw new Error("the connection was lost");
        return target.put(...args);
      };
    },
  });
}

function settled(work: Promise<unknown>): Promise<"done" | "failed"> {
  return work.then(
    () => "done",
    () => "failed",
  );
}
