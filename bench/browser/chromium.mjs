/** The tests' Chromium for the benchmarks: the same launcher, bundled from its TypeScript source. */
import { mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "esbuild";
import { dataDirectory } from "../lib/setup.mjs";

const root = join(dirname(fileURLToPath(import.meta.url)), "../..");

/** A browser with an empty profile, or why there is none. */
export async function launch() {
  mkdirSync(dataDirectory, { recursive: true });
  // In the project's own folder, so that packages are found from there.
  const outfile = join(dataDirectory, "chromium.mjs");
  await build({
    absWorkingDir: root,
    entryPoints: ["test/browser/chromium.ts"],
    bundle: true,
    packages: "external",
    platform: "node",
    format: "esm",
    outfile,
    define: { "import.meta.url": JSON.stringify(pathToFileURL(join(root, "test/browser/root.ts")).href) },
    logLevel: "silent",
  });
  const { launchChromium } = await import(pathToFileURL(outfile).href);
  return launchChromium();
}
