/** Entry point of the SQL worker in Node: waits for its setup, then serves a session. */
import { setMaxListeners } from "node:events";
import { parentPort } from "node:worker_threads";
import type { WorkerSetup } from "./messages.ts";
import { openEngine } from "./open-engine.ts";
import { serveSession } from "./serve-session.ts";

// One signal ends all requests that are under way for a call; more than ten of them are no leak to be warned of on the application's stderr.
setMaxListeners(0);
parentPort?.once("message", (setup: WorkerSetup) => serveSession(setup, openEngine));
