/**
 * The benchmarks: every figure against its limit, in one run.
 *
 *   npm run bench                          all rows
 *   npm run bench -- import hydrate        some of them
 *   npm run bench -- --json                the same facts as JSON on stdout
 *
 * A missed speed is said, and is no failure; the exit code is 1 only where a row could not be run.
 */
import { existsSync } from "node:fs";
import { cpus, loadavg, totalmem } from "node:os";
import { parseArgs } from "node:util";
import { cli, pairs, scale } from "./lib/setup.mjs";
import { formatTable, judged } from "./lib/table.mjs";

const rows = {
  import: async () => (await import("./rows/import.mjs")).importRows(),
  hydrate: async () => (await import("./rows/decode.mjs")).hydrateRows(),
  export: async () => (await import("./rows/decode.mjs")).exportRows(),
  resident: async () => (await import("./rows/resident.mjs")).residentRows(),
  vfs: async () => (await import("./rows/vfs.mjs")).vfsRows(),
  sql: async () => (await import("./rows/sql.mjs")).sqlRows(),
  native: async () => (await import("./rows/sql-native.mjs")).nativeRows(),
  roundtrip: async () => (await import("./rows/roundtrip.mjs")).roundtripRows(),
  fault: async () => (await import("./rows/fault.mjs")).faultRows(),
  commit: async () => (await import("./rows/commit.mjs")).commitRows(),
  memory: async () => (await import("./rows/memory.mjs")).memoryRows(),
  huge: async () => (await import("./rows/huge.mjs")).hugeRows(),
  serve: async () => (await import("./rows/serve.mjs")).serveRows(),
  live: async () => (await import("./rows/serve.mjs")).liveRows(),
  idle: async () => (await import("./rows/serve.mjs")).idleRows(),
  browser: async () => (await import("./rows/browser.mjs")).browserRows(),
  peers: async () => (await import("./rows/peers.mjs")).peersRows(),
  table: async () => (await import("./rows/table.mjs")).tableRows(),
  upkeep: async () => (await import("./rows/upkeep.mjs")).upkeepRows(),
  collect: async () => (await import("./rows/collect.mjs")).collectRows(),
  fork: async () => (await import("./rows/fork.mjs")).forkRows(),
  log: async () => (await import("./rows/log.mjs")).logRows(),
};

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { json: { type: "boolean", default: false } },
});
const unknown = positionals.filter((name) => !(name in rows));
if (unknown.length > 0) {
  console.error(`no such row: ${unknown.join(", ")}; there are: ${Object.keys(rows).join(", ")}`);
  process.exit(2);
}
if (!existsSync(cli)) {
  console.error(`${cli} is missing: run \`npm run build\` first`);
  process.exit(1);
}

const machine = {
  date: new Date().toISOString(),
  node: process.version,
  cpu: cpus()[0]?.model,
  cores: cpus().length,
  memoryGb: Math.round(totalmem() / 1e9),
  scale,
  pairs,
  loadBefore: loadavg()[0],
};
const results = [];
for (const name of positionals.length > 0 ? positionals : Object.keys(rows)) {
  process.stderr.write(`bench: ${name} …\n`);
  try {
    results.push(...(await rows[name]()).map((row) => ({ name, ...judged(row) })));
  } catch (error) {
    process.exitCode = 1;
    results.push({ name, row: name, failed: error instanceof Error ? error.message : String(error) });
  }
}
machine.loadAfter = loadavg()[0];
if (values.json) console.log(JSON.stringify({ machine, rows: results }, undefined, 2));
else console.log(formatTable(machine, results));
