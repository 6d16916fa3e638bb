/** Durable transactions against native SQLite on the same disk; the same workloads on native SQLite and on another wasm build, for information. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { workloads } from "../data/workloads.mjs";
import { inPairs } from "../lib/measure.mjs";
import { nodeOfMajor, run } from "../lib/process.mjs";
import { children, dataDirectory, pairs, remove, scratch } from "../lib/setup.mjs";

const script = join(children, "native-sqlite.mjs");
const ours = join(children, "pagefold-sqlite.mjs");

export async function nativeRows() {
  const node24 = nodeOfMajor(24);
  if (node24 === undefined)
    return [{ row: "durable transactions", skipped: "node@24 (for node:sqlite) cannot be had" }];
  const space = scratch();
  let serial = 0;
  const figure = async (node, args, workload) => {
    const { stdout } = await run(node, args(join(space, `db-${++serial}`)));
    return JSON.parse(stdout.trim().split("\n").at(-1))[workload];
  };
  const pagefold = (workload) => () =>
    figure(process.execPath, (path) => [ours, path, ...before(workload), workload], workload);
  const rows = [];
  const compare = async (name, node, library, workload, limit) => {
    const measured = await inPairs({
      pairs,
      ours: pagefold(workload),
      reference: () =>
        figure(node, (path) => [script, library, path, ...before(workload), workload], workload),
    });
    rows.push({
      row: titles[workload],
      against: name,
      unit: "ms",
      ...(limit === undefined ? {} : { limit }),
      ...measured,
    });
  };
  await compare("native SQLite, WAL, synchronous=FULL (node:sqlite)", node24, "node:sqlite", "durable", 1.5);
  for (const workload of Object.keys(workloads).filter((each) => each !== "durable")) {
    await compare("native SQLite (node:sqlite)", node24, "node:sqlite", workload);
  }
  const peer = join(dataDirectory, "peers/node_modules/node-sqlite3-wasm");
  if (existsSync(peer)) {
    for (const workload of ["durable", "small", "bulk", "points", "ranges", "scan"])
      await compare("node-sqlite3-wasm on files", process.execPath, "node-sqlite3-wasm", workload);
  } else {
    rows.push({ row: "node-sqlite3-wasm on files", skipped: "run npm run bench:setup first" });
  }
  remove(space);
  return rows;
}

const titles = {
  durable: "1000 durable transactions",
  small: "10000 small transactions, relaxed (NORMAL)",
  bulk: "bulk insert of 200000 rows, one transaction",
  points: "100000 point selects",
  ranges: "2000 index ranges of 50 rows",
  scan: "full scan of 200000 rows",
};

/** Reading workloads read what the bulk insert has written. */
function before(workload) {
  return ["points", "ranges", "scan"].includes(workload) ? ["bulk"] : [];
}
