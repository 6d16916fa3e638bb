/**
 * What a session is opened with: which volume, and where this side keeps what it knows of it. Plain data, since it travels to the worker; the
 * platform turns it into an open store.
 */
import type { Recorder } from "../../src/base/recorder.ts";
import type { BlockFile } from "../../src/local/block-file.ts";
import type { ObjectStore } from "../../src/remote/object-store.ts";
import type { PageStore } from "../../src/store/page-store.ts";
import type { StoreSettings } from "../../src/store/settings.ts";
import type { Volume } from "../../src/store/volume.ts";

export interface EngineRequest {
  /** A tag or a volume id. */
  readonly name: string;
  /**
   * Where pages and local state are kept; in memory where absent. In Node a directory; in browsers the name of a storage, and which kind of it
   * (default "auto": the best there is).
   */
  readonly local?: { readonly path: string; readonly kind?: "auto" | "opfs" | "indexeddb" | "memory" };
  /** Show the state of this LSN, or as of this time (milliseconds since 1970), for ever, rather than the newest. */
  readonly lsn?: number;
  readonly time?: number;
  readonly readOnly?: boolean;
  /** Create an empty volume under this tag where there is none. */
  readonly create?: boolean;
  readonly settings?: Partial<StoreSettings>;
}

/** How SQL runs, whatever the platform. Plain data, too. */
export interface SessionSettings {
  /** Memory for journals, sorter spill and temporary tables, bytes; beyond it they go to disk where there is one. Default 64 MiB, in browsers 1 GiB. */
  readonly tempBytes?: number;
  /** How long a statement waits for another transaction to end before it fails with `busy`, milliseconds. Default 10000. */
  readonly busyTimeoutMs?: number;
}

export interface EngineParts {
  readonly store: PageStore;
  /** The store is somebody else's, and stays open when the session ends. */
  readonly keepOpen?: boolean;
  /** Where temporary files go that memory has no room for. */
  readonly tempFile?: BlockFile;
  /** Where its local state is, if that is not plain from the request. */
  readonly storage?: "memory" | "directory" | "opfs" | "indexeddb";
  /** Called after the store was closed. */
  readonly release?: () => Promise<void>;
  /** Writes a state into a file of the platform; absent where there are none. */
  readonly exportTo?: (volume: Volume, path: string, signal?: AbortSignal) => Promise<{ bytes: number }>;
}

export interface EngineOptions {
  /** Belongs to the store from now on, which closes it. */
  readonly remote: ObjectStore;
  readonly recorder: Recorder;
}

export type OpenEngine = (request: EngineRequest, options: EngineOptions) => Promise<EngineParts>;
