/** Loaded before a measured script: writes down at its end which Node it was, its peak RSS and its CPU time. */
import { writeFileSync } from "node:fs";
import { isMainThread } from "node:worker_threads";

const file = process.env.BENCH_USAGE;
if (isMainThread && file !== undefined) {
  process.on("exit", () => {
    const { maxRSS, userCPUTime, systemCPUTime } = process.resourceUsage();
    writeFileSync(file, JSON.stringify({ version: process.version, maxRSS, userCPUTime, systemCPUTime }));
  });
}
