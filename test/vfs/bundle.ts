/** Worker threads cannot load TypeScript on Node 20: bundles an entry for one test file, inside the project so that packages resolve. */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "esbuild";
import { afterAll } from "vitest";

const root = fileURLToPath(new URL("../../", import.meta.url));

/** `entry` is a path from the project's root. The bundle is removed when the test file has ended. */
export async function bundleWorker(entry: string): Promise<URL> {
  const parent = join(root, "node_modules/.cache/pagefold-tests");
  mkdirSync(parent, { recursive: true });
  const outdir = mkdtempSync(join(parent, "worker-"));
  afterAll(() => rmSync(outdir, { recursive: true, force: true }));
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
