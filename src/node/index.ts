/** `pagefold/node`: what needs Node. Stores by URL, local directories, files in and out. */

export { exportFile, type ImportFileOptions, type ImportFileResult, importFile } from "./files.ts";
export { FsBlockFileSystem } from "./fs-block-file.ts";
export { FsObjectStore, type FsObjectStoreOptions } from "./fs-object-store.ts";
export { type OpenStoreOptions, openLocalFiles, openStore } from "./open-store.ts";
export { acquireProcessLock, type ProcessLock } from "./process-lock.ts";
export { openObjectStore } from "./store-url.ts";
