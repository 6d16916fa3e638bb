/** The engine of a SQL worker in Node: a PageStore over the store that the main thread holds. */
import { isPagefoldError, PagefoldError } from "../../src/base/errors.ts";
import { openStore } from "../../src/node/index.ts";
import type { PageStore } from "../../src/store/page-store.ts";
import type { Volume } from "../../src/store/volume.ts";
import type { Snapshot } from "../../src/volume/snapshot.ts";
import type { Engine, EngineOptions, EngineRequest } from "./engine.ts";

export async function openEngine(request: EngineRequest, options: EngineOptions): Promise<Engine> {
  const { remote, recorder, signal } = options;
  const { name, local, settings } = request;
  const store = await openStore(remote, {
    // Faults are decoded on this thread, which waits for them anyway.
    workers: 0,
    recorder,
    ...(local === undefined ? {} : { local: local.path }),
    ...(settings === undefined ? {} : { settings }),
  });
  try {
    const volume = await store.volume(name, signal === undefined ? {} : { signal });
    return new StoreEngine(store, volume, request, await firstSnapshot(volume, request.lsn, signal));
  } catch (error) {
    await store.close();
    throw error;
  }
}

async function firstSnapshot(
  volume: Volume,
  lsn: number | undefined,
  signal: AbortSignal | undefined,
): Promise<Snapshot> {
  if (lsn === undefined) return volume.snapshot();
  const options = signal === undefined ? {} : { signal };
  try {
    return await volume.at(lsn, options);
  } catch (error) {
    if (!isPagefoldError(error, "not_found")) throw error;
    // This side may simply not have learned of it yet.
    await volume.pull(options);
    return volume.at(lsn, options);
  }
}

class StoreEngine implements Engine {
  readonly #store: PageStore;
  readonly #volume: Volume;
  readonly #request: EngineRequest;
  readonly #cache: Snapshot["context"]["cache"];
  #first: Snapshot | undefined;

  constructor(store: PageStore, volume: Volume, request: EngineRequest, first: Snapshot) {
    this.#store = store;
    this.#volume = volume;
    this.#request = request;
    this.#first = first;
    this.#cache = first.context.cache;
  }

  async snapshot(): Promise<Snapshot> {
    const first = this.#first;
    this.#first = undefined;
    return first ?? this.#volume.snapshot();
  }

  async pull(options: { readonly signal?: AbortSignal }): Promise<void> {
    const { lsn, name } = this.#request;
    if (lsn !== undefined) {
      throw new PagefoldError(
        "invalid",
        `${name} was opened at LSN ${lsn} and stays there; open it without an LSN to follow it`,
        {
          details: { lsn },
        },
      );
    }
    await this.#volume.pull(options);
  }

  residentPages(): number {
    return this.#volume.status().residentPages;
  }

  prefetchedUnused(): number {
    return this.#cache.stats().prefetchedUnused;
  }

  async close(): Promise<void> {
    this.#first?.close();
    await this.#store.close();
  }
}
