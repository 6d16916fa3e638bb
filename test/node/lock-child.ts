/**
 * Takes the lock of the directory argv[2] and prints "locked" or "busy". The one that has it keeps it until it is killed. With
 * argv[3] it begins at that time (ms since 1970).
 */
import * as fs from "node:fs";
import { isPagefoldError } from "../../src/base/errors.ts";
import { acquireProcessLock } from "../../src/node/process-lock.ts";

const [directory, begin] = process.argv.slice(2);
// All contenders begin in the same millisecond, busy-waiting for it.
while (begin !== undefined && Date.now() < Number(begin));
try {
  await acquireProcessLock(directory as string);
  fs.writeSync(1, "locked\n");
  setInterval(() => {}, 1000);
} catch (e) {
  fs.writeSync(
    1,
    `${isPagefoldError(e, "busy") ? "busy" : "failed"} ${e instanceof Error ? e.message : String(e)}\n`,
  );
}
