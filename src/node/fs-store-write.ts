/** The durable half of the file-system store: writing a temporary file, making directories, and flushing both. */
import { type FileHandle, mkdir, open, rmdir } from "node:fs/promises";
import { dirname } from "node:path";
import { throwIfAborted } from "../base/errors.ts";
import { isWhole, markSourceFailures } from "../remote/body.ts";
import type { Body } from "../remote/object-store.ts";
import { errno, missingRoot } from "./fs-store-errors.ts";

/** Chunks below this size are gathered, so that a stream of small ones does not cost a system call each. */
const GATHER_BYTES = 262_144;
/** How many directories are remembered to exist. */
const KNOWN_MAX = 10_000;
/** What a file system answers that cannot flush directories (Windows, some network file systems). */
const NO_DIRECTORY_FLUSH = new Set([
  "EINVAL",
  "ENOTSUP",
  "EOPNOTSUPP",
  ...(process.platform === "win32" ? ["EPERM", "EISDIR"] : []),
]);

/** Writes the body to a new file and flushes it. Throws SourceFailure, `aborted`, or the system's errors. */
export async function writeBody(
  path: string,
  body: Body,
  signal: AbortSignal | undefined,
  what: string,
): Promise<void> {
  const file = await open(path, "wx");
  try {
    if (isWhole(body)) await writeAll(file, body);
    else await writeStream(file, body, signal, what);
    await file.sync();
  } finally {
    await file.close();
  }
}

async function writeStream(
  file: FileHandle,
  body: AsyncIterable<Uint8Array>,
  signal: AbortSignal | undefined,
  what: string,
): Promise<void> {
  const gathered = new Uint8Array(GATHER_BYTES);
  let held = 0;
  const flushGathered = async (): Promise<void> => {
    await writeAll(file, gathered.subarray(0, held));
    held = 0;
  };
  for await (const chunk of markSourceFailures(body)) {
    throwIfAborted(signal, what);
    if (held + chunk.length > GATHER_BYTES) await flushGathered();
    if (chunk.length >= GATHER_BYTES) {
      await writeAll(file, chunk);
    } else {
      gathered.set(chunk, held);
      held += chunk.length;
    }
  }
  await flushGathered();
}

/** A full disk may show as a short write before it shows as an error. */
async function writeAll(file: FileHandle, bytes: Uint8Array): Promise<void> {
  let done = 0;
  while (done < bytes.length) {
    done += (await file.write(bytes, done, bytes.length - done)).bytesWritten;
  }
}

/** Makes the entries of a directory durable. One that is gone by now needs nothing. */
export async function flushDirectory(path: string): Promise<void> {
  try {
    const handle = await open(path, "r");
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  } catch (error) {
    const code = errno(error) ?? "";
    if (code !== "ENOENT" && !NO_DIRECTORY_FLUSH.has(code)) throw error;
  }
}

/** Creates a directory and those above it, durably. One that exists already is left as it is. */
export async function makeDirectories(path: string): Promise<void> {
  try {
    await mkdir(path);
  } catch (error) {
    const code = errno(error);
    if (code === "EEXIST") return;
    if (code !== "ENOENT" || dirname(path) === path) throw error;
    await makeDirectories(dirname(path));
    // Once more and no further: some file systems answer "no such entry" for ever (/proc).
    await mkdir(path).catch((again) => {
      if (errno(again) !== "EEXIST") throw again;
    });
  }
  await flushDirectory(dirname(path));
}

/** The directories below a store's root: made when first needed, removed when empty, always durably. */
export class StoreDirectories {
  readonly #root: string;
  /** Those that exist and whose entry is durable, as far as this process knows: others may remove them. */
  readonly #known = new Set<string>();

  constructor(root: string) {
    this.#root = root;
  }

  /** Makes `path` and what is missing above it, but never the root: that would hide an unmounted disk. */
  async ensure(path: string): Promise<void> {
    if (path === this.#root || this.#known.has(path)) return;
    try {
      await mkdir(path);
    } catch (error) {
      const code = errno(error);
      if (code === "ENOENT") {
        if (dirname(path) === this.#root) throw missingRoot(this.#root);
        this.#known.delete(dirname(path));
        await this.ensure(dirname(path));
        return this.ensure(path);
      }
      if (code !== "EEXIST") throw error;
    }
    // Also where it was there: whoever made it may not have flushed it yet.
    await flushDirectory(dirname(path));
    if (this.#known.size >= KNOWN_MAX) this.#known.clear();
    this.#known.add(path);
  }

  /** Another process may have removed any of them. */
  forgetAll(): void {
    this.#known.clear();
  }

  /** After deletions in `path`: removes it and those above it as long as they are empty, and flushes the first that is not. */
  async prune(path: string): Promise<void> {
    for (let at = path; at !== this.#root; at = dirname(at)) {
      this.#known.delete(at);
      try {
        await rmdir(at);
      } catch (error) {
        if (errno(error) !== "ENOENT") return flushDirectory(at);
      }
    }
    await flushDirectory(this.#root);
  }
}
