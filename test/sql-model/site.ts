/**
 * One replica with a database connection on it, beside the oracle that runs the same statements. Knows how each is opened, closed, lost in a
 * crash and taken apart; what they must agree on is in `world.ts`.
 */
import type { Sqlite3Static } from "@sqlite.org/sqlite-wasm";
import { isPagefoldError, type PagefoldError } from "../../src/base/errors.ts";
import type { Codecs } from "../../src/format/codecs.ts";
import { MemoryBlockFileSystem } from "../../src/local/memory-block-file.ts";
import { exportFile } from "../../src/node/index.ts";
import { PageStore } from "../../src/store/page-store.ts";
import type { StoreSettings } from "../../src/store/settings.ts";
import type { Volume } from "../../src/store/volume.ts";
import { drivePlan } from "../../vfs/bridge/bridge.ts";
import { JspiBridge } from "../../vfs/bridge/jspi.ts";
import { Connection } from "../../vfs/sqlite/connection.ts";
import { installVfs, type PagefoldVfs } from "../../vfs/sqlite/pagefold-vfs.ts";
import { fixedView, type ViewSource } from "../../vfs/sqlite/view-source.ts";
import { VolumeSource } from "../../vfs/sqlite/volume-source.ts";
import type { SimRuntime } from "../sim/runtime.ts";
import { type Content, contentOf } from "./content.ts";
import { MortalFiles } from "./mortal-files.ts";
import { Line, LineBridge, type ObjectMap } from "./object-map.ts";
import { failed, type Image, Oracle, type Outcome } from "./oracle.ts";

export const TAG = "model";
const DATABASE = "db";

export interface Options {
  readonly seed: number;
  /** Of the volume; SQLite's own may be another. */
  readonly pageSize: number;
  /** Bytes of pages in memory, and on disk. */
  readonly memoryBytes: number;
  readonly diskBytes: number;
  readonly transactionBytes: number;
  readonly tempBytes: number;
  /** Whether connections begin with commits that are durable a little later. */
  readonly relaxed: boolean;
  readonly suspending: boolean;
}

/** What all replicas of a world have in common. */
export interface Shared {
  readonly sqlite3: Sqlite3Static;
  readonly codecs: Codecs;
  readonly runtime: SimRuntime;
  readonly objects: ObjectMap;
  readonly options: Options;
}

/** An outcome, and the error where it came from below SQLite. */
export interface SiteOutcome extends Outcome {
  readonly cause?: unknown;
}

let names = 0;

export class Site {
  readonly name: string;
  readonly line: Line;
  readonly #shared: Shared;
  readonly #past = new Map<string, ViewSource>();
  files = new MortalFiles();
  store!: PageStore;
  volume!: Volume;
  connection!: Connection;
  oracle: Oracle;
  /** A second connection within a read transaction, and what it saw when that began. */
  reader: { readonly connection: Connection; readonly content: Content } | undefined;
  #vfs!: PagefoldVfs;
  #source!: VolumeSource;

  private constructor(name: string, shared: Shared) {
    this.name = name;
    this.#shared = shared;
    this.line = new Line(shared.objects);
    this.oracle = new Oracle(shared.sqlite3);
  }

  /** @param create whether it makes the volume, or clones it */
  static async open(name: string, shared: Shared, create: boolean): Promise<Site> {
    const site = new Site(name, shared);
    await site.#openStore();
    const { pageSize } = shared.options;
    site.volume = create
      ? await site.store.createVolume({ tag: TAG, pageSize })
      : await site.store.volume(TAG);
    await site.#connect();
    // The connection takes the volume's page size over where there is no database yet.
    if (create) site.oracle.run(`PRAGMA page_size = ${pageSize}`);
    return site;
  }

  /** Runs one statement through the VFS. */
  async run(sql: string): Promise<SiteOutcome> {
    return runOn(this.connection, sql);
  }

  contentOnVfs(): Promise<Content> {
    return contentOf((sql) => this.run(sql));
  }

  contentOfOracle(): Promise<Content> {
    return contentOf((sql) => this.oracle.run(sql));
  }

  /** Whether somebody, and that can only be the connection, is writing now. */
  get writing(): boolean {
    const transaction = this.volume.tryBegin();
    transaction?.rollback();
    return transaction === undefined;
  }

  /** Nothing fails from here on that has not failed yet. */
  disarm(): void {
    this.files.disarm();
    this.line.failIn = undefined;
  }

  /** Every page that is read next and is no local commit's is fetched, whoever had it. */
  async forget(): Promise<void> {
    const snapshot = this.volume.snapshot();
    snapshot.context.cache.evictAll();
    snapshot.close();
    await this.run("PRAGMA shrink_memory");
  }

  /** What the volume held at an LSN, read by SQLite. */
  async pastContent(lsn: number): Promise<Content> {
    const snapshot = await this.volume.at(lsn);
    const name = `past-${lsn}`;
    this.#past.set(name, fixedView(snapshot));
    const connection = await Connection.open(this.#shared.sqlite3, this.#vfs, name, { readOnly: true });
    try {
      return await contentOf((sql) => runOn(connection, sql));
    } finally {
      await connection.close();
      this.#past.delete(name);
      snapshot.close();
    }
  }

  async openReader(): Promise<void> {
    const connection = await Connection.open(this.#shared.sqlite3, this.#vfs, DATABASE);
    await connection.run("BEGIN");
    this.reader = { connection, content: await contentOf((sql) => runOn(connection, sql)) };
  }

  async readAgain(): Promise<Content> {
    const { connection } = this.reader!;
    return contentOf((sql) => runOn(connection, sql));
  }

  async closeReader(): Promise<void> {
    const { reader } = this;
    this.reader = undefined;
    await reader?.connection.close();
  }

  /** All bytes of the newest state. */
  async bytes(): Promise<Uint8Array> {
    const snapshot = this.volume.snapshot();
    try {
      return await snapshot.read(0, snapshot.byteLength);
    } finally {
      snapshot.close();
    }
  }

  /** Writes the newest state into a file. */
  async export(path: string): Promise<void> {
    await exportFile(this.volume, path);
  }

  /** Ends in good order, and starts again. */
  async reopen(image: Image): Promise<void> {
    await this.close();
    await this.#openStore();
    this.volume = await this.store.volume(TAG, { offline: true });
    await this.#connect();
    this.oracle = new Oracle(this.#shared.sqlite3, image);
  }

  /** The process is gone, and starts again on what the disk kept. The oracle is left to the caller. */
  async crash(power: "lost" | "kept"): Promise<void> {
    const { runtime } = this.#shared;
    this.disarm();
    const files = await this.files.restart(power, () => runtime.random());
    // Of the dead process only memory of the wasm instance is given back: it cannot write any more.
    await this.#disconnect();
    this.files = files;
    await this.#openStore();
    this.volume = await this.store.volume(TAG, { offline: true });
    await this.#connect();
  }

  /** The connections after a crash see a new oracle. */
  begin(image: Image): void {
    this.oracle.close();
    this.oracle = new Oracle(this.#shared.sqlite3, image);
  }

  async close(): Promise<void> {
    await this.#disconnect();
    this.oracle.close();
    await this.store.close();
  }

  async #disconnect(): Promise<void> {
    await this.closeReader();
    await this.connection.close();
    this.#vfs.dispose();
    this.#source.close();
  }

  async #openStore(): Promise<void> {
    const { codecs, runtime, objects, options } = this.#shared;
    const { memoryBytes, diskBytes, transactionBytes, pageSize } = options;
    const settings: Partial<StoreSettings> = {
      ...{ memoryBytes, diskBytes, transactionBytes },
      frameBytes: 4 * pageSize,
      compactAboveBytes: 64 * 1024,
    };
    const local = { files: this.files };
    this.store = await PageStore.open({ remote: objects, local, codecs, runtime, settings });
  }

  async #connect(): Promise<void> {
    const { sqlite3, options } = this.#shared;
    const { line } = this;
    this.#source = new VolumeSource(this.volume);
    this.#vfs = installVfs(sqlite3, {
      name: `model-${++names}`,
      bridge: options.suspending
        ? new JspiBridge(async (plan) => drivePlan(plan, (batch) => line.read(batch)))
        : new LineBridge(line),
      resolve: (name) => (name === DATABASE ? this.#source : this.#past.get(name)),
      tempBytes: options.tempBytes,
      tempFile: await new MemoryBlockFileSystem().open("temp"),
    });
    this.connection = await Connection.open(sqlite3, this.#vfs, DATABASE);
    if (options.relaxed) await this.connection.run("PRAGMA synchronous = OFF");
  }
}

async function runOn(connection: Connection, sql: string): Promise<SiteOutcome> {
  try {
    const [result] = await connection.run(sql);
    return { columns: [], rows: [], changes: 0, lastInsertRowid: 0, ...result, code: 0, message: "" };
  } catch (error) {
    if (!isPagefoldError(error)) throw error;
    const { sqliteCode } = (error as PagefoldError).details;
    if (typeof sqliteCode === "number") return failed(sqliteCode, error.message);
    return { ...failed(-1, error.message), cause: error };
  }
}
