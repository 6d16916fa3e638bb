/**
 * Objects as files of one directory. Keys are relative paths (fs-store-paths.ts has the few exceptions).
 *
 * A write goes to a temporary file, which is flushed, then appears under its name by `link` (create if absent: the kernel lets
 * exactly one win) or by `rename`, then the directory is flushed. So an object is there whole or not at all, and once `put` has
 * resolved it outlives a crash of the machine. Any number of processes may use one directory, also over a network file system
 * that keeps `link` and `rename` atomic (NFS does).
 */
import { link, readdir, rename, stat, unlink } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { PagefoldError, throwIfAborted } from "../base/errors.ts";
import { type Runtime, systemRuntime } from "../base/runtime.ts";
import { checkConditionalBody, SourceFailure } from "../remote/body.ts";
import { checkKey, checkLimit, checkPrefix, checkRange } from "../remote/keys.ts";
import type {
  Body,
  GetOptions,
  ListEntry,
  ListOptions,
  ObjectStore,
  PutOptions,
  StoreCapabilities,
} from "../remote/object-store.ts";
import { Descriptors, isAbsent } from "./fs-store-descriptors.ts";
import {
  errno,
  fsError,
  keyIsDirectory,
  missingRoot,
  noHardLinks,
  notADirectory,
} from "./fs-store-errors.ts";
import { walkKeys } from "./fs-store-list.ts";
import { keyToPath, TEMP_DIR } from "./fs-store-paths.ts";
import { flushDirectory, makeDirectories, StoreDirectories, writeBody } from "./fs-store-write.ts";

export interface FsObjectStoreOptions {
  /** Create the directory, and those above it, where it is missing. Default: `not_found`. */
  readonly create?: boolean;
  /** How many files are kept open for reading. Default 64. */
  readonly openFilesMax?: number;
  /** Clock, and randomness for the names of temporary files. Default: the system's. */
  readonly runtime?: Runtime;
}

/** A temporary file that was not written to for so long belongs to a process that died. */
const STALE_TEMP_MS = 3_600_000;
/** How many files of a listing are looked up at a time. */
const STAT_BATCH = 32;
/** How often a directory may vanish under a write before it is reported. */
const PUBLISH_ATTEMPTS = 20;
/** What a file system answers that has no hard links (FAT, some network file systems). */
const LINK_REFUSED: ReadonlySet<string | undefined> = new Set([
  "EPERM",
  "ENOTSUP",
  "EOPNOTSUPP",
  "ENOSYS",
  "EMLINK",
]);

export class FsObjectStore implements ObjectStore {
  readonly url: string;
  readonly capabilities: StoreCapabilities = { write: true, list: true, conditionalCreate: "yes" };
  readonly #root: string;
  readonly #runtime: Runtime;
  readonly #descriptors: Descriptors;
  readonly #directories: StoreDirectories;
  readonly #tempPrefix: string;
  #temps = 0;
  #closed = false;

  private constructor(root: string, options: FsObjectStoreOptions) {
    this.#root = root;
    this.url = pathToFileURL(root).href;
    this.#runtime = options.runtime ?? systemRuntime;
    this.#descriptors = new Descriptors(options.openFilesMax ?? 64);
    this.#directories = new StoreDirectories(root);
    const id = Buffer.from(this.#runtime.randomBytes(new Uint8Array(8))).toString("hex");
    this.#tempPrefix = join(root, TEMP_DIR, `${process.pid}-${id}`);
  }

  /**
   * Opens the store in `directory`. Throws `not_found` where it is missing (and `create` is not set), `invalid` where it is no
   * directory, `forbidden` where it may not be made. Temporary files of processes that died are removed.
   */
  static async open(directory: string, options: FsObjectStoreOptions = {}): Promise<FsObjectStore> {
    const root = resolve(directory);
    try {
      if (options.create === true) await makeDirectories(root);
      if (!(await stat(root)).isDirectory()) throw notADirectory(root);
    } catch (error) {
      if (errno(error) === "ENOENT") throw missingRoot(root);
      if (errno(error) === "ENOTDIR") throw notADirectory(root);
      throw fsError(error, `opening the store ${root}`, root);
    }
    const store = new FsObjectStore(root, options);
    await store.#removeStaleTemps();
    return store;
  }

  async get(key: string, options: GetOptions = {}): Promise<Uint8Array | undefined> {
    const path = this.#path(key);
    const { range, signal } = options;
    if (range !== undefined) checkRange(range);
    throwIfAborted(signal, `reading ${key}`);
    try {
      const bytes = await this.#descriptors.read(path, range?.offset ?? 0, range?.length);
      if (bytes === undefined) await this.#checkRoot();
      throwIfAborted(signal, `reading ${key}`);
      return bytes;
    } catch (error) {
      throw fsError(error, `reading ${key} in ${this.#root}`, path, key);
    }
  }

  async put(key: string, body: Body, options: PutOptions = {}): Promise<"created" | "exists"> {
    const path = this.#path(key);
    checkConditionalBody(key, body, options);
    const { signal, ifAbsent = false } = options;
    throwIfAborted(signal, `writing ${key}`);
    const temp = `${this.#tempPrefix}-${++this.#temps}`;
    try {
      await this.#directories.ensure(dirname(temp));
      await writeBody(temp, body, signal, `writing ${key}`);
      throwIfAborted(signal, `writing ${key}`);
      const outcome = await this.#publish(key, temp, path, ifAbsent);
      // Also where another's object was found: what is reported to exist must outlive a crash.
      await flushDirectory(dirname(path));
      return outcome;
    } catch (error) {
      if (error instanceof SourceFailure) throw error.cause;
      if (errno(error) === "ENOENT") {
        this.#directories.forgetAll();
        await this.#checkRoot();
      }
      throw fsError(error, `writing ${key} in ${this.#root}`, path, key);
    } finally {
      // After `rename` it is gone already; after a crash a later `open` removes it.
      await unlink(temp).catch(() => {});
      this.#descriptors.forget(path);
    }
  }

  async list(prefix: string, options: ListOptions = {}): Promise<ListEntry[]> {
    this.#checkOpen();
    checkPrefix(prefix);
    const { startAfter = "", limit = 1000, signal } = options;
    checkLimit(limit);
    throwIfAborted(signal, `listing ${prefix}`);
    try {
      const found: ListEntry[] = [];
      let batch: { readonly key: string; readonly path: string }[] = [];
      if (limit === 0) return found;
      for await (const file of walkKeys(this.#root, { prefix, startAfter, limit })) {
        batch.push(file);
        if (batch.length < Math.min(STAT_BATCH, limit - found.length)) continue;
        found.push(...(await withSizes(batch)));
        batch = [];
        throwIfAborted(signal, `listing ${prefix}`);
        if (found.length === limit) return found;
      }
      found.push(...(await withSizes(batch)));
      if (found.length === 0) await this.#checkRoot();
      return found;
    } catch (error) {
      throw fsError(error, `listing ${prefix} in ${this.#root}`, this.#root);
    }
  }

  async delete(keys: readonly string[], options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    const paths = keys.map((key) => this.#path(key));
    const touched = new Set<string>();
    try {
      for (const path of paths) {
        throwIfAborted(options.signal, "deleting objects");
        this.#descriptors.forget(path);
        if (await removeFile(path)) touched.add(dirname(path));
      }
      for (const directory of touched) await this.#directories.prune(directory);
    } catch (error) {
      throw fsError(error, `deleting objects in ${this.#root}`, this.#root);
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#descriptors.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #checkOpen(): void {
    if (this.#closed) throw new PagefoldError("closed", `the store ${this.#root} is closed; open it again`);
  }

  #path(key: string): string {
    this.#checkOpen();
    checkKey(key);
    return join(this.#root, keyToPath(key));
  }

  /** Gives the finished temporary file its name. */
  async #publish(key: string, temp: string, path: string, ifAbsent: boolean): Promise<"created" | "exists"> {
    for (let attempt = 1; ; attempt++) {
      try {
        await this.#directories.ensure(dirname(path));
        if (ifAbsent) await link(temp, path);
        else await rename(temp, path);
        return "created";
      } catch (error) {
        const code = errno(error);
        if (code === "EEXIST" && ifAbsent && !(await isDirectory(path))) return "exists";
        if (code === "EEXIST" || code === "EISDIR" || code === "ENOTDIR") throw keyIsDirectory(key, path);
        if (ifAbsent && LINK_REFUSED.has(code)) throw noHardLinks(this.#root, error);
        // Another process removed the directory together with the last object in it.
        if (code !== "ENOENT" || attempt === PUBLISH_ATTEMPTS) throw error;
        this.#directories.forgetAll();
      }
    }
  }

  /** Nothing was found: is that so, or is the store itself not there (a disk that is not mounted)? */
  async #checkRoot(): Promise<void> {
    try {
      await stat(this.#root);
    } catch (error) {
      throw errno(error) === "ENOENT" ? missingRoot(this.#root) : error;
    }
  }

  /** Best effort: a store that may only be read has none of ours, and another process may be cleaning too. */
  async #removeStaleTemps(): Promise<void> {
    const directory = join(this.#root, TEMP_DIR);
    const names = await readdir(directory).catch(() => []);
    for (const name of names) {
      const path = join(directory, name);
      const { mtimeMs } = await stat(path).catch(() => ({ mtimeMs: Number.POSITIVE_INFINITY }));
      if (mtimeMs < this.#runtime.now() - STALE_TEMP_MS) await unlink(path).catch(() => {});
    }
  }
}

async function isDirectory(path: string): Promise<boolean> {
  const found = await stat(path).catch(() => undefined);
  return found?.isDirectory() === true;
}

/** Entries of the files that are still there. */
async function withSizes(
  files: readonly { readonly key: string; readonly path: string }[],
): Promise<ListEntry[]> {
  const entries = await Promise.all(
    files.map(async ({ key, path }) => {
      try {
        return { key, size: (await stat(path)).size };
      } catch (error) {
        if (isAbsent(error)) return undefined;
        throw error;
      }
    }),
  );
  return entries.filter((entry) => entry !== undefined);
}

/** Whether there was such a file. A directory of that name is no object. */
async function removeFile(path: string): Promise<boolean> {
  try {
    await unlink(path);
    return true;
  } catch (error) {
    if (isAbsent(error) || (errno(error) === "EPERM" && (await isDirectory(path)))) return false;
    throw error;
  }
}
