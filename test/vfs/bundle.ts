/** Worker threads cannot load TypeScript on Node 20: bundles entries for one test file, inside the project so that packages resolve. */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "esbuild";
import { afterAll } from "vitest";

const root = fileURLToPath(new URL("../../", import.meta.url));
const bundles = new Map<string, Promise<URL>>();
const directories: string[] = [];

// Of the test file that imports this.
afterAll(() => {
  for (const directory of directories) rmSync(directory, { recursive: true, force: true });
});

/** `entry` is a path from the project's root. The bundle is made once, and removed when the test file has ended. */
export function bundleWorker(entry: string): Promise<URL> {
  let bundle = bundles.get(entry);
  if (bundle === undefined) {
    bundle = makeBundle(entry);
    bundles.set(entry, bundle);
  }
  return bundle;
}

async function makeBundle(entry: string): Promise<URL> {
  const parent = join(root, "node_modules/.cache/pagefold-tests");
  mkdirSync(parent, { recursive: true });
  const outdir = mkdtempSync(join(parent, "worker-"));
  directories.push(outdir);
  await build({
    entryPoints: [join(root, entry)],
    outdir,
    bundle: true,
    splitting: true,
    format: "esm",
    platform: "node",
    target: "node20",
    packages: "external",
    outExtension: { ".js": ".mjs" },
    logLevel: "error",
  });
  return pathToFileURL(join(outdir, basename(entry).replace(/\.ts$/, ".mjs")));
}
