/** Loaded before a measured script: writes down at its end which Node it was, its peak RSS and its CPU time. */
import { readFileSync, writeFileSync } from "node:fs";
import { isMainThread } from "node:worker_threads";

const file = process.env.BENCH_USAGE;
if (isMainThread && file !== undefined) {
  process.on("exit", () => {
    const { userCPUTime, systemCPUTime } = process.resourceUsage();
    const maxRSS = peakKilobytes();
    writeFileSync(file, JSON.stringify({ version: process.version, maxRSS, userCPUTime, systemCPUTime }));
  });
}

/** The high-water mark of this program. Where the kernel tells it, not `maxRSS`, which a child inherits from a parent that was larger. */
function peakKilobytes() {
  try {
    const [, kilobytes] = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync("/proc/self/status", "utf8"));
    return Number(kilobytes);
  } catch {
    return process.resourceUsage().maxRSS;
  }
}
