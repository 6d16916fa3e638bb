/** Modules of the project's TypeScript, bundled so that the benchmarks can import them. */
import { mkdirSync, rmSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "esbuild";
import { dataDirectory } from "./setup.mjs";

const root = join(dirname(fileURLToPath(import.meta.url)), "../..");

/** A module, by its path from the project's root. */
export async function loadSource(path) {
  mkdirSync(dataDirectory, { recursive: true });
  // In the project's own folder, so that packages are found from there; a file per process, as several may run at once.
  const outfile = join(dataDirectory, `${basename(path, ".ts")}-${process.pid}.mjs`);
  await build({
    absWorkingDir: root,
    entryPoints: [path],
    bundle: true,
    packages: "external",
    platform: "node",
    format: "esm",
    outfile,
    logLevel: "silent",
  });
  try {
    return await import(pathToFileURL(outfile).href);
  } finally {
    rmSync(outfile, { force: true });
  }
}
