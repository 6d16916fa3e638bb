/** What the browser has, asked where the code runs: in a page or in a worker. */
import sqlite3InitModule from "@sqlite.org/sqlite-wasm";

/** Of the worker types of the DOM only what is used here; they are not among the project's type libraries. */
interface SyncHandle {
  write(bytes: Uint8Array, options: { at: number }): number;
  read(bytes: Uint8Array, options: { at: number }): number;
  getSize(): number;
  flush(): void;
  close(): void;
}

export interface Platform {
  readonly worker: boolean;
  readonly isolated: boolean;
  readonly sharedMemory: boolean;
  readonly jspi: boolean;
  readonly locks: boolean;
  readonly indexedDb: boolean;
  readonly syncHandles: boolean;
}

export async function platform(): Promise<Platform> {
  const has = (owner: object, name: string): boolean => name in owner;
  return {
    worker: !has(globalThis, "document"),
    isolated: crossOriginIsolated,
    sharedMemory: has(globalThis, "SharedArrayBuffer"),
    jspi: has(WebAssembly, "Suspending") && has(WebAssembly, "promising"),
    locks: has(navigator, "locks"),
    indexedDb: has(globalThis, "indexedDB"),
    syncHandles: has(FileSystemFileHandle.prototype, "createSyncAccessHandle"),
  };
}

/** Writes to a file of the origin's private file system and reads it back; in a worker. */
export async function syncHandle({ name, text }: { name: string; text: string }): Promise<string> {
  const directory = await navigator.storage.getDirectory();
  const file = await directory.getFileHandle(name, { create: true });
  const handle = await (
    file as unknown as { createSyncAccessHandle(): Promise<SyncHandle> }
  ).createSyncAccessHandle();
  try {
    const bytes = new TextEncoder().encode(text);
    const written = handle.write(bytes, { at: 0 });
    if (written !== bytes.length) throw new Error(`wrote ${written} of ${bytes.length} bytes`);
    handle.flush();
    const back = new Uint8Array(handle.getSize());
    handle.read(back, { at: 0 });
    return new TextDecoder().decode(back);
  } finally {
    handle.close();
  }
}

/** What another realm of the same origin left there. */
export async function readPrivateFile({ name }: { name: string }): Promise<string> {
  const directory = await navigator.storage.getDirectory();
  return (await (await directory.getFileHandle(name)).getFile()).text();
}

export async function sqliteVersion(): Promise<string> {
  const sqlite3 = await sqlite3InitModule();
  const db = new sqlite3.oo1.DB(":memory:", "c");
  try {
    return String(db.selectValue("select sqlite_version()"));
  } finally {
    db.close();
  }
}
