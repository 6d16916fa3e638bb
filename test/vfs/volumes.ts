/** Volumes of one store under one VFS, with as many connections as a test wants: the VFS over the real engine, without a Database. */
import type { Sqlite3Static } from "@sqlite.org/sqlite-wasm";
import type { BlockFileSystem } from "../../src/local/block-file.ts";
import { MemoryObjectStore } from "../../src/remote/memory-store.ts";
import type { ObjectStore } from "../../src/remote/object-store.ts";
import { PageStore } from "../../src/store/page-store.ts";
import type { StoreSettings } from "../../src/store/settings.ts";
import type { Volume } from "../../src/store/volume.ts";
import { ResidentOnlyBridge } from "../../vfs/bridge/bridge.ts";
import { JspiBridge } from "../../vfs/bridge/jspi.ts";
import { Connection, type ConnectionOptions } from "../../vfs/sqlite/connection.ts";
import { installVfs, type PagefoldVfs, type VfsOptions } from "../../vfs/sqlite/pagefold-vfs.ts";
import type { ViewSource } from "../../vfs/sqlite/view-source.ts";
import { VolumeSource } from "../../vfs/sqlite/volume-source.ts";
import { closeLater } from "./closers.ts";
import type { BridgeFamily } from "./fake-bridge.ts";
import { loadSqlite, newVfsName } from "./sqlite.ts";

export interface VolumesOptions {
  readonly remote?: ObjectStore;
  readonly files?: BlockFileSystem;
  readonly settings?: Partial<StoreSettings>;
  /** What the VFS gets in place of a volume's own source. */
  readonly wrap?: (source: VolumeSource, name: string) => ViewSource;
  readonly vfs?: Partial<VfsOptions>;
  /** Default: the one that all share. */
  readonly sqlite3?: Sqlite3Static;
}

export interface OpenedVolumes {
  readonly store: PageStore;
  readonly vfs: PagefoldVfs;
  /** @throws where the test named no such volume */
  volume(name: string): Volume;
  connect(name: string, options?: ConnectionOptions): Promise<Connection>;
  /** Idempotent; done when the test ends. */
  close(): Promise<void>;
}

/** Volumes by their tags; those that the store lacks are made. */
export async function openVolumes(
  family: BridgeFamily,
  names: readonly string[],
  options: VolumesOptions = {},
): Promise<OpenedVolumes> {
  const { remote = new MemoryObjectStore(), files, settings, wrap = (source) => source } = options;
  const store = await PageStore.open({
    remote,
    ...(files === undefined ? {} : { local: { files } }),
    ...(settings === undefined ? {} : { settings }),
  });
  const volumes = new Map<string, Volume>();
  for (const name of names) {
    const known = store.opened(name) !== undefined || (await store.resolve(name)) !== undefined;
    volumes.set(name, known ? await store.volume(name) : await store.createVolume({ tag: name }));
  }
  const own = new Map([...volumes].map(([name, volume]) => [name, new VolumeSource(volume)]));
  const sources = new Map([...own].map(([name, source]) => [name, wrap(source, name)]));
  const sqlite3 = options.sqlite3 ?? (await loadSqlite());
  const vfs = installVfs(sqlite3, {
    name: newVfsName(),
    bridge:
      family === "blocking"
        ? new ResidentOnlyBridge()
        : new JspiBridge((plan, signal) => store.run(plan, signal === undefined ? {} : { signal })),
    resolve: (name) => sources.get(name),
    ...options.vfs,
  });
  const connections: Connection[] = [];
  let closed = false;
  const close = async (): Promise<void> => {
    if (closed) return;
    closed = true;
    for (const connection of connections) await connection.close();
    vfs.dispose();
    for (const source of own.values()) source.close();
    await store.close();
  };
  closeLater(close);
  return {
    store,
    vfs,
    volume: (name) => {
      const volume = volumes.get(name);
      if (volume === undefined) throw new Error(`this test opened no volume ${name}`);
      return volume;
    },
    connect: async (name, connectionOptions) => {
      const connection = await Connection.open(sqlite3, vfs, name, connectionOptions);
      connections.push(connection);
      return connection;
    },
    close,
  };
}
