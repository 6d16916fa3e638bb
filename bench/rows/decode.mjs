/** Hydrating into a local directory and exporting to a file, by the command, against `zstd -d` of the same database. */
import { statSync } from "node:fs";
import { join } from "node:path";
import { databaseOfSize } from "../data/generate.mjs";
import { inPairs } from "../lib/measure.mjs";
import { findZstd, nodeOfMajor, runNode } from "../lib/process.mjs";
import { cli, pairs, remove, scale, scratch } from "../lib/setup.mjs";
import { speedRow } from "./import.mjs";

const limits = { 20: 0.4, 24: 0.6 };

export const hydrateRows = () => decodeRows("hydrate");
export const exportRows = () => decodeRows("export");

async function decodeRows(verb) {
  const zstd = findZstd();
  const file = await databaseOfSize(Math.max(1, Math.round(500 * scale)));
  const megabytes = statSync(file).size / 1e6;
  const space = scratch();
  const store = join(space, "store");
  const compressed = join(space, "reference.zst");
  await runNode(process.execPath, [cli, "import", file, "--store", store, "--tag", "bench", "--quiet"]);
  await zstd?.compress(file, compressed);
  const rows = [];
  for (const [major, limit] of Object.entries(limits)) {
    const row = {
      row: `${verb} ${megabytes.toFixed(0)} MB, Node ${major}`,
      against: `zstd -d (${zstd?.name})`,
      limit,
    };
    const node = nodeOfMajor(Number(major));
    if (zstd === undefined || node === undefined) {
      rows.push({ ...row, skipped: zstd === undefined ? "no zstd" : `no Node ${major} (npx failed)` });
      continue;
    }
    const local = join(space, "local");
    const out = join(space, "out");
    const place =
      verb === "hydrate" ? ["bench", "--store", store, "--local", local] : ["bench", out, "--store", store];
    const measured = await inPairs({
      pairs,
      ours: async () => {
        remove(local);
        remove(out);
        return (await runNode(node, [cli, verb, ...place, "--quiet"], { version: major })).ms;
      },
      reference: async () => {
        remove(join(space, "reference"));
        return (await zstd.decompress(compressed, join(space, "reference"))).ms;
      },
    });
    rows.push(speedRow(row, megabytes, measured));
  }
  remove(space);
  return rows;
}
