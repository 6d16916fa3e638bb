/** Files of this machine as sources of imports and targets of exports. */
import { randomBytes } from "node:crypto";
import { type FileHandle, open, readFile, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { DEFAULT_PAGE_SIZE, isPageSize, type VolumeId } from "../base/brand.ts";
import { isPagefoldError, PagefoldError } from "../base/errors.ts";
import type { ByteSink, ExportOptions, ExportResult } from "../file/export.ts";
import type { ByteSource, ImportOptions, ImportResult } from "../file/import.ts";
import { sqliteHeader } from "../file/sqlite-header.ts";
import { checkTagName } from "../format/keys.ts";
import type { PageStore } from "../store/page-store.ts";
import type { Volume } from "../store/volume.ts";
import { syncDirectory } from "./fs-block-file.ts";
import { fsError } from "./fs-store-errors.ts";

export interface ImportFileOptions extends ImportOptions {
  readonly tag: string;
  /** Default: a database's own, else 4096; of an existing volume: its own. */
  readonly pageSize?: number;
}

export interface ImportFileResult extends ImportResult {
  readonly volume: VolumeId;
  readonly tag: string;
}

/**
 * Imports a file under a tag, which is created with a new volume where there is none. The tag appears only when the import is complete.
 * @throws `invalid` for a page size that does not fit, or a database with a live WAL or hot journal; `conflict` when the file changes
 */
export async function importFile(
  store: PageStore,
  path: string,
  options: ImportFileOptions,
): Promise<ImportFileResult> {
  checkTagName(options.tag);
  const source = await FileSource.open(path);
  try {
    const pageSize = await choosePageSize(source, options.pageSize);
    if (source.database) await refuseLiveJournals(path);
    const signal = options.signal === undefined ? {} : { signal: options.signal };
    const named = await store.resolve(options.tag, signal);
    const volume =
      named === undefined
        ? await store.createVolume({ pageSize: pageSize ?? DEFAULT_PAGE_SIZE, ...signal })
        : await store.volume(named, signal);
    if (pageSize !== undefined && volume.pageSize !== pageSize)
      throw otherPageSize(options.tag, volume.pageSize, pageSize, source);
    await volume.pull(signal);
    const result = await volume.import(source, options);
    if (named === undefined) await store.tag(options.tag, volume.id, signal);
    return { volume: volume.id, tag: options.tag, ...result };
  } finally {
    await source.close();
  }
}

/**
 * Exports a state into a file that appears under its name only when it is complete, flushed and proved.
 * @param options.lsn default: the newest state on this side, local commits included
 */
export async function exportFile(
  volume: Volume,
  path: string,
  options: ExportOptions & { readonly lsn?: number } = {},
): Promise<ExportResult> {
  await checkTarget(path);
  const temporary = join(dirname(path), `.${basename(path)}.${randomBytes(6).toString("hex")}.tmp`);
  const sink = await FileSink.create(temporary, path);
  try {
    const result = await volume.export(sink, options);
    await sink.finish();
    await rename(temporary, path).catch((error) => {
      throw fsError(error, "write", path);
    });
    syncDirectory(dirname(path));
    return result;
  } catch (error) {
    await sink.discard();
    throw error;
  }
}

class FileSource implements ByteSource {
  readonly name: string;
  readonly size: number;
  readonly database: boolean;
  readonly pageSize: number | undefined;
  readonly #file: FileHandle;
  readonly #seen: Fingerprint;

  private constructor(name: string, file: FileHandle, seen: Fingerprint, head: Uint8Array) {
    const header = sqliteHeader(head);
    this.name = name;
    this.size = seen.size;
    this.database = header !== undefined;
    this.pageSize = header?.pageSize;
    this.#file = file;
    this.#seen = seen;
  }

  static async open(path: string): Promise<FileSource> {
    let file: FileHandle;
    try {
      file = await open(path, "r");
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code;
      if (code !== "ENOENT" && code !== "EISDIR") throw fsError(error, "read", path);
      throw new PagefoldError("not_found", `there is no file ${path} to import; check the path`, {
        cause: error,
        details: { path },
      });
    }
    try {
      const facts = await file.stat();
      if (!facts.isFile())
        throw new PagefoldError(
          "invalid",
          `${path} is no ordinary file; import needs one whose size is known`,
          { details: { path } },
        );
      const head = new Uint8Array(100);
      const { bytesRead } = await file.read(head, 0, 100, 0);
      return new FileSource(path, file, await fingerprint(file), head.subarray(0, bytesRead));
    } catch (error) {
      await file.close();
      throw isPagefoldError(error) ? error : fsError(error, "read", path);
    }
  }

  async read(offset: number, into: Uint8Array): Promise<number> {
    try {
      return (await this.#file.read(into, 0, into.length, offset)).bytesRead;
    } catch (error) {
      throw fsError(error, "read", this.name);
    }
  }

  async check(): Promise<void> {
    const now = await fingerprint(this.#file);
    if (
      now.size === this.#seen.size &&
      now.mtimeNs === this.#seen.mtimeNs &&
      now.ctimeNs === this.#seen.ctimeNs
    )
      return;
    throw new PagefoldError(
      "conflict",
      `${this.name} changed during the import (${this.#seen.size} bytes then, ${now.size} now); nothing was committed: run it again while nobody writes the file`,
      { details: { path: this.name } },
    );
  }

  async close(): Promise<void> {
    await this.#file.close();
  }
}

interface Fingerprint {
  readonly size: number;
  readonly mtimeNs: bigint;
  readonly ctimeNs: bigint;
}

async function fingerprint(file: FileHandle): Promise<Fingerprint> {
  const { size, mtimeNs, ctimeNs } = await file.stat({ bigint: true });
  return { size: Number(size), mtimeNs, ctimeNs };
}

/** What a new volume must have; undefined when anything goes. */
async function choosePageSize(source: FileSource, asked: number | undefined): Promise<number | undefined> {
  if (asked !== undefined && !isPageSize(asked)) {
    throw new PagefoldError("invalid", `${asked} is no page size; use a power of two from 512 to 1048576`);
  }
  if (source.pageSize === undefined) return asked;
  if (asked !== undefined && asked !== source.pageSize) {
    throw new PagefoldError(
      "invalid",
      `${source.name} is a database with pages of ${source.pageSize} bytes, not ${asked}; leave the page size out, it is taken from the file`,
      { details: { path: source.name } },
    );
  }
  return source.pageSize;
}

function otherPageSize(tag: string, has: number, wanted: number, source: FileSource): PagefoldError {
  return new PagefoldError(
    "invalid",
    `tag "${tag}" names a volume with pages of ${has} bytes, ${source.name} needs ${wanted}; import it under another tag`,
    { details: { tag, path: source.name } },
  );
}

/** A database with a live WAL or a hot journal is not what its file says. */
async function refuseLiveJournals(path: string): Promise<void> {
  const wal = await stat(`${path}-wal`).catch(() => undefined);
  if (wal !== undefined && wal.size > 0) {
    throw new PagefoldError(
      "invalid",
      `${path} has a write-ahead log with changes that are not in the file; run "PRAGMA wal_checkpoint(TRUNCATE)" in it, or make a copy with "VACUUM INTO", and import that`,
      { details: { path: `${path}-wal` } },
    );
  }
  const journal = await readFile(`${path}-journal`).catch(() => undefined);
  // A journal whose header was zeroed is a finished one (journal_mode=PERSIST).
  if (journal?.subarray(0, 8).some((byte) => byte !== 0)) {
    throw new PagefoldError(
      "invalid",
      `${path} has a hot journal: a transaction is open or was cut off; let it finish, or open the database once with SQLite, which rolls it back, and import again`,
      { details: { path: `${path}-journal` } },
    );
  }
}

/** Finds out before anything is fetched what would fail at the end. */
async function checkTarget(path: string): Promise<void> {
  const target = await stat(path).catch(() => undefined);
  if (target?.isDirectory() === true) {
    throw new PagefoldError("invalid", `${path} is a directory; give the name of the file to write`, {
      details: { path },
    });
  }
  const directory = dirname(path);
  const parent = await stat(directory).catch(() => undefined);
  if (parent === undefined) {
    throw new PagefoldError("not_found", `there is no directory ${directory} for ${path}; create it first`, {
      details: { path, directory },
    });
  }
}

class FileSink implements ByteSink {
  readonly #file: FileHandle;
  readonly #temporary: string;
  readonly #path: string;
  #closed = false;

  private constructor(file: FileHandle, temporary: string, path: string) {
    this.#file = file;
    this.#temporary = temporary;
    this.#path = path;
  }

  static async create(temporary: string, path: string): Promise<FileSink> {
    try {
      return new FileSink(await open(temporary, "wx"), temporary, path);
    } catch (error) {
      throw fsError(error, "write", path);
    }
  }

  async resize(bytes: number): Promise<void> {
    await this.#file.truncate(bytes).catch((error) => {
      throw fsError(error, "write", this.#path);
    });
  }

  async write(offset: number, bytes: Uint8Array): Promise<void> {
    try {
      for (let done = 0; done < bytes.length; ) {
        done += (await this.#file.write(bytes, done, bytes.length - done, offset + done)).bytesWritten;
      }
    } catch (error) {
      throw fsError(error, "write", this.#path);
    }
  }

  async finish(): Promise<void> {
    try {
      await this.#file.datasync();
    } catch (error) {
      throw fsError(error, "write", this.#path);
    }
    await this.#close();
  }

  async discard(): Promise<void> {
    await this.#close();
    await rm(this.#temporary, { force: true });
  }

  async #close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#file.close();
  }
}
