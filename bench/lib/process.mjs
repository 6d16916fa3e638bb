/** Programs as they are run: to their end, timed from outside, with the peak memory that they report of themselves. */
import { execFileSync, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import { children, dataDirectory, remove } from "./setup.mjs";

let runs = 0;

/** Runs a program to its end. @throws with what it said when it fails */
export function run(file, args, options = {}) {
  return new Promise((done, failed) => {
    const start = performance.now();
    const child = spawn(file, args, { stdio: ["ignore", "pipe", "pipe"], ...options });
    let stdout = "";
    let stderr = "";
    child.stdout.on("data", (chunk) => {
      stdout += chunk;
    });
    child.stderr.on("data", (chunk) => {
      stderr += chunk;
    });
    child.on("error", failed);
    child.on("close", (code) => {
      const ms = performance.now() - start;
      if (code === 0) done({ ms, stdout });
      else failed(new Error(`${file} ${args.join(" ")} ended with ${code}: ${stderr}`));
    });
  });
}

/** Runs a script under a Node; adds its peak RSS (bytes) and CPU time (ms), as it reports them at its end. */
export async function runNode(node, args, options = {}) {
  const usageFile = join(dataDirectory, `usage-${process.pid}-${++runs}.json`);
  try {
    const nodeArgs = ["--import", join(children, "report-usage.mjs"), ...(options.nodeArgs ?? []), ...args];
    const result = await run(node, nodeArgs, { env: { ...process.env, BENCH_USAGE: usageFile } });
    const usage = JSON.parse(readFileSync(usageFile, "utf8"));
    if (options.version !== undefined && !usage.version.startsWith(`v${options.version}.`)) {
      throw new Error(`ran on Node ${usage.version}, not ${options.version}`);
    }
    return {
      ...result,
      rssBytes: usage.maxRSS * 1024,
      cpuMs: (usage.userCPUTime + usage.systemCPUTime) / 1000,
      version: usage.version,
    };
  } finally {
    remove(usageFile);
  }
}

const nodes = new Map();

/** The path of a Node of this major version: this process's own, or one from npm; undefined where there is none. */
export function nodeOfMajor(major) {
  if (process.version.startsWith(`v${major}.`)) return process.execPath;
  if (!nodes.has(major)) {
    try {
      const asked = ["-y", "-p", `node@${major}`, "node", "-p", "process.version + ' ' + process.execPath"];
      const answer = execFileSync("npx", asked, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
      const [version, path] = answer.trim().split(" ");
      nodes.set(major, version?.startsWith(`v${major}.`) ? path : undefined);
    } catch {
      nodes.set(major, undefined);
    }
  }
  return nodes.get(major);
}

/** `zstd -1 -T1` and `zstd -d`: the system's program, else Node 24's own zstd in a process; undefined where there is neither. */
export function findZstd() {
  try {
    const version = execFileSync("zstd", ["--version"], { encoding: "utf8" });
    return {
      name: version.match(/v[0-9.]+/)?.[0] ?? "zstd",
      compress: (from, to) => run("zstd", ["-q", "-f", "-1", "-T1", from, "-o", to]),
      decompress: (from, to) => run("zstd", ["-q", "-f", "-d", from, "-o", to]),
    };
  } catch {
    const node = nodeOfMajor(24);
    if (node === undefined) return undefined;
    const script = join(children, "zstd.mjs");
    return {
      name: "zlib of Node 24",
      compress: (from, to) => run(node, [script, "compress", from, to]),
      decompress: (from, to) => run(node, [script, "decompress", from, to]),
    };
  }
}
