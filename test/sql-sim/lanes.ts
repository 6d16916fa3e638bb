/** Where the tellers of a run live: which store they share, on which thread their SQL runs, what their local state is. */
import * as path from "node:path";
import { type Runtime, systemRuntime } from "../../src/base/runtime.ts";
import { MemoryBlockFileSystem } from "../../src/local/memory-block-file.ts";
import { FsObjectStore } from "../../src/node/fs-object-store.ts";
import { MemoryObjectStore } from "../../src/remote/memory-store.ts";
import type { ObjectStore } from "../../src/remote/object-store.ts";
import { PageStore } from "../../src/store/page-store.ts";
import type { StoreSettings } from "../../src/store/settings.ts";
import { Database } from "../../vfs/index.ts";
import { canSuspend } from "../../vfs/sqlite/thunks.ts";
import { seededRandom } from "../local/xxh64.ts";
import { temporary } from "../node/block-child.ts";
import { SimRuntime } from "../sim/runtime.ts";
import { SCHEMA } from "./bank.ts";
import { Pushes } from "./pushes.ts";
import { Teller } from "./teller.ts";
import { Weather } from "./weather.ts";

export const TAG = "bank";

/** So little that pages are evicted, transactions spill and the log is compacted all the time. */
const SCARCE: Partial<StoreSettings> = {
  memoryBytes: 160 * 1024,
  diskBytes: 512 * 1024,
  transactionBytes: 64 * 1024,
  compactAboveBytes: 256 * 1024,
};

export interface LaneOptions {
  readonly seed: number;
  readonly tellers: number;
  readonly store: "memory" | "files";
  /** "worker": real time; "caller": on this thread, on a clock and with randomness of the seed: the same run each time. */
  readonly thread: "worker" | "caller";
  /** Of the worker. */
  readonly workerUrl: URL;
  /** Longest delay of a request, ms; 0: none. */
  readonly delayMs: number;
  /** How often an outage begins, per request. */
  readonly outages: number;
}

export interface Lane {
  readonly seed: number;
  readonly store: ObjectStore;
  readonly pushes: Pushes;
  readonly tellers: readonly Teller[];
  /** The network is good from now on. */
  calm(): Promise<void>;
  /** As a stranger sees a tag: no local state. */
  stranger(tag: string): Promise<Database>;
  close(): Promise<void>;
}

export async function openLane(options: LaneOptions): Promise<Lane> {
  const { seed, workerUrl } = options;
  const store =
    options.store === "memory"
      ? new MemoryObjectStore()
      : await FsObjectStore.open(path.join(temporary(), "store"), { create: true });
  const founder = await Database.open(store, TAG, { create: true, workerUrl });
  await founder.exec(SCHEMA);
  await founder.push();
  await founder.close();
  const pushes = new Pushes();
  pushes.won("founder", 1, []);
  const runtime = options.thread === "caller" ? new SimRuntime(seed) : systemRuntime;
  const members = Array.from({ length: options.tellers }, (_, i) =>
    makeTeller(i, { options, store, pushes, runtime }),
  );
  // One after the other: on one thread the order would be the file system's.
  for (const { teller } of members) await teller.open();
  return {
    seed,
    store,
    pushes,
    tellers: members.map(({ teller }) => teller),
    calm: async () => {
      await Promise.all(members.map(({ weather }) => weather.calm()));
    },
    stranger: (tag) => Database.open(store, tag, { workerUrl, settings: SCARCE }),
    close: async () => {
      for (const { teller } of members) await teller.close();
      await store.close();
    },
  };
}

interface Shared {
  readonly options: LaneOptions;
  readonly store: ObjectStore;
  readonly pushes: Pushes;
  readonly runtime: Runtime;
}

function makeTeller(
  i: number,
  { options, store, pushes, runtime }: Shared,
): { teller: Teller; weather: Weather } {
  const { seed, thread, delayMs, outages, workerUrl } = options;
  const inTheAir = seededRandom(seed * 1000 + 500 + i);
  const weather = new Weather(store, { random: inTheAir, runtime, delayMs, outages });
  const teller = new Teller({
    name: String.fromCharCode(97 + i),
    random: seededRandom(seed * 1000 + i),
    pushes,
    open: thread === "worker" ? inWorker(weather.store, workerUrl) : onThisThread(weather.store, runtime),
    resident: thread === "caller" && !canSuspend(),
  });
  return { teller, weather };
}

/** Opens a replica on the same local state each time, and says how to close all of it. */
type Open = () => Promise<{ readonly database: Database; close(): Promise<void> }>;

function inWorker(store: ObjectStore, workerUrl: URL): Open {
  const local = { path: temporary() };
  return async () => {
    const database = await Database.open(store, TAG, { local, workerUrl, settings: SCARCE });
    return { database, close: () => database.close() };
  };
}

function onThisThread(remote: ObjectStore, runtime: Runtime): Open {
  const files = new MemoryBlockFileSystem();
  const settings = canSuspend() ? SCARCE : { ...SCARCE, memoryBytes: 64 * 2 ** 20, diskBytes: 64 * 2 ** 20 };
  return async () => {
    const store = await PageStore.open({ remote, local: { files }, runtime, settings });
    try {
      const volume = await store.volume(TAG);
      if (!canSuspend()) await volume.hydrate();
      const database = await Database.open(store, TAG);
      return {
        database,
        close: async () => {
          await database.close();
          await store.close();
        },
      };
    } catch (error) {
      await store.close();
      throw error;
    }
  };
}
