/** The SQL worker, which exits in the middle of a write to a local file, half of which is written, when `countdown` says so. */
import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { parentPort } from "node:worker_threads";
import type { WorkerSetup } from "../../vfs/worker/messages.ts";
import { openEngine } from "../../vfs/worker/open-engine.ts";
import { serveSession } from "../../vfs/worker/serve-session.ts";
import { writesLeft } from "./countdown.ts";

type WriteSync = (fd: number, bytes: Uint8Array, offset: number, length: number, at: number) => number;

const left = writesLeft();
const write = fs.writeSync as WriteSync;
const dyingWrite: WriteSync = (fd, bytes, offset, length, at) => {
  if (Atomics.sub(left, 0, 1) !== 1) return write(fd, bytes, offset, length, at);
  write(fd, bytes, offset, length >> 1, at);
  process.exit(7);
};
Object.assign(fs, { writeSync: dyingWrite });
// What others have imported by name.
syncBuiltinESMExports();

parentPort?.once("message", (setup: WorkerSetup) => serveSession(setup, openEngine));
