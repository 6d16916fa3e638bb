/** Databases with local state in the browser, which the test's process drives step by step, since their page is reloaded, crashed or robbed of it. */
import { IdbBlockFileSystem } from "../../../src/browser/idb-block-file.ts";
import { deleteBrowserStorage } from "../../../src/browser/storage.ts";
import { isPagefoldError } from "../../../src/index.ts";
import { Database } from "../../../vfs/browser.ts";
import type { DatabaseOptions, DatabaseStatus } from "../../../vfs/database.ts";
import type { SqlRow } from "../../../vfs/executor.ts";
import { siteStore } from "./site-client.ts";

let open1: Database | undefined;

function database(): Database {
  if (open1 === undefined) throw new Error("no database is open in this page");
  return open1;
}

/** Opens the database of a space, creating it where there is none; the other functions use it. */
export async function open(args: { space: string; options: DatabaseOptions }): Promise<DatabaseStatus> {
  open1 = await Database.open(siteStore(args.space), "main", { create: true, ...args.options });
  return open1.status();
}

export async function query({ sql }: { sql: string }): Promise<SqlRow[]> {
  return database().query(sql);
}

/** What one writing statement is told: whether its commit is durable, or the code of its failure. */
export async function write({ sql }: { sql: string }): Promise<{ durable?: boolean; code?: string }> {
  try {
    const { commit } = await database().execute(sql);
    return commit === undefined ? {} : { durable: commit.durable };
  } catch (error) {
    if (!isPagefoldError(error)) throw error;
    return { code: error.code };
  }
}

export async function push(): Promise<number> {
  return (await database().push()).lsn;
}

export async function status(): Promise<DatabaseStatus> {
  return database().status();
}

/** The code of its failure; null where it went well. */
export async function close(): Promise<string | null> {
  try {
    await database().close();
    return null;
  } catch (error) {
    if (!isPagefoldError(error)) throw error;
    return error.code;
  }
}

/** Commits rows with so many random bytes until that fails, and how it fails. */
export async function commitUntilFull({ bytes }: { bytes: number }): Promise<{
  acknowledged: number;
  code: string;
  message: string;
  /** The failure says that the row is there all the same, for as long as this session lasts. */
  committed: boolean;
}> {
  for (let acknowledged = 0; acknowledged < 5000; acknowledged++) {
    try {
      await database().exec(`INSERT INTO t(b) VALUES (randomblob(${bytes}))`);
    } catch (error) {
      if (!isPagefoldError(error)) throw error;
      const { code, message, details } = error;
      return { acknowledged, code, message, committed: details.committed === true };
    }
  }
  throw new Error("5000 commits, and the storage is not full");
}

/** Removes one file of a storage that nobody has open, as nothing should. */
export async function removeFile({
  name,
  kind,
  file,
}: {
  name: string;
  kind: "opfs" | "indexeddb";
  file: string;
}): Promise<void> {
  if (kind === "opfs") {
    const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle("pagefold");
    await (await folder.getDirectoryHandle(name)).removeEntry(file);
    return;
  }
  const files = await IdbBlockFileSystem.open(name);
  await files.remove(file);
  await files.close();
}

/** The files of a storage in OPFS. */
export async function filesOf({ name }: { name: string }): Promise<string[]> {
  const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle("pagefold");
  const files: string[] = [];
  for await (const [file] of (await folder.getDirectoryHandle(name)).entries()) files.push(file);
  return files;
}

export async function deleteStorage({ name }: { name: string }): Promise<void> {
  await deleteBrowserStorage(name);
}

/** How opening fails; null where it does not. */
export async function failureOfOpen(
  args: Parameters<typeof open>[0],
): Promise<{ code: string; message: string } | null> {
  try {
    await open(args);
    return null;
  } catch (error) {
    if (!isPagefoldError(error)) throw error;
    return { code: error.code, message: error.message };
  }
}
