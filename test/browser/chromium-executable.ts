/**
 * Where the tests' Chromium comes from: the executable that PAGEFOLD_TEST_CHROMIUM names, or the one packed inside the npm package
 * `@sparticuz/chromium`, unpacked once per installation. Of that package only the packed files are used: its own code unpacks to a fixed
 * name in the system's temporary directory, where two test workers meet half-written files of each other.
 */
import { randomUUID } from "node:crypto";
import { createReadStream, createWriteStream, existsSync } from "node:fs";
import { chmod, mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { basename, dirname, join } from "node:path";
import { pipeline } from "node:stream/promises";
import { promisify } from "node:util";
import { brotliDecompress, createBrotliDecompress } from "node:zlib";
import { root } from "./root.ts";

export interface Executable {
  readonly path: string;
  /** Named by the environment: then a browser that does not start is an error, not a reason to skip. */
  readonly chosen: boolean;
}

/** The browser to start, or why there is none for this machine. */
export async function findExecutable(
  environment: Readonly<Record<string, string | undefined>> = process.env,
): Promise<Executable | { readonly unavailable: string }> {
  const named = environment.PAGEFOLD_TEST_CHROMIUM;
  if (named !== undefined && named !== "") {
    if (existsSync(named)) return { path: named, chosen: true };
    throw new Error(
      `PAGEFOLD_TEST_CHROMIUM names ${named}, which does not exist; name an executable, or unset it`,
    );
  }
  const platform = `${process.platform}-${process.arch}`;
  if (platform !== "linux-x64") {
    return {
      unavailable: `there is no packed Chromium for ${platform}; name an installed one with PAGEFOLD_TEST_CHROMIUM`,
    };
  }
  const path = join(await cacheFolder(), "chromium");
  if (!existsSync(path)) await unpackInto(path, join(packageFolder(), "bin", "chromium.br"));
  return { path, chosen: false };
}

/**
 * A directory with the shared libraries that the packed Chromium takes from the system (NSS, expat), as the package brings them, for a
 * system that has none. Not used where the system has its own: those are newer.
 */
export async function bundledLibraries(): Promise<string> {
  const target = join(await cacheFolder(), "libraries");
  if (existsSync(target)) return join(target, "lib");
  const packed = await readFile(join(packageFolder(), "bin", "al2023.tar.br"));
  const entries = tarEntries(await promisify(brotliDecompress)(packed));
  const temporary = `${target}.${randomUUID()}`;
  await mkdir(join(temporary, "lib"), { recursive: true });
  for (const { name, bytes } of entries) await writeFile(join(temporary, "lib", basename(name)), bytes);
  await publish(temporary, target);
  return join(target, "lib");
}

/** Files of a tar archive, in order; directories and other kinds are left out. Header fields: POSIX.1-1988, "ustar". */
export function tarEntries(archive: Uint8Array): { readonly name: string; readonly bytes: Uint8Array }[] {
  const field = (at: number, length: number): string =>
    Buffer.from(archive.subarray(at, at + length))
      .toString("latin1")
      .replace(/\0.*$/s, "");
  const entries: { name: string; bytes: Uint8Array }[] = [];
  for (let at = 0; at + 512 <= archive.length && archive[at] !== 0; ) {
    const size = Number.parseInt(field(at + 124, 12), 8);
    const kind = field(at + 156, 1);
    const from = at + 512;
    if (!Number.isSafeInteger(size) || from + size > archive.length)
      throw new Error(`the tar archive is damaged at byte ${at}`);
    if (kind === "0" || kind === "")
      entries.push({ name: field(at, 100), bytes: archive.subarray(from, from + size) });
    at = from + Math.ceil(size / 512) * 512;
  }
  return entries;
}

const require = createRequire(import.meta.url);

function packageFolder(): string {
  // build/cjs/index.cjs → the package; its package.json is not exported.
  return join(dirname(require.resolve("@sparticuz/chromium")), "..", "..");
}

/** Below node_modules, so that `npm ci` takes it away; by version, so that an upgrade unpacks anew. */
async function cacheFolder(): Promise<string> {
  const { version } = JSON.parse(await readFile(join(packageFolder(), "package.json"), "utf8")) as {
    version: string;
  };
  const folder = join(root, "node_modules", ".cache", `pagefold-chromium-${version}`);
  await mkdir(folder, { recursive: true });
  return folder;
}

async function unpackInto(path: string, packed: string): Promise<void> {
  const temporary = `${path}.${randomUUID()}`;
  try {
    await pipeline(
      createReadStream(packed),
      createBrotliDecompress({ chunkSize: 2 ** 21 }),
      createWriteStream(temporary),
    );
    await chmod(temporary, 0o755);
    await rename(temporary, path);
  } finally {
    await rm(temporary, { force: true });
  }
}

/** Moves a finished directory to its name; another worker that was quicker has made the same one. */
async function publish(temporary: string, target: string): Promise<void> {
  try {
    await rename(temporary, target);
  } catch (error) {
    if (!existsSync(target)) throw error;
    await rm(temporary, { recursive: true });
  }
}
