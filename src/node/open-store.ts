/** A PageStore wired for Node: stores by URL, native zstd where there is one, codec workers, local files under a process lock. */
import { availableParallelism } from "node:os";
import type { Recorder } from "../base/recorder.ts";
import { loadCodecs } from "../format/codecs.ts";
import type { BlockFileSystem } from "../local/block-file.ts";
import type { HttpAuth } from "../remote/http/http-object-store.ts";
import type { ObjectStore } from "../remote/object-store.ts";
import { loadVerbs } from "../store/load-verbs.ts";
import { PageStore } from "../store/page-store.ts";
import type { StoreSettings } from "../store/settings.ts";
import { CodecPool } from "./codec-pool.ts";
import { FsBlockFileSystem } from "./fs-block-file.ts";
import { nativeZstd } from "./native-zstd.ts";
import { acquireProcessLock } from "./process-lock.ts";
import { openObjectStore } from "./store-url.ts";

export interface OpenStoreOptions {
  /** S3 only: where a server other than AWS is, and its region. */
  readonly endpoint?: string;
  readonly region?: string;
  /** `http:` and `https:` only: a token, or where to get one. */
  readonly auth?: HttpAuth;
  /** Create the store's directory where it is missing. */
  readonly create?: boolean;
  /** Directory for local state; in memory by default. One process at a time: `busy` names the owner. */
  readonly local?: string;
  /** Threads for bulk compression and decompression; default: one per core, at most 8. 0: the calling thread. */
  readonly workers?: number;
  readonly recorder?: Recorder;
  readonly settings?: Partial<StoreSettings>;
}

/** How much a local directory may hold, unless the settings say otherwise. */
const DEFAULT_DISK_BYTES = 64 * 2 ** 30;
const MAX_WORKERS = 8;

/** Opens a store named by a directory, `file:`, `s3://bucket/prefix`, `https:` or `memory:`, or one that is at hand. */
export async function openStore(
  remote: string | ObjectStore,
  options: OpenStoreOptions = {},
): Promise<PageStore> {
  const { endpoint, region, auth, create } = options;
  const place = {
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(region === undefined ? {} : { region }),
    ...(auth === undefined ? {} : { auth }),
    ...(create === undefined ? {} : { create }),
  };
  // Here everything is on disk already: no verb shall wait for its code later.
  await loadVerbs();
  const native = nativeZstd();
  const codecs = await loadCodecs(native === undefined ? {} : { nativeZstd: native });
  const store = typeof remote === "string" ? await openObjectStore(remote, place) : remote;
  const pool = new CodecPool(codecs, options.workers ?? Math.min(MAX_WORKERS, availableParallelism()));
  const local = options.local === undefined ? undefined : await openLocalFiles(options.local);
  return PageStore.open({
    remote: store,
    codecs,
    encoder: pool,
    decoder: pool,
    local: {
      ...(local === undefined ? {} : { files: local.files }),
      release: async () => {
        await pool.close();
        await local?.release();
      },
    },
    ...(options.recorder === undefined ? {} : { recorder: options.recorder }),
    settings: { diskBytes: options.local === undefined ? 0 : DEFAULT_DISK_BYTES, ...options.settings },
  });
}

/** The files of a local directory, locked for this process. @throws `busy` naming the process that holds it */
export async function openLocalFiles(
  directory: string,
): Promise<{ readonly files: BlockFileSystem; release(): Promise<void> }> {
  const lock = await acquireProcessLock(directory);
  return { files: new FsBlockFileSystem(directory), release: () => lock.release() };
}
