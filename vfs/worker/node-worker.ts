/** Entry point of the SQL worker in Node: waits for its setup, then serves a session. */
import { parentPort } from "node:worker_threads";
import type { WorkerSetup } from "./messages.ts";
import { openEngine } from "./open-engine.ts";
import { serveSession } from "./serve-session.ts";

parentPort?.once("message", (setup: WorkerSetup) => serveSession(setup, openEngine));
