/**
 * The package as an application has it: a copy of what `npm run build` made, below `node_modules` of a folder of its own, and the bundlers that this
 * project has.
 */
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { pathToFileURL } from "node:url";
import { root } from "./root.ts";
import type { Site } from "./site.ts";

export const isBuilt = ["dist/browser/pagefold.js", "dist/browser/sql-worker-browser.js"].every((name) =>
  existsSync(join(root, name)),
);

export interface Application {
  /** Where its files are. */
  readonly folder: string;
  remove(): void;
}

/** @param files name → content */
export function installIn(files: Readonly<Record<string, string>>): Application {
  // Resolved: bundlers compare paths, and a temporary folder may lie behind a link.
  const folder = realpathSync(mkdtempSync(join(tmpdir(), "pagefold-app-")));
  const installed = join(folder, "node_modules", "pagefold");
  mkdirSync(installed, { recursive: true });
  cpSync(join(root, "dist", "browser"), join(installed, "dist", "browser"), { recursive: true });
  cpSync(join(root, "package.json"), join(installed, "package.json"));
  writeFileSync(join(folder, "package.json"), JSON.stringify({ name: "application", type: "module" }));
  for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content);
  return { folder, remove: () => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }) };
}

/** Everything below a folder that a page may ask for. */
export function serveFolder(site: Site, folder: string, as = ""): void {
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || !/\.(m?js|wasm|html)$/.test(entry.name)) continue;
    const path = join(entry.parentPath, entry.name);
    site.addFile(`${as}/${relative(folder, path).replaceAll("\\", "/")}`, readFileSync(path));
  }
}

interface ViteServer {
  listen(): Promise<unknown>;
  close(): Promise<void>;
  readonly resolvedUrls: { readonly local: readonly string[] } | null;
}

export interface Vite {
  build(config: object): Promise<unknown>;
  createServer(config: object): Promise<ViteServer>;
}

/** The Vite that vitest brings. */
export async function vite(): Promise<Vite> {
  const require = createRequire(createRequire(import.meta.url).resolve("vitest/package.json"));
  return (await import(pathToFileURL(require.resolve("vite")).href)) as Vite;
}
