/** `npm run bench:setup`: installs what the benchmarks compare with into bench/.data/peers, apart from the project (better-sqlite3 compiles). */
import { spawnSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { dataDirectory } from "../lib/setup.mjs";

const peers = join(dataDirectory, "peers");
mkdirSync(peers, { recursive: true });
writeFileSync(
  join(peers, "package.json"),
  JSON.stringify({ name: "peers", private: true, allowScripts: { "better-sqlite3": true } }),
);
const wanted = [
  "node-sqlite3-wasm@0.8.60",
  "better-sqlite3@12.11.1",
  "autocannon@9.0.0",
  "sql.js-httpvfs@0.8.12",
  "sqlite-wasm-http@1.2.0",
];
for (const peer of wanted) {
  const { status } = spawnSync("npm", ["install", "--no-audit", "--no-fund", peer], {
    cwd: peers,
    stdio: "inherit",
  });
  console.log(`${peer}: ${status === 0 ? "installed" : "could not be installed; its rows are skipped"}`);
}
