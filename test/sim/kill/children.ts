/** Starts children of the kill tests on the built package, and kills them at random moments. */
import * as fs from "node:fs";
import * as path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "esbuild";
import { FsObjectStore } from "../../../src/node/fs-object-store.ts";
import { type Child, start, temporary } from "../../node/block-child.ts";

const dist = fileURLToPath(new URL("../../../dist/", import.meta.url));

/** What children import as the package: as users get it. */
export const packageEntry = pathToFileURL(path.join(dist, "node.js")).href;

/** Makes a script of `entry`, a file beside this one. The package itself stays outside: children import it as built. */
export async function script(entry: string): Promise<string> {
  if (!fs.existsSync(path.join(dist, "node.js")))
    throw new Error("dist/ is missing: run npm run build first");
  const outfile = path.join(temporary(), entry.replace(/\.ts$/, ".mjs"));
  await build({
    entryPoints: [fileURLToPath(new URL(entry, import.meta.url))],
    bundle: true,
    platform: "node",
    format: "esm",
    outfile,
    logLevel: "error",
  });
  return outfile;
}

/** Runs a child for `ms` from the moment when it says `begun`, then kills it; answers the whole lines that it said. */
export async function killAfter(
  ms: number,
  begun: string,
  file: string,
  ...args: string[]
): Promise<string[]> {
  const child: Child = start(file, ...args);
  await child.printed(begun);
  await new Promise((resolve) => setTimeout(resolve, ms));
  child.process.kill("SIGKILL");
  const ended = await child.ended;
  if (ended !== "SIGKILL") throw new Error(`the child ended by itself (${ended}): ${child.output()}`);
  // The last line may be cut: it promises nothing.
  return child.output().split("\n").slice(0, -1);
}

/** The numbers in lines that begin with `word`, one array per line. */
export function said(lines: readonly string[], word: string): number[][] {
  return lines
    .filter((line) => line.startsWith(`${word} `))
    .map((line) => line.split(" ").slice(1).map(Number));
}

/** Keys of the store that no engine wrote: temporary files that a killed process left in sight. */
export async function strangeKeys(store: string): Promise<string[]> {
  const objects = await FsObjectStore.open(store);
  const known =
    /^(tags\/[^/]+\/[0-9a-z]+|volumes\/[0-9a-z]+\/(manifest|head|(commits|segments|rollups)\/[0-9a-z-]+))$/;
  const strange: string[] = [];
  for (let startAfter = ""; ; ) {
    const page = await objects.list("", { startAfter });
    for (const { key, size } of page)
      if (!known.test(key) || size === 0) strange.push(`${key} (${size} bytes)`);
    if (page.length < 1000) break;
    startAfter = page[page.length - 1]!.key;
  }
  await objects.close();
  return strange;
}
