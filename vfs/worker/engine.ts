/**
 * What the worker's session needs of the engine: one volume, its snapshots, and a way to move on. `open-engine.ts` implements it over
 * a PageStore.
 */
import type { Recorder } from "../../src/base/recorder.ts";
import type { ObjectStore } from "../../src/remote/object-store.ts";
import type { StoreSettings } from "../../src/store/settings.ts";
import type { ClosableView } from "../sqlite/view-source.ts";

/** Which volume, and where this side keeps what it knows of it. Plain data: it travels to the worker. */
export interface EngineRequest {
  /** A tag or a volume id. */
  readonly name: string;
  /** A directory for pages and local state; in memory where absent. */
  readonly local?: { readonly path: string };
  /** Show the state of this LSN for ever, rather than the newest. */
  readonly lsn?: number;
  readonly settings?: Partial<StoreSettings>;
}

export interface Engine {
  /** The newest state on this side, or that of the LSN asked for. The caller closes it. */
  snapshot(): Promise<ClosableView>;
  /** Learns the remote's new commits and moves to them. @throws `invalid` where the engine shows one LSN for ever */
  pull(options: { readonly signal?: AbortSignal }): Promise<void>;
  /** Pages of the volume that are resident. */
  residentPages(): number;
  /** Pages that were fetched ahead and nobody has read so far. */
  prefetchedUnused(): number;
  close(): Promise<void>;
}

export interface EngineOptions {
  /** Belongs to the engine from now on, which closes it. */
  readonly remote: ObjectStore;
  readonly recorder: Recorder;
  readonly signal?: AbortSignal;
}

export type OpenEngine = (request: EngineRequest, options: EngineOptions) => Promise<Engine>;
