/** Where things are: the built package, the data files (kept between runs, never committed), scratch space, sizes. */
import { existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));

/** The built package; another build of it with BENCH_DIST. */
export const dist = resolve(process.env.BENCH_DIST ?? join(here, "../../dist"));
export const cli = join(dist, "cli.js");
export const children = join(here, "../children");
export const dataDirectory = join(here, "../.data");

/** Sizes of files and volumes are multiplied by it; 1 is what the limits are meant for. */
export const scale = Number(process.env.BENCH_SCALE ?? 1);
/** Pairs of runs of the end-to-end rows. */
export const pairs = Number(process.env.BENCH_PAIRS ?? 5);

/** A module of the built package: "index", "node", "vfs". */
export const load = (name) => import(pathToFileURL(join(dist, `${name}.js`)).href);

const scratches = new Set();
process.on("exit", () => {
  for (const path of scratches) rmSync(path, { recursive: true, force: true });
});

/** An empty directory on the same file system as the data, removed when the process ends. */
export function scratch() {
  mkdirSync(dataDirectory, { recursive: true });
  const path = mkdtempSync(join(dataDirectory, "run-"));
  scratches.add(path);
  return path;
}

export function remove(path) {
  if (existsSync(path)) rmSync(path, { recursive: true });
}

/** Pseudo-random integers below n, the same on every run (mulberry32). */
export function seededBelow(seed) {
  let state = seed >>> 0;
  return (n) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 4_294_967_296) * n);
  };
}
