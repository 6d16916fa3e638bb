/** Where storages lie in the origin private file system: one directory each, `/pagefold/<name>`. */
import { isPagefoldError } from "../base/errors.ts";
import type { BlockFile } from "../local/block-file.ts";
import { domError, domNameOf } from "./dom-errors.ts";
import { noSyncHandles, OpfsBlockFileSystem } from "./opfs-block-file.ts";

const FOLDER = "pagefold";
/** Its handle is held for as long as the storage is open: that there is one proves that handles can be had, and keeps others out. */
const OWNER_FILE = "owner";

export interface OpenOpfs {
  readonly files: OpfsBlockFileSystem;
  readonly owner: BlockFile;
  /** No file had been written there before. */
  readonly isNew: boolean;
}

/**
 * Opens the directory of a storage, creating it where there is none.
 * @throws `busy`, `quota`, `forbidden`, and `unavailable` where this thread or browser has no synchronous handles
 */
export async function openOpfs(name: string, patienceMs: number): Promise<OpenOpfs> {
  const path = pathOf(name);
  if (!hasSyncHandles()) throw noSyncHandles(path);
  let files: OpfsBlockFileSystem;
  try {
    const folder = await (await root()).getDirectoryHandle(FOLDER, { create: true });
    const directory = await folder.getDirectoryHandle(name, { create: true });
    files = new OpfsBlockFileSystem(directory, { name: path, patienceMs });
  } catch (e) {
    throw domError("open", path, e);
  }
  const isNew = !(await hasFiles(files));
  try {
    return { files, owner: await files.open(OWNER_FILE), isNew };
  } catch (e) {
    if (isNew && !isPagefoldError(e, "busy")) await deleteOpfs(name);
    throw e;
  }
}

/** Whether this thread of this browser says that it has them; a private window may refuse them all the same. */
function hasSyncHandles(): boolean {
  const { FileSystemFileHandle: type } = globalThis as { FileSystemFileHandle?: { prototype: object } };
  return type !== undefined && "createSyncAccessHandle" in type.prototype;
}

/** Whether something is kept there. Works on every thread. */
export async function opfsHolds(name: string): Promise<boolean> {
  try {
    const folder = await (await root()).getDirectoryHandle(FOLDER);
    const directory = await folder.getDirectoryHandle(name);
    return await hasFiles(new OpfsBlockFileSystem(directory, { name: pathOf(name) }));
  } catch {
    // Where it cannot be asked for, nothing can be had from it.
    return false;
  }
}

export async function listOpfs(): Promise<string[]> {
  const names: string[] = [];
  try {
    const folder = await (await root()).getDirectoryHandle(FOLDER);
    for await (const [name, { kind }] of folder.entries()) if (kind === "directory") names.push(name);
  } catch (e) {
    if (!meansNone(e)) throw domError("list", `opfs:/${FOLDER}`, e);
  }
  return names;
}

/** Removes the directory of a storage, if there is one. @throws `busy` */
export async function deleteOpfs(name: string): Promise<void> {
  try {
    const folder = await (await root()).getDirectoryHandle(FOLDER);
    await folder.removeEntry(name, { recursive: true });
  } catch (e) {
    if (!meansNone(e)) throw domError("delete", pathOf(name), e);
  }
}

async function root(): Promise<FileSystemDirectoryHandle> {
  return globalThis.navigator.storage.getDirectory();
}

async function hasFiles(files: OpfsBlockFileSystem): Promise<boolean> {
  return (await files.list()).some((file) => file !== OWNER_FILE);
}

function pathOf(name: string): string {
  return `opfs:/${FOLDER}/${name}`;
}

/** No such directory; no such file system, in a browser without one or in a window that is refused it. */
function meansNone(e: unknown): boolean {
  return (
    e instanceof TypeError || ["NotFoundError", "SecurityError", "NotAllowedError"].includes(domNameOf(e))
  );
}
