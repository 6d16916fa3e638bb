/**
 * Takes the lock of the directory argv[2] and prints "locked" or "busy". With argv[3] = "hold" it keeps it until it is killed, with
 * "release" it waits for argv[4] milliseconds, releases it and prints "released". With argv[5] it begins at that time (ms since 1970).
 */
import * as fs from "node:fs";
import { isPagefoldError } from "../../src/base/errors.ts";
import { acquireProcessLock } from "../../src/node/process-lock.ts";

const [directory, mode, wait, begin] = process.argv.slice(2);
// All contenders begin in the same millisecond, busy-waiting for it.
while (begin !== undefined && Date.now() < Number(begin));
try {
  const lock = await acquireProcessLock(directory as string);
  fs.writeSync(1, "locked\n");
  if (mode === "hold") {
    setInterval(() => {}, 1000);
  } else {
    await new Promise((resolve) => setTimeout(resolve, Number(wait)));
    await lock.release();
    fs.writeSync(1, "released\n");
  }
} catch (e) {
  fs.writeSync(
    1,
    `${isPagefoldError(e, "busy") ? "busy" : "failed"} ${e instanceof Error ? e.message : String(e)}\n`,
  );
}
