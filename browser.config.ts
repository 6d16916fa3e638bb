/**
 * Builds `pagefold/browser`: ES modules without a bare import, for a `<script type="module">` as they are and for every bundler, with the worker and
 * the WebAssembly beside them. A page loads the entry and what that imports; the rest comes when it is used. Rolldown rather than esbuild, since it
 * keeps what an entry and its later parts share within the entry, and makes less of the same code.
 */
import { copyFile, mkdir, readFile, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { type OutputChunk, type OutputOptions, type Plugin, rolldown } from "rolldown";

const root = dirname(fileURLToPath(import.meta.url));

/**
 * Name of a script, and what it is made of. Each is built by itself: a page that loads one file and its worker another is up sooner than with a dozen
 * small ones that they share. The worker's name is in `vfs/worker/browser-launch.ts`.
 */
const scripts = {
  pagefold: "vfs/web/index.ts",
  "sql-worker-browser": "vfs/worker/browser-worker.ts",
};

export interface BundleOptions {
  /** Where to; nowhere when absent. */
  readonly outdir?: string;
  /** Packages that are left out, for measuring the rest. */
  readonly external?: readonly string[];
}

/** One script, with the parts that it loads at once or later. */
export interface Bundled {
  readonly entry: OutputChunk;
  readonly chunks: readonly OutputChunk[];
}

export async function buildBrowserBundle(options: BundleOptions = {}): Promise<Bundled[]> {
  const { outdir, external = [] } = options;
  const assets = new Map<string, string>();
  if (outdir !== undefined) await rm(outdir, { recursive: true, force: true });
  const made: Bundled[] = [];
  for (const [name, source] of Object.entries(scripts)) {
    const build = await rolldown({
      cwd: root,
      input: { [name]: source },
      platform: "browser",
      external: [...external],
      transform: { target: "es2022" },
      plugins: [selfContained(assets)],
    });
    const output: OutputOptions = {
      format: "esm",
      minify: true,
      sourcemap: outdir !== undefined,
      entryFileNames: "[name].js",
      chunkFileNames: "[name]-[hash].js",
      // One file for what the entry and several of its later parts share, rather than one for each combination.
      codeSplitting: { groups: [{ name: "base", test: BASE }] },
    };
    const written =
      outdir === undefined
        ? await build.generate(output)
        : await build.write({ ...output, dir: outdir, cleanDir: false });
    await build.close();
    const chunks = written.output.filter((one) => one.type === "chunk");
    made.push({ entry: chunks.find((chunk) => chunk.isEntry && chunk.name === name) ?? none(name), chunks });
  }
  if (outdir !== undefined) {
    await mkdir(outdir, { recursive: true });
    for (const [name, path] of assets) await copyFile(path, join(outdir, name));
  }
  return made;
}

const BASE = /[\\/](src[\\/]base|src[\\/]remote[\\/]with-|vfs[\\/](timeout|wire-error|sqlite[\\/]thunks))/;

function none(name: string): never {
  throw new Error(`the build made no ${name}.js`);
}

const WASM_URL = /new URL\(\s*["'`](?:\.\/)?([\w.-]+\.wasm)["'`]\s*,\s*import\.meta\.url\s*\)/g;
/** Workers of sqlite-wasm's own, which nothing here starts: bundlers would look for their scripts. */
const SCRIPT_URL = /new URL\(\s*"sqlite3-[\w-]+\.m?js"\s*,\s*import\.meta\.url\s*\)/g;

/** Notes the WebAssembly that packages find by their own URL: all output lies in one folder, so the expression holds as it is. */
function selfContained(assets: Map<string, string>): Plugin {
  return {
    name: "self-contained",
    load: {
      filter: { id: /[\\/]node_modules[\\/].*\.m?js$/ },
      async handler(path) {
        const contents = await readFile(path, "utf8");
        for (const [, name = ""] of contents.matchAll(WASM_URL)) {
          const file = join(dirname(path), name);
          const other = assets.get(name);
          if (other !== undefined && other !== file)
            throw new Error(`two packages bring a ${name}: ${other} and ${file}`);
          assets.set(name, file);
        }
        return contents.replace(SCRIPT_URL, 'new URL("data:,")');
      },
    },
  };
}
