/** Entry point of the SQL worker in a browser: waits for its setup, then serves a session. */
import { openBrowserEngine } from "./browser-engine.ts";
import type { WorkerSetup } from "./messages.ts";
import { serveSession } from "./serve-session.ts";

const scope = globalThis as unknown as {
  addEventListener(
    type: "message",
    listener: (event: MessageEvent<WorkerSetup>) => void,
    options: object,
  ): void;
};
scope.addEventListener("message", ({ data }) => serveSession(data, openBrowserEngine), { once: true });
