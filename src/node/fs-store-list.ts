/**
 * Keys of the file-system store in byte order, without reading more of the tree than the listing needs: directories outside
 * the bounds are not opened, the walk stops when its consumer does, and of a directory with a million names only a bounded
 * number is held at a time.
 */
import type { Dirent } from "node:fs";
import { opendir, stat } from "node:fs/promises";
import { join } from "node:path";
import { compareKeys, keyFault } from "../remote/keys.ts";
import { isAbsent } from "./fs-store-descriptors.ts";
import { keyToPath, nameToPart } from "./fs-store-paths.ts";

/** So many entries of one directory are held at a time, or as many as the listing wants; twice as many at most. */
const HELD_MIN = 1024;

export interface WalkBounds {
  readonly prefix: string;
  /** Keys strictly after this one; "" for all. */
  readonly startAfter: string;
  /** About how many keys the consumer will take. */
  readonly limit: number;
}

/** One file or directory, by what it stands for. */
interface Entry {
  /** The key of a file; of a directory what its keys begin with, up to and including the slash. */
  readonly key: string;
  readonly path: string;
  readonly directory: boolean;
}

/** Every key within the bounds with the path of its file. Files that come and go meanwhile may be missed or seen. */
export async function* walkKeys(
  root: string,
  bounds: WalkBounds,
): AsyncGenerator<{ key: string; path: string }> {
  const base = bounds.prefix.slice(0, bounds.prefix.lastIndexOf("/") + 1);
  const path = base === "" ? root : join(root, keyToPath(base.slice(0, -1)));
  yield* walkDirectory(path, base, bounds);
}

async function* walkDirectory(
  path: string,
  base: string,
  bounds: WalkBounds,
): AsyncGenerator<{ key: string; path: string }> {
  let after: string | undefined;
  for (;;) {
    const { entries, more } = await nextEntries(path, base, bounds, after);
    for (const entry of entries) {
      if (entry.directory) yield* walkDirectory(entry.path, entry.key, bounds);
      else yield { key: entry.key, path: entry.path };
      after = entry.key;
    }
    if (!more) return;
  }
}

type Kind = "file" | "directory" | undefined;

/** The first entries of a directory that lie within the bounds and after `after`, in order. */
async function nextEntries(
  path: string,
  base: string,
  bounds: WalkBounds,
  after: string | undefined,
): Promise<{ readonly entries: Entry[]; readonly more: boolean }> {
  let held: Entry[] = [];
  let more = false;
  const heldMin = Math.max(HELD_MIN, bounds.limit);
  const compare = (a: Entry, b: Entry): number => compareKeys(a.key, b.key);
  await eachEntry(path, base, (entry) => {
    if (!mayMatch(entry, bounds) || (after !== undefined && compareKeys(entry.key, after) <= 0)) return;
    held.push(entry);
    if (held.length < 2 * heldMin) return;
    held = held.sort(compare).slice(0, heldMin);
    more = true;
  });
  return { entries: held.sort(compare), more };
}

/** Whether the file is in bounds, or the directory may hold one that is. */
function mayMatch({ key, directory }: Entry, { prefix, startAfter }: WalkBounds): boolean {
  if (!key.startsWith(prefix) && !(directory && prefix.startsWith(key))) return false;
  return compareKeys(key, startAfter) > 0 || (directory && startAfter.startsWith(key));
}

/** The entries of a directory in no order, with long names put together again. */
async function eachEntry(path: string, base: string, visit: (entry: Entry) => void): Promise<void> {
  const top = base === "";
  for await (const dirent of await openDirectory(path)) {
    const meant = nameToPart(dirent.name, top);
    if (meant === undefined) continue;
    const at = `${path}/${dirent.name}`;
    const known = kindOf(dirent, at);
    const kind = known instanceof Promise ? await known : known;
    const key = base + meant.part;
    if (meant.partial) {
      if (kind === "directory") await eachEntry(at, key, visit);
    } else if (kind !== undefined && keyFault(key) === undefined) {
      visit({ key: kind === "directory" ? `${key}/` : key, path: at, directory: kind === "directory" });
    }
  }
}

async function openDirectory(path: string): Promise<AsyncIterable<Dirent>> {
  try {
    return await opendir(path, { bufferSize: 1024 });
  } catch (error) {
    if (isAbsent(error)) return nothing();
    throw error;
  }
}

async function* nothing(): AsyncGenerator<never> {}

/** Not async in the usual case: a large directory asks it a million times. */
function kindOf(dirent: Dirent, path: string): Kind | Promise<Kind> {
  if (dirent.isFile()) return "file";
  if (dirent.isDirectory()) return "directory";
  // A link, or a file system that does not tell.
  return stat(path).then(
    (target) => (target.isFile() ? "file" : target.isDirectory() ? "directory" : undefined),
    () => undefined,
  );
}
