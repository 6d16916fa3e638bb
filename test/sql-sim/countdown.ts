/** How many writes are left to the workers of `dying-worker.ts` that are launched from now on; below zero: they do not die. */
import { getEnvironmentData, setEnvironmentData } from "node:worker_threads";

const KEY = "pagefold-test-writes-left";

export function countdown(): Int32Array {
  const left = new Int32Array(new SharedArrayBuffer(4));
  left[0] = -1;
  setEnvironmentData(KEY, left.buffer);
  return left;
}

/** In the worker. */
export function writesLeft(): Int32Array {
  return new Int32Array(getEnvironmentData(KEY) as SharedArrayBuffer);
}
