/** The VFS over the volumes of a store, for people who hold their own sqlite-wasm instance: a file name is a tag or a volume id. */
import type { Sqlite3Static } from "@sqlite.org/sqlite-wasm";
import type { Recorder } from "../../src/base/recorder.ts";
import type { BlockFile } from "../../src/local/block-file.ts";
import type { PageStore } from "../../src/store/page-store.ts";
import type { Volume } from "../../src/store/volume.ts";
import { type FaultBridge, ResidentOnlyBridge } from "../bridge/bridge.ts";
import { JspiBridge } from "../bridge/jspi.ts";
import { runPragma, textOf, unknownPragma } from "./pagefold-pragmas.ts";
import { installVfs, type PagefoldVfs } from "./pagefold-vfs.ts";
import { canSuspend } from "./thunks.ts";
import { VolumeSource } from "./volume-source.ts";

export interface PagefoldVfsOptions {
  /** As `?vfs=` and `sqlite3_open_v2` name it. Default "pagefold". Unique within the wasm instance. */
  readonly name?: string;
  /** Carries out the faults. Default: suspension where the runtime has it, else resident pages only. */
  readonly bridge?: FaultBridge;
  /** Memory for journals, sorter spill and temporary databases, bytes. Default 64 MiB with `tempFile`, else 1 GiB. */
  readonly tempBytes?: number;
  /** Where they go when that is full, not used by anything else; the caller closes it. */
  readonly tempFile?: BlockFile;
  /** Counts `sql.fault.count`; observes `sql.fault.duration_ms`. */
  readonly recorder?: Recorder;
}

/**
 * Registers the VFS. A volume must be open in the store (`await store.volume(name)`) before SQLite opens it by its name, unless SQLite is
 * entered so that it can be suspended. Closing the connections, then `dispose`, then the store is the order of ending.
 */
export function installPagefoldVfs(
  sqlite3: Sqlite3Static,
  store: PageStore,
  options: PagefoldVfsOptions = {},
): PagefoldVfs {
  const sources = new Map<Volume, VolumeSource>();
  const sourceOf = (volume: Volume): VolumeSource => {
    let source = sources.get(volume);
    if (source === undefined) {
      source = new VolumeSource(volume);
      sources.set(volume, source);
    }
    return source;
  };
  const bridge = options.bridge ?? defaultBridge(store);
  const vfs = installVfs(sqlite3, {
    ...options,
    bridge,
    resolve: (fileName) => {
      // oo1 and URIs pass names as absolute paths.
      const name = fileName.replace(/^\/+/, "");
      const volume = store.opened(name);
      return volume === undefined ? async () => sourceOf(await store.volume(name)) : sourceOf(volume);
    },
    pragmas: (file, name, value) => {
      const answer = runPragma({ store, file, sourceOf }, name, value);
      if (answer === undefined) throw unknownPragma(name);
      return typeof answer === "function" ? async () => textOf(await answer()) : textOf(answer);
    },
  });
  return {
    ...vfs,
    dispose: () => {
      vfs.dispose();
      for (const source of sources.values()) source.close();
    },
  };
}

function defaultBridge(store: PageStore): FaultBridge {
  if (!canSuspend()) return new ResidentOnlyBridge();
  return new JspiBridge((plan, signal) => store.run(plan, signal === undefined ? {} : { signal }));
}
