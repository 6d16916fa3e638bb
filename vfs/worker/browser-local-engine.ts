/** An engine with local state in the browser's storage. Apart from `browser-engine.ts`, since not every page has such. */

import { isPagefoldError } from "../../src/base/errors.ts";
import { systemRuntime } from "../../src/base/runtime.ts";
import type { PageCodecs } from "../../src/browser/page-codecs.ts";
import { type BrowserStorage, openBrowserStorage, storageEstimate } from "../../src/browser/storage.ts";
import type { BlockFile } from "../../src/local/block-file.ts";
import { PageStore } from "../../src/store/page-store.ts";
import type { EngineOptions, EngineParts, EngineRequest } from "../session/engine.ts";

const TEMP_NAME = "temp";
/** Milliseconds. */
const WRITE_EVERY_MS = 500;
/** What the page cache may take of the site's quota, and at most; in IndexedDB all of it lies in memory, too. Bytes. */
const CACHE = {
  opfs: { share: 1 / 4, most: 2 * 2 ** 30, unknown: 256 * 2 ** 20 },
  indexeddb: { share: 1 / 10, most: 64 * 2 ** 20, unknown: 32 * 2 ** 20 },
} as const;

export async function openLocalEngine(
  local: NonNullable<EngineRequest["local"]>,
  { settings }: EngineRequest,
  { remote, recorder }: EngineOptions,
  codecs: PageCodecs,
): Promise<EngineParts> {
  const { path: name, kind = "auto" } = local;
  const storage = await openBrowserStorage({ name, kind });
  let tempFile: BlockFile | undefined;
  const released = new AbortController();
  const release = async (): Promise<void> => {
    released.abort();
    try {
      await tempFile?.close();
      if (tempFile !== undefined) await storage.files.remove(TEMP_NAME);
    } finally {
      await storage.release();
    }
  };
  let tempRoom: TempRoom | undefined;
  let diskBytes: number;
  try {
    diskBytes = settings?.diskBytes ?? (await cacheBytes(storage.kind));
    // Elsewhere a file is memory, of which there is no less than here.
    if (storage.kind === "opfs") tempFile = await storage.files.open(TEMP_NAME, { expendable: true });
    if (tempFile !== undefined) tempRoom = new TempRoom(tempFile);
  } catch (error) {
    await release();
    throw error;
  }
  // The store calls `release`, also where it cannot be opened.
  const store = await PageStore.open({
    remote,
    recorder,
    ...codecs,
    local: { files: storage.files, release, makeRoom: () => tempRoom?.giveBack() === true },
    settings: { ...settings, diskBytes },
  });
  void keepWritten(store, released.signal);
  return { store, storage: storage.kind, ...(tempFile === undefined ? {} : { tempFile }) };
}

/** A tab may be gone at any moment, and nobody closes anything then. */
async function keepWritten(store: PageStore, signal: AbortSignal): Promise<void> {
  for (;;) {
    await systemRuntime.sleep(WRITE_EVERY_MS, signal).catch(() => {});
    if (signal.aborted) return;
    try {
      store.writeWaiting();
    } catch (error) {
      // It is being closed, which writes them, too.
      if (isPagefoldError(error, "closed")) return;
      throw error;
    }
  }
}

/** The room of the file of temporary files, which a browser may keep for it when it is empty again. */
class TempRoom {
  readonly #file: BlockFile;
  #away = false;

  constructor(file: BlockFile) {
    this.#file = file;
  }

  /** Gives it to others where nothing is in it; whether there may have been some. */
  giveBack(): boolean {
    if (this.#away || this.#file.giveBack === undefined || this.#file.size() > 0) return false;
    this.#away = true;
    this.#file.giveBack().then(
      () => {
        this.#away = false;
      },
      // It has no room any more, and takes none: what spills is told.
      () => {},
    );
    return true;
  }
}

/** How large the page cache on disk may grow, unless the settings say otherwise. */
async function cacheBytes(kind: BrowserStorage["kind"]): Promise<number> {
  if (kind === "memory") return 0;
  const { share, most, unknown } = CACHE[kind];
  const quota = (await storageEstimate())?.quotaBytes;
  return quota === undefined ? unknown : Math.min(most, Math.floor(quota * share));
}
