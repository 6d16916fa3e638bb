/** A database into a file-system store, by the command, against `zstd -1 -T1` of the same file. */
import { statSync } from "node:fs";
import { join } from "node:path";
import { databaseOfSize } from "../data/generate.mjs";
import { inPairs } from "../lib/measure.mjs";
import { findZstd, nodeOfMajor, runNode } from "../lib/process.mjs";
import { cli, pairs, remove, scale, scratch } from "../lib/setup.mjs";

const limit = 0.8;

/** @returns rows, one per Node */
export async function importRows() {
  const zstd = findZstd();
  const file = await databaseOfSize(Math.max(1, Math.round(500 * scale)));
  const megabytes = statSync(file).size / 1e6;
  const rows = [];
  for (const major of [20, 24]) {
    const row = {
      row: `import ${megabytes.toFixed(0)} MB, Node ${major}`,
      against: `zstd -1 -T1 (${zstd?.name})`,
      limit,
    };
    const node = nodeOfMajor(major);
    if (zstd === undefined || node === undefined) {
      rows.push({ ...row, skipped: zstd === undefined ? "no zstd" : `no Node ${major} (npx failed)` });
      continue;
    }
    const space = scratch();
    const store = join(space, "store");
    const measured = await inPairs({
      pairs,
      ours: async () => {
        remove(store);
        const args = [cli, "import", file, "--store", store, "--tag", "bench", "--quiet"];
        return (await runNode(node, args, { version: major })).ms;
      },
      reference: async () => (await zstd.compress(file, join(space, "reference.zst"))).ms,
    });
    remove(space);
    rows.push(speedRow(row, megabytes, measured));
  }
  return rows;
}

/** A row about speed: MB/s, and the ratio of ours to the reference's, which must reach the limit. */
export function speedRow(row, megabytes, measured) {
  return {
    ...row,
    unit: "MB/s",
    ours: (1000 * megabytes) / measured.ours,
    reference: (1000 * megabytes) / measured.reference,
    ratio: 1 / measured.ratio,
    atLeast: true,
    pairs: measured.pairs,
  };
}
