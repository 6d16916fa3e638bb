/**
 * Every way in which SQLite waits for pages, each with a way to open a Database over it: what `Database` promises is tested over all of them. What
 * this runtime lacks is one skipped test per suite, with the reason.
 */
import { afterAll, afterEach, beforeAll, describe, it } from "vitest";
import { isPagefoldError } from "../../src/base/errors.ts";
import { openStore } from "../../src/node/index.ts";
import type { BridgeKind } from "../../vfs/bridge/bridge.ts";
import { Database, type DatabaseOptions } from "../../vfs/index.ts";
import { canSuspend } from "../../vfs/sqlite/thunks.ts";
import { bundleWorker } from "./bundle.ts";
import { closeAll, closeLater, takeClosers } from "./closers.ts";
import { fileRemote, memoryRemote, type TestRemote } from "./remotes.ts";

export type OpenOptions = Omit<DatabaseOptions, "worker" | "bridge" | "workerUrl">;

export interface Bridge {
  readonly name: string;
  readonly kind: BridgeKind;
  /** Why it cannot be tested here. */
  readonly missing: string | undefined;
  readonly thread: "worker" | "caller";
  /** An empty store that this bridge can read from. */
  remote(): Promise<TestRemote>;
  /** The volume tagged `name`; the caller closes it. */
  open(remote: TestRemote, name: string, options?: OpenOptions): Promise<Database>;
}

function inWorker(kind: BridgeKind, missing?: string): Bridge {
  return {
    name: `${kind} in a worker`,
    kind,
    missing,
    thread: "worker",
    remote: async () => memoryRemote(),
    open: async ({ store }, name, options) =>
      Database.open(store, name, {
        bridge: kind,
        workerUrl: await bundleWorker("vfs/worker/node-worker.ts"),
        ...options,
      }),
  };
}

/** The worker's XMLHttpRequest reads files. */
const synchronousRequests: Bridge = {
  ...inWorker("sync-xhr"),
  remote: fileRemote,
  open: async ({ store }, name, options) =>
    Database.open(store, name, {
      bridge: "sync-xhr",
      workerUrl: await bundleWorker("test/vfs/workers/xhr-worker.ts"),
      ...options,
    }),
};

/** On a page store that is the caller's, with every page here. */
const residentOnly: Bridge = {
  name: "resident-only on the caller's thread",
  kind: "resident-only",
  missing: undefined,
  thread: "caller",
  remote: async () => memoryRemote(),
  open: async ({ store }, name, options = {}) => {
    const { local, settings } = options;
    const pages = await openStore(store, {
      workers: 0,
      ...(local === undefined ? {} : { local: local.path }),
      ...(settings === undefined ? {} : { settings }),
    });
    try {
      const known = await pages.volume(name).catch((error: unknown) => {
        if (!isPagefoldError(error, "not_found")) throw error;
      });
      await known?.hydrate();
      const database = await Database.open(pages, name, { bridge: "resident-only", ...options });
      const close = database.close.bind(database);
      database.close = async () => {
        await close();
        await pages.close();
      };
      return database;
    } catch (error) {
      await pages.close();
      throw error;
    }
  },
};

const noSuspension = canSuspend() ? undefined : `Node ${process.version} cannot suspend WebAssembly (JSPI)`;

export const bridges: readonly Bridge[] = [
  inWorker("shared-memory"),
  synchronousRequests,
  residentOnly,
  inWorker("jspi", noSuspension),
  {
    ...inWorker("jspi", noSuspension),
    name: "jspi on the caller's thread",
    thread: "caller",
    open: ({ store }, name, options) =>
      Database.open(store, name, { bridge: "jspi", worker: false, ...options }),
  },
];

/** Runs a suite once per bridge. What is opened through `openOver` or given to `closeLater` is closed after each test. */
export function overBridges(what: string, suite: (bridge: Bridge) => void): void {
  for (const bridge of bridges) {
    const { missing } = bridge;
    describe(`${what}, ${bridge.name}`, () => {
      if (missing !== undefined) {
        it("is tested", (context) => context.skip(missing));
        return;
      }
      afterEach(closeAll);
      suite(bridge);
    });
  }
}

/** Opens the volume "db", which is made where there is none, until the test ends. */
export async function openOver(
  bridge: Bridge,
  remote: TestRemote,
  options: OpenOptions = {},
): Promise<Database> {
  const database = await bridge.open(remote, "db", { create: true, ...options });
  closeLater(() => database.close());
  return database;
}

/** A database "db" that all tests of a suite share, for those that need no fresh one. */
export class SharedDatabase {
  remote!: TestRemote;
  database!: Database;

  /** @param prepare what they all find in it */
  constructor(bridge: Bridge, prepare = "", options: OpenOptions = {}) {
    let close: () => Promise<void>;
    beforeAll(async () => {
      this.remote = await bridge.remote();
      this.database = await openOver(bridge, this.remote, options);
      if (prepare !== "") await this.database.exec(prepare);
      close = takeClosers();
    });
    afterAll(() => close());
  }
}

/** After a pull: where pages cannot be fetched in the middle of a statement, they are fetched now. */
export async function catchUp(bridge: Bridge, database: Database): Promise<void> {
  await database.pull();
  if (bridge.kind === "resident-only") await database.hydrate();
}
