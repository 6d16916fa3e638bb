/**
 * Builds `pagefold/browser`: ES modules without a bare import, for a `<script type="module">` as they are and for every bundler, with the worker and
 * the WebAssembly beside them. A page loads the entry and what that imports; the rest comes when it is used.
 */
import { copyFile, mkdir, readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { type BuildResult, build, type Plugin } from "esbuild";

const root = dirname(fileURLToPath(import.meta.url));

/**
 * Name of a script, and what it is made of. Each is built by itself: a page that loads one file and its worker another is up sooner than with a dozen
 * small ones that they share. The worker's name is in `vfs/worker/browser-launch.ts`.
 */
const scripts = {
  pagefold: "vfs/web/index.ts",
  "sql-worker-browser": "vfs/worker/browser-worker.ts",
};

export type Output = BuildResult<{ metafile: true }>;

/** @param write false: answers what would be written, for measuring */
export async function buildBrowserBundle(
  outdir = join(root, "dist", "browser"),
  { write = true } = {},
): Promise<readonly Output[]> {
  const assets = new Map<string, string>();
  const outputs: Output[] = [];
  for (const [name, source] of Object.entries(scripts)) outputs.push(await bundle(name, source));
  if (write) {
    await mkdir(outdir, { recursive: true });
    for (const [name, path] of assets) await copyFile(path, join(outdir, name));
  }
  return outputs;

  function bundle(name: string, source: string): Promise<Output> {
    return build({
      absWorkingDir: root,
      entryPoints: { [name]: source },
      outdir,
      bundle: true,
      splitting: true,
      format: "esm",
      platform: "browser",
      target: "es2022",
      minify: true,
      charset: "utf8",
      legalComments: "none",
      sourcemap: write,
      chunkNames: "[name]-[hash]",
      metafile: true,
      write,
      plugins: [selfContained(assets)],
    });
  }
}

const WASM_URL = /new URL\(\s*["'`](?:\.\/)?([\w.-]+\.wasm)["'`]\s*,\s*import\.meta\.url\s*\)/g;
/** Workers of sqlite-wasm's own, which nothing here starts: bundlers would look for their scripts. */
const SCRIPT_URL = /new URL\(\s*"sqlite3-[\w-]+\.m?js"\s*,\s*import\.meta\.url\s*\)/g;

/** Notes the WebAssembly that packages find by their own URL: all output lies in one folder, so the expression holds as it is. */
function selfContained(assets: Map<string, string>): Plugin {
  return {
    name: "self-contained",
    setup(builder) {
      builder.onLoad({ filter: /[\\/]node_modules[\\/].*\.m?js$/ }, async ({ path }) => {
        const contents = await readFile(path, "utf8");
        for (const [, name = ""] of contents.matchAll(WASM_URL)) {
          const file = join(dirname(path), name);
          const other = assets.get(name);
          if (other !== undefined && other !== file)
            return { errors: [{ text: `two packages bring a ${name}: ${other} and ${file}` }] };
          assets.set(name, file);
        }
        return { contents: contents.replace(SCRIPT_URL, 'new URL("data:,")'), loader: "js" };
      });
    },
  };
}
