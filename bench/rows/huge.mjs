/** Opening a 20 GB volume whose every page was written, by its id, and reading 100 random pages of it: memory, requests, bytes. */
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { runNode } from "../lib/process.mjs";
import { children, dataDirectory, remove, scale } from "../lib/setup.mjs";

const reads = 100;

export async function hugeRows() {
  const gigabytes = 20 * scale;
  const store = join(dataDirectory, `huge-${gigabytes}gb-v1`);
  const idFile = `${store}.id`;
  if (!existsSync(idFile) || !existsSync(store)) {
    remove(store);
    process.stderr.write(`bench: making a volume of ${gigabytes} GB, once, in ${store}\n`);
    const { stdout } = await runNode(process.execPath, [
      join(children, "make-huge.mjs"),
      store,
      String(gigabytes),
    ]);
    writeFileSync(`${idFile}.tmp`, stdout.trim());
    renameSync(`${idFile}.tmp`, idFile);
  }
  const volume = readFileSync(idFile, "utf8");
  const { stdout } = await runNode(
    process.execPath,
    [join(children, "open-huge.mjs"), store, volume, String(reads)],
    {
      nodeArgs: ["--expose-gc"],
    },
  );
  const facts = JSON.parse(stdout);
  const row = { against: "", absolute: true, facts };
  const what = `${(facts.pageCount / 1e6).toFixed(2)} M pages, ${reads} reads`;
  return [
    { ...row, row: `heap, ${what}`, unit: "MB", ours: facts.heapBytes / 1e6, limit: 64 },
    { ...row, row: `requests, ${what}`, unit: "", ours: facts.requests, limit: 4 + 2 * reads },
    { ...row, row: `per page read, ${what}`, unit: "kB", ours: facts.bytes / reads / 1000, limit: 64 },
  ];
}
