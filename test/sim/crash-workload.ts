/**
 * A seeded workload on the real engine, recorded: every operation on its local files and every object that was put, on one time
 * line, beside what a naive model says that the volume held after each step. `crash-states.test.ts` builds from it what a
 * crash at any point may leave.
 */
import { isPagefoldError } from "../../src/base/errors.ts";
import { loadCodecs } from "../../src/format/codecs.ts";
import type { BlockFileSystem } from "../../src/local/block-file.ts";
import { MemoryBlockFileSystem } from "../../src/local/memory-block-file.ts";
import { collectBody } from "../../src/remote/body.ts";
import { MemoryObjectStore } from "../../src/remote/memory-store.ts";
import type { Body, ObjectStore, PutOptions } from "../../src/remote/object-store.ts";
import { PageStore } from "../../src/store/page-store.ts";
import type { StoreSettings } from "../../src/store/settings.ts";
import type { Volume } from "../../src/store/volume.ts";
import { seededRandom, seededRuntime } from "../local/xxh64.ts";
import { RecordingBlockFileSystem } from "./block-crash.ts";

export const PAGE = 512;
export const TAG = "main";

/** A moment: how many operations on local files had been issued, and how many objects put. */
export interface Moment {
  readonly operations: number;
  readonly puts: number;
}

/** What the volume holds from some step on. */
export interface Content {
  readonly bytes: Uint8Array;
  /** For messages: the step that made it. */
  readonly step: string;
  /** From here on it may be found after a crash. */
  readonly begun: Moment;
  /** From here on nothing older may be. Set when it was acknowledged as durable. */
  durable: Moment | undefined;
}

interface RecordedPut {
  readonly key: string;
  readonly bytes: Uint8Array;
  readonly ifAbsent: boolean;
  /** By the client whose files are recorded, not by its rival. */
  readonly own: boolean;
  /** Operations on local files that had been issued when it was sent. */
  readonly at: number;
}

export interface Workload {
  readonly files: RecordingBlockFileSystem;
  readonly puts: readonly RecordedPut[];
  readonly contents: readonly Content[];
  /** Bytes of the volume at each LSN that the workload made, 0 included. */
  readonly history: readonly Uint8Array[];
  /** Pushes and imports that were acknowledged. */
  readonly acknowledged: readonly { readonly lsn: number; readonly at: Moment }[];
  readonly steps: readonly string[];
  readonly settings: Partial<StoreSettings>;
}

/** Puts so many objects of a workload into an empty store. */
export async function remoteAfter(puts: readonly RecordedPut[], count: number): Promise<MemoryObjectStore> {
  const remote = new MemoryObjectStore();
  for (const { key, bytes, ifAbsent } of puts.slice(0, count)) await remote.put(key, bytes, { ifAbsent });
  return remote;
}

const codecs = await loadCodecs();

export async function openEngine(
  remote: ObjectStore,
  files: BlockFileSystem,
  settings: Partial<StoreSettings>,
  seed: number,
): Promise<PageStore> {
  return PageStore.open({
    remote,
    local: { files },
    codecs,
    runtime: seededRuntime(seed),
    settings,
  });
}

export async function contentOf(volume: Volume): Promise<Uint8Array> {
  return volume.read(0, volume.snapshot().byteLength);
}

/** An import's source in memory. */
export function sourceOf(bytes: Uint8Array) {
  return {
    name: "memory",
    size: bytes.length,
    read: async (offset: number, into: Uint8Array) => {
      const part = bytes.subarray(offset, offset + into.length);
      into.set(part);
      return part.length;
    },
    check: async () => {},
  };
}

export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}

type StepName =
  | "write"
  | "relaxed write"
  | "spilled write"
  | "spilled rollback"
  | "truncate"
  | "read"
  | "push"
  | "pull"
  | "reset"
  | "import"
  | "rival"
  | "reopen";

const WEIGHTS: readonly (readonly [StepName, number])[] = [
  ["write", 5],
  ["relaxed write", 2],
  ["spilled write", 2],
  ["spilled rollback", 1],
  ["truncate", 1],
  ["read", 1],
  ["push", 5],
  ["pull", 2],
  ["reset", 1],
  ["import", 2],
  ["rival", 2],
  ["reopen", 1],
];

/** Runs a seeded workload of so many steps, checking the engine against the model on the way. */
export async function runWorkload(
  seed: number,
  steps: number,
  settings: Partial<StoreSettings>,
): Promise<Workload> {
  const run = new Run(seed, settings, await RecordingBlockFileSystem.over());
  await run.start();
  for (let n = 0; n < steps; n++) await run.step();
  return run.result();
}

class Run {
  readonly #seed: number;
  readonly #random: () => number;
  readonly #settings: Partial<StoreSettings>;
  readonly #files: RecordingBlockFileSystem;
  readonly #remote = new MemoryObjectStore();
  readonly #puts: RecordedPut[] = [];
  readonly #contents: Content[] = [];
  readonly #history: Uint8Array[] = [new Uint8Array(0)];
  readonly #acknowledged: { lsn: number; at: Moment }[] = [];
  readonly #steps: string[] = [];
  #store!: PageStore;
  #volume!: Volume;
  #rival!: Volume;
  #content = new Uint8Array(0);
  /** The LSN that the client stands on, and its local commits. */
  #base = 0;
  #unpushed = 0;
  #opened = 0;

  constructor(seed: number, settings: Partial<StoreSettings>, files: RecordingBlockFileSystem) {
    this.#seed = seed;
    this.#random = seededRandom(seed);
    this.#settings = settings;
    this.#files = files;
  }

  async start(): Promise<void> {
    await this.#open();
    this.#volume = await this.#store.createVolume({ pageSize: PAGE, tag: TAG });
    const rival = await openEngine(
      this.#recorded(false),
      new MemoryBlockFileSystem(),
      this.#settings,
      this.#seed + 500,
    );
    this.#rival = await rival.volume(TAG);
    const now = this.#now();
    this.#contents.push({ bytes: this.#content, step: "create", begun: now, durable: now });
  }

  result(): Workload {
    return {
      files: this.#files,
      puts: this.#puts,
      contents: this.#contents,
      history: this.#history,
      acknowledged: this.#acknowledged,
      steps: this.#steps,
      settings: this.#settings,
    };
  }

  async step(): Promise<void> {
    const name = this.#choose();
    this.#steps.push(name);
    try {
      await this.#perform(name);
    } catch (error) {
      throw new Error(`seed ${this.#seed}, after ${this.#steps.join(", ")}`, { cause: error });
    }
    if (!sameBytes(await contentOf(this.#volume), this.#content)) {
      throw new Error(
        `seed ${this.#seed}: the engine is not where the model is after ${this.#steps.join(", ")}`,
      );
    }
  }

  #choose(): StepName {
    // Where both sides have gone on, or the rival has, most steps that follow change nothing: go on from there soon.
    if (this.#base < this.#history.length - 1 && this.#random() < 0.4)
      return this.#unpushed > 0 ? "reset" : "pull";
    const total = WEIGHTS.reduce((sum, [, weight]) => sum + weight, 0);
    let at = this.#random() * total;
    for (const [name, weight] of WEIGHTS) {
      at -= weight;
      if (at < 0) return name;
    }
    return "write";
  }

  async #perform(name: StepName): Promise<void> {
    switch (name) {
      case "write":
      case "relaxed write": {
        const [offset, bytes] = this.#someBytes(4 * PAGE);
        const durability = name === "write" ? "full" : "relaxed";
        await this.#changing(name, written(this.#content, offset, bytes), durability === "full", async () => {
          const { sequence } = await this.#volume.write(offset, bytes, { durability });
          if (sequence !== undefined) this.#unpushed++;
        });
        return;
      }
      case "spilled write":
      case "spilled rollback": {
        const pieces = [this.#someBytes(9 * PAGE), this.#someBytes(9 * PAGE)] as const;
        let next = this.#content;
        for (const [offset, bytes] of pieces) next = written(next, offset, bytes);
        const commits = name === "spilled write";
        await this.#changing(name, commits ? next : this.#content, commits, async () => {
          const transaction = await this.#volume.begin();
          for (const [offset, bytes] of pieces) await transaction.write(offset, bytes);
          if (!commits) transaction.rollback();
          else if (transaction.commit().sequence !== undefined) this.#unpushed++;
        });
        return;
      }
      case "truncate": {
        const length = Math.floor(this.#random() * (this.#content.length + 2 * PAGE));
        const next = new Uint8Array(length);
        next.set(this.#content.subarray(0, length));
        await this.#changing(name, next, true, async () => {
          const { sequence } = await this.#volume.truncate(length);
          if (sequence !== undefined) this.#unpushed++;
        });
        return;
      }
      case "read":
        return;
      case "push": {
        const wins = this.#base === this.#history.length - 1;
        const { length } = this.#history;
        if (wins && this.#unpushed > 0) this.#history.push(this.#content);
        try {
          const { lsn } = await this.#volume.push();
          this.#expect(wins || this.#unpushed === 0, "a push that should have diverged");
          this.#base = lsn;
          this.#unpushed = 0;
          this.#expect(lsn === this.#history.length - 1 || !wins, `push made LSN ${lsn}, not ${length}`);
          if (lsn === length) this.#acknowledged.push({ lsn, at: this.#now() });
        } catch (error) {
          if (!isPagefoldError(error, "diverged") || wins) throw error;
        }
        this.#settleRelaxed();
        return;
      }
      case "pull": {
        const head = this.#history.length - 1;
        const goes = this.#unpushed === 0 && this.#base < head;
        await this.#changing(name, goes ? this.#history[head]! : this.#content, goes, async () => {
          try {
            await this.#volume.pull();
            if (this.#unpushed === 0) this.#base = head;
          } catch (error) {
            if (!isPagefoldError(error, "diverged") || this.#unpushed === 0) throw error;
          }
        });
        return;
      }
      case "reset":
        await this.#changing(name, this.#history[this.#base]!, true, async () => {
          await this.#volume.reset();
          this.#unpushed = 0;
        });
        return;
      case "import": {
        if (this.#unpushed > 0 || this.#base < this.#history.length - 1) return;
        const bytes = this.#content.slice(0, Math.floor(this.#random() * 20 * PAGE));
        const [offset, piece] = this.#someBytes(6 * PAGE);
        const next = written(bytes, offset, piece);
        if (sameBytes(next, this.#content)) return;
        this.#history.push(next);
        await this.#changing(name, next, true, async () => {
          const { lsn } = await this.#volume.import(sourceOf(next));
          this.#expect(lsn === this.#history.length - 1, `the import made LSN ${lsn}`);
          this.#base = lsn;
        });
        this.#acknowledged.push({ lsn: this.#base, at: this.#now() });
        return;
      }
      case "rival": {
        await this.#rival.pull();
        const [offset, bytes] = this.#someBytes(3 * PAGE);
        const { sequence } = await this.#rival.write(offset, bytes);
        // Zeros over zeros change nothing, and nothing is pushed.
        if (sequence !== undefined) this.#history.push(written(this.#history.at(-1)!, offset, bytes));
        await this.#rival.push();
        return;
      }
      case "reopen":
        await this.#store.close();
        await this.#open();
        this.#volume = await this.#store.volume(TAG);
        this.#settleRelaxed();
    }
  }

  /** Runs a step that makes the volume hold `next`. */
  async #changing(
    step: string,
    next: Uint8Array,
    durable: boolean,
    work: () => Promise<void>,
  ): Promise<void> {
    const content: Content = { bytes: next, step, begun: this.#now(), durable: undefined };
    this.#contents.push(content);
    await work();
    this.#content = next.slice();
    if (durable) this.#settleRelaxed();
  }

  /** Everything so far is durable: one flush makes earlier relaxed commits so, too. */
  #settleRelaxed(): void {
    for (const content of this.#contents) content.durable ??= this.#now();
  }

  async #open(): Promise<void> {
    this.#store = await openEngine(
      this.#recorded(true),
      this.#files,
      this.#settings,
      this.#seed + 1000 * ++this.#opened,
    );
  }

  #now(): Moment {
    return { operations: this.#files.position, puts: this.#puts.length };
  }

  #someBytes(max: number): [number, Uint8Array] {
    const bytes = new Uint8Array(1 + Math.floor(this.#random() * max));
    // A run of one byte, so that it compresses, with a page of zeros now and then.
    const zero = this.#random() < 0.1;
    for (let i = 0; i < bytes.length; i++) bytes[i] = zero ? 0 : 1 + Math.floor(this.#random() * 4);
    return [Math.floor(this.#random() * 20 * PAGE), bytes];
  }

  #recorded(own: boolean): ObjectStore {
    const remote = this.#remote;
    return {
      url: "memory:recorded",
      capabilities: remote.capabilities,
      get: (key, options) => remote.get(key, options),
      list: (prefix, options) => remote.list(prefix, options),
      delete: (keys, options) => remote.delete(keys, options),
      close: async () => {},
      put: async (key: string, body: Body, options: PutOptions = {}) => {
        const bytes = body instanceof Uint8Array ? body.slice() : await collectBody(body, undefined, key);
        this.#puts.push({ key, bytes, ifAbsent: options.ifAbsent === true, own, at: this.#files.position });
        return remote.put(key, bytes, options);
      },
    };
  }

  #expect(condition: boolean, what: string): void {
    if (!condition) throw new Error(`seed ${this.#seed}: ${what}`);
  }
}

/** `bytes` over `content` at `offset`; it grows as needed. */
export function written(content: Uint8Array, offset: number, bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const next = new Uint8Array(Math.max(content.length, offset + bytes.length));
  next.set(content);
  next.set(bytes, offset);
  return next;
}
