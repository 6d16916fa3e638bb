/** Peak memory of importing and exporting a 2 GB file, by the command. */
import { appendFileSync, copyFileSync, existsSync, readFileSync, renameSync, statSync } from "node:fs";
import { join } from "node:path";
import { databaseOfSize } from "../data/generate.mjs";
import { runNode } from "../lib/process.mjs";
import { cli, dataDirectory, remove, scale, scratch } from "../lib/setup.mjs";

const copies = 4;
const limitMb = 250;

export async function memoryRows() {
  const file = await bigFile();
  const gigabytes = (statSync(file).size / 1e9).toFixed(2);
  const space = scratch();
  const store = join(space, "store");
  const run = (...args) => runNode(process.execPath, [cli, ...args, "--store", store, "--quiet"]);
  const imported = await run("import", file, "--tag", "bench");
  const exported = await run("export", "bench", join(space, "out"));
  remove(space);
  const row = (verb, { rssBytes }) => ({
    row: `peak RSS, ${verb} of ${gigabytes} GB`,
    against: "",
    unit: "MB",
    ours: rssBytes / 1e6,
    limit: limitMb,
    absolute: true,
  });
  return [row("import", imported), row("export", exported)];
}

/** The benchmark database four times over: 2 GB of real pages, made in seconds. */
async function bigFile() {
  const megabytes = Math.max(1, Math.round(500 * scale));
  const path = join(dataDirectory, `posts-${megabytes}mb-x${copies}.bin`);
  if (existsSync(path)) return path;
  const one = await databaseOfSize(megabytes);
  const unfinished = `${path}.tmp`;
  copyFileSync(one, unfinished);
  const bytes = readFileSync(one);
  for (let i = 1; i < copies; i++) appendFileSync(unfinished, bytes);
  renameSync(unfinished, path);
  return path;
}
