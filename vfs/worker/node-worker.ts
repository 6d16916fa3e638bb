/** Entry point of the SQL worker in Node: waits for its setup, then serves a session. */
import { parentPort } from "node:worker_threads";
import { openEngine } from "./open-engine.ts";
import type { WorkerSetup } from "./protocol.ts";
import { serveSession } from "./session.ts";

parentPort?.once("message", (setup: WorkerSetup) => serveSession(setup, openEngine));
