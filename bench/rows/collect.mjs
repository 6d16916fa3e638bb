/**
 * Memory of a collection over a million objects, 500,000 commits and as many loose segments, in a process of its own over a store that holds none of them
 * in memory. What counts is by how much the process grows while it collects.
 */
import { join } from "node:path";
import { FlatLogWriter } from "../data/flat-log.mjs";
import { runNode } from "../lib/process.mjs";
import { children, load, remove, scale, scratch } from "../lib/setup.mjs";
import { loadSource } from "../lib/sources.mjs";

const commits = Math.round(500_000 * scale);
const pageCount = 16_384;
const pageSize = 512;
/** Of JavaScript objects: without it V8 lets garbage pile up before it looks for any. */
const heapMb = 96;

export async function collectRows() {
  const { loadCodecs } = await load("index");
  const { LongLog } = await loadSource("bench/data/history-tools.ts");
  const folder = scratch();
  const path = join(folder, "log");
  const store = new FlatLogWriter(path);
  // Checkpoints as pushers write them near the end; those before would be passed over.
  const checkpointAt = (lsn) => lsn % 1024 === 0 && lsn > commits - 4096;
  const log = await LongLog.create({ store, codecs: await loadCodecs(), pageCount, pageSize, checkpointAt });
  await log.grow(commits);
  store.finish(log.volume);
  const { stdout } = await runNode(
    process.execPath,
    [join(children, "collect.mjs"), path, String(log.time)],
    {
      nodeArgs: ["--expose-gc", `--max-old-space-size=${heapMb}`],
    },
  );
  remove(folder);
  const facts = JSON.parse(stdout);
  const left = facts.objects - facts.deleted;
  // All but the commits of the last hour goes, a commit a second; none of the segments stays.
  if (left > 3700) throw new Error(`${left} of ${facts.objects} objects were left`);
  return [
    {
      row: `growth of RSS, collection over ${facts.objects.toLocaleString("en-US")} objects`,
      ...{
        against: "",
        absolute: true,
        unit: "MB",
        ours: (facts.peak - facts.before) / 1e6,
        limit: 200,
        facts,
      },
    },
  ];
}
