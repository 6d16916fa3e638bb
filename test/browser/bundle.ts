/**
 * Bundles modules for a browser from the TypeScript sources, with esbuild, as an application would: ES modules that share chunks (so that
 * classes keep one identity), and every file that a package finds by `new URL("x.wasm", import.meta.url)` beside them, which is what Vite,
 * webpack and Rollup make of that expression. In memory, once per worker and set of entries; a few tenths of a second.
 */
import { existsSync, readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { SourceMap } from "node:module";
import { basename, dirname, join, relative } from "node:path";
import { build, type Plugin } from "esbuild";
import { root } from "./root.ts";

/** Where bundles are served. */
const FOLDER = "app";

export interface Bundle {
  /** Path ("/app/core.js") → content, for `Site.start`. */
  readonly files: ReadonlyMap<string, Uint8Array>;
  /** The stack of an error of these bundles, with every place in them as a place in the sources, and without their origin. */
  mapStack(stack: string): string;
}

const bundles = new Map<string, Promise<Bundle>>();

/** @param entries name of the script ("core" → "/app/core.js") → source, as a path from the project's root */
export function bundle(entries: Readonly<Record<string, string>>): Promise<Bundle> {
  const key = JSON.stringify(Object.entries(entries).sort());
  let made = bundles.get(key);
  if (made === undefined) {
    made = make(entries);
    bundles.set(key, made);
  }
  return made;
}

async function make(entries: Readonly<Record<string, string>>): Promise<Bundle> {
  const assets = new Map<string, string>();
  const result = await build({
    absWorkingDir: root,
    entryPoints: Object.entries(entries).map(([out, source]) => ({ out, in: join(root, source) })),
    outdir: join(root, FOLDER),
    bundle: true,
    splitting: true,
    format: "esm",
    platform: "browser",
    target: "es2022",
    chunkNames: "chunk-[hash]",
    sourcemap: "external",
    write: false,
    logLevel: "silent",
    plugins: [assetsBesideModules(assets)],
  });
  const files = new Map<string, Uint8Array>();
  for (const { path, contents } of result.outputFiles)
    files.set(`/${relative(root, path).replaceAll("\\", "/")}`, contents);
  for (const [name, path] of assets) files.set(`/${FOLDER}/${name}`, await readFile(path));
  return { files, mapStack: (stack) => mapStack(stack, files) };
}

const ASSET_URL = /new URL\(\s*["'`](?:\.\/)?([\w.-]+\.(?:wasm|m?js))["'`]\s*,\s*import\.meta\.url\s*\)/g;

/** Notes the files that modules of packages find by their own URL. All output lies in one folder, so that the expression holds as it is. */
function assetsBesideModules(assets: Map<string, string>): Plugin {
  return {
    name: "assets-beside-modules",
    setup(builder) {
      builder.onLoad({ filter: /[\\/]node_modules[\\/].*\.m?js$/ }, ({ path }) => {
        const contents = readFileSync(path, "utf8");
        for (const [, name = ""] of contents.matchAll(ASSET_URL)) {
          const file = join(dirname(path), name);
          const other = assets.get(name);
          if (!existsSync(file)) continue;
          if (other !== undefined && other !== file)
            return { errors: [{ text: `two packages bring a ${basename(name)}: ${other} and ${file}` }] };
          assets.set(name, file);
        }
        return { contents, loader: "js" };
      });
    },
  };
}

const PLACE = new RegExp(`https?://[^\\s/()]+(/${FOLDER}/[\\w.-]+):(\\d+):(\\d+)`, "g");

function mapStack(stack: string, files: ReadonlyMap<string, Uint8Array>): string {
  return stack.replace(PLACE, (place, path: string, line: string, column: string) => {
    const bytes = files.get(`${path}.map`);
    if (bytes === undefined) return place;
    const map = new SourceMap(JSON.parse(Buffer.from(bytes).toString("utf8")));
    const found = map.findEntry(Number(line) - 1, Number(column) - 1);
    if (!("originalSource" in found) || found.originalSource === undefined) return place;
    const source = relative(root, join(root, FOLDER, found.originalSource)).replaceAll("\\", "/");
    return `${source}:${found.originalLine + 1}:${found.originalColumn + 1}`;
  });
}
