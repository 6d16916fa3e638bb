/**
 * Local state in a browser: block files under a name, in the best storage that this thread of this browser has, for one owner at a time.
 * What each kind promises is told in docs/browser-storage.md.
 */
import { isPagefoldError, PagefoldError } from "../base/errors.ts";
import type { BlockFileSystem } from "../local/block-file.ts";
import { MemoryBlockFileSystem } from "../local/memory-block-file.ts";
import { IdbBlockFileSystem } from "./idb-block-file.ts";
import { idbHolds } from "./idb-database.ts";
import { checkStorageName } from "./names.ts";
import { deleteOpfs, openOpfs, opfsHolds } from "./opfs-directory.ts";
import { lockStorage } from "./storage-lock.ts";

export {
  type BrowserStorageEntry,
  deleteBrowserStorage,
  listBrowserStorage,
  persistStorage,
  type StorageEstimate,
  storageEstimate,
} from "./site-storage.ts";

export type BrowserStorageKind = "opfs" | "indexeddb" | "memory";

export interface BrowserStorageOptions {
  /** Letters, digits, ".", "_" and "-". */
  readonly name: string;
  /**
   * "auto", the default: OPFS where a synchronous handle can be had, else IndexedDB, else memory; but what a name holds already stays where it is. A kind
   * by its name: that one, or an error.
   */
  readonly kind?: BrowserStorageKind | "auto";
  /**
   * How long another owner is waited for, milliseconds, since one whose tab was closed or reloaded takes a moment to end. Default 3000; 0: not at
   * all.
   */
  readonly waitMs?: number;
}

export interface BrowserStorage {
  readonly files: BlockFileSystem;
  readonly kind: BrowserStorageKind;
  /** Why no better kind is used: one line for each that failed. */
  readonly passedOver: readonly string[];
  /** Lets others have it; to be called after the files were closed. Idempotent. */
  release(): Promise<void>;
}

const DEFAULT_WAIT_MS = 3000;

/**
 * Opens the storage of a name, creating it where there is none.
 * @throws `busy` when another tab or worker has it; `quota`; `invalid` for a name; `forbidden` or `unavailable` where the kind that was asked for
 * cannot be had here
 */
export async function openBrowserStorage(options: BrowserStorageOptions): Promise<BrowserStorage> {
  const { name, kind = "auto", waitMs = DEFAULT_WAIT_MS } = options;
  checkStorageName(name);
  if (kind === "memory") return memoryStorage(name, []);
  const lock = await lockStorage(name, waitMs);
  try {
    return await openLocked(name, kind, waitMs, () => lock.release());
  } catch (e) {
    await lock.release();
    throw e;
  }
}

type Release = () => Promise<void>;

async function openLocked(
  name: string,
  kind: "auto" | "opfs" | "indexeddb",
  waitMs: number,
  release: Release,
): Promise<BrowserStorage> {
  const passedOver: string[] = [];
  if (kind !== "indexeddb") {
    try {
      const storage = await opfsStorage(name, kind, waitMs, release);
      if (storage !== undefined) return storage;
    } catch (e) {
      if (kind === "opfs" || !isPagefoldError(e, "forbidden", "unavailable")) throw e;
      if (await opfsHolds(name)) throw outOfReach(name, e);
      passedOver.push(e.message);
    }
  }
  try {
    return await idbStorage(name, passedOver, release);
  } catch (e) {
    if (kind === "indexeddb" || !isPagefoldError(e, "forbidden", "unavailable")) throw e;
    passedOver.push(e.message);
  }
  await release();
  return memoryStorage(name, passedOver);
}

/** Undefined where IndexedDB holds this storage already. */
async function opfsStorage(
  name: string,
  kind: "auto" | "opfs",
  waitMs: number,
  release: Release,
): Promise<BrowserStorage | undefined> {
  const { files, owner, isNew } = await openOpfs(name, waitMs);
  if (kind === "auto" && isNew && (await idbHolds(name))) {
    await owner.close();
    await deleteOpfs(name);
    return undefined;
  }
  return {
    files,
    kind: "opfs",
    passedOver: [],
    release: async () => {
      try {
        await owner.close();
      } finally {
        await release();
      }
    },
  };
}

async function idbStorage(
  name: string,
  passedOver: readonly string[],
  release: Release,
): Promise<BrowserStorage> {
  const files = await IdbBlockFileSystem.open(name);
  return {
    files,
    kind: "indexeddb",
    passedOver,
    release: async () => {
      try {
        await files.close();
      } finally {
        await release();
      }
    },
  };
}

function memoryStorage(name: string, passedOver: readonly string[]): BrowserStorage {
  return {
    files: new MemoryBlockFileSystem({ name: `memory:/${name}` }),
    kind: "memory",
    passedOver,
    release: async () => {},
  };
}

/** Opening an empty storage of another kind beside it would hide commits that were not pushed. */
function outOfReach(name: string, cause: unknown): PagefoldError {
  return new PagefoldError(
    "unavailable",
    `the storage "${name}" is kept in OPFS, which this thread cannot open; open it in a dedicated worker, as a Database does by default, or use another name`,
    { cause, details: { path: name }, retryable: false },
  );
}
